"""Write inheritance so that each class stands alone."""

from __future__ import annotations

from typing import cast

from pipeline.document import Json, Object, child, items, rebuild_document
from pipeline.rules.walk import Note, followed, without

INHERITED = ("required", "type", "properties")
MEMBERS = (*INHERITED, "additionalProperties")


def merge_inheritance(document: Object, _note: Note) -> Object:
    """Copy the members of a discriminated base into each child, so that a child stands alone.

    By the letter nothing ever matches such a child: its base says `additionalProperties: false`.
    """
    schemas = child(document, "components", "schemas")
    merged: Object = {name: _merge_child(document, schema) for name, schema in schemas.items()}
    if merged == schemas:
        return document
    return {**document, "components": {**child(document, "components"), "schemas": merged}}


def _merge_child(document: Object, schema: Json) -> Json:
    bases = [followed(document, part) for part in items(child(schema).get("allOf")) if "$ref" in child(part)]
    return _whole(document, child(schema)) if any("discriminator" in child(base) for base in bases) else schema


def _whole(document: Object, schema: Object, inside: tuple[Json, ...] = ()) -> Object:
    """Return a schema with the members of its parts, and of theirs, written into it."""
    result: Object = {}
    for part in items(schema.get("allOf")):
        if part in inside:  # It is a part of itself.
            continue
        whole = _whole(document, child(followed(document, part)), (*inside, part))
        inherited: Object = {key: whole[key] for key in INHERITED if key in whole}
        result = _merge_members(result, inherited if "$ref" in child(part) else whole)
    return _merge_members(result, without(schema, "allOf"))


def _merge_members(left: Object, right: Object) -> Object:
    merged: Object = {**left, **right}
    if "properties" in merged:
        merged["properties"] = {**child(left, "properties"), **child(right, "properties")}
    if "required" in merged:
        both = [*items(left.get("required")), *items(right.get("required"))]
        merged["required"] = cast("list[Json]", list(dict.fromkeys(map(str, both))))
    return merged


def move_members_into_all_of(document: Object, _note: Note) -> Object:
    """Move members that stand beside `allOf` into it: the generator reads a lone reference and drops the rest.

    Comes after `merge_inheritance`, which knows more about the children of a discriminated base.
    """

    def change(node: Object) -> Json:
        if not isinstance(node.get("allOf"), list) or not ("properties" in node or items(node.get("required"))):
            return node
        own: Object = {key: node[key] for key in MEMBERS if key in node}
        return {**without(node, *MEMBERS), "allOf": [*items(node["allOf"]), own]}

    return rebuild_document(document, change)


def name_kinds(document: Object, _note: Note) -> Object:
    """Interim."""
    schemas = child(document, "components", "schemas")
    for base, schema in list(schemas.items()):
        told = child(schema, "discriminator")
        name, mapping = told.get("propertyName"), child(told, "mapping")
        if not isinstance(name, str) or not mapping:
            continue
        kind = f"{base}{name[:1].upper()}{name[1:]}"
        marks: Object = {key: value for key, value in child(schema).items() if key.startswith("x-provenance")}
        ref: Object = {"anyOf": [{"$ref": f"#/components/schemas/{kind}"}, {"type": "null"}]}
        new = without(child(schema), "discriminator")
        new["properties"] = {**child(new, "properties"), name: ref}
        new["required"] = [one for one in items(new.get("required")) if one != name]
        schemas = {**schemas, base: new, kind: {"type": "string", "enum": list(mapping), **marks}}
        for key, target in mapping.items():
            short = str(target).rpartition("/")[2]
            one = child(schemas, short)
            schemas[short] = {**one, "properties": {**child(one, "properties"), name: {"type": "string", "const": key}}}
    return {**document, "components": {**child(document, "components"), "schemas": schemas}} if schemas else document
