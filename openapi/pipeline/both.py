"""Two documents side by side: what both have at the same place, however it is called, and how a place is said.

Only the operations that the facade uses count. Names are never guessed: where a reference leads in one document, there
it leads in the other.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeAlias

from attrs import frozen

from pipeline.carry import referred
from pipeline.document import Json, Object, child, items, operations, pointer, rebuild_document, text
from pipeline.judge import Row
from pipeline.provenance import MARK
from pipeline.walk import SCHEMAS, SHARED, UNIONS, resolve, without

ERROR = re.compile(r"(#/paths/[^/]+/[a-z]+)/responses/([45]\d\d|default)\b")
PART = re.compile(r"#/paths/[^/]+/[a-z]+")
FEW = 8
Call: TypeAlias = "tuple[str, str]"
"""A path and a method."""


class Weight(enum.IntEnum):
    """How much a change is a person's business."""

    LOOK = 0
    """It may break the facade and no type shows it: somebody looks, and then takes it."""
    READ = 1
    """No type shows it, but it stops nobody."""
    JUDGED = 2
    """It may break the facade, and the type checker says whether it does."""
    HARMLESS = 3
    """It adds something, or the generated client follows it."""


@frozen
class Change:
    """One change: what it is, where in the new document (in the old one when it is gone), and whom it concerns."""

    weight: Weight
    text: str
    place: str
    methods: tuple[str, ...] = ()


@frozen
class Both:
    """The operations that both documents have, at their places in the new one, with the methods that use them."""

    old: Object
    new: Object
    before: dict[str, Call]
    methods: dict[Call, str]

    def schemas(self, *, old: bool) -> Object:
        """Return the shared schemas of one of the two."""
        return child(self.old if old else self.new, *SHARED)

    @cached_property
    def users_before(self) -> dict[str, tuple[str, ...]]:
        """The schemas that the operations of the old document refer to, each with the methods of the facade."""
        return _users(self.old, self.methods)

    @cached_property
    def users(self) -> dict[str, tuple[str, ...]]:
        """The same of the new document."""
        return _users(self.new, self.methods)

    @cached_property
    def sent(self) -> set[str]:
        """The schemas that requests are made of."""
        parts = [child(self.new, "paths", *call) for call in self.methods]
        return referred([[one.get("requestBody"), one.get("parameters")] for one in parts], self.schemas(old=False))

    def concerned(self, place: str) -> tuple[str, ...]:
        """Return the methods of the facade that a place concerns: of its operation, or of all that refer to it."""
        keys = [step.replace("~1", "/").replace("~0", "~") for step in place.removeprefix("#/").split("/")]
        if keys[0] == "paths":
            found = [method for call, method in self.methods.items() if list(call) == keys[1:3]]
        elif place.startswith(SCHEMAS):
            users = self.users if keys[2] in self.schemas(old=False) else self.users_before
            found = list(users.get(keys[2], ()))
        else:
            found = list(self.methods.values())
        return tuple(dict.fromkeys(found))

    def say(self, weight: Weight, told: str, place: str) -> Change:
        """Return a change at a place, with the methods that it concerns."""
        return Change(weight, told, place, self.concerned(place))


def _users(document: Object, methods: Mapping[Call, str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for call, method in methods.items():
        for name in referred(child(document, "paths", *call), child(document, *SHARED)):
            found[name] = (*found.get(name, ()), method)
    return found


def common(old: Object, new: Object, table: Sequence[Row]) -> Both:
    """Return the used operations of both documents, the old one's moved to where the new one has them."""
    old, new = (rebuild_document(document, _without_null) for document in (old, new))
    before, after = calls(old), calls(new)
    rows = [row for row in table if row.operation in before and row.operation in after]
    paths: Object = {}
    for there, was in [(after[row.operation], before[row.operation]) for row in rows]:
        names = dict(zip(re.findall(r"\{(\w+)\}", was[0]), re.findall(r"\{(\w+)\}", there[0]), strict=False))
        operation = child(old, "paths", *was)
        parameters: list[Json] = [_renamed(child(one), names) for one in items(operation.get("parameters"))]
        moved: Object = {**operation, **({"parameters": parameters} if parameters else {})}
        paths[there[0]] = {**child(paths, there[0]), there[1]: moved}
    where = {row.operation: before[row.operation] for row in rows}
    return Both({**old, "paths": paths}, new, where, {after[row.operation]: row.used_by for row in rows})


def _without_null(node: Object) -> Object:
    """Return a reference that may be null as what it refers to: the types show the null."""
    for union in ("allOf", *UNIONS):
        branches = [one for one in items(node.get(union)) if one != {"type": "null"}]
        if len(branches) == 1:
            return {**without(node, union), **child(branches[0])}
    return node


def _renamed(parameter: Object, names: dict[str, str]) -> Object:
    name = text(parameter, "name")
    return {**parameter, "name": names.get(name, name)} if parameter.get("in") == "path" else parameter


def calls(document: Object) -> dict[str, Call]:
    """Return where each operation is."""
    return {text(one, "operationId"): (path, method) for path, method, one in operations(document)}


def paired(both: Both) -> Iterator[tuple[str, Object, Object]]:
    """Yield the parts that stand at the same place of both documents, with that place in the new one.

    Where a reference leads in one document, there it leads in the other, whatever the schemas are called.
    """
    todo: list[tuple[str, Object, Object]] = [
        (pointer(("paths", *call)), child(both.old, "paths", *call), child(both.new, "paths", *call))
        for call in both.methods
    ]
    seen: set[tuple[str, str]] = set()
    while todo:
        place, one, other = todo.pop(0)
        yield place, one, other
        references = text(one, "$ref"), text(other, "$ref")
        if all(references) and references not in seen:
            seen.add(references)
            todo.append(
                (references[1], child(resolve(both.old, references[0])), child(resolve(both.new, references[1])))
            )
        todo += _inner(place, one, other)


def _inner(place: str, one: Object, other: Object) -> Iterator[tuple[str, Object, Object]]:
    for key in [key for key in one if key in other and key != "servers" and not ERROR.match(f"{place}/{key}")]:
        pairs = [(key, one[key], other[key])]
        if isinstance(one[key], list):
            known = {key_of(part): part for part in items(one[key])}
            pairs = [(f"{key}/{n}", known.get(key_of(part)), part) for n, part in enumerate(items(other[key]))]
        for step, before, after in pairs:
            if isinstance(before, dict) and isinstance(after, dict):
                inner = step if isinstance(one[key], list) else step.replace("~", "~0").replace("/", "~1")
                yield f"{place}/{inner}", before, after


def key_of(part: Json) -> str:
    """Return what tells one part of a list from the others."""
    return " ".join(text(child(part), word) for word in ("in", "name", "$ref"))


def renamed(both: Both) -> dict[str, str]:
    """Return the schemas that are gone, each with the one that stands in its place."""
    found = ((schema_of(text(one, "$ref")), schema_of(text(other, "$ref"))) for _, one, other in paired(both))
    return {name: new for name, new in found if name and new and name not in both.schemas(old=False)}


def schema_of(place: str) -> str:
    """Return the name of the shared schema that a place is in, empty for any other place."""
    return place.removeprefix(SCHEMAS).partition("/")[0] if place.startswith(SCHEMAS) else ""


def gone(old: Object, new: Object, name: str, call: Call) -> str:
    """Say that an operation is gone, and where it is when that is near certain: else which operations are new."""
    known = set(calls(old).values())
    fresh = [one for one in calls(new).values() if one not in known]
    same = [one for one in fresh if _essence(one[0]) == _essence(call[0]) and (one[1] == call[1] or one[0] == call[0])]
    told = f"{shown(call)}, our `{name}`, is gone"
    if len(same) == 1:
        return f"{told}; it is {shown(same[0])}: pin it to $.paths['{same[0][0]}'].{same[0][1]}"
    return f"{told}; these are new: {few([shown(one) for one in fresh])}" if fresh else told


def _essence(path: str) -> str:
    """Return a path without what may differ when it is the same: case, version, names of ids, a slash at the end."""
    return re.sub(r"/v\d+(\.\d+)*(?=/)|/api(?=/)|/$", "", re.sub(r"\{[^}]*\}", "{}", path.lower()))


def kept(new: Object, names: Iterable[str], table: Sequence[Row]) -> Iterator[Change]:
    """Yield what is carried over of ours."""
    used = {row.operation: row.used_by for row in table}
    for name, call in [(name, calls(new)[name]) for name in names]:
        mark = text(child(new, "paths", *call), MARK)
        told = f"the document has no {shown(call)}; our `{name}` is carried over, still {mark}"
        yield Change(Weight.READ, told, pointer(("paths", *call)), (used[name],))


def new_operations(old: Object, new: Object) -> list[str]:
    """Return the operations that the old document did not have."""
    known = calls(old)
    return [shown(call) for name, call in calls(new).items() if name not in known and call not in known.values()]


def subject(place: str, node: Object) -> str:
    """Return what stands at a place as people say it, a parameter by its name."""
    if text(node, "in") and (part := PART.match(place)):
        return f"the {text(node, 'in')} parameter `{text(node, 'name')}` of {place_of(part[0])}"
    return place_of(place)


def place_of(place: str) -> str:
    """Return a place as people say it: the member of a schema, or the part of an operation."""
    words = [word.replace("~1", "/").replace("~0", "~") for word in place.removeprefix("#/").split("/")]
    if place.startswith(SCHEMAS):
        member = f"`{'.'.join(_members(words[2:]))}`"
        inside = {"properties": "every member of ", "items": "what is listed in "}
        return member if words[-2] == "properties" else f"{inside.get(words[-1], '')}{member}"
    if words[0] == "paths" and len(words) > 2:
        inner = [word for word in words[3:-1] if word not in ("schema", "properties", "content")]
        return " ".join([f"{words[2].upper()} {words[1]}", *inner, *words[3:][-1:]])
    return " ".join(words)


def _members(words: Sequence[str]) -> Iterator[str]:
    """Yield the names in the place of a member, without the words of the specification between them."""
    rest = iter(words)
    for word in rest:
        if word == "properties":
            yield from [name] if (name := next(rest, "")) else []
        elif word != "items":
            yield word


def shown(call: Call) -> str:
    """Return an operation as people write it."""
    return f"{call[1].upper()} {call[0]}"


def few(names: Sequence[str]) -> str:
    """Return the first of several names, and how many more there are."""
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")
