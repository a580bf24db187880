"""`python -m soak RUN`: each run prints its progress as it goes, and a table at the end."""

from __future__ import annotations

import sys
from importlib import import_module

RUNS = {
    "faults": "seeded chats under every mix of faults, compared with the sandbox's ledger",
    "fleet": "hundreds of chats at once in one polling loop, under every mix of faults, over both transports",
    "kills": "a process that holds a chat is killed and another one goes on",
    "workers": "workers on one Redis hold a thousand chats, and are killed, suspended and cut off",
    "processes": "several processes use one stored session for many lives of its token",
    "cancellations": "requests are cancelled under contention, and the connection pool is looked at",
    "hours": "one chat of eight simulated hours, timed, and its memory",
    "desks": "fifty customers and five agents with desks in real browsers",
    "mutants": "rules of the design are broken one at a time, and the tests must notice",
}


def main(arguments: list[str]) -> int:
    """Run what is asked for; each run has a `--help` of its own."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name not in RUNS:
        print("usage: python -m soak RUN [options]\n")
        print("\n".join(f"  {run:<14} {told}" for run, told in RUNS.items()))
        return 0 if name in ("", "-h", "--help") else 2
    code: int = import_module(f"soak.{name}").main(rest)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
