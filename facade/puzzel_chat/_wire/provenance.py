"""How sure we are of each operation that the facade uses."""

from __future__ import annotations

from attrs import frozen

from puzzel_chat._wire.operations import OPERATIONS
from puzzel_chat_api.provenance import OPERATIONS as THEIRS


@frozen
class OperationInfo:
    """One operation: `provenance` is documented, assumed or confirmed; `note` says of what; `used_by` is ours."""

    name: str
    method: str
    path: str
    provenance: str
    note: str
    used_by: str


def operations() -> tuple[OperationInfo, ...]:
    """Give every operation that the facade uses, and where our knowledge of it comes from."""
    return tuple(
        OperationInfo(
            name=row.name,
            method=THEIRS[row.name].method,
            path=THEIRS[row.name].path,
            provenance=THEIRS[row.name].provenance,
            note=THEIRS[row.name].note,
            used_by=row.used_by,
        )
        for row in OPERATIONS.values()
    )
