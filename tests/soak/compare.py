"""Pure: what a client delivered against what the contact centre stored, message by message, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

from attrs import define, field, frozen

from puzzel_chat.sandbox import Entry, Semantics

Key = tuple[str, int]
"""A message's id and its version; an edit is a version of its own."""
PLANTED: Key = ("17", 1)
"""The bad item that the fault of that name plants."""


@define
class Sent:
    """A line that the customer sent, and how that went: returned (with an id), unknown, or certainly failed."""

    text: str
    outcome: Literal["returned", "unknown", "failed"]
    id: str | None = None


@define
class Talk:
    """One conversation as its application saw it."""

    conversation_id: str
    delivered: list[Key] = field(factory=list)
    ends: int = 0
    sends: list[Sent] = field(factory=list)
    failure: str | None = None
    expired: bool = False
    closed: bool = False
    degraded_at: float | None = None
    given_up: bool = False


@frozen
class Truth:
    """The same conversation as the contact centre knows it.

    `forgotten` means that its session is no more, `given_up` that the customer ended it and then no poll succeeded for
    so long that the client waits no more for the last words (by design).
    """

    entries: Sequence[Entry]
    semantics: Semantics
    shown: Collection[Key] = frozenset()
    spoilt: Collection[Key] = frozenset()
    planted: bool = False
    forgotten: bool = False
    given_up: bool = False


def judge(talk: Talk, truth: Truth) -> Counter[str]:
    """Count everything about one conversation that the table tells."""
    ended = any(entry.content == "ConversationEnded" for entry in truth.entries if entry.type == "Event")
    figures = messages(talk.delivered, truth) + sends(talk.sends, truth.entries)
    expected = truth.forgotten and talk.expired
    figures["ended_twice"] = max(0, talk.ends - 1)
    figures["ended_never"] = int(talk.ends == 0 and not expected) + int(talk.closed and not ended)
    figures["sessions_lost"] = int(talk.failure is not None and not expected)
    figures["forgotten"] = int(expected)
    return figures


def messages(delivered: Sequence[Key], truth: Truth) -> Counter[str]:
    """Count what was stored, delivered, lost, delivered twice, out of order, or never stored at all."""
    stored = [(entry.id, entry.version) for entry in truth.entries if entry.type != "Event"]
    events = {entry.id for entry in truth.entries if entry.type == "Event"}
    # An event that a fault made unreadable comes as an unknown message, and so does an item that one planted.
    ours = [key for key in delivered if key[0] not in events and not (truth.planted and key == PLANTED)]
    figures: Counter[str] = Counter(stored=len(stored), delivered=len(set(ours) & set(stored)))
    figures["strangers"] = len(set(ours) - set(stored))
    figures["doubled"] = len(delivered) - len(set(delivered))
    figures["disordered"] = disordered([key for key in dict.fromkeys(ours) if key in stored], stored, truth.semantics)
    last = max((place for place, key in enumerate(stored) if key in ours), default=-1)
    for place, key in enumerate(stored):
        if key not in delivered:
            figures["given_up" if truth.given_up and place > last else why_missing(key, set(ours), truth)] += 1
    return figures


def why_missing(key: Key, delivered: Collection[Key], truth: Truth) -> str:
    """Say why a stored message was not delivered; only what nobody could have received is excused."""
    if truth.semantics == "drain" and key in truth.spoilt and key not in truth.shown:
        return "lost_replies"
    if truth.semantics == "history" and key not in truth.shown and any(_later(key, other) for other in delivered):
        return "superseded"
    return "gone" if truth.forgotten and key not in truth.shown else "lost"


def _later(key: Key, other: Key) -> bool:
    return other[0] == key[0] and other[1] > key[1]


def disordered(delivered: Sequence[Key], stored: Sequence[Key], semantics: Semantics) -> int:
    """Count what came after something that was stored later.

    A history shows an edit in the old place of its message, so there only a message's own versions have an order.
    """
    places = {key: place for place, key in enumerate(stored)}
    firsts = {key[0]: place for key, place in reversed(places.items())}
    latest: Counter[str] = Counter()
    highest = wrong = 0
    for key in delivered:
        in_place = semantics != "history" or places[key] == firsts[key[0]]
        wrong += key[1] < latest[key[0]] or (in_place and places[key] < highest)
        latest[key[0]] = max(latest[key[0]], key[1])
        highest = max(highest, places[key]) if in_place else highest
    return wrong


def sends(made: Iterable[Sent], entries: Sequence[Entry]) -> Counter[str]:
    """Count the customer's lines, and those of which the ledger says something else than the client did."""
    figures: Counter[str] = Counter(sends=0)
    for one in made:
        ids = [entry.id for entry in entries if entry.content == one.text]
        allowed: dict[str, list[list[Any]]] = {"returned": [[one.id]], "unknown": [[], ids[:1]], "failed": [[]]}
        figures["sends"] += 1
        figures["sends_unknown"] += one.outcome == "unknown"
        figures["sends_wrong"] += ids not in allowed[one.outcome]
    return figures
