"""A client of any kind in the time of one chat, behind the blocking client's names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any, Literal

from attrs import evolve

from blocking import Blocking, Loop
from puzzel_chat import AsyncPuzzelChat, PuzzelChat
from puzzel_chat._refresh import Keeper
from puzzel_chat._session import SessionState
from puzzel_chat._steps import Steps, Wait
from puzzel_chat._tokens import TokenSet
from puzzel_chat.sandbox import Sandbox
from soak.clock import SoakTime
from soak.taking import Taken, Taking

Kind = Literal["sync", "async", "loop", "fleet"]
KINDS: tuple[Kind, ...] = ("sync", "async", "loop", "fleet")
"""The two clients, and the asyncio one whose chats are taken by a `PollingLoop`, over httpx and the fast transport."""


@contextmanager
def client(kind: Kind, sandbox: Sandbox, time: SoakTime, **settings: Any) -> Iterator[tuple[Any, list[str]]]:
    """Give a client in the chat's own time, and a list that later names the tasks it left."""
    loop = Loop() if kind != "sync" else None
    taking = Taking(kind == "fleet", time) if kind in ("loop", "fleet") else None
    make = AsyncPuzzelChat if loop else PuzzelChat
    chat: Any = make(**sandbox.settings, **settings)
    chat._parts = evolve(chat._parts, clock=time)
    chat._session = partial(_settled, chat._session)
    given, tasks = _blocking(chat, loop, taking), list[str]()
    try:
        yield given, tasks
    finally:
        if loop and taking:
            loop.run(taking.polling.aclose())
        given.close()
        if loop:
            try:
                loop.stop()
            except AssertionError as left:
                tasks.append(str(left))


def _blocking(chat: Any, loop: Loop | None, taking: Taking | None) -> Any:
    if loop is None:
        return chat
    return Taken(loop, chat, taking) if taking else Blocking(loop, chat)


def _settled(session: Any, state: SessionState, runner: Any) -> Any:
    """Let each refresh land before the call that began it goes on, so that a run is the same every time."""
    current = state.keeper.current

    def then_landed(by: float = inf) -> Steps[TokenSet]:
        tokens = yield from current(by)
        if (flight := state.keeper.flight) is not None:
            yield Wait(flight.landed)
        return tokens

    object.__setattr__(state, "keeper", _Landing(state.keeper, then_landed))
    return session(state, runner)


class _Landing:
    """A keeper whose `current` is another."""

    def __init__(self, keeper: Keeper, current: Any) -> None:
        self.__dict__.update(keeper=keeper, current=current)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.keeper, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.keeper, name, value)
