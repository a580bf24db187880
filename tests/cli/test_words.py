"""The small pure parts: fault rules, words, lines, the bounded clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import get_args

import pytest

from puzzel_chat import Author, Event, FileMessage, Option, OptionsMessage, Role, TextMessage, UnknownMessage
from puzzel_chat.cli._chat import parse_variables
from puzzel_chat.cli._demo import BoundedClock
from puzzel_chat.cli._output import CliError, clock_time, duration
from puzzel_chat.cli._sandbox import PLAIN, TIMED, parse_fault
from puzzel_chat.cli._ui import event_text
from puzzel_chat.sandbox import Fault
from puzzel_chat.sandbox._faults import Kind

EVIL = "\x1b]0;owned\x07\x1b[31mK\u202eari\x00"


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("poll:503:0.05", Fault.status(503, "pollConversation", rate=0.05)),
        ("any:429=3:x2", Fault.status(429, retry_after=3, times=2)),
        ("send:lost:x1", Fault.drop("sendMessage", after=True, times=1)),
        ("route:latency=0.5", Fault.latency(0.5, "routeConversation")),
        ("poll:bad-item:0.1:x3", Fault.bad_item(rate=0.1, times=3)),
    ],
)
def test_a_fault_rule_says_what_it_means(rule: str, fault: Fault) -> None:
    """The compact syntax makes the same fault as Python does."""
    assert parse_fault(rule) == fault


def test_every_kind_of_fault_has_a_word() -> None:
    """What the simulator can do wrong can be asked for on the command line."""
    plain = {make("*").kind for make in PLAIN.values()}
    timed = {make(1.0, "*").kind for make in TIMED.values()}
    assert plain | timed | {"status"} == set(get_args(Kind))


@pytest.mark.parametrize("rule", ["", "poll", "pol:503", "poll:99", "poll:sunshine", "poll:503:7", "poll:latency=x"])
def test_a_wrong_fault_rule_names_what_is_possible(rule: str) -> None:
    """A mistyped rule is a usage error that quotes the rule."""
    with pytest.raises(CliError, match="--fault"):
        parse_fault(rule)


def test_variables_are_names_and_values() -> None:
    """A value may hold an equals sign; a pair without one is a usage error."""
    assert parse_variables(["order=1", "query=a=b"]) == {"order": "1", "query": "a=b"}
    with pytest.raises(CliError, match="name=value"):
        parse_variables(["order"])


def test_nothing_of_the_service_steers_the_terminal() -> None:
    """Control and format characters of names, texts, files and types never reach the screen."""
    author = Author(role=Role.AGENT, name=EVIL)
    events: list[Event] = [
        TextMessage(conversation_id="c", id="1", author=author, text=EVIL),
        OptionsMessage(conversation_id="c", id="1", author=author, text=EVIL, options=(Option(id=EVIL, label=EVIL),)),
        FileMessage(conversation_id="c", id="1", author=author, file_name=EVIL, url=EVIL),
        UnknownMessage(conversation_id="c", id="1", author=author, type=EVIL),
    ]
    for event in events:
        shown = event_text(event)
        assert shown is not None
        assert all(letter.isprintable() or letter == "\n" for letter in shown.plain)


def test_durations_and_times_read_well() -> None:
    """Seconds, minutes and hours, and the date only when it is another day's."""
    assert [duration(s) for s in (0.4, 59, 60, 125, 3600, 4200)] == [
        "0 s",
        "59 s",
        "1 min",
        "2 min 5 s",
        "1 h",
        "1 h 10 min",
    ]
    now = datetime(2026, 11, 23, 12, tzinfo=UTC).astimezone()
    assert "2026" not in clock_time(now + timedelta(minutes=5), now)
    assert "2026" in clock_time(now + timedelta(days=1), now)


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
