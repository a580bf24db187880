"""Run the generator in an empty folder, and check that nothing of the document got lost on the way."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from pipeline.document import Object, operations
from pipeline.layout import PACKAGE, Layout
from pipeline.private import hide
from pipeline.problems import PipelineError
from pipeline.provenance import provenance_module
from pipeline.validate import module_of

GENERATOR = "openapi-python-client"
REINSTALL = "install the project's `regenerate` extra"


def marker() -> str:
    """Return the line that every generated file starts with."""
    made_by = f"{GENERATOR} {version(GENERATOR)}"
    return f"# Made by {made_by} from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.\n"


def generate(document: Object, built: Path, layout: Layout, folder: Path) -> Path:
    """Generate the package from the file `built`, which holds `document`, and return where in `folder` it is.

    Raises `PipelineError` when the generator warns, or when an operation has no module.
    """
    package = folder / PACKAGE
    _run_generator(_command(built, layout, package), folder, layout)
    _check_modules(document, package)
    hide(document, package)
    (package / "provenance.py").write_text(provenance_module(document), encoding="utf-8")
    (package / "py.typed").touch()
    _mark(package)
    return package


def _command(built: Path, layout: Layout, package: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "openapi_python_client", "generate", "--fail-on-warning", "--meta", "none"),
        *("--path", str(built), "--config", str(layout.config)),
        *("--custom-template-path", str(layout.templates), "--output-path", str(package)),
    ]


def _run_generator(command: list[str], folder: Path, layout: Layout) -> None:
    # The hooks of generator.yaml call ruff by its bare name; the pinned one is beside this interpreter.
    beside = str(Path(sys.executable).parent)
    if shutil.which("ruff", path=beside) is None:
        raise PipelineError(f"{beside} holds no ruff, which formats the generated code: {REINSTALL}.")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([beside, os.environ.get("PATH", "")]),
        "RUFF_NO_CACHE": "true",
        "PYTHONUTF8": "1",
        "NO_COLOR": "1",
    }
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8")
    if done.returncode != 0:
        details = tuple(line for line in (done.stderr or done.stdout).splitlines() if line.strip())
        if "Traceback (most recent call last):" in done.stderr:
            details = details[-1:]
        raise PipelineError(
            f"{GENERATOR} refused {layout.short(layout.built)}, see above: correct openapi/overlay.yaml "
            "or openapi/generator.yaml.",
            details=details[-40:],
        )


def _check_modules(document: Object, package: Path) -> None:
    """Compare operations with modules: the generator ends well even when it dropped an endpoint."""
    wanted = {module_of(operation) for _, _, operation in operations(document)}
    found = {
        path.relative_to(package / "api").with_suffix("").as_posix()
        for path in package.glob("api/*/*.py")
        if path.name != "__init__.py"
    }
    if wanted != found:
        missing, extra = sorted(wanted - found), sorted(found - wanted)
        raise PipelineError(
            f"The generated modules are not the operations (missing: {', '.join(missing) or 'none'}; "
            f"unexpected: {', '.join(extra) or 'none'}): correct openapi/overlay.yaml."
        )


def _mark(package: Path) -> None:
    line = marker()
    for path in sorted(package.rglob("*")):
        if path.is_file():
            path.write_text(line + path.read_text(encoding="utf-8"), encoding="utf-8", newline="\n")
