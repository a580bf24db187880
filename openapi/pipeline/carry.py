"""Carry operations of ours over that a new document lacks, marks and all, in a small document beside it.

The vendor's document stays as it came; what is ours lies in `assumed.json`, already normalised, and is put under
the document each time. An operation that the document has wins over ours.
"""

from __future__ import annotations

from collections.abc import Iterable

from pipeline.document import METHODS, Json, Object, child, objects
from pipeline.provenance import MARK
from pipeline.walk import SCHEMAS, SHARED, point_to

ASSUMED = "Assumed"
"""What the name of a schema of ours begins with where the document has another one of that name."""
CONNECT = "/connect/token"
"""The documented path of the token endpoint, which documents made by the vendor's framework often leave out."""


def select(document: Object, wanted: Iterable[tuple[str, str]]) -> Object:
    """Return a document with only those operations, given as path and method, and the schemas that they need."""
    paths: dict[str, Json] = {}
    for path, method in wanted:
        item = child(document, "paths", path)
        shared = {key: value for key, value in item.items() if key not in METHODS}
        paths[path] = {**shared, **child(paths.get(path)), method: item[method]}
    components = child(document, "components")
    schemas, locks = child(components, "schemas"), child(components, "securitySchemes")
    needed = referred(paths, schemas)
    kept: Object = {name: schema for name, schema in schemas.items() if name in needed}
    return {"paths": paths, "components": {"schemas": kept, "securitySchemes": locks}} if paths else {}


def referred(node: Json, schemas: Object) -> set[str]:
    """Return the names of the schemas that a part of a document refers to, and of those that these do."""
    todo, seen = [node], set[str]()
    while todo:
        # Every value and not only `$ref`: the kinds of a message hang on the mapping of a discriminator.
        found = [value for _, one in objects(todo.pop(), ()) for value in one.values() if isinstance(value, str)]
        names = {value.removeprefix(SCHEMAS) for value in found if value.startswith(SCHEMAS)}
        fresh = [name for name in schemas if name in names - seen]
        seen.update(fresh)
        todo += [schemas[name] for name in fresh]
    return seen


def missing(ours: Object, document: Object) -> list[tuple[str, str]]:
    """Return path and method of the operations of ours that the document lacks."""
    there = child(document, "paths")
    return [
        (path, method)
        for path, item in child(ours, "paths").items()
        for method in child(item)
        if method in METHODS and method not in child(there.get(path))
    ]


def put_under(document: Object, ours: Object) -> tuple[Object, tuple[str, ...]]:
    """Return the document with what it lacks of ours, and the names of the schemas that had to be renamed for it.

    A schema of the vendor's that has the name of one of ours, but says something else, keeps the name.
    """
    added = select(ours, missing(ours, document))
    taken = child(document, "components", "schemas")
    clashes = tuple(
        name
        for name, schema in child(added, "components", "schemas").items()
        if name in taken and _said(taken[name]) != _said(schema)
    )
    for name in clashes:
        added = _rename(added, name, ASSUMED + name)
    return (_merged(document, added), clashes) if added else (document, ())


def _merged(document: Object, added: Object) -> Object:
    paths: Object = {**child(document, "paths")}
    for path, item in child(added, "paths").items():
        paths[path] = {**child(item), **child(paths.get(path))}
    components: Object = {**child(document, "components")}
    for kind, entries in child(added, "components").items():
        theirs = child(components.get(kind))
        components[kind] = {**theirs, **{name: one for name, one in child(entries).items() if name not in theirs}}
    return {**document, "paths": paths, "components": components}


def _said(schema: Json) -> Object:
    return {key: value for key, value in child(schema).items() if not key.startswith(MARK)}


def _rename(document: Object, old: str, new: str) -> Object:
    document = point_to(document, {(*SHARED, old): SCHEMAS + new})
    components = child(document, "components")
    schemas: Object = {(new if name == old else name): one for name, one in child(components, "schemas").items()}
    return {**document, "components": {**components, "schemas": schemas}}
