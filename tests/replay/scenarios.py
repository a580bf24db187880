"""What the cassettes hold: each scenario is a plain function, played by both clients against the same recording.

A scenario that needs what only the simulator can do (a scripted agent, a fault, a closed queue) says so in `needs`; the
others can also be recorded from a tenant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import field, frozen

from puzzel_chat import (
    AgentJoined,
    AgentWaitTimeout,
    AllocationStage,
    ConfigurationError,
    ConnectionDegraded,
    ConnectionRecovered,
    ContractError,
    Conversation,
    ConversationClosed,
    ConversationEnded,
    CustomerFields,
    Event,
    MessageEdited,
    NotFound,
    OptionsMessage,
    PuzzelChat,
    QueueClosed,
    QueueFull,
    Role,
    RoutingRefused,
    ServerError,
    TextMessage,
    UnknownMessage,
    Visitor,
)
from puzzel_chat.sandbox import Fault
from puzzel_chat.testing import VirtualTime

SECRET = "correct horse battery staple"
ADA: CustomerFields = {"name": "Ada"}
CHAT = "chat"
CLOSED, CLOSED_HOURS = "closed", "27502"


@frozen
class Stage:
    """What a scenario plays on. `chat` is a client of either kind behind the blocking one's names."""

    chat: PuzzelChat
    time: VirtualTime
    queue_key: str
    visual_queue_id: str
    chat_id: str = CHAT
    visitor_token: str = ""

    @property
    def queue(self) -> tuple[str, str]:
        """What `start` is told of the queue where the opening hours are asked for."""
        return self.queue_key, self.visual_queue_id


@frozen
class Scenario:
    """A scenario, how its sandbox is set up, and what it needs that a tenant cannot give."""

    play: Callable[[Stage], None]
    needs: str | None = None
    settings: Mapping[str, Any] = field(factory=dict)
    sandbox: Mapping[str, Any] = field(factory=dict)

    @property
    def name(self) -> str:
        """The name of its cassette."""
        return self.play.__name__


def _agent_said(event: Event) -> bool:
    return isinstance(event, TextMessage | OptionsMessage | UnknownMessage) and event.author.is_agent


def talk(conversation: Conversation, *lines: str, hang_up: bool = False) -> list[Event]:
    """Say the next line, or hang up after the last, whenever the agent has said something; gives all that happened."""
    left, seen = list(lines), []
    for event in conversation.events():
        seen.append(event)
        if _agent_said(event) and left:
            conversation.send(left.pop(0))
        elif _agent_said(event) and hang_up:
            conversation.end()
    return seen


def _kinds(events: list[Event]) -> list[type[Event]]:
    return [type(event) for event in events]


def short_chat(stage: Stage) -> None:
    """A chat in which an agent says something twice and the customer ends; the agent may be a person."""
    with stage.chat.start(*stage.queue, customer=ADA, wait=120, conversation_id=stage.chat_id) as conversation:
        seen = talk(conversation, "My order has not arrived", hang_up=True)
    ours = [said for said in conversation.transcript() if said.author.role is Role.CUSTOMER]
    assert [said.text for said in ours if isinstance(said, TextMessage)] == ["My order has not arrived"]
    end = seen[-1]
    assert isinstance(end, ConversationEnded)
    assert end.by is Role.CUSTOMER
    with pytest.raises(ConversationClosed):
        conversation.send("Are you there?")


def whole_chat(stage: Stage) -> None:
    """Queue, offer, agent, an edit, a message of an unknown type, choices, and the end by the agent."""
    stages: list[AllocationStage] = []
    conversation = stage.chat.start(
        *stage.queue,
        customer=ADA,
        variables={"order": "4711"},
        subject="A lost order",
        on_progress=lambda allocation: stages.append(allocation.stage),
        conversation_id=stage.chat_id,
    )
    with conversation:
        seen = talk(conversation, "Where is my order? <urgent> & lost", "edit", "unknown", "options", "end chat")
    assert stages[0] is AllocationStage.QUEUED
    assert stages[-1] is AllocationStage.ASSIGNED
    assert {AgentJoined, MessageEdited, UnknownMessage, OptionsMessage} <= set(_kinds(seen))
    assert _kinds(seen).count(ConversationEnded) == 1
    end = seen[-1]
    assert isinstance(end, ConversationEnded)
    assert end.by is Role.AGENT
    texts = [message.text for message in conversation.transcript() if isinstance(message, TextMessage)]
    assert "Where is my order? <urgent> & lost" in texts
    assert "Your order left on Monday." in texts
    assert "Your order left on Munday." not in texts


def queue_closed(stage: Stage) -> None:
    """A closed queue says when it opens, and no chat is begun."""
    _told_closed(stage, CLOSED, CLOSED_HOURS)


def closed_without_hours(stage: Stage) -> None:
    """A closed queue whose hours nobody asked for refuses the route, and says when it opens."""
    _told_closed(stage, CLOSED)


def _told_closed(stage: Stage, *queue: str) -> None:
    with pytest.raises(QueueClosed) as raised:
        stage.chat.start(*queue, conversation_id=stage.chat_id)
    assert raised.value.opens_at is not None
    assert raised.value.opens_at.isoformat() == "2026-01-06T08:00:00+00:00"


def queue_full(stage: Stage) -> None:
    """A full queue refuses."""
    with pytest.raises(QueueFull):
        stage.chat.start("full", conversation_id=stage.chat_id)


def refused(stage: Stage) -> None:
    """When every agent has declined, the wait ends with the reason."""
    stages: list[AllocationStage] = []
    with pytest.raises(RoutingRefused):
        stage.chat.start(
            *stage.queue, on_progress=lambda found: stages.append(found.stage), conversation_id=stage.chat_id
        )
    assert stages[0] is AllocationStage.QUEUED


def unknown_queue(stage: Stage) -> None:
    """A queue key that does not exist is told as such."""
    with pytest.raises(NotFound):
        stage.chat.start("no_such_queue", conversation_id=stage.chat_id)


def wrong_secret(stage: Stage) -> None:
    """A refused client names the settings to look at, and not the secret."""
    with pytest.raises(ConfigurationError) as raised:
        stage.chat.connect()
    assert raised.value.setting == "client_secret"
    assert "client_secret" in str(raised.value)
    assert SECRET not in str(raised.value)


def wait_timeout(stage: Stage) -> None:
    """When nobody comes in time, the queue is left at the service."""
    conversation = stage.chat.connect().conversation(stage.chat_id)
    conversation.route("silent", customer=ADA)
    with pytest.raises(AgentWaitTimeout) as raised:
        conversation.wait_for_agent(10)
    assert raised.value.last is not None
    assert raised.value.last.queue_position == 1
    assert conversation.allocation().stage is AllocationStage.CANCELLED


def token_refresh(stage: Stage) -> None:
    """A token near its end is refreshed before the next call, and the new one is used from then on."""
    session = stage.chat.connect()
    before = session.queue_info(stage.visual_queue_id)
    stage.time.advance(session._state.keeper.life.tokens.ttl - 1)
    after = session.queue_info(stage.visual_queue_id)
    assert before.id == after.id == stage.visual_queue_id
    assert session._state.keeper.life.tokens.generation == 2


def token_refused(stage: Stage) -> None:
    """A token that the service refuses in the middle of a chat is refreshed and nothing is lost."""
    with stage.chat.start(*stage.queue, conversation_id=stage.chat_id) as conversation:
        seen = talk(conversation, "hello", "end chat")
    assert _kinds(seen)[-1] is ConversationEnded
    assert ConnectionDegraded not in _kinds(seen)
    assert conversation.session._state.keeper.life.tokens.generation == 2


def signed_in_visitor(stage: Stage) -> None:
    """A visitor who is signed in elsewhere is the same one before and after a refresh, and chats."""
    visitor = Visitor(access_token=stage.visitor_token)
    conversation = stage.chat.start(stage.queue_key, visitor=visitor, customer=ADA, conversation_id=stage.chat_id)
    with conversation:
        before, session = conversation.session.visitor_id, conversation.session
        stage.time.advance(session._state.keeper.life.tokens.ttl - 1)
        assert _kinds(talk(conversation, "hello", "end chat"))[-1] is ConversationEnded
    assert before is not None
    assert session.visitor_id == before
    assert session._state.keeper.life.tokens.generation == 2


def poll_no_content(stage: Stage) -> None:
    """Polls without content say that nothing is new: the chat goes on, and what comes after them is not lost."""
    with stage.chat.start(*stage.queue, conversation_id=stage.chat_id) as conversation:
        seen = talk(conversation, "hello", "end chat")
    assert _kinds(seen)[-1] is ConversationEnded
    assert ConnectionDegraded not in _kinds(seen)
    assert sum(map(_agent_said, seen)) == 3


def message_after_end(stage: Stage) -> None:
    """A message to a chat that the agent has ended meanwhile is refused as such."""
    conversation = stage.chat.start(*stage.queue, conversation_id=stage.chat_id)
    conversation.send("end chat")
    stage.time.advance(10)
    with pytest.raises(ConversationClosed):
        conversation.send("One more thing")
    assert _kinds(list(conversation.events()))[-1] is ConversationEnded


def poll_fails(stage: Stage) -> None:
    """Polls that fail for a while are told, the time asked for is waited, and no message is lost."""
    with stage.chat.start(*stage.queue, conversation_id=stage.chat_id) as conversation:
        seen = talk(conversation, "hello", "end chat")
    kinds = _kinds(seen)
    assert kinds.count(ConnectionDegraded) == kinds.count(ConnectionRecovered) == 1
    assert kinds.index(ConnectionDegraded) < kinds.index(ConnectionRecovered)
    recovered = next(event for event in seen if isinstance(event, ConnectionRecovered))
    assert recovered.after >= 6  # two failures, each with Retry-After: 3
    assert [event.text for event in seen if isinstance(event, TextMessage) and event.author.is_agent] == [
        "Hello, this is Kari. How can I help?",
        "I see. You have written 1 time(s).",
        "Thank you, goodbye.",
    ]


def bad_item(stage: Stage) -> None:
    """An item that nobody understands is handed on as it is, and the others beside it are right."""
    with stage.chat.start(*stage.queue, conversation_id=stage.chat_id) as conversation:
        seen = talk(conversation, "end chat")
    odd = [event for event in seen if isinstance(event, UnknownMessage)]
    assert [event.raw["sentAt"] for event in odd] == ["yesterday"]
    assert sum(map(_agent_said, seen)) == 2


def html_error_page(stage: Stage) -> None:
    """A gateway's page instead of a reply is tried again, then told with its status; a sign-in page is no reply."""
    session = stage.chat.connect()
    with pytest.raises(ServerError) as raised:
        session.queue_info(stage.visual_queue_id)
    assert (raised.value.status, raised.value.attempts) == (502, 3)
    with pytest.raises(ContractError) as odd:
        session.time_info("support-hours")
    assert odd.value.operation == "getTimeInfo"


_SCRIPTED, _QUEUES, _FAULTS = "a scripted agent", "the simulator's queues", "faults"
_SIGNED_IN = "an identity provider"
_SCENARIOS = (
    Scenario(short_chat),
    Scenario(unknown_queue),
    Scenario(token_refresh, sandbox={"token_life": 60}),
    Scenario(whole_chat, _SCRIPTED, sandbox={"script": "decline", "ahead": 2}),
    Scenario(queue_closed, _QUEUES),
    Scenario(closed_without_hours, _QUEUES),
    Scenario(queue_full, _QUEUES),
    Scenario(wait_timeout, _QUEUES),
    Scenario(refused, _SCRIPTED, sandbox={"script": "refuse"}),
    Scenario(wrong_secret, "a known secret", {"client_secret": SECRET}, {"client_secret": "another"}),
    Scenario(signed_in_visitor, _SIGNED_IN, sandbox={"token_life": 60}),
    Scenario(poll_no_content, _SCRIPTED, sandbox={"no_content": True, "pace": 6}),
    Scenario(message_after_end, _SCRIPTED),
    Scenario(token_refused, _FAULTS, sandbox={"faults": (Fault.revoked("pollConversation", times=1, skip=1),)}),
    Scenario(
        poll_fails,
        _FAULTS,
        sandbox={"faults": (Fault.status(503, "pollConversation", retry_after=3, times=2, skip=1),)},
    ),
    Scenario(bad_item, _FAULTS, sandbox={"faults": (Fault.bad_item(times=1, skip=1),)}),
    Scenario(
        html_error_page,
        _FAULTS,
        sandbox={
            "faults": (Fault.status(502, "getQueueInfo", html=True, times=3), Fault.html_page("getTimeInfo", times=1)),
        },
    ),
)
SCENARIOS = {scenario.name: scenario for scenario in _SCENARIOS}
