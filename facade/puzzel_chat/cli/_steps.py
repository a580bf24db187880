"""The steps that the demo promises, and those that were seen."""

from __future__ import annotations

import time

from attrs import define, field

from puzzel_chat.cli._output import Output

PROMISED = {
    "session": "a session opened",
    "queue": "the queue found open",
    "routed": "the chat routed",
    "position": "the position going down",
    "offered": "the chat offered",
    "declined": "the offer declined by a first agent",
    "offered-again": "the chat offered again",
    "joined": "an agent joining",
    "messages": "at least six messages, both ways",
    "edit": "an edit",
    "unknown": "a message of an unknown type",
    "degraded": "a failed poll shown as degraded",
    "recovered": "the connection recovered",
    "refreshed": "a token refresh in the middle of the chat",
    "ended": "the end by the agent",
}


@define
class Steps:
    """Prints each step as it happens, with the seconds since the beginning."""

    output: Output
    began: float = field(factory=time.monotonic)
    seen: set[str] = field(factory=set[str])

    def done(self, step: str, text: str, style: str = "") -> None:
        """Show a step, and count it."""
        self.seen.add(step)
        elapsed = time.monotonic() - self.began
        line = f"{elapsed:4.1f}s  {text}"
        self.output.show({"step": step, "elapsed": round(elapsed, 3), "text": text}, line, style)

    @property
    def missing(self) -> list[str]:
        """Give what was promised and not seen, in words."""
        return [words for step, words in PROMISED.items() if step not in self.seen]
