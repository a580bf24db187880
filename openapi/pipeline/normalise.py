"""Take the habits of the vendor's framework out of a document, one trap of the generator per function.

Every rule takes a whole document and returns a new one, keeps the order of keys, and leaves a document
without its trap alone. The order of `RULES` matters only where a rule says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

from pipeline.document import Json, Object, child, edit_operations, items, rebuild_document, text

PROBLEM, PLAIN = "application/problem+json", "application/json"
SCHEMAS = "#/components/schemas/"
MEMBERS = ("required", "type", "properties", "additionalProperties")


def keep_json_responses(document: Object) -> Object:
    """Leave one JSON type per response: the generator takes the first, and here that is `text/plain`."""

    def change(_path: str, operation: Object) -> Object:
        if "responses" not in operation:
            return operation
        replies = child(operation, "responses").items()
        return {**operation, "responses": {status: _one_type(reply, PROBLEM) for status, reply in replies}}

    return edit_operations(document, change)


def keep_json_requests(document: Object) -> Object:
    """Leave one JSON type per request: with several, the generator would send `application/*+json`."""

    def change(_path: str, operation: Object) -> Object:
        if "requestBody" not in operation:
            return operation
        return {**operation, "requestBody": _one_type(operation["requestBody"], PLAIN)}

    return edit_operations(document, change)


def _one_type(holder: Json, first: str) -> Json:
    content = child(holder, "content")
    if not isinstance(holder, dict) or not content:
        return holder
    for name in (first, PLAIN):
        if name in content:
            return {**holder, "content": {name: content[name]}}
    other = next((name for name in content if re.search(r"[/+]json\b", name)), None)
    return {**holder, "content": {PLAIN: content[other]}} if other else holder


def repeat_security(document: Object) -> Object:
    """Write the document's security on every operation: the generator reads it only there."""
    if "security" not in document:
        return document
    default = document["security"]

    def change(_path: str, operation: Object) -> Object:
        return operation if "security" in operation else {**operation, "security": default}

    return edit_operations(document, change)


def match_path_parameters(document: Object) -> Object:
    """Spell path parameters as the path does, required and never null: else their endpoint is dropped."""

    def change(path: str, operation: Object) -> Object:
        if "parameters" not in operation:
            return operation
        spelling = {name.lower(): name for name in re.findall(r"\{([^}]+)\}", path)}
        parameters = [_path_parameter(one, spelling) for one in items(operation["parameters"])]
        return {**operation, "parameters": parameters}

    return edit_operations(document, change)


def _path_parameter(parameter: Json, spelling: dict[str, str]) -> Json:
    if not isinstance(parameter, dict) or parameter.get("in") != "path":
        return parameter
    name = text(parameter, "name")
    schema: Object = {key: value for key, value in child(parameter, "schema").items() if key != "nullable"}
    return {**parameter, "name": spelling.get(name.lower(), name), "required": True, "schema": schema}


def name_enum_members(document: Object) -> Object:
    """Rename `x-enumNames`, which the generator does not read, to `x-enum-varnames`, which it does."""

    def change(node: Object) -> Json:
        if "x-enumNames" not in node or "enum" not in node or "x-enum-varnames" in node:
            return node
        return {("x-enum-varnames" if key == "x-enumNames" else key): value for key, value in node.items()}

    return rebuild_document(document, change)


def merge_inheritance(document: Object) -> Object:
    """Copy the members of a discriminated base into each child, so that a child stands alone.

    By the letter nothing ever matches such a child: its base says `additionalProperties: false`.
    """
    schemas = child(document, "components", "schemas")
    bases = {SCHEMAS + name: child(one) for name, one in schemas.items() if "discriminator" in child(one)}
    merged: Object = {name: _merge_child(schema, bases) for name, schema in schemas.items()}
    if merged == schemas:
        return document
    return {**document, "components": {**child(document, "components"), "schemas": merged}}


def _merge_child(schema: Json, bases: dict[str, Object]) -> Json:
    if not isinstance(schema, dict):
        return schema
    parts = [child(part) for part in items(schema.get("allOf"))]
    if not any(text(part, "$ref") in bases for part in parts):
        return schema
    result: Object = {}
    for part in [*parts, {key: value for key, value in schema.items() if key != "allOf"}]:
        base = bases.get(text(part, "$ref"))
        result = _merge_members(result, _inherited(base) if base else part)
    return result


def _inherited(base: Object) -> Object:
    return {key: base[key] for key in ("required", "type", "properties") if key in base}


def _merge_members(left: Object, right: Object) -> Object:
    merged: Object = {**left, **right}
    if "properties" in merged:
        merged["properties"] = {**child(left, "properties"), **child(right, "properties")}
    if "required" in merged:
        both = [*items(left.get("required")), *items(right.get("required"))]
        merged["required"] = cast("list[Json]", list(dict.fromkeys(map(str, both))))
    return merged


def move_members_into_all_of(document: Object) -> Object:
    """Move members that stand beside `allOf` into it: the generator reads a lone reference and drops the rest.

    Comes after `merge_inheritance`, which knows more about the children of a discriminated base.
    """

    def change(node: Object) -> Json:
        if not isinstance(node.get("allOf"), list) or "properties" not in node:
            return node
        own: Object = {key: node[key] for key in MEMBERS if key in node}
        rest: Object = {key: value for key, value in node.items() if key not in MEMBERS}
        return {**rest, "allOf": [*items(node["allOf"]), own]}

    return rebuild_document(document, change)


def write_limits_as_numbers(document: Object) -> Object:
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


def write_null_as_type(document: Object) -> Object:
    """Turn `nullable` into the `null` type of OpenAPI 3.1, also beside a `$ref`, where 3.0 ignores it.

    The result is a 3.1 document, in which a `const` may tell the kinds of a message apart. Comes last: the
    other rules look for the words of 3.0.
    """
    return {**rebuild_document(document, _with_null), "openapi": "3.1.0"} if _is_30(document) else document


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


RULES: tuple[Callable[[Object], Object], ...] = (
    keep_json_responses,
    keep_json_requests,
    repeat_security,
    match_path_parameters,
    name_enum_members,
    merge_inheritance,
    move_members_into_all_of,
    write_limits_as_numbers,
    write_null_as_type,
)


def normalise(document: Object) -> Object:
    """Apply every rule in order and return the new document."""
    for rule in RULES:
        document = rule(document)
    return document
