"""Whole chats with a service of two hosts: which host is asked for what, by whom, and in whose words.

What the hosts are asked is kept by a proxy of ours before each of them, and held against all that is known of the
service: a request that is not in the lists here was made up by us.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from attrs import define

from blocking import settings
from hostile import Asked
from proxying import Proxy
from puzzel_chat import (
    AsyncPuzzelChat,
    AuthenticationError,
    ConfigurationError,
    ConversationEnded,
    Event,
    InvalidArgument,
    MessageEdited,
    NotFound,
    PollingLoop,
    PuzzelChatError,
    SQLiteStore,
    TextMessage,
    Visitor,
)
from puzzel_chat._clock import Clock
from puzzel_chat._tokens import Now
from puzzel_chat.sandbox import SEMANTICS, Differences, Fault, Sandbox, Semantics
from puzzel_chat.testing import VirtualTime
from quick import quick_only
from sandbox.test_polling_loop import Kept, run, said, told
from telling import told_by
from waiting import until, until_async

Connect = Callable[..., Any]
TOKEN_LIFE = 900.0
DUE = 700.0
"""Seconds after which a token can be refreshed, and need not be for long."""
CUSTOMER = {"id": "17", "name": "Ada", "email": "ada@chat.example", "phone": "+44 20 7946 0000"}
ASKED: dict[str, Any] = {"customer": CUSTOMER, "variables": {"order": "4711"}, "subject": "An order", "wait": 20}
ITEMS = ["customerId", "customerName", "customerEmail", "customerPhone", "subject", "order"]
CLIENT = {"client_id", "tenant_id", "grant_type"}
FORMS = (CLIENT, {*CLIENT, "user_info_id", "code_verifier"}, {*CLIENT, "refresh_token"})
"""The fields that a token request has: of a visitor whom nobody knows, of a signed-in one, of a refresh."""
ONE = "[^/?&]+"
IDENTITY = (rf"POST /api/authenticate/{ONE}(\?providerId=\d+)?", "POST /connect/token")
COMMUNICATION = (
    f"GET /api/queue/info/{ONE}",
    f"PUT /api/conversation/{ONE}/route/{ONE}",
    f"GET /api/allocation/requestStatus/{ONE}",
    rf"GET /api/conversation(\?after={ONE})?",
    f"POST /api/conversation/{ONE}/message",
    f"POST /api/conversation/{ONE}/typing",
    f"POST /api/conversation/{ONE}/end",
    f"GET /api/time/{ONE}",
)
BODIES = {"message": {"content", "clientMessageId"}, "typing": {"isTyping"}, "end": set[str]()}


class Leaping(Clock):
    """The real time, and as much more as the test has let pass at once."""

    ahead = 0.0

    def now(self) -> Now:
        """Give the present moment."""
        return Now(self.monotonic(), self.seconds())

    def monotonic(self) -> float:
        """Give the monotonic time."""
        return time.monotonic() + self.ahead

    def seconds(self) -> float:
        """Give the time for a sandbox."""
        return time.time() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Leaping:
    """Let every client of the test live in a time that the test can move on."""
    clock = Leaping()
    monkeypatch.setattr("puzzel_chat._client.Clock", lambda: clock)
    return clock


@pytest.fixture(params=[False, True], ids=["httpx", "fleet"])
def fast(request: pytest.FixtureRequest) -> bool:
    """Tell which transport the polls of a loop go over."""
    if request.param:
        pytest.importorskip("pyreqwest")
    return bool(request.param)


@define
class Stand:
    """A sandbox, and a proxy before each of its hosts."""

    sandbox: Sandbox
    identity: Proxy
    communication: Proxy

    def settings(self, **more: Any) -> dict[str, Any]:
        """Give a client's settings, by which it asks the proxies."""
        hosts = {"base_url": self.communication.base_url, "identity_url": self.identity.base_url}
        return settings(self.sandbox, **{**hosts, **more})

    def check_hosts(self) -> None:
        """Hold all that was asked against the lists above; each kind of refusal is a request that we made up."""
        check_calls(self.identity, IDENTITY)
        check_calls(self.communication, COMMUNICATION)
        for asked in self.identity.asked:
            assert "authorization" not in asked.headers
            if asked.path == "/connect/token":
                self._check_token_request(asked)
        for asked in self.communication.asked:
            assert asked.headers["authorization"].startswith("Bearer ")
            if asked.method == "PUT":
                check_route(asked)
            elif asked.method == "POST":
                body = set(json.loads(asked.body)) if asked.body else set[str]()
                assert body == BODIES[asked.path.rpartition("/")[2]]
            else:
                assert asked.body == ""

    def forms(self) -> list[dict[str, str]]:
        """Give the forms of the token requests, in order."""
        return [dict(parse_qsl(one.body)) for one in self.identity.asked if one.path == "/connect/token"]

    def _check_token_request(self, asked: Asked) -> None:
        form = dict(parse_qsl(asked.body, strict_parsing=True))
        assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
        assert set(form) in FORMS
        assert form["tenant_id"] == self.sandbox.solution_id
        assert form["client_id"] == "oneplatform_engage"
        assert form["grant_type"] == ("refresh_token" if "refresh_token" in form else "visitor")


def check_calls(proxy: Proxy, known: tuple[str, ...]) -> None:
    """Fail when a host was asked for anything else."""
    asked = {f"{one.method} {one.path}" for one in proxy.asked}
    assert [one for one in asked if not any(re.fullmatch(call, one) for call in known)] == []


def check_route(asked: Asked) -> None:
    """Fail unless the body of a route is an array of named values."""
    items = json.loads(asked.body)
    assert isinstance(items, list)
    assert all(item.keys() <= {"name", "value", "secret"} and {"name", "value"} <= item.keys() for item in items)
    assert asked.headers["content-type"] == "application/json"


@contextmanager
def stand(**options: Any) -> Iterator[Stand]:
    """Start a sandbox, and the proxies before it."""
    with (
        Sandbox(**{"pace": 0.01, **options}) as sandbox,
        Proxy(sandbox.identity_url) as identity,
        Proxy(sandbox.base_url) as communication,
    ):
        yield Stand(sandbox, identity, communication)
        assert len(identity.passed) == len(identity.asked)
        assert len(communication.passed) == len(communication.asked)


def check_whole(one: Stand, conversation_id: str, events: list[Event]) -> None:
    """Hold a whole chat against the ledger, and what was asked for it against what is known of the service."""
    one.check_hosts()
    assert said(events) == told(one.sandbox, conversation_id)
    assert [type(event) for event in events].count(ConversationEnded) == 1
    first, *later = one.forms()
    assert first["grant_type"] == "visitor"
    assert {form["grant_type"] for form in later} == {"refresh_token"}
    (route,) = (passed for passed in one.communication.passed if passed.asked.method == "PUT")
    assert route.called[1] == f"/api/conversation/{conversation_id}/route/{one.sandbox.queue_key}"
    assert [item["name"] for item in json.loads(route.asked.body)] == ITEMS
    calls = " ".join(f"{passed.asked.method} {passed.asked.path}" for passed in one.communication.passed)
    for part in (f"info/{one.sandbox.visual_queue_id}", "requestStatus", "?after=", "message", "typing", "/end"):
        assert part in calls
    assert {passed.status // 100 for passed in (*one.identity.passed, *one.communication.passed)} == {2}
    assert one.sandbox.stats().reuse_detected == 0


def test_a_whole_chat_asks_each_host_for_what_is_its_own(connect: Connect, clock: Leaping) -> None:
    """Tokens come from the identity host alone, all else from the other, and only by requests that are known."""
    with stand(token_life=TOKEN_LIFE, clock=clock.seconds) as one:
        conversation = connect(**one.settings()).start(one.sandbox.queue_key, one.sandbox.visual_queue_id, **ASKED)
        events: list[Event] = []
        with conversation:
            conversation.typing()
            conversation.send("Hello")
            for event in conversation.events():
                events.append(event)
                if "Hello" in texts(events) and not clock.ahead:
                    clock.ahead = DUE
                    conversation.send("Are you there?")
                    until(lambda: one.sandbox.stats().refreshes)
                    conversation.end()
        check_whole(one, conversation.id, events)


def test_a_polling_loop_asks_each_host_for_what_is_its_own(fast: bool, clock: Leaping) -> None:
    """The same of a loop, over both transports: polls carry the token to the communication host alone."""

    async def scenario(one: Stand) -> None:
        kept = Kept()
        async with AsyncPuzzelChat(**one.settings()) as client, PollingLoop(fast=fast) as loop:
            conversation = await client.start(one.sandbox.queue_key, one.sandbox.visual_queue_id, **ASKED)
            loop.add(conversation, kept.coroutine)
            await conversation.typing()
            await conversation.send("Hello")
            await until_async(lambda: "Hello" in texts(kept.taken[conversation.id]))
            clock.ahead = DUE
            await until_async(lambda: one.sandbox.stats().refreshes)
            await conversation.send("Are you there?")
            await until_async(lambda: "Are you there?" in texts(kept.taken[conversation.id]))
            await conversation.end()
            await until_async(lambda: loop.stats().conversations == 0)
        check_whole(one, conversation.id, kept.taken[conversation.id])

    with stand(token_life=TOKEN_LIFE, clock=clock.seconds) as one:
        run(scenario(one))


def texts(events: list[Event]) -> list[str]:
    """Give what was written, in order."""
    return [event.text for event in events if isinstance(event, TextMessage)]


SIGNED_IN = [("access_token", None), ("id_token", None), ("access_token", 2), ("id_token", 1)]


def signed_in(sandbox: Sandbox, kind: str = "access_token", provider_id: int | None = None, **more: Any) -> Visitor:
    """Give a visitor with a new token of the customer's own identity provider."""
    tokens: dict[str, Any] = {kind: sandbox.visitor_token(provider_id=provider_id, **more)}
    return Visitor(**tokens, provider_id=provider_id)


@pytest.mark.parametrize(("kind", "provider_id"), quick_only([("id_token", 1)], SIGNED_IN))
def test_a_signed_in_visitor_stays_who_it_is(
    connect: Connect, clock: Leaping, tmp_path: Path, kind: str, provider_id: int | None
) -> None:
    """The visitor's id is the same after 30 refreshes, in a second session, and after a `resume` from a file."""
    store = SQLiteStore(tmp_path / "chats.db")
    with stand(token_life=TOKEN_LIFE, clock=clock.seconds) as one:
        hours, visitor = one.sandbox.visual_queue_id, signed_in(one.sandbox, kind, provider_id)
        chat = connect(**one.settings(), store=store)
        conversation = chat.start(one.sandbox.queue_key, visitor=visitor, wait=20)
        session = conversation.session
        known = session.visitor_id
        assert known
        for _ in range(30):
            clock.ahead += TOKEN_LIFE - 10
            assert session.queue_info(hours).is_open
            assert session.visitor_id == known
        assert one.sandbox.stats().refreshes == 30
        assert chat.connect(visitor=signed_in(one.sandbox, kind, provider_id)).visitor_id == known
        assert chat.connect(visitor=signed_in(one.sandbox, name="Kari")).visitor_id != known
        assert chat.connect().visitor_id != known
        chat.close()
        resumed = connect(**one.settings(), store=store).resume(session.id)
        assert resumed.visitor_id == known
        (again,) = resumed.conversations
        again.send("end chat")
        assert isinstance(list(again.events())[-1], ConversationEnded)
        one.check_hosts()
        check_sign_ins(one, kind, provider_id)
    store.close()


def check_sign_ins(one: Stand, kind: str, provider_id: int | None) -> None:
    """Hold a sign-in against what is documented of it, and the token request after it against PKCE (RFC 7636)."""
    asked, token_request, *_ = one.identity.asked
    query = "" if provider_id is None else f"?providerId={provider_id}"
    assert asked.path == f"/api/authenticate/{one.sandbox.solution_id}{query}"
    body = json.loads(asked.body)
    assert set(body) == {"codeChallenge", "accessToken" if kind == "access_token" else "idToken"}
    form = dict(parse_qsl(token_request.body))
    assert re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", form["code_verifier"])
    digest = sha256(form["code_verifier"].encode()).digest()
    assert urlsafe_b64encode(digest).rstrip(b"=").decode() == body["codeChallenge"]
    signed = [form for form in one.forms() if "user_info_id" in form]
    assert len({form["code_verifier"] for form in signed}) == len(signed) == 3


def refused(sandbox: Sandbox) -> Mapping[str, tuple[Visitor, type[PuzzelChatError], str]]:
    """Give visitors whom the service does not take, the error for each, and what it says to do."""
    again = "sign the visitor in again"
    return {
        "a wrong token": (Visitor(access_token="nobodys-token-0f1e2d"), AuthenticationError, again),
        "a wrong id token": (Visitor(id_token="nobodys-token-0f1e2d"), AuthenticationError, again),
        "an expired token": (signed_in(sandbox, life=0), AuthenticationError, again),
        "another provider's": (Visitor(id_token=sandbox.visitor_token(provider_id=2)), AuthenticationError, again),
        "no such provider": (
            Visitor(access_token=sandbox.visitor_token(), provider_id=9),
            NotFound,
            "check provider_id",
        ),
    }


def test_a_visitor_who_is_not_taken(connect: Connect) -> None:
    """Each refusal is a typed error that says what to do; no session is opened, and it is not tried again."""
    with Sandbox(pace=0) as sandbox:
        chat = connect(**settings(sandbox))
        for tries, (visitor, error, says) in enumerate(refused(sandbox).values(), 1):
            with pytest.raises(error, match=says) as from_connect:
                chat.connect(visitor=visitor)
            with pytest.raises(error, match=says):
                chat.start(sandbox.queue_key, visitor=visitor)
            assert from_connect.value.host == "identity"
            assert dict(sandbox.stats().requests) == {"authenticateVisitor": 2 * tries}


def test_a_visitor_needs_one_token(connect: Connect) -> None:
    """None, both, an empty one and a bare token are told before anything is sent."""
    with Sandbox(pace=0) as sandbox:
        chat, token = connect(**settings(sandbox)), sandbox.visitor_token()
        both: tuple[dict[str, Any], ...] = ({}, {"access_token": token, "id_token": token})
        for tokens in both:
            with pytest.raises(InvalidArgument, match="needs access_token or id_token"):
                chat.connect(visitor=Visitor(**tokens))
        with pytest.raises(InvalidArgument, match="id_token: must be a non-empty token"):
            chat.connect(visitor=Visitor(id_token=" "))
        with pytest.raises(InvalidArgument, match="visitor: must be a Visitor") as caught:
            chat.start(sandbox.queue_key, visitor=token)
        assert token not in f"{caught.value} {caught.value!r}"
        assert sandbox.stats().total_requests == 0


def test_a_service_that_names_the_visitor_otherwise(connect: Connect) -> None:
    """`token_fields` renames what identifies a visitor; without it the service's refusal names that setting."""
    names = {"userInfo": "{user_info_id}", "verifier": "{code_verifier}"}
    with Sandbox(pace=0, visitor_fields=("userInfo", "verifier")) as sandbox:
        chat = connect(**settings(sandbox, token_fields=names))
        first, second = (chat.connect(visitor=signed_in(sandbox)).visitor_id for _ in range(2))
        assert first == second != chat.connect().visitor_id
        with pytest.raises(ConfigurationError, match="token_fields"):
            connect(**settings(sandbox)).connect(visitor=signed_in(sandbox))


def test_a_visitors_token_is_told_to_nobody(
    connect: Connect, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It is in no log record, repr, error or file, whether the visitor was taken or refused; nor is what came of it."""
    caplog.set_level(logging.DEBUG)
    store, shown, hidden = SQLiteStore(tmp_path / "chats.db"), list[str](), set[str]()
    with stand(script="helpful") as one:
        chat = connect(**one.settings(), store=store)
        for kind in ("access_token", "id_token"):
            visitor = signed_in(one.sandbox, kind)
            conversation = chat.start(one.sandbox.queue_key, visitor=visitor, wait=20)
            shown += [repr(part) for part in (visitor, chat, conversation, conversation.session)]
            shown += [repr(store.load(conversation.session.id)), repr(conversation.session._state)]
            hidden.add(conversation.session.visitor_id)
            conversation.end()
        for visitor, error, _ in refused(one.sandbox).values():
            with pytest.raises(error) as caught:
                chat.start(one.sandbox.queue_key, visitor=visitor)
            shown += [repr(visitor), told_by(caught.value)]
        hidden |= {value for form in one.forms() for name, value in form.items() if name in SECRET_FIELDS}
        in_bodies = [json.loads(asked.body) for asked in one.identity.asked if "authenticate" in asked.path]
        hidden |= {token for body in in_bodies for token in body.values()}
        kept = b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode("latin-1")
    text = "\n".join([*shown, caplog.text, *capfd.readouterr()])
    assert len(hidden) > 10
    assert [value for value in hidden if value in text] == []
    assert [body for body in in_bodies if any(token in kept for token in body.values())] == []
    store.close()


SECRET_FIELDS = ("user_info_id", "code_verifier")


@pytest.mark.parametrize("drop", [frozenset[str](), frozenset({"version", "sentAt", "author"})], ids=["all", "bare"])
@pytest.mark.parametrize("cursor", quick_only(["text"], ["integer", "text", "none"]))
@pytest.mark.parametrize("semantics", quick_only(["cursor"], SEMANTICS))
def test_whatever_a_poll_gives(
    connect: Connect, puzzel_time: VirtualTime, semantics: Semantics, cursor: Any, drop: frozenset[str]
) -> None:
    """204 for nothing new, any cursor or none, items without what is only assumed: all comes once and in order."""
    differs = Differences(cursor=cursor, drop=drop)
    options: dict[str, Any] = {"pace": 1, "clock": puzzel_time.seconds, "differs": differs, "no_content": True}
    with stand(semantics=semantics, **options) as one:
        conversation = connect(**one.settings(poll_interval=1)).start(one.sandbox.queue_key, wait=20)
        events: list[Event] = []
        for words in ("one", "edit", "two"):
            conversation.send(words)
            for _ in range(8):
                puzzel_time.advance(1)
                events += conversation.session.poll()
        conversation.end()
        events += conversation.events()
        wanted = [(entry.id, entry.content) for entry in one.sandbox.ledger()[conversation.id] if entry.type == "Text"]
        polls = [passed.status for passed in one.communication.passed if passed.called[1] == "/api/conversation"]
    assert [(event.id, event.text) for event in map(as_written, events) if isinstance(event, TextMessage)] == wanted
    assert len(wanted) == 9
    assert {type(event).__name__ for event in events} == KINDS
    assert isinstance(events[-1], ConversationEnded)
    assert set(polls) <= {200, 204}
    # Who is given no cursor cannot say what is new to it.
    assert polls.count(204) > 10 or (semantics, cursor) == ("cursor", "none")


KINDS = {"TextMessage", "MessageEdited", "AgentJoined", "ConversationEnded"}


def as_written(event: Event) -> Event:
    """Give an edit as the message that it made."""
    return event.message if isinstance(event, MessageEdited) else event


def test_one_address_for_both_hosts(connect: Connect, clock: Leaping) -> None:
    """Where one address serves both hosts, `base_url` is enough, through a restart and a refresh."""
    with Sandbox(pace=0, identity_port=None, token_life=TOKEN_LIFE, clock=clock.seconds) as sandbox:
        assert sandbox.base_url == sandbox.identity_url
        chat = connect(base_url=sandbox.base_url, solution_id=sandbox.solution_id, poll_interval=0.05)
        check_goes_on(chat.start(sandbox.queue_key, visitor=signed_in(sandbox), wait=20), sandbox, clock)


def test_both_hosts_restart(connect: Connect, clock: Leaping) -> None:
    """A service that restarts is found at the same two addresses, and the chat and its token live on."""
    with Sandbox(pace=0, token_life=TOKEN_LIFE, clock=clock.seconds) as sandbox:
        assert sandbox.base_url != sandbox.identity_url
        chat = connect(**settings(sandbox))
        check_goes_on(chat.start(sandbox.queue_key, visitor=signed_in(sandbox), wait=20), sandbox, clock)


def check_goes_on(conversation: Any, sandbox: Sandbox, clock: Leaping) -> None:
    """Restart the service in the middle of a chat, let its token age, and hold the whole chat against the ledger."""
    conversation.send("one")
    events = [next(iter(conversation.events()))]
    before = dict(sandbox.settings)
    sandbox.restart()
    assert before == sandbox.settings
    clock.ahead += TOKEN_LIFE - 10
    conversation.send("end chat")
    events += conversation.events()
    assert sandbox.stats().refreshes == 1
    assert said(events) == told(sandbox, conversation.id)
    assert isinstance(events[-1], ConversationEnded)


@pytest.mark.parametrize("known", [False, True], ids=["unknown visitor", "signed in"])
def test_one_address_for_a_service_of_two(connect: Connect, known: bool) -> None:
    """`base_url` alone, or both addresses the wrong way round, is one request and one error that names the setting."""
    with Sandbox(pace=0) as sandbox:
        visitor = signed_in(sandbox) if known else None
        alone: dict[str, Any] = {"base_url": sandbox.base_url, "solution_id": sandbox.solution_id}
        turned = {**alone, "base_url": sandbox.identity_url, "identity_url": sandbox.base_url}
        for address in (alone, turned):
            with pytest.raises(NotFound if known else ConfigurationError, match="identity_url") as caught:
                connect(**address).connect(visitor=visitor)
            assert (caught.value.host, caught.value.attempts) == ("identity", 1)
        assert sandbox.stats().total_requests == 0


@pytest.mark.parametrize("fast", quick_only([True], [False, True]), ids=["httpx", "fleet"], indirect=True)
def test_an_identity_host_that_is_busy_stops_no_poll(fast: bool, clock: Leaping) -> None:
    """A 429 with Retry-After for a refresh holds back refreshes alone: polls go on, messages come, nobody is told."""

    async def scenario(sandbox: Sandbox) -> None:
        kept = Kept()
        async with AsyncPuzzelChat(**settings(sandbox)) as client, PollingLoop(fast=fast) as loop:
            chats = [await client.start(sandbox.queue_key, wait=20) for _ in range(3)]
            for conversation in chats:
                loop.add(conversation, kept.coroutine)
            sandbox.faults(Fault.status(429, "connectToken", retry_after=60))
            clock.ahead = DUE
            await until_async(lambda: sandbox.stats().faults)
            polls = loop.stats().polls
            for conversation in chats:
                await conversation.send("Hello")
            await until_async(lambda: all(answered(kept.taken[one.id]) for one in chats))
            await until_async(lambda: loop.stats().polls > polls + 30)
            assert sandbox.stats().refreshes == 0
            assert sandbox.stats().requests["connectToken"] <= 2 * len(chats)
            sandbox.faults()
            clock.ahead += 61
            await until_async(lambda: sandbox.stats().refreshes == len(chats))
            await asyncio.gather(*(conversation.end() for conversation in chats))
            await until_async(lambda: loop.stats().conversations == 0)
        for conversation in chats:
            events = kept.taken[conversation.id]
            assert said(events) == told(sandbox, conversation.id)
            assert {type(event).__name__ for event in events} == {"TextMessage", "AgentJoined", "ConversationEnded"}
        assert sandbox.stats().reuse_detected == 0

    with Sandbox(pace=0.01, token_life=TOKEN_LIFE, clock=clock.seconds) as sandbox:
        run(scenario(sandbox))


def answered(events: list[Event]) -> bool:
    """Tell whether the agent has answered what the customer wrote."""
    return any(text.startswith("I see.") for text in texts(events))
