"""Refusals: which error a reply is, and that an error shows no token and nothing that a person wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import also, fixed, problem, reply
from puzzel_chat._errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    Conflict,
    ConversationClosed,
    NotFound,
    PermissionDenied,
    PuzzelChatError,
    QueueClosed,
    QueueFull,
    RateLimited,
    RoutingRefused,
    ServerError,
    SessionExpired,
)
from puzzel_chat._html import printable
from puzzel_chat._http import Reply
from puzzel_chat._settings import Settings
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    END,
    OPERATIONS,
    POLL,
    QUEUE,
    ROUTE,
    SEND,
    STATUS,
    TIME,
    TOKEN,
    TYPING,
    AnyOperation,
)
from puzzel_chat._wire.refusals import error_for, refresh_error, wait_asked
from puzzel_chat._wire.replies import excerpt

KINDS: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    429: RateLimited,
}
media = st.sampled_from(["application/json", "application/problem+json", "text/plain; charset=utf-8", "text/html", ""])
media |= st.sampled_from(["application/x-www-form-urlencoded", "application/octet-stream"])


@fixed
@given(status=st.integers(200, 299))
def test_a_success_is_no_error(status: int) -> None:
    """Any 2xx is taken; the converter judges what is in it."""
    assert [error_for(operation, Reply(status=status)) for operation in OPERATIONS.values()] == [None] * 10


@fixed
@given(status=st.integers(400, 599))
@also(status=[400, *KINDS, 408, 410, 422, 500, 503, 520, 599])
def test_each_status_has_its_error(status: int) -> None:
    """The problem document's words are attributes; the message says operation and status."""
    found = error_for(STATUS, problem(status, "Code"))
    assert type(found) is KINDS.get(status, ServerError if status >= 500 else ApiError)
    assert (found.status, found.code, found.title, found.detail) == (status, "Code", "T", "D")
    assert str(found).startswith(f"getRequestStatus: status {status} (Code).")
    assert found.host == "communication"


NONSENSE = [b"", b"<html><title>Oh</title>", b"{", b"[]", b'{"code": 7, "title": [], "error": 7}']


@fixed
@given(status=st.integers(400, 599), body=st.binary(max_size=40) | st.sampled_from(NONSENSE), labelled=media)
def test_no_error_page_breaks_the_judgement(status: int, body: bytes, labelled: str) -> None:
    """HTML, cut JSON and nonsense give an error of ours too, under any content type."""
    for operation in OPERATIONS.values():
        for one in (body, *NONSENSE):
            found = error_for(operation, Reply(status=status, headers={"content-type": labelled}, body=one))
            assert isinstance(found, PuzzelChatError)
            assert found.host == operation.host


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("QueueClosed", QueueClosed),
        ("QueueFull", QueueFull),
        ("NoAgents", RoutingRefused),
        ("ConversationEnded", ConversationClosed),
    ],
)
def test_each_refusal_of_routing_has_its_error(code: str, kind: type[PuzzelChatError]) -> None:
    """The code decides, and a closed queue says when it opens."""
    found = error_for(ROUTE, problem(422, code, opensAt="2026-11-24T08:00:00Z"))
    assert type(found) is kind
    if isinstance(found, QueueClosed):
        assert found.opens_at == datetime(2026, 11, 24, 8, tzinfo=UTC)
    if isinstance(found, RoutingRefused):
        assert found.reason == "NoAgents"


def test_gone_means_the_chat_is_over() -> None:
    """410 on an action is ConversationClosed, with or without the code; on others it is what it is."""
    for operation in (SEND, TYPING, ROUTE):
        assert isinstance(error_for(operation, problem(410, "ConversationEnded")), ConversationClosed)
        assert isinstance(error_for(operation, Reply(status=410)), ConversationClosed)
    assert type(error_for(END, problem(410, "ConversationEnded"))) is ApiError
    assert type(error_for(POLL, Reply(status=410))) is ApiError


def test_a_missing_thing_says_what_to_check() -> None:
    """404 names the next step of each operation."""
    for operation, word in (
        (AUTHENTICATE, "provider_id"),
        (AUTHENTICATE, "solution_id"),
        (QUEUE, "visual queue id, a number"),
        (QUEUE, "A queue key is for routing"),
        (TIME, "time id"),
        (ROUTE, "queue key"),
        (ROUTE, "A number is a visual queue id"),
        (STATUS, "route()"),
        (SEND, "route()"),
    ):
        assert word in str(error_for(operation, problem(404)))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, None, ApiError),
        (401, "InvalidToken", AuthenticationError),
        (403, None, PermissionDenied),
        (404, "ProviderNotFound", NotFound),
        (404, "CustomerNotFound", NotFound),
        (429, None, RateLimited),
        (503, None, ServerError),
    ],
)
def test_each_refusal_of_a_visitor_has_its_error(status: int, code: str | None, kind: type[ApiError]) -> None:
    """The status decides, the code is kept, and no token that the service repeats is told."""
    found = error_for(AUTHENTICATE, problem(status, code, title="Bad token gr4n1te-gr4n1te-gr4n1te"))
    assert type(found) is kind
    assert isinstance(found, ApiError)
    assert (found.status, found.code, found.host) == (status, code, "identity")
    assert "gr4n1te" not in str(found)


SETTINGS = {
    "invalid_client": "client_id",
    "unauthorized_client": "client_id",
    "invalid_scope": "scope",
    "invalid_request": "token_fields",
    "unsupported_grant_type": "grant_type",
    "invalid_grant": "solution_id",
}
words = st.sampled_from(list(SETTINGS))
descriptions = st.none() | st.text(max_size=40)


@st.composite
def dressed(draw: st.DrawFn, word: str, statuses: tuple[int, ...] = (200, 400, 401, 403)) -> Reply:
    """An OAuth error as JSON, as a form or as the bare word, under any content type."""
    document = {"error": word} | ({"error_description": said} if (said := draw(descriptions)) is not None else {})
    bodies = [json.dumps(document), json.dumps(document, indent=2), urlencode(document), word, f" {word}\r\n"]
    bodies.append(json.dumps(word))  # what this framework makes of a bare word for who asks for JSON
    labelled = draw(media)
    return Reply(
        status=draw(st.sampled_from(statuses)),
        headers={"content-type": labelled} if labelled else {},
        body=draw(st.sampled_from(bodies)).encode(),
    )


@fixed
@given(data=st.data(), word=words)
def test_each_oauth_error_names_the_setting_to_look_at(data: st.DataObject, word: str) -> None:
    """RFC 6749 section 5.2, in the words of our settings, whatever the error comes as and also with status 200."""
    found = error_for(TOKEN, data.draw(dressed(word)))
    assert isinstance(found, ConfigurationError)
    assert (found.setting, found.host, found.retryable) == (SETTINGS[word], "identity", False)
    assert word in str(found)


@fixed
@given(data=st.data(), word=words)
def test_only_a_refused_grant_ends_a_session_in_whatever_dress(data: st.DataObject, word: str) -> None:
    """On a refresh, invalid_grant means that it is over; each other error stays what it is."""
    found = error_for(TOKEN, data.draw(dressed(word)))
    assert found is not None
    if word == "invalid_grant":
        assert isinstance(refresh_error(found), SessionExpired)
    else:
        assert refresh_error(found) is found


@fixed
@given(data=st.data(), word=words | st.sampled_from(["temporarily_unavailable", "slow_down"]))
def test_a_service_that_is_busy_refuses_no_token(data: st.DataObject, word: str) -> None:
    """A 429 or 5xx passes, whatever word stands in it: a 503 must never end a session."""
    busy = data.draw(dressed(word, (429, 500, 502, 503, 520)))
    found = error_for(TOKEN, busy)
    assert type(found) is (RateLimited if busy.status == 429 else ServerError)
    assert not isinstance(refresh_error(found), SessionExpired)


@pytest.mark.parametrize(
    "document",
    [
        {"access_token": "a", "error": None},
        {"access_token": "a", "scope": "invalid_grant"},
        {"access_token": "invalid_grant"},
        {"access_token": "a", "error": "", "error_description": "invalid_client"},
    ],
)
def test_a_word_elsewhere_in_a_token_reply_is_no_error(document: dict[str, object]) -> None:
    """Only the member that the standard names counts, and a token is a token whatever it reads like."""
    assert error_for(TOKEN, reply(document)) is None
    assert replies.grant(reply(document), 0.0).access


def test_an_oauth_error_means_nothing_to_other_operations() -> None:
    """A word of the token endpoint in another reply neither ends a session nor blames a setting."""
    for operation in set(OPERATIONS.values()) - {TOKEN}:
        assert type(error_for(operation, reply({"error": "invalid_grant"}, 400))) is ApiError


@pytest.mark.parametrize(
    ("chosen", "setting"),
    [
        ({"region": "uk"}, "region"),
        ({"base_url": "https://id.example"}, "base_url"),
        ({"base_url": "https://chat.example", "identity_url": "https://id.example"}, "identity_url"),
    ],
)
@pytest.mark.parametrize("status", [404, 405])
def test_an_address_without_a_token_endpoint_is_a_wrong_address(
    status: int, chosen: dict[str, Any], setting: str
) -> None:
    """404 and 405 on connect/token name the host, and the setting that chose it."""
    address = Settings(solution_id="7", **chosen).address("identity")
    found = error_for(TOKEN, Reply(status=status, address=address))
    assert isinstance(found, ConfigurationError)
    assert found.setting == setting
    assert f"no /connect/token at {address.host}" in str(found)
    assert ("set identity_url" in str(found)) == (setting == "base_url")


@pytest.mark.parametrize("status", [401, 403])
def test_a_bare_refusal_of_the_token_request_is_about_the_client(status: int) -> None:
    """Without a word of the service, the client id is the first thing to look at."""
    found = error_for(TOKEN, Reply(status=status))
    assert isinstance(found, ConfigurationError)
    assert found.setting == "client_id"


@pytest.mark.parametrize(
    ("asked", "wait"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("", None),
        ("soon", None),
        ("-7", None),
        ("7.5", None),
        ("²", None),
        ("9" * 400, 999999999.0),
        ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 11:59:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 12:00:30", None),
        ("Mon, 23 Nov 2026 12:00:30 +99999999999999999999", None),
        ("Mon, 23 Nov 99999 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(asked: str, wait: float | None) -> None:
    """RFC 9110 section 10.2.3, judged by the reply's own clock; nonsense is not said."""
    assert wait_asked({"retry-after": asked, "date": "Mon, 23 Nov 2026 12:00:00 GMT"}) == wait
    assert wait_asked({}) is None


def test_a_date_without_the_replys_clock_is_judged_by_ours() -> None:
    """A date long past means now, a bad Date header is ignored."""
    assert wait_asked({"retry-after": "Mon, 23 Nov 1998 12:00:00 GMT"}) == 0.0
    assert wait_asked({"retry-after": "Mon, 23 Nov 2026 12:00:00 GMT", "date": "today"}) is None


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, ServerError)])
def test_the_error_tells_how_long_to_wait(status: int, kind: type[ApiError]) -> None:
    """A program can act on it."""
    found = error_for(POLL, reply({}, status, **{"retry-after": "7", "x-request-id": "r1"}))
    assert isinstance(found, kind)
    assert (found.retry_after, found.request_id, found.retryable) == (7.0, "r1", True)


def test_the_services_name_for_a_request_is_kept() -> None:
    """From the header, or from the trace id that this framework puts into problems."""
    found = error_for(STATUS, problem(500, traceId="t1"))
    assert found is not None
    assert found.request_id == "t1"


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("https://new.example/x?token=1", "new.example"),
        ("/login", "another address"),
        ("", "another address"),
        ("http://[::1", "another address"),
    ],
)
def test_a_redirect_is_a_wrong_address(location: str, told: str) -> None:
    """It is not followed; the message tells where to, without path and query."""
    for status in (301, 302, 307, 308):
        found = error_for(POLL, Reply(status=status, headers={"location": location}))
        assert isinstance(found, ConfigurationError)
        assert found.setting == "base_url"
        assert told in str(found)
        assert "token" not in str(found)


@pytest.mark.parametrize(
    ("operation", "host"), [(TOKEN, "id.example:443 (identity_url)"), (POLL, "chat.example:443 (base_url)")]
)
def test_a_redirect_names_the_host_that_redirects_and_its_setting(operation: AnyOperation, host: str) -> None:
    """There are two hosts, and only one of them has moved."""
    settings = Settings(solution_id="7", base_url="https://chat.example", identity_url="https://id.example")
    address = settings.address(operation.host)
    found = error_for(operation, Reply(status=307, address=address, headers={"location": "https://new.example/"}))
    assert isinstance(found, ConfigurationError)
    assert str(address) == host
    assert str(found).startswith(f"{address.setting}: {address.host} redirects to new.example")
    assert found.host == operation.host


# What of a reply may be shown


# Their requests or replies hold tokens, the customer's words and name, or an agent's name.
WORDY: list[AnyOperation] = [TOKEN, AUTHENTICATE, POLL, SEND, ROUTE, STATUS]
PRIVATE = [row for row in OPERATIONS.values() if row.private]
MARK = "Grunnfjell"
documents = st.recursive(
    st.just(MARK) | st.text(max_size=5).map(lambda t: MARK + t + MARK) | st.integers(0, 9) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=40) | st.dictionaries(st.sampled_from(["id", "content", 'a"b', MARK]), inner)
    ),
    max_leaves=60,
)
WORDS = [
    f'{{"title": "ok", "name": "{MARK}"}}',
    f'["{MARK}"]',
    f"{{'access_token': '{MARK}'}}",
    f"The value '{MARK}' is not valid.",
    f"[{MARK}]",
    f"{{{MARK}",
    f"<p>{MARK}</p>",
    f'{{"a":"{MARK * 200}\\u00e6 and so on"}}',
]


@fixed
@given(text=documents.map(json.dumps) | st.text().map(lambda more: MARK + more), cut=st.integers(0, 3000), kind=media)
def test_no_operation_shows_words_of_a_reply_that_does_not_fit(text: str, cut: int, kind: str) -> None:
    """A reply can hold what the customer wrote, an agent's name or a token; errors show none of it, cut or whole."""
    for whole in [text, *WORDS]:
        written = whole.encode("utf-8", "replace")
        for body in (written, written[: cut + 1]):
            for operation in WORDY:
                got = Reply(status=400, headers={"content-type": kind}, body=body)
                assert "Grunn" not in excerpt(operation, got) + str(error_for(operation, got))


@pytest.mark.parametrize(
    ("labelled", "told"),
    [
        ("application/json; charset=utf-8", "(1,204 bytes of application/json)"),
        ("Application/Problem+JSON", "(1,204 bytes of application/problem+json)"),
        ("", "(1,204 bytes)"),
        ("json", "(1,204 bytes)"),
        ("text/plain access-9c1f7a22e0b84d55", "(1,204 bytes)"),
        (f"text/{'x' * 31}", "(1,204 bytes)"),
        ("text/\x1b[2J", "(1,204 bytes)"),
    ],
)
def test_of_a_private_reply_only_size_and_kind_are_told(labelled: str, told: str) -> None:
    """The kind is two plain words, or it is not told."""
    for operation in PRIVATE:
        got = Reply(status=200, headers={"content-type": labelled}, body=b"[" + b"1" * 1202 + b"]")
        assert excerpt(operation, got) == told


def test_a_title_is_told_only_where_it_can_hold_no_words() -> None:
    """What a service calls a problem helps, and may repeat what people wrote or a token."""
    got = problem(400, "Code", title="Bad token access-9c1f7a22e0b84d55")
    assert str(error_for(QUEUE, got)).startswith("getQueueInfo: status 400 (Bad token …, Code).")
    assert str(error_for(SEND, got)).startswith("sendMessage: status 400 (Code).")
    assert str(error_for(SEND, problem(400, "I am 12 years old"))).startswith("sendMessage: status 400.")


def test_an_excerpt_tells_enough_to_find_the_fault() -> None:
    """The title of a page, the beginning of a public reply, the size of any other."""
    assert excerpt(POLL, Reply(status=200, body=b" ")) == "(empty)"
    page = Reply(status=502, body=b"<html><title> Bad gateway </title>")
    assert excerpt(POLL, page) == "an HTML page titled 'Bad gateway'"
    assert excerpt(SEND, page) == "an HTML page"
    assert excerpt(QUEUE, reply({"id": [1]})) == '{"id": [1]}'
    assert len(excerpt(QUEUE, Reply(status=200, body=b"[" + b"1," * 5000))) <= 256


@fixed
@given(odd=st.text(min_size=1, max_size=30))
@also(odd=["\x1b[2J", "\x1b]0;x\x07", "\x1b[2J oh", "a\u202eb"])
def test_no_error_can_steer_a_terminal(odd: str) -> None:
    """Control sequences in a problem, a reason or a page do not reach the message."""
    for operation in OPERATIONS.values():
        for got in (
            problem(400, odd, title=odd),
            Reply(status=500, headers={}, body=odd.encode("utf-8", "replace")),
            Reply(status=500, headers={}, body=f"<title>{odd}</title>".encode("utf-8", "replace")),
        ):
            assert str(error_for(operation, got)) == printable(str(error_for(operation, got)))
