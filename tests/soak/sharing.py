"""One of the processes that use a stored session, and the board on which they and the driver see each other."""

from __future__ import annotations

import asyncio
import logging
import time
from ctypes import c_double, c_long
from multiprocessing.context import SpawnContext
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from attrs import evolve, frozen

from puzzel_chat import AsyncPuzzelChat, PuzzelChat, PuzzelChatError, SQLiteStore
from puzzel_chat._clock import Clock
from puzzel_chat._http import Request
from puzzel_chat._refresh import Refresh
from puzzel_chat._tokens import Now, TokenSet
from puzzel_chat.sandbox import Sandbox, SandboxSettings

CHAT = "shared"
CALLS = ("queue", "hours", "allocation", "typing")


@frozen
class Board:
    """Shared memory without any lock, for one of its readers may be killed: the time, and what each process did."""

    time: Any
    stop: Any
    calls: Any
    failed: Any
    refreshes: Any
    sending: Any

    @classmethod
    def new(cls, context: SpawnContext, processes: int, seconds: float) -> Board:
        """Give a board on which it is that time."""
        counts = (context.RawArray(c_long, processes) for _ in range(4))
        return cls(context.RawValue(c_double, seconds), context.RawValue(c_long, 0), *counts)


class BoardTime(Clock):
    """The time of the board on both clocks; waits take real time."""

    def __init__(self, board: Board) -> None:
        """Keep the board."""
        self._board = board

    def now(self) -> Now:
        """Give the present moment."""
        return Now(self._board.time.value, self._board.time.value)

    def monotonic(self) -> float:
        """Give the monotonic time."""
        return float(self._board.time.value)


@frozen
class Place:
    """Where one process works: its number, the service, the store, and a file for what failed."""

    number: int
    settings: SandboxSettings
    store: Path
    session_id: str
    seed: int

    @property
    def notes(self) -> Path:
        """The file for what failed."""
        return self.store.with_name(f"failed-{self.number}")


def share(place: Place, board: Board) -> None:
    """Take the session up and call until told to stop; every second process with the awaiting client."""
    logging.getLogger("puzzel_chat").setLevel(logging.ERROR)  # its warnings would hide the progress
    _watch(place.number, board)
    if place.number % 2:
        asyncio.run(_awaiting(place, board))
    else:
        _blocking(place, board)


def client(kind: Any, place: Place, board: Board) -> Any:
    """Give a client of either kind that lives in the board's time."""
    chat = kind(**place.settings, store=SQLiteStore(place.store))
    chat._parts = evolve(chat._parts, clock=BoardTime(board))
    return chat


def _watch(number: int, board: Board) -> None:
    """Tell on the board when a refresh token of this process is on its way, and what came of it."""
    request, ended = Refresh.request, Refresh.ended

    def begins(refresh: Refresh) -> Request:
        board.sending[number] = 1
        return request(refresh)

    def ends(refresh: Refresh, came: TokenSet | BaseException) -> None:
        board.refreshes[number] += bool(board.sending[number]) and isinstance(came, TokenSet)
        board.sending[number] = 0
        ended(refresh, came)

    patch.multiple(Refresh, request=begins, ended=ends).start()


def _blocking(place: Place, board: Board) -> None:
    random = Random(f"{place.seed}-{place.number}")
    with client(PuzzelChat, place, board) as chat:
        session = chat.resume(place.session_id, shared=True)
        while not board.stop.value:
            try:
                _call(session, random.choice(CALLS))
            except PuzzelChatError as error:
                _note(place, board, error)
            board.calls[place.number] += 1
            time.sleep(random.uniform(0, 0.01))


async def _awaiting(place: Place, board: Board) -> None:
    random = Random(f"{place.seed}-{place.number}")
    async with client(AsyncPuzzelChat, place, board) as chat:
        session = await chat.resume(place.session_id, shared=True)
        while not board.stop.value:
            try:
                await _call(session, random.choice(CALLS))
            except PuzzelChatError as error:
                _note(place, board, error)
            board.calls[place.number] += 1
            await asyncio.sleep(random.uniform(0, 0.01))


def _call(session: Any, name: str) -> Any:
    """Make a call that does not poll; with the awaiting client, give what is to be awaited."""
    if name == "queue":
        return session.queue_info(Sandbox.visual_queue_id)
    if name == "hours":
        return session.time_info("support-hours")
    conversation = session.conversation(CHAT)
    return conversation.allocation() if name == "allocation" else conversation.typing()


def _note(place: Place, board: Board, error: PuzzelChatError) -> None:
    board.failed[place.number] += 1
    with place.notes.open("a") as file:
        file.write(f"{type(error).__name__}: {error}\n")
