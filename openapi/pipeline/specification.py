"""Check a document against the OpenAPI 3.1 specification, and say where each error is.

The validator underneath loses the place of errors in schemas, and breaks on references that lead nowhere, so
both are looked for before it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, cast

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types
from openapi_spec_validator import OpenAPIV31SpecValidator

from pipeline.document import Json, Object, child, objects, operations, pointer
from pipeline.problems import brief
from pipeline.rules.walk import resolve

LONGEST = 200
Keys = tuple[str | int, ...]


class _Finding(Protocol):
    """What the validators report; their library leaves the types open."""

    message: str
    absolute_path: Sequence[str | int]
    context: list[_Finding]


class _Validator(Protocol):
    """What is asked of the validators."""

    def iter_errors(self, instance: Json) -> Iterable[_Finding]: ...


def misshapen_parts(document: Object) -> Iterator[str]:
    """Yield what the schema of the specification rejects."""
    shapes = cast("_Validator", OpenAPIV31SpecValidator.schema_validator)
    yield from _told(shapes.iter_errors(document), ())


def misshapen_schemas(document: Object) -> Iterator[str]:
    """Yield what is wrong inside schemas: the shared ones, and those written where they are used."""
    shapes = cast("_Validator", Draft202012Validator(Draft202012Validator.META_SCHEMA))
    for keys, schema in _schemas(document):
        yield from _told(shapes.iter_errors(schema), keys)


def _schemas(document: Object) -> Iterator[tuple[Keys, Json]]:
    for name, schema in child(document, "components", "schemas").items():
        yield ("components", "schemas", name), schema
    for path, method, operation in operations(document):
        inner = ("paths", path, method)
        for keys, holder in objects(operation, inner):
            # A schema inside a schema belongs to its own, which is checked as a whole.
            if "schema" in holder and "schema" not in keys[len(inner) :]:
                yield (*keys, "schema"), holder["schema"]


def _told(errors: Iterable[_Finding], keys: Keys) -> Iterator[str]:
    for error in errors:
        while error.context:
            error = max(error.context, key=lambda reason: len(reason.absolute_path))
        yield f"{pointer([*keys, *error.absolute_path])}: {brief(error.message, LONGEST)}"


def dangling_references(document: Object) -> Iterator[str]:
    """Yield references that lead nowhere, or out of the document, where this pipeline does not follow."""
    for keys, node in objects(document, ()):
        target = node.get("$ref")
        if isinstance(target, str) and resolve(document, target) is None:
            yield f"{pointer(keys)} refers to {target}, which the document does not have"


def broken_rules(document: Object) -> Iterator[str]:
    """Yield what openapi-spec-validator finds beyond shapes: parameters, defaults, operationIds."""
    try:
        for error in OpenAPIV31SpecValidator(cast("dict[str, object]", document)).iter_errors():
            yield f"{pointer(error.absolute_path)}: {brief(error.message, LONGEST)}"
    except Exception as error:  # The validator itself breaks on some documents, each time in another way.
        yield f"openapi-spec-validator cannot read the document ({brief(repr(error), LONGEST)})"
