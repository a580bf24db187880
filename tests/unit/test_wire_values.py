"""Single values: each check takes its own type, and anything else is None."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from documents import also, fixed, values
from puzzel_chat._wire.values import WrongType, flag, identity, own_id, seconds, text, text_or_empty, when, whole
from puzzel_chat_api.types import UNSET

TAKEN: list[tuple[Callable[[Any], object], type, list[Any]]] = [
    (text, str, ["", "x"]),
    (whole, int, [0, 7]),
    (seconds, float, [0, 7, 1.5, "30"]),
    (flag, bool, [True, False]),
    (when, datetime, ["2026-11-23T12:00:00Z"]),
    (identity, str, ["x", 7, 0, -1]),
    (own_id, str, ["x", 7, 0, -1]),
]
REFUSED: list[tuple[Callable[[Any], object], list[Any]]] = [
    (text, [7, True, None, UNSET, [], {}, 1.5]),
    (whole, ["7", -1, True, None, 1.5, [], {}]),
    (seconds, ["x", -1, True, None, [], {}, float("nan"), float("inf"), "1.5", "²", 10**400]),
    (flag, [0, 1, "true", None, [], {}]),
    (when, [7, True, None, "", "soon", [], {}, "2026-13-01", "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"]),
    (identity, ["", None, UNSET, True, False, [], {}, 1.5]),
    (own_id, ["", None, UNSET, True, False, [], {}, 1.5]),
]


def test_a_value_of_its_own_form_is_taken() -> None:
    """Zero, false and the empty text are values, too."""
    for check, kind, good in TAKEN:
        assert all(type(check(value)) is kind for value in good), check


@fixed
@given(value=values)
@also(value=[bad for _, several in REFUSED for bad in several])
def test_a_value_of_another_form_is_none(value: Any) -> None:
    """Whatever JSON can hold, a check returns its type or None, and never raises."""
    for check, kind, _ in TAKEN:
        assert type(check(value)) in (kind, type(None))
    for check, several in REFUSED:
        assert check(value) is None or not any(value is bad for bad in several)


@fixed
@given(value=values)
def test_a_text_that_must_be_one_is_empty_when_missing(value: Any) -> None:
    """Only a missing value may be left out; one of another type makes its item unknown."""
    assert text_or_empty(None) == text_or_empty(UNSET) == ""
    if isinstance(value, str | None):
        assert text_or_empty(value) == (text(value) or "")
    else:
        with pytest.raises(WrongType):
            text_or_empty(value)


@pytest.mark.parametrize(
    "written",
    [
        "2026-11-23T12:00:00Z",
        "2026-11-23T13:00:00+01:00",
        "2026-11-23T12:00:00.0000000Z",
        "2026-11-23T12:00:00",
        "2026-11-23T12:00Z",
        "20261123T12Z",
        "2026-327T12:00Z",
    ],
)
def test_a_moment_is_read_in_every_spelling(written: Any) -> None:
    """Seven digits, offsets, no zone (it counts as UTC) and the number of the day are the same moment in UTC."""
    read = when(written)
    assert read == datetime(2026, 11, 23, 12, tzinfo=UTC)
    assert read.tzinfo is UTC


@pytest.mark.parametrize(
    ("written", "day"), [("2026", (2026, 1, 1)), ("2026-11", (2026, 11, 1)), ("2026-11-23T24:00:00Z", (2026, 11, 24))]
)
def test_forms_that_python_does_not_read_are_read(written: Any, day: tuple[int, int, int]) -> None:
    """ISO 8601 has years, months and midnight at the end of a day, which `fromisoformat` refuses."""
    assert when(written) == datetime(*day, tzinfo=UTC)
