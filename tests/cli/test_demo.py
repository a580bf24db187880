"""`puzzel-chat demo` does all it promises, and says when it did not."""

from __future__ import annotations

import json
import re
import signal

import pytest

from puzzel_chat.cli import _demo
from puzzel_chat.cli._demo import STEPS, BoundedClock
from puzzel_chat.sandbox import NOTICE, Fault, Sandbox

from .conftest import Run, Start

COUNTS = re.compile(
    r"messages: (\d+) sent, (\d+) received \((\d+) edited\),"
    r" (\d+) lost, (\d+) duplicated, (\d+) out of order"
)


def test_the_demo_holds_a_whole_chat(on_pipe: Start) -> None:
    """Both forms of the demo end well: every promised step, a clean comparison, exit code 0."""
    plain, programs = on_pipe("demo"), on_pipe("demo", "--json")
    assert (plain.wait(60), programs.wait(60)) == (0, 0)
    _check_lines(plain.seen.rstrip("\n").split("\n"))
    _check_records([json.loads(text) for text in programs.seen.splitlines()])


def _check_lines(lines: list[str]) -> None:
    assert NOTICE in lines[0]
    counts = COUNTS.fullmatch(lines[-1])
    assert counts is not None
    sent, received, edits, lost, duplicated, late = map(int, counts.groups())
    assert (lost, duplicated, late) == (0, 0, 0)
    assert sent + received - edits >= 6
    assert sent > 0 < edits
    assert all(len(line) <= 80 for line in lines)
    assert float(lines[-3].split("s")[0]) < 30


def _check_records(records: list[dict[str, object]]) -> None:
    steps = [record["step"] for record in records]
    for step in STEPS.keys() - {"messages"}:
        assert step in steps
    positions = [str(record["text"]) for record in records if record["step"] in ("queued", "position")]
    assert ["position 3" in positions[0], "position 2" in positions[1], "position 1" in positions[2]] == [True] * 3
    order = ["session", "queue", "routed", "position", "offered", "declined", "offered-again", "joined", "ended"]
    assert sorted(order, key=steps.index) == order
    assert steps.index("joined") < steps.index("refreshed") < steps.index("ended")
    assert records[-1]["missing_steps"] == []


def test_a_lost_message_and_a_missing_step_are_told(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply lost on its way is lost under the drain semantics: the demo counts it and exits with 4."""

    def leaky(clock: BoundedClock) -> Sandbox:
        lost = Fault.drop("pollConversation", after=True, times=1)
        return Sandbox(script="demo", pace=0.5, ahead=2, token_life=4, clock=clock, semantics="drain", faults=(lost,))

    monkeypatch.setattr(_demo, "demo_sandbox", leaky)
    ran = cli("demo")
    assert ran.code == 4
    assert " 1 lost," in ran.out.splitlines()[-1], ran.out
    assert "did not happen: an agent joining" in ran.out


def test_a_chat_that_never_begins_is_told(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """When no agent comes the demo gives up by itself, names every step that is missing, and exits with 4."""

    def silent(clock: BoundedClock) -> Sandbox:
        return Sandbox(script="silent", pace=0, clock=clock)

    monkeypatch.setattr(_demo, "demo_sandbox", silent)
    monkeypatch.setattr(_demo, "CHAT_TIMEOUT", 0.5)
    ran = cli("demo")
    assert ran.code == 4
    missing = [text.removeprefix("did not happen: ") for text in ran.out.splitlines() if "did not happen" in text]
    assert missing == [words for step, words in STEPS.items() if step not in ("session", "queue", "routed")]


def test_an_interrupted_demo_stops_quietly(on_pipe: Start) -> None:
    """Ctrl-C is exit code 130, without a traceback."""
    program = on_pipe("demo")
    program.expect("routed")
    program.process.send_signal(signal.SIGINT)
    assert (program.wait(), "Traceback" in program.seen) == (130, False)
