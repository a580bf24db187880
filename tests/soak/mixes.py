"""The mixes of faults, as data: a name, a sentence, what goes wrong with requests, and what happens at which time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from puzzel_chat.sandbox import AfterEnd, Differences, Fault
from soak.agent import Manner
from soak.customer import Way

POLL, SEND, TOKEN = "pollConversation", "sendMessage", "connectToken"
ROUTE, STATUS, END = "routeConversation", "getRequestStatus", "endConversation"
QUEUE, TYPING = "getQueueInfo", "sendTyping"
MB = 1_000_000
HOUR = 3600.0

What = Literal["close", "open", "restart", "forget", "renumber", "expire", "step", "suspend"]
Happens = tuple[float, What, float]
"""After so many seconds: what, and by how many seconds (only "step" and "suspend" look at it)."""


@frozen
class Mix:
    """One mix; `server` holds options of the sandbox, `client` settings; `timeout` in real seconds is the client's.

    `asks` are what customers may do after a long silence, for an end can be lost; `writes` is the size of their largest
    line. `after_end` is what becomes of ended chats, and how many seconds later. `heavy` ones cost seconds where the
    others cost a fraction of one, and get fewer chats.
    """

    name: str
    told: str
    faults: tuple[Fault, ...] = ()
    happens: tuple[Happens, ...] = ()
    server: Mapping[str, Any] = field(factory=dict)
    timeout: float = 10.0
    agent: Manner = field(factory=Manner)
    asks: tuple[Way, ...] = ("end",)
    after_end: tuple[AfterEnd, float] = ("same", 0.0)
    writes: int = 0
    client: Mapping[str, Any] = field(factory=dict)
    heavy: bool = False

    @property
    def most(self) -> int:
        """The bytes that the client lets through in one line."""
        return int(self.client.get("max_message_bytes", 2**16))


def _outage(begins: float, ends: float) -> tuple[Happens, Happens]:
    return (begins, "close", 0), (ends, "open", 0)


def _twice(*operations: str) -> tuple[Fault, ...]:
    """Refuse the first call of each of these, and then once more with the new token."""
    return tuple(Fault.revoked(operation, times=2) for operation in operations)


F = Fault
# Three replies in a row that cannot be decoded end a loop by design, so those faults come by count and not by rate.
MIXES: tuple[Mix, ...] = (
    Mix("none", "nothing goes wrong"),
    Mix("latency", "every request takes its time, some of them seconds, before or after the effect",
        (F.latency(0.05), F.latency(0.4, rate=0.3), F.latency(3.0, rate=0.05), F.latency(1.0, after=True, rate=0.2))),
    Mix("slow-bodies", "replies come in pieces", (F.slow_body(2.0, rate=0.3), F.slow_body(0.2))),
    Mix("refused", "the service does not listen for a while, at the start and twice in the chat",
        happens=(*_outage(0.2, 8), *_outage(15, 18), *_outage(25, 45))),
    Mix("hard-starts", "half of what opens and ends a chat fails, before or after the effect",
        (F.status(500, TOKEN, rate=0.5), F.reset(ROUTE, rate=0.3), F.drop(ROUTE, after=True, rate=0.4),
         F.status(502, STATUS, rate=0.5), F.status(500, END, rate=0.3), F.truncate(END, rate=0.4))),
    Mix("reset-before", "connections are reset before the request takes effect", (F.reset(rate=0.1),)),
    Mix("reset-half-read", "connections are reset when half of the request is read", (F.half_read(rate=0.1),)),
    Mix("reset-half-sent", "connections are reset when half of the reply is sent", (F.half_sent(rate=0.08),)),
    Mix("reset-after", "connections are reset after the request took effect", (F.reset(after=True, rate=0.08),)),
    Mix("closed", "connections are closed without a word, before and after the effect",
        (F.drop(rate=0.05), F.drop(after=True, rate=0.05))),
    Mix("head-only", "replies end after their head", (F.head_only(rate=0.08),)),
    Mix("truncated", "replies end in the middle", (F.truncate(rate=0.08),)),
    Mix("status-500", "500, before and after the effect",
        (F.status(500, rate=0.06), F.status(500, after=True, rate=0.04))),
    Mix("status-502", "a gateway's HTML page with 502, before and after the effect",
        (F.status(502, rate=0.06), F.status(502, after=True, rate=0.04))),
    Mix("status-503", "503, bare and with Retry-After in seconds",
        (F.status(503, rate=0.05), F.status(503, rate=0.05, retry_after=4),
         F.status(503, POLL, rate=0.02, retry_after=40))),
    Mix("status-429", "429, bare and with Retry-After in seconds",
        (F.status(429, rate=0.05), F.status(429, rate=0.05, retry_after=3), F.status(429, rate=0.02, retry_after=0))),
    Mix("retry-dates", "429 and 503 with Retry-After as a date",
        (F.status(429, rate=0.05, retry_after=3, as_date=True), F.status(503, rate=0.05, retry_after=6, as_date=True))),
    Mix("status-520", "a status that no document knows, 520",
        (F.status(520, rate=0.06), F.status(520, rate=0.04, after=True, html=True))),
    Mix("login-page", "a proxy's sign-in page with 200, before and after the effect",
        (F.html_page(every=9), F.html_page(every=11, after=True))),
    Mix("bad-json", "replies that are not JSON", (F.bad_json(every=8),)),
    Mix("wrong-types", "fields of other types than the contract says", (F.wrong_types(every=8),)),
    Mix("unknown-enums", "enum values that the contract does not know", (F.unknown_enum(every=5),)),
    Mix("nulls", "null in every field", (F.nulls(every=8),)),
    Mix("bad-items", "a bad item among the good ones of a list", (F.bad_item(every=3),)),
    Mix("big-replies", "replies of 10 MB",
        (F.big(POLL, times=2, skip=6, every=9), F.big(SEND, times=1)), heavy=True),
    Mix("gzip-bombs", "some kilobytes that unpack to 64 MB",
        (F.bomb(POLL, times=2, skip=6, every=9), F.bomb(SEND, times=1)), heavy=True),
    Mix("endless-bodies", "a reply that dribbles for ever",
        (F.endless(8, POLL, times=1, skip=8),), timeout=1.5, heavy=True),
    Mix("unanswered", "requests that are never answered, before and after the effect",
        (F.hang(POLL, times=1, skip=6), F.hang(POLL, times=1, skip=15, after=True), F.hang(SEND, times=1, after=True)),
        timeout=1.5, heavy=True),
    Mix("short-tokens", "tokens live for nine seconds, and refreshing fails at times",
        (F.status(503, TOKEN, rate=0.2), F.reset(TOKEN, rate=0.1)), server={"token_life": 9.0}),
    Mix("early-tokens", "tokens die at a third of the time that they promise",
        server={"token_life": 7.0, "token_promise": 21.0}),
    Mix("revoked", "access tokens are revoked at any time", (F.revoked(POLL, every=9), F.revoked(SEND, every=3))),
    Mix("lost-rotations", "refresh tokens rotate, and replies to it are lost; the server forgives for 15 s",
        (F.drop(TOKEN, after=True, every=3), F.reset(TOKEN, after=True, every=4), F.half_sent(TOKEN, every=5)),
        server={"token_life": 12.0, "reuse_grace": 15.0}),
    Mix("strict-rotation", "a spent refresh token that comes back would end the session",
        (F.status(500, TOKEN, rate=0.2), F.drop(POLL, after=True, rate=0.05), F.revoked(POLL, every=10)),
        server={"token_life": 10.0, "reuse_grace": 0.0}),
    Mix("restarts", "the service restarts and forgets nothing",
        (F.reset(after=True, rate=0.03),), tuple((after, "restart", 0) for after in (1, 6, 7, 19))),
    Mix("forgets", "the service restarts and forgets the session", happens=((14, "forget", 0),)),
    Mix("clock-forward", "the client's clock is set an hour forward, twice",
        (F.status(500, rate=0.05),), ((5, "step", HOUR), (15, "step", HOUR))),
    Mix("clock-back", "the client's clock is set an hour back, and forward again",
        (F.status(500, rate=0.05),), ((5, "step", -HOUR), (15, "step", HOUR)), {"token_life": 20.0}),
    Mix("suspended", "the client's machine sleeps for half an hour, and for half a minute",
        (F.reset(rate=0.05),), ((6, "suspend", HOUR / 2), (12, "suspend", 30.0))),
    Mix("everything", "a little of everything",
        (F.latency(1.0, rate=0.1), F.reset(rate=0.02), F.reset(after=True, rate=0.02), F.half_sent(rate=0.02),
         F.truncate(rate=0.02), F.status(500, rate=0.02, after=True), F.status(502, rate=0.02),
         F.status(429, rate=0.02, retry_after=2), F.status(503, rate=0.02, retry_after=3, as_date=True),
         F.bad_json(every=31), F.nulls(every=29, skip=10), F.bad_item(every=7), F.revoked(POLL, every=23)),
        ((8, "restart", 0), (11, "step", HOUR), (16, "suspend", 60.0), *_outage(22, 25)),
        {"token_life": 30.0}),
    Mix("no-content", "a poll with nothing new to tell is 204 without a body, and some fail",
        (F.status(500, POLL, rate=0.05), F.drop(SEND, after=True, every=3)), server={"no_content": True}),
    Mix("text-cursors", "the cursor is a text of the service's own, and some polls fail",
        (F.status(500, POLL, rate=0.05), F.bad_item(every=5)), server={"differs": Differences(cursor="text")}),
    # Two counts that meet: every eleventh and twelfth poll, every second and third send.
    Mix("forced-expiry", "tokens are revoked again and again, also the new one of a call that was refused",
        (F.revoked(POLL, every=12), F.revoked(POLL, every=11), F.revoked(SEND, every=3), F.revoked(SEND, every=2),
         *_twice(QUEUE, ROUTE, STATUS, TYPING, END)),
        tuple((0.5 + after, "expire", 0) for after in range(40))),
    Mix("lost-ends", "the reply that tells the end is lost, and the customer writes, types, ends, or only listens",
        (F.lost_end(), F.status(500, POLL, rate=0.03)), asks=("send", "type", "end", "listen")),
    Mix("lost-ends-cancelled", "the reply that tells the end is lost, and the request status says Cancelled",
        (F.lost_end(),), after_end=("cancelled", 0.0), asks=("ask",)),
    Mix("lost-ends-410", "the reply that tells the end is lost, and a while later the service says that it is gone",
        (F.lost_end(),), after_end=("gone", 20.0), asks=("listen", "send")),
    Mix("status-204", "204 without a body in place of replies, whether or not there is something to tell",
        (F.status(204, POLL, skip=6, times=4), F.status(204, POLL, rate=0.25), F.status(204, STATUS, every=3),
         F.status(204, SEND, after=True, every=4),
         F.status(204, ROUTE, after=True, times=1))),
    Mix("status-304", "a cache on the way says 304, to polls, request statuses and opening hours",
        (F.status(304, POLL, skip=6, times=4), F.status(304, POLL, rate=0.25), F.status(304, STATUS, every=3),
         F.status(304, QUEUE, rate=0.5))),
    Mix("huge-replies", "four replies in a row are of 10 MB", (F.big(POLL, times=4, skip=6),), heavy=True),
    Mix("huge-messages", "the agent writes megabytes, all in all more than a reply may have",
        agent=Manner((MB // 2, 3 * MB, 2 * MB, 3 * MB, MB)), heavy=True),
    Mix("huge-lines", "the customer writes lines of up to 10 MB", writes=10 * MB, heavy=True),
    Mix("large-lines", "both write megabytes, and the client lets the most through that may be set",
        agent=Manner((3 * MB, 2 * MB, 2 * MB)), writes=MB + MB // 5, client={"max_message_bytes": 2**20}, heavy=True),
    Mix("over-the-bound", "the agent writes a message that is larger than any reply may be",
        agent=Manner((9 * MB,)), asks=("send", "end", "listen"), heavy=True),
    Mix("new-ids", "the service restarts three times, and its message ids begin again",
        (F.status(500, POLL, rate=0.05),), tuple((after, "renumber", 0) for after in (6, 12, 20)),
        agent=Manner(terse=True)),
)  # fmt: skip
BY_NAME: Mapping[str, Mix] = {mix.name: mix for mix in MIXES}
GRACE = 120.0
"""Seconds for which a spent refresh token is forgiven, where a mix does not say: replies to refreshes get lost too."""
