"""`Sandbox`: the simulated contact centre as Python sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from importlib.util import find_spec
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ._agents import Script
from ._desk import Desk
from ._faults import Fault, Plan
from ._floor import FloorSettings
from ._play import AgentHandle
from ._tokens import TokenSettings
from ._values import NOTICE, SEMANTICS, Entry, Semantics, Stats, Watcher
from ._world import WorldSettings, known_script

if TYPE_CHECKING:
    from ._server import Server

INSTALL = 'the sandbox needs starlette and uvicorn: pip install "puzzel-chat[sandbox]"'


class Sandbox:
    """A local contact centre that answers the chat API over HTTP: the bundled simulator, not Puzzel.

    Use it as a context manager, or call `start` and `close`. Times are in seconds.

    Args:
        script: how the agents behave: a name of `SCRIPTS`, or a `Script`.
        semantics: what a poll means: "history", "cursor" or "drain".
        port: 0 picks a free one.
        solution_id: what a client gives as its solution id; `client_id` is the same unless set.
        client_secret: None asks for none.
        token_life: until an access token dies; below one second `expires_in` still says 1.
        token_promise: what `expires_in` says; None for the truth.
        refresh_life: until a refresh token dies, None for never.
        rotation: whether a refresh spends the refresh token. Using a spent one revokes the session.
        reuse_grace: how long the last spent refresh token gets the same reply again.
        pace: the unit of every delay of the simulation; 0 makes everything happen at the next request.
        ahead: simulated customers before each caller, served one per pace.
        waiting: others who fill the queue without standing before the caller.
        capacity: how many requests a queue holds.
        agents: staff per queue. chats_per_agent: None for no limit.
        offer_timeout: life of an unanswered offer; None is never for "manual", else four paces.
        max_wait: until a request expires; None for never.
        messages, interval: how many messages the script "chatty" sends, and how far apart.
        seed: of the tokens and of faults with a rate.
        clock: seconds since the epoch. sleep: how a fault that takes time waits, in the time of that clock.
        faults: what goes wrong from the start.
        on_event: is given each `Happening`, in order, outside of the simulator's lock.

    Raises:
        ImportError: the extra `[sandbox]` is not installed.
        ValueError: no such script or semantics.
        OSError: the port is taken.

    """

    queue_id = "support"

    def __init__(
        self,
        script: str | Script = "helpful",
        *,
        semantics: Semantics = "cursor",
        port: int = 0,
        solution_id: str = "12345",
        client_id: str | None = None,
        client_secret: str | None = None,
        token_life: float = 900.0,
        token_promise: float | None = None,
        refresh_life: float | None = None,
        rotation: bool = True,
        reuse_grace: float = 0.0,
        pace: float = 0.3,
        ahead: int = 0,
        waiting: int = 0,
        capacity: int = 100,
        agents: int = 4,
        chats_per_agent: int | None = None,
        offer_timeout: float | None = None,
        max_wait: float | None = None,
        messages: int = 10,
        interval: float = 1.0,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        faults: tuple[Fault, ...] = (),
        on_event: Watcher | None = None,
    ) -> None:
        _check_extra()
        client = client_id or solution_id
        tokens = TokenSettings(client, client_secret, token_life, refresh_life, rotation, reuse_grace, token_promise)
        floor = FloorSettings(pace, ahead, offer_timeout, max_wait, messages, interval)
        settings = WorldSettings(tokens, floor, script, semantics, agents, chats_per_agent, capacity, waiting)
        self.solution_id = solution_id
        self._port = port
        self._server: Server | None = None
        self._random = Random(f"faults-{seed}")
        self._plan = Plan(faults, self._random)
        self._desk = Desk(settings, clock, Random(seed), on_event, sleep)

    def start(self) -> Self:
        """Listen on loopback; does nothing when it already does."""
        if self._server is None:
            from ._app import Quiet, make_app
            from ._server import Server

            server = Server(Quiet(make_app(self._desk, self._choose)), self._port)
            server.start()
            self._server, self._port = server, server.port
        return self

    def close(self) -> None:
        """Stop listening and close every connection; the ledger can still be read."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def restart(self, *, forget: bool = False) -> None:
        """Stop listening and start again on the same port; `forget` drops every session."""
        self.close()
        if forget:
            with self._desk.world() as (world, _now):
                world.forget()
        self.start()

    @property
    def base_url(self) -> str:
        """The address to give to a client.

        Raises:
            RuntimeError: the sandbox was never started.

        """
        if not self._port:
            raise RuntimeError("the sandbox is not started")
        return f"http://127.0.0.1:{self._port}"

    @property
    def banner(self) -> str:
        """One line that says where it listens and that it is not Puzzel."""
        ids = f"solution id {self.solution_id}, queue {self.queue_id}"
        return f"{NOTICE}, listening on {self.base_url} ({ids})"

    def ledger(self) -> dict[str, tuple[Entry, ...]]:
        """Return every message stored, in order, per conversation id; edits are entries of their own."""
        with self._desk.world() as (world, now):
            return world.entries(now)

    def stats(self) -> Stats:
        """Return what was counted so far."""
        with self._desk.world() as (world, now):
            return world.stats(now)

    def faults(self, *rules: Fault) -> None:
        """Replace the faults in force; without arguments nothing goes wrong any more."""
        with self._desk.world():
            self._plan = Plan(rules, self._random)

    def set_semantics(self, semantics: Semantics) -> None:
        """Change what a poll means, from the next one on."""
        if semantics not in SEMANTICS:
            raise ValueError(f"no semantics {semantics!r}; there are {', '.join(SEMANTICS)}")
        with self._desk.world() as (world, _now):
            world.semantics = semantics

    def set_script(self, script: str | Script) -> None:
        """Change how agents behave, from the next offer, join or message on."""
        chosen = known_script(script)
        with self._desk.world() as (world, _now):
            world.floor.script = chosen

    def set_open(
        self,
        queue_id: str,
        is_open: bool | None,
        *,
        opens_at: float | datetime | None = None,
        closes_at: float | datetime | None = None,
    ) -> None:
        """Open or close a queue for new requests, or make its hours unknown (None); chats under way go on.

        Raises:
            KeyError: no such queue.

        """
        with self._desk.world() as (world, _now):
            world.open_queue(queue_id, is_open, _seconds(opens_at), _seconds(closes_at))

    def agent(self, conversation_id: str) -> AgentHandle:
        """Return a handle to play the agent of a conversation, which may be routed later."""
        return AgentHandle(self._desk, conversation_id)

    def _choose(self, operation: str) -> tuple[Fault, ...]:
        with self._desk.world() as (world, _now):
            world.tally.request(operation)
            chosen = self._plan.choose(operation)
            for _fault in chosen:
                world.tally.add("faults")
            return chosen

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = f"http://127.0.0.1:{self._port}" if self._server else "not listening"
        return f"<Sandbox {where}: {NOTICE}>"


def _seconds(value: float | datetime | None) -> float | None:
    return value.timestamp() if isinstance(value, datetime) else value


def _check_extra() -> None:
    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise ImportError(INSTALL)
