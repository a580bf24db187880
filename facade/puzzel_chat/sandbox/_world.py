"""The contact centre itself: what each operation of the contract does. No I/O, no clock.

Every method takes `now` in seconds since the epoch and first runs whatever is due. The same seed, times and calls give
the same world.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from math import ceil
from random import Random

from attrs import field, frozen

from ._files import Files
from ._floor import Agenda, Floor, FloorSettings
from ._ledger import Ledger
from ._queues import Agent, Allocation, Conversation, Queue, Status, default_queues
from ._scripts import SCRIPTS, Script
from ._sessions import Session, TokenBook, TokenSettings, VisitorBook
from ._values import (
    AFTER_END,
    NOTICE,
    SEMANTICS,
    AfterEnd,
    Entry,
    Happening,
    Order,
    Refusal,
    Role,
    Semantics,
    Stats,
    Tally,
    Watcher,
    iso,
)


@frozen
class WorldSettings:
    """Settings of the simulated contact centre."""

    tokens: TokenSettings
    floor: FloorSettings = field(factory=FloorSettings)
    script: str | Script = "helpful"
    semantics: Semantics = "cursor"
    agents: int = 4
    chats_per_agent: int | None = None
    capacity: int = 100
    waiting: int = 0
    no_content: bool = False


def _unwatched(happening: Happening) -> None:
    """Ignore what happened."""


class World:
    """Sessions, queues, agents and conversations, deterministic under an injected clock."""

    def __init__(self, settings: WorldSettings, random: Random, watch: Watcher = _unwatched) -> None:
        self.semantics: Semantics = known_semantics(settings.semantics)
        self._no_content = settings.no_content
        self.after_end: AfterEnd = "same"
        self.linger = 0.0
        self.tally = Tally()
        self.agenda = Agenda()
        self.ledger = Ledger(self.tally, watch)
        self.visitors = VisitorBook(settings.tokens.tenant_id, settings.tokens.visitor_fields, random, self._note)
        self.tokens = TokenBook(settings.tokens, self.visitors, random, self._note)
        self.files = Files()
        self.floor = Floor(settings.floor, known_script(settings.script), self.agenda, self.ledger, self.files)
        self.queues = default_queues(settings.agents, settings.capacity, settings.waiting, settings.chats_per_agent)
        self.floor.queues = self.queues.values()
        self.persons: dict[str, Agent] = {}
        self._seats = count(1)
        self.scripted = True
        self.conversations: dict[str, Conversation] = {}
        self._by_request: dict[str, Conversation] = {}

    def advance(self, now: float) -> float:
        """Run whatever is due and return the time."""
        return self.agenda.run(now)

    def connect(self, form: Mapping[str, str], now: float) -> dict[str, object]:
        """Issue or renew a token.

        Raises:
            TokenRefusal: with an OAuth error.

        """
        return self.tokens.grant(form, self.advance(now))

    def authorise(self, token: str | None, now: float) -> Session:
        """Return the session of a bearer token.

        Raises:
            Refusal: 401 when the token is missing, unknown, expired or revoked.

        """
        session = self.tokens.session(token, self.advance(now)) if token else None
        if session is None:
            raise Refusal(401, "InvalidToken", "the access token is missing, unknown, expired or revoked")
        return session

    def queue_info(self, visual_id: str, now: float) -> dict[str, object]:
        """Answer getQueueInfo."""
        now = self.advance(now)
        queue = next((queue for queue in self.queues.values() if queue.visual_id == visual_id), None)
        if queue is None:
            raise Refusal(404, "QueueNotFound", "no queue has this visual queue id")
        return queue.info(now, self.floor.settings.pace)

    def time_info(self, time_id: str, now: float) -> dict[str, object]:
        """Answer getTimeInfo."""
        now = self.advance(now)
        queue = next((queue for queue in self.queues.values() if queue.time_id == time_id), None)
        if queue is None:
            raise Refusal(404, "TimeNotFound", "no such time module")
        return queue.hours(now)

    def route(self, session: Session, conversation_id: str, order: Order, now: float) -> dict[str, object]:
        """Answer routeConversation: start the search for an agent."""
        now = self.advance(now)
        queue = self.queues.get(order.queue_key)
        if queue is None:
            raise Refusal(404, "QueueNotFound", "no queue has this key")
        conversation = self._routable(session, conversation_id)
        try:
            _check_queue(queue, now)
        except Refusal:
            self.ledger.tell(Happening("refused", now, conversation_id))
            raise
        request = Allocation(f"request-{len(self._by_request) + 1}")
        if conversation is None:
            conversation = Conversation(conversation_id, session, queue, order, request)
            self.conversations[conversation_id] = conversation
        else:
            conversation.start_again(queue, order, request)
        conversation.routed_at, conversation.ready_at = now, now + self.floor.settings.pace
        self._by_request[request.request_id] = conversation
        self.ledger.tell(Happening("routed", now, conversation.id, order=order))
        if self.floor.script_of(queue).notice:
            self.ledger.notice(conversation, f"You are talking to the {NOTICE}.", now)
        self.floor.enter(conversation, now)
        return {"requestId": request.request_id, "conversationId": conversation.id, "status": str(request.status)}

    def request_status(self, session: Session, key: str, now: float) -> dict[str, object]:
        """Answer getRequestStatus, by conversation id or request id."""
        now = self.advance(now)
        conversation = self._of_session(session, self.conversations.get(key) or self._by_request.get(key))
        if conversation is None:
            raise Refusal(404, "RequestNotFound", "no such request in this session")
        over = self._is_over(conversation, now)
        if over:
            self._refuse_if_gone()
        place = conversation.queue.position(conversation)
        return {
            "requestId": conversation.allocation.request_id,
            "conversationId": conversation.id,
            "status": str(Status.CANCELLED if over else conversation.allocation.status),
            "queuePosition": place,
            "estimatedWaitSeconds": None if place is None else ceil(place * self.floor.settings.pace),
            "agent": conversation.agent.wire() if conversation.agent else None,
            "reason": conversation.allocation.reason,
        }

    def poll(self, session: Session, after: str | None, now: float) -> dict[str, object] | None:
        """Answer pollConversation; None for 204, if the settings want that when nothing is new."""
        now = self.advance(now)
        if self.after_end in _GONE:
            own = [conversation for conversation in self.conversations.values() if conversation.session is session]
            if own and all(self._is_over(conversation, now) for conversation in own):
                self._refuse_if_gone()
        messages, cursor, new = session.log.poll(self.semantics, after)
        return {"messages": messages, "cursor": cursor} if new or not self._no_content else None

    def send(
        self, session: Session, key: str, content: str, client_id: str | None, now: float, file_id: str | None = None
    ) -> dict[str, object]:
        """Answer sendMessage: a text, or a file that was uploaded before."""
        now = self.advance(now)
        conversation = self._open_conversation(session, key, unknown=(409, "NotRouted"))
        if conversation.allocation.failed:
            raise Refusal(409, "NotRouted", "the search for an agent failed; route again")
        stored = None if file_id is None else self.files.get(session, file_id)
        if stored is None and not content.strip():
            raise Refusal(400, "EmptyMessage", "content is empty")
        conversation.customer_typing = False
        entry = self.ledger.hear(conversation, content, client_id, now, stored)
        self.floor.hear(conversation, content, now)
        return {"id": entry.id, "sentAt": iso(now), "clientMessageId": client_id}

    def typing(self, session: Session, key: str, is_typing: bool, now: float) -> None:
        """Answer sendTyping."""
        now = self.advance(now)
        conversation = self._open_conversation(session, key, unknown=(404, "ConversationNotFound"))
        conversation.customer_typing = is_typing
        self.ledger.happened("typing", now, conversation, role=Role.CUSTOMER)

    def end(self, session: Session, key: str, now: float) -> None:
        """Answer endConversation."""
        now = self.advance(now)
        self.floor.end(self._open_conversation(session, key, unknown=(404, "ConversationNotFound")), Role.CUSTOMER, now)

    def entries(self, now: float) -> dict[str, tuple[Entry, ...]]:
        """Return every message stored, in order, per conversation."""
        self.advance(now)
        return {key: tuple(conversation.entries) for key, conversation in self.conversations.items()}

    def stats(self, now: float) -> Stats:
        """Return the counts so far."""
        self.advance(now)
        return self.tally.stats()

    def conversation(self, key: str) -> Conversation:
        """Return a conversation of any session.

        Raises:
            LookupError: no conversation has this id.

        """
        if key not in self.conversations:
            raise LookupError(f"no conversation {key}")
        return self.conversations[key]

    def sit_down(self, name: str, now: float) -> Agent:
        """Return the person of this name, who from now on takes chats, beside or instead of the scripted agents."""
        agent = self.persons.get(name)
        if agent is None:
            agent = self.persons[name] = Agent(f"person-{next(self._seats)}", name, person=True)
            self.floor.sit_down(agent, now)
        return agent

    def stand_up(self, name: str, now: float) -> None:
        """Send a person home; the chats go back to their queues."""
        agent = self.persons.pop(name, None)
        if agent is not None:
            self.floor.stand_up(agent, self.chats_of(agent), now)

    def chats_of(self, agent: Agent) -> list[Conversation]:
        """Return the conversations that an agent is in."""
        return [conversation for conversation in self.conversations.values() if conversation.agent is agent]

    def set_scripted(self, on: bool, now: float) -> None:
        """Let the scripted agents take offers, or no more; those who are in a chat go on."""
        self.scripted = on
        for queue in self.queues.values():
            for agent in queue.staff:
                agent.ready = agent.ready if agent.person else on
        self.floor.arrange(now)

    def forget(self) -> None:
        """Drop every session, like a restart without memory; the ledger stays."""
        self.tokens.forget()
        self.visitors.forget()

    def open_queue(
        self,
        queue_key: str,
        is_open: bool | None,
        opens_at: float | None = None,
        closes_at: float | None = None,
    ) -> None:
        """Change the opening hours of a queue; open conversations go on."""
        queue = self.queues[queue_key]
        queue.is_open, queue.opens_at, queue.closes_at, queue.mornings = is_open, opens_at, closes_at, False

    def _note(self, kind: str, now: float) -> None:
        if kind.startswith(("session-", "visitor-")):
            self.ledger.happened(kind, now)
        else:
            self.tally.add(kind)

    def _of_session(self, session: Session, conversation: Conversation | None) -> Conversation | None:
        return conversation if conversation is not None and conversation.session is session else None

    def _routable(self, session: Session, key: str) -> Conversation | None:
        """Return a conversation that may be routed again, None for a new one."""
        conversation = self.conversations.get(key)
        if conversation is None:
            return None
        if conversation.session is not session:
            raise Refusal(409, "AlreadyRouted", "this conversation id is taken")
        if conversation.ended:
            raise Refusal(410, "ConversationEnded", "the conversation has ended")
        if not conversation.allocation.failed:
            raise Refusal(409, "AlreadyRouted", "this conversation was routed before")
        return conversation

    def _is_over(self, conversation: Conversation, now: float) -> bool:
        """Return whether a conversation has ended for so long that `after_end` holds, if that is anything."""
        return self.after_end != "same" and now >= conversation.ended_at + self.linger

    def _refuse_if_gone(self) -> None:
        if self.after_end in _GONE:
            status, code = _GONE[self.after_end]
            raise Refusal(status, code, "the conversation ended a while ago")

    def _open_conversation(self, session: Session, key: str, unknown: tuple[int, str]) -> Conversation:
        """Return a conversation of this session that has not ended."""
        if key not in self.conversations:
            raise Refusal(*unknown, "this conversation was never routed")
        conversation = self._of_session(session, self.conversations[key])
        if conversation is None:
            raise Refusal(404, "ConversationNotFound", "no such conversation in this session")
        if conversation.ended:
            raise Refusal(410, "ConversationEnded", "the conversation has ended")
        return conversation


def known_script(script: str | Script) -> Script:
    """Return a script as it is, or by its name.

    Raises:
        ValueError: no script has this name.

    """
    if isinstance(script, Script):
        return script
    if script not in SCRIPTS:
        raise ValueError(f"no script {script!r}; there are {', '.join(SCRIPTS)}")
    return SCRIPTS[script]


_GONE: Mapping[AfterEnd, tuple[int, str]] = {
    "not-found": (404, "ConversationNotFound"), "gone": (410, "ConversationEnded"),
}  # fmt: skip


def known_after_end(after_end: AfterEnd) -> AfterEnd:
    """Return what becomes of a conversation that has ended.

    Raises:
        ValueError: there is nothing of this name.

    """
    if after_end not in AFTER_END:
        raise ValueError(f"no after_end {after_end!r}; there are {', '.join(AFTER_END)}")
    return after_end


def known_semantics(semantics: Semantics) -> Semantics:
    """Return the semantics of a poll.

    Raises:
        ValueError: there are none of this name.

    """
    if semantics not in SEMANTICS:
        raise ValueError(f"no semantics {semantics!r}; there are {', '.join(SEMANTICS)}")
    return semantics


def _check_queue(queue: Queue, now: float) -> None:
    """Refuse a new request if the queue is closed, else if it has no staff, else if it is full."""
    if queue.open_now(now) is False:
        raise Refusal(422, "QueueClosed", "the queue is closed", opensAt=iso(queue.opens_next(now)))
    if not queue.staff:
        raise Refusal(422, "NoAgents", "nobody is at work in this queue")
    if queue.size >= queue.capacity:
        raise Refusal(422, "QueueFull", "as many requests wait as the queue holds")
