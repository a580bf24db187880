"""Pure: what went over a chat against what the other side's ledger says of it, in both directions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

from attrs import frozen

Key = tuple[str, int]


@frozen
class Stored:
    """One line of the ledger: a message, or with a higher version an edit; `client_id` is set on ours only."""

    id: str
    version: int = 1
    client_id: str | None = None

    @property
    def key(self) -> Key:
        """What tells this line from every other."""
        return self.id, self.version


@frozen(kw_only=True)
class Verdict:
    """How a chat went. `received` counts what others wrote, edits included; the last three should be 0."""

    sent: int
    received: int
    edits: int
    lost: int
    duplicated: int
    out_of_order: int

    @property
    def clean(self) -> bool:
        """Tell whether everything arrived, once, and in order."""
        return not (self.lost or self.duplicated or self.out_of_order)

    def __str__(self) -> str:
        return (
            f"messages: {self.sent} sent, {self.received} received ({self.edits} edited),"
            f" {self.lost} lost, {self.duplicated} duplicated, {self.out_of_order} out of order"
        )


def compare(sent: Sequence[str], delivered: Sequence[Key], ledger: Sequence[Stored]) -> Verdict:
    """Judge a chat by the other side's ledger, which is in the order of its writing.

    `sent` are the client ids of what was sent, `delivered` the ids and versions of what came, both in their order. A
    message counts as out of order when one that the ledger has after it came first.
    """
    arrived = [line.client_id for line in ledger if line.client_id is not None and line.version == 1]
    keys = [line.key for line in ledger]
    theirs = {line.key for line in ledger if line.client_id is None}
    return Verdict(
        sent=len(sent),
        received=sum(key in theirs for key in set(delivered)),
        edits=sum(key[1] > 1 for key in set(delivered)),
        lost=_missing(sent, arrived) + _missing(keys, delivered),
        duplicated=_repeated(arrived) + _repeated(delivered),
        out_of_order=_late(sent, arrived) + _late(keys, delivered),
    )


def _missing(wanted: Sequence[Hashable], found: Sequence[Hashable]) -> int:
    return len(set(wanted) - set(found))


def _repeated(items: Sequence[Hashable]) -> int:
    return sum(number - 1 for number in Counter(items).values())


def _late(order: Sequence[Hashable], arrived: Sequence[Hashable]) -> int:
    """Count what came after something that stands behind it in the order, by first arrival."""
    place = {item: index for index, item in enumerate(order)}
    late, furthest = 0, -1
    for item in dict.fromkeys(arrived):
        if item in place:
            late += place[item] < furthest
            furthest = max(furthest, place[item])
    return late
