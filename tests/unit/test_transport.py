"""The border to the HTTP library: every error of it becomes ours, and nothing is followed, kept or shown."""

from __future__ import annotations

import inspect
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress

import httpx
import pytest

from answering import says, server
from hostile import Said, Service
from puzzel_chat._errors import ConfigurationError, ContractError, Sent, TransportError
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Visitor
from puzzel_chat._settings import Settings
from puzzel_chat._transport import OUTCOMES, headers, mapped_errors, new_client
from puzzel_chat._wire.operations import (
    OPERATIONS,
    authenticate_request,
    end_request,
    poll_request,
    queue_request,
    route_request,
    send_request,
    status_request,
    time_request,
    token_request,
    typing_request,
)
from puzzel_chat._wire.refusals import error_for

POLL = Request(operation="pollConversation", method="GET", path="/api/conversation")
CHAT = Settings(base_url="https://chat.example", solution_id="7").address("communication")
SECRET = "s3cr3t-token"

# Written here once more, so that a change of one side alone is seen.
NOT_SENT = {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "LocalProtocolError"} | {
    "ProxyError",
    "InvalidURL",
}
BASES = {
    "HTTPError",
    "RequestError",
    "TransportError",
    "TimeoutException",
    "NetworkError",
    "ProtocolError",
    "StreamError",
}


def library_errors() -> list[type[Exception]]:
    """Every error class that the HTTP library exports."""
    roots = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
    return sorted(
        {value for value in vars(httpx).values() if inspect.isclass(value) and issubclass(value, roots)},
        key=lambda kind: kind.__name__,
    )


def example(kind: type[Exception]) -> Exception:
    """An error of that class, made as its constructor wants it."""
    request = httpx.Request("GET", "https://chat.example")
    if issubclass(kind, httpx.HTTPStatusError):
        return kind("raised", request=request, response=httpx.Response(500, request=request))
    wanted = list(inspect.signature(kind).parameters.values())
    needs = [p for p in wanted if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return kind(*["raised" for _ in needs])


Send = Callable[..., Reply]


def test_the_library_has_the_errors_that_we_think() -> None:
    """When the library gains an error class, this test asks for a row."""
    named = {kind.__name__ for kind in OUTCOMES}
    concrete = {kind.__name__ for kind in library_errors()} - BASES
    inherited = {"HTTPStatusError", "StreamConsumed", "ResponseNotRead", "RequestNotRead", "StreamClosed"}
    assert concrete - inherited == named - {"HTTPError", "StreamError"}
    assert inherited <= concrete


@pytest.mark.parametrize("kind", library_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_library_becomes_ours(kind: type[Exception]) -> None:
    """Each class of the library maps to a TransportError with the right `sent`, and a sentence about the host."""
    expected: Sent = "no" if kind.__name__ in NOT_SENT else "maybe"
    with pytest.raises(TransportError, match=r"^No reply: .*\.$") as raised, mapped_errors(CHAT, 10.0):
        raise example(kind)
    assert raised.value.sent == expected
    assert raised.value.retryable
    assert raised.value.host == "communication"
    assert str(raised.value).count("chat.example") == str(raised.value).count("chat.example (base_url)")


def test_other_errors_pass_untouched() -> None:
    """A bug is not a network failure."""
    with pytest.raises(ZeroDivisionError), mapped_errors(CHAT, 10.0):
        raise ZeroDivisionError


def test_a_refused_connection_was_not_sent(send: Send) -> None:
    """Nobody listens: the service cannot have seen the request."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(TransportError, match=r"could not connect to 127\.0\.0\.1 \(base_url\); check that") as raised:
        send(f"http://127.0.0.1:{port}", POLL)
    assert raised.value.sent == "no"


def test_a_name_that_does_not_resolve_was_not_sent(send: Send) -> None:
    """The `invalid` top level never resolves (RFC 6761)."""
    with pytest.raises(TransportError) as raised:
        send("https://chat.invalid", POLL)
    assert raised.value.sent == "no"


def test_a_server_that_closes_after_reading_may_have_seen_it(send: Send) -> None:
    """The request went out, so nobody knows what became of it."""
    with server(lambda connection: None) as base_url, pytest.raises(TransportError) as raised:
        send(base_url, POLL)
    assert raised.value.sent == "maybe"


def test_a_server_that_never_answers_may_have_seen_it(send: Send) -> None:
    """The read times out after the time of the settings."""
    waiting = threading.Event()

    def stall(connection: socket.socket) -> None:
        waiting.wait(5)

    with server(stall) as base_url:
        with pytest.raises(TransportError, match=r"did not answer within 0\.1 s") as raised:
            send(base_url, POLL, timeout=0.1)
        waiting.set()
    assert raised.value.sent == "maybe"


@pytest.mark.parametrize(
    "reply",
    [
        "HTTP/1.1 200 OK\nContent-Length: 100\n\n{",
        "HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 4\n\nnope",
        "SSH-2.0-nothing\n\n",
    ],
)
def test_a_broken_answer_may_have_been_acted_on(send: Send, reply: str) -> None:
    """A body that is cut short, cannot be unpacked, or is not HTTP is no usable reply."""
    with server(says(reply)) as base_url, pytest.raises(TransportError) as raised:
        send(base_url, POLL)
    assert raised.value.sent == "maybe"


REQUESTS = {
    "connectToken": token_request({"grant_type": "visitor", "client_secret": SECRET}),
    "authenticateVisitor": authenticate_request("7", Visitor(id_token=SECRET), "x"),
    "getQueueInfo": queue_request("q"),
    "getTimeInfo": time_request("t"),
    "routeConversation": route_request("c", "q"),
    "getRequestStatus": status_request("c"),
    "pollConversation": poll_request("17"),
    "sendMessage": send_request("c", "Hello", "m"),
    "sendTyping": typing_request("c", True),
    "endConversation": end_request("c"),
}


def test_every_operation_has_an_example() -> None:
    """An operation that comes new is tested for redirects too."""
    assert REQUESTS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_redirect_carries_nothing_to_another_host(send: Send, operation: str) -> None:
    """No kind of redirect is followed, for any operation; the error says which setting to change, and to what.

    Neither a third host nor the other one of the two is asked.
    """
    row = OPERATIONS[operation]
    setting = "identity_url" if row.host == "identity" else "base_url"
    with nobody_asked() as elsewhere, nobody_asked() as other:
        for status in (301, 302, 303, 307, 308):
            head = f"HTTP/1.1 {status} Moved\nLocation: {elsewhere}/api\nContent-Length: 0\n\n"
            with server(says(head)) as asked:
                hosts = {"base_url": other, "identity_url": other, setting: asked}
                reply = send(hosts["base_url"], REQUESTS[operation], identity_url=hosts["identity_url"])
            error = error_for(row, reply)
            assert isinstance(error, ConfigurationError)
            assert str(error).startswith(f"{setting}: 127.0.0.1 redirects to 127.0.0.1; set the address")
            assert error.host == row.host


@contextmanager
def nobody_asked() -> Iterator[str]:
    """A host that fails the test when anything was sent to it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.setblocking(False)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize("operation", REQUESTS)
def test_a_request_goes_to_the_host_of_its_operation(send: Send, operation: str) -> None:
    """The identity host gives tokens and identifies visitors; all else, and no token, goes to the other one."""
    with Service(lambda asked: Said()) as identity, Service(lambda asked: Said()) as communication:
        reply = send(communication.base_url, REQUESTS[operation], identity_url=identity.base_url)
    hosts = {"identity": identity, "communication": communication}
    asked = hosts.pop(OPERATIONS[operation].host)
    assert [one.method for one in asked.asked] == [REQUESTS[operation].method]
    assert not next(iter(hosts.values())).asked
    assert reply.address is not None
    assert (reply.address.name, reply.address.url) == (OPERATIONS[operation].host, asked.base_url)
    assert (OPERATIONS[operation].host == "identity") == (operation in ("connectToken", "authenticateVisitor"))


FAILURES: dict[str, Callable[[socket.socket], None] | None] = {
    "nobody there": None,
    "closed": lambda connection: None,
    "silent": lambda connection: suppressed(lambda: connection.recv(1)),
    "cut short": says("HTTP/1.1 200 OK\nContent-Length: 100\n\n{"),
    "no HTTP": says("SSH-2.0-nothing\n\n"),
    "too slow": lambda connection: suppressed(lambda: trickle(connection)),
}


def suppressed(work: Callable[[], object]) -> None:
    """Do something, though the client may have gone meanwhile."""
    with suppress(OSError):
        work()


def trickle(connection: socket.socket) -> None:
    """Send a body that does not end, bit by bit, until the client has gone."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
    for _ in range(400):
        connection.sendall(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("operation", ["connectToken", "pollConversation"])
def test_an_error_names_the_host_that_failed_and_its_setting(send: Send, operation: str, failure: str) -> None:
    """There are two hosts, so "no reply" alone would send somebody to the wrong one; programs read `host`."""
    row, answer = OPERATIONS[operation], FAILURES[failure]
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        gone = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with nobody_asked() as other, nullcontext(gone) if answer is None else server(answer) as failing:
        failing = failing.replace("127.0.0.1", "localhost")
        setting = "identity_url" if row.host == "identity" else "base_url"
        hosts = {"base_url": other, "identity_url": other, setting: failing}
        with pytest.raises(TransportError) as raised:
            send(hosts["base_url"], REQUESTS[operation], identity_url=hosts["identity_url"], timeout=0.3)
    assert f"localhost ({setting})" in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)
    assert raised.value.host == row.host


@pytest.mark.parametrize("operation", ["connectToken", "pollConversation"])
def test_a_reply_that_is_not_read_names_its_host(send: Send, operation: str) -> None:
    """One that is packed as nobody asked for breaks the contract of one of the two."""
    with (
        server(says("HTTP/1.1 200 OK\nContent-Encoding: br\nContent-Length: 2\n\n{}")) as base_url,
        pytest.raises(ContractError, match="only gzip") as raised,
    ):
        send(base_url, REQUESTS[operation])
    assert raised.value.host == OPERATIONS[operation].host


def test_cookies_are_never_sent_back(send: Send) -> None:
    """A shared jar once gave one customer another's session (BerriAI/litellm#36149), so there is none."""
    heads: list[str] = []

    def answer(connection: socket.socket) -> None:
        head = "HTTP/1.1 200 OK\r\nSet-Cookie: pzl.rid=1; Path=/\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head.encode())
        heads.append(connection.recv(65536).decode())
        connection.sendall(head.encode())

    with server(answer) as base_url:
        send(base_url, POLL, POLL)
    assert heads[0].startswith("GET /api/conversation HTTP/1.1")
    assert "cookie" not in heads[0].lower()


def test_the_request_carries_what_it_should(send: Send) -> None:
    """Path, query, body, token and type go out as they were built, and only JSON is asked for."""
    heads: list[str] = []

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Request-Id: r1\r\nContent-Length: 2\r\n\r\n{}")

    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listening.accept()
        with closing(connection):
            read = b""
            while b"hello" not in read:
                read += connection.recv(65536)
            heads.append(read.decode())
            answer(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    with closing(listening):
        sent = Request(
            operation="x",
            method="POST",
            path="/api/a%2Fb/",
            query="after=1%262",
            headers={"Content-Type": "text/x"},
            body=b"hello",
        )
        reply = send(f"http://127.0.0.1:{listening.getsockname()[1]}/eu", sent)
        thread.join()
    lines = heads[0].split("\r\n")
    assert lines[0] == "POST /eu/api/a%2Fb/?after=1%262 HTTP/1.1"
    low = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines[1:]}
    assert low["authorization"] == f"Bearer {SECRET}"
    assert low["accept"] == "application/json, application/problem+json"
    assert low["content-type"] == "text/x"
    assert (reply.status, reply.body, reply.headers["x-request-id"]) == (200, b"{}", "r1")


def test_without_a_token_none_is_sent() -> None:
    """The token request goes out without an Authorization header."""
    assert "authorization" not in headers(POLL, None)


def test_the_token_is_not_in_the_repr_of_the_headers() -> None:
    """A debugger, a log or a traceback that shows the headers shows no token."""
    given = headers(POLL, SECRET)
    assert given["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in repr(given)


def test_tls_is_verified() -> None:
    """There is no setting that turns it off, and none is turned off."""
    settings = Settings(base_url="https://chat.example", solution_id="7")
    for client in (new_client(httpx.Client, settings), new_client(httpx.AsyncClient, settings)):
        context = client._transport._pool._ssl_context  # type: ignore[union-attr]
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
