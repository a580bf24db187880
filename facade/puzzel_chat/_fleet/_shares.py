"""Pure: how many sessions each worker polls."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

SLACK = 0.1
"""Share by which a worker may have too many before it gives any back: giving back costs each chat a moment."""


def to_take(mine: int, most: int, others: Sequence[tuple[int, int]], waiting: int) -> int:
    """Return how many further sessions to take; negative is how many to give back.

    `others` are the sessions that each other worker has, and how many it takes at most. `waiting` are the sessions that
    nobody polls.
    """
    share = _share(mine + sum(has for has, _ in others) + waiting, [most, *(bound for _, bound in others)])
    fair = min(share, most)
    room = sum(max(0, min(share, bound) - has) for has, bound in others)
    if mine <= fair:
        return min(waiting, fair - mine)
    too_many = mine - fair
    return -min(too_many, room) if too_many > max(1.0, fair * SLACK) or mine > most else 0


def _share(sessions: int, bounds: Sequence[int]) -> int:
    """Return the share with which all sessions are taken, where those with a lower bound take no more than that."""
    share, left, takers = 0, sessions, sorted(bounds)
    for place, bound in enumerate(takers):
        share = ceil(left / (len(takers) - place))
        if share <= bound:
            return share
        left -= bound
    return takers[-1]
