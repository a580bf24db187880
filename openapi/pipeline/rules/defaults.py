"""Leave out defaults that the generator cannot write: it drops the whole endpoint or class for one."""

from __future__ import annotations

from collections.abc import Callable

from openapi_python_client.parser.errors import PropertyError
from openapi_python_client.parser.properties.boolean import BooleanProperty
from openapi_python_client.parser.properties.date import DateProperty
from openapi_python_client.parser.properties.datetime import DateTimeProperty
from openapi_python_client.parser.properties.float import FloatProperty
from openapi_python_client.parser.properties.int import IntProperty

from pipeline.document import Json, Object, items, text
from pipeline.rules.walk import UNIONS, Keys, Note, edit_schemas, made_of, place, without

# How the generator reads a default: an error of its own, or the code for it.
KINDS: dict[str, Callable[[Json], object]] = {
    "boolean": BooleanProperty.convert_value,
    "integer": IntProperty.convert_value,
    "number": FloatProperty.convert_value,
}
FORMATS: dict[str, Callable[[Json], object]] = {
    "date": DateProperty.convert_value,
    "date-time": DateTimeProperty.convert_value,
}
JOINING = ("allOf", *UNIONS)


def drop_unusable_defaults(document: Object, note: Note) -> Object:
    """Leave out each default that is no value of its schema."""

    def change(keys: Keys, schema: Object) -> Json:
        default = schema.get("default")
        if default is None or fits(document, without(schema, "default"), default):
            return schema
        note(f"{place(keys)}: the default {default!r} is no value that the generator can write: it is left out")
        return without(schema, "default")

    return edit_schemas(document, change)


def fits(document: Object, schema: Json, value: Json) -> bool:
    """Tell whether the generator can write the value as a default of the schema."""
    parts = made_of(document, schema, *JOINING)
    return any(_fits_alone(part, value) for part in parts if not any(word in part for word in JOINING))


def _fits_alone(schema: Object, value: Json) -> bool:
    if "enum" in schema:
        return any(value == one and type(value) is type(one) for one in items(schema["enum"]))
    if "const" in schema:
        return value == schema["const"]
    kinds = items(schema.get("type")) or [schema.get("type")]
    return any(_fits_kind(kind, text(schema, "format"), value) for kind in kinds)


def _fits_kind(kind: Json, form: str, value: Json) -> bool:
    if kind in ("array", None):
        return True
    read = FORMATS.get(form) if kind == "string" else KINDS.get(str(kind))
    if read is None:
        return kind == "string" and form != "binary"
    return not isinstance(read(value), PropertyError)
