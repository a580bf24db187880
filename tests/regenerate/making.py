"""Take a small document of a test the whole way to an importable client."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from attrs import frozen

from pipeline.document import Object, edit_operations
from pipeline.generate import Generated, generate
from pipeline.layout import Layout
from pipeline.normalise import finish, normalise
from pipeline.validate import check_document

ROOT = Path(__file__).resolve().parents[2]


@frozen
class Client:
    """What came of the document: the package, what was lost, and what was noted on the way."""

    generated: Generated
    notes: list[str]
    name: str

    def module(self, name: str) -> Any:
        """Import a module of the package."""
        return importlib.import_module(f"{self.name}.{name}")

    def parse(self, module: str, status: int, **content: Any) -> Any:
        """Let the module of an operation read a reply."""
        client = self.module("client").Client(base_url="https://chat.example")
        return self.module(f"api.{module}")._parse_response(client=client, response=httpx.Response(status, **content))

    def type_of(self, model: str, attribute: str) -> str:
        """Return the annotation of an attribute, as it is written."""
        return str(getattr(self.module("models"), model).__annotations__[attribute])

    def mypy(self) -> str:
        """Return what strict typing says of the package."""
        folder = self.generated.package.parent
        options = ["--strict", "--config-file=", "--cache-dir", str(folder)]
        command = [sys.executable, "-m", "mypy", *options, "-p", self.generated.package.name]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout


def made(document: Object, folder: Path) -> tuple[Generated, list[str]]:
    """Generate the package of a document."""
    notes: list[str] = []
    document = finish(normalise(document, notes.append), notes.append)
    marks: Object = {"x-provenance": "assumed", "x-provenance-note": "Made for a test."}
    document = edit_operations(document, lambda _label, operation: {**operation, **marks})
    check_document(document, "made.json")
    return generate(document, Layout(root=ROOT), folder), notes


@contextmanager
def importable(document: Object, folder: Path, name: str) -> Iterator[Client]:
    """Give the client of a document, importable under a name of its own."""
    generated, notes = made(document, folder)
    shutil.copytree(generated.package, folder / "path" / name)
    sys.path.insert(0, str(folder / "path"))
    yield Client(generated, notes, name)
    sys.path.remove(str(folder / "path"))
