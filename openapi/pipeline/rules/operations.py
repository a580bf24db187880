"""Give every operation a name that is its own in the whole document."""

from __future__ import annotations

import re

from pipeline.document import Object, child, edit_operations, operations, text
from pipeline.rules.enums import keep_enum_members
from pipeline.rules.naming import free_name, identifier
from pipeline.rules.walk import Note, place, schemas_in, without

# Segments that begin every path of a service and tell nothing of an operation.
PREFIX = re.compile(r"api|v\d+(\.\d+)?", re.IGNORECASE)


def separate_operations(document: Object, note: Note) -> Object:
    """Rename operations whose operationId another one has, in whatever spelling: the last would replace the others."""
    first: dict[str, str] = {}
    names = [text(operation, "operationId") for _, _, operation in operations(document)]

    def change(label: str, operation: Object) -> Object:
        name = text(operation, "operationId")
        if not name or identifier(name) not in first:
            first[identifier(name)] = label
            return operation
        new = free_name(name, [*names, *first], identifier)
        note(f"the operationIds of {first[identifier(name)]} and {label} are the same: the second is now `{new}`")
        first[identifier(new)] = label
        return {**operation, "operationId": new}

    return edit_operations(document, change)


def give_up_names(document: Object, ours: set[str]) -> Object:
    """Take the operationIds that are ours from the document's own operations, to give them where they belong.

    Comes before the overlay, which pins them.
    """
    names = {identifier(name) for name in ours}

    def change(_label: str, operation: Object) -> Object:
        return without(operation, "operationId") if identifier(text(operation, "operationId")) in names else operation

    return edit_operations(document, change)


def name_operations(document: Object, note: Note) -> Object:
    """Name operations that have no operationId after their method and path.

    Comes after the overlay, which pins the names that we use.
    """
    taken = {identifier(text(operation, "operationId")) for _, _, operation in operations(document)}

    def change(label: str, operation: Object) -> Object:
        if text(operation, "operationId"):
            return operation
        method, _, path = label.partition(" ")
        short, full = made_name(method, path, short=True), made_name(method, path, short=False)
        name = short if identifier(short) not in taken else free_name(full, taken, identifier)
        taken.add(identifier(name))
        note(f"{label} has no operationId of its own: it is called `{name}`")
        return {**operation, "operationId": name}

    return edit_operations(document, change)


def made_name(method: str, path: str, *, short: bool) -> str:
    """Return a name for an operation: `GET /api/queue/info/{id}` is `getQueueInfoById`, `api` and version left out."""
    parts = [part for part in path.split("/") if part]
    while short and len(parts) > 1 and PREFIX.fullmatch(parts[0]):
        parts = parts[1:]
    words = (f"by-{part}" if "{" in part else part for part in parts)
    return method.lower() + ("".join(_pascal(word) for word in words) or "Root")


def _pascal(part: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in re.findall(r"[A-Za-z0-9]+", part))


def finish(document: Object, note: Note) -> Object:
    """Do what must wait for the overlay: name what it left unnamed, and tell what the generator will ignore."""
    document = keep_enum_members(document, note)
    for keys, schema in schemas_in(document):
        property_name = text(child(schema, "discriminator"), "propertyName")
        if property_name:
            note(f"{place(keys)}: the generator ignores the discriminator `{property_name}`")
    return name_operations(document, note)
