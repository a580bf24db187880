"""The options of every command, `--help`, and extras that are not installed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from puzzel_chat import Settings
from puzzel_chat.cli._options import SERVICE_OPTIONS, SETTINGS
from puzzel_chat.cli._output import EXIT_CODES
from puzzel_chat.sandbox import SCRIPTS, Sandbox, Semantics

from .conftest import Run, Start, one_error

SERVICE = ("chat", "queue", "doctor", "probe")


@pytest.mark.parametrize("command", ["", "demo", "chat", "queue", "sandbox", "doctor", "probe", "workers"])
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


def test_every_setting_has_an_option() -> None:
    """A new setting gets one by itself; what stands for its value, and what it is, must be told in the table."""
    assert SERVICE_OPTIONS.keys() == Settings.__annotations__.keys()
    assert SETTINGS.keys() == Settings.__annotations__.keys()


def test_options_reach_the_service(cli: Run) -> None:
    """Each kind of option: texts, numbers, pairs that may be repeated; they win over the environment."""
    with Sandbox(pace=0, grant_type="client_credentials", client_id="ada", client_secret="open sesame") as centre:
        said = ("--grant-type", "client_credentials", "--client-id", "ada", "--client-secret", "open sesame")
        more = ("--scope", "chat", "--token-field", "a=1", "--token-field", "b=2=3", "--max-message-bytes", "100")
        times = ("--timeout", "5", "--poll-interval", "0.2")
        assert cli("queue", "27501", *said, *more, *times, at=centre, env={"PUZZEL_CHAT_CLIENT_ID": "eve"}).code == 0
        shown = cli("doctor", *said, *more, *times, "--json", at=centre)
    records = [json.loads(line) for line in shown.out.splitlines()]
    sources = {record["setting"]: (record["value"], record["source"]) for record in records if "source" in record}
    assert sources["token_fields"] == ("set", "option --token-field")
    assert sources["poll_interval"] == ("0.2", "option --poll-interval")


def test_a_pair_without_a_value_is_wrong_usage(cli: Run) -> None:
    """It may hold a secret, so it is not repeated."""
    ran = cli("queue", "27501", "--token-field", "s3cret")
    assert (ran.code, "--token-field: write NAME=VALUE" in one_error(ran)) == (2, True)
    assert "s3cret" not in ran.err


@pytest.mark.parametrize("command", ["", "demo", "chat", "queue", "sandbox", "doctor", "probe", "workers"])
def test_no_word_is_broken_on_a_narrow_terminal(cli: Run, command: str) -> None:
    """The help is the same, word by word, on 40, 60 and 80 columns, and no line is wider."""
    helps = {width: cli(*command.split(), "--help", env={"COLUMNS": str(width)}).out for width in (40, 60, 80)}
    for width, text in helps.items():
        assert max(map(len, text.splitlines())) <= width
        assert text.split() == helps[80].split()


def test_without_a_command_the_help_is_shown(cli: Run) -> None:
    """On stderr, since nothing was done, with the exit code of wrong usage."""
    ran = cli()
    assert (ran.code, ran.out) == (2, "")
    assert "puzzel-chat demo" in ran.err


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
    """Said in one line, without a traceback, and where to look."""
    ran = cli(*args)
    assert (ran.code, "--help` shows" in one_error(ran)) == (2, True)


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
