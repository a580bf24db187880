"""How a chat looks: for pipes and programs, and on a terminal."""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator
from typing import Protocol

from attrs import define, field
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.patch_stdout import patch_stdout
from rich.text import Text

from puzzel_chat import (
    AgentJoined,
    AgentLeft,
    AgentTyping,
    Allocation,
    AllocationStage,
    Author,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    Event,
    FileMessage,
    Message,
    MessageEdited,
    OptionsMessage,
    Role,
    TextMessage,
)
from puzzel_chat.cli._output import Output, duration, one_line, printable

REFRESH = 0.5
BARE = "/end ends the chat, /help tells more"
CHUNK = 65536
STYLES = {Role.AGENT: "bold cyan", Role.CUSTOMER: "bold", Role.SYSTEM: "dim", Role.BOT: "bold magenta"}
NAMES = {Role.AGENT: "agent", Role.CUSTOMER: "you", Role.SYSTEM: "system", Role.BOT: "bot"}


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


@define
class TerminalFace:
    """A person at a terminal."""

    output: Output
    live: bool = True
    toolbar: str = BARE

    async def watch(self, waiting: Waiting, task: asyncio.Task[Allocation]) -> None:
        """Show position, estimated wait and elapsed time until the task is done or a key ends the wait."""
        display = asyncio.create_task(_live_line(waiting).run_async())
        try:
            await asyncio.wait([display, task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            display.cancel()
            await asyncio.wait([display])
        if not display.cancelled():
            raise display.result()

    async def lines(self) -> AsyncGenerator[str]:
        """Prompt for lines; what comes in meanwhile appears above."""
        prompt: PromptSession[str] = PromptSession(
            "you: ", bottom_toolbar=lambda: self.toolbar, refresh_interval=REFRESH
        )
        while True:
            try:
                with patch_stdout(raw=True):
                    text = await prompt.prompt_async()
            except KeyboardInterrupt:
                raise Interrupted from None
            except EOFError:
                return
            yield text

    def show(self, event: Event) -> None:
        """Print an event above the prompt; what the person wrote stands there already."""
        self._note(event)
        text = line(event)
        if text is not None and not own(event):
            self.output.say(text)

    def say(self, words: str) -> None:
        """Print a line of our own."""
        self.output.say(f"-- {words}", "dim")

    def _note(self, event: Event) -> None:
        if isinstance(event, AgentTyping):
            self.toolbar = "the agent is typing ..." if event.is_typing else BARE
        elif isinstance(event, ConnectionDegraded):
            self.toolbar = "no connection for now; trying again"
        elif isinstance(event, ConnectionRecovered) or event.author.is_agent:
            self.toolbar = BARE


def _live_line(waiting: Waiting) -> Application[Exception]:
    def words() -> str:
        told = allocation_line(waiting.last) if waiting.last else "asking for an agent"
        return f"{told}; {duration(waiting.elapsed)} elapsed (Ctrl-C leaves)"

    keys = KeyBindings()

    @keys.add("c-c")
    @keys.add("<sigint>")
    def _interrupt(event: KeyPressEvent) -> None:
        event.app.exit(result=Interrupted())

    @keys.add("c-d")
    def _give_up(event: KeyPressEvent) -> None:
        event.app.exit(result=GivenUp())

    window = Window(FormattedTextControl(words, show_cursor=False), height=1)
    return Application(Layout(window), key_bindings=keys, refresh_interval=REFRESH, erase_when_done=True)


async def piped_lines() -> AsyncGenerator[str]:
    """Give the lines of standard input as they come, until its end."""
    if sys.stdin is None:  # the input was closed before we began
        return
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_feed, args=(sys.stdin.fileno(), loop, queue), daemon=True).start()
    decoder, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
    while chunk := await queue.get():
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in lines:
            yield line.rstrip("\r")
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest.rstrip("\r")


def _feed(descriptor: int, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[bytes]) -> None:
    """Read on a thread of its own: a read that never returns must not hold up the end of the process.

    It reads the descriptor itself, since a buffered reader's lock would be held at the interpreter's end.
    """
    while True:
        try:
            chunk = os.read(descriptor, CHUNK)
        except OSError:
            chunk = b""
        try:
            loop.call_soon_threadsafe(queue.put_nowait, chunk)
        except RuntimeError:  # the loop is closed: nobody listens any more
            return
        if not chunk:
            return


def name_of(author: Author) -> str:
    """Give who wrote it; one's own messages are "you"."""
    fallback = NAMES.get(author.role, "someone")
    return fallback if author.role is Role.CUSTOMER else one_line(author.name, fallback)


def line(event: Event) -> Text | None:
    """Give the line to show, None for what needs none."""
    if isinstance(event, Message):
        return _message(event, "")
    if isinstance(event, MessageEdited):
        return _message(event.message, " (edited)")
    words = _happening(event)
    return None if words is None else Text(f"-- {words}", style="dim")


def _message(message: Message, mark: str) -> Text:
    text = Text(f"{name_of(message.author)}{mark}: ", style=STYLES.get(message.author.role, "bold"))
    return text.append(_content(message), style="" if message.author.role is not Role.SYSTEM else "dim")


def _content(message: Message) -> str:
    if isinstance(message, TextMessage):
        return _indented(message.text)
    if isinstance(message, OptionsMessage):
        choices = [f"\n   * {one_line(option.label, option.id)}" for option in message.options]
        return _indented(message.text) + "".join(choices)
    if isinstance(message, FileMessage):
        size = f", {message.size} bytes" if message.size is not None else ""
        return f"[file {one_line(message.file_name)}{size}] {one_line(message.url)}"
    kind = one_line(message.type, "of no type")
    return f"[a message {kind!r} that this version cannot show]"


def _indented(text: str) -> str:
    return printable(text).replace("\n", "\n   ")


def _happening(event: Event) -> str | None:
    if isinstance(event, AgentJoined):
        return f"{one_line(event.agent.name if event.agent else None, 'an agent')} joined"
    if isinstance(event, AgentLeft):
        return f"{one_line(event.agent.name if event.agent else None, 'the agent')} left; another may come"
    if isinstance(event, ConnectionDegraded):
        return f"connection lost for now, the chat goes on: {one_line(event.problem)}"
    if isinstance(event, ConnectionRecovered):
        return f"connection back after {event.after:.1f} s"
    if isinstance(event, ConversationEnded) and event.by is not Role.CUSTOMER:
        who = {Role.AGENT: "the agent", Role.SYSTEM: "the contact centre", Role.BOT: "the bot"}
        return f"chat ended by {who.get(event.by, 'the other side')}"
    return None


def allocation_line(allocation: Allocation) -> str:
    """Give how the search for an agent goes, on one line."""
    stage = allocation.stage
    words = {
        AllocationStage.QUEUED: "waiting for an agent",
        AllocationStage.OFFERED: "an agent is being asked",
        AllocationStage.DECLINED: "that agent declined; asking another",
        AllocationStage.ASSIGNED: "an agent takes the chat",
    }.get(stage, f"the request is {stage.value}")
    if allocation.queue_position is not None:
        words += f", position {allocation.queue_position}"
    if allocation.estimated_wait is not None:
        words += f", about {duration(allocation.estimated_wait)}"
    return words


def allocation_record(allocation: Allocation, elapsed: float) -> dict[str, object]:
    """Give an allocation for programs."""
    return {
        "event": "Allocation",
        "stage": allocation.stage.value,
        "position": allocation.queue_position,
        "estimated_wait": allocation.estimated_wait,
        "elapsed": round(elapsed, 3),
    }


def record(event: Event) -> dict[str, object]:
    """Give an event for programs: its kind, who and when, and the service's own words in `raw`."""
    given: dict[str, object] = {
        "event": type(event).__name__,
        "id": event.id,
        "version": event.version,
        "sent_at": event.sent_at.isoformat() if event.sent_at else None,
        "role": event.author.role.value,
        "author": event.author.name,
        "raw": event.raw,
    }
    message = event.message if isinstance(event, MessageEdited) else event
    if isinstance(message, TextMessage | OptionsMessage):
        given["text"] = message.text
    if isinstance(event, ConversationEnded):
        given["by"] = event.by.value
    return given
