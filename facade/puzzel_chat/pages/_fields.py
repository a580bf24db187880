"""Fields of a request's body, each checked; what is wrong with one is a ValueError that says it in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf, isfinite
from typing import Any, TypeVar

Body = Mapping[str, Any]
Choice = TypeVar("Choice", bound=str)


def flag(body: Body, name: str) -> bool:
    """Return true or false."""
    value = body.get(name)
    if value is not True and value is not False:
        raise ValueError(f"{name} must be true or false")
    return value


def number(body: Body, name: str, lowest: float = 0.0, highest: float = inf) -> float:
    """Return a number, within its bounds."""
    value = body.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{name} must be a number")
    if not lowest <= value <= highest:
        upper = "" if highest == inf else f" and at most {highest:g}"
        raise ValueError(f"{name} must be at least {lowest:g}{upper}")
    return float(value)


def whole(body: Body, name: str, lowest: int = 0, highest: float = inf) -> int:
    """Return a whole number, within its bounds."""
    value = number(body, name, lowest, highest)
    if value != int(value):
        raise ValueError(f"{name} must be a whole number")
    return int(value)


def one_of(body: Body, name: str, choices: Iterable[Choice]) -> Choice:
    """Return a text that is one of several."""
    known = list(choices)
    found = next((one for one in known if one == body.get(name)), None)
    if found is None:
        raise ValueError(f"{name} must be one of {', '.join(known)}")
    return found


def inner(body: Body, name: str) -> Body:
    """Return an object within the body, an empty one where there is none."""
    return an_object(body.get(name, {}), name)


def an_object(value: object, name: str) -> Body:
    """Return a value that is an object."""
    if isinstance(value, dict):
        return value
    raise ValueError(f"{name} must be an object")
