"""The bench's contact centre, in a process of its own: `python -m benchmarks.centre JSON` prints its port.

It speaks what a chat needs of the contract, as both hosts at one address, and to who runs the bench at `POST /bench`:
`{"do": NAME, ...}` calls the method of that name. Its clock, CLOCK_MONOTONIC, is that of every process here. One
session has one conversation.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from array import array
from bisect import bisect
from collections import deque
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from itertools import pairwise
from random import Random
from typing import Any
from urllib.parse import parse_qs

from attrs import define, field

from benchmarks.book import Book
from benchmarks.machine import CENTRE, pin, run_in_loop
from benchmarks.wire import Connection, bearer, reply_of

POLL = b"GET /api/conversation"
EMPTY = b'{"messages":[],"cursor":%d}'
LOOK = 0.25
"""Seconds between two looks at its own CPU."""
ITEM = (
    '{{"type":"Text","id":"{conversation}-{number}","conversationId":"{conversation}","version":1,'
    '"sentAt":"2026-01-05T09:00:00+00:00","author":{{"role":1,"id":"kari","displayName":"Kari"}},'
    '"content":"{number} {now!r} {padding}"}}'
)


@define(eq=False)
class Session:
    """One token's side of the centre; `items` are the messages stored, as sent, `polled_by` the last poll's head."""

    conversation: str
    visitor: str = ""
    refresh: str = ""
    items: list[bytes] = field(factory=list)
    arrivals: array[float] = field(factory=lambda: array("d"))
    polled_by: bytes = b""


class Centre:
    """What it knows, and how it answers. `latency` and `ttl` are in seconds.

    Polls and refreshes take their latency; what opens a chat is answered at once, so that a bench soon begins.
    """

    def __init__(self, latency: float = 0.1, ttl: float = 3600.0, seed: int = 1) -> None:
        self.latency, self.ttl, self.random = latency, ttl, Random(seed)
        self.book = Book()
        self.sessions: list[Session] = []
        self.tokens: dict[bytes, tuple[Session, float]] = {}
        self.refreshes: dict[str, Session] = {}
        self.spent: set[str] = set()
        self.routed: dict[str, Session] = {}
        self.outage: str | None = None
        self.connections: set[Connection] = set()
        self.server: asyncio.Server | None = None
        self.port = 0
        self._waiting: deque[tuple[float, Connection, bytes]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def listen(self) -> None:
        """Take connections, on the same port as before."""
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: Connection(self.answer, self.connections, self.book.connected), "127.0.0.1", self.port, backlog=4096
        )
        self.port = self.server.sockets[0].getsockname()[1]

    def answer(self, connection: Connection, head: bytes, body: bytes) -> None:
        """Take one request; `head` ends with its last header's line end."""
        now = time.monotonic()
        if head.startswith(b"POST /bench"):
            asked = json.loads(body)
            done = getattr(self, f"do_{asked.pop('do')}")(**asked)
            connection.write(reply_of(200, json.dumps(done).encode()))
        elif self.outage is not None:
            self.book.count("offered", now)
            self._fail(connection)
        else:
            polled = head.startswith(POLL)
            reply = self._poll(head, now) if polled else self._other(head, body, now)
            if polled or b"refresh_token" in body:
                self._later(now, connection, reply)
            else:
                connection.write(reply)

    def _later(self, now: float, connection: Connection, reply: bytes) -> None:
        self._waiting.append((now + self.latency, connection, reply))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.latency, self._flush)

    def _flush(self) -> None:
        waiting, now = self._waiting, time.monotonic()
        self.book.late.append((now, max(0.0, now - waiting[0][0])))
        # uvloop's timers have whole milliseconds and may be half of one early.
        while waiting and waiting[0][0] <= now + 0.0005:
            _, connection, reply = waiting.popleft()
            connection.write(reply)
        self._timer = None
        if waiting:
            self._timer = asyncio.get_running_loop().call_later(waiting[0][0] - now, self._flush)

    def _poll(self, head: bytes, now: float) -> bytes:
        session, until = self.tokens.get(bearer(head), (None, 0.0))
        if session is None or until < now:
            self.book.count("refused", now)
            return reply_of(401, b"{}")
        self.book.count("polls", now)
        session.arrivals.append(now)
        session.polled_by = head
        at = head.find(b"after=", 0, head.find(b"\r"))
        after = int(head[at + 6 : head.find(b" ", at)]) if at > 0 else 0
        items = session.items
        if after >= len(items):
            return reply_of(200, EMPTY % after)
        return reply_of(200, b'{"messages":[%s],"cursor":%d}' % (b",".join(items[after:]), len(items)))

    def _other(self, head: bytes, body: bytes, now: float) -> bytes:
        method, path, _ = head.decode().split(" ", 2)
        if path == "/connect/token":
            return self._token({name: values[0] for name, values in parse_qs(body.decode()).items()}, now)
        session, until = self.tokens.get(bearer(head), (None, 0.0))
        if session is None or until < now:
            self.book.count("refused", now)
            return reply_of(401, b"{}")
        place, _, action = path.removeprefix("/api/conversation/").partition("/")
        action = f"{method} {action.partition('/')[0]}"
        self.book.count(action, now)
        if action == "PUT route":
            session.conversation = place
            self.routed[session.conversation] = session
            return reply_of(202, b'{"status":"Queued"}')
        if action == "POST message":
            self._store(session, now)
            return reply_of(200, b'{"id":"%s-%d"}' % (session.conversation.encode(), len(session.items)))
        if action == "POST end":
            self.routed.pop(session.conversation, None)
        return reply_of(204 if action == "POST end" else 404, b"")

    def _token(self, form: dict[str, str], now: float) -> bytes:
        given = form.get("refresh_token")
        if given is None:
            if form.get("grant_type") != "visitor" or "tenant_id" not in form:
                return reply_of(400, b'{"error":"invalid_request"}')
            self.book.count("grants", now)
            self.sessions.append(Session("", f"visitor-{len(self.sessions)}"))
            return self._grant(self.sessions[-1], now)
        self.book.count("refreshes", now)
        session = self.refreshes.pop(given, None)
        if session is None:
            self.book.count("reuse" if given in self.spent else "refused", now)
            return reply_of(400, b'{"error":"invalid_grant"}')
        self.spent.add(given)
        return self._grant(session, now)

    def _grant(self, session: Session, now: float) -> bytes:
        access, session.refresh = (self.random.randbytes(20).hex() for _ in range(2))
        self.tokens[access.encode()] = (session, now + self.ttl)
        self.refreshes[session.refresh] = session
        given = {"access_token": access, "refresh_token": session.refresh, "token_type": "Bearer"}
        return reply_of(200, json.dumps({**given, "expires_in": self.ttl, "visitor_id": session.visitor}).encode())

    def _store(self, session: Session, now: float, padding: str = "") -> None:
        number = len(session.items) + 1
        item = ITEM.format(conversation=session.conversation, number=number, now=now, padding=padding)
        session.items.append(item.encode())

    def _fail(self, connection: Connection) -> None:
        if self.outage == "503":
            connection.write(reply_of(503, b"{}"))
        elif self.outage == "reset":
            connection.transport.abort()

    def do_sessions(self, count: int) -> list[str]:
        """Open sessions for who brings no tokens of its own; gives their access tokens."""
        made = [Session(f"given-{number}") for number in range(count)]
        tokens = [self.random.randbytes(20).hex() for _ in made]
        self.sessions += made
        self.tokens.update((token.encode(), (one, float("inf"))) for token, one in zip(tokens, made, strict=True))
        return tokens

    def do_talk(self, rate: float, seconds: float) -> None:
        """Store so many messages a second, each in a conversation chosen at random, at a time of its own."""
        loop, chats, until = asyncio.get_running_loop(), list(self.routed.values()), time.monotonic() + seconds

        def say() -> None:
            now = time.monotonic()
            if now < until:
                self._store(self.random.choice(chats), now)
                loop.call_later(self.random.expovariate(rate), say)

        say()

    def do_bulk(self, conversation: str, size: int, messages: int = 1) -> None:
        """Store messages of that many bytes in all, at once."""
        for _ in range(messages):
            self._store(self.routed[conversation], time.monotonic(), "x" * (size // messages))

    def do_outage(self, how: str, seconds: float) -> None:
        """Be out: "503", "reset" (each request), "hang" (no answer), or "refused" (each connection)."""
        loop = asyncio.get_running_loop()
        # Who asks for it is answered first.
        loop.call_later(0.01, self._out, how)
        loop.call_later(0.01 + seconds, self._back)

    def _out(self, how: str) -> None:
        self.outage = how
        if how == "refused" and self.server is not None:
            self.server.close()
        if how in ("refused", "reset"):
            for connection in list(self.connections):
                connection.transport.abort()

    def _back(self) -> None:
        if self.outage == "refused":
            self._listening = asyncio.ensure_future(self.listen())
        self.outage = None

    def do_report(self, since: float, until: float, but: Sequence[str] = ()) -> dict[str, Any]:
        """Give what was seen between two times; of the polls, but for those of some conversations."""
        arrivals = [one.arrivals for one in self.sessions if one.conversation not in but]
        return self.book.report(since, until, arrivals)

    def do_held(self, worker: str) -> list[str]:
        """Give the conversations whose last poll came with this worker's name in its header."""
        named = f"x-worker: {worker}\r".encode()
        return [one.conversation for one in self.routed.values() if named in one.polled_by.lower()]

    def do_gaps(self, since: float, among: Sequence[str]) -> list[float]:
        """Give the longest time between two polls of each, the last one before a moment among them, in seconds."""
        found = []
        for one in among:
            arrivals = self.routed[one].arrivals
            found.append(
                max((after - at for at, after in pairwise(arrivals[bisect(arrivals, since) - 1 :])), default=0.0)
            )
        return found

    def do_ledger(self) -> dict[str, int]:
        """Give how many messages each conversation has; their numbers begin with 1."""
        return {session.conversation: len(session.items) for session in self.routed.values()}


async def serve(options: dict[str, Any], until: Callable[[], object] = sys.stdin.read) -> None:
    """Serve until the input ends."""
    centre = Centre(**options)
    await centre.listen()
    print(centre.port, flush=True)
    looking = asyncio.create_task(_look(centre.book))
    await asyncio.to_thread(until)
    looking.cancel()


async def _look(book: Book) -> None:
    while True:
        book.look()
        await asyncio.sleep(LOOK)


if __name__ == "__main__":
    pin(CENTRE)
    run_in_loop(serve(json.loads(sys.argv[1])), uvloop=find_spec("uvloop") is not None)
