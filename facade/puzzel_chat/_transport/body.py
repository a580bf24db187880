"""Pure: a reply's body as it arrives, unpacked and bounded."""

from __future__ import annotations

import zlib

from puzzel_chat._config import HostName
from puzzel_chat._errors import ContractError

LARGEST_REPLY = 8 * 2**20
"""Bytes of one reply that are taken, unpacked: a poll that repeats a whole chat of 16 000 messages of 500 bytes."""
PACKINGS = "gzip"
"""What is asked for in Accept-Encoding, and all that is unpacked here: the HTTP library unpacks without a bound."""


class Body:
    """Takes a body piece by piece.

    Raises `ContractError` for a packing that was not asked for, since a service that sends it will go on doing so, and
    when there is more than is taken; `zlib.error` for a packed body that is damaged or cut short.
    """

    def __init__(self, operation: str, packing: str, host: HostName = "communication") -> None:
        self._operation = operation
        self._host: HostName = host
        self._taken = bytearray()
        packing = packing.strip().lower()
        if packing not in ("", "identity", "gzip", "x-gzip"):
            raise self._refused("the reply is packed in a way that was not asked for (only gzip is)")
        self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if packing.endswith("gzip") else None

    def take(self, piece: bytes) -> None:
        """Add a piece; no more of it is unpacked than can be kept."""
        if self._unpacker is not None:
            piece = self._unpacker.decompress(piece, LARGEST_REPLY + 1 - len(self._taken))
            if self._unpacker.unused_data:
                raise zlib.error("bytes after the end")
        if len(self._taken) + len(piece) > LARGEST_REPLY:
            raise self._refused(f"the reply is larger than {LARGEST_REPLY // 2**20} MiB, the most that is read")
        self._taken += piece

    def whole(self) -> bytes:
        """Give the body after its last piece."""
        if self._unpacker is not None and self._taken and not self._unpacker.eof:
            raise zlib.error("cut short")
        return bytes(self._taken)

    def _refused(self, problem: str) -> ContractError:
        error = ContractError(self._operation, "", problem, "(not shown)")
        error.host = self._host
        return error
