"""Secrets and people's words stay out of reprs, errors, logs and the locals that tracebacks show."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import attrs
import httpcore
import pytest
from httpcore._backends.anyio import AnyIOStream
from httpcore._backends.sync import SyncStream

import puzzel_chat
from answering import server
from ports import dead_port
from puzzel_chat import AsyncPuzzelChat, InvalidArgument, PuzzelChat, PuzzelChatError, _session
from puzzel_chat import _models as models
from puzzel_chat._clock import Clock
from puzzel_chat._conversation import ConversationState
from puzzel_chat._http import Reply, Request
from puzzel_chat._inbox import Entry, Expected, Feed, Inbox
from puzzel_chat._models import Secret, SecretBytes, secret_or_none
from puzzel_chat._refresh import Refresh
from puzzel_chat._session import sign_in_request
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Parts, Send
from puzzel_chat._store import MemoryStore, StoredConversation, StoredSession, Unread
from puzzel_chat._tokens import Now, TokenLife, TokenSet, connect_fields
from puzzel_chat._wire.operations import POLL, authenticate_request, route_request, send_request, token_request
from puzzel_chat._wire.refusals import error_for
from puzzel_chat._wire.replies import Poll, signed_in
from scripted import Plain
from telling import told_by

MARK = "Gr\u00f8nnmark"
TOKEN = "t0k3n-of-the-session"
WHEN = datetime(2026, 11, 23, tzinfo=UTC)
GENTLE = {"id", "conversation_id", "client_id", "content_type", "service_type", "problem", "reason"}
"""Text fields that may be shown: the service's ids and words, and our own."""


def filled(kind: type[Any]) -> Any:
    """A value of that class with the mark in every text field that people fill."""
    values: dict[str, Any] = {}
    for field in attrs.fields(attrs.resolve_types(kind)):
        told = str(field.type)
        if field.name == "raw":
            values["raw"] = {"content": MARK}
        elif field.name in GENTLE:
            values[field.name] = "x"
        elif "Author" in told:
            values[field.name] = models.Author(name=MARK)
        elif field.name == "message":
            values[field.name] = filled(models.TextMessage)
        elif field.name == "agent":
            values[field.name] = filled(models.Agent)
        elif field.name == "options":
            values[field.name] = (models.Option(id="x", label=MARK),)
        elif field.name == "allocation":
            values[field.name] = filled(models.Allocation)
        elif "str" in told:
            values[field.name] = MARK
        elif field.name == "fetched_at":
            values[field.name] = WHEN
        elif field.name == "stage":
            values[field.name] = models.AllocationStage.QUEUED
    return kind(**values)


MODELS = [
    value
    for name in puzzel_chat.__all__
    if inspect.isclass(value := getattr(puzzel_chat, name)) and value.__module__ == models.__name__ and attrs.has(value)
]
# A queue and a time module are the tenant's, not a person's: their names may be shown.
TENANTS = ("QueueInfo", "TimeInfo", "Variable")
PERSONAL = [kind for kind in MODELS if kind.__name__ not in (*TENANTS, "Visitor")]


def test_no_value_shows_what_people_wrote_or_are_called() -> None:
    """Text, names, contact details, file names and the raw reply are left out of every public repr."""
    for value in map(filled, PERSONAL):
        assert MARK in str(attrs.asdict(value))
        assert MARK not in repr(value)
        assert MARK not in f"{[value]}"


def test_a_variable_and_a_queue_show_their_names_only() -> None:
    """A variable's value is the customer's, a queue's name is the tenant's; the raw reply is never shown."""
    assert MARK not in repr(models.Variable("order", MARK))
    assert MARK not in repr(models.QueueInfo(id="x", name="Support", fetched_at=WHEN, raw={"a": MARK}))
    assert MARK not in repr(models.TimeInfo(id="x", fetched_at=WHEN, raw={"a": MARK}))


@pytest.mark.parametrize("which", ["access_token", "id_token"])
def test_a_visitors_token_is_a_secret_like_ours(which: str) -> None:
    """The token of the customer's own identity provider is masked wherever a visitor is shown."""
    visitor = models.Visitor(**{which: TOKEN}, provider_id=3)
    assert getattr(visitor, which) == TOKEN
    for shown in (repr(visitor), str(visitor), repr([visitor]), repr(attrs.asdict(visitor))):
        assert TOKEN not in shown


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({}, "visitor"),
        ({"access_token": TOKEN, "id_token": TOKEN}, "visitor"),
        ({"access_token": ""}, "access_token"),
        ({"access_token": "  "}, "access_token"),
        ({"id_token": TOKEN.encode()}, "id_token"),
        ({"id_token": TOKEN, "provider_id": TOKEN}, "provider_id"),
        ({"id_token": TOKEN, "provider_id": True}, "provider_id"),
    ],
)
def test_a_wrong_visitor_is_told_without_its_token(wrong: dict[str, Any], argument: str) -> None:
    """Neither token, both, or one that is none: the error names the argument, before anything is sent."""
    with pytest.raises(InvalidArgument) as raised:
        models.Visitor(**wrong)
    assert raised.value.argument == argument
    assert TOKEN not in str(raised.value)


def test_a_secret_hides_itself_and_works_as_a_string() -> None:
    """Only `str()` and formatting give it, which is what a request needs."""
    for secret in (Secret(TOKEN), secret_or_none(TOKEN), SecretBytes(TOKEN.encode())):
        assert TOKEN not in repr(secret)
        assert TOKEN not in repr([secret])
        assert TOKEN not in f"{secret!r}"
        assert TOKEN not in f"{ {'token': secret} }"
    assert Secret(TOKEN) == TOKEN
    assert f"Bearer {Secret(TOKEN)}" == f"Bearer {TOKEN}"
    assert SecretBytes(b"x") == b"x"
    assert secret_or_none(None) is None


def tokens() -> TokenSet:
    """A token set with secrets."""
    return TokenSet(access=Secret(TOKEN), refresh=Secret(f"r-{TOKEN}"), obtained=0.0, visitor_id=Secret(f"v-{TOKEN}"))


def test_tokens_made_from_plain_strings_hide_themselves() -> None:
    """As a store of one's own makes them: not only the whole is masked, but each token wherever it goes on to."""
    found = TokenSet(access=TOKEN, refresh=TOKEN, obtained=0.0, visitor_id=TOKEN)
    for one in (found, TokenSet.from_dict(json.loads(json.dumps(found.to_dict())))):
        assert TOKEN not in repr((one, attrs.asdict(one), one.access, one.refresh, one.visitor_id))
        assert one.to_dict()["access"] == TOKEN


def settings() -> Settings:
    """Settings with secrets."""
    return Settings(
        base_url="https://chat.example", solution_id="7", client_secret=TOKEN, token_fields={"password": TOKEN}
    )


def internals() -> Iterator[object]:
    """One of each internal value, full of tokens and words."""
    message = models.TextMessage(conversation_id="c", id="1", text=MARK, html=MARK, raw={"content": MARK})
    parts = Parts(settings(), MemoryStore(), Clock())
    state = Plain.opened("s", parts, tokens(), Now(0.0, 0.0)).state
    state.feed.inbox("c").unread.append(Entry(1, message))
    state.feed.inbox("c").note_message(message)
    yield from (tokens(), settings(), TokenLife(tokens(), 0.0, 0.0), state, parts)
    yield from (state.keeper, Refresh.begun(state.keeper, "owner"), ConversationState(state, "c"))
    yield Send(send_request("c", MARK, "m"), Secret(TOKEN))
    visitor = models.Visitor(access_token=TOKEN)
    yield sign_in_request(settings(), visitor, Secret(TOKEN))
    yield [signed_in(Reply(status=200, body=json.dumps({"userInfoId": TOKEN}).encode()))]
    yield token_request(connect_fields(settings(), {"user_info_id": Secret(TOKEN), "code_verifier": Secret(TOKEN)}))
    yield authenticate_request("7", models.Visitor(id_token=TOKEN), "x")
    yield Poll((message,), None)
    yield from (Entry(1, message), Expected("m", MARK), Inbox("c", messages={"1": message}), Feed())
    yield Reply(status=200, headers={"x": MARK}, body=TOKEN.encode())
    yield Request(operation="x", method="POST", path="/", body=SecretBytes(MARK.encode()))
    yield token_request({"grant_type": "refresh_token", "refresh_token": TOKEN})
    yield send_request("c", MARK, "m")
    yield route_request("c", "q", models.Customer(name=MARK), (models.Variable("a", MARK),), MARK)
    yield Unread(seq=1, raw={"content": MARK})
    yield StoredSession(id="s", tokens=tokens(), unread={1: Unread(seq=1, raw={"content": MARK})})
    yield StoredConversation(id="c")


def test_no_internal_value_shows_a_token_or_a_word() -> None:
    """What a debugger or a traceback with locals prints of our own objects is masked."""
    for value in internals():
        for shown in (repr(value), str(value)):
            assert TOKEN not in shown
            assert MARK not in shown


def test_clients_and_their_parts_show_no_setting() -> None:
    """The repr of a client is its address."""
    with PuzzelChat("https://chat.example", "7", client_secret=TOKEN) as chat:
        assert repr(chat) == "<PuzzelChat https://chat.example>"
    assert repr(AsyncPuzzelChat("https://chat.example", "7", client_secret=TOKEN)) == (
        "<AsyncPuzzelChat https://chat.example>"
    )


@contextmanager
def in_turn(*answers: bytes | None) -> Iterator[str]:
    """A real server on loopback that gives these answers in turn, the last one for ever; None closes without one."""
    left = list(answers)

    def answer(connection: socket.socket) -> None:
        if (body := left.pop(0) if len(left) > 1 else left[0]) is not None:
            connection.sendall(body)

    with server(answer) as address:
        yield address


def http(document: object, status: int = 200) -> bytes:
    """A JSON answer, after which the connection is closed."""
    body = json.dumps(document).encode()
    head = (
        f"HTTP/1.1 {status} X",
        "Content-Type: application/json",
        "Connection: close",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", "")).encode() + body


Connect = Callable[[str], object]


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two clients."""
    return str(request.param)


@pytest.fixture(params=["unknown", "signed in"])
def connect(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, kind: str) -> Connect:
    """Open a session for a visitor and make one call; secrets are in settings and visitor, tries follow at once."""
    monkeypatch.setattr(Clock, "uniform", lambda self, low, high: low)
    monkeypatch.setattr(_session, "token_urlsafe", lambda size: TOKEN)
    visitor = models.Visitor(id_token=TOKEN) if request.param == "signed in" else None
    secrets: dict[str, Any] = {"client_secret": TOKEN, "token_fields": {"password": TOKEN}}

    def blocking(base_url: str) -> object:
        with PuzzelChat(base_url, "7", **secrets) as chat:
            return chat.connect(visitor=visitor).queue_info("27504")

    async def awaited(base_url: str) -> object:
        async with AsyncPuzzelChat(base_url, "7", **secrets) as chat:
            return await (await chat.connect(visitor=visitor)).queue_info("27504")

    return blocking if kind == "sync" else lambda base_url: asyncio.run(awaited(base_url))


def failing(connect: Connect, base_url: str) -> str:
    """Connect and call, which must fail somewhere, and give all that tools would show of it."""
    with pytest.raises(PuzzelChatError) as raised:
        connect(base_url)
    return told_by(raised.value)


def test_a_refused_connection_shows_no_secret(connect: Connect) -> None:
    """Through our frames and the HTTP library's, down to the socket, the client secret is masked."""
    with dead_port() as port:
        shown = failing(connect, f"http://127.0.0.1:{port}")
    assert "_transport.py" in shown
    assert TOKEN not in shown


@pytest.mark.parametrize(
    "answer",
    [
        None,
        http({"error": "invalid_client"}, 401),
        http({}, 503),
        http([]),
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b"nonsense",
    ],
)
def test_a_failing_token_request_shows_no_secret(connect: Connect, answer: bytes | None) -> None:
    """Whatever the service answers to that, or to who the visitor is, no frame shows what was sent."""
    with in_turn(answer) as base_url:
        assert TOKEN not in failing(connect, base_url)


@pytest.mark.parametrize(
    "document",
    [
        {"refresh_token": TOKEN},
        {"access_token": 7, "refresh_token": TOKEN, "id_token": TOKEN},
        {"access_token": f"{TOKEN}\n"},
        [TOKEN],
    ],
)
def test_a_bad_token_reply_shows_no_token(connect: Connect, document: object) -> None:
    """Also what came back is masked in the frames that judged it."""
    with in_turn(http(document)) as base_url:
        assert TOKEN not in failing(connect, base_url)


@pytest.mark.parametrize(
    "stalls_at", [b"POST /api/authenticate", b"codeChallenge", b"POST /connect", b"grant_type", b"Bearer"]
)
def test_a_connection_that_stalls_while_writing_shows_no_secret(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, stalls_at: bytes
) -> None:
    """The HTTP library's frames hold headers and body while they are written; no chain of causes may show them."""
    good = http({"access_token": TOKEN, "refresh_token": f"r-{TOKEN}", "expires_in": 600, "userInfoId": TOKEN})
    write, write_async = SyncStream.write, AnyIOStream.write

    def writes(self: SyncStream, data: bytes, timeout: float | None = None) -> None:
        if stalls_at in data:
            raise httpcore.WriteTimeout
        write(self, data, timeout)

    async def writes_async(self: AnyIOStream, data: bytes, timeout: float | None = None) -> None:
        if stalls_at in data:
            raise httpcore.WriteTimeout
        await write_async(self, data, timeout)

    monkeypatch.setattr(SyncStream, "write", writes)
    monkeypatch.setattr(AnyIOStream, "write", writes_async)
    with in_turn(good) as base_url:
        assert TOKEN not in failing(connect, base_url)


def test_a_failing_call_shows_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """The access token of a call that fails, in whatever way, is in no frame."""
    monkeypatch.setattr(Clock, "uniform", lambda self, low, high: low)
    good = http({"access_token": TOKEN, "refresh_token": f"r-{TOKEN}", "expires_in": 600})
    for bad in (None, http({}, 500), http({}, 401), http([]), b"nonsense"):
        with in_turn(good, bad) as base_url, PuzzelChat(base_url, "7") as chat:
            session = chat.connect()
            with pytest.raises(PuzzelChatError) as raised:
                session.queue_info("27504")
            assert TOKEN not in told_by(raised.value)


def test_a_wrong_setting_beside_a_secret_does_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret from the environment is in no frame of the error about another setting."""
    monkeypatch.setenv("PUZZEL_CHAT_CLIENT_SECRET", TOKEN)
    monkeypatch.setenv("PUZZEL_CHAT_TIMEOUT", "0")
    with pytest.raises(PuzzelChatError) as raised:
        PuzzelChat.from_env(base_url="https://chat.example", solution_id="7")
    assert TOKEN not in told_by(raised.value)


def test_no_log_record_holds_a_secret_or_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """Our own records, at every level, through a failing refresh and a failing poll."""
    state = Plain.opened("s", Parts(settings(), MemoryStore(), Clock()), tokens(), Now(0.0, 0.0)).state
    refresh = Refresh.begun(state.keeper, "owner")
    with caplog.at_level(logging.DEBUG, logger="puzzel_chat"):
        refresh.ended(ValueError(TOKEN))
        refresh.ended(tokens())
        for body in (MARK.encode(), b"\xff", TOKEN.encode()):
            error = error_for(POLL, Reply(status=500, body=body))
            assert error is not None
            state.poll_failed(error)
        state.poll_failed(PuzzelChatError(MARK))
    assert len(caplog.records) >= 4
    for record in caplog.records:
        assert TOKEN not in record.getMessage()
        assert MARK not in record.getMessage()
