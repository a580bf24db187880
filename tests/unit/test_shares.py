"""How many sessions each worker takes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat._fleet._shares import SLACK, to_take

WORKERS = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 500)), min_size=1, max_size=8)


def settled(workers: list[tuple[int, int]], waiting: int) -> tuple[list[int], int]:
    """Let each worker in turn take or give back, until nobody does; return what each has, and what is left."""
    has, most = [min(one, bound) for one, bound in workers], [bound for _, bound in workers]
    for _ in range(200):
        moved = False
        for place in range(len(has)):
            others = [(has[n], most[n]) for n in range(len(has)) if n != place]
            number = to_take(has[place], most[place], others, waiting)
            has[place] += number
            waiting -= number
            moved = moved or number != 0
            assert waiting >= 0
        if not moved:
            return has, waiting
    raise AssertionError("they never come to rest")


@given(WORKERS, st.integers(0, 2000))
def test_nothing_waits_while_a_worker_has_room(workers: list[tuple[int, int]], waiting: int) -> None:
    """Whatever they began with, sessions are left over only when every worker is full."""
    has, left = settled(workers, waiting)
    assert left == 0 or has == [bound for _, bound in workers]


@given(WORKERS, st.integers(0, 2000))
def test_nobody_takes_more_than_it_said(workers: list[tuple[int, int]], waiting: int) -> None:
    """`most` is a bound."""
    has, _ = settled(workers, waiting)
    assert all(one <= bound for one, (_, bound) in zip(has, workers, strict=True))


@given(st.lists(st.integers(0, 500), min_size=2, max_size=8), st.integers(0, 2000))
def test_equal_workers_have_about_equal_shares(begun: list[int], waiting: int) -> None:
    """None has a tenth more than the fair share, but for a session or two."""
    has, left = settled([(one, 10_000) for one in begun], waiting)
    assert left == 0
    fair = sum(has) / len(has)
    assert max(has) <= fair * (1 + SLACK) + 2


def test_a_worker_that_is_alone_takes_all() -> None:
    """Up to what it takes at most."""
    assert to_take(0, 5000, [], 300) == 300
    assert to_take(4900, 5000, [], 300) == 100


def test_a_worker_that_joins_is_made_room_for() -> None:
    """Those that were there give back what is its share, and take nothing of it again."""
    assert to_take(500, 5000, [(500, 5000), (0, 5000)], 0) == -166
    assert to_take(334, 5000, [(334, 5000), (0, 5000)], 332) == 0
    assert to_take(0, 5000, [(334, 5000), (334, 5000)], 332) == 332


def test_a_small_difference_is_left_alone() -> None:
    """Giving back costs each chat a moment."""
    assert to_take(105, 5000, [(95, 5000)], 0) == 0
