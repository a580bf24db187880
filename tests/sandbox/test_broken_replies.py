"""The simulator's rougher faults over real HTTP: resets, cut, held, swollen and endless replies, in injected time."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from bare import Customer
from puzzel_chat.sandbox import Fault, Sandbox, Scene, Script, Step
from puzzel_chat.testing import VirtualTime
from waiting import until

ROUTE = f"/api/conversation/chat/route/{Sandbox.queue_key}"
HOURS = f"/api/queue/info/{Sandbox.visual_queue_id}"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox in which everything takes place at the next request."""
    with Sandbox(script="manual", pace=0) as sandbox:
        yield sandbox


@pytest.fixture
def http(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client with an open session."""
    with closing(Customer(sandbox)) as customer:
        yield customer.http


@pytest.mark.parametrize(
    ("fault", "routed"),
    [
        (Fault.reset("routeConversation", times=1), 0),
        (Fault.half_read("routeConversation", times=1), 0),
        (Fault.reset("routeConversation", times=1, after=True), 1),
        (Fault.half_sent("routeConversation", times=1), 1),
        (Fault.head_only("routeConversation", times=1), 1),
    ],
    ids=lambda value: value.kind if isinstance(value, Fault) else str(value),
)
def test_a_broken_connection_gives_no_reply(sandbox: Sandbox, http: httpx.Client, fault: Fault, routed: int) -> None:
    """A reset or cut connection gives no reply, on its side of the effect, and the next request is answered."""
    sandbox.faults(fault)
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        http.put(ROUTE, json=[])
    assert sandbox.stats().routed == routed
    assert http.get("/api/conversation").status_code == 200


def test_a_reset_is_one_on_the_wire(sandbox: Sandbox) -> None:
    """The connection is reset, not closed: a bare socket hears ECONNRESET."""
    sandbox.faults(Fault.reset("getQueueInfo"))
    with socket.create_connection(("127.0.0.1", int(sandbox.base_url.rpartition(":")[2]))) as bare:
        bare.sendall(f"GET {HOURS} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        with pytest.raises(ConnectionResetError):
            bare.recv(1)


@pytest.mark.parametrize("after", [False, True])
def test_a_request_that_is_never_answered(sandbox: Sandbox, http: httpx.Client, after: bool) -> None:
    """The server holds the request until the client gives up, and then the effect is as the fault says."""
    sandbox.faults(Fault.hang("routeConversation", after=after, times=1))
    with pytest.raises(httpx.ReadTimeout):
        http.put(ROUTE, json=[], timeout=0.3)
    until(lambda: sandbox.stats().routed == after)


def test_an_endless_reply(sandbox: Sandbox, http: httpx.Client) -> None:
    """The body goes on after its end until the client has gone, or until its time is over and the reply is cut."""
    sandbox.faults(Fault.endless(0.3, "pollConversation"))
    with http.stream("GET", "/api/conversation") as reply:
        assert reply.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            reply.read()


@pytest.mark.parametrize(
    ("fault", "size"), [(Fault.big(), 10 * 2**20), pytest.param(Fault.bomb(), 64 * 2**20, marks=pytest.mark.slow)]
)
def test_a_swollen_reply_still_says_the_same(sandbox: Sandbox, http: httpx.Client, fault: Fault, size: int) -> None:
    """10 MiB as they are, or 64 MiB in some kilobytes, hold the reply that belongs there."""
    sandbox.faults(fault)
    with http.stream("GET", HOURS) as reply:
        packed = len(b"".join(reply.iter_raw())) if "content-encoding" in reply.headers else None
        body = b"" if packed else reply.read()
    assert packed is None or packed < 100_000
    reply = http.get(HOURS)
    assert reply.json()["id"] == Sandbox.visual_queue_id
    assert size < len(reply.content) < size + 1000
    assert body in (b"", reply.content)


def test_what_takes_time_takes_the_injected_time() -> None:
    """With `sleep` an hour of latency passes at once; `Date` and a relative `Retry-After` are in the injected time."""
    virtual = VirtualTime()
    with (
        Sandbox(pace=0, clock=virtual.seconds, sleep=virtual.passing) as sandbox,
        closing(Customer(sandbox)) as customer,
    ):
        before, began = virtual.seconds(), time.monotonic()
        sandbox.faults(
            Fault.latency(3000), Fault.slow_body(600), Fault.status(503, retry_after=30, as_date=True, after=True)
        )
        reply = customer.http.get(HOURS)
        assert virtual.seconds() - before == 3600
        assert time.monotonic() - began < 60
        date, until = (parsedate_to_datetime(reply.headers[name]) for name in ("Date", "Retry-After"))
        assert (until - date).total_seconds() == 30
        assert date == datetime.fromtimestamp(before + 3000, UTC).replace(microsecond=0)


def test_a_token_may_promise_more_than_it_keeps() -> None:
    """`token_promise` is what `expires_in` says, whatever the token's life is."""
    with Sandbox(token_life=1, token_promise=600) as sandbox, closing(Customer(sandbox)) as customer:
        assert customer.tokens["expires_in"] == 600


def test_a_script_of_ones_own() -> None:
    """An agent may follow a script that is not in the table."""

    def joins(scene: Scene) -> Iterator[Step]:
        yield Step("say", f"{scene.agent} says so.", delay=0)

    with Sandbox(Script("own", "says one thing", notice=False, joins=joins), pace=0) as sandbox:
        with closing(Customer(sandbox)) as customer:
            customer.route()
            customer.poll()
        assert [entry.content for entry in sandbox.ledger()["chat"] if entry.type == "Text"] == ["Kari says so."]


def test_the_two_clocks_of_a_client_come_apart() -> None:
    """A step moves the wall clock alone, a suspension leaves only the monotonic one behind."""
    virtual = VirtualTime()
    start, true = virtual.now(), virtual.seconds()
    virtual.step(-3600)
    assert virtual.now() == type(start)(start.monotonic, start.wall - 3600)
    assert virtual.seconds() == true
    virtual.suspend(60)
    assert virtual.now() == type(start)(start.monotonic, start.wall - 3540)
    assert virtual.seconds() == true + 60
    asyncio.run(virtual.passing(5))
    assert virtual.monotonic() == start.monotonic + 5
