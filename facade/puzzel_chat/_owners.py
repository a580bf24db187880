"""Owners: who has a right to a session. An owner is one session object of one process.

Each right belongs to one owner at a time, as a lease: it ends by itself, and at once when the owner's process is known
to be dead, so that a killed process blocks nobody.
"""

from __future__ import annotations

import os
import re
import socket
from functools import cache
from uuid import uuid4

from puzzel_chat._fork import in_child

_OWNER = re.compile(r"[^/]{1,300}/[0-9]{1,10}/[0-9a-f]{32}")


def owner_name() -> str:
    """Return the name of a new owner: machine and process namespace, process id, and a random part."""
    return f"{_machine()}/{os.getpid()}/{uuid4().hex}"


def lease_is_free(holder: str | None, until: float, owner: str, now: float, seconds: float) -> bool:
    """Return whether `owner` may take a right for so many seconds; for a store of your own.

    `holder` is who has it and `until` when its lease ends; that and `now` are in seconds since the epoch.
    """
    # Two owners may read the clock in one order and arrive in the other, so a lease may look longer than it is.
    return holder is None or holder == owner or not now < until <= now + 2 * seconds or is_gone(holder)


def is_gone(owner: str) -> bool:
    """Return whether the owner's process is certainly dead; of another machine or container that is never certain.

    A zombie still counts as alive.
    """
    machine, pid = _place(owner)
    # Elsewhere than on POSIX, os.kill ends the process that it asks for.
    if os.name != "posix" or machine != _machine() or not pid.isdecimal():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def described(owner: str) -> str:
    """Return an owner's name for people."""
    machine, pid = _place(owner)
    if not _OWNER.fullmatch(owner):
        return "another owner"
    here = (machine, pid) == (_machine(), str(os.getpid()))
    return "another session object of this process" if here else f"process {pid} on {machine.rpartition(':')[0]}"


def _place(owner: str) -> tuple[str, str]:
    machine, _, pid = owner.rpartition("/")[0].rpartition("/")
    return machine, pid


@cache
def _machine() -> str:
    # Containers may share a host's name and each count their processes from 1.
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{socket.gethostname()}:{space}"


in_child(_machine.cache_clear)  # a child may be moved to another container
