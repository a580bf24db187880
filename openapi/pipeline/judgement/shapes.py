"""See a schema of a normalised document as the generated client does: its class, its fields, its kinds of values."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import evolve, field, frozen

from pipeline.document import Json, Object, child, items, operations, text
from pipeline.naming import NAMES, labels_of, member_name
from pipeline.walk import SCHEMAS

# Formats that the generator turns into a class of Python instead of a string.
CLASSES_OF_STRINGS = ("date-time", "date", "uuid", "binary")


@frozen
class Call:
    """One operation of a document, with where it is."""

    path: str
    method: str
    operation: Object = field(repr=False)

    @property
    def name(self) -> str:
        """Its operationId."""
        return text(self.operation, "operationId")

    def __str__(self) -> str:
        """Return `POST /things/{id}`."""
        return f"{self.method.upper()} {self.path}"


@frozen
class Shape:
    """A schema: the kinds of values it takes, without null, and what is known of their inside.

    `name` is the schema's own name when it is a shared one. `branches` are the members of a union.
    """

    kinds: frozenset[str]
    nullable: bool = False
    name: str = ""
    schema: Object = field(factory=dict, repr=False)
    branches: tuple[Shape, ...] = ()

    @property
    def fields(self) -> Object:
        """The properties of an object, by their names on the wire."""
        return child(self.schema, "properties")

    @property
    def required(self) -> set[str]:
        """The names of the properties that are always there."""
        return {str(name) for name in items(self.schema.get("required"))}

    @property
    def is_listed(self) -> bool:
        """Whether it is an enumeration, which has a class of its own."""
        return "enum" in self.schema

    @property
    def is_open(self) -> bool:
        """Whether an object may hold more than its properties."""
        return self.schema.get("additionalProperties") not in (None, False)

    def told(self) -> str:
        """Return the kinds in words: `an integer`, `text`, `SomeClass`."""
        words = [f"`{self.name}`"] if self.name else sorted(WORDS.get(kind, kind) for kind in self.kinds)
        if self.is_listed and not self.name:
            words = [f"one of {', '.join(f'`{value}`' for value in items(self.schema['enum']))}"]
        return " or ".join(words or ["anything"]) + (" or null" if self.nullable else "")


WORDS = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "an object",
    "array": "a list",
    "date-time": "a time",
    "date": "a date",
    "binary": "a file",
    "uuid": "a UUID",
}


def calls_by_place(document: Object) -> list[Call]:
    """Return every operation of a document, in its order."""
    return [Call(path, method, operation) for path, method, operation in operations(document)]


def calls(document: Object) -> dict[str, Call]:
    """Return every operation of a document by its operationId."""
    return {call.name: call for call in calls_by_place(document)}


def shape(document: Object, node: Json) -> Shape:
    """Return the shape of a schema, references followed, a union with null alone taken as nullable."""
    schema = child(node)
    reference = text(schema, "$ref")
    if reference.startswith(SCHEMAS):
        name = reference.removeprefix(SCHEMAS)
        target = child(document, "components", "schemas", name)
        inner = shape(document, target)
        return Shape(inner.kinds, inner.nullable, name, inner.schema, inner.branches)
    union = items(schema.get("anyOf")) or items(schema.get("oneOf"))
    if union:
        return _union(document, union)
    parts = items(schema.get("allOf"))
    if parts:
        return _together(document, parts)
    types = schema.get("type") or ("object" if "properties" in schema else None)
    names = [str(name) for name in (types if isinstance(types, list) else [types] if types else [])]
    kinds = frozenset(_kind(name, schema) for name in names if name != "null")
    return Shape(kinds, "null" in names, "", schema)


def _kind(name: str, schema: Object) -> str:
    written = text(schema, "format")
    return written if name == "string" and written in CLASSES_OF_STRINGS else name


def _union(document: Object, parts: list[Json]) -> Shape:
    real = tuple(shape(document, part) for part in parts if child(part).get("type") != "null")
    null = len(real) < len(parts) or any(one.nullable for one in real)
    if len(real) == 1:
        return Shape(real[0].kinds, null, real[0].name, real[0].schema, real[0].branches)
    return Shape(frozenset().union(*(one.kinds for one in real)), null, "", {}, real)


def _together(document: Object, parts: list[Json]) -> Shape:
    every = [shape(document, part) for part in parts]
    if len(every) == 1:
        return every[0]
    fields: Object = {name: value for one in every for name, value in one.fields.items()}
    required: list[Json] = [*sorted(set().union(*(one.required for one in every)))]
    merged: Object = {"properties": fields, "required": required}
    return Shape(frozenset().union(*(one.kinds for one in every)), False, "", merged)


def became(old: Shape, new: Shape) -> str:
    """Return the rest of the sentence `the field `x` …` for what holds another kind of value now."""
    if old.told() == new.told():
        old, new = (evolve(one, name="") for one in (old, new))
    return f"is {new.told()} now, no longer {old.told()}"


def members_of(schema: Object) -> dict[str, Json]:
    """Return the members that the generator makes of an enumeration, with their values on the wire."""
    values = [value for value in items(schema.get("enum")) if value is not None]
    names = [str(name) for name in items(schema.get(NAMES))]
    labels = names if len(names) == len(values) else map(_label, values, labels_of(values))
    return {member_name(label): value for label, value in zip(labels, values, strict=True)}


def _label(value: Json, word: str) -> str:
    if isinstance(value, int):
        return f"VALUE_{value}" if value >= 0 else f"VALUE_NEGATIVE_{-value}"
    return word


def body_of(call: Call) -> tuple[str, Json]:
    """Return the content type and the schema of a request's body, empty when it takes none."""
    for media, content in child(call.operation, "requestBody", "content").items():
        return media, child(content).get("schema")
    return "", None


def reply_of(call: Call, success: bool | None = None) -> Iterator[tuple[str, Json]]:
    """Yield status and schema of every documented reply, or only of those that are a success, or are none."""
    for status, reply in child(call.operation, "responses").items():
        if success is None or status.startswith("2") == success:
            schema = None
            for content in child(reply, "content").values():
                schema = child(content).get("schema")
            yield status, schema
