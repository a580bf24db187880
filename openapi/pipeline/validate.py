"""Refuse documents that the generator would quietly make less of than they say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from pipeline.document import Object, child, items, objects, operations, pointer, text
from pipeline.problems import PipelineError
from pipeline.provenance import unmarked_operations
from pipeline.rules.enums import NAMES, labels_of, member_name
from pipeline.rules.naming import class_name, module_name, operation_module
from pipeline.specification import broken_rules, dangling_references, misshapen_parts, misshapen_schemas


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
        if not found:
            continue
        count = "1 problem" if len(found) == 1 else f"{len(found)} problems"
        message = f"{name} has {count}, see above: correct openapi/overlay.yaml."
        raise PipelineError(message, details=tuple(found))


def unnamed_operations(document: Object) -> Iterator[str]:
    """Yield operations without an operationId: the generator would name them after their path."""
    for path, method, operation in operations(document):
        if not text(operation, "operationId"):
            yield f"{method.upper()} {path} has no operationId: pin one"


def colliding_operations(document: Object) -> Iterator[str]:
    """Yield operations that share a module: the last one would silently replace the others."""
    named = [
        (operation_module(operation), f"{method.upper()} {path}")
        for path, method, operation in operations(document)
        if text(operation, "operationId")
    ]
    for module, members in _groups(named):
        yield f"{' and '.join(members)} would both become api/{module}.py: give them other operationIds"


def colliding_classes(document: Object) -> Iterator[str]:
    """Yield schemas that share a class name or a module name, however they are spelled."""
    names = child(document, "components", "schemas")
    by_class = [(class_name(name), name) for name in names]
    by_module = [(module_name(name), name) for name in names]
    seen: set[tuple[str, ...]] = set()
    for key, members in [*_groups(by_class), *_groups(by_module)]:
        if members not in seen:
            seen.add(members)
            yield f"the schemas {' and '.join(members)} would both become {key}: rename one"


def enum_members(document: Object) -> Iterator[str]:
    """Yield enumerations whose members would be lost, or whose `x-enum-varnames` would be ignored."""
    for keys, schema in objects(document, ()):
        where, values = pointer(keys), [value for value in items(schema.get("enum")) if value is not None]
        names = items(schema.get(NAMES))
        if names and len(names) != len(values):
            yield f"{where} has {len(values)} values but {len(names)} x-enum-varnames: give one per value"
            continue
        if not names and not all(isinstance(value, str) for value in values):
            continue
        made = [member_name(str(label)) for label in names or labels_of(values)]
        pairs = list(zip(made, map(str, names or values), strict=True))
        for key, label in pairs:
            if not key.isidentifier():
                yield f"{where}: {label} would become the member {key}, which is no name: give x-enum-varnames"
        for key, members in _groups(pairs):
            yield f"{where}: {' and '.join(members)} would both become the member {key}: give x-enum-varnames"


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
    (
        broken_rules,
        unnamed_operations,
        unmarked_operations,
        colliding_operations,
        colliding_classes,
        enum_members,
    ),
)
