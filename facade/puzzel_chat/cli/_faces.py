"""How a chat looks: the two faces' common rules, and the plain one for pipes and programs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Protocol

from attrs import define, field

from puzzel_chat import AgentTyping, Allocation, Event, MessageEdited, Role
from puzzel_chat.cli._lines import piped_lines
from puzzel_chat.cli._output import Output
from puzzel_chat.cli._render import allocation_line, allocation_record, line, record


class Interrupted(Exception):
    """The person pressed Ctrl-C."""


class GivenUp(Exception):
    """The person closed the input with Ctrl-D."""


@define
class Waiting:
    """The wait for an agent so far."""

    output: Output
    live: bool
    began: float = field(factory=time.monotonic)
    last: Allocation | None = None

    @property
    def elapsed(self) -> float:
        """Give the seconds waited."""
        return time.monotonic() - self.began

    def changed(self, allocation: Allocation) -> None:
        """Take a change; without a live line each change is a line of its own."""
        self.last = allocation
        self.output.record(allocation_record(allocation, self.elapsed))
        if not self.live:
            self.output.say(f"-- {allocation_line(allocation)} ({self.elapsed:.0f} s elapsed)", "dim")


class Face(Protocol):
    """What a chat needs of the person in front of it."""

    live: bool

    async def watch(self, waiting: Waiting, task: asyncio.Task[Allocation]) -> None:
        """Return when the task is done; raises `Interrupted` or `GivenUp`, leaving the task alone."""

    def lines(self) -> AsyncGenerator[str]:
        """Give what the person writes, until the end of input; raises `Interrupted`."""
        ...

    def show(self, event: Event) -> None:
        """Show an event."""

    def say(self, words: str) -> None:
        """Say something of our own."""


@define
class PlainFace:
    """Lines in, lines out; with JSON, one object for each event."""

    output: Output
    live: bool = False

    async def watch(self, waiting: Waiting, task: asyncio.Task[Allocation]) -> None:
        """Wait; Ctrl-C comes as a cancellation."""
        await asyncio.wait([task])

    def lines(self) -> AsyncGenerator[str]:
        """Give the lines of standard input."""
        return piped_lines()

    def show(self, event: Event) -> None:
        """Print an event; typing is for programs only."""
        self.output.record(record(event))
        text = line(event)
        if text is not None and not isinstance(event, AgentTyping):
            self.output.say(text)

    def say(self, words: str) -> None:
        """Print a line of our own."""
        self.output.show({"event": "Notice", "text": words}, f"-- {words}", "dim")


def own(event: Event) -> bool:
    """Tell whether an event is what the person at this terminal wrote."""
    return event.author.role is Role.CUSTOMER and not isinstance(event, MessageEdited)
