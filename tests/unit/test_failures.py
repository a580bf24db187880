"""Why no reply came: each layer's failure says where, what and what to do, and its cause holds no secret."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any

import pytest

from answering import OK, says, server, talking
from ports import dead_port
from puzzel_chat import ConnectionDegraded, ConnectionRecovered, PuzzelChat, TextMessage, TransportError, _errors
from puzzel_chat._async_transport import AsyncTransport
from puzzel_chat._clock import Clock
from puzzel_chat._environment import Way
from puzzel_chat._failures import CERTIFICATES as CERTIFICATE_WORDS
from puzzel_chat._failures import anew, closed_meanwhile, overdue, unconnected
from puzzel_chat._http import Reply, Request
from puzzel_chat._retry import again, ends_a_loop
from puzzel_chat._routing import AgentWait
from puzzel_chat._settings import Settings
from puzzel_chat._transport import Transport
from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import VirtualTime
from quick import quick_only
from telling import told_by

SECRET = "s3cr3t-token"  # the token of every request that `send` makes
QUERY = "qu3ry-words"
# Without a body, which goes out by itself: a server that closes before it has read all breaks the connection.
POLL = Request(operation="pollConversation", method="GET", path="/api/chat", query=QUERY, headers={"x": QUERY})
CERTIFICATES = Path(__file__).parent / "certificates"
CHAT = Way(Settings(base_url="https://chat.example", solution_id="7").address("communication"))
PASSWORD = "pa55w0rd"
Send = Callable[..., Reply]
Place = Callable[[], AbstractContextManager[str]]


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy is set, and one authority is trusted."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "authority.pem"))


@contextmanager
def dead(scheme: str = "http") -> Iterator[str]:
    """An address where nobody listens."""
    with dead_port() as port:
        yield f"{scheme}://127.0.0.1:{port}"


@contextmanager
def encrypted(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """An https address where something else than TLS answers."""
    with server(answer) as address:
        yield address.replace("http:", "https:")


def resets(connection: socket.socket) -> None:
    """Break the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def certificate(name: str) -> Place:
    """A service with that certificate."""
    return lambda: talking(CERTIFICATES / f"{name}.pem")


# Where to send, what the error says, what kind its cause is, and whether it passes.
DIRECT: dict[str, tuple[Place, str, type[Exception], bool]] = {
    "refused": (
        dead,
        r"could not connect to {at}: it refused the .*; check that setting",
        ConnectionRefusedError,
        True,
    ),
    "name": (
        lambda: nullcontext("https://nowhere.invalid:8443"),
        r"could not connect to {at}: its name is not known here .*; check that setting, this machine.*HTTPS_PROXY",
        socket.gaierror,
        True,
    ),
    "untrusted": (
        certificate("loopback"),
        "TLS with {at} failed: the certificate is signed by nobody who is trusted here; .*SSL_CERT_FILE",
        ssl.SSLCertVerificationError,
        False,
    ),
    "self-signed": (
        certificate("own"),
        "TLS with {at} failed: the certificate is signed by (itself|nobody who is trusted here); .*SSL_CERT_FILE",
        ssl.SSLCertVerificationError,
        False,
    ),
    "another host's": (
        certificate("elsewhere"),
        "TLS with {at} failed: the certificate is for another host; correct the host in base_url",
        ssl.SSLCertVerificationError,
        False,
    ),
    "expired": (
        certificate("expired"),
        "TLS with {at} failed: the certificate has expired; who runs that host must renew it",
        ssl.SSLCertVerificationError,
        False,
    ),
    "not yet valid": (
        certificate("early"),
        "TLS with {at} failed: the certificate is not valid yet; check the clock",
        ssl.SSLCertVerificationError,
        False,
    ),
    "plain http": (
        lambda: encrypted(says(OK)),
        "TLS with {at} failed: what answers there does not speak it; check the port, and http:// or https://, in base_",
        ssl.SSLError,
        False,
    ),
    "no common cipher": (
        lambda: talking(CERTIFICATES / "chat.pem", "AES128-GCM-SHA256"),
        "TLS with {at} failed: .*handshake ?failure; check what answers at that port",
        ssl.SSLError,
        False,
    ),
    "closed in the handshake": (
        lambda: encrypted(lambda connection: None),
        "TLS with {at} failed: the connection was closed in the middle of it; check that its port",
        OSError,
        True,
    ),
    "reset in the handshake": (
        lambda: encrypted(resets),
        "TLS with {at} failed: the connection was closed in the middle of it; check that its port",
        OSError,
        True,
    ),
    "silent in the handshake": (
        lambda: encrypted(hangs),
        "could not connect to {at}: timeout, it did not answer within 1 s; check that setting",
        TimeoutError,
        True,
    ),
}
RESET = "(the connection to )?{at} (broke while reading|closed the connection).*; try again"
CUT = "HTTP/1.1 200 OK\nContent-Length: 9\n\n{"
NO_GZIP = "HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 4\n\nnope"
# The same for what a connection meets that came about, when the service may have seen the request.
LATER: dict[str, tuple[Callable[[socket.socket], None], str, type[Exception]]] = {
    "silent": (lambda it: hangs(it), r"{at} did not answer within 1 s \(timeout\); try again", TimeoutError),
    "closed": (lambda it: None, RESET, ConnectionError),
    "reset": (resets, RESET, ConnectionError),
    "no HTTP": (says("SSH-2.0-nothing\n\n"), "{at} .* with broken HTTP; try again", Exception),
    "cut short": (says(CUT), "{at} (closed|sent a body that is cut).*; try again", Exception),
    "no gzip": (says(NO_GZIP), "{at} sent a body that .*; try", ValueError),
}  # fmt: skip


def hangs(connection: socket.socket) -> None:
    """Say nothing until the other side goes."""
    with suppress(OSError):
        while connection.recv(65536):
            pass


def failure(send: Send, address: str, **more: Any) -> TransportError:
    """Send there, which fails with an error that is checked for secrets."""
    with pytest.raises(TransportError) as raised:
        send(address, POLL, timeout=1 if more.pop("short", False) else 5, **more)
    error = raised.value
    nothing_secret(error)
    assert error.host == "communication"
    return error


def reached(error: BaseException) -> Iterator[object]:
    """Everything that can be reached from the causes of an error, whatever refers to it and however."""
    todo: list[Any] = [error.__cause__, error.__context__, error.args, vars(error)]
    seen: set[int] = set()
    while todo:
        at = todo.pop()
        if id(at) in seen or isinstance(at, type | ModuleType) or callable(at):
            continue
        seen.add(id(at))
        yield at
        todo += gc.get_referents(at)
        if isinstance(at, BaseException):
            todo += [at.__cause__, at.__context__, at.__traceback__, at.args, vars(at)]


def nothing_secret(error: TransportError) -> None:
    """Check that no frame, request, token or query hangs on the error's cause, and that no tool prints one."""
    assert error.__cause__ is not None
    assert error.__context__ is None
    for at in reached(error):
        assert not isinstance(at, FrameType | TracebackType), at
        if isinstance(at, str | bytes):
            text = at.decode(errors="replace") if isinstance(at, bytes) else at
            assert not any(word in text for word in (SECRET, QUERY, PASSWORD)), text
    assert PASSWORD not in told_by(error)


@pytest.mark.parametrize("name", quick_only(["refused", "name", "untrusted", "another host's", "plain http"], DIRECT))
def test_a_connection_that_fails_says_where_why_and_what_to_do(send: Send, name: str) -> None:
    """Host, port, setting, layer and next step, whichever library sends; what only comes again is not retryable."""
    place, told, kind, passing = DIRECT[name]
    with place() as address:
        error = failure(send, address, short=name.startswith("silent"))
    at = re.escape(f"{address.partition('://')[2]} (base_url)")
    assert re.match("No reply: " + told.replace("{at}", at), str(error)), str(error)
    assert isinstance(error.__cause__, kind)
    assert (error.sent, error.retryable) == ("no", passing)


@pytest.mark.parametrize("name", quick_only(LATER.keys() - {"silent"}, LATER))
def test_a_reply_that_fails_says_where_why_and_what_to_do(send: Send, name: str) -> None:
    """The request may have arrived; the place is named and the cause is there."""
    answer, told, kind = LATER[name]
    with server(lambda connection: quietly(answer, connection)) as address:
        error = failure(send, address, short=name == "silent")
    at = re.escape(f"{address.partition('://')[2]} (base_url)")
    assert re.match("No reply: " + told.replace("{at}", at), str(error)), str(error)
    assert isinstance(error.__cause__, kind)
    assert (error.sent, error.retryable) == ("maybe", True)


def quietly(answer: Callable[[socket.socket], None], connection: socket.socket) -> None:
    """Answer, though the client may have gone."""
    with suppress(OSError):
        answer(connection)


def refuses(status: str) -> Place:
    """A proxy that opens no way."""
    return lambda: server(says(f"HTTP/1.1 {status} {QUERY}\nContent-Length: 0\n\n"))


@contextmanager
def opens(name: str) -> Iterator[str]:
    """A proxy that opens a way to a service with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem")

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        with suppress(OSError), context.wrap_socket(connection, server_side=True) as inside:
            inside.recv(1)

    with server(answer) as address:
        yield address


def socks(*words: bytes) -> Place:
    """A SOCKS proxy that says these in turn."""

    def answer(connection: socket.socket) -> None:
        for number, word in enumerate(words):
            if number:
                connection.recv(1024)
            connection.sendall(word)

    @contextmanager
    def place() -> Iterator[str]:
        with server(answer) as address:
            yield address.replace("http", "socks5")

    return place


@contextmanager
def tls_proxy() -> Iterator[str]:
    """A proxy that is spoken to over TLS, with a certificate that nobody trusts."""
    with talking(CERTIFICATES / "loopback.pem") as address:
        yield address


PROXY = "the proxy {proxy} on the way to {host}"
EITHER = f"({PROXY}|{{host}} through the proxy {{proxy}}) .*HTTPS_PROXY"
SILENT = f"(could not connect to {PROXY}|{{host}} through the proxy {{proxy}} did).* within 1 s"
# What the errors of the two libraries say of it, and whether it passes over httpx, which tells a proxy's status.
PROXIED: dict[str, tuple[Place, str, bool]] = {
    "dead": (dead, "could not connect to " + PROXY + ": it refused .*; check HTTPS_PROXY", True),
    "unknown": (
        lambda: nullcontext("http://proxy.invalid:3128"),
        "could not connect to " + PROXY + ": its name is not known .*; check HTTPS_PROXY",
        True,
    ),
    "407": (
        refuses("407"),
        PROXY + " refused to connect with 407 .*; write user and password into HTTPS_PROXY",
        False,
    ),
    "403": (refuses("403"), PROXY + " refused to connect(.*; ask who|; try again)", False),
    "502": (refuses("502"), PROXY + " refused to connect.*; try again, check HTTPS_PROXY", True),
    "no status": (refuses("999"), PROXY + " refused to connect.*; try again, check", True),
    "silent": (lambda: server(hangs), SILENT, True),
    "closing": (lambda: server(lambda it: None), EITHER, True),
    "no proxy": (lambda: server(says("SSH\n\n")), EITHER, True),
    "TLS of its own": (
        tls_proxy,
        "TLS with {host}, or with the proxy {proxy} on the way to it, failed: the certificate is signed by nobody",
        False,
    ),
    "wrong certificate behind it": (
        lambda: opens("elsewhere"),
        "TLS with {host} through the proxy {proxy} failed: the certificate is for another host; correct the host in ba",
        False,
    ),
    "SOCKS, but HTTP": (socks(b"HTTP/1.1 400 Bad\r\n\r\n"), PROXY + " refused to connect; try", True),
    "SOCKS, half": (socks(b"\x05"), PROXY + " refused to connect; try again", True),
    "SOCKS, refusing": (socks(b"\x05\x00", b"\x05\x02\x00\x01" + bytes(6)), PROXY + " refused", True),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("name", quick_only(["dead", "unknown", "407", "502", "SOCKS, half"], PROXIED))
def test_a_proxy_that_fails_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, send: Send, name: str, request: pytest.FixtureRequest
) -> None:
    """Not the service is to blame; the proxy's password is nowhere."""
    place, told, passing = PROXIED[name]
    with place() as address:
        scheme, _, at = address.partition("://")
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://ada:{PASSWORD}@{at}")
        error = failure(send, "https://chat.example", short=name == "silent")
    words = told.replace("{proxy}", re.escape(f"{at} (HTTPS_PROXY)")).replace(
        "{host}", re.escape("chat.example:443 (base_url)")
    )
    assert re.match(f"No reply: {words}", str(error)), str(error)
    fast = request.node.callspec.params["send"] == "fleet"
    assert error.retryable == (True if fast and name == "403" else passing)


def test_what_we_end_ourselves_says_where_too() -> None:
    """A request that took too long, and one whose client was closed."""
    for error in (overdue(CHAT, 30.0, "maybe"), closed_meanwhile(CHAT, "no")):
        assert "chat.example:443 (base_url)" in str(error)
        assert isinstance(error.__cause__, OSError)
        assert error.retryable


def test_the_cause_goes_along_wherever_the_error_goes() -> None:
    """A copy, a twin, and what a worker pool gets; so does whether it is retryable."""
    with (
        certificate("expired")() as address,
        PuzzelChat(address, "7") as chat,
        pytest.raises(TransportError) as raised,
    ):
        chat.connect()
    error = raised.value
    for other in (copy.copy(error), copy.deepcopy(error), _errors.twin(error), pickle.loads(pickle.dumps(error))):
        assert (str(other), other.retryable, other.sent, other.host) == (str(error), False, "no", "identity")
        assert isinstance(other.__cause__, ssl.SSLCertVerificationError)
        assert other.__cause__.verify_code == 10
        assert other.__suppress_context__
    assert pickle.loads(pickle.dumps(TransportError("No reply.", sent="no"))).__cause__ is None


@pytest.mark.parametrize(
    "cause",
    [
        OSError(111, f"Connect call failed {SECRET}"),
        OSError(f"odd {SECRET}"),
        FileNotFoundError(2, "No such file", f"/{SECRET}"),
        TimeoutError(f"odd {SECRET}"),
        BrokenPipeError(f"odd {SECRET}"),
    ],
)
def test_a_cause_is_made_anew_without_the_words_of_others(cause: OSError) -> None:
    """The system's words for its number, or none."""
    assert SECRET not in repr(vars(anew(cause))) + repr(anew(cause))
    assert anew(cause).errno == cause.errno


MISFIT = TransportError("No reply: the certificate has expired.", sent="no")
MISFIT.retryable = False


def test_what_would_only_come_again_is_not_sent_again() -> None:
    """A single call is tried once; a chat and a search go on, because a certificate can be renewed meanwhile."""
    assert again(MISFIT, 1, most_retries=2, repeatable=True, uniform=lambda low, high: low) is None
    assert not ends_a_loop(MISFIT, 0)
    search = AgentWait(began=0.0, wait=60.0)
    search.failed(MISFIT, 1.0)
    assert search.failure is MISFIT


def test_a_call_whose_certificate_does_not_fit_is_made_once(
    monkeypatch: pytest.MonkeyPatch, connect: Callable[..., Any]
) -> None:
    """And another one whose service is not there is made three times."""
    monkeypatch.setattr(Clock, "uniform", lambda self, low, high: low)
    with certificate("expired")() as address, pytest.raises(TransportError, match="has expired") as raised:
        connect(base_url=address, solution_id="7").connect()
    assert raised.value.attempts == 1
    with dead() as address, pytest.raises(TransportError, match="refused") as raised:
        connect(base_url=address, solution_id="7").connect()
    assert raised.value.attempts == 3


@pytest.mark.parametrize("problem", ["has expired", "is for another host", "is signed by nobody"])
def test_a_chat_goes_on_while_a_certificate_does_not_fit(
    connect: Callable[..., Any], puzzel_time: VirtualTime, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    """Its reader is told what is wrong, and goes on with the next message when it fits again."""

    def misfit() -> TransportError:
        return unconnected(CHAT, certificate_error(problem), 10.0)

    with Sandbox(script="helpful", clock=puzzel_time.seconds) as sandbox:
        conversation = connect(**sandbox.settings).start(sandbox.queue_key, wait=60)
        events = conversation.events()
        next(one for one in events if isinstance(one, TextMessage))
        broken(monkeypatch, misfit, times=3)
        conversation.send("help")
        told = []
        for event in events:
            told.append(event)
            if isinstance(event, ConnectionRecovered):
                break
        (degraded,) = (event for event in told if isinstance(event, ConnectionDegraded))
        assert problem in str(degraded.problem)
        conversation.end()


def certificate_error(problem: str) -> ssl.SSLCertVerificationError:
    """What OpenSSL says of it."""
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = next(number for number, (told, _) in CERTIFICATE_WORDS.items() if told.startswith(problem))
    error.verify_message = ""
    return error


def broken(monkeypatch: pytest.MonkeyPatch, error: Callable[[], TransportError], times: int) -> None:
    """Let that many polls fail in this way, over either client."""
    left = list(range(times))
    send, send_async = Transport.send, AsyncTransport.send

    def fails(request: Request) -> None:
        if request.operation == "pollConversation" and left:
            left.pop()
            raise error()

    def sends(self: Transport, request: Request, *more: Any) -> Reply:
        fails(request)
        return send(self, request, *more)

    async def sends_async(self: AsyncTransport, request: Request, *more: Any) -> Reply:
        fails(request)
        return await send_async(self, request, *more)

    monkeypatch.setattr(Transport, "send", sends)
    monkeypatch.setattr(AsyncTransport, "send", sends_async)
