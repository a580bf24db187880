"""Requests are cancelled under contention, and the connection pool is looked at: httpx's own, and ours.

The bare pool of the HTTP library loses connections for good (encode/httpcore#1093). The blocking client has no
cancellations; there, requests give up at random moments by their timeouts.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random
from typing import Any
from unittest.mock import patch

import httpx
from attrs import define

from puzzel_chat import PuzzelChatError, _async_transport
from puzzel_chat import _transport as ours
from puzzel_chat._fleet._transport import FleetTransport
from puzzel_chat._http import Request
from puzzel_chat._settings import Settings
from soak.peer import peer
from soak.table import table

SLOWEST = 0.006
"""Seconds that the server takes at most."""
LONGEST = 0.06
"""Seconds after which a request is given up at the latest; it waits for a connection, and then for the server."""
PATIENCE = 3.0
"""Seconds that the requests at the end may take."""
POLL = Request(operation="pollConversation", method="GET", path="/api/conversation")
COLUMNS = (
    "pool",
    "requests",
    "answered",
    "given up",
    "sockets before",
    "after",
    "fds before",
    "after",
    "connections after",
    "of them stuck",
    "queued",
    "tasks or threads left",
    "turns of the loop until let go",
    "next requests answered",
    "sockets after close",
)


@define
class Plan:
    """How much of it."""

    giving_up: int = 20_000
    workers: int = 40
    connections: int = 10
    seed: int = 1
    quiet: bool = False

    def tell(self, name: str, done: int) -> None:
        """Show how far it is."""
        if not self.quiet and done % 500 == 0:
            print(f"\r{name}: {done} of {self.giving_up} given up", end="", file=sys.stderr, flush=True)


@define
class Figures:
    """What was seen. `before` and `after` are sockets that the server has open, and file descriptors here."""

    requests: int = 0
    given_up: int = 0
    turns: int = 0
    before: tuple[int, int] = (0, 0)
    after: tuple[int, int] = (0, 0)
    connections: int = 0
    stuck: int = 0
    queued: int = 0
    left: int = 0
    answered: int = 0
    asked: int = 0
    at_the_end: int = 0

    @property
    def clean(self) -> bool:
        """Tell whether nothing was lost and nothing is left."""
        lost = self.stuck, self.queued, self.left, self.at_the_end, self.asked - self.answered
        sockets, descriptors = (after - before for before, after in zip(self.before, self.after, strict=True))
        return not any(lost) and self.after[0] <= self.asked and descriptors == sockets

    def look_into(self, client: Any) -> None:
        """Count what the library's pool holds."""
        pool = client._transport._pool
        self.connections, self.queued = len(pool._connections), len(pool._requests)
        self.stuck = sum(not (one.is_idle() or one.is_closed()) for one in pool._connections)

    def row(self, name: str) -> tuple[object, ...]:
        """Give a line of the table."""
        return (
            name,
            self.requests,
            self.requests - self.given_up,
            self.given_up,
            self.before[0],
            self.after[0],
            self.before[1],
            self.after[1],
            self.connections,
            self.stuck,
            self.queued,
            self.left,
            self.turns,
            f"{self.answered} of {self.asked}",
            self.at_the_end,
        )


def _open(address: str, expected: Callable[[int, int], bool] = lambda sockets, descriptors: True) -> tuple[int, int]:
    """Count the server's sockets and the descriptors here, again until they are as expected, or for ten seconds.

    The server hears of a closed connection a while later, which is long on a busy machine.
    """
    by = time.monotonic() + 10.0
    while True:
        gc.collect()
        with urllib.request.urlopen(f"{address}/open") as reply:
            found = int(reply.read()), len(os.listdir("/proc/self/fd"))
        if expected(*found) or time.monotonic() > by:
            return found
        time.sleep(0.05)


def _open_after(address: str, before: tuple[int, int]) -> tuple[int, int]:
    return _open(address, lambda sockets, descriptors: descriptors - before[1] == sockets - before[0])


def _open_at_the_end(address: str) -> int:
    return _open(address, lambda sockets, _: sockets == 0)[0]


def _limits(plan: Plan) -> httpx.Limits:
    return httpx.Limits(max_connections=plan.connections, max_keepalive_connections=plan.connections)


Send = Callable[[], Awaitable[object]]


async def _give_up(send: Send, plan: Plan, figures: Figures, random: Random) -> None:
    """Send and cancel at a random moment, now and then twice, until there were enough."""
    while figures.given_up < plan.giving_up:
        figures.requests += 1
        call = asyncio.ensure_future(send())
        await asyncio.sleep(random.uniform(0, LONGEST))
        call.cancel()
        turns = 0
        while not call.done():
            turns += 1
            await asyncio.sleep(0)
            if random.random() < 0.1:
                call.cancel()
        figures.turns = max(figures.turns, turns)
        if call.cancelled() or call.exception() is not None:
            figures.given_up += 1


async def _all_at_once(send: Send, plan: Plan, figures: Figures) -> None:
    """Use every connection at the same time, to see that each is there; the server is never silent to all."""
    figures.asked = plan.connections

    async def patiently() -> bool:
        for _ in range(5):
            with suppress(httpx.HTTPError, PuzzelChatError, TimeoutError):
                async with asyncio.timeout(PATIENCE / 5):
                    await send()
                return True
        return False

    figures.answered = sum(await asyncio.gather(*(patiently() for _ in range(plan.connections))))


async def _asynchronous(
    name: str, address: str, plan: Plan, send: Send, client: Callable[[], Any], places_come_back: float = 0.0
) -> Figures:
    figures, random, at_first = Figures(), Random(plan.seed), _open(address)
    await _all_at_once(send, plan, figures)
    await asyncio.sleep(0.2)
    figures.before = _open_after(address, at_first)

    async def progress() -> None:
        while True:
            plan.tell(name, figures.given_up // 500 * 500)
            await asyncio.sleep(1)

    shown = asyncio.create_task(progress())
    await asyncio.gather(*(_give_up(send, plan, figures, random) for _ in range(plan.workers)))
    shown.cancel()
    await asyncio.sleep(0.2)
    if (looked_into := client()) is not None:
        figures.look_into(looked_into)
    figures.left = len(asyncio.all_tasks()) - 1
    await asyncio.sleep(places_come_back)
    await _all_at_once(send, plan, figures)
    await asyncio.sleep(0.2)
    figures.after = _open_after(address, figures.before)
    return figures


async def bare_async(address: str, plan: Plan) -> Figures:
    """Look at the library's own pool."""
    timeout = httpx.Timeout(PATIENCE, pool=PATIENCE / 5)
    async with httpx.AsyncClient(limits=_limits(plan), timeout=timeout) as client:

        async def send() -> object:
            return await client.get(f"{address}{POLL.path}")

        figures = await _asynchronous("httpx, async", address, plan, send, lambda: client)
    await asyncio.sleep(0.1)
    figures.at_the_end = _open_at_the_end(address)
    return figures


async def ours_async(address: str, plan: Plan) -> Figures:
    """Look at our own transport."""
    transport = _async_transport.AsyncTransport(Settings(base_url=address, solution_id="7", timeout=PATIENCE))

    async def send() -> object:
        return await transport.send(POLL, "token")

    figures = await _asynchronous("ours, async", address, plan, send, lambda: transport._pool().client)
    await transport.aclose()
    await asyncio.sleep(0.1)
    figures.at_the_end = _open_at_the_end(address)
    return figures


async def fast_async(address: str, plan: Plan) -> Figures:
    """Look at the fast transport, whose library shows no pool, and keeps the places of the given up a while."""
    transport = FleetTransport(Settings(base_url=address, solution_id="7", timeout=PATIENCE), plan.connections)

    async def send() -> object:
        return await transport.send(POLL, "token")

    figures = await _asynchronous("fast, async", address, plan, send, lambda: None, PATIENCE + 1.0)
    await transport.aclose()
    await asyncio.sleep(PATIENCE + 1.0)
    figures.at_the_end = _open_at_the_end(address)
    return figures


def _blocking(name: str, address: str, plan: Plan, send: Callable[[float], object], client: Any) -> Figures:
    figures, lock, threads = Figures(), threading.Lock(), threading.active_count()

    def answered(seconds: float) -> bool:
        with suppress(httpx.HTTPError, PuzzelChatError):
            send(seconds)
            return True
        return False

    def work(random: Random) -> None:
        while figures.given_up < plan.giving_up:
            got = answered(random.uniform(0.0005, LONGEST / 2))
            with lock:
                figures.requests += 1
                figures.given_up += not got
                if not got:
                    plan.tell(name, figures.given_up)

    def all_at_once() -> None:
        got: list[bool] = []
        _threads(plan.connections, lambda _: got.append(any(answered(PATIENCE / 5) for _ in range(5))))
        figures.answered, figures.asked = sum(got), plan.connections

    at_first = _open(address)
    all_at_once()
    figures.before = _open_after(address, at_first)
    _threads(plan.workers, lambda number: work(Random(plan.seed * 1000 + number)))
    figures.look_into(client())
    figures.left = threading.active_count() - threads
    all_at_once()
    figures.after = _open_after(address, figures.before)
    return figures


def _threads(number: int, work: Callable[[int], object]) -> None:
    threads = [threading.Thread(target=work, args=(place,)) for place in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def bare_sync(address: str, plan: Plan) -> Figures:
    """Look at the library's own pool."""
    with httpx.Client(limits=_limits(plan)) as client:
        figures = _blocking(
            "httpx, sync", address, plan, lambda left: client.get(f"{address}{POLL.path}", timeout=left), lambda: client
        )
    figures.at_the_end = _open_at_the_end(address)
    return figures


def ours_sync(address: str, plan: Plan) -> Figures:
    """Look at our own transport."""
    transport = ours.Transport(Settings(base_url=address, solution_id="7", timeout=PATIENCE))
    figures = _blocking(
        "ours, sync",
        address,
        plan,
        lambda left: transport.send(POLL, "token", within=left),
        lambda: transport._pool().client,
    )
    transport.close()
    figures.at_the_end = _open_at_the_end(address)
    return figures


def run(subject: Callable[[str, Plan], Any], plan: Plan) -> Figures:
    """Run one subject against a server of its own."""
    with (
        peer(SLOWEST, plan.seed) as address,
        patch.object(_async_transport, "MAX_CONNECTIONS", plan.connections),
        patch.object(ours, "MAX_CONNECTIONS", plan.connections),
    ):
        found = subject(address, plan)
        figures: Figures = asyncio.run(found) if asyncio.iscoroutine(found) else found
    return figures


def main(arguments: list[str]) -> int:
    """Run and print the table; 1 when our own transport lost something."""
    parser = argparse.ArgumentParser(prog="python -m soak cancellations", description=__doc__)
    parser.add_argument("--giving-up", type=int, default=20_000, help="requests given up (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=40, help="requests at once (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=10, help="the pool's limit (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: %(default)s)")
    parser.add_argument(
        "--kind", choices=("sync", "async", "fleet", "all"), default="all", help="which client (default: all)"
    )
    asked = parser.parse_args(arguments)
    plan = Plan(asked.giving_up, asked.workers, asked.connections, asked.seed)
    # The blocking one is the smaller check: its requests wait for their timeouts.
    fewer = Plan(max(1, asked.giving_up // 4), asked.workers, asked.connections, asked.seed)
    rows, clean = [], True
    for kind, subject, of_ours, scope in (
        ("async", bare_async, False, plan),
        ("async", ours_async, True, plan),
        ("fleet", fast_async, True, plan),
        ("sync", bare_sync, False, fewer),
        ("sync", ours_sync, True, fewer),
    ):
        if asked.kind in (kind, "all"):
            figures = run(subject, scope)
            rows.append(figures.row(f"{'ours' if of_ours else 'httpx'}, {kind}"))
            clean = clean and (figures.clean or not of_ours)
            print(file=sys.stderr)
    print(table(COLUMNS, rows))
    return 0 if clean else 1
