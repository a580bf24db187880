"""Keep every schema and every property apart, and where the generator finds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import cast

from pipeline.document import Json, Object, child, items, rebuild_document, text
from pipeline.rules.naming import PLAIN_NAME, TAKEN, class_name, free_name, identifier, module_name, readable
from pipeline.rules.walk import SCHEMAS, Keys, Note, edit_schemas, place, resolve, schemas_in, steps, without

SHARED = ("components", "schemas")
# Names that the generated from_dict and to_dict use themselves: as an attribute each would break its class.
INNER_NAMES = re.compile("additional_keys|additional_properties|cast|cls|d|field_dict|from_dict|src_dict|to_dict")
# And those of their loop over further members, which is there when these have a schema.
LOOP_NAMES = re.compile(f"{INNER_NAMES.pattern}|additional_property|prop|prop_name")


def lift_inner_schemas(document: Object, note: Note) -> Object:
    """Make a shared schema of what a reference finds inside another one: the generator finds it nowhere else."""
    # The innermost first, so that what is lifted around it refers to it.
    for reference in sorted(set(_inner_references(document)), key=len, reverse=True):
        schemas = child(document, "components", "schemas")
        name = free_name(_last_words(reference), schemas, module_name)
        note(f"the part {reference} is referred to from elsewhere: it is now the schema {name}")
        document = point_to(document, {tuple(steps(reference)): SCHEMAS + name})
        lifted = resolve(document, reference)
        document = cast("Object", _put(document, steps(reference), {"$ref": SCHEMAS + name}))
        held: Object = {**child(document, "components", "schemas"), name: lifted}
        document = {**document, "components": {**child(document, "components"), "schemas": held}}
    return document


def _inner_references(document: Object) -> Iterator[str]:
    for _, schema in schemas_in(document):
        target = text(schema, "$ref")
        if not re.fullmatch(f"{SCHEMAS}[^/]+", target) and isinstance(resolve(document, target), dict):
            yield target


def _put(node: Json, keys: list[str], value: Json) -> Json:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(node, list):
        return [_put(one, rest, value) if str(index) == key else one for index, one in enumerate(node)]
    return {name: _put(one, rest, value) if name == key else one for name, one in child(node).items()}


def _last_words(reference: str) -> str:
    words = re.findall(r"\w+", " ".join(steps(reference.removeprefix(SCHEMAS))))
    kept = [word for word in words if word not in ("properties", "schema", "paths", "content", "components")]
    return "".join(word[:1].upper() + word[1:] for word in kept) or "Inner"


def point_to(document: Object, renamed: dict[tuple[str, ...], str]) -> Object:
    """Return a copy in which references and mappings of discriminators lead to new places, however spelled."""

    def moved(reference: Json) -> Json:
        return renamed.get(tuple(steps(str(reference))), reference)

    def change(node: Object) -> Json:
        result: Object = {**node, "$ref": moved(node["$ref"])} if isinstance(node.get("$ref"), str) else node
        if "propertyName" in node and child(node, "mapping"):
            return {**result, "mapping": {key: moved(to) for key, to in child(node, "mapping").items()}}
        return result

    return rebuild_document(document, change)


def separate_schemas(document: Object, note: Note) -> Object:
    """Rename schemas whose names no reference can hold, or whose class would replace another or an import."""
    schemas = child(document, "components", "schemas")
    renamed = _new_names(list(schemas), note)
    if not renamed:
        return document
    moved: Object = {renamed.get(name, name): schema for name, schema in schemas.items()}
    places: dict[tuple[str, ...], str] = {(*SHARED, name): SCHEMAS + new for name, new in renamed.items()}
    # A mapping may hold bare names.
    places.update({(name,): SCHEMAS + new for name, new in renamed.items()})
    components: Object = {**child(document, "components"), "schemas": moved}
    return point_to({**document, "components": components}, places)


def _new_names(names: list[str], note: Note) -> dict[str, str]:
    renamed: dict[str, str] = {}
    seen: set[str] = set()
    for name in names:
        wanted = name if PLAIN_NAME.fullmatch(name) else readable(name)
        wanted = f"{wanted}Model" if TAKEN.fullmatch(class_name(wanted)) else wanted
        if wanted != name or module_name(name) in seen:
            wanted = free_name(wanted, [*names, *renamed.values()], module_name)
            renamed[name] = wanted
            note(f"the schema {name} is now called {wanted}: its own name would not make a class of its own")
        seen.add(module_name(wanted))
    return renamed


def drop_titles(document: Object, _note: Note) -> Object:
    """Leave out the titles of shared schemas: the generator would name their classes after these instead."""

    def change(keys: Keys, schema: Object) -> Json:
        return without(schema, "title") if len(keys) == 3 and keys[0] == "components" else schema

    return edit_schemas(document, change)


def separate_properties(document: Object, note: Note) -> Object:
    """Leave out properties that cannot be an attribute of their own: else their whole class would be lost."""

    def change(keys: Keys, schema: Object) -> Json:
        dropped = list(_no_attributes(schema))
        if not dropped:
            return schema
        for name, reason in dropped:
            note(f"{place(keys)}: the property `{name}` {reason}: read and write it through additional_properties")
        names = [name for name, _ in dropped]
        kept: Object = {key: one for key, one in child(schema, "properties").items() if key not in names}
        result: Object = {**schema, "properties": kept}
        if "required" in schema:
            result["required"] = [name for name in items(schema["required"]) if name not in names]
        return {**result, "additionalProperties": True} if "additionalProperties" in schema else result

    return edit_schemas(document, change)


def _no_attributes(schema: Object) -> Iterator[tuple[str, str]]:
    inner = LOOP_NAMES if child(schema, "additionalProperties") else INNER_NAMES
    # Of two names that become one attribute, the generator keeps both by their spelling, without its marks.
    kept: dict[str, str] = {}
    for name in child(schema, "properties"):
        spelled = re.sub(r"\W", "", name)
        if inner.fullmatch(identifier(name)):
            yield name, f"would be called {identifier(name)}, which its class needs itself"
        elif spelled in kept and identifier(kept[spelled]) == identifier(name):
            yield name, f"would be the same attribute as `{kept[spelled]}`"
        else:
            kept[spelled] = name
