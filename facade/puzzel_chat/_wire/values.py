"""Single values of the generated models: each has the document's type, and is checked once more.

The generated models let a value of a wrong type through; here it becomes None. The parameters have the document's
types, so that the type checker finds the line that reads a field whose type changes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Never, TypeAlias, TypeVar

from puzzel_chat_api.types import UNSET, Unset

_T = TypeVar("_T")
Absent: TypeAlias = "Unset | None"
FOREVER = 1e9
"""Durations from here on (30 years, in seconds) are nonsense."""


class WrongType(Exception):
    """A value without which its item means nothing has a wrong type."""


def text(value: str | Absent) -> str | None:
    """Return a string; lone surrogates, which JSON can hold, become `?`."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def text_or_empty(value: str | Absent) -> str:
    """Return a string, empty when it is null or missing; raises `WrongType` for any other type."""
    if (found := "" if isinstance(value, Unset | None) else text(value)) is None:
        raise WrongType
    return found


def own_id(value: str | int) -> str | None:
    """Return an id that is always there, as a string; a number counts as one."""
    if isinstance(value, str):
        return text(value) or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def identity(value: str | int | Absent) -> str | None:
    """Return an id that may be missing, as `own_id` does."""
    return None if isinstance(value, Unset | None) else own_id(value)


def whole(value: int | Absent) -> int | None:
    """Return a whole number of zero or more."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def seconds(value: float | Absent) -> float | None:
    """Return a number of seconds; a string of digits counts as one."""
    found: object = value
    if isinstance(found, str):
        found = float(found) if found.isascii() and found.isdigit() and len(found) < 10 else None
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 <= found < FOREVER else None


def flag(value: bool | Absent) -> bool | None:
    """Return a boolean."""
    return value if isinstance(value, bool) else None


def when(value: datetime | Absent) -> datetime | None:
    """Return a moment in UTC; one without a time zone is taken as UTC."""
    found: object = value
    if isinstance(found, str):
        found = _moment(found)
    if not isinstance(found, datetime):
        return None
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError:
        return None


def _moment(written: str) -> datetime | None:
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        pass
    # dateutil reads the forms of ISO 8601 that `fromisoformat` does not, such as 2026-11 and 2026-11-23T24:00.
    # It is imported only when one comes: the import takes 10 ms.
    from dateutil.parser import isoparse

    try:
        return isoparse(written)
    except (ValueError, OverflowError):
        return None


def given(value: _T | None) -> _T | Unset:
    """Return a value to send; None is left out."""
    return UNSET if value is None else value


def new_to_us(_value: Never) -> None:
    """Accept a value that the service added later: for the type checker, the branches of a `match` cover all."""
