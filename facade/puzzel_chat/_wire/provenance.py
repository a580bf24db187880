"""How sure we are of each operation that the facade uses, and what the document expects of it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from puzzel_chat._config import HostName
from puzzel_chat._wire.operations import OPERATIONS
from puzzel_chat_api.provenance import OPERATIONS as THEIRS


@frozen
class OperationInfo:
    """One operation: `provenance` is documented, observed, assumed or confirmed; `note` says of what.

    `used_by` is our method, `host` which of the two services answers. `statuses` are the documented ones, `reply` has
    the JSON types of the members of a success by their place, and `required` the places that must be there.
    """

    name: str
    method: str
    path: str
    provenance: str
    note: str
    used_by: str
    host: HostName
    statuses: tuple[int, ...] = field(default=(), repr=False)
    reply: Mapping[str, str] = field(factory=dict, repr=False)
    required: tuple[str, ...] = field(default=(), repr=False)


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
            host=row.host,
            statuses=THEIRS[row.name].statuses,
            reply=THEIRS[row.name].reply,
            required=THEIRS[row.name].required,
        )
        for row in OPERATIONS.values()
    )
