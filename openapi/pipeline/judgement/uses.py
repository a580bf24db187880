"""What the facade takes from the generated client, as values: which class, field or member, and on which line."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import field, frozen

How: TypeAlias = Literal["read", "write", "member", "class"]


@frozen(order=True)
class Place:
    """A line of a file, as a person in the top folder would type it."""

    file: str
    line: int

    def __str__(self) -> str:
        """Return `file line N`."""
        return f"{self.file} line {self.line}"


@frozen
class Use:
    """One thing that the facade takes from a generated class.

    `how`: a field is read or written, a member of an enumeration is named, or the class itself is. `reader` is the
    function of the facade that a read value goes to directly; `always` is False where a written field may be left out.
    """

    owner: str
    name: str
    how: How
    place: Place
    reader: str = ""
    always: bool = True


@frozen
class Row:
    """One endpoint of the facade's table: its operationId, the method of the facade that needs it, what it is given.

    `levels` is how deep a reply is looked into by names on the wire: the reply itself, and the items of its lists.
    `host` is the one of the two services that it is sent to.
    """

    operation: str
    used_by: str
    place: Place
    parameters: frozenset[str] = frozenset()
    levels: int = 2
    host: str = "communication"


@frozen
class Uses:
    """Everything that the facade takes, and what the type checker objects to.

    `imports` are the modules of the client with the lines that import them, `strings` those that the wire layer holds,
    `keys` those of them that it looks something up with; `scopes` says of a line which operations its function is for.
    """

    rows: tuple[Row, ...]
    uses: tuple[Use, ...]
    imports: dict[str, Place] = field(factory=dict)
    strings: dict[str, tuple[Place, ...]] = field(factory=dict)
    keys: dict[str, tuple[Place, ...]] = field(factory=dict)
    scopes: dict[Place, frozenset[str]] = field(factory=dict)
    errors: tuple[tuple[Place, str], ...] = ()

    def of(self, owner: str, name: str | None = None) -> list[Use]:
        """Return the uses of a class, or of one of its fields or members."""
        return [use for use in self.uses if use.owner == owner and name in (None, use.name)]
