"""A session's message log and the three things a poll may mean.

Its events are numbered from 1 without gaps, and the cursor is the number of the last one, 0 before the first. That is
how the vendor's own stream has it (related); that a poll does too is assumed.
"""

from __future__ import annotations

import re

from attrs import define, field

from ._values import Entry, Json, Semantics


@define(eq=False)
class Log:
    """Every event of a session in the order it came, edits as events of their own."""

    entries: list[Entry] = field(factory=list[Entry])
    read: int = 0

    @property
    def next_id(self) -> int:
        """The number of the event that comes next."""
        return len(self.entries) + 1

    def poll(self, semantics: Semantics, after: str | None) -> tuple[list[Json], int | None, bool]:
        """Return wire messages, the cursor, and whether there is anything new; the semantics say which messages."""
        unread = self.read < len(self.entries)
        chosen = {"history": self._history, "cursor": self._after, "drain": self._unread}[semantics](after)
        self.read = len(self.entries)
        return chosen, self.read if semantics == "cursor" else None, unread if semantics == "history" else bool(chosen)

    def _history(self, after: str | None) -> list[Json]:
        """Everything, each message once, in its old place, as it reads now."""
        return list({entry.id: entry.wire for entry in self.entries}.values())

    def _after(self, after: str | None) -> list[Json]:
        """What came after the cursor; a cursor that means nothing here gets everything."""
        start = int(after) if after and re.fullmatch(r"\d{1,9}", after, re.ASCII) else 0
        return [entry.wire for entry in self.entries[start if start <= len(self.entries) else 0 :]]

    def _unread(self, after: str | None) -> list[Json]:
        """What no poll has returned yet: a reply that is lost on its way stays lost."""
        return [entry.wire for entry in self.entries[self.read :]]
