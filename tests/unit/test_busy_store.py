"""A file that another process holds: an event loop goes on, nobody is told of what passes, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pytest
from attrs import evolve

from forking import in_a_fork
from hostile import Asked, Said, Service
from puzzel_chat import (
    AsyncConversation,
    AsyncPuzzelChat,
    Event,
    Life,
    PollingLoop,
    PuzzelChat,
    SQLiteStore,
    StoredConversation,
    StoreError,
    TokenSet,
    Unread,
    _sqlite,
)
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Secret
from puzzel_chat._store import PATIENCE
from puzzel_chat.testing import VirtualTime
from quick import quick_only
from waiting import until, until_async

SETTINGS: Any = {"base_url": "https://chat.example", "solution_id": "7", "poll_interval": 0.05}
TOKENS = TokenSet(access=Secret("a"), refresh=Secret("r"), obtained=1000.0)
HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.readline()
db.execute("ROLLBACK")
"""


class Centre:
    """A service in place of a transport: one new line of text per poll, and an end once it is told to."""

    def __init__(self) -> None:
        self.over = False
        self.count = 0
        self.operations: list[str] = []

    def said(self, operation: str) -> dict[str, Any]:
        """The answer to a call."""
        self.operations.append(operation)
        said: dict[str, Any] = {"id": "27504", "isOpen": True, "status": "Assigned"}
        if operation == "connectToken":
            number = self.operations.count("connectToken")
            said = {"access_token": f"a{number}", "refresh_token": f"r{number}", "expires_in": 600}
        elif operation == "pollConversation":
            self.count += 1
            one = {"type": "Text", "id": str(self.count), "conversationId": "a", "version": 1, "content": "Hello"}
            one |= {"sentAt": "2026-01-05T09:00:00Z", "author": {"role": 1}}
            end = {"type": "Event", "event": "ConversationEnded", "endedBy": 1}
            said = {"messages": [one | (end if self.over else {})], "cursor": self.count}
        return said

    def heard(self, asked: Asked) -> Said:
        """Answer a request that came over HTTP."""
        if asked.path.startswith("/connect"):
            return Said(self.said("connectToken"))
        polls = asked.path.partition("?")[0] == "/api/conversation"
        return Said(self.said("pollConversation" if polls else "another"))

    def answer(self, request: Request) -> Reply:
        """Answer a request in place of a transport."""
        body = json.dumps(self.said(request.operation)).encode()
        return Reply(status=200, headers={"content-type": "application/json"}, body=body)

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Answer a caller that blocks."""
        return self.answer(request)

    def close(self) -> None:
        """Do nothing."""


class AsyncCentre(Centre):
    """The same for the awaiting client."""

    async def send(  # type: ignore[override]  # a transport of the other client
        self, request: Request, access: str | None, within: float | None = None
    ) -> Reply:
        """Answer."""
        return self.answer(request)

    async def aclose(self) -> None:
        """Do nothing."""


def client(kind: Any, store: SQLiteStore, clock: VirtualTime | None = None) -> Any:
    """A client of either kind that talks to such a service."""
    chat = kind(**SETTINGS, store=store)
    chat._transport = Centre() if kind is PuzzelChat else AsyncCentre()
    if clock is not None:
        chat._parts = evolve(chat._parts, clock=clock)
    return chat


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    """A store in a file."""
    made = SQLiteStore(tmp_path / "chats.db")
    yield made
    made.close()


@contextmanager
def held(path: Path) -> Iterator[IO[bytes]]:
    """Let another process have the file for itself; a line that is given to it frees the file."""
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield process.stdin
        finally:
            process.communicate(b"\n")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let another connection have the file for itself."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        db.execute("ROLLBACK")
        db.close()


@pytest.fixture
def stood(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads that the store let stand, one for each short pause."""
    pauses: list[threading.Thread] = []

    def sleep(seconds: float) -> None:
        pauses.append(threading.current_thread())
        time.sleep(seconds)

    monkeypatch.setattr(_sqlite, "sleep", sleep)
    return pauses


def whole(told: list[str], store: SQLiteStore, session_id: str) -> None:
    """Hold what was told, and what was written down, against what the service said."""
    assert told == [str(number) for number in range(1, len(told) + 1)]
    kept = store.load(session_id)
    if kept is not None:
        assert kept.unread == {}
        assert [item_id for item_id, _ in kept.seen["a"]] == told
        assert kept.conversations["a"].life is Life.READ


@pytest.mark.parametrize("reader", quick_only(["events", "fleet"], ["events", "poll", "loop", "fleet"]))
def test_a_loop_goes_on_while_another_process_has_the_file(
    store: SQLiteStore, stood: list[threading.Thread], reader: str
) -> None:
    """It never stands still; what came is given to its reader when it is written down."""
    told: list[str] = []

    async def read(conversation: AsyncConversation) -> None:
        if reader == "events":
            async for event in conversation.events():
                told.append(event.id)
        elif reader == "poll":
            while not conversation.ended:
                told.extend([event.id for event in await conversation.session.poll()])
            await conversation.session.poll()
        else:
            over = asyncio.Event()

            async def handle(_: AsyncConversation, event: Event) -> None:
                told.append(event.id)
                if conversation.ended:
                    over.set()

            async with PollingLoop(fast=reader == "fleet") as loop:
                loop.add(conversation, handle)
                await over.wait()
                await until_async(lambda: loop.stats().conversations == 0)

    centre = Centre()

    async def main(base_url: str) -> str:
        chat = AsyncPuzzelChat(**{**SETTINGS, "base_url": base_url}, store=store)
        session = await chat.connect()
        conversation = session.conversation("a")
        await conversation.route("q_support")
        reading = asyncio.create_task(read(conversation))
        await until_async(lambda: len(told) > 3)
        before, turns = len(told), 0
        with held(store.path):
            stood.clear()
            while turns < 500:
                await asyncio.sleep(0.001)
                turns += 1
            assert stood
            assert threading.main_thread() not in stood
            assert len(told) <= before + 10, "only what was written down"
            assert not reading.done()
            during = len(told)
        await until_async(lambda: len(told) > during + 3)
        centre.over = True
        await reading
        await chat.aclose()
        return str(session.id)

    with Service(centre.heard) as service:
        session_id = asyncio.run(main(service.base_url))
    whole(told, store, session_id)


def test_threads_wait_for_the_file(store: SQLiteStore, stood: list[threading.Thread]) -> None:
    """A client that blocks waits as long as it takes, up to ten seconds, and tells nobody."""
    told: list[str] = []
    chat = client(PuzzelChat, store)
    session = chat.connect()
    conversation = session.conversation("a")
    conversation.route("q_support")

    def read() -> None:
        told.extend(event.id for event in conversation.events())

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        until(lambda: chat._transport.count > 3)
        with held(store.path):
            count, before = chat._transport.count, len(stood)
            until(lambda: len(stood) > before + 300)
            assert chat._transport.count <= count + 2, "it waits"
        chat._transport.over = True
        reading.result(timeout=60)
    chat.close()
    whole(told, store, session.id)


def test_what_begins_while_another_process_has_the_file_waits(
    store: SQLiteStore, stood: list[threading.Thread]
) -> None:
    """A session is opened, and an agent asked for, once that can be written down; nothing is sent before."""

    async def main() -> None:
        chat = client(AsyncPuzzelChat, store)
        with held(store.path):
            connecting = asyncio.create_task(chat.connect())
            for _ in range(300):
                await asyncio.sleep(0.001)
            assert not connecting.done()
        session = await connecting
        with held(store.path):
            routing = asyncio.create_task(session.conversation("a").route("q_support"))
            for _ in range(300):
                await asyncio.sleep(0.001)
            assert "routeConversation" not in chat._transport.operations
        await routing
        assert [one.life for one in store.conversations(session.id).values()] == [Life.OPEN]
        assert chat._transport.operations.count("connectToken") == 1
        await session.conversation("a").end()
        await chat.aclose()

    asyncio.run(main())
    assert stood
    assert threading.main_thread() not in stood


def test_a_refresh_while_another_process_has_the_file_waits(store: SQLiteStore) -> None:
    """Nobody refreshes without the right to it, and a new token is written down before anybody has it."""

    async def main() -> None:
        clock = VirtualTime()
        chat = client(AsyncPuzzelChat, store, clock)
        session = await chat.connect()
        clock.advance(601)
        acquire, save = store.acquire, store.save_tokens
        tries: list[str] = []

        def busy_at_first(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
            def tried(*arguments: Any) -> Any:
                tries.append(name)
                if tries.count(name) < 4:
                    error = StoreError("Another process has it.")
                    error.retryable = True
                    raise error
                if name == "save":
                    assert session._state.keeper.life.tokens.generation == 1
                return method(*arguments)

            return tried

        store.acquire = busy_at_first("acquire", acquire)  # type: ignore[method-assign]
        store.save_tokens = busy_at_first("save", save)  # type: ignore[method-assign]
        assert (await session.queue_info("27504")).is_open
        assert tries == ["acquire"] * 4 + ["save"] * 4
        assert chat._transport.operations.count("connectToken") == 2
        tokens = store.tokens(session.id)
        assert tokens is not None
        assert (tokens.generation, tokens.refresh) == (2, "r2")
        assert acquire(session.id, "refresh", "another", clock.now().wall, 40.0) == "another"
        await chat.aclose()

    asyncio.run(main())


@pytest.mark.parametrize("kind", [PuzzelChat, AsyncPuzzelChat], ids=["sync", "async"])
def test_a_file_that_is_never_given_back_is_told_once(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    """After ten seconds the reader hears of it, and then the chat goes on; free again, the file gets all of it."""
    monkeypatch.setattr(_sqlite, "PATIENCE", 0.0)
    clock = VirtualTime()

    async def main() -> None:
        chat = client(kind, store, clock)

        async def done(value: Any) -> Any:
            return value if kind is PuzzelChat else await value

        session = await done(chat.connect())
        conversation = session.conversation("a")
        await done(conversation.route("q_support"))
        events = conversation.events()

        async def following() -> str | None:
            event = next(events, None) if kind is PuzzelChat else await anext(events, None)
            return None if event is None else str(event.id)

        assert [await following() for _ in range(2)] == ["1", "2"]
        with locked(store.path):
            began = clock.monotonic()
            with pytest.raises(StoreError, match=r"Another process has it; try again\..*call again and"):
                await following()
            assert PATIENCE <= clock.monotonic() - began < PATIENCE + 1
            events = conversation.events()
            assert [await following() for _ in range(3)] == ["3", "4", "5"]
        assert [await following() for _ in range(3)] == ["6", "7", "8"]
        kept = store.load(session.id)
        assert kept is not None
        assert [item_id for item_id, _ in kept.seen["a"]] == [str(number) for number in range(1, 8)]
        chat._transport.over = True
        while await following():
            pass
        await done(chat.close() if kind is PuzzelChat else chat.aclose())

    asyncio.run(main())


def test_a_closing_session_waits_for_the_file(store: SQLiteStore) -> None:
    """What is not written yet when it closes is written within the five seconds that closing takes, or given up."""

    async def main() -> tuple[str, bool]:
        chat = client(AsyncPuzzelChat, store)
        session = await chat.connect()
        conversation = session.conversation("a")
        await conversation.route("q_support")
        tries = 0
        journal = store.journal

        def busy_at_first(*arguments: Any) -> bool:
            nonlocal tries
            tries += 1
            if tries < 5:
                error = StoreError("Another process has it.")
                error.retryable = True
                raise error
            return journal(*arguments)

        store.journal = busy_at_first  # type: ignore[method-assign, assignment]
        reading = asyncio.create_task(anext(conversation.events()))
        await until_async(lambda: tries > 0)
        await chat.aclose()
        with suppress(Exception):
            await reading
        return str(session.id), tries >= 5

    session_id, written = asyncio.run(main())
    assert written
    kept = store.load(session_id)
    assert kept is not None
    assert [item.raw["id"] for item in kept.unread.values()][:1] == ["1"]


def test_reading_does_not_wait_for_a_writer(store: SQLiteStore, stood: list[threading.Thread]) -> None:
    """What only looks goes on beside a process that writes: tokens, chats, the list of sessions, all of a session."""
    store.save_tokens("s", TOKENS)
    store.save_conversation("s", StoredConversation(id="a"))
    db = sqlite3.connect(store.path, isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM session")
    assert store.tokens("s") == TOKENS
    assert list(store.conversations("s")) == ["a"]
    assert store.load("s") is not None
    assert store.sessions(0.0, 60.0) == {"s": False}
    assert stood == []
    db.execute("COMMIT")
    db.close()
    assert store.tokens("s") is None


def test_a_thread_that_waits_for_the_file_holds_up_no_loop(store: SQLiteStore, stood: list[threading.Thread]) -> None:
    """The store's own lock is free meanwhile: a loop in another thread reads what is there, and does not wait."""
    store.save_tokens("s", TOKENS)

    async def on_a_loop() -> None:
        chat = client(AsyncPuzzelChat, store)
        assert [(one.id, one.conversations) for one in await chat.sessions()] == [("s", ())]
        await chat.aclose()
        assert threading.main_thread() not in stood

    with ThreadPoolExecutor(1) as pool:
        with locked(store.path):
            waiting = pool.submit(store.save_conversation, "s", StoredConversation(id="a"))
            until(lambda: len(stood) > 5)
            asyncio.run(on_a_loop())
            assert not waiting.done()
        waiting.result(timeout=60)
    assert list(store.conversations("s")) == ["a"]


def side_by_side(processes: int, work: Callable[[int], object]) -> list[int]:
    """Let forked processes do something at the same moment; give their exit codes."""
    down, children = os.pipe(), []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.read(down[0], 1)
                work(number)
                code = 0
            except BaseException as error:
                print(f"in a child: {type(error).__name__}: {error}", file=sys.stderr)
            finally:
                os._exit(code)
        children.append(pid)
    os.write(down[1], b"x" * processes)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    for end in down:
        os.close(end)
    return codes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("rounds", quick_only([2], [2, 200]))
def test_one_file_is_created_by_several_processes_at_once(tmp_path: Path, rounds: int) -> None:
    """Each of them gets it, and what each of them writes is there."""
    for turn in range(rounds):
        path = tmp_path / f"{turn}.db"

        def work(number: int, path: Path = path) -> None:
            made = SQLiteStore(path)
            made.save_tokens(str(number), TOKENS)
            made.close()

        assert side_by_side(6, work) == [0] * 6
        made = SQLiteStore(path)
        assert sorted(made.sessions(0.0, 60.0)) == [str(number) for number in range(6)]
        made.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("writes", quick_only([40], [40, 1000]))
def test_processes_that_write_hard_are_told_of_nothing(tmp_path: Path, writes: int) -> None:
    """Ordinary contention, each transaction of which is short, is nobody's error, and every write is there."""
    path = tmp_path / "chats.db"
    SQLiteStore(path).close()

    def work(number: int) -> None:
        made, me = SQLiteStore(path), f"{number}"
        made.save_tokens(me, TOKENS)
        assert made.acquire(me, "poll", me, 0.0, 60.0) == me
        for turn in range(1, writes + 1):
            assert made.journal(me, me, str(turn), [Unread(seq=turn, raw={"id": turn})])
            assert made.renew(me, "poll", me, 0.0, 60.0)
            if turn % 2:
                assert made.acknowledge(me, me, "a", turn, str(turn), "1:m")
        made.close()

    assert side_by_side(6, work) == [0] * 6
    made = SQLiteStore(path)
    for number in range(6):
        found = made.load(str(number))
        assert found is not None
        assert list(found.unread) == list(range(2, writes + 1, 2))
        assert len(found.seen["a"]) == (writes + 1) // 2
    made.close()


def test_a_child_has_its_own_patience(store: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked child opens the file for itself, also while another process has it: it waits, as its parent does."""
    with held(store.path) as holder:

        def freed(seconds: float) -> None:
            holder.write(b"\n")
            holder.flush()
            monkeypatch.setattr(_sqlite, "sleep", time.sleep)

        def work() -> None:
            monkeypatch.setattr(_sqlite, "sleep", freed)
            store.save_tokens("child", TOKENS)

        assert in_a_fork(work) == 0
        assert store.tokens("child") == TOKENS


def test_what_waited_in_vain_is_not_waited_for_again(
    store: SQLiteStore, stood: list[threading.Thread], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten seconds each would add up where calls queue up; once the file was free, it is waited for as before."""
    with held(store.path):
        for patience in (0.0, PATIENCE):
            monkeypatch.setattr(_sqlite, "PATIENCE", patience)
            with pytest.raises(StoreError):
                store.save_tokens("s", TOKENS)
        assert stood == []
    store.save_tokens("s", TOKENS)
    with ThreadPoolExecutor(1) as pool, held(store.path):
        waiting = pool.submit(store.save_conversation, "s", StoredConversation(id="a"))
        until(lambda: len(stood) > 5)
        assert not waiting.done()
    waiting.result()
