"""The options of every command, `--help`, and extras that are not installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from puzzel_chat import Settings
from puzzel_chat.cli._options import SERVICE_OPTIONS
from puzzel_chat.cli._output import EXIT_CODES
from puzzel_chat.sandbox import SCRIPTS, Sandbox, Semantics

from .conftest import Run, Start, one_error

SERVICE = ("chat", "queue", "doctor", "probe")


@pytest.mark.parametrize("command", ["", "demo", "chat", "queue", "sandbox", "doctor", "probe"])
def test_every_help_is_complete_and_fits(cli: Run, command: str) -> None:
    """What it does, an example, the exit codes; the settings with their variables; no line over 80 columns."""
    ran = cli(*command.split(), "--help", env={"COLUMNS": "80"})
    assert (ran.code, ran.err) == (0, "")
    assert all(len(line) <= 80 for line in ran.out.splitlines())
    assert f"  puzzel-chat {command or 'demo'}" in ran.out
    assert re.sub(r"\s+", " ", EXIT_CODES) in re.sub(r"\s+", " ", ran.out)
    if command in SERVICE:
        for setting, option in SERVICE_OPTIONS.items():
            assert option.flag in ran.out
            assert f"[PUZZEL_CHAT_{setting.upper()}]" in ran.out


def test_the_main_help_names_every_setting(cli: Run) -> None:
    """Every setting of the library has its variable there; the scripts and semantics are in the sandbox's."""
    main = cli("--help").out
    named = (*Settings.__annotations__, "queue_key", "visual_queue_id")
    assert all(f"PUZZEL_CHAT_{name.upper()} " in main for name in named)
    assert "export PUZZEL_CHAT_REGION=uk" in main
    assert "export PUZZEL_CHAT_SOLUTION_ID=12345" in main
    words = cli("sandbox", "--help").out
    assert all(name in words for name in (*SCRIPTS, *get_args(Semantics)))


@pytest.mark.parametrize("args", [("nonsense",), ("queue",), ("queue", "x", "--nonsense"), ("sandbox", "--pace", "x")])
def test_wrong_usage_is_exit_code_2(cli: Run, args: tuple[str, ...]) -> None:
    """Said in words, without a traceback."""
    ran = cli(*args)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert ran.err


def test_a_chat_needs_a_queue(cli: Run) -> None:
    """Without one, the way to try it is told."""
    ran = cli("chat")
    assert (ran.code, "--sandbox" in one_error(ran)) == (2, True)


@pytest.mark.parametrize(
    ("blocked", "args", "extra"),
    [
        ("typer", ["--help"], "cli"),
        pytest.param("rich", ["demo"], "cli", marks=pytest.mark.slow),
        pytest.param("prompt_toolkit", ["chat", "--sandbox"], "cli", marks=pytest.mark.slow),
        ("uvicorn", ["demo"], "sandbox"),
        pytest.param("starlette", ["sandbox"], "sandbox", marks=pytest.mark.slow),
        pytest.param("starlette", ["chat", "--sandbox"], "sandbox", marks=pytest.mark.slow),
    ],
)
def test_a_missing_extra_is_told_in_one_line(
    blocked: str, args: list[str], extra: str, on_pipe: Start, tmp_path: Path
) -> None:
    """What to install, and exit code 2."""
    # A sitecustomize of our own makes the import fail as it does where the extra was never installed.
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{blocked!r}] = None\n")
    program = on_pipe(*args, env={"PYTHONPATH": str(tmp_path)})
    assert program.wait() == 2
    assert program.seen.count("\n") == 1
    assert f'pip install "puzzel-chat[{extra}]"' in program.seen


def test_the_service_commands_do_without_the_sandbox(centre: Sandbox, on_pipe: Start, tmp_path: Path) -> None:
    """Who talks to a real service needs neither starlette nor uvicorn."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules.update(starlette=None, uvicorn=None)\n")
    program = on_pipe("queue", "27501", "--json", at=centre, env={"PYTHONPATH": str(tmp_path)})
    assert program.wait() == 0
    assert json.loads(program.seen)["state"] == "open"
