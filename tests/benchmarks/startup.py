"""What it costs to start, beside the HTTP library alone, each in a fresh interpreter, in turn."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.machine import beside
from benchmarks.overhead import server
from soak.table import table

ROUNDS, FULL_ROUNDS = 10, 30
BASE = "import httpx"
IMPORTS = {
    "a bare start": "pass",
    BASE: BASE,
    "import puzzel_chat": "import puzzel_chat",
    "from puzzel_chat import PuzzelChat": "from puzzel_chat import PuzzelChat",
    "from puzzel_chat import AsyncPuzzelChat": "from puzzel_chat import AsyncPuzzelChat",
}
HELP = "puzzel-chat --help"
FIRST = {
    "first reply, httpx alone": """
import httpx
client = httpx.Client()
form = {{"grant_type": "visitor", "client_id": "oneplatform_engage", "tenant_id": "7"}}
token = client.post("{0}/connect/token", data=form).json()["access_token"]
client.get("{0}/api/queue/info/27501", headers={{"Authorization": "Bearer " + token}}).json()
""",
    "first reply, PuzzelChat": """
from puzzel_chat import PuzzelChat
PuzzelChat("{0}", "7").connect().queue_info(27501)
""",
}
NOW = "\nimport time; print(time.monotonic())"


class Starts:
    """Fresh interpreters, in which every module is compiled already, as it is where a wheel was installed."""

    def __init__(self, compiled: str) -> None:
        self._environment = {**os.environ, "PYTHONPYCACHEPREFIX": compiled, "PYTHONDONTWRITEBYTECODE": ""}

    def whole(self, *arguments: str) -> float:
        """Time one from its start to its end, in milliseconds."""
        began = time.monotonic()
        self._run(*arguments)
        return (time.monotonic() - began) * 1e3

    def until_told(self, program: str) -> float:
        """Time one from its start until it has done that, in milliseconds."""
        began = time.monotonic()
        return (float(self._run("-c", program + NOW)) - began) * 1e3

    def _run(self, *arguments: str) -> str:
        command = [sys.executable, *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=self._environment).stdout


def measured(rounds: int) -> dict[str, list[float]]:
    """Measure everything in turn; a first round compiles and does not count."""
    times: dict[str, list[float]] = {name: [] for name in (*IMPORTS, HELP, *FIRST)}
    with TemporaryDirectory() as compiled, server() as address:
        starts = Starts(compiled)
        for _ in range(1 + rounds):
            for name, statement in IMPORTS.items():
                times[name].append(starts.whole("-c", statement))
            times[HELP].append(starts.whole("-m", "puzzel_chat", "--help"))
            for name, program in FIRST.items():
                times[name].append(starts.until_told(program.format(address)))
    return {name: values[1:] for name, values in times.items()}


def report(full: bool) -> str:
    """Give the figures as Markdown."""
    times = measured(FULL_ROUNDS if full else ROUNDS)
    base = median(times[BASE])
    columns = ("what", "median, ms", "middle half", f"times `{BASE}`")
    return table(columns, [beside(f"`{name}`", values, base) for name, values in times.items()])
