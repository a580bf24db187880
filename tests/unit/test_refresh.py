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
from contextlib import suppress
from typing import Any, cast
from urllib.parse import parse_qs

import pytest
from attrs import define, evolve, field

from blocking import Blocking, Loop, settings
from hostile import Asked, Said
from hostile import Service as LocalService
from puzzel_chat import (
    ApiError,
    AsyncSession,
    AuthenticationError,
    ConfigurationError,
    MemoryStore,
    NotFound,
    PermissionDenied,
    RateLimited,
    ServerError,
    SessionExpired,
    StoreError,
    TransportError,
    Visitor,
)
from puzzel_chat._fleet._hosts import Host
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Secret
from puzzel_chat._owners import owner_name
from puzzel_chat._refresh import FLIGHTS, LEASE
from puzzel_chat._session import SessionState
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Parts
from puzzel_chat._store import Store, StoredSession
from puzzel_chat._tokens import Now, TokenSet, challenge
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing import VirtualTime
from scripted import Plain, awaiting, blocking, store_of

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
        return Reply(status=200, headers=JSON, body=b'{"id": 27504, "isOpen": true}')

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
    def store(self) -> Store:
        """The store of all."""
        return store_of(self.parts)

    @property
    def clock(self) -> Night:
        """The clock of all."""
        return cast(Night, self.parts.clock)

    def state(self, ttl: float = 600.0) -> SessionState:
        """A new session's state."""
        now = self.clock.now()
        tokens = TokenSet(access=Secret("a1"), refresh=Secret("r1"), ttl=ttl, obtained=now.wall)
        return Plain.opened("s", self.parts, tokens, now).state

    def again(self) -> SessionState:
        """The same session as another process has it."""
        return Plain.restored(self.parts, "s", shared=True).state

    def session(self, state: SessionState) -> Any:
        """The session itself."""
        if self.loop is None:
            return blocking(state, self.service)
        return Blocking(self.loop, awaiting(state, self.service))

    def settled(self, session: Any) -> None:
        """Wait until no refresh is under way."""
        deadline = time.monotonic() + 20
        while session._state.keeper.life.flight:
            assert time.monotonic() < deadline
            time.sleep(0.002)


CENTRE = Settings(base_url="https://chat.example", solution_id="7")


def task() -> object:
    """The present task; None where no loop runs, as for the garbage collector."""
    with suppress(RuntimeError):
        return asyncio.current_task()
    return None


KINDS: dict[str, Any] = {
    "sync": (threading.Event, threading.current_thread),
    "async": (asyncio.Event, task),
}
"""The kinds of events and callers of the two shells."""


@pytest.fixture(params=["sync", "async"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A bench for each of the two clients."""
    loop = Loop() if request.param == "async" else None
    parts = Parts(
        Settings(base_url="https://chat.example", solution_id="7"), MemoryStore(), Night(), *KINDS[request.param]
    )
    yield Bench(loop, AsyncService() if loop else Service(), parts)
    if loop:
        loop.stop()


def test_an_expired_token_is_refreshed_before_the_call(bench: Bench) -> None:
    """Expired: the call waits for one refresh and then goes out with the new token, never with the dead one."""
    session = bench.session(bench.state())
    bench.clock.advance(601)
    bench.service.answers = [tokens_reply(2)]
    assert session.queue_info("27504").is_open
    assert (bench.service.sent, bench.service.used) == (["r1"], ["a2"])


def test_a_lost_reply_to_a_rotation_is_asked_for_again(bench: Bench) -> None:
    """Sent but no answer: the same refresh token goes out again within 10 s, for the service may have rotated it.

    Without that a lost reply costs the session: zitadel/zitadel#9631, DuendeArchive/IdentityServer4#5187.
    """
    session = bench.session(bench.state())
    bench.clock.advance(601)
    bench.service.answers = [LOST, LOST, tokens_reply(2)]
    assert session.queue_info("27504").is_open
    assert bench.service.sent == ["r1"] * 3


def test_after_ten_seconds_without_an_answer_it_is_no_longer_asked_for(bench: Bench) -> None:
    """A refresh that goes on unanswered is given up after 10 s, and is tried again in the usual pace."""
    session = bench.session(bench.state())
    bench.clock.advance(601)
    bench.service.answers = [LOST] * 100
    with pytest.raises(TransportError):
        session.queue_info("27504")
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
    session.queue_info("27504")
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
    assert session.queue_info("27504").is_open
    assert bench.service.sent == ["r1", "r2"]
    assert bench.service.used == ["a1", "a3"]


def test_a_refused_refresh_token_that_another_process_has_replaced(bench: Bench) -> None:
    """`invalid_grant`: the store is read once more, and a newer generation there is used."""
    state = bench.state()
    session = bench.session(state)
    newer = TokenSet(access=Secret("b2"), refresh=Secret("s2"), generation=2, ttl=600, obtained=bench.clock.now().wall)
    bench.clock.advance(400)

    def other_process() -> bool:
        bench.store.save_tokens("s", newer)
        return False

    bench.service.held = other_process
    bench.service.answers = [REFUSED]
    session.queue_info("27504")
    bench.settled(session)
    assert (state.keeper.life.dead, state.keeper.life.tokens.access, bench.service.sent) == (None, "b2", ["r1"])


@pytest.mark.parametrize("found", ["by a 401", "by the clock", "while a refresh is not due"])
def test_a_session_that_one_process_found_dead_is_dead_for_all(bench: Bench, found: str) -> None:
    """`invalid_grant` with nothing newer in the store: the session is over, and no process sends that token again."""
    first, second = bench.session(bench.state()), bench.session(bench.again())
    if found == "while a refresh is not due":
        bench.clock.advance(599)
        bench.service.answers = [DOWN]
        second.queue_info("27504")
        bench.settled(second)
    bench.clock.advance(10 if found == "by a 401" else 601)
    bench.service.refused = {"a1"}
    bench.service.answers, bench.service.sent[:] = [REFUSED], []
    for session in (first, first, second, second):
        with pytest.raises(SessionExpired, match=r"connect\(\)"):
            session.queue_info("27504")
    assert bench.service.sent == ["r1"]


def test_an_error_is_not_raised_while_another_process_has_a_token(bench: Bench) -> None:
    """A refresh that failed here and worked elsewhere costs no call, whether the token died or was refused."""
    first, second = bench.session(bench.state()), bench.session(bench.again())
    bench.clock.advance(599)
    bench.service.answers = [DOWN, tokens_reply(2)]
    first.queue_info("27504")
    bench.settled(first)
    second.queue_info("27504")
    bench.clock.advance(2)
    bench.service.refused = {"a1"}
    assert first.queue_info("27504").is_open
    assert bench.service.sent == ["r1", "r1"]


def test_new_tokens_are_stored_before_anyone_has_them(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reply, store, memory, callers: a process killed anywhere after the write loses nothing that was acted on."""
    state, seen = bench.state(), []
    session, save = bench.session(state), bench.store.save_tokens

    def watched(session_id: str, tokens: TokenSet) -> None:
        seen.append((tokens.generation, state.keeper.life.tokens.generation, list(bench.service.used)))
        save(session_id, tokens)

    monkeypatch.setattr(bench.store, "save_tokens", watched)
    bench.clock.advance(601)
    bench.service.answers = [tokens_reply(2)]
    session.queue_info("27504")
    assert seen == [(2, 1, [])]


@pytest.mark.parametrize("error", [StoreError("full"), RuntimeError("a caller's own store")])
def test_a_store_that_fails_costs_neither_the_token_nor_the_callers(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The new token is used all the same, nobody waits for ever, and no other process may send the spent one."""

    def fails(session_id: str, tokens: TokenSet) -> None:
        raise error

    session = bench.session(bench.state())
    bench.clock.advance(601)
    bench.service.answers = [tokens_reply(2)]
    monkeypatch.setattr(bench.store, "save_tokens", fails)
    assert session.queue_info("27504").is_open
    assert bench.store.acquire("s", "refresh", "another", bench.clock.now().wall, LEASE) != "another"


def away(*_: object) -> Any:
    """A store that cannot be reached."""
    error = StoreError("away")
    error.retryable = True
    raise error


def test_no_token_is_refreshed_while_other_machines_cannot_be_kept_from_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that others reach and we do not: the refresh token is not sent, and it is sent once the store is back."""
    monkeypatch.setattr(MemoryStore, "remote", True, raising=False)
    session = bench.session(bench.state())
    bench.clock.advance(601)
    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "acquire", away)
        with pytest.raises(StoreError):
            session.queue_info("27504")
    assert bench.service.sent == []
    bench.clock.advance(60)
    bench.service.answers = [tokens_reply(2)]
    assert session.queue_info("27504").is_open
    assert bench.service.sent == ["r1"]


def test_a_store_that_others_reach_is_waited_for_with_the_new_token(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token that is there is spent, and others may send it once our right to refresh is over: 20 s are no loss."""
    monkeypatch.setattr(MemoryStore, "remote", True, raising=False)
    session = bench.session(bench.state())
    bench.clock.advance(601)
    keep, back = bench.store.save_tokens, bench.clock.monotonic() + 20.0
    saved: list[int] = []

    def late(session_id: str, tokens: TokenSet) -> None:
        if bench.clock.monotonic() < back:
            away()
        keep(session_id, tokens)
        saved.append(tokens.generation)

    monkeypatch.setattr(bench.store, "save_tokens", late)
    bench.service.answers = [tokens_reply(2)]
    assert session.queue_info("27504").is_open
    assert saved == [2]
    found = bench.store.tokens("s")
    assert found is not None
    assert found.generation == 2


def test_a_token_that_the_store_did_not_get_is_written_with_the_next_renewal(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the store was away after a refresh: the whole session is written back once it answers."""
    put: list[int] = []

    def put_back(_: MemoryStore, session: StoredSession, *__: object) -> bool:
        put.append(session.tokens.generation)
        return True

    monkeypatch.setattr(MemoryStore, "remote", True, raising=False)
    monkeypatch.setattr(MemoryStore, "put_back", put_back, raising=False)
    session = bench.session(bench.state())
    bench.clock.advance(601)
    with monkeypatch.context() as patch:
        patch.setattr(bench.store, "save_tokens", away)
        bench.service.answers = [tokens_reply(2)]
        assert session.queue_info("27504").is_open
    assert put == []
    assert session.queue_info("27504").is_open
    assert put == [2]


def test_a_process_killed_while_refreshing_holds_the_others_up_for_its_lease(bench: Bench) -> None:
    """On another machine: the others wait for 40 s, also with a dead token, then refresh and go on: no call fails."""
    session = bench.session(bench.state())
    bench.clock.advance(601)
    assert bench.store.acquire("s", "refresh", "the process that was killed", bench.clock.now().wall, LEASE)
    began = bench.clock.monotonic()
    bench.service.answers = [tokens_reply(2)]
    assert session.queue_info("27504").is_open
    assert bench.service.used == ["a2"]
    assert LEASE <= bench.clock.monotonic() - began <= LEASE + 1


def test_a_second_try_keeps_the_lease(bench: Bench) -> None:
    """A refresh that is sent again has its whole lease before it again, so that no other process joins in."""
    session = bench.session(bench.state())
    late: list[bool] = []

    def slow() -> bool:
        bench.clock.advance(9.0 if not late else 35.0)
        holder = bench.store.acquire("s", "refresh", "another", bench.clock.now().wall, LEASE)
        late.append(holder == "another")
        return False

    bench.service.held = slow
    bench.clock.advance(601)
    bench.service.answers = [LOST, tokens_reply(2)]
    assert session.queue_info("27504").is_open
    assert late == [False, False]


def test_waiting_for_two_refreshes_is_bounded_as_one() -> None:
    """Who leaves by a certain time does not begin to wait anew when the first refresh gave a token that has died."""
    parts = Parts(CENTRE, MemoryStore(), Night())
    service = Service([tokens_reply(2), tokens_reply(3)], {"a1"})
    bench = Bench(None, service, parts)
    session = blocking(bench.state(), service)

    def stalls() -> bool:
        bench.clock.advance(1000)
        return False

    service.held = stalls
    with pytest.raises(TransportError, match="no time left"):
        session._run(session._state.keeper.renewed(1, bench.clock.monotonic() + 20))
    bench.settled(session)


def test_a_refresh_is_waited_for_once() -> None:
    """A close that waited in vain is enough: neither the next one nor the exit gives a hanging refresh more time."""
    parts = Parts(CENTRE, MemoryStore(), Night())
    service = Service([tokens_reply(2)])
    bench, hanging = Bench(None, service, parts), [True]
    session = blocking(bench.state(), service)
    service.held = lambda: bool(hanging)
    bench.clock.advance(400)
    session.queue_info("27504")
    flight = session._state.keeper.flight
    assert flight is not None
    assert flight in FLIGHTS
    assert flight.awaited
    session._run(session._state.keeper.close(bench.clock.monotonic()))
    assert (session._state.keeper.flight, flight.awaited) == (None, False)
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
        stuck = pool.submit(session.queue_info, "27504")
        while not hangs:
            time.sleep(0.001)
        bench.clock.advance(601)
        assert session.queue_info("27504").is_open
        assert stuck.result().is_open
    assert bench.service.sent == ["r1"]


def test_a_cancelled_leader_takes_nobody_with_it() -> None:
    """Who started the refresh may be cancelled; the refresh lands for all who wait (teng-lin/notebooklm-py#562)."""

    async def scenario() -> tuple[bool, list[str]]:
        parts = Parts(
            Settings(base_url="https://chat.example", solution_id="7"), MemoryStore(), Night(), *KINDS["async"]
        )
        service = AsyncService([tokens_reply(2)])
        bench = Bench(None, service, parts)
        session = awaiting(bench.state(), service)
        bench.clock.advance(601)
        waiting = [True]
        service.held = lambda: bool(waiting)
        leader, other = (asyncio.create_task(session.queue_info("27504")) for _ in range(2))
        for _ in range(20):
            await asyncio.sleep(0)
        leader.cancel()
        await asyncio.wait({leader})
        waiting.clear()
        return leader.cancelled() and bool((await other).is_open), service.sent

    assert asyncio.run(scenario()) == (True, ["r1"])


BARE = b"invalid_grant"
DRESSES: dict[str, Said] = {
    "JSON": Said({"error": "invalid_grant"}, 400),
    "JSON with 401": Said({"error": "invalid_grant", "error_description": "Gone."}, 401),
    "JSON with 200": Said({"error": "invalid_grant"}, 200),
    "JSON as text": Said({"error": "invalid_grant"}, 400, media="text/plain; charset=utf-8"),
    "JSON as a page": Said({"error": "invalid_grant"}, 400, media="text/html"),
    "a form": Said(b"error=invalid_grant&error_description=Gone.", 400, media="application/x-www-form-urlencoded"),
    "a form with 200": Said(b"error=invalid_grant", 200, media="text/plain"),
    "the bare word": Said(BARE, 400, media="text/plain"),
    "the bare word as JSON": Said("invalid_grant", 400),
    "the bare word with 200": Said(BARE + b"\n", 200, media="text/html"),
}


def renamed(dress: str, word: str) -> Said:
    """One of the dresses, with another of the standard's words in it."""
    said = DRESSES[dress]
    text = json.dumps(said.body) if not isinstance(said.body, bytes) else said.body.decode()
    return evolve(said, body=text.replace("invalid_grant", word).encode())


@pytest.mark.parametrize("dress", DRESSES)
def test_a_refused_refresh_token_is_sent_once_however_it_was_refused(
    connect: Connect, puzzel_time: VirtualTime, dress: str
) -> None:
    """One request, then `SessionExpired` for good: as `text/plain` it was once asked again 51 times in half an hour."""

    def tokens(asked: Asked) -> Said:
        first = {"access_token": "a1", "refresh_token": "r1", "expires_in": 600, "visitor_id": "ada"}
        return DRESSES[dress] if "grant_type=refresh_token" in asked.body else Said(first)

    with LocalService(tokens) as identity, LocalService(lambda asked: Said({"id": 27504})) as communication:
        session = connect(base_url=communication.base_url, identity_url=identity.base_url, solution_id="7").connect()
        puzzel_time.advance(601)
        for _ in range(30):
            with pytest.raises(SessionExpired, match=r"connect\(\)"):
                session.queue_info("27504")
            puzzel_time.advance(60)
        assert [asked.path for asked in identity.asked] == ["/connect/token"] * 2
        assert communication.asked == []


@pytest.mark.parametrize(
    ("word", "setting", "dress"),
    [
        *(("invalid_client", "solution_id", dress) for dress in DRESSES),
        ("unauthorized_client", "solution_id", "JSON"),
        ("unsupported_grant_type", "grant_type", "JSON"),
        ("invalid_scope", "scope", "JSON"),
        ("invalid_request", "token_fields", "JSON"),
        ("invalid_grant", "solution_id", "JSON"),
    ],
)
def test_a_refused_token_request_is_sent_once_and_names_the_setting(
    connect: Connect, word: str, setting: str, dress: str
) -> None:
    """Nothing that only the settings can mend is asked twice, however the service says it."""
    with (
        LocalService(lambda asked: renamed(dress, word)) as identity,
        LocalService(lambda asked: Said()) as communication,
    ):
        chat = connect(base_url=communication.base_url, identity_url=identity.base_url, solution_id="7")
        with pytest.raises(ConfigurationError, match=f"^{setting}: .*{word}") as raised:
            chat.connect()
        assert (raised.value.setting, raised.value.attempts, raised.value.host) == (setting, 1, "identity")
        assert [asked.path for asked in identity.asked] == ["/connect/token"]
        assert communication.asked == []


def test_a_token_is_asked_for_and_refreshed_with_the_visitors_form(connect: Connect, puzzel_time: VirtualTime) -> None:
    """Over real HTTP: the first request and the refresh as the settings say, and the token goes to the other host."""

    def tokens(asked: Asked) -> Said:
        number = len(identity.asked)
        return Said({"access_token": f"a{number}", "refresh_token": f"r{number}", "expires_in": 600})

    with LocalService(tokens) as identity, LocalService(lambda asked: Said({"id": 27504})) as communication:
        chat = connect(base_url=communication.base_url, identity_url=identity.base_url, solution_id="7")
        session = chat.connect()
        puzzel_time.advance(601)
        session.queue_info("27504")
        first, refresh = (parse_qs(asked.body) for asked in identity.asked)
        client = {"client_id": ["oneplatform_engage"], "tenant_id": ["7"]}
        assert first == {**client, "grant_type": ["visitor"]}
        assert refresh == {**client, "grant_type": ["refresh_token"], "refresh_token": ["r1"]}
        assert all("authorization" not in asked.headers for asked in identity.asked)
        assert [asked.headers["authorization"] for asked in communication.asked] == ["Bearer a2"]


def test_a_signed_in_visitor_is_identified_before_the_token_is_asked_for(
    connect: Connect, puzzel_time: VirtualTime
) -> None:
    """Over real HTTP: PKCE ties both requests together, no bearer is sent, and a refresh says nothing of it."""

    def answer(asked: Asked) -> Said:
        if asked.path.startswith("/api/authenticate/"):
            return Said({"userInfoId": "u1"})
        return Said({"access_token": "a1", "refresh_token": "r1", "expires_in": 600})

    with LocalService(answer) as identity, LocalService(lambda asked: Said({"id": 27504})) as communication:
        chat = connect(base_url=communication.base_url, identity_url=identity.base_url, solution_id="7")
        session = chat.connect(visitor=Visitor(id_token="t1-of-the-provider", provider_id=3))
        puzzel_time.advance(601)
        session.queue_info("27504")
        signed, token, refresh = identity.asked
        assert (signed.method, signed.path) == ("POST", "/api/authenticate/7?providerId=3")
        told, form = json.loads(signed.body), parse_qs(token.body)
        assert told == {"codeChallenge": challenge(form["code_verifier"][0]), "idToken": "t1-of-the-provider"}
        assert form["user_info_id"] == ["u1"]
        assert not {"user_info_id", "code_verifier"} & parse_qs(refresh.body).keys()
        assert all("authorization" not in asked.headers for asked in identity.asked)
        assert "t1-of-the-provider" not in "".join(
            asked.body + asked.path for asked in (token, refresh, *communication.asked)
        )


def test_a_visitor_signs_in_anew_when_the_token_has_to_be_asked_for_again(
    connect: Connect, puzzel_time: VirtualTime
) -> None:
    """What identifies a visitor may be good for one token request only; each try has a verifier of its own."""

    def answer(asked: Asked) -> Said:
        if asked.path.startswith("/api/authenticate/"):
            return Said({"userInfoId": f"u{len(identity.asked)}"})
        return Said({}, 503, {"Retry-After": "1"}) if len(identity.asked) < 4 else Said({"access_token": "a1"})

    with LocalService(answer) as identity:
        chat = connect(base_url=identity.base_url, solution_id="7", token_fields={"visitor": "{user_info_id}"})
        assert chat.connect(visitor=Visitor(access_token="t1")).visitor_id is None
        first, _, second, token = identity.asked
        assert json.loads(first.body)["codeChallenge"] != json.loads(second.body)["codeChallenge"]
        form = parse_qs(token.body)
        assert form["visitor"] == ["u3"]
        assert challenge(form["code_verifier"][0]) == json.loads(second.body)["codeChallenge"]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "BadRequest", ApiError),
        (401, "InvalidToken", AuthenticationError),
        (404, "ProviderNotFound", NotFound),
        (404, "CustomerNotFound", NotFound),
    ],
)
def test_a_visitor_who_is_refused_gets_no_session(
    connect: Connect, status: int, code: str, kind: type[ApiError]
) -> None:
    """One request, a typed error, and no token is asked for: nobody chats under a name that may not be theirs."""
    refused = Said({"title": "No.", "status": status, "code": code}, status, media="application/problem+json")
    with LocalService(lambda asked: refused) as identity:
        chat = connect(base_url=identity.base_url, solution_id="7")
        with pytest.raises(kind) as raised:
            chat.connect(visitor=Visitor(access_token="t1"))
        assert (type(raised.value), raised.value.code, raised.value.host) == (kind, code, "identity")
        assert [asked.path for asked in identity.asked] == ["/api/authenticate/7"]


def test_the_visitor_is_the_same_after_refreshes_that_do_not_name_it(bench: Bench) -> None:
    """In the session, in the store, and in another object of the same session."""
    state = bench.state()
    state.keeper.life.tokens = evolve(state.keeper.life.tokens, visitor_id=Secret("ada"))
    session = bench.session(state)
    for number in (2, 3, 4):
        bench.clock.advance(601)
        bench.service.answers = [tokens_reply(number)]
        session.queue_info("27504")
    assert session.visitor_id == "ada"
    assert bench.session(bench.again()).visitor_id == "ada"
    bench.clock.advance(601)
    bench.service.answers = [tokens_reply(5, visitor_id="kari")]
    session.queue_info("27504")
    assert session.visitor_id == "kari"


def test_refreshes_that_can_wait_are_held_back_by_the_identity_host() -> None:
    """What one session's refresh is told holds for all that a loop polls; calls go on meanwhile, none is lost."""

    async def scenario() -> None:
        parts = Parts(
            Settings(base_url="https://chat.example", solution_id="7"), MemoryStore(), Night(), *KINDS["async"]
        )
        busy = Reply(status=429, headers={"retry-after": "60"}, body=b"")
        service = AsyncService([busy, tokens_reply(2), tokens_reply(3)])
        turns, clock = Host(1000, sessions=1000), cast(Night, parts.clock)

        def session(name: str) -> AsyncSession:
            tokens = TokenSet(access=Secret("a1"), refresh=Secret(f"r-{name}"), ttl=600, obtained=clock.now().wall)
            made = awaiting(Plain.opened(name, parts, tokens, clock.now()).state, service)
            made._state.keeper.turns = turns
            return made

        one, other = session("one"), session("other")

        async def call(session: AsyncSession) -> None:
            assert (await session.queue_info("27504")).id == "27504"
            while session._state.keeper.life.flight:
                await asyncio.sleep(0)

        clock.advance(400)
        await call(one)
        clock.advance(30)
        await call(other)
        assert service.sent == ["r-one"]
        clock.advance(31)
        await call(other)
        assert service.sent == ["r-one", "r-other"]
        # One that must be refreshed now asks all the same.
        turns.told(clock.monotonic(), RateLimited("wait", status=429, retry_after=100))
        clock.advance(115)
        await call(one)
        assert service.sent == ["r-one", "r-other", "r-one"]

    asyncio.run(scenario())


def test_a_403_never_refreshes(connect: Connect) -> None:
    """The token is good and the action is not allowed: nothing is renewed."""
    with Sandbox(pace=0) as sandbox, connect(**settings(sandbox)).connect() as session:
        sandbox.faults(Fault.status(403, "getQueueInfo"))
        with pytest.raises(PermissionDenied):
            session.queue_info(sandbox.visual_queue_id)
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
                session.queue_info(sandbox.visual_queue_id)
        passed = puzzel_time.monotonic() - began
        asked = sandbox.stats().requests["connectToken"] - 1
        assert 1 <= asked <= 3 + passed / 30
        sandbox.faults()
        puzzel_time.advance(30)
        assert session.queue_info(sandbox.visual_queue_id).is_open


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
        session.conversation("kept").route(sandbox.queue_key)
        puzzel_time.advance(590)
        doomed = connect(**settings(sandbox), store=_copied(store, session.id)).resume(session.id)
        assert store.acquire(session.id, "refresh", "the process that is killed", puzzel_time.seconds(), LEASE)
        doomed.queue_info(sandbox.visual_queue_id)
        assert sandbox.stats().refreshes == 1
        others = [session, chat.resume(session.id, shared=True)]
        for other in others:
            if lives:
                assert other.queue_info(sandbox.visual_queue_id).is_open
            else:
                with pytest.raises(SessionExpired):
                    other.queue_info(sandbox.visual_queue_id)
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
        session.conversation("kept").route(sandbox.queue_key)
        puzzel_time.advance(590)
        doomed = connect(**settings(sandbox), store=_copied(store, session.id)).resume(session.id)
        owner = owner_name().replace(f"/{os.getpid()}/", f"/{gone.pid}/")
        assert store.acquire(session.id, "refresh", owner, puzzel_time.seconds(), LEASE) == owner
        doomed.queue_info(sandbox.visual_queue_id)
        assert session.queue_info(sandbox.visual_queue_id).is_open
        assert (sandbox.stats().refreshes, sandbox.stats().reuse_detected) == (1, 0)


def _copied(store: MemoryStore, session_id: str) -> MemoryStore:
    """A store of its own with the same session, whose writes the other never sees."""
    copy, stored = MemoryStore(), store.load(session_id)
    assert stored is not None
    copy.save_tokens(session_id, stored.tokens)
    return copy
