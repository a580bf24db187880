"""Processes that hold a chat and are killed: one warm process that forks them, kills them and looks at what is left.

Run as `python -m soak.mortal` with its `Lane` as JSON. It asks on standard output ("end CHAT") for the agent of a chat
to end it, and waits for an answer; all else goes into one file of notes per chat.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import mmap
import os
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from random import Random
from typing import Any

from attrs import frozen

from puzzel_chat import (
    AsyncConversation,
    AsyncPuzzelChat,
    ConversationClosed,
    ConversationEnded,
    Event,
    MessageEdited,
    PollingLoop,
    PuzzelChat,
    SessionNotFound,
    SQLiteStore,
    is_message,
)
from puzzel_chat._async_transport import AsyncTransport
from puzzel_chat._fleet._polled import Handler
from puzzel_chat._session import SessionState
from puzzel_chat._transport import Transport
from puzzel_chat.sandbox import SandboxSettings

WHERE = ("start", "end", "route", "send", "token", "status", "poll")
START, END, ROUTE, SEND, TOKEN, STATUS, POLL = range(len(WHERE))
MOMENTS = mmap.mmap(-1, len(WHERE))
"""How often a forked process is doing each of these just now: bytes that its parent sees too."""
NOTHING = "between calls"
KILLED, SENDS_EVERY, PATIENCE = "killed", 4, 30.0


@frozen
class Lane:
    """The chats of one kind that one process holds after each other."""

    settings: SandboxSettings
    folder: str
    kind: str
    semantics: str
    chats: int
    kills: int
    seed: str


class Notes:
    """What a chat's processes write down, one line each; a line that was written outlives them."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, line: str) -> None:
        """Write one line in one piece."""
        with self.path.open("a") as file:
            file.write(f"{line}\n")

    def lines(self) -> list[str]:
        """Give what was written."""
        return self.path.read_text().splitlines() if self.path.exists() else []

    def count(self, word: str) -> int:
        """Count the lines that begin with a word."""
        return sum(line.partition(" ")[0] == word for line in self.lines())


def watch() -> None:
    """Let `MOMENTS` tell what the process is doing; a poll lasts until what it brought is written down."""
    SessionState._poll = _within(SessionState._poll, lambda *_: POLL)  # type: ignore[method-assign]
    for transport in (Transport, AsyncTransport):
        transport.send = _within(transport.send, lambda _, request, *__: _moment(request.path))  # type: ignore


def _within(method: Any, moment: Any) -> Any:
    @contextmanager
    def doing(*args: Any) -> Iterator[None]:
        what = moment(*args)
        if what is not None:
            MOMENTS[what] += 1
        try:
            yield
        finally:
            if what is not None:
                MOMENTS[what] -= 1

    def blocking(*args: Any) -> Any:
        with doing(*args):
            return method(*args)

    async def awaited(*args: Any) -> Any:
        with doing(*args):
            return await method(*args)

    def stepped(*args: Any) -> Any:
        with doing(*args):
            return (yield from method(*args))

    if inspect.isgeneratorfunction(method):
        return stepped
    return awaited if inspect.iscoroutinefunction(method) else blocking


def _moment(path: str) -> int | None:
    """Tell an endpoint by a word of its path; None for the poll, whose moment is longer than its request."""
    words = {"token": TOKEN, "route": ROUTE, "requestStatus": STATUS, "message": SEND, "end": END}
    return next((words[part] for part in path.split("/") if part in words), None)


def live(lane: Lane, name: str, store: Path, notes: Notes, over: bool) -> None:
    """Hold the chat, blocking: take up the session of the store or open one, and note each event once handled."""
    known = kept(store)
    with PuzzelChat(**lane.settings, poll_interval=0.05, store=SQLiteStore(store)) as chat:
        MOMENTS[START] = 0
        session = chat.resume(known) if known else chat.connect()
        conversation = session.conversation(name)
        if not conversation.ended and not notes.count("told"):
            conversation.route("support")  # again, when a killed process may have asked already
            conversation.wait_for_agent(30)
        if over and not conversation.ended:
            conversation.end()
        for number, event in enumerate(conversation.events()):
            note(notes, event)
            if number % SENDS_EVERY == SENDS_EVERY - 1 and not conversation.ended:
                words = sending(notes)
                try:
                    notes.add(f"sent {conversation.send(words).text}")
                except ConversationClosed:
                    pass


async def live_async(lane: Lane, name: str, store: Path, notes: Notes, over: bool) -> None:
    """The same, awaiting."""
    known = kept(store)
    async with AsyncPuzzelChat(**lane.settings, poll_interval=0.05, store=SQLiteStore(store)) as chat:
        MOMENTS[START] = 0
        session = await (chat.resume(known) if known else chat.connect())
        conversation = session.conversation(name)
        if not conversation.ended and not notes.count("told"):
            await conversation.route("support")
            await conversation.wait_for_agent(30)
        if over and not conversation.ended:
            await conversation.end()
        number = 0
        async for event in conversation.events():
            note(notes, event)
            number += 1
            if number % SENDS_EVERY == 0 and not conversation.ended:
                words = sending(notes)
                try:
                    notes.add(f"sent {(await conversation.send(words)).text}")
                except ConversationClosed:
                    pass


async def live_in_loop(lane: Lane, names: list[str], folder: Path, over: bool) -> None:
    """Hold all chats of a lane in one loop: take up every session of the store, and open those that are missing."""
    notes = {name: Notes(folder / f"{name}.notes") for name in names}
    fast = lane.kind == "fleet"
    # Where no process is killed during a poll, there must be moments without one.
    interval = 0.25 if lane.semantics == "drain" else 0.05

    async def handle(conversation: AsyncConversation, event: Event) -> None:
        note(notes[conversation.id], event)
        await asyncio.sleep(0.01)  # in hand, when the process is killed now

    def failed(conversation: AsyncConversation, error: Exception) -> None:
        notes[conversation.id].add(f"failed {type(error).__name__} {error}")

    async with (
        AsyncPuzzelChat(**lane.settings, poll_interval=interval, store=SQLiteStore(folder / f"{lane.kind}.db")) as chat,
        PollingLoop(fast=fast, on_failure=failed) as loop,
    ):
        MOMENTS[START] = 0
        await asyncio.gather(*(_joins(chat, loop, name, notes[name], over, handle) for name in names))
        while loop.stats().conversations:  # also after the last event: that it was handled is written first
            await asyncio.sleep(0.01)


async def _joins(
    chat: AsyncPuzzelChat, loop: PollingLoop, name: str, notes: Notes, over: bool, handle: Handler
) -> None:
    known = next((line[8:] for line in reversed(notes.lines()) if line.startswith("session ")), None)
    try:
        session = await (chat.resume(known) if known else chat.connect())
    except SessionNotFound:
        return  # handled to its end, and forgotten
    if not known:
        notes.add(f"session {session.id}")
    conversation = session.conversation(name)
    if not conversation.ended and not notes.count("told"):
        with suppress(ConversationClosed):  # ended by a process that was killed before it noted that
            await conversation.route("support")
    if over and not conversation.ended:
        await conversation.end()
    try:
        loop.add(conversation, handle)
    except ConversationClosed:
        await session.aclose()


def note(notes: Notes, event: Event) -> None:
    """Write down an event that was handled."""
    if is_message(event) or isinstance(event, MessageEdited):
        notes.add(f"told {event.id} {event.version}")
    elif isinstance(event, ConversationEnded):
        notes.add("told end 0")


def sending(notes: Notes) -> str:
    """Choose the next words that nobody has tried to send before, and note them first."""
    words = f"line-{notes.count('sending')}"
    notes.add(f"sending {words}")
    return words


def kept(store: Path) -> str | None:
    """Give the id of the session that the file holds; looked up before any store has it open in this process."""
    with closing(sqlite3.connect(copied(store))) as db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name='session'").fetchone() is None:
            return None
        row = db.execute("SELECT id FROM session").fetchone()
    return str(row[0]) if row else None


def copied(store: Path) -> Path:
    """Copy the file and its log as they are, so that the next process meets what the killed one left."""
    copy = store.with_suffix(".copy")
    for end in ("", "-wal", "-shm"):
        Path(f"{copy}{end}").unlink(missing_ok=True)
    for end in ("", "-wal"):
        if Path(f"{store}{end}").exists():
            shutil.copyfile(f"{store}{end}", f"{copy}{end}")
    return copy


def is_whole(store: Path) -> bool:
    """Tell whether SQLite finds nothing wrong with what a killed process left."""
    try:
        with closing(sqlite3.connect(copied(store))) as db:
            return [row[0] for row in db.execute("PRAGMA integrity_check")] == ["ok"]
    except sqlite3.Error:
        return False


def has_ended(pid: int) -> bool:
    """Tell whether a process of ours has ended, and leave it to be waited for."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


class Nursery:
    """Forks the processes of one lane, and ends them."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.random = Random(lane.seed)
        self.hit: Counter[str] = Counter()
        self.damaged = 0

    def run(self) -> dict[str, Any]:
        """Hold every chat to its end; those of a loop all at once."""
        if self.lane.kind in ("loop", "fleet"):
            self.hold_all([f"{self.lane.kind}-{number}" for number in range(self.lane.chats)])
            return {"kind": self.lane.kind, "hit": dict(self.hit), "damaged": self.damaged}
        for number in range(self.lane.chats):
            self.hold(f"{self.lane.kind}-{number}", ended_by_agent=number % 2 == 0)
        return {"kind": self.lane.kind, "hit": dict(self.hit), "damaged": self.damaged}

    def hold(self, name: str, ended_by_agent: bool) -> None:
        """One chat: killed in its start, in its middle and at its end, and then left alone."""
        store, notes = Path(self.lane.folder, f"{name}.db"), Notes(Path(self.lane.folder, f"{name}.notes"))
        last = max(1, self.lane.kills // 4)
        for left in range(self.lane.kills, 0, -1):
            over = left <= last and bool(notes.count("told"))
            if over and ended_by_agent:
                self.ask_for_the_end(name)
            pid = self.born(name, store, notes, over and not ended_by_agent)
            self.kill(pid, self.random.uniform(0.0, 0.1 if over or left == self.lane.kills else 0.25), [notes])
            self.damaged += store.exists() and not is_whole(store)
        if ended_by_agent:
            pid = self.born(name, store, notes, False)
            self.until(lambda: bool(notes.count("told")) or has_ended(pid))
            self.ask_for_the_end(name)
            self.wait(pid)
        else:
            self.wait(self.born(name, store, notes, True))

    def hold_all(self, names: list[str]) -> None:
        """All chats in one loop, killed as often as the lane says, ended by the customer, and then left alone."""
        folder = Path(self.lane.folder)
        store, notes = folder / f"{self.lane.kind}.db", [Notes(folder / f"{name}.notes") for name in names]
        last = max(1, self.lane.kills // 4)
        for left in range(self.lane.kills, 0, -1):
            over = left <= last
            pid = self.forked(lambda over=over: asyncio.run(live_in_loop(self.lane, names, folder, over)), notes)  # type: ignore[misc]
            self.kill(pid, self.random.uniform(0.0, 0.35), notes)
            self.damaged += store.exists() and not is_whole(store)
        self.wait(self.forked(lambda: asyncio.run(live_in_loop(self.lane, names, folder, True)), notes))

    def forked(self, work: Callable[[], object], notes: list[Notes]) -> int:
        """Fork a process that does some work and notes how it came out."""
        MOMENTS[:] = bytes([1, *bytes(len(WHERE) - 1)])
        pid = os.fork()
        if pid:
            return pid
        told = "finished"
        try:
            work()
        except BaseException as error:
            told = f"failed {type(error).__name__} {error}"
        for one in notes:
            one.add(told)
        os._exit(0)

    def born(self, name: str, store: Path, notes: Notes, over: bool) -> int:
        """Fork a process that lives through the chat; nothing of the library was used here before."""
        MOMENTS[:] = bytes([1, *bytes(len(WHERE) - 1)])
        pid = os.fork()
        if pid:
            return pid
        code = 1
        try:
            if "told end 0" in notes.lines() and kept(store) is None:
                pass  # handled to its end, and forgotten, by a process that was killed before it could say so
            elif self.lane.kind == "sync":
                live(self.lane, name, store, notes, over)
            else:
                asyncio.run(live_async(self.lane, name, store, notes, over))
            notes.add("finished")
            code = 0
        except BaseException as error:
            notes.add(f"failed {type(error).__name__} {error}")
        finally:
            os._exit(code)

    def kill(self, pid: int, after: float, notes: list[Notes]) -> None:
        """End a process without warning; where a poll takes messages away, not while one is under way."""
        if self.random.random() < 0.9:
            self.until(lambda: not MOMENTS[START] or has_ended(pid))
        time.sleep(after)
        os.kill(pid, signal.SIGSTOP)
        while self.lane.semantics == "drain" and MOMENTS[POLL]:
            os.kill(pid, signal.SIGCONT)
            time.sleep(0.002)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.0005)
        if not has_ended(pid):
            doing = [word for word, times in zip(WHERE, MOMENTS[:], strict=True) if times]
            self.hit[doing[0] if doing else NOTHING] += 1
            for one in notes:
                one.add(KILLED)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def wait(self, pid: int) -> None:
        """See a process out; one that does not come to an end is ended, and the chat's missing lines tell."""
        self.until(lambda: has_ended(pid))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something that must happen soon."""
        deadline = time.monotonic() + PATIENCE
        while not condition() and time.monotonic() < deadline:
            time.sleep(0.002)

    def ask_for_the_end(self, name: str) -> None:
        """Have the agent end the chat."""
        print(f"end {name}", flush=True)
        sys.stdin.readline()


def main() -> None:
    """Run the lane that the first line of standard input describes."""
    watch()
    lane = Lane(**json.loads(sys.stdin.readline()))
    print(f"done {json.dumps(Nursery(lane).run())}", flush=True)


if __name__ == "__main__":
    main()
