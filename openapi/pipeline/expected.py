"""What a document expects of an operation's answer: its statuses, and the members of a success by their place and type.

A place is a JSON pointer in which `*` stands for the items of a list. `probe` compares with it what a service answers,
and a regeneration what a probe has found.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from pipeline.document import PLAIN, Json, Object, child, items, pointer, text
from pipeline.walk import UNIONS, followed, kinds

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
    types: dict[str, set[str]] = {}
    required: dict[str, None] = {}
    for response in [one for status, one in responses.items() if status.startswith("2")]:
        schema = child(followed(document, response), "content", PLAIN).get("schema")
        for place, found, always in _members(document, schema, "", ()):
            types.setdefault(place, set()).update(found)
            required.update({place: None} if always else {})
    reply = {place: " or ".join(sorted(found, key=ORDER.index)) for place, found in types.items()}
    return Expected(tuple(int(status) for status in responses if status.isdigit()), reply, tuple(required))


Above = tuple[str, ...]
"""The references that lead to a place; one that is met again on the way down is not gone into."""


def _members(document: Object, schema: Json, place: str, above: Above) -> Iterator[tuple[str, set[str], bool]]:
    """Yield the places below a schema, their types, and whether each is always there."""
    always = _always(document, schema, above)
    for node, within in _parts(document, schema, above):
        inside = [(pointer([name])[1:], one, name in always) for name, one in child(node, "properties").items()]
        inside += [("/*", node["items"], False)] if "items" in node else []
        for step, member, is_always in inside:
            yield place + step, _types(document, member), is_always
            yield from _members(document, member, place + step, within)


def _parts(document: Object, schema: Json, above: Above) -> Iterator[tuple[Object, Above]]:
    """Yield a schema and all that it is made of, each with the references that lead to it."""
    if name := text(child(schema), "$ref"):
        schema, above = ({} if name in above else followed(document, schema)), (*above, name)
    yield child(schema), above
    for part in [one for word in ("allOf", *UNIONS) for one in items(child(schema).get(word))]:
        yield from _parts(document, part, above)


def _always(document: Object, schema: Json, above: Above) -> set[str]:
    """Return the members that are there whichever branch of a union it is."""
    node, above = next(_parts(document, schema, above))
    found = {str(one) for one in items(node.get("required"))}
    found |= {name for part in items(node.get("allOf")) for name in _always(document, part, above)}
    for branches in [branches for word in UNIONS if (branches := items(node.get(word)))]:
        found |= set.intersection(*(_always(document, part, above) for part in branches))
    return found


def _types(document: Object, schema: Json) -> set[str]:
    found: set[str] = set()
    for node, _ in _parts(document, schema, ()):
        names = {one for one in kinds(node) if isinstance(one, str)}
        found |= names - set(map(str, items(node.get(TOLERATED))))
        found |= {"object"} if "properties" in node and not names else set()
    return found or {"any"}
