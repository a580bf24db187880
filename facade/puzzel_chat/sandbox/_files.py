"""Files that customer and agent sent: everything here is assumed, the address of a file too."""

from __future__ import annotations

from itertools import count

from attrs import field, frozen

from ._sessions import Session
from ._values import Json, Refusal

LARGEST = 20 * 2**20
"""Bytes that a file may have."""


@frozen
class StoredFile:
    """A file at the contact centre, at `url`."""

    id: str
    url: str = field(repr=False)
    name: str = field(repr=False)
    content_type: str
    data: bytes = field(repr=False)

    def wire(self) -> Json:
        """Return the members of a message that is this file."""
        return {"fileName": self.name, "url": self.url, "contentType": self.content_type, "size": len(self.data)}


class Files:
    """All files, each for the session in which it was sent; `origin` is the address of the host that has them."""

    def __init__(self) -> None:
        self.origin = ""
        self._numbers = count(1)
        self._kept: dict[str, tuple[Session, StoredFile]] = {}

    def add(self, session: Session, name: str, content_type: str, data: bytes) -> StoredFile:
        """Keep a file.

        Raises:
            Refusal: 413 when it is too large.

        """
        if len(data) > LARGEST:
            raise Refusal(413, "FileTooLarge", f"a file may have {LARGEST} bytes")
        key = f"file-{next(self._numbers)}"
        stored = StoredFile(key, f"{self.origin}/api/file/{key}", name, content_type, data)
        self._kept[key] = session, stored
        return stored

    def get(self, session: Session, key: str) -> StoredFile:
        """Return a file of this session.

        Raises:
            Refusal: 404 when there is none.

        """
        owner, stored = self._kept.get(key, (None, None))
        if stored is None or owner is not session:
            raise Refusal(404, "FileNotFound", "no such file in this session")
        return stored

    def at(self, url: object) -> StoredFile:
        """Return the file at an address.

        Raises:
            LookupError: there is none.

        """
        for _, stored in self._kept.values():
            if stored.url == url:
                return stored
        raise LookupError("no file of this sandbox")
