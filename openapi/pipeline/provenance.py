"""Write the table that lets a program ask how sure each operation is."""

from __future__ import annotations

import json
from collections.abc import Iterator

from attrs import asdict, field, frozen

from pipeline.document import Json, Object, child, edit_operations, items, operations, text
from pipeline.expected import expected
from pipeline.servers import address, shown

MARK, NOTE = "x-provenance", "x-provenance-note"
CONFIRMED = "Stands in the document that was given as the vendor's."
LEVELS = ("documented", "observed", "assumed", "confirmed")

HEAD = '''"""How sure each operation is: documented on a page, observed in public code, assumed by us, or confirmed."""

from __future__ import annotations

from typing import Literal, NamedTuple


class OperationProvenance(NamedTuple):
    """One operation of the document, where our knowledge of it comes from, and what is expected of its reply.

    `reply` has the JSON types of the members of a success by their place, `required` the places that are always there.
    """

    operation_id: str
    method: str
    path: str
    provenance: Literal["documented", "observed", "assumed", "confirmed"]
    note: str
    servers: tuple[str, ...]
    statuses: tuple[int, ...]
    reply: dict[str, str]
    required: tuple[str, ...]


OPERATIONS: dict[str, OperationProvenance] = {
'''


@frozen
class Row:
    """One operation with its mark, as the document carries it."""

    operation_id: str
    method: str
    path: str
    provenance: str
    note: str
    servers: tuple[str, ...] = ()
    statuses: tuple[int, ...] = ()
    reply: dict[str, str] = field(factory=dict)
    required: tuple[str, ...] = ()


def is_marked(document: Object) -> bool:
    """Whether a document carries marks, as only ours do: they say themselves how sure each operation is."""
    schemas = child(document, "components", "schemas").values()
    return any(MARK in one for _, _, one in operations(document)) or any(MARK in child(one) for one in schemas)


def confirm(document: Object) -> Object:
    """Mark every operation and schema of a document without marks, which is the vendor's, as confirmed by it."""
    if is_marked(document):
        return document
    seen: Object = {MARK: "confirmed", NOTE: CONFIRMED}
    marked = edit_operations(document, lambda _label, operation: {**operation, **seen})
    components = child(document, "components")
    schemas: dict[str, Json] = {name: {**child(one), **seen} for name, one in child(components, "schemas").items()}
    return {**marked, "components": {**components, "schemas": schemas}} if schemas else marked


def unmarked_operations(document: Object) -> Iterator[str]:
    """Yield operations without a mark or without its reason: we tell every user how sure we are."""
    for path, method, operation in operations(document):
        if text(operation, MARK) not in LEVELS or not text(operation, NOTE):
            levels = " | ".join(LEVELS)
            yield f"{method.upper()} {path} lacks {MARK} ({levels}) or {NOTE}: add them"


def rows(document: Object) -> list[Row]:
    """Return one row per operation, in the document's order."""
    return [
        Row(
            operation_id=text(operation, "operationId"),
            method=method.upper(),
            path=path,
            provenance=text(operation, MARK),
            note=text(operation, NOTE),
            servers=_servers(operation) or _servers(document),
            **asdict(expected(document, operation)),
        )
        for path, method, operation in operations(document)
    ]


def _servers(node: Object) -> tuple[str, ...]:
    return tuple(shown(address(child(one))) for one in items(node.get("servers")))


def provenance_module(document: Object) -> str:
    """Return the source of `provenance.py`, laid out as ruff would."""
    return HEAD + "".join(_entry(row) for row in rows(document)) + "}\n"


def _entry(row: Row) -> str:
    lines = "".join(f"        {name}={_written(value)},\n" for name, value in asdict(row).items())
    return f"    {_quoted(row.operation_id)}: OperationProvenance(\n{lines}    ),\n"


def _written(value: object) -> str:
    if isinstance(value, dict):
        rows, (begin, end) = [f"{_quoted(key)}: {_quoted(one)}" for key, one in value.items()], "{}"
    elif isinstance(value, tuple):
        rows, (begin, end) = [_quoted(one) for one in value], "()"
        if len(rows) == 1 or (rows and isinstance(value[0], int)):
            return f"({', '.join(rows)}{',' * (len(rows) == 1)})"
    else:
        return _quoted(value)
    inside = "".join(f"            {one},\n" for one in rows)
    return f"{begin}\n{inside}        {end}" if rows else begin + end


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
