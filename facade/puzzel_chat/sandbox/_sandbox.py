"""The Python interface to the simulator: `Sandbox`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from importlib.util import find_spec
from itertools import islice
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict

from ._centre import Centre, NewsWatcher
from ._contract import Differences
from ._faults import Fault, Plan
from ._floor import FloorSettings
from ._people import AgentHandle, Person
from ._scripts import Script
from ._sessions import TokenSettings
from ._values import NOTICE, AfterEnd, Answer, Entry, Semantics, Stats, Watcher
from ._views import Chat, Conduct, QueueState, Rule, chat_of, state_of
from ._world import WorldSettings, known_after_end, known_script, known_semantics

if TYPE_CHECKING:
    from ._server import Server


class SandboxSettings(TypedDict):
    """The settings of a client for a sandbox."""

    base_url: str
    """The address of the communication host."""
    identity_url: str
    """The address of the identity host."""
    solution_id: str
    """The solution id."""


class Sandbox:
    """A local contact centre that answers the chat API over HTTP: the bundled simulator, not Puzzel.

    Use it as a context manager, or call `start` and `close`. Times are in seconds.

    Args:
        script: how the agents behave, a name in `SCRIPTS` or a `Script`.
        semantics: what a poll means: "history", "cursor" or "drain".
        no_content: whether a poll without anything new is 204 without a body; with "history" that is when nothing
            changed since the last poll.
        port: of the communication host; 0 picks a free one.
        identity_port: of the identity host; None serves both hosts on one port.
        solution_id: the client's solution id, the `tenant_id` of token requests.
        grant_type: the grant that opens a session; a refresh is always possible.
        client_id: the client that may ask for tokens. client_secret: its secret; None for no check.
        visitor_fields: the two fields of a signed-in visitor's token request.
        token_life: lifetime of an access token; below one second `expires_in` is still 1.
        token_promise: the `expires_in` of a reply; None for the true one.
        refresh_life: lifetime of a refresh token; None for no end.
        rotation: whether a refresh spends the refresh token. Using a spent one revokes the session.
        reuse_grace: how long the last spent refresh token gets the same reply again.
        pace: the unit of every delay in the simulation; with 0 everything happens at the next request.
        ahead: simulated customers in line before each new conversation, served one per pace.
        waiting: more customers, who only add to the size of the queue.
        capacity: how many requests a queue holds.
        agents: staff per queue. chats_per_agent: None for no limit.
        offer_timeout: lifetime of an unanswered offer; None is four paces, or no end for "manual".
        max_wait: lifetime of a request in the queue; None for no end.
        messages, interval: number of messages of the script "chatty", and the time between them.
        seed: of the tokens and of faults with a rate.
        clock: returns seconds since the epoch. sleep: waits for a slow fault, in the time of that clock.
        faults: the faults from the start.
        differs: deviations from the contract.
        on_event: called with each `Happening`, in order, outside the simulator's lock.

    Raises:
        ImportError: the extra `[sandbox]` is not installed.
        ValueError: no such script or semantics.
        OSError: the port is taken.

    """

    queue_key = "support"
    """The key of an open queue."""
    visual_queue_id = "27501"
    """The same queue's id, for its opening hours."""
    _server: Server | None = None

    def __init__(
        self,
        script: str | Script = "helpful",
        *,
        semantics: Semantics = "cursor",
        no_content: bool = False,
        port: int = 0,
        identity_port: int | None = 0,
        solution_id: str = "12345",
        grant_type: str = "visitor",
        client_id: str = "oneplatform_engage",
        client_secret: str | None = None,
        visitor_fields: tuple[str, str] = ("user_info_id", "code_verifier"),
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
        differs: Differences | None = None,
        on_event: Watcher | None = None,
    ) -> None:
        _check_extra()
        lives = (token_life, refresh_life, rotation, reuse_grace, token_promise)
        tokens = TokenSettings(solution_id, client_id, client_secret, grant_type, *lives, visitor_fields)
        floor = FloorSettings(pace, ahead, offer_timeout, max_wait, messages, interval)
        world = WorldSettings(tokens, floor, script, semantics, agents, chats_per_agent, capacity, waiting, no_content)
        self.solution_id, self._differs = solution_id, differs or Differences()
        self._ports: tuple[int, ...] = (port,) if identity_port is None else (port, identity_port)
        self._plan = Plan(faults, Random(f"faults-{seed}"))
        self._centre = Centre(world, clock, Random(seed), on_event, sleep)

    def start(self) -> Self:
        """Listen on loopback, unless it already does."""
        if self._server is None:
            from ._app import make_app
            from ._server import Server

            server = Server(*self._ports)
            self._ports = server.ports
            with self._centre.world() as (world, _now):
                world.files.origin = self.base_url
            ports = (self._ports[0], self._ports[-1])
            server.start(make_app(self._centre, self._choose, self._end_lost, self._differs, ports))
            self._server = server
        return self

    def close(self) -> None:
        """Stop listening and close every connection; the ledger stays readable."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def restart(self, *, forget: bool = False, renumber: bool = False) -> None:
        """Stop listening and start again on the same ports.

        `forget` drops every session. With `renumber`, new messages get the ids from the first one on again.
        """
        self.close()
        with self._centre.world() as (world, _now):
            if forget:
                world.forget()
            if renumber:
                world.ledger.number_again()
        self.start()

    def expire_tokens(self) -> None:
        """Revoke every access token at once, also under requests on their way; refresh tokens still work."""
        with self._centre.world() as (world, _now):
            world.tokens.expire()

    @property
    def base_url(self) -> str:
        """The address of the communication host.

        Raises:
            RuntimeError: the sandbox was never started.

        """
        return self._address(self._ports[0])

    @property
    def identity_url(self) -> str:
        """The address of the identity host, which issues tokens; it may be the same as `base_url`.

        Raises:
            RuntimeError: the sandbox was never started.

        """
        return self._address(self._ports[-1])

    @property
    def settings(self) -> SandboxSettings:
        """The settings of a client, as in `PuzzelChat(**sandbox.settings)`.

        Raises:
            RuntimeError: the sandbox was never started.

        """
        return {"base_url": self.base_url, "identity_url": self.identity_url, "solution_id": self.solution_id}

    @property
    def banner(self) -> str:
        """One line with the addresses and ids, which also says that this is not Puzzel."""
        tokens = f" and {self.identity_url} for tokens" if self.identity_url != self.base_url else ""
        ids = f"solution id {self.solution_id}, queue key {self.queue_key}, visual queue id {self.visual_queue_id}"
        return f"{NOTICE}, listening on {self.base_url}{tokens} ({ids})"

    def queues(self) -> Mapping[str, str]:
        """Return the visual queue id of every queue, by its key."""
        with self._centre.world() as (world, _now):
            return {key: queue.visual_id for key, queue in world.queues.items()}

    def visitor_token(self, name: str = "Ada", *, provider_id: int | None = None, life: float = 3600.0) -> str:
        """Return a token of the customer's identity provider, also simulated, for a signed-in visitor.

        It is valid as access token and as id token at its provider, 1 or 2, by default 1. `life` is in seconds; with 0
        or less it has expired.

        Raises:
            ValueError: there is no such provider.

        """
        with self._centre.world() as (world, now):
            return world.visitors.token(name, provider_id, life, now)

    def ledger(self) -> dict[str, tuple[Entry, ...]]:
        """Return every message stored, in order, per conversation id; edits are entries of their own."""
        with self._centre.world() as (world, now):
            return world.entries(now)

    def listen(self, to: Callable[[Answer], object]) -> None:
        """Call back with each `Answer` from now on, in the server's thread, before it is sent."""
        self._centre.answered = to

    def stats(self) -> Stats:
        """Return the counts so far."""
        with self._centre.world() as (world, now):
            return world.stats(now)

    def watch(self, watcher: NewsWatcher) -> Callable[[], None]:
        """Call back with each `Happening` and each `Exchange` from now on; what is returned stops that.

        Like `on_event` it is called in order, in the thread where it happens, outside the simulator's lock.
        """
        return self._centre.watch(watcher)

    def faults(self, *rules: Fault) -> None:
        """Replace the faults in force; without arguments there are none."""
        with self._centre.world():
            self._plan.replace(rules)

    def add_fault(self, fault: Fault) -> int:
        """Put one more fault in force and return its number."""
        with self._centre.world():
            return self._plan.add(fault)

    def remove_fault(self, number: int) -> None:
        """Take a fault out of force, by the number that it has in `rules`; the others go on counting.

        Raises:
            LookupError: there is none of this number.

        """
        with self._centre.world():
            self._plan.remove(number)

    def rules(self) -> tuple[Rule, ...]:
        """Return the faults that are or were in force, and how often each has struck."""
        with self._centre.world():
            return tuple(Rule(*one) for one in self._plan.struck())

    def conduct(self) -> Conduct:
        """Return how the contact centre behaves now, apart from its queues and faults."""
        with self._centre.world() as (world, _now):
            return Conduct(
                script=world.floor.script,
                scripted=world.scripted,
                semantics=world.semantics,
                after_end=world.after_end,
                linger=world.linger,
                token_life=world.tokens.life,
            )

    def set_semantics(self, semantics: Semantics) -> None:
        """Change what a poll means, from the next one on."""
        chosen = known_semantics(semantics)
        with self._centre.world() as (world, _now):
            world.semantics = chosen

    def set_after_end(self, after_end: AfterEnd, linger: float = 0.0) -> None:
        """Change what a conversation is, `linger` seconds after its end.

        To the request status it is the "same" as before, "cancelled", "not-found" (404) or "gone" (410). The last two
        also answer polls, once all conversations of the session are so.

        Raises:
            ValueError: there is nothing of this name.

        """
        chosen = known_after_end(after_end)
        with self._centre.world() as (world, _now):
            world.after_end, world.linger = chosen, linger

    def set_script(self, script: str | Script) -> None:
        """Change how agents behave, from the next offer, join or message on."""
        chosen = known_script(script)
        with self._centre.world() as (world, now):
            world.floor.script = chosen
            world.floor.arrange(now)

    @property
    def scripted(self) -> bool:
        """Whether the scripted agents take offers."""
        with self._centre.world() as (world, _now):
            return world.scripted

    def set_scripted(self, on: bool) -> None:
        """Let the scripted agents take offers, or leave them to persons; those who are in a chat go on."""
        with self._centre.world() as (world, now):
            world.set_scripted(on, now)

    def set_capacity(self, queue_key: str, capacity: int) -> None:
        """Change how many requests a queue holds.

        Raises:
            KeyError: no such queue.

        """
        with self._centre.world() as (world, _now):
            world.queues[queue_key].capacity = capacity

    def set_token_life(self, life: float) -> None:
        """Change the lifetime of the access tokens issued from now on, in seconds."""
        with self._centre.world() as (world, _now):
            world.tokens.set_life(life)

    def set_open(
        self,
        queue_key: str,
        is_open: bool | None,
        *,
        opens_at: float | datetime | None = None,
        closes_at: float | datetime | None = None,
    ) -> None:
        """Open or close a queue for new requests, or make its hours unknown (None); open conversations go on.

        Raises:
            KeyError: no such queue.

        """
        with self._centre.world() as (world, _now):
            world.open_queue(queue_key, is_open, _seconds(opens_at), _seconds(closes_at))

    def queue(self, queue_key: str) -> QueueState:
        """Return a queue as it is now.

        Raises:
            KeyError: no such queue.

        """
        with self._centre.world() as (world, now):
            return state_of(world.queues[queue_key], now)

    def chats(self, *, ended: bool = False, newest: int | None = None) -> tuple[Chat, ...]:
        """Return every conversation as it is now; those that have ended only if asked for.

        With `newest` there are at most so many, and the newest comes first.
        """
        with self._centre.world() as (world, _now):
            every = world.conversations.values()
            found = (one for one in (every if newest is None else reversed(every)) if ended or not one.ended)
            return tuple(map(chat_of, islice(found, newest)))

    def chat(self, conversation_id: str) -> Chat:
        """Return a conversation as it is now.

        Raises:
            LookupError: no conversation has this id.

        """
        with self._centre.world() as (world, _now):
            return chat_of(world.conversation(conversation_id))

    def persons(self) -> tuple[str, ...]:
        """Return the names of the persons who play an agent."""
        with self._centre.world() as (world, _now):
            return tuple(world.persons)

    def person(self, name: str) -> Person:
        """Return the person of this name, who from now on takes chats, before the scripted agents are asked."""
        with self._centre.world() as (world, now):
            return Person(self._centre, world.sit_down(name, now))

    def agent(self, conversation_id: str) -> AgentHandle:
        """Return a handle to play the agent of a conversation, which may be routed later."""
        return AgentHandle(self._centre, conversation_id)

    def _address(self, port: int) -> str:
        if not all(self._ports):
            raise RuntimeError("the sandbox is not started")
        return f"http://127.0.0.1:{port}"

    def _choose(self, operation: str) -> tuple[Fault, ...]:
        with self._centre.world() as (world, _now):
            world.tally.request(operation)
            chosen = self._plan.choose(operation)
            for fault in chosen:
                if fault.kind != "lost_end":  # counted where it strikes
                    world.tally.add("faults")
            return chosen

    def _end_lost(self, fault: Fault) -> None:
        with self._centre.world() as (world, _now):
            world.tally.add("faults")
            self._plan.lost(fault)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = self.base_url if self._server else "not listening"
        return f"<Sandbox {where}: {NOTICE}>"


def _seconds(value: float | datetime | None) -> float | None:
    return value.timestamp() if isinstance(value, datetime) else value


def _check_extra() -> None:
    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise ImportError('the sandbox needs starlette and uvicorn: pip install "puzzel-chat[sandbox]"')
