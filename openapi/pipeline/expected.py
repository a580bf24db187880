"""What a document expects of an operation's answer: its statuses, and the members of a success by their place and type.

A place is a JSON pointer in which `*` stands for the items of a list. `probe` compares with it what a service answers,
and a regeneration what a probe has found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from attrs import frozen

from pipeline.document import Json, Object, child, items, text
from pipeline.walk import UNIONS, followed

ORDER = ("object", "array", "string", "integer", "number", "boolean", "null", "any")
TOLERATED = "x-tolerated"
"""Types that a correction of ours lets through though the document does not expect them."""


@frozen
class Expected:
    """The documented statuses, the types of each place, and the places that are always there."""

    statuses: tuple[int, ...]
    reply: dict[str, str]
    required: tuple[str, ...]


def expected(document: Object, operation: Object) -> Expected:
    """Return what the document expects of an operation's answer; the successes are taken together."""
    responses = child(operation, "responses")
    kinds: dict[str, set[str]] = {}
    required: dict[str, None] = {}
    for status, response in responses.items():
        if status.startswith("2"):
            schema = child(followed(document, response), "content", "application/json").get("schema")
            for place, found, always in _members(document, schema, "", ()):
                kinds.setdefault(place, set()).update(found)
                required.update({place: None} if always else {})
    reply = {place: " or ".join(sorted(found, key=ORDER.index)) for place, found in kinds.items()}
    return Expected(tuple(int(status) for status in responses if status.isdigit()), reply, tuple(required))


Above: TypeAlias = "tuple[str, ...]"
"""The names of the schemas that a place lies in."""


def _members(document: Object, schema: Json, place: str, above: Above) -> Iterator[tuple[str, set[str], bool]]:
    """Yield the places below a schema, their types, and whether each is always there."""
    always = _always(document, schema, above)
    for node, within in _parts(document, schema, above):
        for name, member in child(node, "properties").items():
            where = f"{place}/{name.replace('~', '~0').replace('/', '~1')}"
            yield where, _kinds(document, member), name in always
            yield from _members(document, member, where, within)
        if "items" in node:
            yield f"{place}/*", _kinds(document, node["items"]), False
            yield from _members(document, node["items"], f"{place}/*", within)


def _parts(document: Object, schema: Json, above: Above) -> Iterator[tuple[Object, Above]]:
    """Yield a schema and all that it is made of; one that is met again on the way down is not gone into."""
    if name := text(child(schema), "$ref"):
        if name not in above:
            yield from _parts(document, followed(document, schema), (*above, name))
        return
    yield child(schema), above
    for word in ("allOf", *UNIONS):
        for part in items(child(schema).get(word)):
            yield from _parts(document, part, above)


def _always(document: Object, schema: Json, above: Above) -> set[str]:
    """Return the members that are there whichever branch of a union it is."""
    if name := text(child(schema), "$ref"):
        return set() if name in above else _always(document, followed(document, schema), (*above, name))
    node = child(schema)
    found = {one for one in items(node.get("required")) if isinstance(one, str)}
    for part in items(node.get("allOf")):
        found |= _always(document, part, above)
    for word in UNIONS:
        branches = [_always(document, part, above) for part in items(node.get(word))]
        found |= set.intersection(*branches) if branches else set()
    return found


def _kinds(document: Object, schema: Json) -> set[str]:
    found: set[str] = set()
    for node, _ in _parts(document, schema, ()):
        types = node.get("type")
        names = {one for one in (types if isinstance(types, list) else [types]) if isinstance(one, str)}
        found |= names - set(map(str, items(node.get(TOLERATED))))
        found |= {"object"} if "properties" in node and not names else set()
    return found or {"any"}
