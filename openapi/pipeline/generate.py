"""Run the generator in an empty folder, and tell what of the document got lost on the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from attrs import frozen

from pipeline.document import Object, dump, rebuild_document
from pipeline.layout import PACKAGE, Layout
from pipeline.lost import lost_parts, read_warnings
from pipeline.naming import RAW
from pipeline.private import hide
from pipeline.problems import PipelineError
from pipeline.provenance import provenance_module

GENERATOR = "openapi-python-client"
REINSTALL = "install the `regenerate` group of pyproject.toml"


@frozen
class Generated:
    """The package as it was generated, and a sentence for each thing of the document that is not in it."""

    package: Path
    lost: tuple[str, ...]


def marker() -> str:
    """Return the line that every generated file starts with."""
    made_by = f"{GENERATOR} {version(GENERATOR)}"
    return f"# Made by {made_by} from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.\n"


def generate(document: Object, layout: Layout, folder: Path) -> Generated:
    """Generate the package in `folder`. Raises `PipelineError` when the generator makes none of the document at all."""
    package, given = folder / PACKAGE, folder / layout.built.name
    raw = rebuild_document(document, lambda node: {} if node.get(RAW) is True else node)
    given.write_bytes(dump(raw))
    output = _run_generator(_command(given, layout, package), folder, layout)
    lost = lost_parts(raw, package, read_warnings(output))
    hide(raw, package)
    provenance = package / "provenance.py"
    provenance.write_text(provenance_module(document), encoding="utf-8")
    subprocess.run([sys.executable, "-m", "ruff", "format", "--isolated", "--quiet", str(provenance)], check=True)
    (package / "py.typed").touch()
    _mark(package)
    return Generated(package=package, lost=lost)


def _command(built: Path, layout: Layout, package: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
        *("--path", str(built), "--config", str(layout.config)),
        *("--custom-template-path", str(layout.templates), "--output-path", str(package)),
    ]


def _run_generator(command: list[str], folder: Path, layout: Layout) -> str:
    # The hooks of generator.yaml call ruff by its bare name; the pinned one is beside this interpreter.
    beside = str(Path(sys.executable).parent)
    if shutil.which("ruff", path=beside) is None:
        raise PipelineError(f"{beside} holds no ruff, which formats the generated code: {REINSTALL}.")
    search = os.pathsep.join([beside, os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": search, "RUFF_NO_CACHE": "true", "PYTHONUTF8": "1", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    if done.returncode != 0:
        details = tuple(line for line in (done.stderr or done.stdout).splitlines() if line.strip())
        if "Traceback (most recent call last):" in done.stderr:
            details = details[-1:]
        told = f"{GENERATOR} refused {layout.short(layout.built)}, see above: correct openapi/overlay.yaml"
        raise PipelineError(f"{told} or openapi/generator.yaml.", details=details[-40:])
    return done.stderr


def _mark(package: Path) -> None:
    """Mark every file, and take out casts to what is already known, which strict typing refuses."""
    for path in sorted(package.rglob("*")):
        if path.is_file():
            source = path.read_text(encoding="utf-8").replace("= cast(list[Any], data)", "= data")
            path.write_text(marker() + source, encoding="utf-8", newline="\n")
