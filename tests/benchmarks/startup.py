"""What `import puzzel_chat` costs against `import httpx`, in one run with the two in turn. Reported, never asserted."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15


def seconds(statement: str) -> float:
    """Time a fresh interpreter that runs the statement."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - began


def main() -> None:
    """Print the medians and the ratio of what the imports add to a bare start."""
    statements = {
        "bare": "pass",
        "httpx": "import httpx",
        "puzzel_chat": "import puzzel_chat",
        "PuzzelChat": "from puzzel_chat import PuzzelChat",
        "both clients": "from puzzel_chat import PuzzelChat, AsyncPuzzelChat",
    }
    times: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(ROUNDS):
        for name, statement in statements.items():
            times[name].append(seconds(statement))
    medians = {name: statistics.median(values) * 1000 for name, values in times.items()}
    print(f"medians of {ROUNDS} interleaved runs, Python {sys.version.split()[0]}:")
    for name, value in medians.items():
        print(f"  {name:12} {value:6.1f} ms  ({min(times[name]) * 1000:.1f} to {max(times[name]) * 1000:.1f})")
    for name in list(statements)[2:]:
        whole = medians[name] / medians["httpx"]
        added = (medians[name] - medians["bare"]) / (medians["httpx"] - medians["bare"])
        print(f"{statements[name]}: {whole:.2f} times import httpx, {added:.2f} without the bare start")


if __name__ == "__main__":
    main()
