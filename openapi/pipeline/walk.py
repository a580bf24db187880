"""Walk through a document by what its parts are, so that a rule meets schemas only and not what looks like one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias
from urllib.parse import unquote

from pipeline.document import Json, Object, child, items, rebuild_document, text

Note: TypeAlias = Callable[[str], None]
Keys: TypeAlias = "tuple[str | int, ...]"
Change: TypeAlias = Callable[[Keys, Object], Json]

# Where a schema holds one schema, and where a list of them.
ONE, MANY = ("items", "additionalProperties", "not"), ("allOf", "anyOf", "oneOf", "prefixItems")
UNIONS = ("anyOf", "oneOf")
SHARED = ("components", "schemas")
SCHEMAS = "#/components/schemas/"
HOPS = 20


def without(node: Object, *keys: str) -> Object:
    """Return a copy without the keys given."""
    return {key: value for key, value in node.items() if key not in keys}


def with_schemas(document: Object, schemas: Object) -> Object:
    """Return a copy with these shared schemas and no others."""
    return {**document, "components": {**child(document, "components"), "schemas": schemas}}


def edit_schemas(document: Object, change: Change) -> Object:
    """Return a copy in which every schema, innermost first, went through `change(keys, schema)`."""
    result = dict(document)
    if schemas := child(document, *SHARED):
        result = with_schemas(result, {name: _edited(one, (*SHARED, name), change) for name, one in schemas.items()})
    if "paths" in document:
        result["paths"] = _edit_holder(document["paths"], ("paths",), change)
    return result


def _edited(schema: Json, keys: Keys, change: Change) -> Json:
    if not isinstance(schema, dict):
        return schema
    return change(keys, {key: _edit_inside(key, value, (*keys, key), change) for key, value in schema.items()})


def _edit_inside(key: str, value: Json, keys: Keys, change: Change) -> Json:
    if key in MANY and isinstance(value, list):
        return [_edited(one, (*keys, index), change) for index, one in enumerate(value)]
    if key == "properties" and isinstance(value, dict):
        return {name: _edited(one, (*keys, name), change) for name, one in value.items()}
    return _edited(value, keys, change) if key in ONE else value


def _edit_holder(node: Json, keys: Keys, change: Change) -> Json:
    if isinstance(node, list):
        names = [text(child(one), "name") if "in" in child(one) else "" for one in node]
        return [_edit_holder(one, (*keys, names[index] or index), change) for index, one in enumerate(node)]
    if not isinstance(node, dict):
        return node
    return {
        key: (_edited if key == "schema" else _edit_holder)(value, (*keys, key), change) for key, value in node.items()
    }


def schemas_in(document: Object) -> list[tuple[Keys, Object]]:
    """Return every schema with the keys that lead to it, innermost first."""
    found: list[tuple[Keys, Object]] = []

    def keep(keys: Keys, schema: Object) -> Json:
        found.append((keys, schema))
        return schema

    edit_schemas(document, keep)
    return found


def resolve(document: Object, reference: str) -> Json:
    """Return what a `$ref` of this document points to, None when that is nothing."""
    node: Json = document if reference.startswith("#/") else None
    for name in steps(reference):
        if isinstance(node, list):
            node = {str(index): one for index, one in enumerate(node)}
        node = node.get(name) if isinstance(node, dict) else None
    return node


def steps(reference: str) -> list[str]:
    """Return the keys of a `$ref` of this document, as RFC 6901 reads a pointer in an address."""
    return [unquote(step).replace("~1", "/").replace("~0", "~") for step in reference.removeprefix("#/").split("/")]


def followed(document: Object, node: Json) -> Json:
    """Return what a reference leads to, with what stands beside it; a node that is no reference is itself."""
    for _ in range(HOPS):
        reference = child(node).get("$ref")
        target = resolve(document, reference) if isinstance(reference, str) else None
        if not isinstance(target, dict):
            return node
        node = {**target, **without(child(node), "$ref")}
    return node


def made_of(document: Object, schema: Json, *words: str) -> Iterator[Object]:
    """Yield a schema and all that the words given join it of, references followed, each once."""
    todo, seen = [schema], list[Json]()
    while todo:
        one = todo.pop(0)
        if one not in seen:
            seen.append(one)
            found = child(followed(document, one))
            yield found
            todo += [part for word in words for part in items(found.get(word))]


def kinds(schema: Object) -> list[Json]:
    """Return the types that a schema names, be it one or a list of them."""
    return items(schema.get("type")) or [schema.get("type")]


def point_to(document: Object, renamed: Mapping[Keys, str]) -> Object:
    """Return a copy in which references and mappings of discriminators lead to new places, however spelled."""

    def moved(reference: Json) -> Json:
        return renamed.get(tuple(steps(str(reference))), reference)

    def change(node: Object) -> Json:
        result: Object = {**node, "$ref": moved(node["$ref"])} if isinstance(node.get("$ref"), str) else node
        if "propertyName" in node and child(node, "mapping"):
            return {**result, "mapping": {key: moved(to) for key, to in child(node, "mapping").items()}}
        return result

    return rebuild_document(document, change)


def place(keys: Keys) -> str:
    """Return where something is, as a person would say it: a schema by name, the rest by its operation."""
    of_operation = f"{''.join(map(str, keys[2:3])).upper()} {keys[1]}"
    head = f"the schema {keys[2]}" if keys[:2] == SHARED else of_operation
    return f"{head} at {'/'.join(map(str, keys[3:]))}" if keys[3:] else head
