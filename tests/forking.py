"""A child process that is forked in the middle of a test."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable

Fork = Callable[[Callable[[], None]], int]


def in_a_fork(work: Callable[[], None]) -> int:
    """Run something in a forked child and give its exit status; it may not hang."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    timer = threading.Timer(20, os.kill, (child, 9))
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    return os.waitstatus_to_exitcode(status)


def in_multiprocessing(work: Callable[[], None]) -> int:
    """Do as `in_a_fork` does, by the standard library's own means."""
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join(20)
    process.kill()
    process.join()
    assert process.exitcode is not None
    return process.exitcode
