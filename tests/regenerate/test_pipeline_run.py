"""Whole runs of the pipeline, in a checkout of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.document import operations, parse, read_bytes
from pipeline.generate import marker
from pipeline.layout import Layout
from pipeline.tree import snapshot


def run(layout: Layout, *options: str, seed: str = "0") -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, with a hash seed that decides the order of Python's sets."""
    here = Path(__file__).resolve().parents[2] / "openapi"
    environment = {**os.environ, "PYTHONPATH": str(here), "PYTHONHASHSEED": seed}
    command = [sys.executable, "-m", "pipeline", "--root", str(layout.root), *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=layout.root)


def modified(layout: Layout) -> dict[str, int]:
    files = [layout.built, *layout.package.rglob("*")]
    return {str(path): path.stat().st_mtime_ns for path in files if path.is_file()}


@pytest.mark.slow
def test_two_runs_are_identical_and_a_check_notices_an_edit(checkout: Layout) -> None:
    """The first run builds all, the second changes no byte and touches no file, and an edit does not get through."""
    first = run(checkout, seed="1")
    assert (first.returncode, first.stderr) == (10, "")
    built, times = snapshot(checkout.package), modified(checkout)
    second = run(checkout, seed="2")
    assert second.returncode == 0
    assert second.stdout.splitlines()[-1] == "0: nothing changed."
    assert (snapshot(checkout.package), modified(checkout)) == (built, times)

    edited = checkout.package / "models" / "queue_info.py"
    edited.write_text(edited.read_text() + "# mine\n")
    (checkout.package / "stray.py").write_text("")
    found = run(checkout, "--check")
    assert found.returncode == 1
    assert found.stderr.splitlines() == [
        "  changed: generated/puzzel_chat_api/models/queue_info.py",
        "  removed: generated/puzzel_chat_api/stray.py",
        "2 files are not what the document gives: run `make regenerate`.",
    ]
    assert edited.read_text().endswith("# mine\n")

    third = run(checkout)
    assert third.returncode == 0
    assert third.stdout.splitlines()[-1] == "0: nothing changed in the API; 2 files put back."
    assert snapshot(checkout.package) == built


@pytest.mark.slow
def test_the_committed_files_are_what_the_document_gives(committed: Layout) -> None:
    """Nobody edited the generated package or the built document by hand."""
    result = run(committed, "--check")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "Up to date."


def test_every_operation_has_a_module_and_every_file_its_marker(committed: Layout) -> None:
    """Nothing of the document got lost, and each generated file says how it is made."""
    document = parse(read_bytes(committed.built), committed.built)
    modules = [path for path in committed.package.glob("api/*/*.py") if path.name != "__init__.py"]
    assert len(modules) == len(list(operations(document))) == 12
    files = snapshot(committed.package)
    assert "py.typed" in files
    assert [name for name, data in files.items() if not data.startswith(marker().encode())] == []


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("upstream.json", None, "openapi/upstream.json cannot be read (No such file or directory)"),
        (
            "upstream.json",
            "{}",
            "openapi/upstream.json is not the document that openapi/SOURCE.toml describes",
        ),
        ("SOURCE.toml", "origin = ", "openapi/SOURCE.toml is not TOML"),
        ("SOURCE.toml", "origin = 'x'", "openapi/SOURCE.toml is not TOML with `origin` and `sha256`"),
        ("overlay.yaml", "overlay: 1.0.0", "openapi/overlay.yaml has no list of actions"),
        pytest.param(
            "generator.yaml",
            "[",
            "openapi-python-client refused openapi/puzzel-chat.json",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_an_unusable_input_is_told_in_one_sentence(
    checkout: Layout, capsys: pytest.CaptureFixture[str], name: str, content: str | None, reason: str
) -> None:
    """A bad input ends with exit code 30, names the file, shows no traceback, and leaves everything as it was."""
    path = checkout.root / "openapi" / name
    path.unlink()
    if content is not None:
        path.write_text(content)
    assert main(["--root", str(checkout.root)]) == 30
    said = capsys.readouterr().err
    last = said.splitlines()[-1]
    assert last.startswith(f"30: {reason}")
    assert re.search(r": [a-z]+ .+\.$", last), "the sentence ends with the next step"
    assert "Traceback" not in said
    assert not checkout.package.exists()
    assert not checkout.built.exists()


@pytest.mark.slow
def test_an_overlay_that_loses_an_operation_is_no_success(checkout: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    """A correction whose path is gone from the document is told with its line, and nothing is put in place."""
    overlay = checkout.overlay.read_text().replace("/api/time/{id}", "/api/times/{id}")
    checkout.overlay.write_text(overlay)
    line = next(number for number, text in enumerate(overlay.splitlines(), 1) if "/api/times/{id}" in text)
    assert main(["--root", str(checkout.root)]) == 20
    told = f"openapi/overlay.yaml:{line}: finds nothing: $['paths'] has no `/api/times/{{id}}`: correct the target"
    assert told in capsys.readouterr().out
    assert not checkout.package.exists()


def test_the_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    """A user learns from `--help` what the command does and how it ends."""
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--check" in shown
    assert all(f"\n  {code} " in shown for code in (0, 10, 20, 30, 1, 2, 130))
    assert "PUZZEL_CHAT_SPEC_HEADER" in shown


def test_a_fault_of_ours_is_a_sentence_too(
    checkout: Layout, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever a document sets off that nobody thought of, there is no traceback: it is told where, and what to do."""

    def broken(*_: object) -> None:
        raise LookupError("nobody thought of it")

    monkeypatch.setattr("pipeline.run.judged", broken)
    assert main(["--root", str(checkout.root)]) == 30
    said = capsys.readouterr().err
    assert re.search(
        r"30: This is a fault of the pipeline \(LookupError at \S+ line \d+\): report it with the doc", said
    )
    assert "Traceback" not in said
