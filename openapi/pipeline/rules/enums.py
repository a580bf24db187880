"""Keep every member of an enumeration, under a name of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from openapi_python_client.strings import snake_case

from pipeline.document import Json, Object, items, rebuild_document
from pipeline.rules.naming import free_name
from pipeline.rules.walk import Keys, Note, edit_schemas, place, without

NAMES = "x-enum-varnames"


def name_enum_members(document: Object, _note: Note) -> Object:
    """Rename `x-enumNames`, which the generator does not read, to `x-enum-varnames`, which it does."""

    def change(node: Object) -> Json:
        if "x-enumNames" not in node or "enum" not in node or NAMES in node:
            return node
        return {(NAMES if key == "x-enumNames" else key): value for key, value in node.items()}

    return rebuild_document(document, change)


def keep_enum_members(document: Object, note: Note) -> Object:
    """Repair values and names of enumerations that would crash the generator, or lose a member in silence."""

    def change(keys: Keys, schema: Object) -> Json:
        def told(said: str) -> None:
            note(f"{place(keys)}: {said}")

        for repair in (_one_name_each, _each_once, _one_kind, _own_names) if items(schema.get("enum")) else ():
            schema = repair(schema, told) if "enum" in schema else schema
        return schema

    return edit_schemas(document, change)


def _one_name_each(schema: Object, note: Note) -> Object:
    if NAMES not in schema:
        return schema
    values, names = items(schema["enum"]), items(schema[NAMES])
    wanted = [value for value in values if value is not None]
    if len(names) == len(values):
        names = [name for name, value in zip(names, values, strict=True) if value is not None]
    if len(names) == len(wanted) and all(isinstance(name, str) for name in names):
        return schema if names == schema[NAMES] else {**schema, NAMES: names}
    if len(names) < len(wanted) and all(isinstance(name, str) for name in names):
        # New values come at the end; should one stand between, the judgement finds names that moved.
        rest = list(labels_of(wanted))[len(names) :]
        note(f"there are {len(names)} names for {len(wanted)} values: the last are called {', '.join(rest)}")
        return {**schema, NAMES: [*names, *rest]}
    note(f"there are {len(names)} names for {len(wanted)} values: the names are left out")
    return without(schema, NAMES)


def _each_once(schema: Object, note: Note) -> Object:
    values = items(schema["enum"])
    # JSON tells 1 from true, Python does not.
    kept = {(type(value), str(value)): index for index, value in reversed(list(enumerate(values)))}
    first = sorted(kept.values())
    if len(first) == len(values):
        return schema
    twice = ", ".join(str(value) for index, value in enumerate(values) if index not in first)
    note(f"the value {twice} is there more than once: the first name counts")
    result: Object = {**schema, "enum": [values[index] for index in first]}
    if NAMES in schema:
        named = iter(items(schema[NAMES]))
        names = [None if value is None else next(named) for value in values]
        result[NAMES] = [names[index] for index in first if names[index] is not None]
    return result


def _one_kind(schema: Object, note: Note) -> Object:
    """Return the enumeration if the generator has a class for it: strings or integers, not both."""
    values = [value for value in items(schema["enum"]) if value is not None]
    kinds = {type(value) for value in values}
    if kinds <= {str} or kinds <= {int}:
        digits = all(isinstance(value, str) and value.lstrip("-").isdecimal() for value in values)
        if values and digits and schema.get("type") in ("integer", ["integer", "null"]):
            note("the values are integers written as strings: they are taken as integers")
            return {**schema, "enum": [None if value is None else int(str(value)) for value in items(schema["enum"])]}
        return schema
    if kinds != {bool}:
        note("the values are neither all strings nor all integers: any value of its type is taken")
    return without(schema, "enum", NAMES)


def _own_names(schema: Object, note: Note) -> Object:
    values = [value for value in items(schema["enum"]) if value is not None]
    if not all(isinstance(value, str) for value in values) and NAMES not in schema:
        return schema
    labels = items(schema[NAMES]) if NAMES in schema else list(labels_of(values))
    keys = [member_name(str(label)) for label in labels]
    if len(set(keys)) == len(keys) and all(key.isidentifier() for key in keys):
        return schema
    names: list[str] = []
    for index, key in enumerate(keys):
        names.append(free_name(key if key.isidentifier() else f"VALUE_{key or index}", [*keys[:index], *names]))
    changed = [(value, name) for value, name, key in zip(values, names, keys, strict=True) if name != key]
    note("the generated name would not be one of its own, so " + ", ".join(f"`{v}` is {n}" for v, n in changed))
    return {**schema, NAMES: cast("list[Json]", names)}


def labels_of(values: Sequence[Json]) -> Iterator[str]:
    """Yield what the generator makes the names of members from where none are given."""
    for index, value in enumerate(values):
        word = str(value)
        yield word.upper() if word[:1].isalpha() else f"VALUE_{index}"


def member_name(label: str) -> str:
    """Return the name of a member that the generator makes of a label."""
    return str(snake_case(label)).upper()
