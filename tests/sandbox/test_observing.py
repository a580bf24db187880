"""What happens is told, in lines of the log and as values, and none of it tells a secret or anybody's words."""

from __future__ import annotations

import gc
import logging
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from blocking import settings
from observed import PLANTED, WAYS, at_once, centre
from puzzel_chat import (
    AgentSearchEnded,
    AgentWaitTimeout,
    ChatEnded,
    ChatStarted,
    ConfigurationError,
    MemoryStore,
    MessageReceived,
    MessageSent,
    PollEnded,
    PollsDegraded,
    PollsRecovered,
    QueueClosed,
    RefreshEnded,
    RequestEnded,
    RequestRetried,
    Role,
    Telemetry,
    TransportError,
)
from puzzel_chat.sandbox import Fault, Sandbox

LINE = re.compile(
    r"(?P<operation>\w+): (?P<method>[A-Z]+) (?P<path>/[\w/-]+): (?P<ended>\w+) in \d+ ms, attempt (?P<attempt>\d)"
    r"(, request (?P<request>[\w-]+))?"
)


@pytest.mark.parametrize("way", WAYS)
def test_a_whole_chat_is_told_and_no_secret_of_it(
    way: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request has one line and one value, over every transport; what is worth a look is told above them."""
    at_once(monkeypatch)
    told: list[Telemetry] = []
    store = MemoryStore()
    with centre() as sandbox, caplog.at_level(logging.DEBUG):
        conversation_id = WAYS[way](sandbox, told.append, store)
        asked = sandbox.stats().requests
    kinds = Counter(type(one) for one in told)
    requests = [one for one in told if isinstance(one, RequestEnded)]
    made = Counter(one.operation for one in requests)
    assert {name: made[name] for name in asked} == dict(asked)
    lines = [one for one in caplog.records if one.name == "puzzel_chat.http"]
    assert {one.levelno for one in lines} == {logging.DEBUG}
    assert [one.getMessage() for one in lines] == [str(one) for one in requests]
    assert all(LINE.fullmatch(one.getMessage()) for one in lines)
    assert [one.attempt for one in requests if one.operation == "connectToken"][:2] == [1, 2]
    refused = [one for one in requests if one.status == 401]
    assert [(one.operation, one.error) for one in refused] == [("getQueueInfo", None)]
    # Levels above: what was sent again, the refresh, and the polls that failed for a while.
    ours = [one for one in caplog.records if one.name == "puzzel_chat" and one.levelno == logging.INFO]
    told_once = [one for one in told if isinstance(one, RequestRetried | RefreshEnded | PollsDegraded | PollsRecovered)]
    assert [one.getMessage() for one in ours] == [str(one) for one in told_once]
    assert {(one.operation, one.reason) for one in told if isinstance(one, RequestRetried)} >= {
        ("connectToken", "503"),
        ("getQueueInfo", "401"),
    }
    assert (kinds[RefreshEnded], kinds[PollsDegraded], kinds[PollsRecovered]) == (1, 1, 1)
    # The chat.
    assert [one.conversation_id for one in told if isinstance(one, ChatStarted | ChatEnded)] == [conversation_id] * 2
    assert isinstance(told[0], ChatStarted)
    (ended,) = [one for one in told if isinstance(one, ChatEnded)]
    assert (ended.by, ended.error) == (Role.AGENT, None)
    (search,) = [one for one in told if isinstance(one, AgentSearchEnded)]
    assert search.outcome == "assigned"
    assert [one.found for one in told if isinstance(one, MessageSent)] == [True, False]
    assert kinds[MessageReceived] >= 2
    polls = [one for one in told if isinstance(one, PollEnded)]
    assert sum(one.error is not None for one in polls) == 1
    assert sum(one.events for one in polls) >= kinds[MessageReceived]
    assert all(one.late >= 0 and one.seconds >= 0 for one in polls)
    about = [one.conversation_id for one in requests if "conversation/" in one.path or "Status" in one.path]
    assert set(about) == {conversation_id}
    # And nothing else.
    everything = caplog.text + repr(told) + repr([one._asdict() for one in told]) + " ".join(map(str, told))
    tokens = [one.tokens for one in store._sessions.values()]
    for hidden in (PLANTED, "How can I help", *(one.access for one in tokens), *(str(one.refresh) for one in tokens)):
        assert str(hidden) not in everything


Connect = Callable[..., Any]


def ends(told: list[Telemetry]) -> list[tuple[Role | None, str | None]]:
    """How the chats ended; each that began has ended once."""
    begun = [(one.session_id, one.conversation_id) for one in told if isinstance(one, ChatStarted)]
    over = [one for one in told if isinstance(one, ChatEnded)]
    assert sorted(begun) == sorted((one.session_id, one.conversation_id) for one in over)
    return [(one.by, one.error) for one in over]


def test_a_start_that_fails_is_told(connect: Connect) -> None:
    """Whatever it fails at: the chat began, and is over for that reason."""
    told: list[Telemetry] = []
    with Sandbox(script="silent", pace=0.02) as sandbox:
        chat = connect(**settings(sandbox), observe=told.append)
        with pytest.raises(AgentWaitTimeout):
            chat.start("support", wait=0.1)
        with pytest.raises(QueueClosed):
            chat.start("closed", wait=1)
        sandbox.faults(Fault.drop("connectToken", times=9))
        other = connect(**settings(sandbox), observe=told.append, max_retries=0)
        with pytest.raises(TransportError):
            other.start("support")
    failed = [(Role.CUSTOMER, "AgentWaitTimeout"), (None, "QueueClosed"), (None, "TransportError")]
    assert ends(told) == failed
    assert [one.outcome for one in told if isinstance(one, AgentSearchEnded)] == ["AgentWaitTimeout"]


def test_a_chat_that_is_left_or_ended_is_told(connect: Connect) -> None:
    """By us, at the end of its block or of its session; or as one that goes on, for a resume."""
    told: list[Telemetry] = []
    store = MemoryStore()
    with Sandbox(script="silent", pace=0.02) as sandbox:
        chat = connect(**settings(sandbox), store=store, observe=told.append)
        with chat.start("support", wait=0):
            pass
        assert ends(told) == [(Role.CUSTOMER, None)]
        session = chat.connect()
        session.conversation("a").route("support")
        session.close()
        assert ends(told)[1:] == [(None, None)]
        resumed = chat.resume(session.id)
        assert [one.resumed for one in told if isinstance(one, ChatStarted)] == [False, False, True]
        resumed.conversation("a").end()
        resumed.close()
    assert ends(told)[2:] == [(Role.CUSTOMER, None)]


def test_a_chat_that_nobody_holds_is_told_with_what_comes_next() -> None:
    """The garbage collector strikes anywhere, so what it finds is not told from there."""
    from puzzel_chat import PuzzelChat

    told: list[Telemetry] = []
    with Sandbox(script="silent", pace=0.02) as sandbox, PuzzelChat(**settings(sandbox), observe=told.append) as chat:
        chat.start("support", wait=0, conversation_id="dropped")
        gc.collect()
        assert not [one for one in told if isinstance(one, ChatEnded)]
        chat.connect()
        assert [one.conversation_id for one in told if isinstance(one, ChatEnded)] == ["dropped"]


def test_a_search_that_a_caller_leaves_is_told(connect: Connect) -> None:
    """It is no failure."""
    told: list[Telemetry] = []
    with Sandbox(script="silent", pace=0.02) as sandbox:
        chat = connect(**settings(sandbox), observe=told.append)
        conversation = chat.connect().conversation()
        conversation.route("support")
        updates = conversation.allocation_updates(wait=30)
        next(updates)
        updates.close()
        del updates
        conversation.end()
        chat.close()
    assert [one.outcome for one in told if isinstance(one, AgentSearchEnded)] in (["left"], ["GeneratorExit"])


def test_an_observer_that_fails_harms_nobody(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once, with its traceback, and the chat goes on."""
    calls: list[Telemetry] = []

    def fails(what: Telemetry) -> None:
        calls.append(what)
        raise ZeroDivisionError

    with Sandbox(script="helpful", pace=0) as sandbox:
        chat = connect(**settings(sandbox), observe=fails)
        with chat.start("support", wait=30) as conversation:
            conversation.send("end chat")
            assert list(conversation.events())
    assert len(calls) > 10
    (line,) = [one for one in caplog.records if "observe raised" in one.getMessage()]
    assert "observe raised ZeroDivisionError for ChatStarted" in line.getMessage()
    assert line.exc_info is not None


@pytest.mark.parametrize("observe", [7, "print", {}])
def test_an_observer_is_a_plain_function(connect: Connect, observe: object) -> None:
    """What cannot be called, and what would have to be awaited, is refused before anything is sent."""

    async def coroutine(what: Telemetry) -> None:
        raise AssertionError(what)

    for wrong in (observe, coroutine):
        with pytest.raises(ConfigurationError, match=r"^observe: must be a plain function"):
            connect(base_url="http://127.0.0.1:1", solution_id="7", observe=wrong)


def test_with_other_options_the_same_observer_hears(connect: Connect) -> None:
    """`with_options` keeps it."""
    told: list[Telemetry] = []
    with Sandbox(script="silent", pace=0.02) as sandbox:
        chat = connect(**settings(sandbox), observe=told.append).with_options(timeout=3)
        chat.connect().close()
        chat.close()
    assert [one.operation for one in told if isinstance(one, RequestEnded)] == ["connectToken"]


def test_a_request_without_a_reply_is_told_by_its_failure(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """With the name of the error, and each attempt on a line."""
    with caplog.at_level(logging.DEBUG, "puzzel_chat"), pytest.raises(TransportError):
        connect(base_url="http://127.0.0.1:1", solution_id="7", max_retries=1).connect()
    lines = [one.getMessage() for one in caplog.records if one.name == "puzzel_chat.http"]
    assert [re.sub(r"\d+ ms", "n ms", line) for line in lines] == [
        f"connectToken: POST /connect/token: TransportError in n ms, attempt {n}" for n in (1, 2)
    ]


def test_nothing_is_told_where_nobody_listens(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """At the usual level the log is silent about a chat that goes well."""
    with (
        caplog.at_level(logging.INFO, "puzzel_chat"),
        Sandbox(script="helpful", pace=0) as sandbox,
        connect(**settings(sandbox)).start("support", wait=30) as conversation,
    ):
        conversation.send("end chat")
        assert list(conversation.events())
    assert [one for one in caplog.records if one.name.startswith("puzzel_chat")] == []
