"""The judge: the type checker, asked whether the wire layer fits a client. Its errors are the edits to make."""

from __future__ import annotations

import ast
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from pipeline.layout import PACKAGE, Layout
from pipeline.problems import PipelineError, brief

ERROR = re.compile(r"^(?P<path>.+?):(?P<line>\d+): error: (?P<text>.*?)(?:; maybe .*\?)?(?:  \[[\w-]+\])?$")
READ = Path(sys.prefix) / "openapi-tools" / "types"
"""What the type checker remembers of the packages that every client uses: reading them takes some seconds."""
OPTIONS = ("--strict", "--config-file=", "--explicit-package-bases", "--follow-imports=silent", "--no-error-summary")


@frozen(order=True)
class Edit:
    """A line of ours that does not fit, and why."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        """Return it as an editor takes it."""
        return f"{self.file}:{self.line}: {self.text}"


@frozen
class Row:
    """One row of the facade's table of operations: its constant there, and the method that callers use."""

    operation: str
    used_by: str
    constant: str
    file: str
    line: int


def edits(layout: Layout, generated: Path) -> tuple[Edit, ...]:
    """Return where the wire layer does not fit the client below `generated`; without a wire layer, nothing.

    Raises `PipelineError` when a file of it is not Python.
    """
    if not layout.wire.is_dir():
        return ()
    lacking = [*_lacking(layout, generated)]
    if lacking:
        _memory().cleanup()  # A module that was not there is remembered as none.
        _memory.cache_clear()
    return tuple(sorted(dict.fromkeys([*lacking, *_objections(layout, generated)])))


def _objections(layout: Layout, generated: Path) -> Iterator[Edit]:
    search = os.pathsep.join(map(str, (layout.facade, generated)))
    # On the path of this run only: the client that is installed here must not stand in for the new one.
    environment = {**os.environ, "MYPYPATH": search}
    command = [sys.executable, "-m", "mypy", *OPTIONS, "--cache-dir", _memory().name, str(layout.wire)]
    done = subprocess.run(command, cwd=layout.root, env=environment, capture_output=True, text=True, encoding="utf-8")
    found = [match for line in done.stdout.splitlines() if (match := ERROR.match(line))]
    if done.returncode > 1 or (done.returncode and not found):
        told = brief((done.stdout or done.stderr).replace(f"{layout.root}/", ""), 200)
        raise PipelineError(f"The type checker cannot read the facade ({told}): correct that file, or restore it.")
    for one in found:
        yield Edit(layout.short(layout.root / one["path"]), int(one["line"]), one["text"])


@functools.cache
def _memory() -> tempfile.TemporaryDirectory[str]:
    """Return where this process's type checkers remember what they read: two that share it at once trip over it."""
    own = tempfile.TemporaryDirectory(prefix="puzzel-chat-types-")
    if READ.is_dir():
        shutil.copytree(READ, own.name, dirs_exist_ok=True)
    return own


def read_ahead() -> None:
    """Let the type checker read the packages that every client uses, once for all runs to come."""
    command = [sys.executable, "-m", "mypy", *OPTIONS, "--cache-dir", str(READ), "-c", "import attrs, dateutil, httpx"]
    subprocess.run(command, capture_output=True, check=False)


def _lacking(layout: Layout, generated: Path) -> Iterator[Edit]:
    """Yield imports of modules that the client has no more: the type checker would take those that are installed."""
    for path, tree in _sources(layout):
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE}.api"):
                folder = generated / (node.module or "").replace(".", "/")
                for name in [one.name for one in node.names]:
                    if not (folder / name).is_dir() and not (folder / f"{name}.py").is_file():
                        yield Edit(layout.short(path), node.lineno, f"the client has no module {node.module}.{name}")


def rows(layout: Layout) -> tuple[Row, ...]:
    """Return the rows of the facade's table of operations."""
    return tuple(row for path, tree in _sources(layout) for row in _rows(layout.short(path), tree))


def _rows(file: str, tree: ast.Module) -> Iterator[Row]:
    for node in tree.body:
        if not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)):
            continue
        call = node.value
        if ast.unparse(call.func) == "Operation":
            given = [*call.args, *(word.value for word in call.keywords)]
            words = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            yield Row(words[0], words[1], ast.unparse(node.targets[0]), file, node.lineno)


def reads(layout: Layout, row: Row, attribute: str) -> Iterator[Edit]:
    """Yield the lines that read an attribute in a function that speaks of the row; `text` is empty."""
    for path, tree in _sources(layout):
        for function in [node for node in tree.body if isinstance(node, ast.FunctionDef)]:
            names = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
            for node in ast.walk(function) if row.constant in names else ():
                if isinstance(node, ast.Attribute) and node.attr == attribute:
                    yield Edit(layout.short(path), node.lineno, "")


def _sources(layout: Layout) -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(layout.wire.glob("*.py")):
        try:
            yield path, ast.parse(path.read_bytes())
        except (SyntaxError, ValueError) as error:
            told = f"The type checker cannot read {layout.short(path)} ({brief(str(error))})"
            raise PipelineError(f"{told}: correct that file, or restore it.") from error
