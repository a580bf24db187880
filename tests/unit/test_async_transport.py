"""The transport of event loops: what it promises beyond what it shares with the others, whose tests run over it too."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest

from answering import Counted, server
from forking import Fork, in_a_fork, in_multiprocessing
from puzzel_chat import _async_transport
from puzzel_chat._async_transport import AsyncTransport, process_and_loop
from puzzel_chat._errors import SessionError, TransportError
from puzzel_chat._http import Request
from puzzel_chat._settings import Settings
from quick import quick_only
from soak import cancellations

POLL = Request(operation="pollConversation", method="GET", path="/api/conversation")


def settings(address: str) -> Settings:
    """Settings for it."""
    return Settings(base_url=address, solution_id="7")


@contextmanager
def no_more_descriptors() -> Iterator[None]:
    """Fail when a file or socket is left open."""
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    yield
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("giving_up", quick_only([100], [100, 1000]))
def test_giving_up_under_contention_leaves_the_pool_as_it_was(giving_up: int) -> None:
    """encode/httpcore#1093: the library's own pool loses every connection in this; `make soak RUN=cancellations`."""
    plan = cancellations.Plan(giving_up=giving_up, quiet=True)
    figures = cancellations.run(cancellations.ours_async, plan)
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
        while not transport._pools or not next(iter(transport._pools.values())).under_way:
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
        await transport._pools.pop(process_and_loop()).client.aclose()

    threads = [threading.Thread(target=asyncio.run, args=(several(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(counted.ports.count(port) for port in set(counted.ports)) == [21, 21]


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
