"""`python -m benchmarks RUN [--full]`: progress goes to stderr, figures as Markdown to stdout. Nothing is asserted."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib import import_module

from benchmarks.machine import described

RUNS = {
    "speed": "what steady polling costs, beside bare clients",
    "delivery": "how long a message takes to its handler",
    "overhead": "what one call at a time costs over the bare HTTP library",
    "startup": "what it takes to begin",
    "outage": "what a service that is out for a minute is asked, and what comes after",
    "expiry": "tokens that expire together",
    "workers": "workers on one Redis: what it costs, what one Redis carries, and who takes over how soon",
    "trouble": "a handler that blocks, one that raises and a reply that is far too large, among a thousand",
}
"""Each is a module with a `report(full)` that gives Markdown; the first ones are the short form of the bench."""
SHORT = ("speed", "delivery", "overhead", "startup")


def main(arguments: list[str]) -> int:
    """Run what is asked for, or everything of the form that is asked for."""
    parser = ArgumentParser(
        prog="make bench",
        formatter_class=RawDescriptionHelpFormatter,
        description="RUN=NAME runs one, FULL=1 the long form.\n\n"
        + "\n".join(f"  {name:<10} {told}" for name, told in RUNS.items()),
    )
    parser.add_argument("run", nargs="?", choices=RUNS, metavar="RUN", help="which one (default: all)")
    parser.add_argument("--full", action="store_true", help="more rounds, sizes and rows")
    asked = parser.parse_args(arguments)
    command = f"make bench{f' RUN={asked.run}' if asked.run else ''}{' FULL=1' if asked.full else ''}"
    print(f"# Bench\n\n`{command}` on {described()}.", flush=True)
    for name in [asked.run] if asked.run else RUNS if asked.full else SHORT:
        print(
            f"\n## {RUNS[name][0].upper()}{RUNS[name][1:]}\n\n{import_module(f'benchmarks.{name}').report(asked.full)}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
