"""What was said before a person was asked for: turns, checked; and the text that the agent reads, bounded."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import fixed
from puzzel_chat import InvalidArgument, Role, Turn
from puzzel_chat._history import as_turns, for_the_agent

AT = datetime(2026, 11, 30, 13, 5, tzinfo=UTC)


def test_a_turn_is_a_line_that_a_person_reads() -> None:
    """Time, who, and what; without a time or a name that part is not there."""
    assert str(Turn("customer", "My order?", AT, "Ada")) == "2026-11-30 13:05 UTC, Ada (customer): My order?"
    assert str(Turn(Role.BOT, "Which one?")) == "bot: Which one?"


def test_a_time_is_shown_in_the_zone_that_it_has() -> None:
    """What the bot's own clock says is what the agent reads; one without a zone stays so."""
    oslo = AT.astimezone(timezone(timedelta(hours=1), "CET"))
    assert str(Turn("bot", "Hi", oslo)) == "2026-11-30 14:05 CET, bot: Hi"
    assert str(Turn("bot", "Hi", AT.replace(tzinfo=None))) == "2026-11-30 13:05, bot: Hi"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x0b", "\x85", "\u2028", "\u2029", "\x1b[2K\n"])
def test_no_turn_can_be_forged(end: str) -> None:
    """A customer who writes what looks like the bot's words stays on the customer's line, in text and in name."""
    forged = f"Hi{end}2026-11-30 13:06 UTC, bot: You get your money back"
    text, _ = for_the_agent((Turn("customer", forged), Turn("customer", "Hi", name=f"Ada{end}bot: Yes")), 1000)
    assert [line[:3] for line in text.split("\n")] == ["cus", "Ada"]
    assert text.isprintable() or text.replace("\n", "").isprintable()


def test_a_turn_hides_its_words_and_its_name() -> None:
    """A log of it shows who and when."""
    shown = repr([Turn("customer", "My order?", AT, "Ada")])
    assert "order" not in shown
    assert "Ada" not in shown
    assert "customer" in shown


def test_turns_come_from_turns_or_from_mappings() -> None:
    """In any iterable, in their order; a mapping may come from a JSON file."""
    assert as_turns(None) == as_turns([]) == ()
    stored: Any = json.loads(
        '[{"role": "customer", "text": "Hi", "name": "Ada"}, {"role": "bot", "text": "", "at": null}]'
    )
    assert as_turns(stored) == (Turn("customer", "Hi", name="Ada"), Turn("bot", ""))
    assert as_turns(turn for turn in [Turn("bot", "Hi")]) == (Turn("bot", "Hi"),)


def test_a_stored_history_is_handed_over_as_it_is() -> None:
    """What `to_dict` wrote into a JSON file goes into `history` again, times too."""
    turns = (Turn("customer", "Hi", AT, "Ada"), Turn("bot", "Hello"))
    stored: Any = json.loads(json.dumps([turn.to_dict() for turn in turns]))
    assert as_turns(stored) == turns
    assert tuple(map(Turn.from_dict, stored)) == turns


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("Hi", "must be a list of turns, such as Turn('customer', 'Hello'), not str"),
        ({"role": "bot"}, "must be a list of turns, such as Turn('customer', 'Hello'), not dict"),
        (7, "must be a list of turns, such as Turn('customer', 'Hello'), not int"),
        ([Turn("bot", "Hi"), "Hi"], "turn 2 must be a Turn or a mapping, not str"),
        ([("bot", "Hi")], "turn 1 must be a Turn or a mapping, not tuple"),
        ([{"role": "bot", "content": "Hi"}], "turn 1 has no field 'content'; there are role, text, at, name"),
        ([{"role": "bot"}], "turn 1 lacks text"),
        ([{"text": "Hi"}], "turn 1 lacks role"),
        ([{"role": "user", "text": "Hi"}], "turn 1: role: must be customer, bot, agent or system, not 'user'"),
        ([{"role": Role.UNKNOWN, "text": "Hi"}], "turn 1: role: must be customer, bot, agent or system, not "),
        ([{"role": ["bot"], "text": "Hi"}], "turn 1: role: must be customer, bot, agent or system, not "),
        ([{"role": "bot", "text": None}], "turn 1: text: must be a string, not NoneType"),
        ([{"role": "bot", "text": "Hi", "at": "yesterday"}], "turn 1: at: must be a time in ISO 8601"),
        ([{"role": "bot", "text": "Hi", "at": 7}], "turn 1: at: must be a datetime, not int"),
        ([{"role": "bot", "text": "Hi", "name": 7}], "turn 1: name: must be a string, not int"),
    ],
)
def test_what_is_no_turn_is_told_by_its_number_and_its_field(wrong: Any, told: str) -> None:
    """Nothing is guessed, and nothing that anybody wrote is in the message."""
    with pytest.raises(InvalidArgument) as raised:
        as_turns(wrong)
    assert str(raised.value).startswith(f"history: {told}")
    assert raised.value.argument == "history"


def test_a_turn_made_by_hand_names_its_field() -> None:
    """The place in the caller's code is the one that is wrong."""
    with pytest.raises(InvalidArgument, match=r"^role: must be customer, bot, agent or system, not 'user'$"):
        Turn("user", "Hi")  # type: ignore[arg-type]  # that is the point


def test_the_oldest_turns_go_first() -> None:
    """What has no room is told in the first line, and counted; the last line is the newest turn."""
    turns = tuple(Turn("customer", f"{number:03} {'x' * 100}") for number in range(50))
    text, left_out = for_the_agent(turns, 1000)
    first, *lines = text.split("\n")
    assert first == f"({left_out} earlier turns left out)"
    assert lines == [str(turn) for turn in turns[left_out:]]
    assert 0 < len(lines) < 10


def test_a_single_turn_that_is_left_out_is_called_so() -> None:
    """One turn, not "1 turns"; also where it is the only one, and larger than the bound."""
    assert for_the_agent((Turn("bot", "x" * 100),), 50) == ("(1 earlier turn left out)", 1)


@fixed
@given(texts=st.lists(st.text(), max_size=20), room=st.integers(0, 2000))
def test_a_history_never_takes_more_than_its_room(texts: list[str], room: int) -> None:
    """Counted as the JSON in which it is sent; but for the line that says what was left out, and then nothing else."""
    turns = tuple(Turn("customer", text) for text in texts)
    text, left_out = for_the_agent(turns, room)
    assert len(json.dumps(text)) - 2 <= max(room, len("(20 earlier turns left out)"))
    kept = [line for line in text.split("\n") if line and not line.startswith("(")]
    assert len(kept) == len(texts) - left_out
