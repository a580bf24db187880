"""A session's message log and the three things a poll may mean."""

from __future__ import annotations

import re

from attrs import define, field

from ._values import Entry, Json, Semantics


@define(eq=False)
class Log:
    """Every entry of a session in the order it came, edits as entries of their own."""

    entries: list[Entry] = field(factory=list[Entry])
    read: int = 0

    def poll(self, semantics: Semantics, after: str | None) -> tuple[list[Json], str | None]:
        """Return wire messages and the cursor; which ones, the semantics say (all three are assumed)."""
        chosen = {"history": self._history, "cursor": self._after, "drain": self._unread}[semantics](after)
        self.read = len(self.entries)
        return chosen, f"c{self.read}" if semantics == "cursor" else None

    def _history(self, after: str | None) -> list[Json]:
        """Everything, each message once, in its old place, as it reads now."""
        return list({entry.id: entry.wire for entry in self.entries}.values())

    def _after(self, after: str | None) -> list[Json]:
        """What came after the cursor; a cursor that means nothing here gets everything."""
        known = re.fullmatch(r"c(\d{1,9})", after or "", re.ASCII)
        start = int(known[1]) if known else 0
        return [entry.wire for entry in self.entries[start if start <= len(self.entries) else 0 :]]

    def _unread(self, after: str | None) -> list[Json]:
        """What no poll has returned yet: a reply that is lost on its way stays lost."""
        return [entry.wire for entry in self.entries[self.read :]]
