"""`puzzel-chat demo` does all it promises, and says when it did not; its comparison notices what it is for."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from datetime import UTC, datetime

import pytest

from puzzel_chat.cli import _demo
from puzzel_chat.cli._demo import STEPS, BoundedClock, compare
from puzzel_chat.sandbox import NOTICE, Entry, Fault, Role, Sandbox

from .conftest import PROGRAM, Ran, Run, Start, safe

COUNTS = re.compile(
    r"messages: (\d+) sent, (\d+) received \((\d+) edited\),"
    r" (\d+) lost, (\d+) duplicated, (\d+) out of order"
)


@pytest.fixture(scope="module")
def demos() -> list[Ran]:
    """What both forms of the demo do, for people and for programs; held side by side, as most of it is waiting."""
    pipe = subprocess.PIPE
    held = [
        subprocess.Popen([*PROGRAM, "demo", *form], stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)
        for form in ((), ("--json",))
    ]
    told = [one.communicate(timeout=60) for one in held]
    return [Ran(one.returncode, *said) for one, said in zip(held, told, strict=True)]


def test_the_demo_holds_a_whole_chat(demos: list[Ran]) -> None:
    """Both forms of the demo end well: every promised step, a clean comparison, exit code 0."""
    plain, programs = demos
    assert (plain.code, programs.code) == (0, 0), plain.err + programs.err
    _check_lines(plain.out.rstrip("\n").split("\n"))
    _check_records([json.loads(text) for text in programs.out.splitlines()])


def test_the_demo_prints_nothing_but_text(demos: list[Ran]) -> None:
    """Neither form has a control character when it does not write to a terminal."""
    for ran in demos:
        assert ran.out
        assert safe(ran.out + ran.err)


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


def entry(key: str, version: int = 1, client_id: str | None = None) -> Entry:
    """A message in the ledger, the agent's unless it has a client id."""
    role = Role.AGENT if client_id is None else Role.CUSTOMER
    return Entry(key, version, "c", "Text", role, None, "", client_id, datetime(2026, 1, 5, tzinfo=UTC), {})


def keys(ledger: list[Entry]) -> list[tuple[str, int]]:
    """Everything in the ledger, as it is delivered."""
    return [(one.id, one.version) for one in ledger]


LEDGER = [entry("1"), entry("2", client_id="a"), entry("3"), entry("3", 2), entry("4", client_id="b")]
KEYS = keys(LEDGER)


def test_a_chat_without_a_fault_is_clean() -> None:
    """Everything once and in order: messages and edits are counted, nothing else."""
    verdict = compare(["a", "b"], KEYS, LEDGER)
    assert (verdict.sent, verdict.received, verdict.edits, verdict.clean) == (2, 3, 1, True)
    assert str(verdict) == ("messages: 2 sent, 3 received (1 edited), 0 lost, 0 duplicated, 0 out of order")


@pytest.mark.parametrize("gone", range(len(KEYS)))
def test_what_was_not_delivered_is_lost(gone: int) -> None:
    """Each line of the ledger that did not come counts, an edit and an echo too."""
    verdict = compare(["a", "b"], KEYS[:gone] + KEYS[gone + 1 :], LEDGER)
    assert (verdict.lost, verdict.clean) == (1, False)


def test_what_was_sent_and_never_stored_is_lost() -> None:
    """The other direction: a message of ours that the ledger does not have."""
    verdict = compare(["a", "b", "c"], KEYS, LEDGER)
    assert (verdict.lost, verdict.clean) == (1, False)


def test_what_came_twice_is_duplicated() -> None:
    """The same id and version twice is a duplicate; a new version is not."""
    verdict = compare(["a", "b"], [*KEYS, KEYS[0], KEYS[0]], LEDGER)
    assert (verdict.duplicated, verdict.clean) == (2, False)


def test_what_was_stored_twice_is_duplicated() -> None:
    """The other direction: one send that the ledger has two of."""
    ledger = [*LEDGER, entry("5", client_id="b")]
    verdict = compare(["a", "b"], keys(ledger), ledger)
    assert (verdict.duplicated, verdict.clean) == (1, False)


def test_what_came_after_its_successor_is_out_of_order() -> None:
    """The order is the ledger's, judged by the first delivery of each."""
    verdict = compare(["a", "b"], [KEYS[1], KEYS[0], *KEYS[2:]], LEDGER)
    assert (verdict.out_of_order, verdict.lost, verdict.duplicated, verdict.clean) == (1, 0, 0, False)
    again = compare(["a", "b"], [*KEYS, KEYS[0]], LEDGER)
    assert (again.out_of_order, again.duplicated) == (0, 1)


def test_what_was_stored_in_another_order_is_out_of_order() -> None:
    """The other direction: two sends that the ledger has the other way round."""
    verdict = compare(["b", "a"], KEYS, LEDGER)
    assert (verdict.out_of_order, verdict.clean) == (1, False)


def test_the_clock_stops_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long nobody looks, no more than the limit passes; without a limit, all of it does."""
    real = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: real)
    clock = BoundedClock(0.25)
    began = clock()
    real += 60
    assert clock() - began == pytest.approx(0.25)
    clock.extend()
    real += 60
    assert clock() - began == pytest.approx(0.5)
    clock.unbind()
    real += 60
    assert clock() - began == pytest.approx(60.5)
