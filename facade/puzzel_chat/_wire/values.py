"""Single values of the generated models, each by the type that the document gives it, and checked once more.

The generated models pass a value of the wrong type through, so at run time such a value becomes None.
The types are the document's: one that changes there is an error of the type checker at the line that reads it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Never, TypeAlias, TypeVar

from puzzel_chat_api.types import UNSET, Unset

_T = TypeVar("_T")
Absent: TypeAlias = "Unset | None"
FOREVER = 1e9
"""Seconds (30 years) from which on a duration is nonsense."""


def text(value: str | Absent) -> str | None:
    """Give a string; half a character, which JSON can hold, becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def text_or_empty(value: str | Absent) -> str | None:
    """Give a string, empty when the member is null or was left out; None for a value of the wrong type."""
    return "" if isinstance(value, Unset | None) else text(value)


def own_id(value: str | int) -> str | None:
    """Give the id that a thing must have, as a string; a number counts as one."""
    return identity(value)


def identity(value: str | int | Absent) -> str | None:
    """Give an id as a string, where there is one; a number counts as one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return (text(value) if isinstance(value, str) else None) or None


def whole(value: int | Absent) -> int | None:
    """Give a whole number of zero or more."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def seconds(value: float | Absent) -> float | None:
    """Give a number of seconds; a string of digits counts as one."""
    given: object = value
    if isinstance(given, str):
        given = float(given) if given.isascii() and given.isdigit() and len(given) < 10 else None
    if isinstance(given, bool) or not isinstance(given, int | float):
        return None
    return float(given) if 0 <= given < FOREVER else None


def flag(value: bool | Absent) -> bool | None:
    """Give a boolean."""
    return value if isinstance(value, bool) else None


def when(value: datetime | Absent) -> datetime | None:
    """Give a moment with its time zone; one without is taken as UTC (assumed)."""
    given: object = value
    if isinstance(given, str):
        given = _parsed_time(given)
    if not isinstance(given, datetime):
        return None
    try:
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    except OverflowError:
        return None


def _parsed_time(value: str) -> datetime | None:
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        pass
    # The tolerant parser reads the rest of ISO 8601; it is 80 times slower, and its import costs 10 ms.
    from dateutil.parser import isoparse

    try:
        return isoparse(value)
    except (ValueError, OverflowError):
        return None


def given(value: _T | None) -> _T | Unset:
    """Give a value to send, and nothing for None."""
    return UNSET if value is None else value


def new_to_us(_value: Never) -> None:
    """Take a value that the branches above leave over: for the type checker there is none, at run time it is new."""
