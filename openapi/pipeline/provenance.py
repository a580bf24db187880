"""Write the table that lets a program ask how sure each operation is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import asdict, field, frozen

from pipeline.document import Object, child, edit_operations, items, operations, text
from pipeline.expected import expected
from pipeline.naming import identifier
from pipeline.servers import address, common_hosts, hosts, shown
from pipeline.walk import SHARED, with_schemas

MARK, NOTE = "x-provenance", "x-provenance-note"
CONFIRMED = "Stands in the document that was given as the vendor's."
LEVELS = ("documented", "observed", "assumed", "confirmed")

HEAD = '''"""How sure each operation is: documented on a page, observed in public code, assumed by us, or confirmed."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple


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
HOSTS = '''

class Host:
    """Which host answers each operation; one that no correction names is called `elsewhere`."""

'''
HOST = "x-host"
"""What a correction of ours calls the host of an operation that names servers of its own."""


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
    schemas = child(document, *SHARED).values()
    return any(MARK in one for _, _, one in operations(document)) or any(MARK in child(one) for one in schemas)


def confirm(document: Object) -> Object:
    """Mark every operation and schema of a document without marks, which is the vendor's, as confirmed by it."""
    if is_marked(document):
        return document
    seen: Object = {MARK: "confirmed", NOTE: CONFIRMED}
    marked = edit_operations(document, lambda _label, operation: {**operation, **seen})
    schemas: Object = {name: {**child(one), **seen} for name, one in child(document, *SHARED).items()}
    return with_schemas(marked, schemas) if schemas else marked


def table(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the table of operations, as openapi/README.md has it."""
    yield "| operation | method and path | mark | reason |"
    yield "|---|---|---|---|"
    for row in rows:
        yield f"| `{row.operation_id}` | `{row.method} {row.path}` | {row.provenance} | {row.note} |"


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
    """Return the source of `provenance.py`, which ruff then lays out."""
    entries = "".join(f"{row.operation_id!r}: OperationProvenance({_written(row)}),\n" for row in rows(document))
    common = common_hosts(document)
    calls = [(identifier(text(one, "operationId")), host(common, one)) for *_, one in operations(document)]
    return HEAD + entries + "}\n" + HOSTS + "".join(f'    {name}: Final = "{at}"\n' for name, at in calls)


def host(common: set[str], operation: Object) -> str:
    """Return which host answers an operation: the common one, the one that a correction names, or a third."""
    own = hosts(operation)
    if own <= common and (own or common):
        return "communication"
    return text(operation, HOST) or ("elsewhere" if own else "communication")


def _written(row: Row) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in asdict(row).items())
