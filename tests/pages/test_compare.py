"""The comparison of a ledger with what a client received, which is pure."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat.pages._compare import DIFFERENT, Key, Row, compare

KEYS = st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 3))
LISTS = st.lists(KEYS, max_size=12)
DISTINCT = st.lists(KEYS, max_size=12, unique=True)
SOME = st.lists(KEYS, min_size=2, max_size=12, unique=True)


def different(rows: list[Row]) -> list[tuple[str, Key]]:
    """The rows that are differences."""
    return [(row.verdict, row.key) for row in rows if row.verdict in DIFFERENT]


@given(LISTS)
def test_equal_lists_have_no_difference(keys: list[Key]) -> None:
    """Each entry is the same, in its own row, also where a key comes again."""
    assert compare(keys, keys) == [Row(key, "same", place, place) for place, key in enumerate(keys)]


@given(SOME, st.data())
def test_one_that_is_removed_is_missing(keys: list[Key], data: st.DataObject) -> None:
    """Exactly that one, in its place."""
    place = data.draw(st.integers(0, len(keys) - 1))
    rows = compare(keys, keys[:place] + keys[place + 1 :])
    assert different(rows) == [("missing", keys[place])]
    assert (rows[place].ledger, rows[place].client) == (place, None)


@given(SOME, st.data())
def test_one_that_is_doubled_is_there_twice(keys: list[Key], data: st.DataObject) -> None:
    """Exactly that one, wherever the second one stands."""
    place, copy = data.draw(st.integers(0, len(keys) - 1)), data.draw(st.integers(0, len(keys)))
    rows = compare(keys, [*keys[:copy], keys[place], *keys[copy:]])
    assert different(rows) == [("twice", keys[place])]
    assert len(rows) == len(keys) + 1


@given(SOME, st.data())
def test_two_neighbours_that_are_swapped(keys: list[Key], data: st.DataObject) -> None:
    """One of the two has moved, and nothing else is said."""
    place = data.draw(st.integers(0, len(keys) - 2))
    one, other = keys[place], keys[place + 1]
    rows = compare(keys, [*keys[:place], other, one, *keys[place + 2 :]])
    assert different(rows) in ([("moved", one)], [("moved", other)])


@given(SOME, st.data())
def test_one_of_the_clients_own(keys: list[Key], data: st.DataObject) -> None:
    """It stands where the client has it."""
    place = data.draw(st.integers(0, len(keys)))
    rows = compare(keys, [*keys[:place], ("own", 1), *keys[place:]])
    assert different(rows) == [("extra", ("own", 1))]
    assert rows[place] == Row(("own", 1), "extra", None, place)


@given(LISTS, LISTS, st.one_of(st.none(), st.sets(KEYS)), st.integers(0, 3))
def test_nothing_is_left_out(ledger: list[Key], client: list[Key], fetched: set[Key] | None, unwatched: int) -> None:
    """Each entry of either side stands in one row, paired with its like; what is left over is told as such."""
    rows = compare(ledger, client, fetched, unwatched)
    assert sorted(row.ledger for row in rows if row.ledger is not None) == list(range(len(ledger)))
    assert sorted(row.client for row in rows if row.client is not None) == list(range(len(client)))
    for row in rows:
        assert row.key in {row.ledger is not None and ledger[row.ledger], row.key}
        assert all(side[at] == row.key for side, at in ((ledger, row.ledger), (client, row.client)) if at is not None)
    assert Counter(row.key for row in rows if row.client is None) == Counter(ledger) - Counter(client)
    assert Counter(row.key for row in rows if row.ledger is None) == Counter(client) - Counter(ledger)
    if fetched is None and not unwatched:
        assert (different(rows) == []) == (ledger == client)


@given(DISTINCT, st.integers(0, 12))
def test_what_no_poll_has_fetched_is_waited_for(keys: list[Key], so_far: int) -> None:
    """It is no difference, unless a poll has held it."""
    rows = compare(keys, keys[:so_far], set(keys[:so_far]))
    assert [row.verdict for row in rows] == ["same"] * min(so_far, len(keys)) + ["waiting"] * (len(keys) - so_far)
    assert len(different(compare(keys, keys[:so_far], set(keys)))) == max(0, len(keys) - so_far)


def test_a_version_that_was_replaced_before_a_poll_is_not_missing() -> None:
    """A history has the newest version in the old place, and that is no other order."""
    ledger = [("a", 1), ("b", 1), ("a", 2), ("c", 1), ("a", 3)]
    client = [("a", 3), ("b", 1), ("c", 1)]
    rows = compare(ledger, client, set(client))
    told = [(row.verdict, row.key) for row in rows]
    assert told == [
        ("replaced", ("a", 1)), ("same", ("a", 3)), ("same", ("b", 1)), ("replaced", ("a", 2)), ("same", ("c", 1)),
    ]  # fmt: skip


def test_a_version_that_a_lost_reply_held_is_missing() -> None:
    """That the client has a newer one does not bring it back."""
    ledger = [("a", 1), ("b", 1), ("a", 2)]
    rows = compare(ledger, ledger[1:], set(ledger))
    assert different(rows) == [("missing", ("a", 1))]


@pytest.mark.parametrize("unwatched", [0, 1, 2])
def test_what_is_older_than_the_watch(unwatched: int) -> None:
    """Of such entries nobody knows; what follows is judged."""
    rows = compare([("a", 1), ("b", 1)], [], {("a", 1), ("b", 1)}, unwatched)
    assert [row.verdict for row in rows] == ["before"] * unwatched + ["missing"] * (2 - unwatched)
