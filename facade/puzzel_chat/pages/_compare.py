"""Pure: a chat's ledger beside what its client received, entry by entry."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from attrs import frozen

Key = tuple[str, int]
"""Which message, and its version; an edit is a version of its own."""
Verdict = Literal["same", "missing", "twice", "moved", "extra", "waiting", "replaced", "before"]
"""What is to be said of a row.

The client has it ("same"), lacks it ("missing"), has it once more ("twice"), has it in another order ("moved"), or has
what the ledger lacks ("extra"). These are no differences: no poll has fetched it so far ("waiting"); a newer version
took its place before any did ("replaced"); it is older than the watch over this chat ("before").
"""
DIFFERENT: frozenset[Verdict] = frozenset({"missing", "twice", "moved", "extra"})
"""The verdicts that are differences."""


@frozen
class Row:
    """One row of the comparison, with the places of both sides; None where a side has nothing."""

    key: Key
    verdict: Verdict
    ledger: int | None = None
    client: int | None = None


def compare(
    ledger: Sequence[Key], client: Sequence[Key], fetched: Collection[Key] | None = None, unwatched: int = 0
) -> list[Row]:
    """Return the rows in the ledger's order; what only the client has stands where the client has it.

    `fetched` is what the replies to polls held, also the lost ones; None is everything. Nobody has watched who got the
    first `unwatched` entries of the ledger.
    """
    replaced = {} if fetched is None else _replaced(ledger, client, fetched)
    order = _order(ledger, replaced)
    same = {order[here]: there for here, there in _in_step([ledger[place] for place in order], client).items()}
    moved = _elsewhere(ledger, client, same)
    at_client = same | moved
    rows: list[Row] = []
    more = _more(ledger, client, set(at_client.values()))
    rows += more[None]
    for place in order:
        there = at_client.get(place)
        if there is not None:
            rows += [Row(ledger[place], "same" if place in same else "moved", place, there), *more[there]]
        elif place in replaced:
            rows.append(Row(ledger[place], "replaced", place))
        elif place < unwatched:
            rows.append(Row(ledger[place], "before", place))
        else:
            lost = fetched is None or ledger[place] in fetched
            rows.append(Row(ledger[place], "missing" if lost else "waiting", place))
    return rows


def _replaced(ledger: Sequence[Key], client: Sequence[Key], fetched: Collection[Key]) -> dict[int, int]:
    """Return the places of versions that no poll saw, each with the place of the version that the client has instead.

    A poll that returns the whole history has each message once, as it is now, in its old place.
    """
    have = set(client)
    places = {key: place for place, key in enumerate(ledger)}
    newer: defaultdict[str, list[Key]] = defaultdict(list)
    for key in sorted(have & places.keys()):
        newer[key[0]].append(key)
    found = {}
    for place, key in enumerate(ledger):
        instead = next((places[one] for one in newer[key[0]] if one > key), -1)
        if instead > place and key not in have and key not in fetched:
            found[place] = instead
    return found


def _order(ledger: Sequence[Key], replaced: Mapping[int, int]) -> list[int]:
    """Return the places of the ledger, with a version that took another's place right after that one."""
    order: dict[int, None] = {}
    for place in range(len(ledger)):
        order.setdefault(place)
        if place in replaced:
            order.setdefault(replaced[place])
    return list(order)


def _in_step(ledger: Sequence[Key], client: Sequence[Key]) -> dict[int, int]:
    """Return as many pairs of places as have one order on both sides: a longest common subsequence."""
    places: defaultdict[Key, list[int]] = defaultdict(list)
    for there, key in enumerate(client):
        places[key].append(there)
    tails: list[int] = []
    chains: list[_Link] = []
    for here, key in enumerate(ledger):
        for there in reversed(places.get(key, ())):
            length = bisect_left(tails, there)
            tails[length : length + 1] = [there]
            chains[length : length + 1] = [_Link(here, there, chains[length - 1] if length else None)]
    pairs = {}
    link = chains[-1] if chains else None
    while link is not None:
        pairs[link.ledger] = link.client
        link = link.before
    return pairs


@frozen
class _Link:
    ledger: int
    client: int
    before: _Link | None


def _elsewhere(ledger: Sequence[Key], client: Sequence[Key], same: Mapping[int, int]) -> dict[int, int]:
    """Return the pairs of places that are left: in both, but in another order."""
    taken = set(same.values())
    free: defaultdict[Key, list[int]] = defaultdict(list)
    for there in reversed(range(len(client))):
        if there not in taken:
            free[client[there]].append(there)
    return {here: free[key].pop() for here, key in enumerate(ledger) if here not in same and free.get(key)}


def _more(ledger: Sequence[Key], client: Sequence[Key], paired: Collection[int]) -> defaultdict[int | None, list[Row]]:
    """Return what only the client has, by the paired place before it."""
    known, found = set(ledger), defaultdict[int | None, list[Row]](list)
    before = None
    for there, key in enumerate(client):
        if there in paired:
            before = there
        else:
            found[before].append(Row(key, "twice" if key in known else "extra", None, there))
    return found
