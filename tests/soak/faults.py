"""Seeded chats under every mix of faults, compared with the sandbox's ledger. The same seed gives the same table."""

from __future__ import annotations

import logging
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import product
from math import ceil
from multiprocessing import get_context

from puzzel_chat.sandbox import SEMANTICS
from soak import excuses
from soak.cells import ZEROS, Cell, run
from soak.clients import KINDS
from soak.mixes import MIXES
from soak.table import table

SAID = 17
"""Things that the agent says in one chat; with edits, other types and the customer's lines it stores some more."""
STORED = 26
COLUMNS = {
    "chats": "chats", "stored": "stored", "delivered": "delivered",
    "lost": "lost", "doubled": "doubled", "disordered": "out of order", "strangers": "strangers",
    "told_wrongly": "told wrongly", "not_kept": "not in transcript",
    "ended_twice": "ended twice", "ended_never": "ended never", "open": "ended, yet open",
    "sends": "sends", "sends_wrong": "sends wrong", "oversized": "sent too large", "routed_twice": "routed twice",
    "refused": "refused alive", "sessions_lost": "sessions lost", "never_begun": "never begun", "stuck": "stuck",
    "left_over": "left over", "reuse": "reuse", **excuses.COLUMNS,
    "faults": "faults", "requests": "requests", "refreshes": "refreshes",
}  # fmt: skip
Result = tuple[Counter[str], list[str]]


def main(arguments: list[str]) -> int:
    """Run, print the table, and fail when a figure that must be zero is not."""
    asked = _parsed(arguments)
    quiet()
    figures: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    problems: list[str] = []
    until = time.monotonic() + 60 * (asked.minutes or 0)
    with pool(asked.jobs) as spread:
        seed = asked.seed
        while True:
            cells = list(cells_of(asked, seed))
            for cell, (found, told) in zip(cells, spread(cells), strict=True):
                figures[cell.mix, cell.semantics, cell.kind] += found
                problems += told
            seed += 1
            if time.monotonic() >= until:
                break
    print(report(figures, problems))
    total = sum(figures.values(), Counter())
    return int(any(total[name] for name in ZEROS))


def cells_of(asked: Namespace, seed: int) -> Iterator[Cell]:
    """Give the chats of one seed, so many that the messages asked for are stored."""
    named = [mix for mix in MIXES if not asked.mix or mix.name in asked.mix]
    combinations = list(product(named, asked.semantics or SEMANTICS, asked.kind or KINDS))
    light = sum(not mix.heavy for mix, _, _ in combinations) or len(combinations)
    chats = max(1, ceil((asked.messages / STORED - (len(combinations) - light)) / light))
    for mix, semantics, kind in combinations:
        for number in range(1 if mix.heavy else chats):
            yield Cell(mix.name, semantics, kind, seed, number, min(SAID, asked.messages))


@contextmanager
def pool(jobs: int) -> Iterator[Callable[[list[Cell]], Iterable[Result]]]:
    """Give what runs cells, in this process or in some others; results come in the order of the cells."""
    if jobs == 1:
        yield lambda cells: _shown(map(run, cells), len(cells))
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=quiet) as executor:
        yield lambda cells: _shown(executor.map(run, cells), len(cells))


def quiet() -> None:
    """Keep the library's warnings about what goes wrong on purpose out of the way."""
    logging.getLogger("puzzel_chat").addHandler(logging.NullHandler())


def _shown(results: Iterable[Result], number: int) -> Iterator[Result]:
    total: Counter[str] = Counter()
    for place, (found, problems) in enumerate(results, 1):
        total += found
        for problem in problems:
            print(f"\r{problem}", file=sys.stderr)
        told = f"\r{place} of {number} chats, {total['delivered']} of {total['stored']} messages delivered"
        print(told, end="" if place < number else "\n", file=sys.stderr, flush=True)
        yield found, problems


def report(figures: dict[tuple[str, str, str], Counter[str]], problems: list[str]) -> str:
    """Give the table: a row per mix, then per semantics and per kind of client, then all."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for place in range(3):
        for names, found in figures.items():
            rows[names[place]] += found
    rows["all"] = sum(figures.values(), Counter())
    lines = [[name, *(found[column] for column in COLUMNS)] for name, found in rows.items()]
    told = [table(["mix", *COLUMNS.values()], lines), "", excuses.told(rows["all"])]
    return "\n".join([*told, *(["", *problems] if problems else [])])


def _parsed(arguments: list[str]) -> Namespace:
    parser = ArgumentParser(prog="python -m soak faults", description=__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="messages to store in all (default 10000)")
    parser.add_argument("--seed", type=int, default=1, help="the same one gives the same table (default 1)")
    names = [mix.name for mix in MIXES]
    parser.add_argument("--mix", action="append", choices=names, help="only this mix; may be repeated")
    parser.add_argument("--semantics", action="append", choices=SEMANTICS, help="only this meaning of a poll")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this client")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--minutes", type=float, help="go on with the seeds that follow for so long")
    parser.epilog = "Mixes: " + "; ".join(f"{mix.name}: {mix.told}" for mix in MIXES) + "."
    return parser.parse_args(arguments)
