"""A session that outlives its process: nothing is lost, and at most what was being handled comes again."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from puzzel_chat._config import Settings
from puzzel_chat._errors import (
    AuthenticationError,
    NotFound,
    QueueClosed,
    RateLimited,
    SessionError,
    SessionNotFound,
    TransportError,
)
from puzzel_chat._models import (
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    Event,
    MessageEdited,
    QueueInfo,
    TextMessage,
)
from puzzel_chat._secrets import Secret
from puzzel_chat._sqlite import SQLiteStore
from puzzel_chat._state import Parts, SessionState, check_hours, restored, unknown_hours
from puzzel_chat._store import MemoryStore, Store
from puzzel_chat._tokens import Now, TokenSet
from puzzel_chat._wire.items import event
from puzzel_chat._wire.replies import Poll
from puzzel_chat.testing import VirtualTime

SETTINGS = Settings(base_url="https://chat.example", solution_id="7")
BROKEN = TransportError("No reply: it broke.", sent="maybe")


def parts(store: Store | None = None) -> Parts:
    """What an application has."""
    return Parts(SETTINGS, store or MemoryStore(), VirtualTime())


def session(of: Parts, *conversations: str) -> SessionState:
    """A session with routed conversations."""
    tokens = TokenSet(access=Secret("a1"), refresh=Secret("r1"), obtained=of.clock.now())
    state = SessionState.opened("s", of, tokens)
    for cid in conversations or ("a",):
        state.routed(cid, None)
        state.box(cid)
    return state


def item(number: int | str, cid: str = "a", version: int = 1, **more: Any) -> dict[str, Any]:
    """One line of text as the wire has it."""
    return {
        "type": "Text",
        "id": str(number),
        "conversationId": cid,
        "version": version,
        "sentAt": "2026-11-23T12:00:00Z",
        "content": f"v{version}",
        **more,
    }


def end(cid: str = "a") -> dict[str, Any]:
    """The end of a chat as the wire has it."""
    return item(f"end-{cid}", cid, type="Event", event="ConversationEnded", endedBy=1)


def poll(*items: dict[str, Any], cursor: str | None = None) -> Poll:
    """A poll's result."""
    return Poll(tuple(event(one) for one in items), cursor)


def taken(state: SessionState, cid: str = "a") -> list[Event]:
    """What a caller gets until nothing waits."""
    found: list[Event] = []
    while (one := state.take(cid)) is not None:
        found.append(one)
    return found


def test_a_resumed_session_brings_what_was_not_handled() -> None:
    """The item in the caller's hands when the process died comes again, and what waited behind it."""
    of = parts()
    first = session(of)
    first.polled(poll(item(1), item(2), item(3), cursor="3"))
    first.take("a")
    first.take("a")
    second = restored(of, "s")
    assert [one.id for one in taken(second)] == ["2", "3"]
    assert second.inbox.cursor == "3"


def test_what_was_handled_does_not_come_again_from_a_history() -> None:
    """The marks of handled items survive the process, so a poll that repeats everything repeats nothing."""
    of = parts()
    first = session(of)
    first.polled(poll(item(1), item(2)))
    taken(first)
    second = restored(of, "s")
    second.polled(poll(item(1), item(2, version=2), item(3)))
    assert [type(one) for one in taken(second)] == [MessageEdited, TextMessage]


def test_an_end_in_the_callers_hands_comes_again_after_a_crash() -> None:
    """A chat is finished when the caller came back after its end, not when the end was handed out."""
    of = parts()
    first = session(of)
    first.polled(poll(item(1), end()))
    first.take("a")
    assert isinstance(first.take("a"), ConversationEnded)
    second = restored(of, "s")
    assert [type(one) for one in taken(second)] == [ConversationEnded]


def test_a_finished_chat_stays_finished() -> None:
    """After a resume it neither ends again nor brings anything."""
    of = parts()
    first = session(of, "a", "b")
    first.polled(poll(item(1), end()))
    taken(first)
    second = restored(of, "s")
    second.polled(poll(item(1), end(), item(1, "b")))
    assert taken(second, "a") == []
    assert second.box("a").finished
    assert second.box("a").is_over


def test_our_own_end_survives_the_process() -> None:
    """A chat that we closed before the crash still ends once, after it."""
    of = parts()
    first = session(of)
    first.closing("a")
    second = restored(of, "s")
    assert second.box("a").is_over
    second.polled(poll())
    second.polled(poll())
    assert [type(one) for one in taken(second)] == [ConversationEnded]


def test_a_session_whose_chats_are_over_is_forgotten_when_closed() -> None:
    """Its secrets leave the store; one with a chat that goes on, or with mail that nobody took, stays for `resume`."""
    of = parts()
    state = session(of)
    state.close()
    assert of.store.load("s") is not None
    again = restored(of, "s")
    again.polled(poll(item(1), end()))
    again.close()
    third = restored(of, "s")
    assert [one.id for one in taken(third)] == ["1", "end-a"]
    third.close()
    third.close()
    assert of.store.load("s") is None
    with pytest.raises(SessionNotFound, match="SQLiteStore"):
        restored(of, "s")
    with pytest.raises(SessionError, match=r"connect\(\)"):
        third.refuse()


def test_failing_polls_are_told_once_and_so_is_their_end() -> None:
    """Degraded comes with the first failure of a row, recovered with the first success, and tells the seconds."""
    of = parts()
    state = session(of)
    assert isinstance(of.clock, VirtualTime)
    for _ in range(3):
        state.poll_failed(BROKEN)
        of.clock.advance(2)
    state.polled(poll())
    state.polled(poll())
    degraded, recovered = taken(state)
    assert isinstance(degraded, ConnectionDegraded)
    assert isinstance(recovered, ConnectionRecovered)
    assert recovered.after == 6.0


def test_a_fatal_failure_is_raised_after_what_came_before() -> None:
    """The iterator fails; it never goes silent, and it fails every time it is asked."""
    state = session(parts())
    state.polled(poll(item(1)))
    state.poll_failed(NotFound("404", status=404))
    assert state.take("a") is not None
    for _ in range(2):
        with pytest.raises(NotFound):
            state.take("a")


def test_taking_everything_loses_nothing_to_a_failure() -> None:
    """What waited when the polling failed is given before the error is raised."""
    state = session(parts())
    state.polled(poll(item(1), item(2)))
    state.poll_failed(AuthenticationError("401", status=401))
    assert [one.id for one in state.take_all()] == ["1", "2"]
    with pytest.raises(AuthenticationError):
        state.take_all()


def test_a_fatal_failure_without_any_conversation_is_told() -> None:
    """A session that is polled before it has a chat must hear of a refusal too."""
    state = SessionState.opened("s", parts(), TokenSet(access=Secret("a"), obtained=Now(0, 0)))
    state.poll_failed(AuthenticationError("401", status=401))
    with pytest.raises(AuthenticationError):
        state.take_all()


def test_closed_hours_stop_a_start_and_unknown_hours_do_not() -> None:
    """Open, closed and unknown are three things; what could not be asked is unknown."""
    info = QueueInfo(id="support", fetched_at=datetime(2026, 11, 23, tzinfo=UTC))
    check_hours(info)
    opens = datetime(2026, 11, 24, 8, tzinfo=UTC)
    with pytest.raises(QueueClosed, match="2026-11-24T08:00") as raised:
        check_hours(QueueInfo(id="support", is_open=False, opens_at=opens, fetched_at=info.fetched_at))
    assert raised.value.opens_at == opens
    assert unknown_hours(RateLimited("429", status=429))
    assert not unknown_hours(NotFound("404", status=404))


class CrashMachine(RuleBasedStateMachine):
    """A session on a store, a server that polls in one of three ways, and a process that is killed now and then."""

    @initialize(semantics=st.sampled_from(["history", "cursor", "drain"]))
    def begin(self, semantics: str) -> None:
        """Open a session with two chats."""
        self.semantics = semantics
        self.parts = parts(self.new_store())
        self.state = session(self.parts, "a", "b")
        self.log: list[dict[str, Any]] = []
        self.unread: list[dict[str, Any]] = []
        self.ended: set[str] = set()
        self.known: set[tuple[str, str, int]] = set()
        self.queues: dict[str, list[tuple[str, int]]] = {"a": [], "b": []}
        self.handed: dict[str, tuple[str, int] | None] = {"a": None, "b": None}
        self.first_told: dict[str, list[str]] = {"a": [], "b": []}

    def new_store(self) -> Store:
        """The store under test."""
        return MemoryStore()

    def write(self, one: dict[str, Any]) -> None:
        """The server has something new."""
        same = [n for n, old in enumerate(self.log) if old["id"] == one["id"]]
        if self.semantics == "history" and same:
            self.log[same[0]] = one
        else:
            self.log.append(one)
        self.unread.append(one)

    @rule(cid=st.sampled_from("ab"))
    def someone_writes(self, cid: str) -> None:
        """A new message."""
        if cid not in self.ended:
            self.write(item(f"m{len(self.log)}{cid}", cid))

    @rule(cid=st.sampled_from("ab"))
    def someone_edits(self, cid: str) -> None:
        """The chat's last message gets a new version."""
        lines = [one for one in self.log if one["conversationId"] == cid and one["type"] == "Text"]
        if cid not in self.ended and lines:
            self.write(item(lines[-1]["id"], cid, lines[-1]["version"] + 1))

    @rule(cid=st.sampled_from("ab"))
    def someone_ends(self, cid: str) -> None:
        """The agent ends a chat."""
        if cid not in self.ended:
            self.ended.add(cid)
            self.write(end(cid))

    @rule()
    def polls(self) -> None:
        """A poll that works; the model takes what no reply has brought yet."""
        items: Iterable[dict[str, Any]] = self.log
        if self.semantics == "cursor":
            items = self.log[int(self.state.inbox.cursor or 0) :]
        if self.semantics == "drain":
            items, self.unread = self.unread, []
        items = list(items)
        for one in sorted(items, key=lambda one: one["type"] == "Event"):
            key = (one["conversationId"], one["id"], one["version"])
            if key not in self.known:
                self.known.add(key)
                self.queues[one["conversationId"]].append((one["id"], one["version"]))
        self.state.polled(poll(*items, cursor=str(len(self.log)) if self.semantics == "cursor" else None))

    @rule(cid=st.sampled_from("ab"))
    def takes(self, cid: str) -> None:
        """The caller comes back: what was handed out is handled, and the next one is given."""
        one = self.state.take(cid)
        self.handed[cid] = None
        if one is None:
            assert self.queues[cid] == []
            return
        assert (one.id, one.version) == self.queues[cid].pop(0)
        self.handed[cid] = (one.id, one.version)
        if one.id not in self.first_told[cid]:
            self.first_told[cid].append(one.id)

    @precondition(lambda self: hasattr(self, "state"))
    @rule()
    def the_process_is_killed(self) -> None:
        """Another process takes the session up; exactly what was in hand comes again."""
        for cid, in_hand in self.handed.items():
            if in_hand is not None:
                self.queues[cid].insert(0, in_hand)
                self.handed[cid] = None
        self.state = restored(self.parts, "s")

    def teardown(self) -> None:
        """In the end each chat's messages were all told, in order, the end last."""
        if not hasattr(self, "state"):
            return
        try:
            self.polls()
            for cid in "ab":
                self.drain(cid)
        finally:
            self.parts.store.close()

    def drain(self, cid: str) -> None:
        """Take what is left of one chat and compare all that was told with all that was written."""
        while self.queues[cid]:
            self.takes(cid)
        self.takes(cid)
        wanted = dict.fromkeys(one["id"] for one in self.log if one["conversationId"] == cid)
        assert self.first_told[cid] == list(wanted)
        assert self.state.box(cid).finished == (cid in self.ended)


class FileCrashMachine(CrashMachine):
    """The same on a file."""

    def new_store(self) -> Store:
        """The store under test."""
        self.folder = tempfile.mkdtemp()
        return SQLiteStore(Path(self.folder) / "sessions.db")

    def teardown(self) -> None:
        """Also remove the file."""
        super().teardown()
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


CrashMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
FileCrashMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
test_a_killed_process_loses_nothing = CrashMachine.TestCase
test_a_killed_process_loses_nothing_from_a_file = FileCrashMachine.TestCase
