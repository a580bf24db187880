"""A process that holds a chat is killed with SIGKILL, again and again, and the next one goes on: `make soak RUN=kills`.

The kill comes at a random moment: while a session is opened, a chat routed, a line sent, a token refreshed, the chat
ended, or between all that. Where a poll takes messages away (drain), the reply under way is lost with its process,
which no client can mend, so there no process is killed between a poll's request and the journal. The simulator
forgives the spent refresh token of a rotation whose reply died with its process (`reuse_grace`): a service that does
not ends the session there, which no client can mend either.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from math import ceil
from pathlib import Path

from attrs import asdict, define, field

from puzzel_chat.sandbox import SEMANTICS, Entry, Fault, Sandbox, Semantics
from soak.mortal import KILLED, Lane, Notes
from soak.table import table

KINDS = ("sync", "async", "loop", "fleet")
AT_ONCE = 5
"""Chats that one loop holds at once; a kill strikes all of them."""
KILLS_PER_CHAT, SPARE = 12, 1.1
"""A process that comes to its chat's end before it is killed does not count, so some more are born."""
SLOW = (Fault.latency(0.008), Fault.latency(0.008, after=True))
"""A service that answers at once is hardly ever met in the middle of a call."""


@define
class Row:
    """What came of the chats of one kind."""

    semantics: str
    kind: str
    chats: int = 0
    kills: int = 0
    messages: int = 0
    lost: int = 0
    out_of_order: int = 0
    again: int = 0
    doubled: int = 0
    sends_doubled: int = 0
    ends_wrong: int = 0
    failed: int = 0
    damaged: int = 0
    hit: Counter[str] = field(factory=Counter)
    why: list[str] = field(factory=list)

    @property
    def bad(self) -> int:
        """Everything that must be zero."""
        wrong = self.lost + self.out_of_order + self.doubled + self.sends_doubled
        return wrong + self.ends_wrong + self.failed + self.damaged

    def judge(self, name: str, lines: list[str], ledger: tuple[Entry, ...]) -> None:
        """Compare one chat's notes with what the simulator stored."""
        before, told = self.bad, list(_told(lines))
        wanted = [f"{entry.id} {entry.version}" for entry in ledger if entry.type != "Event"]
        unique = list(dict.fromkeys(told))
        self.chats += 1
        self.kills += lines.count(KILLED)
        self.messages += len(wanted)
        self.lost += len(set(wanted) - set(unique))
        self.out_of_order += unique != [*(one for one in wanted if one in unique), "end 0"]
        self.again += len(told) - len(unique)
        self.doubled += _doubled(lines)
        sent = Counter(entry.content for entry in ledger if (entry.content or "").startswith("line-"))
        self.sends_doubled += sum(number - 1 for number in sent.values())
        self.lost += sum(line.startswith("sent ") and line[5:] not in sent for line in lines)
        self.ends_wrong += unique.count("end 0") != 1 or lines[-1:] != ["finished"]
        self.failed += sum(line.startswith("failed") for line in lines)
        if self.bad > before:
            self.why.append(f"{self.semantics} {name}: {[line for line in lines if line.startswith('failed')]}")


def _told(lines: list[str]) -> Iterator[str]:
    return (line.removeprefix("told ") for line in lines if line.startswith("told "))


def _doubled(lines: list[str]) -> int:
    """Count what came again without having been in hand when a process was killed."""
    seen: set[str] = set()
    last, in_hand, wrong = "", "", 0
    for line in lines:
        if line == KILLED:
            in_hand = last
        elif line.startswith("told "):
            wrong += line in seen and line != in_hand
            seen.add(line)
            last, in_hand = line, ""
    return wrong


def lanes(rounds: int, seed: int, sandbox: Sandbox, semantics: str, folder: Path) -> Iterator[Lane]:
    """Share the rounds of one kind of poll between the clients; of a loop each chat that a kill strikes counts."""
    for kind in KINDS:
        if kind in ("loop", "fleet"):
            chats, kills = AT_ONCE, ceil(rounds / len(KINDS) / AT_ONCE)
        else:
            chats = ceil(rounds / len(KINDS) / KILLS_PER_CHAT)
            kills = ceil(SPARE * rounds / len(KINDS) / chats)
        name, place = f"{seed} {semantics} {kind}", str(folder)
        yield Lane(sandbox.settings, place, kind, semantics, chats, kills, name)


def hold(lane: Lane, sandbox: Sandbox, row: Row) -> None:
    """Run one lane in a process of its own, playing the agent who ends its chats; then judge each chat."""
    command, found = [sys.executable, "-m", "soak.mortal"], {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(command, env=found, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(asdict(lane)), file=process.stdin, flush=True)
        for line in process.stdout:
            word, _, rest = line.strip().partition(" ")
            if word == "end":
                if rest in sandbox.ledger() and not any(
                    entry.content == "ConversationEnded" for entry in sandbox.ledger()[rest]
                ):
                    sandbox.agent(rest).end()
                print("ok", file=process.stdin, flush=True)
            else:
                result = json.loads(rest)
                row.hit.update(result["hit"])
                row.damaged += result["damaged"]
    row.failed += process.returncode != 0
    ledger = sandbox.ledger()
    for number in range(lane.chats):
        name = f"{lane.kind}-{number}"
        row.judge(name, Notes(Path(lane.folder, f"{name}.notes")).lines(), ledger.get(name, ()))


def run(rounds: int, seed: int, semantics: Semantics) -> list[Row]:
    """Hold the chats of one kind of poll, of both clients side by side."""
    rows = [Row(semantics, kind) for kind in KINDS]
    options = {"pace": 0.02, "token_life": 1.0, "reuse_grace": 60.0, "messages": 70, "interval": 0.04}
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox("chatty", semantics=semantics, faults=SLOW, **options) as sandbox,  # type: ignore[arg-type]
    ):
        made = zip(lanes(rounds, seed, sandbox, semantics, Path(folder)), rows, strict=True)
        threads = [threading.Thread(target=hold, args=(lane, sandbox, row)) for lane, row in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return rows


def shown(rows: list[Row]) -> str:
    """Give the table: what came of the chats, and what the processes were doing when they were killed."""
    columns = ["poll", "client", "chats", "kills", "messages", "lost", "out of order", "in hand again", "doubled"]
    columns += ["sends doubled", "ends wrong", "failed", "files damaged"]
    cells = [list(asdict(row, filter=lambda one, _: one.name not in ("hit", "why")).values()) for row in rows]
    hit = sum((row.hit for row in rows), Counter[str]())
    return f"{table(columns, cells)}\n\n{table(('killed during', 'times'), hit.most_common())}"


def main(arguments: list[str]) -> int:
    """Run all kinds; 1 when anything was lost, doubled, told wrongly or damaged."""
    parser = argparse.ArgumentParser(prog="soak kills", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=1000, help="how many kills in all (1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills (1)")
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    began = time.monotonic()
    for semantics in SEMANTICS:
        rows += run(max(2, round(given.rounds / len(SEMANTICS))), given.seed, semantics)
        kills = sum(row.kills for row in rows)
        print(f"{kills} of {given.rounds} kills after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print(shown(rows))
    for row in rows:
        for line in row.why:
            print(line, file=sys.stderr)
    return int(any(row.bad for row in rows))
