"""What the tests of the pipeline share: a small document, and a checkout of their own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline import run
from pipeline.document import Object
from pipeline.layout import Layout
from regenerate.remembering import Memory

ROOT = Path(__file__).resolve().parents[2]
MEMORY = Memory()


@pytest.fixture(autouse=True, scope="session")
def _shared() -> Iterator[None]:
    """Let whole runs share what they generate and judge."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "generate", MEMORY.generate)
        patch.setattr(run, "edits", MEMORY.edits)
        yield


@pytest.fixture
def committed() -> Layout:
    """The files of this checkout, to be read only."""
    return Layout(root=ROOT)


@pytest.fixture
def checkout(tmp_path: Path) -> Layout:
    """A checkout of the test's own, with our inputs and nothing built."""
    shutil.copytree(ROOT / "openapi", tmp_path / "openapi", ignore=shutil.ignore_patterns("pipeline"))
    layout = Layout(root=tmp_path)
    layout.built.unlink(missing_ok=True)
    return layout


@pytest.fixture
def here(tmp_path: Path) -> Layout:
    """A whole checkout of the test's own, with the facade and the client, built as ours is."""
    for folder in ("openapi", "facade", "generated"):
        ignored = shutil.ignore_patterns("pipeline", "__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / "checkout" / folder, ignore=ignored)
    return Layout(root=tmp_path / "checkout")


@pytest.fixture
def small() -> Callable[..., Object]:
    """Make a valid document with one operation, `GET /things/{id}`, and the schemas given."""

    def make(version: str = "3.1.0", **schemas: Object) -> Object:
        operation: Object = {
            "tags": ["Things"],
            "operationId": "getThing",
            "x-provenance": "assumed",
            "x-provenance-note": "Made for a test.",
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "responses": {"204": {"description": "No Content"}},
        }
        return {
            "openapi": version,
            "info": {"title": "Things", "version": "1"},
            "paths": {"/things/{id}": {"get": operation}},
            "components": {"schemas": dict(schemas)},
        }

    return make
