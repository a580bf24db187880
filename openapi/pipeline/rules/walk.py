"""Walk through a document by what its parts are, so that a rule meets schemas only and not what looks like one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias
from urllib.parse import unquote

from pipeline.document import Json, Object, child, items, text

Note: TypeAlias = Callable[[str], None]
Rule: TypeAlias = Callable[[Object, Note], Object]
Keys: TypeAlias = "tuple[str | int, ...]"
Change: TypeAlias = Callable[[Keys, Object], Json]

# Where a schema holds schemas: one, a list of them, or a map by name.
ONE, MANY, NAMED = ("items", "additionalProperties", "not"), ("allOf", "anyOf", "oneOf", "prefixItems"), ("properties",)
UNIONS = ("anyOf", "oneOf")
NULL: Object = {"type": "null"}
SCHEMAS = "#/components/schemas/"
HOPS = 20


def without(node: Object, *keys: str) -> Object:
    """Return a copy without the keys given."""
    return {key: value for key, value in node.items() if key not in keys}


def edit_schemas(document: Object, change: Change) -> Object:
    """Return a copy in which every schema, innermost first, went through `change(keys, schema)`."""
    result = dict(document)
    schemas = child(document, "components", "schemas")
    if schemas:
        place = ("components", "schemas")
        edited: Object = {name: edit_schema(schema, (*place, name), change) for name, schema in schemas.items()}
        result["components"] = {**child(document, "components"), "schemas": edited}
    if "paths" in document:
        result["paths"] = _edit_holder(document["paths"], ("paths",), change)
    return result


def edit_schema(schema: Json, keys: Keys, change: Change) -> Json:
    """Return a copy of one schema in which it and every schema inside it went through `change`."""
    if not isinstance(schema, dict):
        return schema
    return change(keys, {key: _edit_inside(key, value, (*keys, key), change) for key, value in schema.items()})


def _edit_inside(key: str, value: Json, keys: Keys, change: Change) -> Json:
    if key in MANY and isinstance(value, list):
        return [edit_schema(one, (*keys, index), change) for index, one in enumerate(value)]
    if key in NAMED and isinstance(value, dict):
        return {name: edit_schema(one, (*keys, name), change) for name, one in value.items()}
    return edit_schema(value, keys, change) if key in ONE else value


def _edit_holder(node: Json, keys: Keys, change: Change) -> Json:
    if isinstance(node, list):
        return [_edit_holder(one, (*keys, _name(one) or index), change) for index, one in enumerate(node)]
    if not isinstance(node, dict):
        return node
    return {
        key: (edit_schema if key == "schema" else _edit_holder)(value, (*keys, key), change)
        for key, value in node.items()
    }


def _name(part: Json) -> str:
    return text(part, "name") if isinstance(part, dict) and "in" in part else ""


def schemas_in(document: Object) -> Iterator[tuple[Keys, Object]]:
    """Yield every schema with the keys that lead to it, innermost first."""
    found: list[tuple[Keys, Object]] = []

    def keep(keys: Keys, schema: Object) -> Json:
        found.append((keys, schema))
        return schema

    edit_schemas(document, keep)
    yield from found


def resolve(document: Object, reference: str) -> Json:
    """Return what a `$ref` of this document points to, None when that is nothing."""
    if not reference.startswith("#/"):
        return None
    node: Json = document
    for name in steps(reference):
        if isinstance(node, list):
            node = {str(index): one for index, one in enumerate(node)}.get(name)
        else:
            node = node.get(name) if isinstance(node, dict) else None
    return node


def steps(reference: str) -> list[str]:
    """Return the keys of a `$ref` of this document, as RFC 6901 reads a pointer in an address."""
    return [unquote(step).replace("~1", "/").replace("~0", "~") for step in reference.removeprefix("#/").split("/")]


def followed(document: Object, node: Json) -> Json:
    """Return what a reference leads to, with what stands beside it; a node that is no reference is itself."""
    for _ in range(HOPS):
        reference = node.get("$ref") if isinstance(node, dict) else None
        if not isinstance(node, dict) or not isinstance(reference, str):
            return node
        target = resolve(document, reference)
        if not isinstance(target, dict):
            return node
        node = {**target, **without(node, "$ref")}
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


def nullable(document: Object, schema: Json) -> bool:
    """Tell whether null is a value of the schema, in the words of OpenAPI 3.0 or 3.1."""
    return any(
        found.get("nullable") is True
        or "null" in (items(found.get("type")) or [found.get("type")])
        or None in items(found.get("enum"))
        for found in made_of(document, schema, *UNIONS)
    )


def never_null(document: Object, schema: Json, inside: tuple[Json, ...] = ()) -> Json:
    """Return the schema without null among its values; a reference to a nullable schema is written out for that.

    `inside` are the schemas around it, for one that is a part of itself is not written out without end.
    """
    if not isinstance(schema, dict) or schema in inside or not nullable(document, schema):
        return schema
    result = without(child(followed(document, schema)), "nullable")
    if isinstance(result.get("type"), list):
        kinds = [kind for kind in items(result["type"]) if kind != "null"]
        result["type"] = kinds[0] if len(kinds) == 1 else kinds
    if "enum" in result:
        result["enum"] = [value for value in items(result["enum"]) if value is not None]
    for union in UNIONS:
        if union in result:
            left = [never_null(document, one, (*inside, schema)) for one in items(result[union]) if one != NULL]
            alone = left[0] if len(left) == 1 and isinstance(left[0], dict) else None
            result = {**without(result, union), **alone} if alone is not None else {**result, union: left}
    return result


def place(keys: Keys) -> str:
    """Return where something is, as a person would say it: a schema by name, the rest by its operation."""
    if keys[:2] == ("components", "schemas"):
        head, rest = f"the schema {keys[2]}", keys[3:]
    elif keys[:1] == ("paths",) and len(keys) > 2:
        head, rest = f"{str(keys[2]).upper()} {keys[1]}", keys[3:]
    else:
        head, rest = "the document", keys
    return f"{head} at {'/'.join(map(str, rest))}" if rest else head
