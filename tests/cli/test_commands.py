"""`queue`, `sandbox`, `doctor` and every `--help`."""

from __future__ import annotations

import json
import re
import signal
from typing import Any, get_args

import pytest

from puzzel_chat import PuzzelChat, Settings, TextMessage, operations
from puzzel_chat.cli._exits import EXIT_CODES, OPTIONS
from puzzel_chat.sandbox import NOTICE, SCRIPTS, Fault, Sandbox, Semantics

from .conftest import Run, Start

SERVICE = ("chat", "queue", "doctor")
SECRET = "s3cret-of-the-tenant"


@pytest.mark.parametrize("command", ["", "demo", "chat", "queue", "sandbox", "doctor"])
def test_every_help_is_complete_and_fits(cli: Run, command: str) -> None:
    """What it does, an example, the exit codes; the settings with their variables; no line over 80 columns."""
    ran = cli(*command.split(), "--help", env={"COLUMNS": "80"})
    assert (ran.code, ran.err) == (0, "")
    assert all(len(line) <= 80 for line in ran.out.splitlines())
    assert f"  puzzel-chat {command or 'demo'}" in ran.out
    assert re.sub(r"\s+", " ", EXIT_CODES) in re.sub(r"\s+", " ", ran.out)
    if command in SERVICE:
        for name in OPTIONS:
            assert f"--{name.replace('_', '-')}" in ran.out
            assert f"[PUZZEL_CHAT_{name.upper()}]" in ran.out


def test_the_main_help_names_every_setting(cli: Run) -> None:
    """Every setting of the library has its variable there; the scripts and semantics are in the sandbox's."""
    main = cli("--help").out
    assert all(f"PUZZEL_CHAT_{name.upper()}" in main for name in Settings.__annotations__)
    words = cli("sandbox", "--help").out
    assert all(name in words for name in (*SCRIPTS, *get_args(Semantics)))


@pytest.mark.parametrize("args", [("nonsense",), ("queue",), ("queue", "x", "--nonsense"), ("sandbox", "--pace", "x")])
def test_wrong_usage_is_exit_code_2(cli: Run, args: tuple[str, ...]) -> None:
    """Said in words, without a traceback."""
    ran = cli(*args)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert ran.err


@pytest.mark.parametrize(("queue", "state"), [("support", "open"), ("closed", "closed"), ("unknown-hours", "unknown")])
def test_the_state_of_a_queue_has_three_values(cli: Run, centre: Sandbox, queue: str, state: str) -> None:
    """Open, closed or unknown, each an answer with exit code 0, and how old it is."""
    ran, programs = cli("queue", queue, at=centre), cli("queue", queue, "--json", at=centre)
    assert (ran.code, programs.code) == (0, 0)
    rows = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in ran.out.splitlines())
    assert rows["state"].split()[0] == state == json.loads(programs.out)["state"]
    assert rows["answer from"].endswith("s ago")


def test_the_doctor_reaches_the_service_and_shows_no_secret(cli: Run) -> None:
    """Settings with their source, each step, the simulator's mark, every operation; secrets never."""
    fields = {"PUZZEL_CHAT_CLIENT_SECRET": SECRET, "PUZZEL_CHAT_TOKEN_FIELDS": f"key={SECRET}"}
    with Sandbox(pace=0, client_secret=SECRET) as centre:
        ran = cli("doctor", "--queue", "support", "--timeout", "5", at=centre, env=fields)
        programs = cli("doctor", "--json", "--client-secret", SECRET, at=centre)
    assert (ran.code, programs.code) == (0, 0)
    assert SECRET not in ran.out + ran.err + programs.out + programs.err
    assert re.search(r"client_secret +set  \(environment PUZZEL_CHAT_CLIENT_SECRET\)", ran.out)
    assert re.search(r"timeout +5.0  \(option --timeout\)", ran.out)
    assert f"this is the {NOTICE}" in ran.out
    assert re.search(r"ok +queue +support is open", ran.out)
    records = [json.loads(line) for line in programs.out.splitlines()]
    told = {row["operation"]: row for row in records if "operation" in row}
    assert {row.name: (row.provenance, row.used_by) for row in operations()} == {
        name: (row["provenance"], row["used_by"]) for name, row in told.items()
    }


@pytest.mark.parametrize(
    ("options", "policy", "words"),
    [
        ({"rotation": False}, "kept", "No rotation"),
        ({"reuse_grace": 15.0}, "same_reply", "still gives the same reply"),
        ({}, "revoked", "ends the session"),
    ],
)
def test_the_doctor_tells_the_rotation_when_asked(cli: Run, options: Any, policy: str, words: str) -> None:
    """What the service does with a used refresh token and what that means, in words; a session is spent, and said."""
    with Sandbox(pace=0, **options) as centre:
        assert "rotation" not in cli("doctor", at=centre).out.lower()
        opened = centre.stats().counts["session-opened"]
        ran, programs = cli("doctor", "--rotation", at=centre), cli("doctor", "--rotation", "--json", at=centre)
        assert centre.stats().counts["session-opened"] == opened + 4
    told = re.sub(r"\s+", " ", ran.out)
    assert (ran.code, programs.code) == (0, 0)
    assert words in told
    assert "A token lives 900 seconds." in told
    assert "A session of its own was opened and spent" in told
    (record,) = [row for row in map(json.loads, programs.out.splitlines()) if row.get("step") == "rotation"]
    assert (record["policy"], record["expires_in"], record["fine"]) == (policy, 900.0, True)
    assert record["means"]
    assert "sim-" not in ran.out + ran.err + programs.out + programs.err, "a token of the simulator is shown"


def test_a_doctor_that_finds_no_answer_about_rotation_says_so(cli: Run) -> None:
    """A token endpoint that fails in the middle of it is a failed step, and no finding."""
    with Sandbox(pace=0, faults=(Fault.status(503, "connectToken", skip=2),)) as centre:
        ran = cli("doctor", "--rotation", at=centre)
    assert ran.code == 1
    assert re.search(r"FAILED +rotation +connectToken: status 503", ran.out)


@pytest.mark.parametrize(
    ("url", "code", "step"),
    [
        ("http://no-such-host.localhost:1", 1, ""),
        ("http://127.0.0.1:1", 1, "connection"),
        ("ftp://chat.example", 2, "settings"),
    ],
)
def test_the_doctor_tells_the_step_that_failed(cli: Run, url: str, code: int, step: str) -> None:
    """It stops there, still lists the operations, and exits with the code of what failed."""
    ran = cli("doctor", "--json", "--base-url", url, "--solution-id", "1")
    records = [json.loads(line) for line in ran.out.splitlines()]
    failed = [record["step"] for record in records if record.get("fine") is False]
    assert (ran.code, len(failed), ran.err) == (code, 1, "")
    assert step in failed[0]
    assert records[-1]["operation"]


def test_the_doctor_tells_a_refused_token(cli: Run) -> None:
    """The network is fine, the credentials are not."""
    with Sandbox(pace=0, client_secret=SECRET) as centre:
        ran = cli("doctor", at=centre)
    assert ran.code == 2
    assert re.search(r"FAILED +token +client_secret: ", ran.out)


def test_the_sandbox_serves_until_it_is_stopped(on_pipe: Start) -> None:
    """It prints what a client needs, marked as the simulator, then what happens; Ctrl-C stops it with 0."""
    program = on_pipe("sandbox", "--script", "decline", "--pace", "0", "--fault", "queue:503:x1")
    head = program.expect("Ctrl-C stops it.")
    assert NOTICE in head
    exports = dict(re.findall(r"export PUZZEL_CHAT_(\w+)=(\S+)", head))
    chat = PuzzelChat(exports["BASE_URL"], exports["SOLUTION_ID"], poll_interval=0.1)
    with chat, chat.start("support", wait=20) as conversation:
        conversation.send("1 < 2")
    for words in ("chat 1   routed", "declined Kari", "joined Ada", "customer: 1 < 2", "ended by the customer"):
        program.expect(words)
    program.process.send_signal(signal.SIGINT)
    program.expect("Stopped.")
    assert program.wait() == 0


def test_a_person_plays_the_agent(on_terminal: Start, cli: Run) -> None:
    """Offers are declined and accepted, answers typed, the chat ended, all at a terminal."""
    program = on_terminal("sandbox", "--person", "--pace", "0")
    head = program.expect("Ctrl-C       stop the contact centre")
    exports = dict(re.findall(r"export PUZZEL_CHAT_(\w+)=(\S+)", head))
    program.write("hello\r")
    program.expect("not possible: no chat in hand")
    chat = PuzzelChat(exports["BASE_URL"], exports["SOLUTION_ID"], poll_interval=0.1)
    with chat, chat.start("support", wait=0) as conversation:
        program.expect("chat 1 is offered to you")
        program.write("/decline\r")
        program.expect("declined Kari")
        program.write("/accept\r")
        program.expect("joined Ada")
        program.write("Good day\r")
        program.expect("Ada: Good day")
        program.write("/edit Good morning\r")
        program.expect("Ada (edited): Good morning")
        program.write("/end\r")
        texts = [m.text for m in conversation.messages() if isinstance(m, TextMessage)]
    assert texts == ["Good day"]
    assert [getattr(message, "text", "") for message in conversation.transcript()] == ["Good morning"]
    program.expect("ended by the agent")
    program.write("\x03")
    program.expect("Stopped.")
    assert program.wait() == 0


def test_a_port_that_is_taken_is_told(cli: Run, centre: Sandbox) -> None:
    """And so are a script and a fault that do not exist."""
    port = centre.base_url.rpartition(":")[2]
    for args in (["--port", port], ["--script", "nonsense"], ["--fault", "poll:nonsense"]):
        ran = cli("sandbox", *args)
        assert (ran.code, ran.err.startswith("error: "), ran.err.count("\n")) == (2, True, 1)
