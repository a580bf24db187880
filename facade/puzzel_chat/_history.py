"""Pure: what bot and customer said before a person was asked for, and how the agent gets to read it.

No page of the vendor tells how that is handed over. It is assumed that an agent sees the variables of a chat: the
history is one of them, named "history", and plain text, a line for each turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from attrs import field, fields_dict, frozen

from puzzel_chat._errors import InvalidArgument
from puzzel_chat._html import printable
from puzzel_chat._json import JsonValue
from puzzel_chat._models import Role

RoleName: TypeAlias = Literal["customer", "bot", "agent", "system"]
ROLES: Mapping[object, Role] = {one: role for role in Role if role is not Role.UNKNOWN for one in (role, role.value)}
LARGEST_HISTORY = 32_768
"""Bytes of JSON that a history may take: some 300 turns of a line each, more than an agent reads."""


def _role(given: Role | RoleName) -> Role:
    try:
        return ROLES[given]
    except (KeyError, TypeError):
        raise InvalidArgument("role", f"must be customer, bot, agent or system, not {given!r}") from None


@frozen
class Turn(JsonValue):
    """One thing that was said before a person was asked for: a part of the `history` of `start()` and `route()`.

    `role` is who said it ("customer", "bot", "agent" or "system"), `name` the name that goes with it. `at` is when,
    shown in the time zone that it has. Raises `InvalidArgument`, which names the field.
    """

    role: Role = field(converter=_role)
    """Who said it."""
    text: str = field(repr=False)
    """What was said."""
    at: datetime | None = None
    """When it was said."""
    name: str | None = field(default=None, repr=False)
    """The name of who said it."""

    def __attrs_post_init__(self) -> None:
        for what, kind in (("text", str), ("at", datetime | None), ("name", str | None)):
            if not isinstance(found := getattr(self, what), kind):
                wanted = "a datetime" if what == "at" else "a string"
                raise InvalidArgument(what, f"must be {wanted}, not {type(found).__name__}")

    def __str__(self) -> str:
        who = f"{self.name} ({self.role.value})" if self.name else self.role.value
        at = f"{self.at:%Y-%m-%d %H:%M %Z}".strip() + ", " if self.at else ""
        # On one line, or a customer could write a turn that the bot never said.
        return " ".join(printable(f"{at}{who}: {self.text}").split())


class TurnFields(TypedDict):
    """A `Turn` as a dict; `at` may be in ISO 8601, as `Turn.to_dict()` writes it."""

    role: Role | RoleName
    text: str
    at: NotRequired[datetime | str | None]
    name: NotRequired[str | None]


History: TypeAlias = Iterable[Turn | TurnFields]
"""What was said before, the oldest first."""


def as_turns(history: History | None) -> tuple[Turn, ...]:
    """Return turns, made from mappings of their fields if need be; raises `InvalidArgument`, which numbers the turn."""
    if history is None:
        return ()
    if isinstance(history, str | bytes | Mapping) or not isinstance(history, Iterable):
        told = f"must be a list of turns, such as Turn('customer', 'Hello'), not {type(history).__name__}"
        raise InvalidArgument("history", told)
    return tuple(_turn(number, given) for number, given in enumerate(history, 1))


def _turn(number: int, given: Any) -> Turn:
    if isinstance(given, Turn):
        return given
    if not isinstance(given, Mapping):
        raise InvalidArgument("history", f"turn {number} must be a Turn or a mapping, not {type(given).__name__}")
    known = fields_dict(Turn)
    if unknown := [name for name in given if name not in known]:
        told = f"turn {number} has no field {unknown[0]!r}; there are {', '.join(known)}"
        raise InvalidArgument("history", told)
    if lacking := [name for name in ("role", "text") if name not in given]:
        raise InvalidArgument("history", f"turn {number} lacks {lacking[0]}")
    try:
        return Turn.from_dict(given) if isinstance(given.get("at"), str) else Turn(**given)
    except InvalidArgument as error:
        raise InvalidArgument("history", f"turn {number}: {error}") from None


def for_the_agent(turns: Sequence[Turn], room: int) -> tuple[str, int]:
    """Return a history as the agent reads it, in so many bytes of JSON at most, and how many turns have no room there.

    Those are the oldest ones, and the first line tells how many they are. With no room at all, it is that line alone.
    """
    room -= _size(_left_out(len(turns)))
    lines: list[str] = []
    for line in map(str, reversed(turns)):
        room -= _size(line)
        if room < 0:
            break
        lines.append(line)
    left_out = len(turns) - len(lines)
    return "\n".join([_left_out(left_out)] * bool(left_out) + lines[::-1]), left_out


def _left_out(turns: int) -> str:
    return f"({turns} earlier turn{'s' * (turns != 1)} left out)"


def _size(line: str) -> int:
    return len(json.dumps(f"{line}\n")) - 2
