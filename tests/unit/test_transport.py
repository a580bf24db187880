"""The border to the HTTP library: every error of it becomes ours, and nothing is followed, kept or shown."""

from __future__ import annotations

import gzip
import inspect
import json
import logging
import multiprocessing
import re
import signal
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from answering import OK, Counted, encrypting, proxy, says, server
from forking import Fork, in_a_fork, in_multiprocessing
from hostile import Said, Service
from ports import dead_port
from puzzel_chat import _async_transport
from puzzel_chat import _transport as blocking
from puzzel_chat._environment import Way
from puzzel_chat._errors import ConfigurationError, ContractError, Sent, TransportError
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Visitor
from puzzel_chat._settings import URLS, HostName, Settings
from puzzel_chat._transport import COMMON_HEADERS, LARGEST_REPLY, OUTCOMES, Transport, headers, outcome
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
    upload_request,
)
from puzzel_chat._wire.refusals import error_for
from quick import quick_only
from soak import cancellations

POLL = Request(operation="pollConversation", method="GET", path="/api/conversation")
CHAT = Way(Settings(base_url="https://chat.example", solution_id="7").address("communication"))
SECRET = "s3cr3t-token"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Send = Callable[..., Reply]
CERTIFICATES = Path(__file__).parent / "certificates"

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


def settings(address: str, **more: Any) -> Settings:
    """Settings for it."""
    return Settings(base_url=address, solution_id="7", **more)


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
    ours = outcome(example(kind), CHAT, 10.0, 30.0)
    assert re.fullmatch(r"No reply: .*\.", str(ours))
    assert ours.sent == expected
    assert ours.retryable
    assert ours.host == "communication"
    assert str(ours).count("chat.example") == str(ours).count("chat.example:443 (base_url)") > 0
    assert ours.__cause__ is not None
    assert type(ours.__cause__).__module__ == "builtins"


@pytest.mark.parametrize("send", ["sync", "async"], indirect=True)
def test_other_errors_pass_untouched(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug is not a network failure."""

    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    for module in (blocking, _async_transport):
        monkeypatch.setattr(module, "built", fails)
    with pytest.raises(ZeroDivisionError):
        send("http://127.0.0.1:1", POLL)


def test_a_refused_connection_was_not_sent(send: Send) -> None:
    """Nobody listens: the service cannot have seen the request."""
    told = r"could not connect to 127\.0\.0\.1:\d+ \(base_url\): it refused the connection, .*; check that setting"
    with dead_port() as port, pytest.raises(TransportError, match=told) as raised:
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


class Picture:
    """A file to be sent."""

    size = 4

    def pieces(self) -> Iterator[bytes]:
        """In two pieces."""
        yield from (b"\x89P", b"NG")

    def passed(self, piece: bytes) -> None:
        """Nobody is told."""


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
    "uploadFile": upload_request("c", Picture(), "picture.png", "image/png"),
}


def test_every_operation_has_an_example() -> None:
    """An operation that comes new is tested for redirects too; to a file they are followed (see test_files.py)."""
    assert {*REQUESTS, "downloadFile"} == OPERATIONS.keys()


@pytest.mark.parametrize("operation", quick_only(["connectToken", "sendMessage"], REQUESTS))
def test_a_redirect_carries_nothing_to_another_host(send: Send, operation: str) -> None:
    """No kind of redirect is followed, for any operation; the error says which setting to change, and to what.

    Neither a third host nor the other one of the two is asked.
    """
    row = OPERATIONS[operation]
    setting = URLS[row.host]
    with nobody_asked() as elsewhere, nobody_asked() as other:
        for status in (301, 302, 303, 307, 308):
            head = f"HTTP/1.1 {status} Moved\nLocation: {elsewhere}/api\nContent-Length: 0\n\n"
            with server(says(head)) as asked:
                hosts = {**dict.fromkeys(URLS.values(), other), setting: asked}
                reply = send(hosts.pop("base_url"), REQUESTS[operation], **hosts)
            error = error_for(row, reply)
            assert isinstance(error, ConfigurationError)
            to = elsewhere.removeprefix("http://")
            assert re.match(rf"{setting}: 127\.0\.0\.1 redirects to {to}/(api|…); set the address", str(error))
            assert error.host == row.host


@contextmanager
def nobody_asked() -> Iterator[str]:
    """A host that fails the test when anything was sent to it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.setblocking(False)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            listening.accept()


@pytest.mark.parametrize("operation", quick_only(["connectToken", "authenticateVisitor", "sendMessage"], REQUESTS))
def test_a_request_goes_to_the_host_of_its_operation(send: Send, operation: str) -> None:
    """The identity host gives tokens and identifies visitors, files have their own; all else goes to the third."""
    with ExitStack() as stack:
        hosts = {host: stack.enter_context(Service(lambda asked: Said())) for host in URLS}
        places = {URLS[host]: service.base_url for host, service in hosts.items()}
        reply = send(places.pop("base_url"), REQUESTS[operation], **places)
    asked = hosts.pop(OPERATIONS[operation].host)
    assert [one.method for one in asked.asked] == [REQUESTS[operation].method]
    assert not any(other.asked for other in hosts.values())
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
@pytest.mark.parametrize("operation", quick_only(["connectToken"], ["connectToken", "pollConversation"]))
def test_an_error_names_the_host_that_failed_and_its_setting(send: Send, operation: str, failure: str) -> None:
    """There are two hosts, so "no reply" alone would send somebody to the wrong one; programs read `host`."""
    row, answer = OPERATIONS[operation], FAILURES[failure]
    with (
        dead_port() as port,
        nobody_asked() as other,
        server(answer) if answer else nullcontext(f"http://127.0.0.1:{port}") as failing,
    ):
        failing = failing.replace("127.0.0.1", "localhost")
        setting = "identity_url" if row.host == "identity" else "base_url"
        hosts = {"base_url": other, "identity_url": other, setting: failing}
        with pytest.raises(TransportError) as raised:
            send(hosts["base_url"], REQUESTS[operation], identity_url=hosts["identity_url"], timeout=0.3)
    assert f"{failing.removeprefix('http://')} ({setting})" in str(raised.value)
    assert "127.0.0.1" not in str(raised.value)
    assert raised.value.host == row.host


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
    assert "authorization" not in headers(COMMON_HEADERS, POLL, None)


def test_the_token_is_not_in_the_repr_of_the_headers() -> None:
    """A debugger, a log or a traceback that shows the headers shows no token."""
    given = headers(COMMON_HEADERS, POLL, SECRET)
    assert given["Authorization"] == f"Bearer {SECRET}"
    assert SECRET not in repr(given)


def test_tls_is_verified(send: Send) -> None:
    """A certificate that nobody signed whom the system knows is refused before anything is sent."""
    with (
        encrypting(CERTIFICATES / "loopback.pem") as address,
        pytest.raises(
            TransportError, match=r"TLS with localhost:\d+ \(base_url\) failed: .* nobody who is trusted"
        ) as raised,
    ):
        send(address, POLL)
    assert raised.value.sent == "no"


def test_a_service_without_tls_needs_no_certificates(monkeypatch: pytest.MonkeyPatch, send: Send) -> None:
    """What this process will not use cannot hurt it, nor take its time."""
    monkeypatch.setenv("SSL_CERT_FILE", "nowhere.pem")
    with server(says(OK)) as address:
        assert send(address, POLL).body == b"{}"
    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE: 'nowhere\.pem' cannot be used"):
        send("https://127.0.0.1:1", POLL)


def test_our_requests_leave_no_record_and_those_of_others_do(send: Send, caplog: pytest.LogCaptureFixture) -> None:
    """The HTTP library logs addresses and headers (encode/httpx#2760); whoever else uses it keeps its log."""
    moved = f"HTTP/1.1 302 Moved\nLocation: http://127.0.0.1/?{SECRET}\nContent-Length: 0\n\n"
    with server(says(moved)) as address, caplog.at_level(logging.DEBUG):
        send(address, POLL)
        with pytest.raises(TransportError):
            send("http://127.0.0.1:1", POLL)
        # The pool says that it closes a connection, and nothing of a request.
        ours = [one.getMessage() for one in caplog.records if one.name.startswith("http")]
        assert set(ours) <= {"close.started", "close.complete"}
        httpx.get(address)
    others = [one.getMessage() for one in caplog.records if one.name.startswith("http")]
    assert any(SECRET in line for line in others)
    assert any(line.startswith("HTTP Request: GET") for line in others)


def answers(encoding: str, body: bytes, pieces: int = 1) -> Callable[[socket.socket], None]:
    """An answer with this body, given in so many chunks."""
    size = max(1, -(-len(body) // pieces))
    cut = [body[begin : begin + size] for begin in range(0, len(body), size)]
    named = f"Content-Encoding: {encoding}\r\n".encode() if encoding else b""

    def answer(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(HEAD + named + b"Transfer-Encoding: chunked\r\n\r\n")
            for piece in cut:
                connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            connection.sendall(b"0\r\n\r\n")

    return answer


@pytest.mark.parametrize("encoding", ["", "identity", "gzip"])
@pytest.mark.parametrize("pieces", quick_only([7], [1, 2, 7]))
def test_pieces_make_the_whole(send: Send, encoding: str, pieces: int) -> None:
    """However a body is cut and encoded, it comes out as it was."""
    content = b'{"messages":[]}' * 50
    encoded = gzip.compress(content) if encoding == "gzip" else content
    with server(answers(encoding, encoded, pieces)) as address:
        assert send(address, POLL).body == content


@pytest.mark.parametrize(
    "encoding", ["GZIP", "x-gzip", "X-GZip", " gzip ", "gzip, identity", "Identity , x-gzip", "gzip,", "IDENTITY", ", "]
)
def test_an_encoding_may_be_spelled_in_any_way(send: Send, encoding: str) -> None:
    """Case and blanks do not count, "x-gzip" is gzip (RFC 9110, section 8.4.1.3), and identity changes nothing."""
    content = b'{"messages":[]}' * 50
    packed = "gzip" in encoding.lower()
    with server(answers(encoding, gzip.compress(content) if packed else content, 3)) as address:
        assert send(address, POLL).body == content


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
def test_what_is_no_gzip_is_told_without_its_content(send: Send, encoding: str) -> None:
    """A body that is not what its encoding says is no usable reply, and nothing of it is in the error."""
    with server(answers(encoding, b"Ada's words")) as address, pytest.raises(TransportError) as raised:
        send(address, POLL)
    assert raised.value.sent == "maybe"
    assert "unpacked" in str(raised.value)
    assert "Ada" not in f"{raised.value} {raised.value!r} {raised.value.__context__!r}"


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_the_largest_reply_is_read_and_one_byte_more_is_not(send: Send, encoding: str) -> None:
    """The bound counts what is decoded, and the error says how large a reply may be."""
    encode = gzip.compress if encoding else bytes
    with server(answers(encoding, encode(bytes(LARGEST_REPLY)))) as address:
        assert send(address, POLL).body == bytes(LARGEST_REPLY)
    with (
        server(answers(encoding, encode(bytes(LARGEST_REPLY + 1)))) as address,
        pytest.raises(ContractError, match="pollConversation: the reply is larger than 8 MiB"),
    ):
        send(address, POLL)


def test_a_reply_without_an_end_is_left(send: Send) -> None:
    """After 8 MiB the connection is closed, and the rest is never read."""
    answer = Endless(HEAD + b"Content-Length: 99999999999\r\n\r\n", bytes(2**16))
    with server(answer) as address:
        with pytest.raises(ContractError, match="pollConversation: the reply is larger than 8 MiB"):
            send(address, POLL)
        assert answer.gone.wait(10)


@cache
@cache
def bomb() -> bytes:
    """256 KB of gzip that unpack to 256 MB."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(256)) + packer.flush()
    assert len(packed) < 2**18 + 20_000
    return packed


def test_a_bomb_is_not_decoded(send: Send) -> None:
    """A reply that would be a quarter of a gigabyte costs what one read of it decodes to, and never more."""
    with server(answers("gzip", bomb())) as address:
        tracemalloc.start()
        try:
            with pytest.raises(ContractError, match="8 MiB"):
                send(address, POLL)
            assert tracemalloc.get_traced_memory()[1] < LARGEST_BURST
        finally:
            tracemalloc.stop()


LARGEST_BURST = 192 * 2**20
"""What the HTTP library may hold of a bomb: it reads 64 KiB at a time, which gzip can make a thousand times larger."""


@pytest.mark.parametrize(
    "encoding", quick_only(["br", "gzip, gzip"], ["deflate", "br", "zstd", "gzip, gzip", "x-other"])
)
@pytest.mark.parametrize("operation", quick_only(["sendMessage"], ["connectToken", "sendMessage"]))
def test_an_encoding_that_was_not_asked_for_is_refused(send: Send, encoding: str, operation: str) -> None:
    """Only gzip is asked for; the error names operation and host, and not the network: a retry would not help."""
    with (
        server(answers(encoding, b"{}")) as address,
        pytest.raises(ContractError, match=f"{operation}: .*only gzip") as raised,
    ):
        send(address, REQUESTS[operation])
    assert raised.value.host == OPERATIONS[operation].host


@pytest.mark.parametrize("size", [8, 20, -9, -1])
def test_a_body_that_is_cut_short_is_never_taken_for_a_whole_one(send: Send, size: int) -> None:
    """The transport notices, or it is the JSON that is cut."""
    content = json.dumps([f"message {number}" for number in range(500)]).encode()
    with (
        server(answers("gzip", gzip.compress(content)[:size])) as address,
        suppress(TransportError, json.JSONDecodeError),
    ):
        reply = send(address, POLL)
        json.loads(reply.body)
        assert reply.body == content


def test_nothing_encoded_is_nothing(send: Send) -> None:
    """A reply without a body may still name an encoding."""
    with server(says("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 0\n\n")) as address:
        assert send(address, POLL).body == b""


class Endless:
    """An answer that goes on until the client has had enough, and for so many seconds at most."""

    def __init__(
        self, beginning: bytes, piece: bytes, pause: float = 0.0, lasting: float = 20, end: bytes = b""
    ) -> None:
        self._beginning, self._piece, self._pause = beginning, piece, pause
        self._lasting, self._end = lasting, end
        self.gone = threading.Event()

    def __call__(self, connection: socket.socket) -> None:
        """Answer."""
        stop = time.monotonic() + self._lasting
        try:
            connection.sendall(self._beginning)
            while time.monotonic() < stop:
                connection.sendall(self._piece)
                time.sleep(self._pause)
            connection.sendall(self._end)
        except OSError:
            self.gone.set()


BODIES = {
    "body": (HEAD + b"Content-Length: 99999999\r\n\r\n", b"x"),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}
HEADS = {"header": (HEAD + b"X-Endless: ", b"x"), "interim replies": (b"", b"HTTP/1.1 102 Processing\r\n\r\n")}


def left_in_time(send: Send, beginning: bytes, piece: bytes) -> None:
    """Check that a reply that drips is left, and as one that may have been acted on."""
    answer = Endless(beginning, piece, 0.05)
    with server(answer) as address:
        with pytest.raises(TransportError, match=r"(in full after 0\.6|answer within 0\.2) s") as raised:
            send(address, POLL, timeout=0.2)
        assert answer.gone.wait(10)
    assert raised.value.sent == "maybe"


@pytest.mark.parametrize("drips", BODIES)
def test_a_body_that_drips_is_left_in_time(send: Send, drips: str) -> None:
    """Each read is in time and the whole is not: it ends after three times the timeout."""
    left_in_time(send, *BODIES[drips])


@pytest.mark.parametrize("send", ["async", "fleet"], indirect=True)
@pytest.mark.parametrize("drips", HEADS)
def test_a_head_that_drips_is_left_in_time(send: Send, drips: str) -> None:
    """The same for a head, but not in the blocking transport, whose library looks at each read alone."""
    left_in_time(send, *HEADS[drips])


@pytest.mark.parametrize("drips", HEADS)
def test_a_head_that_dripped_too_long_is_no_reply(send: Send, drips: str) -> None:
    """All transports agree on it in the end; the blocking one sees it when the head is there."""
    beginning, piece = HEADS[drips]
    ending = (HEAD if drips == "interim replies" else b"\r\n") + b"Content-Length: 2\r\n\r\n{}"
    with (
        server(Endless(beginning, piece, 0.05, 1.0, ending)) as address,
        pytest.raises(TransportError, match=r"(in full after 0\.6|answer within 0\.2) s") as raised,
    ):
        send(address, POLL, timeout=0.2)
    assert raised.value.sent == "maybe"


def test_a_head_without_an_end_is_left(send: Send) -> None:
    """Its size is bounded, also where its time is not."""
    answer = Endless(HEAD + b"X-Endless: ", b"x" * 4096)
    with server(answer) as address:
        with pytest.raises(TransportError) as raised:
            send(address, POLL)
        assert answer.gone.wait(10)
    assert raised.value.sent == "maybe"


def test_a_short_time_is_for_the_whole(send: Send) -> None:
    """What must be over within a time is, though the timeout alone would allow more."""
    answer = Endless(HEAD + b"Content-Length: 99999999\r\n\r\n", b"x", 0.05)
    began = time.monotonic()
    with server(answer) as address:
        with pytest.raises(TransportError, match=r"after 0\.4 s"):
            send(address, POLL, timeout=30, within=0.4)
        assert answer.gone.wait(10)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("send", ["sync"], indirect=True)
def test_a_request_that_interrupts_another_keeps_its_time_to_itself(send: Send) -> None:
    """A signal's handler that sends in the middle of a request neither cuts that one's time nor prolongs it."""
    errors: list[TransportError] = []

    def interrupt(*_: object) -> None:
        with server(lambda connection: suppressed(lambda: connection.recv(1))) as silent:
            with pytest.raises(TransportError) as raised:
                send(silent, POLL, within=0.1)
            errors.append(raised.value)

    def slowly(connection: socket.socket) -> None:
        assert main is not None
        signal.pthread_kill(main, signal.SIGALRM)
        time.sleep(0.4)
        says(OK)(connection)

    main = threading.main_thread().ident
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with server(slowly) as address:
            assert send(address, POLL, timeout=20).body == b"{}"
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(errors) == 1


def test_giving_up_under_contention_leaves_the_pool_as_it_was() -> None:
    """The same as for the awaiting client: each connection is there again, and none is left over."""
    plan = cancellations.Plan(giving_up=200, quiet=True)
    figures = cancellations.run(cancellations.ours_sync, plan)
    assert figures.clean, figures
    assert figures.answered == plan.connections


@pytest.mark.parametrize("send", ["sync", "async"], indirect=True)
def test_waiting_for_a_connection_has_its_time(monkeypatch: pytest.MonkeyPatch, send: Send) -> None:
    """When every connection is busy, the error says so, and that nothing was sent."""
    for module in (blocking, _async_transport):
        monkeypatch.setattr(module, "MAX_CONNECTIONS", 0)
    with pytest.raises(TransportError, match=r"no free connection within 0\.1 s; too many chats") as raised:
        send("http://127.0.0.1:1", POLL, timeout=0.1)
    assert raised.value.sent == "no"


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
@pytest.mark.parametrize("fork", [in_a_fork, in_multiprocessing])
def test_a_forked_child_has_connections_of_its_own(counted: Counted, fork: Fork) -> None:
    """The parent's connection is neither used nor closed by the child, and goes on."""
    transport = Transport(settings(counted.address))
    transport.send(POLL, "token")

    def child() -> None:
        transport.send(POLL, "token")
        transport.send(POLL, "token")
        transport.close()

    assert fork(child) == 0
    transport.send(POLL, "token")
    transport.close()
    first, *others, last = counted.ports
    assert first == last
    assert others == [others[0]] * 2
    assert others[0] != first


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_keep_its_parents_connection_open(counted: Counted) -> None:
    """When the parent closes its client, the server hears of it, though a child lives on that never used it."""
    transport, done = Transport(settings(counted.address)), multiprocessing.get_context("fork").Event()
    transport.send(POLL, "token")
    child = multiprocessing.get_context("fork").Process(target=done.wait, args=(20,))
    child.start()
    transport.close()
    counted.close()
    assert child.is_alive()
    done.set()
    child.join()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_nor_an_encrypted_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a connection over TLS."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "issuer.pem"))
    done = multiprocessing.get_context("fork").Event()
    with encrypting(CERTIFICATES / "loopback.pem") as address:
        transport = Transport(settings(address))
        transport.send(POLL, "token")
        child = multiprocessing.get_context("fork").Process(target=done.wait, args=(20,))
        child.start()
        transport.close()
    assert child.is_alive()
    done.set()
    child.join()


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_fork_in_the_middle_of_a_request_hangs_nobody() -> None:
    """A thread of the parent holds a place and a connection; the child has neither, and does not wait for them."""
    arrived, answer = threading.Event(), threading.Event()
    replies: list[Reply] = []

    def first_waits(connection: socket.socket) -> None:
        if not arrived.is_set():
            arrived.set()
            answer.wait(20)
        says(OK)(connection)

    with server(first_waits) as address, pytest.MonkeyPatch.context() as patched:
        patched.setattr(blocking, "MAX_CONNECTIONS", 1)
        transport = Transport(settings(address))
        thread = threading.Thread(target=lambda: replies.append(transport.send(POLL, "token")))
        thread.start()
        assert arrived.wait(20)

        def child() -> None:
            with pytest.raises(TransportError, match="answer"):  # the server serves one connection at a time
                transport.send(POLL, "token", within=0.2)
            transport.close()

        assert in_a_fork(child) == 0
        answer.set()
        thread.join()
        transport.close()
    assert [reply.body for reply in replies] == [b"{}"]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"])
def test_this_machine_is_not_reached_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, send: Send, variable: str
) -> None:
    """A proxy of the environment would be shown the token on its way to a service on loopback."""
    with closing(socket.create_server(("127.0.0.1", 0))) as proxy, server(says(OK)) as address:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        assert send(address, POLL, timeout=5).body == b"{}"
        assert send(address, POLL, timeout=5, identity_url="https://id.example").body == b"{}"
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
FORMS = [
    "http://127.0.0.1:{}",
    "http://localhost:{}",
    "http://[::1]:{}",
    "https://chat.localhost:{}",
    "http://LOCALHOST:{}",
]


@pytest.mark.parametrize("send", ["sync", "async"], indirect=True)
@pytest.mark.parametrize("mine", quick_only([FORMS[0], FORMS[3]], FORMS))
def test_every_name_of_this_machine_is_reached_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, send: Send, mine: str
) -> None:
    """Whichever of the two hosts it is, however it is written, and whatever port the other one has."""
    token = token_request({"grant_type": "visitor"})
    with dead_port() as port, nobody_asked() as refused:
        here = mine.format(port)
        monkeypatch.setenv("ALL_PROXY", refused)
        for base_url, identity_url, request in (
            (here, "https://id.example", POLL),
            ("https://chat.example", here, token),
            (here, mine.format(1), POLL),
            (here, mine.format(1), token),
        ):
            with pytest.raises(TransportError, match="could not connect"):
                send(base_url, request, identity_url=identity_url, timeout=5)


@pytest.mark.parametrize("send", ["sync", "async"], indirect=True)
@pytest.mark.parametrize("here", quick_only(["identity"], ["communication", "identity"]))
def test_each_host_is_judged_for_itself(monkeypatch: pytest.MonkeyPatch, send: Send, here: HostName) -> None:
    """One on this machine is reached directly though the other is far away and goes through the proxy."""
    requests = {"communication": POLL, "identity": token_request({"grant_type": "visitor"})}
    there: HostName = "identity" if here == "communication" else "communication"
    with proxy() as (address, heard), server(says(OK)) as mine:
        for variable in PROXIES:
            monkeypatch.setenv(variable, address)
        hosts = {here: mine, there: "https://far.example"}
        assert send(hosts["communication"], requests[here], identity_url=hosts["identity"], timeout=5).body == b"{}"
        assert heard == []
        with pytest.raises(TransportError, match=r"the proxy 127.* on the way to far\.example:443"):
            send(hosts["communication"], requests[there], identity_url=hosts["identity"], timeout=5)
    assert heard[0].startswith("CONNECT far.example:443 ")


def test_another_machine_is_reached_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, send: Send
) -> None:
    """Who must use a proxy sets HTTPS_PROXY; the token goes through it encrypted, so the proxy sees only the host."""
    with proxy() as (address, heard):
        monkeypatch.setenv("HTTPS_PROXY", address)
        told = r"the proxy 127\.0\.0\.1:\d+ \(HTTPS_PROXY\) on the way to chat\.example:443 \(base_url\) refused"
        with pytest.raises(TransportError, match=told) as raised:
            send("https://chat.example", POLL, timeout=5, identity_url="http://127.0.0.1:1")
    assert heard[0].startswith("CONNECT chat.example:443 ")
    assert "s3cr3t-token" not in heard[0]
    assert raised.value.sent == "no"
