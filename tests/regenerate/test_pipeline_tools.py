"""The programs that run on Node: what is said when they are not there, fail, or print nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import tools
from pipeline.both import common
from pipeline.decode import to_openapi
from pipeline.diff import changes
from pipeline.document import Object
from pipeline.layout import Layout
from pipeline.problems import PipelineError
from pipeline.tools import ToolFailed, ToolsMissing, installed

SWAGGER: Object = {"swagger": "2.0", "info": {"title": "Things", "version": "1"}, "paths": {}}


def node(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """Let a shell script stand for Node, with the programs already there."""
    program = folder / "node"
    program.write_text(script)
    program.chmod(0o755)
    monkeypatch.setattr(tools, "_programs", lambda: ([str(program)], []))
    monkeypatch.setattr(tools, "installed", lambda _: folder)


@pytest.mark.parametrize(
    ("script", "kind", "told"),
    [
        ("#!/bin/sh\necho broken >&2; exit 7\n", ToolFailed, "broken"),
        ("#!/bin/sh\nexit 7\n", ToolFailed, "exit code 7"),
        ("#!/bin/sh\necho nonsense\n", ToolFailed, "no JSON"),
        ("#!/bin/sh\necho '[1]'\n", ToolFailed, "no report"),
        ("no program", ToolsMissing, "node does not start"),
    ],
)
def test_a_diff_that_cannot_be_had_is_told(
    committed: Layout,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    kind: type[PipelineError],
    told: str,
) -> None:
    """Whatever Node does, there is a reason to tell, and no traceback."""
    node(monkeypatch, tmp_path, script)
    with pytest.raises(kind, match=told):
        changes(committed, common({}, {}, ()), {}, tmp_path)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("#!/bin/sh\necho broken >&2; exit 7\n", r"cannot be converted \(broken\): give OpenAPI 3"),
        ("#!/bin/sh\nexit 0\n", "cannot be converted .*No such file.*: give OpenAPI 3"),
        ("no program", r"This is Swagger 2\.0, which must be converted\. .*node does not start"),
    ],
)
def test_a_swagger_document_that_cannot_be_converted_is_told(
    committed: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, told: str
) -> None:
    """A document that needs the converter says so when there is none."""
    node(monkeypatch, tmp_path, script)
    with pytest.raises(PipelineError, match=told):
        to_openapi(committed, SWAGGER)


def test_tools_that_cannot_be_installed_are_told(checkout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the versions, or without a place for them, the programs count as not there."""
    (checkout.root / "file").touch()
    monkeypatch.setattr("sys.prefix", str(checkout.root / "file"))
    with pytest.raises(ToolsMissing, match=r"cannot be used \(Not a directory\)"):
        installed(checkout)
    (checkout.tools / "package-lock.json").unlink()
    with pytest.raises(ToolsMissing, match=r"package-lock\.json cannot be used"):
        installed(checkout)
