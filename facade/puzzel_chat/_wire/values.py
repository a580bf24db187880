"""Single JSON values, checked: a value of the wrong type becomes None, never a surprise further in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TypeVar

from puzzel_chat_api.types import Unset

_T = TypeVar("_T")
FOREVER = 1e9
"""Seconds (30 years) from which on a duration is nonsense."""


def text(value: object) -> str | None:
    """Give a string; half a character, which JSON can hold, becomes a question mark."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def text_or_empty(value: object) -> str | None:
    """Give a string, empty when the member is null or was left out; None for a value of the wrong type."""
    return "" if value is None or isinstance(value, Unset) else text(value)


def identity(value: object) -> str | None:
    """Give an id as a string; a number counts as one."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return text(value) or None


def whole(value: object) -> int | None:
    """Give a whole number of zero or more."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def seconds(value: object) -> float | None:
    """Give a number of seconds; a string of digits counts as one."""
    if isinstance(value, str):
        value = float(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < FOREVER else None


def flag(value: object) -> bool | None:
    """Give a boolean."""
    return value if isinstance(value, bool) else None


def when(value: object) -> datetime | None:
    """Give a moment with its time zone; one without is taken as UTC (assumed)."""
    if isinstance(value, str):
        value = _parsed_time(value)
    if not isinstance(value, datetime):
        return None
    try:
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
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


def named(table: Mapping[object, _T], value: object, otherwise: _T) -> _T:
    """Give the row for a wire value, or the row for everything unknown."""
    try:
        return table.get(value, otherwise)
    except TypeError:
        return otherwise
