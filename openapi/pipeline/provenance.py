"""Write the table that lets a program ask how sure each operation is."""

from __future__ import annotations

import json
from collections.abc import Iterator

from attrs import asdict, frozen

from pipeline.document import Object, operations, text

LEVELS = ("documented", "assumed", "confirmed")

HEAD = '''"""How sure each operation is: documented by the vendor, assumed by us, or confirmed live."""

from __future__ import annotations

from typing import Literal, NamedTuple


class OperationProvenance(NamedTuple):
    """One operation of the document and where our knowledge of it comes from."""

    operation_id: str
    method: str
    path: str
    provenance: Literal["documented", "assumed", "confirmed"]
    note: str


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


def unmarked_operations(document: Object) -> Iterator[str]:
    """Yield operations without a mark or without its reason: we tell every user how sure we are."""
    for path, method, operation in operations(document):
        if text(operation, "x-provenance") not in LEVELS or not text(operation, "x-provenance-note"):
            levels = " | ".join(LEVELS)
            yield f"{method.upper()} {path} lacks x-provenance ({levels}) or x-provenance-note: add them"


def rows(document: Object) -> list[Row]:
    """Return one row per operation, in the document's order."""
    return [
        Row(
            operation_id=text(operation, "operationId"),
            method=method.upper(),
            path=path,
            provenance=text(operation, "x-provenance"),
            note=text(operation, "x-provenance-note"),
        )
        for path, method, operation in operations(document)
    ]


def provenance_module(document: Object) -> str:
    """Return the source of `provenance.py`, laid out as ruff would."""
    return HEAD + "".join(_entry(row) for row in rows(document)) + "}\n"


def _entry(row: Row) -> str:
    fields = asdict(row)
    lines = "".join(f"        {name}={_quoted(value)},\n" for name, value in fields.items())
    return f"    {_quoted(row.operation_id)}: OperationProvenance(\n{lines}    ),\n"


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
