"""The fast transport: what it promises beyond what it shares with the others, whose tests run over it too."""

from __future__ import annotations

import asyncio
import errno
import gzip
import inspect
import os
import socket
import struct
import subprocess
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from pyreqwest import exceptions as library

from answering import encrypting, says, server
from forking import in_a_fork
from puzzel_chat._environment import Way
from puzzel_chat._errors import ConfigurationError, ContractError, Sent, SessionError, TransportError
from puzzel_chat._fleet import _extra
from puzzel_chat._fleet._transport import OUTCOMES, FleetTransport, outcome
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import Settings
from puzzel_chat._transport import reachable
from puzzel_chat._wire.replies import poll

POLL = Request(operation="pollConversation", method="GET", path="/api/conversation", query="after=CURSOR")
SECRET = "s3cr3t-token"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
CERTIFICATES = Path(__file__).parent / "certificates"
Send = Callable[..., Reply]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def settings(address: str, **more: Any) -> Settings:
    """Settings for a service on loopback."""
    return Settings(base_url=address, solution_id="7", **more)


class Service:
    """A server on the test's own event loop, which counts its connections."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._writers: set[asyncio.StreamWriter] = set()
        self.most = self.requests = 0

    async def __aenter__(self) -> Service:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.address = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self.closed()

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._writers)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self.most = max(self.most, self.open)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def closed(self) -> None:
        """Wait until nobody is connected."""
        async with asyncio.timeout(20):
            while self.open:
                await asyncio.sleep(0.01)


async def answers(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer at once."""
    writer.write(OK)


async def hangs(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    """Answer nothing until the client goes."""
    await reader.readexactly(1)


over_fleet = pytest.mark.parametrize("send", ["fleet"], indirect=True)


def library_errors() -> list[type[Exception]]:
    """Every error class of the library."""
    found = vars(library).values()
    return [kind for kind in found if inspect.isclass(kind) and issubclass(kind, library.PyreqwestError)]


BASES = {"PyreqwestError", "DetailedPyreqwestError", "RequestError", "TransportError", "RequestTimeoutError"} | {
    "NetworkError"
}
NEVER_RAISED = {"StatusError", "JSONDecodeError"}
"""We neither ask for errors instead of replies, nor have the library read JSON."""


def test_the_library_has_the_errors_that_we_think() -> None:
    """When the library gains an error class, this test asks for a row."""
    concrete = {kind.__name__ for kind in library_errors()} - BASES - NEVER_RAISED
    assert concrete == {kind.__name__ for kind in OUTCOMES} - {"PyreqwestError"}


@pytest.mark.parametrize("kind", library_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_the_library_becomes_ours(kind: type[Exception]) -> None:
    """Each class of the library is caught and maps to a TransportError with the right `sent` and host."""
    expected: Sent = "no" if kind.__name__ in ("PoolTimeoutError", "BuilderError") else "maybe"
    raised = kind("raised", {"causes": None, "doc": "", "pos": 0})
    ours = outcome(raised, Way(settings("https://chat.example").address("communication")), 10.0, 30.0, 0.0)
    assert (ours.sent, ours.host) == (expected, "communication")
    assert str(ours).startswith("No reply: ")
    assert str(ours).count("chat.example") == str(ours).count("chat.example:443 (base_url)") > 0


def reset(connection: socket.socket, after: bytes = b"") -> None:
    """Break the connection, so that the other side hears of it as an error."""
    connection.sendall(after)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


BROKEN: dict[str, Callable[[socket.socket], None]] = {
    "closed": lambda connection: None,
    "reset": reset,
    "cut in the head": says("HTTP/1.1 200 OK\nContent-Le"),
    "cut in the body": says("HTTP/1.1 200 OK\nContent-Length: 100\n\n{"),
    "cut in a chunk": says("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nab"),
    "broken chunk": says("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nno\nab"),
    "reset in the body": lambda connection: reset(connection, OK[:-1]),
    "gzip cut short": lambda connection: connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + gzip.compress(b"{}" * 50)[:20]
    ),
    "two lengths": says("HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\n{}"),
    "no status": says("HTTP/1.1 twohundred OK\n\n"),
    "endless head": lambda connection: connection.sendall(b"HTTP/1.1 200 OK\r\nX: " + bytes(2**20)),
}


@pytest.mark.parametrize("name", BROKEN)
@over_fleet
def test_what_breaks_after_connecting_may_have_been_acted_on(send: Send, name: str) -> None:
    """MarkusSintonen/pyreqwest#27: the library says of most of these that it could not connect, which is not so."""
    with (
        server(lambda connection: suppressed(BROKEN[name], connection)) as address,
        pytest.raises(TransportError, match=r"^No reply: .*\.$") as raised,
    ):
        send(address, POLL, timeout=5)
    assert raised.value.sent == "maybe"
    assert "could not connect" not in str(raised.value)


def suppressed(answer: Callable[[socket.socket], None], connection: socket.socket) -> None:
    """Answer, though the client may have gone in the middle of it."""
    with suppress(OSError):
        answer(connection)


@over_fleet
def test_a_kept_connection_that_breaks_may_have_carried_the_request(send: Send) -> None:
    """The service closed it when it had read the second request: nobody knows what became of that."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(OK)
        assert connection.recv(65536)

    with server(answer) as address, pytest.raises(TransportError, match="closed the connection") as raised:
        send(address, POLL, POLL)
    assert raised.value.sent == "maybe"


@over_fleet
def test_a_connection_that_does_not_come_about_was_not_sent(send: Send) -> None:
    """Nobody takes the connection, as behind a firewall that drops it."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full:
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            assert one.connect_ex(full.getsockname()) in (0, errno.EINPROGRESS)
        with pytest.raises(TransportError, match=r"connect to 127\.0\.0\.1:\d+ \(base_url\): timeout") as raised:
            send(f"http://127.0.0.1:{full.getsockname()[1]}", POLL, timeout=1)
        for one in waiting:
            one.close()
    assert raised.value.sent == "no"


@over_fleet
def test_an_authority_of_ones_own_is_trusted(send: Send, monkeypatch: pytest.MonkeyPatch) -> None:
    """SSL_CERT_FILE names it, as for other programs of the machine."""
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATES / "issuer.pem"))
    with encrypting(CERTIFICATES / "loopback.pem") as address:
        assert send(address, POLL).body == b"{}"


@over_fleet
def test_a_web_page_is_no_poll(send: Send) -> None:
    """A proxy's page comes through as it is, and is told by what reads it."""
    with server(says("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 6\n\n<html>")) as address:
        reply = send(address, POLL)
    assert reply.headers["content-type"] == "text/html"
    with pytest.raises(ContractError):
        poll(reply)


@over_fleet
def test_headers_are_a_mapping(send: Send) -> None:
    """In any case of letters, each name once; what is not text is not there."""
    with server(
        lambda it: it.sendall(b"HTTP/1.1 204 No\r\nRetry-After: 3\r\nX: a\r\nX: b\r\nY: \xe9\r\n\r\n")
    ) as address:
        headers = send(address, POLL).headers
    assert (headers["retry-after"], headers["Retry-After"], headers["x"]) == ("3", "3", "a")
    assert headers.get("y") is None
    assert headers.get("z", "") == ""
    assert (sorted(headers), len(headers)) == (["retry-after", "x", "y"], 3)


def test_a_token_that_cannot_be_sent_is_not_shown() -> None:
    """A header cannot hold a line's end."""
    with pytest.raises(TransportError, match="breaks the HTTP rules") as raised:
        asyncio.run(FleetTransport(settings("http://127.0.0.1:1"), 5).send(POLL, f"{SECRET}\n"))
    assert raised.value.sent == "no"
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_nothing_is_logged_and_no_error_holds_the_request(caplog: pytest.LogCaptureFixture) -> None:
    """The library's messages hold the address with the query, so they are neither cause nor context of ours."""

    async def scenario() -> list[BaseException]:
        async with Service(answers) as service, Service(drops) as dropping:
            good, bad = FleetTransport(settings(service.address), 5), FleetTransport(settings(dropping.address), 5)
            assert (await good.send(POLL, SECRET)).status == 200
            failed = await asyncio.gather(bad.send(POLL, SECRET), return_exceptions=True)
            assert SECRET not in repr((good, vars(good), good._built(good._ways["communication"], POLL, SECRET, 1.0)))
            await good.aclose()
            await bad.aclose()
        return [one for one in failed if isinstance(one, BaseException)]

    async def drops(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    with caplog.at_level(1):
        (error,) = asyncio.run(scenario())
    assert isinstance(error, TransportError)
    assert error.__context__ is None
    assert repr(error.__cause__) == "ConnectionResetError('ConnectError')"
    assert (error.__cause__.__context__, error.__cause__.__traceback__) == (None, None)  # type: ignore[union-attr]
    ours = [record for record in caplog.records if not record.name.startswith("asyncio")]
    assert ours == []


def test_connections_are_bounded_and_kept() -> None:
    """So many at once and no more; each is used again; waiting for one has its time, and then nothing was sent."""

    async def slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        writer.write(OK)

    async def scenario() -> None:
        async with Service(slowly) as service, Service(hangs) as silent:
            transport = FleetTransport(settings(service.address), 5)
            await asyncio.gather(*(transport.send(POLL, SECRET) for _ in range(50)))
            assert (service.requests, service.most, service.open) == (50, 5, 5)
            await transport.aclose()
            transport = FleetTransport(settings(silent.address, timeout=0.2), 1)
            first = asyncio.create_task(transport.send(POLL, SECRET, 0.6))
            await asyncio.sleep(0)
            with pytest.raises(TransportError, match=r"in full after 0\.1 s") as raised:
                await transport.send(POLL, SECRET, 0.1)
            assert raised.value.sent == "no"
            with pytest.raises(TransportError):
                await first
            await transport.aclose()

    asyncio.run(scenario())


def test_giving_up_leaves_nothing_behind() -> None:
    """After 1000 cancelled requests as many are answered at once as before, and no descriptor is left."""

    async def slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.005)
        writer.write(OK)

    async def give_up(transport: FleetTransport) -> None:
        call = asyncio.create_task(transport.send(POLL, SECRET))
        await asyncio.sleep(0.001)
        call.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
        assert call.cancelled()

    async def scenario() -> None:
        async with Service(slowly) as service:
            transport = FleetTransport(settings(service.address), 10)
            await asyncio.gather(*(transport.send(POLL, SECRET) for _ in range(10)))
            before = len(os.listdir("/proc/self/fd"))
            for _ in range(20):
                await asyncio.gather(*(give_up(transport) for _ in range(50)))
            replies = await asyncio.gather(*(transport.send(POLL, SECRET) for _ in range(10)))
            assert [reply.status for reply in replies] == [200] * 10
            assert len(os.listdir("/proc/self/fd")) <= before
            assert service.most <= 10
            await transport.aclose()

    asyncio.run(scenario())


@pytest.mark.parametrize("begun", [b"", OK[:-1]], ids=["before the reply", "in the reply"])
def test_what_was_given_up_ends_in_time(begun: bytes) -> None:
    """The library does not take a request back: its connection is closed when its time is up, the caller long gone."""

    async def begins(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(begun)
        arrived.set()
        await reader.readexactly(1)

    async def scenario() -> None:
        async with Service(begins) as service:
            transport = FleetTransport(settings(service.address, timeout=0.3), 1)
            call = asyncio.create_task(transport.send(POLL, SECRET))
            await arrived.wait()
            call.cancel()
            await asyncio.wait({call})
            assert call.cancelled()
            await service.closed()
            assert len(asyncio.all_tasks()) <= 2
            await transport.aclose()

    arrived = asyncio.Event()
    asyncio.run(scenario())


def test_a_reply_does_not_swallow_a_cancellation() -> None:
    """The library gives a reply that came just before, and would let the caller go on as if nobody had cancelled it."""

    async def scenario(address: str) -> None:
        transport = FleetTransport(settings(address), 5)
        struck = 0
        while struck < 20:
            call = asyncio.create_task(transport.send(POLL, SECRET))
            await asyncio.sleep(0)
            if call.done():  # on a busy machine the reply may come within its first step
                continue
            time.sleep(0.02)  # the reply comes, and the event loop has not heard of it
            call.cancel()
            await asyncio.wait({call})
            assert call.cancelled()
            struck += 1
        await transport.aclose()

    with server(lambda connection: connection.sendall(OK)) as address:
        asyncio.run(scenario(address))


def test_closing_does_not_swallow_a_cancellation() -> None:
    """Who cancels its requests and closes at once finds them cancelled, not failed."""

    async def scenario() -> None:
        async with Service(hangs) as service:
            transport = FleetTransport(settings(service.address), 50)
            calls = [asyncio.create_task(transport.send(POLL, SECRET)) for _ in range(50)]
            while service.requests < 50:
                await asyncio.sleep(0.01)
            for call in calls:
                call.cancel()
            await transport.aclose()
            await asyncio.wait(calls)
            assert all(call.cancelled() for call in calls)

    asyncio.run(scenario())


def test_closing_ends_what_is_under_way() -> None:
    """Nothing that hangs is waited for; who waits for a reply learns that the request may have arrived."""

    async def scenario() -> None:
        async with Service(hangs) as service:
            transport = FleetTransport(settings(service.address), 5)
            call = asyncio.create_task(transport.send(POLL, SECRET))
            while not service.requests:
                await asyncio.sleep(0.01)
            await asyncio.wait_for(transport.aclose(), 1)
            with pytest.raises(TransportError, match="closed meanwhile") as raised:
                await call
            assert raised.value.sent == "maybe"
            with pytest.raises(SessionError, match="closed"):
                await transport.send(POLL, SECRET)

    asyncio.run(scenario())


def test_another_event_loop_is_refused() -> None:
    """The loop that owns it lives on one."""

    async def once() -> None:
        async with Service(answers) as service:
            transport._ways = reachable(settings(service.address))
            await transport.send(POLL, SECRET)

    transport = FleetTransport(settings("http://127.0.0.1:1"), 5)
    asyncio.run(once())
    with pytest.raises(SessionError, match="another event loop"):
        asyncio.run(once())
    asyncio.run(transport.aclose())


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_is_refused() -> None:
    """There the library's thread is not, and a request would wait for ever."""

    async def child() -> None:
        with pytest.raises(SessionError, match="or process"):
            await transport.send(POLL, SECRET)
        await transport.aclose()

    async def parent() -> None:
        async with Service(answers) as service:
            transport._ways = reachable(settings(service.address))
            await transport.send(POLL, SECRET)
            assert in_a_fork(lambda: asyncio.run(child())) == 0
            assert (await transport.send(POLL, SECRET)).status == 200
            await transport.aclose()

    transport = FleetTransport(settings("http://127.0.0.1:1"), 5)
    asyncio.run(parent())


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks for the fast transport and lacks it is told what to install."""
    monkeypatch.setattr(_extra, "find_spec", lambda name: None)
    assert not _extra.fleet_installed()
    with pytest.raises(ConfigurationError, match=r"fast: .*pip install 'puzzel-chat\[fleet\]'"):
        _extra.fleet_transport(settings("http://127.0.0.1:1"), 5)


def test_the_library_is_imported_when_it_is_needed() -> None:
    """Neither the other transports nor asking whether it is there import it."""
    program = (
        "import sys, puzzel_chat._transport\n"
        "from puzzel_chat._fleet._extra import fleet_installed\n"
        "print(fleet_installed(), 'pyreqwest' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.stdout.strip(), done.stderr) == ("True False", "")
