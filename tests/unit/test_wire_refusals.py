"""Refusals: which error a reply is, and that an error shows no token and nothing that a person wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from documents import also, fixed, line, problem, reply
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
from puzzel_chat._retry import ends_a_loop, not_taken, unknown_outcome
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
    UPLOAD,
    AnyOperation,
)
from puzzel_chat._wire.refusals import error_for, refresh_error, suspected, wait_asked
from puzzel_chat._wire.replies import excerpt
from puzzel_chat_api.provenance import OPERATIONS as THEIRS

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
    assert [error_for(operation, Reply(status=status)) for operation in OPERATIONS.values()] == [None] * len(OPERATIONS)


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
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 -0100", None),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 +0100", 0.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
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
        ("https://new.example/x?token=1", "redirects to new.example/x; set the address"),
        ("https://new.example:8443/x/", "redirects to new.example:8443/x/; set the address"),
        ("https://chat.example/api/conversation/", "redirects to chat.example/api/conversation/; set"),
        ("//new.example", "redirects to new.example; set"),
        ("/login?token=1", "redirects to /login; set the address"),
        ("/api/access-9c1f7a22e0b84d55/x", "redirects to /api/…/x; set"),
        ("/api/access%2D9c1f7a22e0b84d55", "redirects to /api/…; set"),
        ("https://ada:token@new.example/", "redirects to new.example/; set"),
        ("https://new.example:port/", "another address"),
        (f"/{'a/' * 500}", f"redirects to /{'a/' * 39}a; set"),
        ("/a\x1b[2J\u202eb", "redirects to /a[2Jb; set"),
        ("", "another address"),
        ("http://[::1", "another address"),
    ],
)
def test_a_redirect_is_a_wrong_address(location: str, told: str) -> None:
    """It is not followed; the message tells where to: host and path, without the query and what may be a token."""
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


@pytest.mark.parametrize("operation", [TOKEN, AUTHENTICATE, ROUTE, SEND, UPLOAD], ids=lambda row: row.name)
def test_a_redirect_of_what_people_wrote_names_only_the_documents_own_words(operation: AnyOperation) -> None:
    """A path can repeat the request; ours is known, and says whether a slash or a letter's case was wrong."""
    own = THEIRS[operation.name].path.replace("{", "").replace("}", "")
    found = error_for(operation, Reply(status=302, headers={"location": f"https://x.example{own.upper()}/Grunnfjell/"}))
    assert isinstance(found, ConfigurationError)
    assert own.split("/")[1].upper() in str(found)
    assert str(found).count("/…") >= 1
    assert "Grunn" not in str(found)


def test_a_redirect_to_https_says_so() -> None:
    """The same host and path, over another protocol: the setting has the wrong beginning."""
    address = Settings(solution_id="7", base_url="http://localhost/x").address("communication")
    for operation in (POLL, SEND, END):
        headers = {"location": "https://localhost/x/api/"}
        found = error_for(operation, Reply(status=301, address=address, headers=headers))
        assert "redirects to localhost/" in str(found)
        assert "over https; set the address" in str(found)


# What is not the service's


PAGES = [
    ({"content-type": "text/html; charset=utf-8"}, b"<!doctype html><title>Not here</title>"),
    ({"content-type": "Text/HTML"}, b"\xef\xbb\xbf\r\n  <html><head><title>Not here</title>"),
    ({}, b"<html><title>Not here</title>"),
    ({"content-type": "application/xml"}, b"<?xml version='1.0'?><Error><title>Not here</title></Error>"),
    ({"content-type": "text/html"}, b"<p>no title here"),
    ({"content-type": "text/html"}, b""),
    ({"content-type": "text/html"}, b"Forbidden"),
    ({"content-type": "text/html"}, b"\xff\xfe<\x00h\x00"),
]
READINGS = [status for status in range(400, 500) if status not in (407, 408, 413, 414, 421, 425, 429, 431, 499)]


@pytest.mark.parametrize(
    "operation", [row for row in OPERATIONS.values() if row is not TOKEN], ids=lambda row: row.name
)
@pytest.mark.parametrize(("headers", "body"), PAGES)
def test_a_page_says_nothing_about_ids_and_tokens(
    operation: AnyOperation, headers: dict[str, str], body: bytes
) -> None:
    """The error names the host and its setting, blames nothing that was sent, and may pass."""
    address = Settings(solution_id="7", base_url="https://chat.example").address(operation.host)
    for status in READINGS:
        found = error_for(operation, Reply(status=status, address=address, headers=headers, body=body))
        assert type(found) is ApiError
        assert (found.status, found.retryable, found.host) == (status, True, operation.host)
        assert "chat.example (base_url)" in str(found)
        for blamed in ("queue", "route()", " id", "token ", "solution", "in use", "chat has ended", "provider"):
            assert blamed not in str(found).partition(":")[2]
        assert not unknown_outcome(found)
        assert not not_taken(found)
        assert not ends_a_loop(found, 0)
        if b"<title>" in body:
            assert ("'Not here'" in str(found)) == (operation not in (AUTHENTICATE, ROUTE, SEND, UPLOAD))


@pytest.mark.parametrize(("headers", "body"), PAGES)
def test_a_page_in_place_of_tokens_refuses_none(headers: dict[str, str], body: bytes) -> None:
    """Neither the client nor the session is blamed; where no token endpoint is, the address is wrong."""
    body += b"<a href='?a&error=invalid_grant&error_description=x'>" if b"<" in body else b""
    for status in READINGS:
        found = error_for(TOKEN, Reply(status=status, headers=headers, body=body))
        assert found is not None
        assert refresh_error(found) is found
        assert not ends_a_loop(found, 0)
        if status in (404, 405):
            assert isinstance(found, ConfigurationError)
            assert found.setting == "base_url"
        else:
            assert (type(found), found.retryable) == (ApiError, True)


def test_json_is_the_services_whatever_it_is_labelled() -> None:
    """A reply that begins like JSON is read by its status."""
    for labelled in ("text/html", "application/json", ""):
        got = Reply(status=404, headers={"content-type": labelled}, body=b' {"title": "No such queue."}')
        assert type(error_for(QUEUE, got)) is NotFound


@pytest.mark.parametrize("operation", [QUEUE, TIME, ROUTE, STATUS, SEND, TYPING, END], ids=lambda row: row.name)
@pytest.mark.parametrize("body", [b"", b" ", b"404 page not found", b'{"message": "no Route matched"}', b"[]"])
def test_a_404_that_does_not_say_what_is_missing_leaves_both_open(operation: AnyOperation, body: bytes) -> None:
    """It may be the id, and it may be the path in the setting; a problem document leaves no doubt."""
    address = Settings(solution_id="7", base_url="https://chat.example/x").address("communication")
    found = error_for(operation, Reply(status=404, address=address, body=body))
    assert type(found) is NotFound
    assert "check chat.example (base_url), its path, too" in str(found)
    assert "its path, too" not in str(error_for(operation, problem(404, "NotFound")))


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (101, "That is no answer of the chat service"),
        (199, "That is no answer of the chat service"),
        (300, "That is no answer of the chat service"),
        (304, "A cache on the way answered"),
        (305, "That is no answer of the chat service"),
        (306, "That is no answer of the chat service"),
        (405, "takes no such request; check chat.example (base_url)"),
        (407, "A proxy on the way to chat.example (base_url) wants a sign-in"),
        (408, "too long to arrive"),
        (413, "too long"),
        (414, "shorter ids"),
        (421, "wrong server behind chat.example (base_url)"),
        (423, "locked for now"),
        (425, "wants the request again"),
        (426, "check that chat.example (base_url) begins with https://"),
        (431, "too long"),
        (451, "The law forbids"),
        (499, "gave the request up"),
        (501, "knows no such request"),
        (505, "version of HTTP"),
        (511, "sign in, and try again"),
    ],
)
def test_each_odd_status_says_what_it_is(status: int, told: str) -> None:
    """Statuses that the document does not have, from whoever stands on the way, for each operation."""
    settings = Settings(solution_id="7", base_url="https://chat.example")
    for operation in OPERATIONS.values():
        if (operation is TOKEN and status == 405) or (operation is POLL and status == 304):
            continue
        found = error_for(operation, Reply(status=status, address=settings.address(operation.host)))
        assert type(found) is (ServerError if status >= 500 else ApiError)
        assert told in str(found)
        assert "another address" not in str(found)
        passes = status < 400 or status >= 500 or status in (407, 408, 421, 423, 425, 499)
        assert found.retryable is passes
        assert ends_a_loop(found, 0) is not passes


def test_what_is_too_long_is_named() -> None:
    """413 is about the request's body, whoever says it: the service, or a gateway's page."""
    for operation, word in ((SEND, "The text"), (ROUTE, "customer, variables or subject"), (TOKEN, "token_fields")):
        for got in (Reply(status=413), problem(413), Reply(status=413, body=b"<html><title>413</title>")):
            found = error_for(operation, got)
            assert word in str(found)
            assert isinstance(found, ApiError)
            assert not found.retryable


def test_a_304_to_a_poll_is_nothing_new() -> None:
    """Like 204, it moves no cursor and forgets no last reply; so does a 205."""
    last = replies.poll(reply({"messages": [line(id="1")], "cursor": 1}))
    for status in (204, 205, 304):
        got = Reply(status=status, body=b"" if status == 204 else b"<html>")
        assert error_for(POLL, got) is None
        assert replies.poll(got, last) == evolve(last, events=(), cursor=None)
        assert replies.poll(got, last).items == last.items
        again = replies.poll(reply({"messages": [line(id="1"), line(id="2")], "cursor": 2}), replies.poll(got, last))
        assert [one.id for one in again.events] == ["2"]


# The settings of a refused token request


SUSPECTS: list[tuple[dict[str, Any], str, list[str]]] = [
    ({}, "solution_id", ["client_id"]),
    ({"tenant_id": "9"}, "tenant_id", ["client_id"]),
    ({"client_secret": "s3cr3t"}, "client_secret", ["solution_id", "client_id"]),
    ({"client_id": "ours"}, "client_id", ["solution_id"]),
    ({"client_id": "ours", "client_secret": "s3cr3t"}, "client_secret", ["client_id", "solution_id"]),
    ({"client_secret": "s3cr3t", "tenant_id": "9"}, "client_secret", ["tenant_id", "client_id"]),
]
REFUSALS = [
    reply({"error": "invalid_client"}, 401),
    reply({"error": "invalid_client"}, 400),
    reply({"error": "unauthorized_client"}, 400),
    Reply(status=401),
    Reply(status=403),
    problem(403, "Forbidden"),
]


@pytest.mark.parametrize(("chosen", "setting", "then"), SUSPECTS)
@pytest.mark.parametrize("refused", REFUSALS)
def test_the_likeliest_setting_is_suspected_first(
    refused: Reply, chosen: dict[str, Any], setting: str, then: list[str]
) -> None:
    """What was set by hand, then the solution, then what the library chose; no secret is spoken of that was not set."""
    error = error_for(TOKEN, refused)
    assert error is not None
    assert "secret" not in str(error)
    assert refresh_error(error) is error
    found = suspected(error, Settings(solution_id="7", region="uk", **chosen))
    assert isinstance(found, ConfigurationError)
    assert (found.setting, found.host, found.retryable) == (setting, "identity", False)
    looked = str(found).partition("Look at ")[2]
    places = [looked.index(name) for name in (setting, *then)]
    assert places == sorted(places)
    assert ("secret" in str(found)) == ("client_secret" in chosen)
    assert "s3cr3t" not in str(found)


def test_a_refused_grant_suspects_what_was_sent_as_tenant_id() -> None:
    """The solution id, or the tenant id where one was set; all other errors stay as they are."""
    refused = error_for(TOKEN, reply({"error": "invalid_grant"}, 400))
    assert refused is not None
    for chosen, setting in (({}, "solution_id"), ({"tenant_id": "9"}, "tenant_id")):
        found = suspected(refused, Settings(solution_id="7", region="uk", **chosen))  # type: ignore[arg-type]
        assert isinstance(found, ConfigurationError)
        assert (found.setting, found.host) == (setting, "identity")
    for other in (ServerError("500", status=500), ConfigurationError("scope", "x"), SessionExpired("Over.")):
        assert suspected(other, Settings(solution_id="7", region="uk")) is other


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
