"""`puzzel-chat workers`: who polls how many chats of a store, and whether a worker is well."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

from attrs import frozen
from rich.console import Console
from rich.live import Live
from rich.text import Text

from puzzel_chat import RedisStore, SQLiteStore, Store, StoreError, WorkerInfo
from puzzel_chat.cli._options import PREFIX
from puzzel_chat.cli._output import CliError, Exit, Output, clock_time, error_text, on_a_terminal, one_line

EVERY = 1.0
"""Seconds between two looks at the store: workers report once a second."""
HEALTHY = 10.0
"""Seconds after its last report for which a worker counts as well."""
NO_STORE = (
    "name the store: puzzel-chat workers --store redis://redis.example:6379/0, or the file of a SQLiteStore, or set"
    f" {PREFIX}STORE"
)
HEADINGS = ("worker", "sessions", "most", "chats", "polls/s", "late p50", "late p99", "failing", "since", "")


@frozen
class WorkersOptions:
    """The options of `workers`."""

    store: str | None
    prefix: str
    name: str | None
    once: bool
    check: bool


def run_workers(options: WorkersOptions, output: Output) -> Exit:
    """Show the workers once, or again and again on a terminal; or check one. Return the exit code."""
    with closing(_opened(options)) as store:
        found = _found(store, options.name)
        if options.check:
            _check(found, options.name, output)
        elif output.json or options.once or not on_a_terminal():
            _show(found, output)
        else:
            _watch(store, options.name, found)
    return Exit.OK


def _opened(options: WorkersOptions) -> RedisStore | SQLiteStore:
    if not options.store:
        raise CliError(NO_STORE)
    if "://" in options.store:
        return RedisStore(options.store, prefix=options.prefix)
    # Opening it would make an empty one.
    if not Path(options.store).is_file():
        raise CliError(f"there is no file {one_line(options.store)}; {NO_STORE}")
    return SQLiteStore(options.store)


def _found(store: Store, name: str | None) -> list[WorkerInfo]:
    return [one for one in store.workers(time.time()) if name in (None, one.name)]


def _check(found: Sequence[WorkerInfo], name: str | None, output: Output) -> None:
    """Raise `CliError` unless the worker, or any of this machine, has reported lately."""
    host, now = socket.gethostname(), time.time()
    mine = [one for one in found if name is not None or one.name == host or one.name.startswith(f"{host}:")]
    wanted = f"the worker {one_line(name)}" if name is not None else f"a worker of this machine ({one_line(host)})"
    if not any(now - one.reported_at < HEALTHY for one in mine):
        raise CliError(f"{wanted} has not reported within {HEALTHY:.0f} s; is it running, on this store?", Exit.FAILED)
    _show(mine, output)


def _show(found: Sequence[WorkerInfo], output: Output) -> None:
    for one in found:
        output.record(one.to_dict())
    for line in _lines(found):
        output.say(line)


def _watch(store: Store, name: str | None, found: Sequence[WorkerInfo]) -> None:
    """Show the workers until Ctrl-C, also while the store cannot be reached."""
    text = "\n".join(_lines(found))
    with suppress(KeyboardInterrupt), Live(console=Console(highlight=False), auto_refresh=False) as live:
        while True:
            live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
            time.sleep(EVERY)
            try:
                text = "\n".join(_lines(_found(store, name)))
            except StoreError as error:
                text = error_text(error)


def _lines(found: Sequence[WorkerInfo]) -> Iterator[str]:
    """Yield a table, its first column to the left and the others to the right, and a line about all."""
    rows = [HEADINGS, *map(_row, found)]
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    for name, *cells in rows if found else ():
        told = [cell.rjust(width) for cell, width in zip(cells, others, strict=True)]
        yield "  ".join([name.ljust(first), *told]).rstrip()
    yield _summary(found)


def _row(one: WorkerInfo) -> tuple[str, ...]:
    return (
        one_line(one.name, "?"),
        str(one.sessions),
        str(one.most),
        str(one.conversations),
        f"{one.polls_per_second:.1f}",
        f"{one.late_p50:.3f} s",
        f"{one.late_p99:.3f} s",
        str(one.failing),
        _since(one.started_at),
        "leaving" if one.leaving else "",
    )


def _since(moment: float) -> str:
    try:
        return clock_time(datetime.fromtimestamp(moment, UTC))
    except (OverflowError, OSError, ValueError):
        return "?"


def _summary(found: Sequence[WorkerInfo]) -> str:
    if not found:
        return "No worker reports to this store."
    sessions, failing = sum(one.sessions for one in found), sum(one.failing for one in found)
    polls = sum(one.polls_per_second for one in found)
    who = "1 worker" if len(found) == 1 else f"{len(found)} workers"
    return f"{who}, {sessions} sessions, {polls:.1f} polls/s, {failing} failing"
