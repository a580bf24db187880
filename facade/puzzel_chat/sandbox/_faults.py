"""Faults on demand: what goes wrong, in which operation, how often, before or after the request takes effect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import count
from random import Random
from typing import Literal, TypedDict, Unpack

from attrs import define, field, frozen, validators

from ._contract import ROUTES
from ._values import is_list, is_object

Kind = Literal[
    "latency", "slow_body", "status", "html", "drop", "truncate", "bad_json", "wrong_types", "unknown_enum",
    "bad_item", "nulls", "revoked", "no_client_id", "reset", "half_read",
    "half_sent", "head_only", "hang", "endless", "big", "bomb", "lost_end",
]  # fmt: skip

COMBINES: frozenset[Kind] = frozenset({"latency", "slow_body", "lost_end"})
HARMLESS: frozenset[Kind] = frozenset({"latency", "slow_body", "unknown_enum", "bad_item", "no_client_id"})
"""Kinds that leave the messages of a poll's reply readable."""
SPOILS: frozenset[Kind] = frozenset({"wrong_types", "unknown_enum", "bad_item", "nulls", "no_client_id"})


class When(TypedDict, total=False):
    """How often a fault strikes.

    After the first `skip` matching requests it is every `every`-th, of these a seeded share `rate`, and at most `times`
    in all.
    """

    rate: float
    times: int
    every: int
    skip: int


@frozen
class Fault:
    """A rule for one kind of fault; make it with a constructor below.

    `operation` is an operationId of the contract or "*". With `after`, the request takes effect and only its reply
    suffers.
    """

    kind: Kind
    """What goes wrong."""
    operation: str = field(default="*", validator=validators.in_(("*", *ROUTES)))
    """The operationId that it strikes, or * for all."""
    after: bool = False
    """Whether the request takes effect."""
    status_code: int = 500
    """The status of an answer."""
    seconds: float = 0.0
    """How long it takes."""
    retry_after: float | datetime | None = None
    """When the answer says to come again."""
    as_date: bool = False
    """Whether it says so as a date."""
    page: bool = False
    """Whether the answer is a web page."""
    rate: float = field(default=1.0, validator=[validators.ge(0.0), validators.le(1.0)])
    """The share of the requests that it strikes."""
    times: int | None = None
    """How often it strikes at most."""
    every: int = field(default=1, validator=validators.ge(1))
    """It strikes every so many requests."""
    skip: int = 0
    """How many requests it lets pass first."""

    @classmethod
    def latency(cls, seconds: float, operation: str = "*", *, after: bool = False, **when: Unpack[When]) -> Fault:
        """Wait that many seconds; with `after`, the effect comes at once and the reply late."""
        return cls("latency", operation, after, seconds=seconds, **when)

    @classmethod
    def slow_body(cls, seconds: float, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Send the head at once, and the body in small pieces over that many seconds."""
        return cls("slow_body", operation, after=True, seconds=seconds, **when)

    @classmethod
    def status(
        cls,
        code: int,
        operation: str = "*",
        *,
        retry_after: float | datetime | None = None,
        as_date: bool = False,
        html: bool = False,
        after: bool = False,
        **when: Unpack[When],
    ) -> Fault:
        """Answer with another status: an error; or 204 or 304, which have no body, like a cache on the way.

        With `html`, or for 502, it is a proxy's page. `retry_after` is an aware time, or seconds; `as_date` writes the
        seconds as a date.
        """
        page = html or code == 502
        return cls("status", operation, after, code, retry_after=retry_after, as_date=as_date, page=page, **when)

    @classmethod
    def html_page(cls, operation: str = "*", *, after: bool = False, **when: Unpack[When]) -> Fault:
        """Answer 200 with a web page, like a proxy that wants a login."""
        return cls("html", operation, after, 200, page=True, **when)

    @classmethod
    def drop(cls, operation: str = "*", *, after: bool = False, **when: Unpack[When]) -> Fault:
        """Close the connection without a reply."""
        return cls("drop", operation, after, **when)

    @classmethod
    def reset(cls, operation: str = "*", *, after: bool = False, **when: Unpack[When]) -> Fault:
        """Reset the connection (RST) without a reply."""
        return cls("reset", operation, after, **when)

    @classmethod
    def half_read(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Read the head of the request and reset the connection, without reading the body."""
        return cls("half_read", operation, **when)

    @classmethod
    def half_sent(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Send the head and half of the body, then reset the connection."""
        return cls("half_sent", operation, after=True, **when)

    @classmethod
    def head_only(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Send the head, which declares a body, and close."""
        return cls("head_only", operation, after=True, **when)

    @classmethod
    def hang(cls, operation: str = "*", *, after: bool = False, **when: Unpack[When]) -> Fault:
        """Never answer: hold the request until the client gives up."""
        return cls("hang", operation, after, **when)

    @classmethod
    def endless(cls, seconds: float = 60.0, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Send the reply and then ten blanks a second until the client gives up, at most for that many seconds."""
        return cls("endless", operation, after=True, seconds=seconds, **when)

    @classmethod
    def big(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Send the reply followed by 10 MiB of blanks."""
        return cls("big", operation, after=True, **when)

    @classmethod
    def bomb(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Send the reply in a few kilobytes of gzip that unpack to 64 MiB."""
        return cls("bomb", operation, after=True, **when)

    @classmethod
    def truncate(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Declare the whole length, send half of the body, and close."""
        return cls("truncate", operation, after=True, **when)

    @classmethod
    def bad_json(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Send a body that is not JSON under a JSON content type."""
        return cls("bad_json", operation, after=True, **when)

    @classmethod
    def wrong_types(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Send JSON fields of the wrong types."""
        return cls("wrong_types", operation, after=True, **when)

    @classmethod
    def unknown_enum(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Send enum values that are not in the contract: status, event, role."""
        return cls("unknown_enum", operation, after=True, **when)

    @classmethod
    def bad_item(cls, operation: str = "pollConversation", **when: Unpack[When]) -> Fault:
        """Put an item of an unknown shape among the good ones of a list."""
        return cls("bad_item", operation, after=True, **when)

    @classmethod
    def nulls(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Send null in every field of the reply."""
        return cls("nulls", operation, after=True, **when)

    @classmethod
    def no_client_id(cls, operation: str = "pollConversation", **when: Unpack[When]) -> Fault:
        """Leave out the client message ids, like a service that does not keep them."""
        return cls("no_client_id", operation, after=True, **when)

    @classmethod
    def lost_end(cls, **when: Unpack[When]) -> Fault:
        """Close the connection in place of the first poll's reply that tells an end; other replies go out."""
        return cls("lost_end", "pollConversation", after=True, **when)

    @classmethod
    def revoked(cls, operation: str = "*", **when: Unpack[When]) -> Fault:
        """Revoke the access token early and answer 401; the refresh token still works."""
        return cls("revoked", operation, **when)


@define
class _Rule:
    fault: Fault
    number: int
    seen: int = 0
    struck: int = 0

    def strikes(self, operation: str, random: Random) -> bool:
        """Decide for one request, and count it."""
        fault = self.fault
        spent = fault.times is not None and self.struck >= fault.times
        if spent or fault.operation not in ("*", operation):
            return False
        self.seen += 1
        due = self.seen > fault.skip and (self.seen - fault.skip) % fault.every == 0
        if not due or (fault.rate < 1.0 and random.random() >= fault.rate):
            return False
        self.struck += fault.kind != "lost_end"  # counted where it strikes
        return True


class Plan:
    """The rules in force. All delays that strike happen, and the first other fault."""

    def __init__(self, faults: Iterable[Fault], random: Random) -> None:
        self._numbers, self._random = count(1), random
        self.replace(faults)

    def replace(self, faults: Iterable[Fault]) -> None:
        """Put these faults in force, in place of all others."""
        self._rules = [_Rule(fault, next(self._numbers)) for fault in faults]

    def add(self, fault: Fault) -> int:
        """Put one more fault in force and return its number."""
        self._rules.append(_Rule(fault, next(self._numbers)))
        return self._rules[-1].number

    def remove(self, number: int) -> None:
        """Take one fault out of force; the others go on counting.

        Raises:
            LookupError: there is none of this number.

        """
        kept = [rule for rule in self._rules if rule.number != number]
        if len(kept) == len(self._rules):
            raise LookupError(f"no fault has the number {number}")
        self._rules = kept

    def lost(self, fault: Fault) -> None:
        """Count a lost end."""
        for rule in self._rules:
            if rule.fault is fault:
                rule.struck += 1
                return

    def struck(self) -> list[tuple[Fault, int, int]]:
        """Return each fault, how often it has struck, and its number."""
        return [(rule.fault, rule.struck, rule.number) for rule in self._rules]

    def choose(self, operation: str) -> tuple[Fault, ...]:
        """Return the faults of one request."""
        chosen: list[Fault] = []
        for rule in self._rules:
            free = rule.fault.kind in COMBINES or all(fault.kind in COMBINES for fault in chosen)
            if free and rule.strikes(operation, self._random):
                chosen.append(rule.fault)
        return tuple(chosen)


_ENUMS: Mapping[str, object] = {"status": "Teleported", "event": "AgentDanced", "role": 9, "endedBy": 9}
_CLIENT_ID: Mapping[str, object] = {"clientMessageId": None}


def spoil(kind: Kind, body: object) -> object:
    """Return a decoded reply, spoilt in one way."""
    if kind in ("unknown_enum", "no_client_id"):
        return _replaced(body, _ENUMS if kind == "unknown_enum" else _CLIENT_ID)
    if not is_object(body):
        return body
    if kind == "nulls":
        return dict.fromkeys(body)
    if kind == "bad_item":
        return {name: _with_bad_item(value) for name, value in body.items()}
    return {name: _other_type(value) for name, value in body.items()}


def _replaced(value: object, by: Mapping[str, object]) -> object:
    """Replace the values of these fields, except null."""
    if is_list(value):
        return [_replaced(item, by) for item in value]
    if not is_object(value):
        return value
    return {name: by[name] if name in by and item is not None else _replaced(item, by) for name, item in value.items()}


def _with_bad_item(value: object) -> object:
    if not is_list(value):
        return value
    middle = len(value) // 2
    return [*value[:middle], {"id": 17, "type": None, "sentAt": "yesterday"}, *value[middle:]]


def _other_type(value: object) -> object:
    return {"unexpected": "object"} if isinstance(value, str | int | None) else "unexpected string"
