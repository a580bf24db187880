"""`Sandbox`: the simulated contact centre as Python sees it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from importlib.util import find_spec
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypedDict

from ._contract import Differences
from ._desk import Desk
from ._faults import Fault, Plan
from ._floor import FloorSettings
from ._scripts import Script
from ._sessions import TokenSettings
from ._values import NOTICE, Entry, Semantics, Stats, Watcher
from ._world import WorldSettings, known_script, known_semantics

if TYPE_CHECKING:
    from ._server import Server
from html import escape

from ._queues import Conversation, Order, Status
from ._scripts import Act, Step
from ._world import World


class SandboxSettings(TypedDict):
    """What a client needs to know of a sandbox."""

    base_url: str
    identity_url: str
    solution_id: str


class Sandbox:
    """A local contact centre that answers the chat API over HTTP: the bundled simulator, not Puzzel.

    Use it as a context manager, or call `start` and `close`. Times are in seconds.

    Args:
        script: how the agents behave: a name of `SCRIPTS`, or a `Script`.
        semantics: what a poll means: "history", "cursor" or "drain".
        no_content: whether a poll that has nothing new to tell is 204 without a body; under "history" that is when
            nothing has changed since the last poll.
        port: of the communication host; 0 picks a free one.
        identity_port: of the identity host; None makes one port serve both hosts.
        solution_id: what a client gives as its solution id, the `tenant_id` of its token requests.
        grant_type: which grant opens a session; a refresh is always possible.
        client_id: which client may ask for tokens. client_secret: None asks for none.
        visitor_fields: the two fields of the token request that a signed-in visitor comes with.
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
        differs: in what the service is not as the contract says.
        on_event: is given each `Happening`, in order, outside of the simulator's lock.

    Raises:
        ImportError: the extra `[sandbox]` is not installed.
        ValueError: no such script or semantics.
        OSError: the port is taken.

    """

    queue_key = "support"
    visual_queue_id = "27501"
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
        self._desk = Desk(world, clock, Random(seed), on_event, sleep)

    def start(self) -> Self:
        """Listen on loopback; does nothing when it already does."""
        if self._server is None:
            from ._app import make_app
            from ._server import Server

            server = Server(*self._ports)
            self._ports = server.ports
            server.start(make_app(self._desk, self._choose, self._differs, (self._ports[0], self._ports[-1])))
            self._server = server
        return self

    def close(self) -> None:
        """Stop listening and close every connection; the ledger can still be read."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def restart(self, *, forget: bool = False) -> None:
        """Stop listening and start again on the same ports; `forget` drops every session."""
        self.close()
        if forget:
            with self._desk.world() as (world, _now):
                world.forget()
        self.start()

    @property
    def base_url(self) -> str:
        """The address of the communication host.

        Raises:
            RuntimeError: the sandbox was never started.

        """
        return self._address(self._ports[0])

    @property
    def identity_url(self) -> str:
        """The address of the identity host, which gives out tokens; the same as `base_url` where one port serves both.

        Raises:
            RuntimeError: the sandbox was never started.

        """
        return self._address(self._ports[-1])

    @property
    def settings(self) -> SandboxSettings:
        """What a client is made with: `PuzzelChat(**sandbox.settings)`.

        Raises:
            RuntimeError: the sandbox was never started.

        """
        return {"base_url": self.base_url, "identity_url": self.identity_url, "solution_id": self.solution_id}

    @property
    def banner(self) -> str:
        """One line that says where it listens and that it is not Puzzel."""
        tokens = f" and {self.identity_url} for tokens" if self.identity_url != self.base_url else ""
        ids = f"solution id {self.solution_id}, queue key {self.queue_key}, visual queue id {self.visual_queue_id}"
        return f"{NOTICE}, listening on {self.base_url}{tokens} ({ids})"

    def queues(self) -> Mapping[str, str]:
        """Return the visual queue id of every queue, by its key."""
        with self._desk.world() as (world, _now):
            return {key: queue.visual_id for key, queue in world.queues.items()}

    def visitor_token(self, name: str = "Ada", *, provider_id: int | None = None, life: float = 3600.0) -> str:
        """Return a token of the customer's own identity provider, simulated too, for a visitor who is signed in there.

        It is good as access token and as id token, for its provider: 1 unless `provider_id` says 2. `life` is in
        seconds; 0 or less gives an expired one.

        Raises:
            ValueError: there is no such provider.

        """
        with self._desk.world() as (world, now):
            return world.visitors.token(name, provider_id, life, now)

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
            self._plan = Plan(rules, self._plan.random)

    def set_semantics(self, semantics: Semantics) -> None:
        """Change what a poll means, from the next one on."""
        chosen = known_semantics(semantics)
        with self._desk.world() as (world, _now):
            world.semantics = chosen

    def set_script(self, script: str | Script) -> None:
        """Change how agents behave, from the next offer, join or message on."""
        chosen = known_script(script)
        with self._desk.world() as (world, _now):
            world.floor.script = chosen

    def set_open(
        self,
        queue_key: str,
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
            world.open_queue(queue_key, is_open, _seconds(opens_at), _seconds(closes_at))

    def agent(self, conversation_id: str) -> AgentHandle:
        """Return a handle to play the agent of a conversation, which may be routed later."""
        return AgentHandle(self._desk, conversation_id)

    def _address(self, port: int) -> str:
        if not all(self._ports):
            raise RuntimeError("the sandbox is not started")
        return f"http://127.0.0.1:{port}"

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
        where = self.base_url if self._server else "not listening"
        return f"<Sandbox {where}: {NOTICE}>"


class AgentHandle:
    """The agent of one conversation. Everything raises LookupError when that was never routed."""

    def __init__(self, desk: Desk, conversation_id: str) -> None:
        self._desk, self.conversation_id = desk, conversation_id

    @property
    def status(self) -> Status:
        """Where the search for an agent stands."""
        with self._desk.world() as (world, _now):
            return self._chat(world).allocation.status

    @property
    def name(self) -> str | None:
        """The name of the agent who has the chat or the offer, None when nobody has."""
        with self._desk.world() as (world, _now):
            chat = self._chat(world)
            agent = chat.agent or chat.offered_to
            return agent.name if agent else None

    @property
    def order(self) -> Order:
        """What the customer brought along: name, variables, subject."""
        with self._desk.world() as (world, _now):
            return self._chat(world).order

    @property
    def customer_typing(self) -> bool:
        """Whether the customer last said to be typing."""
        with self._desk.world() as (world, _now):
            return self._chat(world).customer_typing

    def transcript(self) -> tuple[Entry, ...]:
        """Return everything stored of the conversation."""
        with self._desk.world() as (world, _now):
            return tuple(self._chat(world).entries)

    def accept(self) -> None:
        """Take the chat.

        Raises:
            RuntimeError: no offer is open.

        """
        with self._desk.world() as (world, now):
            world.floor.accept(self._offered(world), now)

    def decline(self) -> None:
        """Say no to the offer; it goes to another agent.

        Raises:
            RuntimeError: no offer is open.

        """
        with self._desk.world() as (world, now):
            world.floor.decline(self._offered(world), now)

    def say(self, text: str, *, html: bool = False) -> str:
        """Send a message and return its id; `html` when the text is markup already.

        Raises:
            RuntimeError: the agent is not in the chat.

        """
        with self._desk.world() as (world, now):
            return world.ledger.say(self._joined(world), text if html else escape(text), now).id

    def edit(self, message_id: str, text: str, *, html: bool = False) -> None:
        """Change a message.

        Raises:
            LookupError: there is no such message.

        """
        with self._desk.world() as (world, now):
            world.ledger.edit(self._joined(world), message_id, text if html else escape(text), now)

    def typing(self, is_typing: bool = True) -> None:
        """Show that the agent types, or no longer does."""
        with self._desk.world() as (world, now):
            chat = self._joined(world)
            world.ledger.event(chat, "AgentTyping", now, agent=chat.agent, isTyping=is_typing)

    def send_raw(self, message: dict[str, object]) -> str:
        """Send a message of any type and shape, with base fields it lacks filled in; return its id."""
        with self._desk.world() as (world, now):
            return world.ledger.raw(self._joined(world), message, now).id

    def leave(self, reason: str = "left") -> None:
        """Leave; the conversation goes back through the queue to another agent."""
        self._act("leave", reason)

    def end(self) -> None:
        """End the conversation."""
        self._act("end")

    def _act(self, act: Act, text: str = "") -> None:
        with self._desk.world() as (world, now):
            world.floor.act(self._joined(world), Step(act, text), now)

    def _chat(self, world: World) -> Conversation:
        return world.conversation(self.conversation_id)

    def _offered(self, world: World) -> Conversation:
        chat = self._chat(world)
        if chat.offered_to is None:
            raise RuntimeError(f"no offer is open: the request is {chat.allocation.status}")
        return chat

    def _joined(self, world: World) -> Conversation:
        chat = self._chat(world)
        if chat.agent is None:
            state = "ended" if chat.ended else chat.allocation.status
            raise RuntimeError(f"no agent is in the chat: it is {state}")
        return chat


def _seconds(value: float | datetime | None) -> float | None:
    return value.timestamp() if isinstance(value, datetime) else value


def _check_extra() -> None:
    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise ImportError('the sandbox needs starlette and uvicorn: pip install "puzzel-chat[sandbox]"')
