"""Who has a right to a stored session: the names of owners, their processes, and what a fork does to the stores.

An owner is one session object of one process. Its right ends by itself after a while, and at once when its process
is known to live no more, so that a killed one stands in nobody's way.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import Literal, Protocol
from uuid import uuid4
from weakref import WeakSet

Right = Literal["refresh", "mail"]
"""To refresh the session's token; to poll the session and take what comes."""


def owner_name() -> str:
    """Give the name of a new owner: where its process ids count, its process, and chance."""
    return f"{_machine()}/{os.getpid()}/{uuid4().hex}"


def is_free(holder: str | None, until: float, owner: str, now: float, seconds: float) -> bool:
    """Tell whether the owner may take a right that was given to `holder` until then (seconds since the epoch)."""
    # Who read the clock later may come first, and a right then seems longer than it is.
    return holder is None or holder == owner or not now < until <= now + 2 * seconds or is_gone(holder)


def is_gone(owner: str) -> bool:
    """Tell whether the owner's process certainly lives no more; one of another machine or container is not judged.

    A process whose end its parent has not asked for yet still counts as living.
    """
    machine, pid = _place(owner)
    # Elsewhere than on POSIX this call ends the process that it asks for.
    if os.name != "posix" or machine != _machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def described(owner: str) -> str:
    """Name an owner for a person."""
    machine, pid = _place(owner)
    if not pid:
        return "another owner"
    here = (machine, pid) == (_machine(), str(os.getpid()))
    return "another session object of this process" if here else f"process {pid} on {machine.rpartition(':')[0]}"


def _place(owner: str) -> tuple[str, str]:
    machine, _, pid = owner.rpartition("/")[0].rpartition("/")
    return machine, pid


def _machine() -> str:
    """Name where a process id means one process: containers may share a host's name, and count for themselves."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname()}:{space}"


class _Forks(Protocol):
    def _before_fork(self) -> None: ...
    def _after_fork(self, in_child: bool) -> None: ...


_stores: WeakSet[_Forks] = WeakSet()
_forking: list[_Forks] = []
_one_fork = threading.Lock()


def mind_forks(store: _Forks) -> None:
    """Call the store's `_before_fork` and `_after_fork` around each fork of this process."""
    _stores.add(store)


def _before_fork() -> None:
    _one_fork.acquire()
    _forking.extend(_stores)
    for store in _forking:
        store._before_fork()


def _after_fork(in_child: bool) -> None:
    for store in _forking:
        store._after_fork(in_child)
    _forking.clear()
    _one_fork.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=lambda: _after_fork(in_child=False),
        after_in_child=lambda: _after_fork(in_child=True),
    )
