"""Forks of this process: the only module that registers with the interpreter what happens around them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet


class Forks(Protocol):
    """An object that takes part in each fork, for example to hold a lock meanwhile."""

    def before_fork(self) -> None:
        """Prepare, in the thread that forks."""

    def after_fork(self, in_child: bool) -> None:
        """Go on, in the same thread of the parent and then in the child."""


_minded: WeakSet[Forks] = WeakSet()
_in_child: list[Callable[[], object]] = []
_forking: list[Forks] = []
_one_fork = threading.Lock()


def mind_forks(thing: Forks) -> None:
    """Call its `before_fork` and `after_fork` around each fork, as long as it lives."""
    _minded.add(thing)


def in_child(function: Callable[[], object]) -> None:
    """Call the function in each forked child, before anything else of the child."""
    _in_child.append(function)


def _before() -> None:
    _one_fork.acquire()
    # A thing made or collected meanwhile must not get one call without the other.
    _forking.extend(_minded)
    for thing in _forking:
        thing.before_fork()


def _after(child: bool) -> None:
    for thing in _forking:
        thing.after_fork(child)
    _forking.clear()
    _one_fork.release()
    for function in _in_child if child else ():
        function()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before,
        after_in_parent=lambda: _after(child=False),
        after_in_child=lambda: _after(child=True),
    )
