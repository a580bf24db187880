"""Pure: what the agent is told of the customer's typing, and when."""

from __future__ import annotations

import math

from attrs import define

PAUSE = 5.0
"""Seconds without a change after which the customer no longer types."""
REPEAT = 5.0
"""Seconds after which the agent is told again that the customer types."""
NEVER = -math.inf


def is_command(line: str) -> bool:
    """Whether a line is for this program and not for the agent."""
    return line.startswith("/") and not line.startswith("//")


@define
class Typing:
    """What to tell the agent of one customer. Times are monotonic seconds.

    Ask `next` after each change, after each call to the service, and at the time that `until` gives.
    """

    _changed: float = NEVER
    """The last change of a text that is for the agent; never if there is no such text now."""
    _told: float = NEVER
    """When the agent was told last that the customer types; never if the agent does not believe it now."""
    _entered: bool = False

    def changed(self, text: str, now: float) -> None:
        """Note the text that the customer has written so far."""
        self._changed = now if text.strip() and not is_command(text) else NEVER
        self._entered = False

    def entered(self) -> None:
        """Note that the line is on its way: what was not told of it yet would come after it."""
        self._entered = True

    def sent(self) -> None:
        """Note that the line has arrived, which ends the typing by itself."""
        self._changed = self._told = NEVER

    def next(self, now: float) -> bool | None:
        """Return whether the agent is to be told now that the customer types, or has stopped; None for nothing new.

        What is returned counts as told.
        """
        if self._entered:
            return None
        types = now < self._changed + PAUSE
        if types and self._changed >= self._told + REPEAT:
            self._told = now
            return True
        if not types and self._told != NEVER:
            self._told = NEVER
            return False
        return None

    def until(self) -> float | None:
        """Return when there is something to tell if the text does not change; None for never."""
        return None if self._entered or self._told == NEVER else self._changed + PAUSE
