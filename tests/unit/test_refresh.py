"""A refresh in both clients: design section 5 where clients, processes, store and service meet."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast
from urllib.parse import parse_qs

import pytest
from attrs import define, field

from blocking import Blocking, Loop, settings
from puzzel_chat import (
    AsyncSession,
    MemoryStore,
    PermissionDenied,
    ServerError,
    Session,
    SessionExpired,
    StoreError,
    TransportError,
    _exit,
)
from puzzel_chat._config import Settings
from puzzel_chat._http import Reply, Request
from puzzel_chat._opening import restored
from puzzel_chat._owners import owner_name
from puzzel_chat._refresh import LEASE
from puzzel_chat._secrets import Secret
from puzzel_chat._state import Parts, SessionState
from puzzel_chat._store import StoredTokens
from puzzel_chat._tokens import Now, TokenSet
from puzzel_chat._transport import AsyncTransport, Transport
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing import VirtualTime

Connect = Callable[..., Any]
JSON = {"content-type": "application/json"}
LOST = TransportError("No reply: it broke.", sent="maybe")
REFUSED = Reply(status=400, headers=JSON, body=b'{"error": "invalid_grant"}')
DOWN = Reply(status=503, headers={}, body=b"")


class Night(VirtualTime):
    """Time in which the machine may sleep: the monotonic clock then stands still."""

    asleep = 0.0

    def now(self) -> Now:
        """Give the present moment."""
        return Now(self.monotonic(), self.monotonic() + self.asleep)


def tokens_reply(number: int, **more: object) -> Reply:
    """The token endpoint's reply with that generation's tokens."""
    body = {"access_token": f"a{number}", "refresh_token": f"r{number}", "expires_in": 600, **more}
    return Reply(status=200, headers=JSON, body=json.dumps(body).encode())


@define
class Service:
    """A scripted service: what each refresh is answered, and which access tokens it refuses."""

    answers: list[Reply | Exception] = field(factory=list)
    refused: set[str] = field(factory=set)
    sent: list[str] = field(factory=list)
    used: list[str] = field(factory=list)
    on_call: Callable[[], None] = lambda: None
    held: Callable[[], bool] = lambda: False
    asked: threading.Event = field(factory=threading.Event)

    def answer(self, request: Request, access: str | None) -> Reply:
        """Answer one request."""
        if access is None:
            self.sent.append(parse_qs((request.body or b"").decode())["refresh_token"][0])
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        self.used.append(str(access))
        if str(access) in self.refused:
            return Reply(status=401, headers={}, body=b"")
        return Reply(status=200, headers=JSON, body=b'{"id": "support", "isOpen": true}')

    def arrived(self, access: str | None) -> None:
        """Note a refresh, or do what the test wants at a call."""
        if access is None:
            self.asked.set()
        else:
            self.on_call()

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Answer the blocking client."""
        self.arrived(access)
        while access is None and self.held():
            time.sleep(0.001)
        return self.answer(request, access)


class AsyncService(Service):
    """The same for the awaiting client."""

    async def send(  # type: ignore[override]  # a transport of the other client
        self, request: Request, access: str | None, within: float | None = None
    ) -> Reply:
        """Answer, after others had their turn."""
        if access is None:
            self.asked.set()
        for _ in range(5):
            await asyncio.sleep(0)
        self.arrived(access)
        while access is None and self.held():
            await asyncio.sleep(0)
        return self.answer(request, access)


@define
class Bench:
    """Sessions of one kind on a scripted service, a store and a clock."""

    loop: Loop | None
    service: Service
    parts: Parts

    @property
    def clock(self) -> Night:
        """The clock of all."""
        return cast(Night, self.parts.clock)

    def state(self, ttl: float = 600.0) -> SessionState:
        """A new session's state."""
        tokens = TokenSet(access=Secret("a1"), refresh=Secret("r1"), ttl=ttl, obtained=self.clock.now())
        return SessionState.opened("s", self.parts, tokens)

    def again(self) -> SessionState:
        """The same session as another process has it."""
        return restored(self.parts, "s", shared=True)

    def session(self, state: SessionState) -> Any:
        """The session itself."""
        if self.loop is None:
            return Session(state, cast(Transport, self.service))
        return Blocking(self.loop, AsyncSession(state, cast(AsyncTransport, self.service)))

    def settled(self, session: Any) -> None:
        """Wait until no refresh is under way."""
        deadline = time.monotonic() + 20
        while session._state.life.flight:
            assert time.monotonic() < deadline
            time.sleep(0.002)


@pytest.fixture(params=["sync", "async"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench for each of the two clients."""
    loop = Loop() if request.param == "async" else None
    parts = Parts(Settings(base_url="https://chat.example", solution_id="7"), MemoryStore(), Night())
    yield Bench(loop, AsyncService() if loop else Service(), parts)
    if loop:
        loop.stop()


def test_an_expired_token_is_refreshed_before_the_call(bench: Bench) -> None:
    """Expired: the call waits for one refresh and then goes out with the new token, never with the dead one."""
    session = bench.session(bench.state())
    bench.clock.advance(601)
    bench.service.answers = [tokens_reply(2)]
    assert session.queue_info("support").is_open
    assert (bench.service.sent, bench.service.used) == (["r1"], ["a2"])


def test_a_lost_reply_to_a_rotation_is_asked_for_again(bench: Bench) -> None:
    """Sent but no answer: the same refresh token goes out again within 10 s, for the service may have rotated it.

    Without that a lost reply costs the session: zitadel/zitadel#9631, DuendeArchive/IdentityServer4#5187.
    """
    session = bench.session(bench.state())
    bench.clock.advance(601)
    bench.service.answers = [LOST, LOST, tokens_reply(2)]
    assert session.queue_info("support").is_open
    assert bench.service.sent == ["r1"] * 3


def test_after_ten_seconds_without_an_answer_it_is_no_longer_asked_for(bench: Bench) -> None:
    """A refresh that goes on unanswered is given up after 10 s, and is tried again in the usual pace."""
    session = bench.session(bench.state())
    bench.clock.advance(601)
    bench.service.answers = [LOST] * 100
    with pytest.raises(TransportError):
        session.queue_info("support")
    assert len(bench.service.sent) == 21  # at 0, 0.5 … 10 s; the retries of the call fall into the pause of 5 s


def test_a_machine_that_slept_does_not_ask_for_a_lost_reply(bench: Bench) -> None:
    """The service's leniency runs out while a machine sleeps, though its monotonic clock stands still."""
    session = bench.session(bench.state())
    bench.clock.advance(400)

    def sleeps() -> bool:
        bench.clock.asleep = 3600.0
        return False

    bench.service.held = sleeps
    bench.service.answers = [LOST, tokens_reply(2)]
    session.queue_info("support")
    bench.settled(session)
    assert bench.service.sent == ["r1"]


def test_a_token_that_died_while_its_refresh_landed_is_not_replayed(bench: Bench) -> None:
    """A call that was refused waits for the refresh under way, and for one more when that one's token is dead too.

    So it is when a machine stalls for a whole token life between the refresh's request and its reply.
    """
    session = bench.session(bench.state())
    stalled: list[bool] = []

    def stalls() -> None:
        if not stalled:
            assert bench.service.asked.wait(20)
            bench.clock.advance(1000)
            stalled.append(True)

    bench.service.refused, bench.service.on_call = {"a1", "a2"}, stalls
    bench.service.held = lambda: not stalled
    bench.service.answers = [tokens_reply(2), tokens_reply(3)]
    bench.clock.advance(400)
    assert session.queue_info("support").is_open
    assert bench.service.sent == ["r1", "r2"]
    assert bench.service.used == ["a1", "a3"]


def test_a_refused_refresh_token_that_another_process_has_replaced(bench: Bench) -> None:
    """`invalid_grant`: the store is read once more, and a newer generation there is used."""
    state = bench.state()
    session = bench.session(state)
    newer = StoredTokens(
        access=Secret("b2"), refresh=Secret("s2"), generation=2, ttl=600, obtained=bench.clock.now().wall
    )
    bench.clock.advance(400)

    def other_process() -> bool:
        bench.parts.store.save_tokens("s", newer)
        return False

    bench.service.held = other_process
    bench.service.answers = [REFUSED]
    session.queue_info("support")
    bench.settled(session)
    assert (state.life.dead, state.life.tokens.access, bench.service.sent) == (None, "b2", ["r1"])


@pytest.mark.parametrize("found", ["by a 401", "by the clock", "while a refresh is not due"])
def test_a_session_that_one_process_found_dead_is_dead_for_all(bench: Bench, found: str) -> None:
    """`invalid_grant` with nothing newer in the store: the session is over, and no process sends that token again."""
    first, second = bench.session(bench.state()), bench.session(bench.again())
    if found == "while a refresh is not due":
        bench.clock.advance(599)
        bench.service.answers = [DOWN]
        second.queue_info("support")
        bench.settled(second)
    bench.clock.advance(10 if found == "by a 401" else 601)
    bench.service.refused = {"a1"}
    bench.service.answers, bench.service.sent[:] = [REFUSED], []
    for session in (first, first, second, second):
        with pytest.raises(SessionExpired, match=r"connect\(\)"):
            session.queue_info("support")
    assert bench.service.sent == ["r1"]


def test_an_error_is_not_raised_while_another_process_has_a_token(bench: Bench) -> None:
    """A refresh that failed here and worked elsewhere costs no call, whether the token died or was refused."""
    first, second = bench.session(bench.state()), bench.session(bench.again())
    bench.clock.advance(599)
    bench.service.answers = [DOWN, tokens_reply(2)]
    first.queue_info("support")
    bench.settled(first)
    second.queue_info("support")
    bench.clock.advance(2)
    bench.service.refused = {"a1"}
    assert first.queue_info("support").is_open
    assert bench.service.sent == ["r1", "r1"]


def test_new_tokens_are_stored_before_anyone_has_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reply, store, memory, callers: a process killed anywhere after the write loses nothing that was acted on."""
    state, seen = bench.state(), []
    session, save = bench.session(state), bench.parts.store.save_tokens

    def watched(session_id: str, tokens: StoredTokens) -> None:
        seen.append((tokens.generation, state.life.tokens.generation, list(bench.service.used)))
        save(session_id, tokens)

    monkeypatch.setattr(bench.parts.store, "save_tokens", watched)
    bench.clock.advance(601)
    bench.service.answers = [tokens_reply(2)]
    session.queue_info("support")
    assert seen == [(2, 1, [])]


@pytest.mark.parametrize("error", [StoreError("full"), RuntimeError("a caller's own store")])
def test_a_store_that_fails_costs_neither_the_token_nor_the_callers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The new token is used all the same, nobody waits for ever, and no other process may send the spent one."""

    def fails(session_id: str, tokens: StoredTokens) -> None:
        raise error

    session = bench.session(bench.state())
    bench.clock.advance(601)
    bench.service.answers = [tokens_reply(2)]
    monkeypatch.setattr(bench.parts.store, "save_tokens", fails)
    assert session.queue_info("support").is_open
    assert bench.parts.store.acquire("s", "refresh", "another", bench.clock.now().wall, LEASE) != "another"


def test_a_process_killed_while_refreshing_holds_the_others_up_for_its_lease(bench: Bench) -> None:
    """On another machine: the others wait for 40 s, also with a dead token, then refresh and go on: no call fails."""
    session = bench.session(bench.state())
    bench.clock.advance(601)
    assert bench.parts.store.acquire("s", "refresh", "the process that was killed", bench.clock.now().wall, LEASE)
    began = bench.clock.monotonic()
    bench.service.answers = [tokens_reply(2)]
    assert session.queue_info("support").is_open
    assert bench.service.used == ["a2"]
    assert LEASE <= bench.clock.monotonic() - began <= LEASE + 1


def test_a_second_try_keeps_the_lease(bench: Bench) -> None:
    """A refresh that is sent again has its whole lease before it again, so that no other process joins in."""
    session = bench.session(bench.state())
    late: list[bool] = []

    def slow() -> bool:
        bench.clock.advance(9.0 if not late else 35.0)
        holder = bench.parts.store.acquire("s", "refresh", "another", bench.clock.now().wall, LEASE)
        late.append(holder == "another")
        return False

    bench.service.held = slow
    bench.clock.advance(601)
    bench.service.answers = [LOST, tokens_reply(2)]
    assert session.queue_info("support").is_open
    assert late == [False, False]


def test_waiting_for_two_refreshes_is_bounded_as_one() -> None:
    """Who leaves by a certain time does not begin to wait anew when the first refresh gave a token that has died."""
    parts = Parts(Settings(base_url="https://chat.example", solution_id="7"), MemoryStore(), Night())
    service = Service([tokens_reply(2), tokens_reply(3)], {"a1"})
    bench = Bench(None, service, parts)
    session = Session(bench.state(), cast(Transport, service))

    def stalls() -> bool:
        bench.clock.advance(1000)
        return False

    service.held = stalls
    with pytest.raises(TransportError, match="no time left"):
        session._keeper.renewed(1, bench.clock.monotonic() + 20)
    bench.settled(session)


def test_a_refresh_is_waited_for_once() -> None:
    """A close that waited in vain is enough: neither the next one nor the exit gives a hanging refresh more time."""
    parts = Parts(Settings(base_url="https://chat.example", solution_id="7"), MemoryStore(), Night())
    service = Service([tokens_reply(2)])
    bench, hanging = Bench(None, service, parts), [True]
    session = Session(bench.state(), cast(Transport, service))
    service.held = lambda: bool(hanging)
    bench.clock.advance(400)
    session.queue_info("support")
    assert [thread for thread in _exit.REFRESHES if thread is session._keeper._flight]
    flight = session._keeper._flight
    session._keeper.close(bench.clock.monotonic())
    assert (session._keeper._flight, flight in _exit.REFRESHES) == (None, False)
    hanging.clear()
    bench.settled(session)


def test_no_lock_is_held_while_a_call_is_under_way(bench: Bench) -> None:
    """A call that hangs holds up no other, nor a refresh: modelcontextprotocol/python-sdk#2847 was down for 11 h."""
    if bench.loop is not None:
        return  # the awaiting client has no lock
    session, hangs = bench.session(bench.state()), []

    def first_hangs() -> None:
        hangs.append(True)
        deadline = time.monotonic() + 20
        while len(hangs) == 1:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    bench.service.on_call = first_hangs
    bench.service.answers = [tokens_reply(2)]
    with ThreadPoolExecutor(1) as pool:
        stuck = pool.submit(session.queue_info, "support")
        while not hangs:
            time.sleep(0.001)
        bench.clock.advance(601)
        assert session.queue_info("support").is_open
        assert stuck.result().is_open
    assert bench.service.sent == ["r1"]


def test_a_cancelled_leader_takes_nobody_with_it() -> None:
    """Who started the refresh may be cancelled; the refresh lands for all who wait (teng-lin/notebooklm-py#562)."""

    async def scenario() -> tuple[bool, list[str]]:
        parts = Parts(Settings(base_url="https://chat.example", solution_id="7"), MemoryStore(), Night())
        service = AsyncService([tokens_reply(2)])
        bench = Bench(None, service, parts)
        session = AsyncSession(bench.state(), cast(AsyncTransport, service))
        bench.clock.advance(601)
        waiting = [True]
        service.held = lambda: bool(waiting)
        leader, other = (asyncio.create_task(session.queue_info("support")) for _ in range(2))
        for _ in range(20):
            await asyncio.sleep(0)
        leader.cancel()
        await asyncio.wait({leader})
        waiting.clear()
        return leader.cancelled() and bool((await other).is_open), service.sent

    assert asyncio.run(scenario()) == (True, ["r1"])


def test_a_403_never_refreshes(connect: Connect) -> None:
    """The token is good and the action is not allowed: nothing is renewed."""
    with Sandbox(pace=0) as sandbox, connect(**settings(sandbox)).connect() as session:
        sandbox.faults(Fault.status(403, "getQueueInfo"))
        with pytest.raises(PermissionDenied):
            session.queue_info("support")
        assert sandbox.stats().refreshes == 0
        assert sandbox.stats().requests["connectToken"] == 1


def test_a_storm_of_401s_with_a_token_endpoint_that_is_down(connect: Connect, puzzel_time: VirtualTime) -> None:
    """Forty calls, each refused, meet the pace of failed refreshes: 5 s doubling to 30 s; then all is well again."""
    with Sandbox(pace=0, clock=puzzel_time.seconds) as sandbox:
        session = connect(**settings(sandbox)).connect()
        sandbox.faults(Fault.revoked("getQueueInfo"), Fault.status(503, "connectToken"))
        began = puzzel_time.monotonic()
        for _ in range(40):
            with pytest.raises(ServerError):
                session.queue_info("support")
        passed = puzzel_time.monotonic() - began
        asked = sandbox.stats().requests["connectToken"] - 1
        assert 1 <= asked <= 3 + passed / 30
        sandbox.faults()
        puzzel_time.advance(30)
        assert session.queue_info("support").is_open


@pytest.mark.parametrize(("grace", "lives"), [(60.0, True), (15.0, False), (0.0, False)])
def test_a_process_killed_between_the_rotation_and_its_write(
    connect: Connect, puzzel_time: VirtualTime, grace: float, lives: bool
) -> None:
    """What it takes with it: the store holds a spent refresh token, and only the service's leniency mends that.

    A process that cannot see that it is dead sends that token when the lease of 40 s is over. A service that gives the
    same reply again for longer than that saves the session; with any other it is lost, and every process says so.
    """
    store = MemoryStore()
    with Sandbox(pace=0, clock=puzzel_time.seconds, token_life=600, reuse_grace=grace) as sandbox:
        chat = connect(**settings(sandbox), store=store)
        session = chat.connect()
        session.conversation("kept").route("support")
        puzzel_time.advance(590)
        doomed = connect(**settings(sandbox), store=_copied(store, session.id)).resume(session.id)
        assert store.acquire(session.id, "refresh", "the process that is killed", puzzel_time.seconds(), LEASE)
        doomed.queue_info("support")
        assert sandbox.stats().refreshes == 1
        others = [session, chat.resume(session.id, shared=True)]
        for other in others:
            if lives:
                assert other.queue_info("support").is_open
            else:
                with pytest.raises(SessionExpired):
                    other.queue_info("support")
        assert sandbox.stats().reuse_detected == (0 if lives else 1)


def test_a_process_of_this_machine_that_was_killed_while_refreshing_is_not_waited_for(
    connect: Connect, puzzel_time: VirtualTime
) -> None:
    """Its lease is taken at once, so that also a service that forgives for a few seconds only gives the reply again."""
    store = MemoryStore()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    with Sandbox(pace=0, clock=puzzel_time.seconds, token_life=600, reuse_grace=15) as sandbox:
        chat = connect(**settings(sandbox), store=store)
        session = chat.connect()
        session.conversation("kept").route("support")
        puzzel_time.advance(590)
        doomed = connect(**settings(sandbox), store=_copied(store, session.id)).resume(session.id)
        owner = owner_name().replace(f"/{os.getpid()}/", f"/{gone.pid}/")
        assert store.acquire(session.id, "refresh", owner, puzzel_time.seconds(), LEASE) == owner
        doomed.queue_info("support")
        assert session.queue_info("support").is_open
        assert (sandbox.stats().refreshes, sandbox.stats().reuse_detected) == (1, 0)


def _copied(store: MemoryStore, session_id: str) -> MemoryStore:
    """A store of its own with the same session, whose writes the other never sees."""
    copy, stored = MemoryStore(), store.load(session_id)
    assert stored is not None
    copy.save_tokens(session_id, stored.tokens)
    return copy
