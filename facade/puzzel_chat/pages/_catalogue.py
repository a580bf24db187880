"""The catalogue of faults: what a form asks for each, read from the constructors of `Fault`, and what it makes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, get_type_hints

from attrs import frozen

from puzzel_chat.sandbox import Differences, Fault, Rule

from ._requests import Body, flag, inner, number, one_of, whole
from ._stream import Json

OPERATIONS = tuple(Differences().routes)
"""Every operationId of the contract."""
LONGEST = 3600.0
"""Seconds that a fault may last."""

READERS: Mapping[object, tuple[str, Callable[[Body, str], object]]] = {
    bool: ("flag", flag),
    int: ("status", lambda body, name: whole(body, name, 200, 599)),
    float: ("seconds", lambda body, name: number(body, name, 0.0, LONGEST)),
    float | datetime | None: (
        "maybe",
        lambda body, name: None if body.get(name) is None else number(body, name, 0.0, LONGEST),
    ),
}
"""How a form asks for a parameter, and how its value is read, by the parameter's type."""
WHEN: Mapping[str, Callable[[Body, str], object]] = {
    "rate": lambda body, name: number(body, name, 0.0, 1.0),
    "times": lambda body, name: whole(body, name, 1),
    "every": lambda body, name: whole(body, name, 1),
    "skip": whole,
}
"""How often a fault strikes."""
NEEDED: Mapping[str, object] = {"status": 500, "seconds": 1.0}
"""What stands in a form at first where the constructor has no default."""


@frozen
class Parameter:
    """A parameter of a constructor."""

    name: str
    asks: str
    default: object
    needed: bool
    read: Callable[[Body, str], object]


@frozen
class Maker:
    """A constructor of `Fault`; `operation` is its default, None where there is no choice."""

    name: str
    about: str
    operation: str | None
    parameters: tuple[Parameter, ...]
    make: Callable[..., Fault]

    @property
    def kind(self) -> str:
        """The kind of the faults that it makes."""
        return self.make(**{one.name: one.default for one in self.parameters}).kind

    def to_dict(self) -> Json:
        """Return what a form needs."""
        asked = [{"name": one.name, "asks": one.asks, "default": one.default} for one in self.parameters]
        told = {"name": self.name, "kind": self.kind, "about": self.about}
        return {**told, "operation": self.operation, "parameters": asked}


def _maker(name: str) -> Maker:
    make: Callable[..., Fault] = getattr(Fault, name)
    types, asked = get_type_hints(make), inspect.signature(make).parameters
    parameters = []
    for one in asked.values():
        if one.name != "operation" and one.kind is not inspect.Parameter.VAR_KEYWORD:
            asks, read = READERS[types[one.name]]
            needed = one.default is inspect.Parameter.empty
            default = NEEDED[asks] if needed else one.default
            parameters.append(Parameter(one.name, asks, default, needed, read))
    operation = asked["operation"].default if "operation" in asked else None
    return Maker(name, inspect.cleandoc(make.__doc__ or "").partition("\n\n")[0], operation, tuple(parameters), make)


MAKERS: Mapping[str, Maker] = {
    name: _maker(name)
    for name, member in vars(Fault).items()
    if isinstance(member, classmethod) and not name.startswith("_")
}
"""Every constructor of `Fault`, by its name; the class is asked, so that a new one has its form at once."""


def made(body: Body) -> Fault:
    """Return the fault that a form describes.

    Raises:
        ValueError: something in it is missing, unknown or out of bounds.

    """
    maker = MAKERS[one_of(body, "fault", MAKERS)]
    given, when = inner(body, "parameters"), inner(body, "when")
    known = {one.name for one in maker.parameters}
    if unknown := [*(given.keys() - known), *(when.keys() - WHEN.keys())]:
        raise ValueError(f"{maker.name} has no {unknown[0]}")
    values: dict[str, Any] = {
        one.name: one.read(given, one.name) for one in maker.parameters if one.needed or one.name in given
    }
    if maker.operation is not None and "operation" in body:
        values["operation"] = one_of(body, "operation", ("*", *OPERATIONS))
    return maker.make(**values, **{name: WHEN[name](when, name) for name in when})


def rule_json(rule: Rule) -> Json:
    """Return what is shown of a fault in force."""
    fault = rule.fault
    after = fault.retry_after
    return {
        "number": rule.number,
        "kind": fault.kind,
        "operation": fault.operation,
        "after": fault.after,
        "status": fault.status_code,
        "seconds": fault.seconds,
        "retryAfter": after.isoformat() if isinstance(after, datetime) else after,
        "page": fault.page,
        "rate": fault.rate,
        "times": fault.times,
        "every": fault.every,
        "skip": fault.skip,
        "struck": rule.struck,
        "spent": rule.spent,
    }


def plain_status(rule: Rule, operation: str) -> bool:
    """Whether a rule does nothing but answer this one operation with a status, once or until it is changed."""
    fault, code = rule.fault, rule.fault.status_code
    return fault in (Fault.status(code, operation), Fault.status(code, operation, times=1))
