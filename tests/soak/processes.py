"""Several processes use one stored session for many lives of its token: `make soak RUN=processes`.

The time of all of them, the contact centre's too, is one number that this process moves on once everybody has called
twice in a life, so a busy machine may take as long as it likes: what is tested is the order of things, not the clock.
In each life the time stops where a refresh is due: beside the calls, before them, or after the token has died under
calls that were already on their way. With `--faults` the token endpoint fails too, and processes are killed in the
middle of their refresh. With `--expire` access tokens are revoked by force too, again and again, under calls that are
on their way and under those that are sent again with a newer token.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import SpawnProcess
from pathlib import Path
from random import Random

from attrs import define, field, frozen

from puzzel_chat import AuthenticationError, PuzzelChat, SQLiteStore, TokenSet
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing._time import START
from soak.sharing import CHAT, Board, Place, client, share
from soak.table import table

LIFE = 600.0
"""Seconds that a token lives, on the clock of the board."""
GRACE = 15.0
"""With faults: seconds for which the service gives the same reply to a spent refresh token again."""
WHERE = {"beside": 0.62, "creeping": 0.45, "waited for": 0.96, "died": 1.01}
"""Where in its life a token is when the time stops, as a share of that life."""
WHERES = {
    "none": ["beside", "creeping", "waited for", "died"],
    "503": ["beside", "waited for"],
    "dropped": ["beside", "waited for", "died"],
    "lost reply": ["beside", "waited for", "died"],
    "killed": ["beside", "waited for"],
}
"""Where the time stops by what goes wrong. It creeps on only when nothing does, for it would outrun a second try."""
TROUBLES = list(WHERES)
LOOK = 0.02
"""Real seconds between two looks of the driver."""
SLOW = 5.0
"""Real seconds that a refresh is held up in which its process is to be killed."""


@frozen
class Figures:
    """What came of a run."""

    processes: int
    lives: int
    calls: int
    failed: int
    refreshes: int
    reuse: int
    per_process: tuple[int, ...]
    faults: int
    killed: int
    expired: int
    errors: tuple[str, ...]

    @property
    def refused(self) -> int:
        """The calls that raised `AuthenticationError`, though the session lived."""
        return sum(AuthenticationError.__name__ in error for error in self.errors)

    @property
    def good(self) -> bool:
        """Whether no call failed and each life had its one refresh, or more where tokens were expired by force."""
        once = self.refreshes == sum(self.per_process)
        enough = self.refreshes >= self.lives if self.expired else self.refreshes == self.lives
        return once and enough and self.failed == self.reuse == 0


@define
class Driver:
    """Moves the time on, and makes trouble."""

    sandbox: Sandbox
    board: Board
    places: list[Place]
    store: SQLiteStore
    random: Random
    deadline: float
    expire: float = 0.0
    running: list[SpawnProcess] = field(factory=list)
    killed: int = 0
    expired: int = 0
    last: deque[list[int]] = field(factory=lambda: deque[list[int]](maxlen=2))

    def begin(self, number: int) -> None:
        """Start a process, and wait until it has called once."""
        process = get_context("spawn").Process(target=share, args=(self.places[number], self.board))
        process.start()
        self.running[number : number + 1] = [process]

    def life(self, trouble: str) -> None:
        """Bring the token to where it must be refreshed, and wait until it was and everybody has called twice."""
        before = self.tokens()
        where = self.random.choice(WHERES[trouble])
        self._trouble(trouble)
        self.board.time.value = before.obtained + WHERE[where] * LIFE
        if trouble == "killed":
            self._kill_the_one_that_refreshes()
        pace = {"503": 0.1, "killed": 1.0}.get(trouble, LIFE / 100 * (where == "creeping"))
        self.until(lambda: self.tokens().generation > before.generation, "refresh", pace)
        self.sandbox.faults()
        if self.expire:
            self.everybody_calls(self.expire)
        # No refresh may be under way when the time is set: it would outlast its right.
        self.everybody_calls()

    def tokens(self) -> TokenSet:
        """Give what the store has."""
        tokens = self.store.tokens(self.places[0].session_id)
        assert tokens is not None
        return tokens

    def _trouble(self, trouble: str) -> None:
        times = self.random.randrange(1, min(4, len(self.places)))
        token = "connectToken"
        faults = {
            "503": (Fault.status(503, token, times=times),),
            "dropped": (Fault.drop(token, times=times),),
            "lost reply": (Fault.drop(token, times=times, after=True),),
            # Held up and then dropped: whatever becomes of its process, this refresh never takes effect.
            "killed": (Fault.latency(SLOW, token, times=1), Fault.drop(token, times=1)),
        }
        self.sandbox.faults(*faults.get(trouble, ()))

    def _kill_the_one_that_refreshes(self) -> None:
        self.until(lambda: any(self.board.sending), "refresh under way")
        number = list(self.board.sending).index(1)
        process = self.running[number]
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        self.killed += 1
        self.board.sending[number] = 0
        self.begin(number)

    def everybody_calls(self, expire: float = 0.0) -> None:
        """Wait until each process has finished two calls more, so that none is older than the present token.

        At a share `expire` of the looks, all access tokens are revoked; then it takes ten calls more.
        """
        seen, more = list(self.board.calls), 10 if expire else 2
        self.until(
            lambda: all(now >= then + more for now, then in zip(self.board.calls, seen, strict=True)),
            "calls of everybody",
            expire=expire,
        )

    def until(self, condition: Callable[[], bool], what: str, pace: float = 0.0, expire: float = 0.0) -> None:
        """Wait for something; meanwhile the time goes on by `pace` seconds at each look, or tokens are revoked."""
        while not condition():
            if time.monotonic() > self.deadline:
                raise TimeoutError(f"no {what} in time")
            if any(process.exitcode for process in self.running):
                raise RuntimeError("a process has ended by itself")
            time.sleep(LOOK)
            self.board.time.value += pace
            if expire and self.random.random() < expire:
                self._revoke()

    def _revoke(self) -> None:
        """Revoke all access tokens, unless a call could meet more than three: the one before it, and two on its way."""
        calls = list(self.board.calls)
        if len(self.last) < 2 or all(now > then for now, then in zip(calls, self.last[0], strict=True)):
            self.last.append(calls)
            self.expired += 1
            self.sandbox.expire_tokens()

    def figures(self, lives: int) -> Figures:
        """Count up."""
        stats = self.sandbox.stats()
        notes = [place.notes.read_text().splitlines() for place in self.places if place.notes.exists()]
        return Figures(
            processes=len(self.places),
            lives=lives,
            calls=sum(self.board.calls),
            failed=sum(self.board.failed),
            refreshes=stats.refreshes,
            reuse=stats.reuse_detected,
            per_process=tuple(self.board.refreshes),
            faults=stats.faults,
            killed=self.killed,
            expired=self.expired,
            errors=tuple(line for lines in notes for line in lines),
        )


def run(
    processes: int, lives: int, seed: int = 0, faults: bool = False, seconds: float = 1800.0, expire: float = 0.0
) -> Figures:
    """Run so many processes for so many lives, within so many real seconds; raises `TimeoutError` after that.

    At a share `expire` of the driver's looks all access tokens are revoked.
    """
    random = Random(seed)
    with _driver(processes, random, seed, GRACE if faults else 0.0, seconds) as driver:
        driver.expire = expire
        for number in range(processes):
            driver.begin(number)
        driver.everybody_calls()
        for life in range(1, lives + 1):
            driver.life(TROUBLES[life % len(TROUBLES)] if faults else "none")
            if life % 10 == 0 or life == lives:
                print(f"life {life} of {lives}, {sum(driver.board.calls)} calls", file=sys.stderr, flush=True)
        return driver.figures(lives)


@contextmanager
def _driver(processes: int, random: Random, seed: int, grace: float, seconds: float) -> Iterator[Driver]:
    board = Board.new(get_context("spawn"), processes, START)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sessions.db"
        clock = lambda: float(board.time.value)  # noqa: E731
        with Sandbox(script="helpful", pace=0, token_life=LIFE, reuse_grace=grace, clock=clock, seed=seed) as sandbox:
            first = Place(0, sandbox.settings, path, "", seed)
            with client(PuzzelChat, first, board) as chat:
                session = chat.connect()
                session.conversation(CHAT).route("support")
            places = [Place(number, sandbox.settings, path, session.id, seed) for number in range(processes)]
            driver = Driver(sandbox, board, places, SQLiteStore(path), random, time.monotonic() + seconds)
            try:
                yield driver
            finally:
                board.stop.value = 1
                _end(driver)


def _end(driver: Driver) -> None:
    for process in driver.running:
        process.join(20)
        if process.is_alive():
            process.kill()
            process.join()
    driver.store.close()


def main(arguments: list[str]) -> int:
    """Run it, and give 1 when a call failed or a life had not exactly one refresh."""
    parser = argparse.ArgumentParser(prog="make soak RUN=processes", description=__doc__)
    parser.add_argument("--processes", type=int, default=8, help="how many (default: %(default)s)")
    parser.add_argument("--lives", type=int, default=200, help="lives of the token (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of things (default: %(default)s)")
    parser.add_argument("--faults", action="store_true", help="the token endpoint fails, and processes are killed")
    parser.add_argument(
        "--seconds", type=float, default=1800.0, help="real seconds after which it fails (default: %(default)s)"
    )
    parser.add_argument(
        "--expire", type=float, default=0.0, metavar="SHARE",
        help="share of the looks, fifty a second, at which all access tokens are revoked by force (default: 0)",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    came = run(given.processes, given.lives, given.seed, given.faults, given.seconds, given.expire)
    columns = ("processes", "lives", "calls", "failed calls", "refreshes", "reuse detected", "refreshes per process")
    spread = f"{min(came.per_process)} to {max(came.per_process)}"
    row = (came.processes, came.lives, came.calls, came.failed, came.refreshes, came.reuse, spread)
    more = (came.faults, came.killed, came.expired, came.refused)
    print(table((*columns, "faults", "killed", "expired by force", "refused alive"), [(*row, *more)]))
    print("\n".join(came.errors[:20]), file=sys.stderr)
    return 0 if came.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
