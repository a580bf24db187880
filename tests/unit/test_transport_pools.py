"""Whose connections are whose: cancelled callers, other event loops, forked processes, closed clients, proxies."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from typing import Any

import httpx
import pytest

from answering import says, server
from forking import in_a_fork
from puzzel_chat import _async_transport
from puzzel_chat import _transport as pools
from puzzel_chat._async_transport import AsyncTransport, _here
from puzzel_chat._errors import SessionError, TransportError
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import HostName, Settings
from puzzel_chat._transport import Transport, new_client
from puzzel_chat._wire.operations import token_request
from soak import cancellations

POLL = Request(operation="pollConversation", method="GET", path="/api/conversation")
OK = "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"
Send = Callable[..., Reply]


class Counted:
    """A server that answers for as long as the client likes, and knows from which ports it was asked."""

    def __init__(self) -> None:
        """Listen."""
        self.ports: list[int] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                connection, (_, port) = self._listening.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection, port)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket, port: int) -> None:
        with closing(connection):
            connection.settimeout(20)
            while connection.recv(65536):
                self.ports.append(port)
                connection.sendall(OK.replace("\n", "\r\n").encode())

    def close(self) -> None:
        """Stop when every connection is closed."""
        if self._listening.fileno() < 0:
            return
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "a connection was left open"


@pytest.fixture
def counted() -> Iterator[Counted]:
    """Such a server; at the end it fails when a connection was left open."""
    with closing(Counted()) as made:
        yield made


def settings(address: str, **more: Any) -> Settings:
    """Settings for it."""
    return Settings(base_url=address, solution_id="7", **more)


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Fail when a file or socket is left open."""
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("subject", [cancellations.ours_async, cancellations.ours_sync])
def test_giving_up_under_contention_leaves_the_pool_as_it_was(subject: Callable[..., Any]) -> None:
    """encode/httpcore#1093: the library's own pool loses every connection in this; `make soak RUN=cancellations`."""
    plan = cancellations.Plan(giving_up=1000 if subject is cancellations.ours_async else 200, quiet=True)
    figures = cancellations.run(subject, plan)
    assert figures.clean, figures
    assert figures.answered == plan.connections


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_cancelled_caller_is_let_go_at_once(scheme: str) -> None:
    """Before the server has answered, or has even agreed on TLS; then nothing is left, not even the connection."""

    async def scenario(address: str, arrived: threading.Event) -> None:
        transport = AsyncTransport(settings(address))
        call = asyncio.create_task(transport.send(POLL, "token"))
        while not arrived.is_set():
            await asyncio.sleep(0.01)
        call.cancel()
        for _ in range(20):
            await asyncio.sleep(0)
        assert call.cancelled()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await transport.aclose()

    arrived, gone = threading.Event(), threading.Event()

    def stall(connection: socket.socket) -> None:
        arrived.set()
        connection.settimeout(20)
        assert connection.recv(1) == b""
        gone.set()

    with server(stall) as address, no_more_descriptors():
        asyncio.run(scenario(address.replace("http", scheme), arrived))
        assert gone.wait(20)


def test_a_request_whose_caller_has_gone_before_it_was_sent_is_not_sent() -> None:
    """A message that was cancelled while connecting does not arrive afterwards."""
    heard: list[bytes] = []

    async def scenario(address: str) -> None:
        transport = AsyncTransport(settings(address))
        call = asyncio.create_task(transport.send(POLL, "token"))
        while not transport._pools or not next(iter(transport._pools.values())).trips._trips:
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.wait({call})
        await transport.aclose()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        listening.settimeout(0.2)
        asyncio.run(scenario(f"http://127.0.0.1:{listening.getsockname()[1]}"))
        with suppress(TimeoutError), closing(listening.accept()[0]) as connection:
            heard.append(connection.recv(100))
    assert b"".join(heard) == b""


@pytest.mark.parametrize("send", ["sync", "async"], indirect=True)
def test_waiting_for_a_connection_has_its_time(monkeypatch: pytest.MonkeyPatch, send: Send) -> None:
    """When every connection is busy, the error says so, and that nothing was sent."""
    for module in (pools, _async_transport):
        monkeypatch.setattr(module, "MAX_CONNECTIONS", 0)
    with pytest.raises(TransportError, match=r"no free connection within 0\.1 s; too many chats") as raised:
        send("http://127.0.0.1:1", POLL, timeout=0.1)
    assert raised.value.sent == "no"


def test_closing_ends_what_is_under_way() -> None:
    """A caller whose client is closed meanwhile learns that the request may have arrived, and is not cancelled."""

    async def scenario(address: str, arrived: threading.Event) -> None:
        transport = AsyncTransport(settings(address))
        calls = [asyncio.create_task(transport.send(POLL, "token")) for _ in range(2)]
        while not arrived.is_set():
            await asyncio.sleep(0.01)
        await transport.aclose()
        under_way, waited = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(under_way, TransportError)
        assert under_way.sent == "maybe"
        assert isinstance(waited, SessionError)
        with pytest.raises(SessionError, match="closed"):
            await transport.send(POLL, "token")
        assert len(asyncio.all_tasks()) == 1

    arrived = threading.Event()

    def stall(connection: socket.socket) -> None:
        arrived.set()
        connection.settimeout(20)
        connection.recv(1)

    with server(stall) as address, pytest.MonkeyPatch.context() as patched:
        patched.setattr(_async_transport, "MAX_CONNECTIONS", 1)
        asyncio.run(scenario(address, arrived))


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_another_event_loop_has_connections_of_its_own(counted: Counted) -> None:
    """encode/httpx#2473: neither a lock nor a connection of a loop that is gone stops the next one."""
    transport = AsyncTransport(settings(counted.address))

    async def several() -> None:
        await asyncio.gather(*(transport.send(POLL, "token") for _ in range(3)))

    asyncio.run(several())
    asyncio.run(several())
    assert len(transport._pools) == 1, "the pool of a closed loop is forgotten"
    asyncio.run(transport.aclose())
    assert len(counted.ports) == 6
    transport._pools.clear()
    gc.collect()


def test_two_event_loops_at_once_do_not_meet(counted: Counted) -> None:
    """Two threads with a loop each may share a client; each uses connections of its own."""
    transport, both = AsyncTransport(settings(counted.address)), threading.Barrier(2)

    async def several() -> None:
        await transport.send(POLL, "token")
        both.wait(20)
        for _ in range(20):
            await transport.send(POLL, "token")
        both.wait(20)
        await transport._pools.pop(_here()).client.aclose()

    threads = [threading.Thread(target=asyncio.run, args=(several(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted.ports.count(port) for port in set(counted.ports)) == [21, 21]


def in_multiprocessing(work: Callable[[], None]) -> int:
    """Do as `in_a_fork` does, by the standard library's own means."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(20)
    process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


Fork = Callable[[Callable[[], None]], int]


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
@pytest.mark.parametrize("fork", [in_a_fork, in_multiprocessing])
def test_a_forked_child_of_an_event_loop_has_connections_of_its_own(counted: Counted, fork: Fork) -> None:
    """The same for the awaiting client, which the child uses under an event loop of its own."""
    transport = AsyncTransport(settings(counted.address))

    async def child() -> None:
        await transport.send(POLL, "token")
        await transport.send(POLL, "token")
        await transport.aclose()

    async def parent() -> None:
        await transport.send(POLL, "token")
        assert fork(lambda: asyncio.run(child())) == 0
        await transport.send(POLL, "token")
        await transport.aclose()

    asyncio.run(parent())
    first, *others, last = counted.ports
    assert first == last
    assert others == [others[0]] * 2
    assert others[0] != first


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
        patched.setattr(_async_transport, "MAX_CONNECTIONS", 1)
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
    "https://chat.localhost",
    "http://LOCALHOST:{}",
]


@pytest.mark.parametrize("mine", FORMS)
def test_every_name_of_this_machine_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch, mine: str) -> None:
    """Whichever of the two hosts it is, however it is written, and whatever port the other one has."""
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:8080")
    here = mine.format(8001)
    for hosts in ((here, "https://id.example"), ("https://chat.example", here), (here, mine.format(8002))):
        client = new_client(httpx.Client, settings(hosts[0], identity_url=hosts[1]))
        for host in hosts:
            direct = client._transport_for_url(httpx.URL(f"{host}/connect/token")) is client._transport
            assert direct == (not host.endswith(".example"))


@pytest.mark.parametrize("send", ["sync", "async"], indirect=True)
@pytest.mark.parametrize("here", ["communication", "identity"])
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
        with pytest.raises(TransportError, match=r"the proxy on the way to far\.example"):
            send(hosts["communication"], requests[there], identity_url=hosts["identity"], timeout=5)
    assert heard[0].startswith("CONNECT far.example:443 ")


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that refuses one request, or whoever ends it; gives its address and what it hears."""
    heard: list[str] = []

    def serve() -> None:
        with suppress(OSError), closing(listening.accept()[0]) as connection:
            heard.append(connection.recv(65536).decode())
            says("HTTP/1.1 502 Bad Gateway\nContent-Length: 0\n\n")(connection)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_another_machine_is_reached_through_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, send: Send
) -> None:
    """Who must use a proxy sets HTTPS_PROXY; the token goes through it encrypted, so the proxy sees only the host."""
    with proxy() as (address, heard):
        monkeypatch.setenv("HTTPS_PROXY", address)
        told = r"the proxy on the way to chat\.example \(base_url\) refused"
        with pytest.raises(TransportError, match=told) as raised:
            send("https://chat.example", POLL, timeout=5, identity_url="http://127.0.0.1:1")
    assert heard[0].startswith("CONNECT chat.example:443 ")
    assert "s3cr3t-token" not in heard[0]
    assert raised.value.sent == "no"
