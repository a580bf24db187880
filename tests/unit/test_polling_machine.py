"""A session's mail beside a model: whatever a poll returns and whatever breaks, once, in order, the end last."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from machines import TWICE, Machine, run
from puzzel_chat import _inbox, _session
from puzzel_chat._errors import (
    ApiError,
    ContractError,
    PuzzelChatError,
    RateLimited,
    ServerError,
    SessionInUse,
    TransportError,
)
from puzzel_chat._lease import LEASE
from puzzel_chat._models import (
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    Event,
    Life,
    MessageEdited,
    Secret,
)
from puzzel_chat._retry import LAST_WORDS_WITHIN
from puzzel_chat._settings import Settings
from puzzel_chat._sqlite import SQLiteStore
from puzzel_chat._steps import Parts
from puzzel_chat._store import MemoryStore, Store, Unread
from puzzel_chat._tokens import TokenSet
from puzzel_chat._wire.replies import Poll, event
from puzzel_chat.testing import VirtualTime
from scripted import Plain, store_of

SMALL = 8
"""A buffer that a machine can fill."""
SEMANTICS = ("history", "cursor", "drain")
CHATS = ("a", "b")
NOBODYS = "c"
BAD = ContractError("pollConversation", "", "the reply is not JSON", "(empty)")
PASSING = st.sampled_from([None, 0.0, 7.0, 500.0]).map(
    lambda asked: ServerError("503", status=503, retry_after=asked)
) | st.sampled_from(
    [TransportError("No reply: it broke.", sent="maybe"), RateLimited("429", status=429, retry_after=3.0), BAD]
)

KINDS: dict[type[Event], str] = {
    ConversationEnded: "end",
    MessageEdited: "edit",
    ConnectionDegraded: "degraded",
    ConnectionRecovered: "back",
}


class Chance(VirtualTime):
    """Virtual time with a share of chance that the machine draws."""

    share = 0.5

    def uniform(self, low: float, high: float) -> float:
        """Give the point of the range that was drawn."""
        return low + self.share * (high - low)


@frozen
class Item:
    """One item of the model's server; without a chat it is a damaged one, which is everybody's."""

    chat: str
    id: str
    version: int = 1
    kind: str = "Text"

    @property
    def is_end(self) -> bool:
        """Whether it ends its chat."""
        return self.kind == "Event"

    def wire(self) -> dict[str, Any]:
        """The item as the wire has it."""
        told = {"type": self.kind, "id": self.id, "version": self.version, "sentAt": "2026-11-24T12:00:00Z"}
        told |= {"conversationId": self.chat} if self.chat else {}
        told |= {"content": f"v{self.version}"}
        return told | ({"event": "ConversationEnded", "endedBy": 1} if self.is_end else {})


@frozen
class Due:
    """What a caller is to get next; what is not journaled does not survive the process."""

    kind: str
    id: str
    version: int = 1
    journaled: bool = True

    @classmethod
    def of(cls, one: Event) -> Due:
        """What a caller got."""
        kind = KINDS.get(type(one), "new")
        return cls(kind, one.id, one.version, kind not in ("degraded", "back") and bool(one.raw))


@define
class Chat:
    """What the model knows of one chat at the client."""

    id: str
    due: list[Due] = field(factory=list)
    in_hand: Due | None = None
    known: dict[str, int] = field(factory=dict)
    closing: bool = False
    replies_since_closing: int = 0
    end_known: bool = False
    finished: bool = False
    finished_for_good: bool = False
    told: list[Due] = field(factory=list)
    passed_by: set[str] = field(factory=set)

    def arrives(self, item: Item) -> None:
        """Take an item of a reply."""
        if self.finished:
            self.passed_by.add(item.id)
        elif item.version > self.known.get(item.id, 0) and not (item.is_end and self.end_known):
            kind = "end" if item.is_end else "edit" if item.id in self.known else "new"
            self.known[item.id] = item.version
            self.await_(Due(kind, item.id, item.version))

    def await_(self, due: Due) -> None:
        """Let the caller get it next, before an end that still waits."""
        behind = bool(self.due) and self.due[-1].kind == "end"
        self.due.insert(len(self.due) - behind, due)
        self.end_known = self.end_known or due.kind == "end"

    def reply_is_over(self) -> None:
        """End a chat of ours whose end no reply has told, or can tell."""
        if self.closing and not self.end_known:
            self.await_(Due("end", f"{self.id}:end", journaled=False))

    def hear(self, kind: str) -> None:
        """Hear of the connection, while the chat goes on."""
        if not self.end_known:
            word = {"degraded": "degraded", "back": "recovered"}[kind]
            self.await_(Due(kind, f"{self.id}:{word}", journaled=False))

    def crash(self) -> None:
        """Lose what is not in the store; what was in hand comes again."""
        self.replies_since_closing = 0
        waiting = [*([self.in_hand] if self.in_hand else []), *self.due]
        self.due, self.in_hand = [due for due in waiting if due.journaled], None
        self.finished = self.finished_for_good
        self.end_known = self.finished or any(due.kind == "end" for due in self.due)


class PollingMachine(Machine):
    """A session on a store, a server that polls in one of three ways, a bad network, and a process that dies."""

    @initialize(
        semantics=st.sampled_from(["history", "cursor", "drain"]), period=st.sampled_from([1.0, 0.1, 0.7, 30.0])
    )
    def begin(self, semantics: str, period: float) -> None:
        """Open a session with two chats; mail comes for a third, too, which nobody asked for."""
        self.semantics = semantics
        self.clock = Chance()
        settings = Settings(base_url="https://chat.example", solution_id="7", poll_interval=period)
        self.parts = Parts(settings, self.new_store(), self.clock)
        tokens = TokenSet(access=Secret("a1"), refresh=Secret("r1"), obtained=self.clock.now().wall)
        self.state = Plain.opened("s", self.parts, tokens, self.clock.now())
        for chat in CHATS:
            self.state.routed(chat, None)
            self.state.inbox(chat)
        self.chats = {chat: Chat(chat) for chat in CHATS}
        self.log: list[Item] = []
        self.unread: list[Item] = []
        self.lost: set[tuple[str, int]] = set()
        self.ended: set[str] = set()
        self.dead: list[Plain] = []
        self.paced()

    def new_store(self) -> Store:
        """The store under test."""
        return MemoryStore()

    def paced(self) -> None:
        """A process begins to poll, at a random point of its period."""
        self.period = self.parts.settings.poll_interval
        self.replies: list[tuple[list[Item], str | None]] = []
        self.failures = self.undecodable = 0
        self.failing_since = self.last_closing = 0.0
        wait = self.state.pace.delay(self.clock.monotonic(), self.clock.uniform)
        assert 0 <= wait <= self.period + 1e-5
        self.due = self.clock.monotonic() + wait

    # What happens at the service.

    def write(self, item: Item) -> None:
        """The server has something new."""
        same = [n for n, old in enumerate(self.log) if old.id == item.id]
        if self.semantics == "history" and same:
            self.log[same[0]] = item
        else:
            self.log.append(item)
        self.unread.append(item)

    @rule(chat=st.sampled_from(["a", "a", "b", "b", NOBODYS, ""]), kind=st.sampled_from(["Text", "Text", "Mystery"]))
    def someone_writes(self, chat: str, kind: str) -> None:
        """A new item, of a kind that is known or not, or one that names no chat."""
        if chat not in self.ended:
            self.write(Item(chat, f"m{len(self.log)}-{len(self.unread)}{chat}", kind=kind if chat else "Mystery"))

    @precondition(lambda self: self.log)
    @rule(data=st.data())
    def someone_edits(self, data: st.DataObject) -> None:
        """An item gets a new version."""
        item = data.draw(st.sampled_from(self.log))
        if not item.is_end and item.chat not in self.ended:
            newest = max(old.version for old in self.log if old.id == item.id)
            self.write(Item(item.chat, item.id, newest + 1, item.kind))

    @rule(chat=st.sampled_from(CHATS), late=st.booleans(), seldom=st.integers(0, 3))
    def someone_ends(self, chat: str, late: bool, seldom: int) -> None:
        """The agent ends a chat; the end may overtake the last words."""
        if chat not in self.ended and seldom == 0:
            self.ended.add(chat)
            self.write(Item(chat, f"end-{chat}", kind="Event"))
            if late:
                self.write(Item(chat, f"last-{chat}"))

    @precondition(lambda self: self.ended)
    @rule(data=st.data())
    def the_end_is_said_again(self, data: st.DataObject) -> None:
        """The service tells an end twice, under another id."""
        chat = data.draw(st.sampled_from(sorted(self.ended)))
        self.write(Item(chat, f"end-again-{chat}", kind="Event"))

    @rule(chat=st.sampled_from(CHATS), seldom=st.integers(0, 5))
    def we_end(self, chat: str, seldom: int) -> None:
        """We end a chat; the service may never say so."""
        if seldom == 0 and not self.chats[chat].closing:
            self.state.ended(chat)
            self.chats[chat].closing = True
            self.last_closing = self.clock.monotonic()

    # What happens on the way.

    @rule(seconds=st.sampled_from([0.0, 0.1, 1.0, 90.0]) | st.floats(0, 5))
    def time_passes(self, seconds: float) -> None:
        """Nobody comes to poll for a while."""
        self.clock.advance(seconds)

    def tick(self, seconds: float) -> bool:
        """Wait until the poll is due and make it, which takes some seconds; false when the buffer is full."""
        full = any(len(chat.due) >= SMALL for chat in self.chats.values())
        assert self.state.feed.is_full == full
        wait = self.state.delay(searching=False)
        if full:
            assert wait == self.period
            return False
        assert wait == pytest.approx(max(0.0, self.due - self.clock.monotonic()), abs=1e-5)
        self.clock.advance(wait + seconds)
        return True

    def answer(self) -> tuple[list[Item], str | None]:
        """What the server answers to a poll with our cursor."""
        if self.semantics == "history":
            return list(self.log), None
        if self.semantics == "cursor":
            return self.log[int(self.state.feed.cursor or 0) :], str(len(self.log))
        answer, self.unread = self.unread, []
        return answer, None

    def arrives(self, items: list[Item], cursor: str | None) -> None:
        """A reply arrives, and the next poll is planned: on the grid, later than now, at most a period away."""
        self.state.polled(Poll(tuple(event(item.wire()) for item in items), cursor))
        if self.failures:
            for chat in self.chats.values():
                chat.hear("back")
        self.failures = self.undecodable = 0
        for item in sorted(items, key=lambda item: item.is_end):
            for chat in self.chats.values():
                if item.chat in (chat.id, ""):
                    chat.arrives(item)
        for chat in self.chats.values():
            # The first reply after an end of ours may be to a poll sent before it.
            chat.replies_since_closing += chat.closing
            if chat.replies_since_closing >= 2:
                chat.reply_is_over()
        wait, now = self.state.pace.delay(self.clock.monotonic(), self.clock.uniform), self.clock.monotonic()
        assert 0 < wait <= self.period * 1.001 + 1e-5, "two polls without a pause, or a poll left out"
        periods = (now + wait - self.due) / self.period
        assert round(periods) >= 1
        assert periods == pytest.approx(round(periods), abs=1e-4), "off the grid"
        self.due = now + wait

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.3, 1.0, 3.0]) | st.floats(0, 70))
    def a_poll_works(self, seconds: float) -> None:
        """A reply comes."""
        if self.tick(seconds):
            self.replies.append(self.answer())
            self.arrives(*self.replies[-1])

    @rule(seconds=st.floats(0, 3))
    def a_poll_works_at_once(self, seconds: float) -> None:
        """The usual one, on a good network."""
        self.a_poll_works(seconds / 10)

    @precondition(lambda self: self.replies)
    @rule(data=st.data())
    def an_older_reply_comes_again(self, data: st.DataObject) -> None:
        """Something on the way answers in the service's place with what it has kept."""
        kept = data.draw(st.sampled_from(self.replies[-4:]))
        if self.tick(0.1):
            self.arrives(*kept)

    @rule(error=PASSING, share=st.floats(0, 1), reached=st.booleans(), seconds=st.floats(0, 12))
    def a_poll_fails(self, error: PuzzelChatError, share: float, reached: bool, seconds: float) -> None:
        """The request does not arrive, or its reply is lost, which under drain loses what was in it."""
        if (error is BAD and self.undecodable == 2) or not self.tick(seconds):
            return
        if reached:
            items, _ = self.answer()
            self.lost |= {(item.id, item.version) for item in items if self.semantics == "drain"}
        self.clock.share = share
        self.state.poll_failed(error)
        self.undecodable += error is BAD
        if not self.failures:
            for chat in self.chats.values():
                chat.hear("degraded")
            self.failing_since = self.clock.monotonic()
        if self.clock.monotonic() - max(self.failing_since, self.last_closing) >= LAST_WORDS_WITHIN:
            for chat in self.chats.values():
                chat.reply_is_over()
        self.failures += 1
        wait = self.state.pace.delay(self.clock.monotonic(), self.clock.uniform)
        asked = error.retry_after if isinstance(error, ApiError) else None
        bound = min(30.0, 2.0**self.failures)
        assert wait == pytest.approx(min(asked, 120.0) if asked else share * bound, abs=1e-5)
        self.due = self.clock.monotonic() + wait

    # What happens here.

    @rule(name=st.sampled_from(CHATS))
    def the_caller_comes_back(self, name: str) -> None:
        """What was handed out is handled, and the next one is given."""
        chat, one = self.chats[name], self.state.take(self.state.inbox(name))
        if chat.in_hand and chat.in_hand.kind == "end":
            chat.finished_for_good = True
        chat.in_hand = None
        if one is None:
            assert chat.due == []
            return
        assert Due.of(one) == chat.due[0]
        chat.in_hand = chat.due.pop(0)
        chat.finished = chat.finished or chat.in_hand.kind == "end"
        chat.told.append(chat.in_hand)

    @rule(name=st.sampled_from(CHATS))
    def the_caller_takes_all(self, name: str) -> None:
        """A caller that keeps up."""
        while self.chats[name].due:
            self.the_caller_comes_back(name)

    @rule(seldom=st.integers(0, 2))
    def the_process_is_killed(self, seldom: int) -> None:
        """Another process takes the session up; exactly what was in hand comes again."""
        if not seldom:
            self.kill()

    def kill(self) -> None:
        """Let another process take the session up."""
        for chat in self.chats.values():
            chat.crash()
        self.dead.append(self.state)
        self.clock.advance(LEASE)
        self.state = Plain.restored(self.parts, "s")
        self.paced()

    @precondition(lambda self: self.dead)
    @rule(seq=st.integers(1, 5))
    def the_dead_wake_up(self, seq: int) -> None:
        """A process that was only suspended goes on, and nothing that it does counts."""
        before, old = store_of(self.parts).load("s"), self.dead.pop()
        old.lease.journal("old", [Unread(seq=seq, raw=Item("a", "old").wire())])
        with pytest.raises(SessionInUse):
            old.catch_up()
        old.lease.acknowledge("a", seq, "old", "mark")
        for call in (old.check_lease, old.catch_up):
            with pytest.raises(SessionInUse):
                call()
        old.close()
        assert store_of(self.parts).load("s") == before

    def teardown(self) -> None:
        """In the end everything was told, in the service's order, and each end once and last."""
        if not hasattr(self, "state"):
            return
        try:
            nobodys = self.state.feed.inboxes.get(NOBODYS)
            assert nobodys is None or len(nobodys.unread) <= SMALL
            for _ in range(3):  # the first poll may find a buffer full, and an end of ours waits for two replies
                for name in CHATS:
                    self.the_caller_takes_all(name)
                self.a_poll_works(0.0)
            for chat in self.chats.values():
                self.the_caller_takes_all(chat.id)
                self.the_caller_comes_back(chat.id)
                self.compare(chat)
        finally:
            store_of(self.parts).close()

    def compare(self, chat: Chat) -> None:
        """Compare all that one chat's caller was told with all that the server wrote."""
        words = [due.id for due in chat.told if due.kind in ("new", "edit")]
        firsts = list(dict.fromkeys(words))
        wanted = list(dict.fromkeys(item.id for item in self.log if item.chat in (chat.id, "") and not item.is_end))
        lost = {name for name, _ in self.lost} | chat.passed_by
        assert [name for name in wanted if name not in lost and name not in firsts] == []
        if not lost:
            assert firsts == wanted
        ends = [place for place, due in enumerate(chat.told) if due.kind == "end"]
        assert (self.state.inbox(chat.id).life is Life.READ) == bool(ends)
        if chat.closing or (chat.id in self.ended and not lost):
            assert ends
        if ends:
            assert len({chat.told[place].id for place in ends}) == 1 or chat.closing
            assert chat.told[-1].kind == "end"


class FilePollingMachine(PollingMachine):
    """The same on a file."""

    def new_store(self) -> Store:
        """The store under test."""
        self.folder = tempfile.mkdtemp()
        return SQLiteStore(Path(self.folder) / "sessions.db")

    def teardown(self) -> None:
        """Also remove the file."""
        try:
            super().teardown()
        finally:
            if hasattr(self, "folder"):
                shutil.rmtree(self.folder)


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers that fill up within a few steps, and are not told about each time."""
    monkeypatch.setattr(_session.log, "disabled", True)
    monkeypatch.setattr(_inbox, "BUFFER", SMALL)


@pytest.mark.usefixtures("small_buffers")
@pytest.mark.parametrize("steps", TWICE)
@pytest.mark.parametrize("machine", [PollingMachine, FilePollingMachine], ids=["memory", "file"])
def test_every_message_arrives_once_in_order_and_the_end_last(machine: type[PollingMachine], steps: int) -> None:
    """10 000 steps in memory, 1000 on a file: losses, repeats, edits, late words, full buffers, killed processes."""
    run(machine, steps // 10 if machine is FilePollingMachine else steps)


def test_a_damaged_item_survives_two_kills_beside_an_end_in_hand() -> None:
    """An item that names no chat waits for one chat while the end of another is in hand; it outlives two processes."""
    machine = PollingMachine()
    machine.begin(semantics="history", period=1.0)
    machine.someone_ends(chat="a", late=False, seldom=0)
    machine.a_poll_works(seconds=0.0)
    machine.the_caller_comes_back(name="a")
    machine.someone_writes(chat="", kind="Text")
    machine.a_poll_works(seconds=0.0)
    machine.kill()
    machine.the_caller_takes_all(name="a")
    machine.kill()
    machine.the_caller_comes_back(name="b")
