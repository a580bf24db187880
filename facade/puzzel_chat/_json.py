"""Values to JSON and back, derived from their fields: a class that inherits `JsonValue` writes nothing of its own.

A class with a `type` has it in its dict, and a field that may hold one of several such classes is read by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints

from attrs import NOTHING, fields

from puzzel_chat._errors import InvalidArgument

_NAMES = {str: "a string", int: "a whole number", float: "a number", bool: "true or false", Mapping: "an object"}


class JsonValue:
    """A value with a JSON form."""

    __slots__ = ()

    def __repr__(self) -> str:
        # One for all: attrs would compile one for each class, milliseconds of every import.
        kind: type[Any] = type(self)
        shown = (f"{one.name}={getattr(self, one.name)!r}" for one in fields(kind) if one.repr)
        return f"{kind.__name__}({', '.join(shown)})"

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict that `json.dumps` takes: times as ISO 8601 with their zone, enums as their values.

        This is the data, so nothing is hidden in it: names, words, secret variables and tokens are there.
        """
        kind: Any = type(self)
        told = {} if (tag := _tag(kind)) is None else {"type": tag}
        return told | {name: written(getattr(self, name)) for name in _types(kind)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the value that `to_dict` wrote; keys that are not known here, from a newer version, are ignored.

        Raises `InvalidArgument`, which names the field, for what does not fit.
        """
        found: Self = _value(cls, data, "")
        return found


def one_of(kinds: tuple[type[Any], ...], data: object, name: str = "") -> Any:
    """Return the value of that one of several classes whose `type` the data has; raises `InvalidArgument`."""
    by_tag = {_tag(kind): kind for kind in kinds}
    found = _object(data, name).get("type")
    if not isinstance(found, str) or found not in by_tag:
        raise InvalidArgument(_below(name, "type"), f"must be one of {', '.join(map(str, by_tag))}")
    return _value(by_tag[found], data, name)


def _tag(kind: type[Any]) -> str | None:
    return getattr(kind, "type", None)


@cache  # what a class says of its fields never changes
def _types(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}


def written(value: object) -> Any:
    """Return a value of a field as JSON has it."""
    if isinstance(value, JsonValue):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, tuple):
        return list(map(written, value))
    if isinstance(value, str):
        return str(value)  # of a secret, what it is
    return dict(value) if isinstance(value, Mapping) else value


def _value(kind: Any, data: object, name: str) -> Any:
    given, tag = _object(data, name), _tag(kind)
    if tag is not None and given.get("type", tag) != tag:
        raise InvalidArgument(_below(name, "type"), f"must be {tag}")
    types = _types(kind)
    missing = [one.name for one in fields(kind) if one.default is NOTHING and one.name not in given]
    if missing:
        raise InvalidArgument(_below(name, missing[0]), "is missing")
    return kind(**{one: _read(types[one], given[one], _below(name, one)) for one in types if one in given})


def _object(data: object, name: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise _misfit(Mapping, data, name or "data")
    return data


def _read(kind: Any, value: object, name: str) -> Any:
    choices = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    if value is None and NoneType in choices:
        return None
    kind, *others = (one for one in choices if one is not NoneType)
    if others:
        return one_of((kind, *others), value, name)
    if get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise InvalidArgument(name, f"must be a list, not {type(value).__name__}")
        return tuple(_read(get_args(kind)[0], one, f"{name}[{place}]") for place, one in enumerate(value))
    if get_origin(kind) is Mapping:
        return dict(_object(value, name))
    if issubclass(kind, JsonValue):
        return _value(kind, value, name)
    return _single(kind, value, name)


def _single(kind: type[Any], value: object, name: str) -> Any:
    if issubclass(kind, Enum):
        known = {one.value: one for one in kind}
        if not isinstance(value, str) or value not in known:
            raise InvalidArgument(name, f"must be one of {', '.join(known)}")
        return known[value]
    if kind is datetime:
        return _moment(value, name)
    kind = str if issubclass(kind, str) else kind
    wanted = int | float if kind is float else kind
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise _misfit(kind, value, name)
    return value


def _moment(value: object, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        raise InvalidArgument(name, "must be a time in ISO 8601, such as 2026-11-23T09:00:00+00:00")
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _misfit(kind: Any, value: object, name: str) -> InvalidArgument:
    return InvalidArgument(name, f"must be {_NAMES[kind]}, not {type(value).__name__}")


def _below(name: str, field: str) -> str:
    return f"{name}.{field}" if name else field
