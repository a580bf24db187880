"""Refuse documents that the generator would quietly make less of than they say, and say where the fault is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # ships no types
from openapi_spec_validator import OpenAPIV31SpecValidator

from pipeline.document import Object, child, items, objects, operations, pointer, text
from pipeline.naming import NAMES, RAW, class_name, identifier, labels_of, member_name, module_name, operation_module
from pipeline.problems import PipelineError, brief
from pipeline.provenance import unmarked_operations
from pipeline.walk import SHARED, Keys, resolve

LONGEST = 200


def check_input(document: Object, name: str) -> None:
    """Raise `PipelineError` for a document of a kind that this pipeline does not read."""
    version = text(document, "openapi")
    if "swagger" in document:
        raise PipelineError(f"{name} is Swagger {document['swagger']}: convert it to OpenAPI 3.0 first.")
    if not version.startswith(("3.0.", "3.1.")):
        raise PipelineError(f"{name} says openapi: {version or 'nothing'}: give one of OpenAPI 3.0.x or 3.1.x.")
    if not any(True for _ in operations(document)):
        raise PipelineError(f"{name} has no operations under `paths`: give the service's whole document.")


def check_document(document: Object, name: str) -> None:
    """Raise `PipelineError` with every problem of a normalised document, which is OpenAPI 3.1."""
    for checks in STAGES:
        found = [problem for check in checks for problem in check(document)]
        if found:
            count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
            message = f"{name} has {count}, see above: correct openapi/overlay.yaml."
            raise PipelineError(message, details=tuple(found))


def misshapen_parts(document: Object) -> Iterator[str]:
    """Yield what the schema of the specification rejects."""
    shapes = OpenAPIV31SpecValidator.schema_validator
    yield from _told(shapes.iter_errors(document), ())


def misshapen_schemas(document: Object) -> Iterator[str]:
    """Yield what is wrong inside schemas, whose places the validator of whole documents does not know."""
    shapes = Draft202012Validator(Draft202012Validator.META_SCHEMA)
    for name, schema in child(document, *SHARED).items():
        yield from _told(shapes.iter_errors(schema), (*SHARED, name))
    for path, method, operation in operations(document):
        for keys, holder in objects(operation, ()):
            # A schema inside a schema belongs to its own, which is checked as a whole.
            if "schema" in holder and "schema" not in keys:
                yield from _told(shapes.iter_errors(holder["schema"]), ("paths", path, method, *keys, "schema"))


def _told(errors: Iterable[Any], keys: Keys) -> Iterator[str]:
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
    """Yield what openapi-spec-validator finds beyond shapes: parameters and operationIds."""
    try:
        yield from _told(OpenAPIV31SpecValidator(cast("dict[str, object]", document)).iter_errors(), ())
    except Exception as error:  # The validator itself breaks on some documents, each time in another way.
        yield f"openapi-spec-validator cannot read the document ({brief(repr(error), LONGEST)})"


def collisions(document: Object) -> Iterator[str]:
    """Yield operations and schemas that share a file or a class: the last one would silently replace the others."""
    calls = [(f"api/{operation_module(one)}.py", f"{way.upper()} {path}") for path, way, one in operations(document)]
    for key, members in _groups(calls):
        yield f"{' and '.join(members)} would both become {key}: give them other operationIds"
    names = child(document, *SHARED)
    found = [*_groups([(class_name(one), one) for one in names]), *_groups([(module_name(one), one) for one in names])]
    for members, key in {members: key for key, members in reversed(found)}.items():
        yield f"the schemas {' and '.join(members)} would both become {key}: rename one"


def enum_members(document: Object) -> Iterator[str]:
    """Yield enumerations whose members would be lost, or whose `x-enum-varnames` would be ignored."""
    for keys, schema in objects(document, ()):
        where, values = pointer(keys), [value for value in items(schema.get("enum")) if value is not None]
        names = items(schema.get(NAMES))
        if names and len(names) != len(values):
            yield f"{where} has {len(values)} values but {len(names)} x-enum-varnames: give one per value"
        elif names or all(isinstance(value, str) for value in values):
            made = [member_name(str(label)) for label in names or labels_of(values)]
            pairs = list(zip(made, map(str, names or values), strict=True))
            for key, label in pairs:
                if not key.isidentifier():
                    yield f"{where}: {label} would become the member {key}, which is no name: give x-enum-varnames"
            for key, members in _groups(pairs):
                yield f"{where}: {' and '.join(members)} would both become the member {key}: give x-enum-varnames"


# What a generated class calls its own.
OWN = ("d", "cls", "src_dict", "field_dict", "to_dict", "from_dict", "additional_properties", "additional_keys")


def needed_names(document: Object) -> Iterator[str]:
    """Yield properties whose attribute the generated class needs itself: it would read and write something else."""
    for keys, schema in objects(document, ()):
        for name in child(schema, "properties") if schema.get(RAW) is not True else ():
            if identifier(name) in OWN:
                where = pointer((*keys, "properties", name))
                yield f"{where} would become `{identifier(name)}`, which its class needs itself: say {RAW}: true of it"


def _groups(pairs: list[tuple[str, str]]) -> Iterator[tuple[str, tuple[str, ...]]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for key, member in pairs:
        groups[key].append(member)
    return ((key, tuple(members)) for key, members in groups.items() if len(members) > 1)


# A stage runs only on what the stages before it let through: each relies on them.
STAGES: tuple[tuple[Callable[[Object], Iterator[str]], ...], ...] = (
    (misshapen_parts,),
    (misshapen_schemas,),
    (dangling_references,),
    (broken_rules, unmarked_operations, collisions, enum_members, needed_names),
)
