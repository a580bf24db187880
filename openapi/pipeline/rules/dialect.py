"""Bring every way to write a schema to the one of OpenAPI 3.1, in the words that the generator reads."""

from __future__ import annotations

from pipeline.document import Json, Object, child, items, rebuild_document, text
from pipeline.rules.walk import MANY, NAMED, Keys, Note, edit_schemas, place, without

# Where null is a value; anywhere else it says nothing.
VALUES = ("const", "default", "example", "value")
# What holds parts by names that are the document's own.
OWN_NAMES = ("properties", "responses", "schemas")
NUMBERS = ("integer", "number")


def leave_out_nothing(document: Object, _note: Note) -> Object:
    """Leave out words whose value is null, which say nothing and are against the specification.

    Under a name that is the document's own, such as a status, it is a part of which nothing is said.
    """
    return child(_without_nothing(document))


def _without_nothing(node: Json, named: bool = False) -> Json:
    if isinstance(node, list):
        return [_without_nothing(one) for one in node]
    if not isinstance(node, dict):
        return node
    if named:
        return {name: {} if one is None else _without_nothing(one) for name, one in node.items()}
    said = {key: value for key, value in node.items() if value is not None or key in VALUES}
    return {key: _without_nothing(value, key in OWN_NAMES) for key, value in said.items()}


def read_extension_for_null(document: Object, _note: Note) -> Object:
    """Read `x-nullable`, as tools say in Swagger 2.0, as `nullable`."""

    def change(_keys: Keys, schema: Object) -> Json:
        if "x-nullable" not in schema:
            return schema
        return {"nullable": schema["x-nullable"], **without(schema, "x-nullable")}

    return edit_schemas(document, change)


def write_out_short_schemas(document: Object, note: Note) -> Object:
    """Write `true`, `false` and arrays without items as whole schemas: the generator reads no others."""

    def change(keys: Keys, schema: Object) -> Json:
        result: Object = {key: _written_out(key, value) for key, value in schema.items()}
        if schema.get("type") == "array" and "items" not in schema and "prefixItems" not in schema:
            note(f"{place(keys)}: the array does not say of what: it holds anything")
            result["items"] = {}
        return result

    return edit_schemas(document, change)


def _written_out(key: str, value: Json) -> Json:
    if key in ("items", "not"):
        return _whole(value)
    if key in MANY and isinstance(value, list):
        return [_whole(one) for one in value]
    if key in NAMED and isinstance(value, dict):
        return {name: _whole(one) for name, one in value.items()}
    return value


def _whole(schema: Json) -> Json:
    if not isinstance(schema, bool):
        return schema
    return {} if schema else {"not": {}}


def read_numbers_as_numbers(document: Object, note: Note) -> Object:
    """Take `string` from numbers that the framework also accepts as strings: it never sends them so."""

    def change(keys: Keys, schema: Object) -> Json:
        kinds = items(schema.get("type"))
        if "string" not in kinds or not any(kind in NUMBERS for kind in kinds) or "pattern" not in schema:
            return schema
        note(f"{place(keys)}: the number may also be written as a string: it is taken as a number")
        left = [kind for kind in kinds if kind != "string"]
        return {**without(schema, "pattern"), "type": left[0] if len(left) == 1 else left}

    return edit_schemas(document, change)


def keep_ids_as_strings(document: Object, _note: Note) -> Object:
    """Take `uuid` for what it is to a client, a string: one id of another form would make a whole reply unreadable."""

    def change(_keys: Keys, schema: Object) -> Json:
        return without(schema, "format") if schema.get("format") == "uuid" else schema

    return edit_schemas(document, change)


def admit_null_for_references(document: Object, _note: Note) -> Object:
    """Let an optional member that is a reference be null: the framework cannot say so in OpenAPI 3.0."""
    if not _is_30(document):
        return document

    def change(_keys: Keys, schema: Object) -> Json:
        required, members = items(schema.get("required")), child(schema, "properties")
        silent = [name for name, one in members.items() if "$ref" in child(one) and "nullable" not in child(one)]
        admitted: Object = {name: {**child(members[name]), "nullable": True} for name in silent if name not in required}
        return {**schema, "properties": {**members, **admitted}} if admitted else schema

    return edit_schemas(document, change)


def write_limits_as_numbers(document: Object, _note: Note) -> Object:
    """Turn the flags `exclusiveMinimum` and `exclusiveMaximum` of OpenAPI 3.0 into the numbers of 3.1."""
    return rebuild_document(document, _with_number_limits) if _is_30(document) else document


def _with_number_limits(node: Object) -> Json:
    for limit, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if not isinstance(node.get(flag), bool):
            continue
        exclusive = node[flag] is True and limit in node
        dropped = (limit, flag) if exclusive else (flag,)
        rest: Object = {key: value for key, value in node.items() if key not in dropped}
        node = {**rest, flag: node[limit]} if exclusive else rest
    return node


def write_null_as_type(document: Object, _note: Note) -> Object:
    """Turn `nullable` into the `null` type of OpenAPI 3.1, also beside a `$ref`, where 3.0 ignores it.

    The result is a 3.1 document, in which a `const` may tell the kinds of a message apart. Comes last: the
    other rules look for the words of 3.0.
    """
    result = rebuild_document(document, _with_null)
    return {**result, "openapi": "3.1.0"} if _is_30(document) else result


def _is_30(document: Object) -> bool:
    return text(document, "openapi").startswith("3.0.")


def _with_null(node: Object) -> Json:
    flag = node.get("nullable")
    if not isinstance(flag, bool):
        return node
    rest: Object = {key: value for key, value in node.items() if key != "nullable"}
    if not flag:
        return rest
    for union in ("anyOf", "oneOf"):
        if union in rest:
            return {**rest, union: [*items(rest[union]), {"type": "null"}]}
    if "$ref" in rest or "allOf" in rest:
        return _reference_or_null(rest)
    return _type_or_null(rest)


def _reference_or_null(schema: Object) -> Json:
    parts = items(schema.get("allOf"))
    inner: Json = {"$ref": schema["$ref"]} if "$ref" in schema else {"allOf": parts}
    if "$ref" not in schema and len(parts) == 1:
        inner = parts[0]
    rest: Object = {key: value for key, value in schema.items() if key not in ("$ref", "allOf", "type")}
    return {**rest, "anyOf": [inner, {"type": "null"}]}


def _type_or_null(schema: Object) -> Json:
    if not isinstance(schema.get("type"), str):
        return schema
    changed: Object = {key: ([value, "null"] if key == "type" else value) for key, value in schema.items()}
    if "enum" in changed and None not in items(changed["enum"]):
        changed["enum"] = [*items(changed["enum"]), None]
    return changed
