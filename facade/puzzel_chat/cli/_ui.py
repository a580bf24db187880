"""The two user interfaces of a chat: lines for pipes and programs, and a prompt on a terminal."""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

from attrs import define
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
    AllocationChanged,
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
    PuzzelChatError,
    Role,
    TextMessage,
)
from puzzel_chat.cli._output import CliError, Output, duration, one_line, printable

REFRESH_INTERVAL = 0.5
TOOLBAR = "/end ends the chat, /help shows more"
CHUNK = 65536
STYLES = {Role.AGENT: "bold cyan", Role.CUSTOMER: "bold", Role.SYSTEM: "dim", Role.BOT: "bold magenta"}
NAMES = {Role.AGENT: "agent", Role.CUSTOMER: "you", Role.SYSTEM: "system", Role.BOT: "bot"}


class Interrupted(Exception):
    """Ctrl-C was pressed."""


class InputClosed(Exception):
    """Ctrl-D was pressed."""


class UI(Protocol):
    """What a chat needs to show and to read."""

    interactive: bool

    async def wait(self, search: asyncio.Task[Allocation]) -> None:
        """Return when the search for an agent is done. Raise `Interrupted` or `InputClosed`."""

    def show_allocation(self, allocation: Allocation) -> None:
        """Show how the search for an agent goes."""

    def lines(self, typed: Callable[[str], None]) -> AsyncGenerator[str]:
        """Yield what the customer writes, until the end of input. Raise `Interrupted`.

        A person's unfinished line goes to `typed` at each change, and an empty one when the next line begins.
        """
        ...

    def show(self, event: Event) -> None:
        """Show an event."""

    def show_error(self, error: PuzzelChatError | CliError) -> None:
        """Tell a program of an error; a person hears of it elsewhere."""

    def say(self, text: str) -> None:
        """Show a message of the command itself."""


@define
class PlainUI:
    """Lines in, lines out; with `--json`, one object for each event, and what is for people on standard error."""

    output: Output
    conversation_id: str
    interactive: bool = False
    began: float = 0.0

    async def wait(self, search: asyncio.Task[Allocation]) -> None:
        """Wait; Ctrl-C comes as a cancellation."""
        self.began = time.monotonic()
        await asyncio.wait([search])

    def show_allocation(self, allocation: Allocation) -> None:
        """Print a change."""
        elapsed = time.monotonic() - self.began
        self.output.say(f"-- {allocation_text(allocation)} ({elapsed:.0f} s elapsed)", "dim")
        cid = self.conversation_id
        changed = AllocationChanged(conversation_id=cid, id=f"{cid}:allocation", allocation=allocation)
        self.output.record(changed.to_dict())

    def lines(self, typed: Callable[[str], None]) -> AsyncGenerator[str]:
        """Yield the lines of standard input; nobody sees them typed."""
        return piped_lines()

    def show(self, event: Event) -> None:
        """Print an event; typing only for programs."""
        self.output.record(event.to_dict())
        text = event_text(event)
        if text is not None:
            self.output.say(text)

    def show_error(self, error: PuzzelChatError | CliError) -> None:
        """Print it for programs."""
        self.output.record({**error.to_dict(), "conversation_id": self.conversation_id})

    def say(self, text: str) -> None:
        """Print a notice."""
        self.output.notice(f"-- {text}")


@define
class TerminalUI:
    """A live line while waiting, then a prompt below the messages."""

    output: Output
    interactive: bool = True
    began: float = 0.0
    allocation: Allocation | None = None
    toolbar: str = TOOLBAR

    async def wait(self, search: asyncio.Task[Allocation]) -> None:
        """Show position, estimated wait and elapsed time until the search is done or a key ends the wait."""
        self.began = time.monotonic()
        display = asyncio.create_task(_live_line(self._waiting_text).run_async())
        try:
            await asyncio.wait([display, search], return_when=asyncio.FIRST_COMPLETED)
        finally:
            display.cancel()
            await asyncio.wait([display])
        if not display.cancelled():
            raise display.result()

    def show_allocation(self, allocation: Allocation) -> None:
        """Show it in the live line."""
        self.allocation = allocation

    def _waiting_text(self) -> str:
        text = allocation_text(self.allocation) if self.allocation else "asking for an agent"
        return f"{text}; {duration(time.monotonic() - self.began)} elapsed (Ctrl-C leaves)"

    async def lines(self, typed: Callable[[str], None]) -> AsyncGenerator[str]:
        """Prompt for lines; what comes in meanwhile appears above the prompt."""
        prompt: PromptSession[str] = PromptSession(
            "you: ", bottom_toolbar=lambda: self.toolbar, refresh_interval=REFRESH_INTERVAL
        )
        prompt.default_buffer.on_text_changed += lambda buffer: typed(buffer.text)
        while True:
            typed("")
            try:
                with patch_stdout(raw=True):
                    line = await prompt.prompt_async()
            except KeyboardInterrupt:
                raise Interrupted from None
            except EOFError:
                return
            yield line

    def show(self, event: Event) -> None:
        """Print an event above the prompt, except what was typed there."""
        self._update_toolbar(event)
        typed = event.author.role is Role.CUSTOMER and not isinstance(event, MessageEdited)
        text = event_text(event)
        if text is not None and not typed:
            self.output.say(text)

    def show_error(self, error: PuzzelChatError | CliError) -> None:
        """Leave it to those who print errors."""

    def say(self, text: str) -> None:
        """Print a notice."""
        self.output.notice(f"-- {text}")

    def _update_toolbar(self, event: Event) -> None:
        if isinstance(event, AgentTyping):
            self.toolbar = "the agent is typing ..." if event.is_typing else TOOLBAR
        elif isinstance(event, ConnectionDegraded):
            self.toolbar = "no connection for now; trying again"
        elif isinstance(event, ConnectionRecovered | AgentLeft) or event.author.is_agent:
            self.toolbar = TOOLBAR


def _live_line(text: Callable[[], str]) -> Application[Exception]:
    """Return a display of one line; Ctrl-C and Ctrl-D end it with an exception as its result."""
    keys = KeyBindings()

    @keys.add("c-c")
    @keys.add("<sigint>")
    def _interrupt(event: KeyPressEvent) -> None:
        event.app.exit(result=Interrupted())

    @keys.add("c-d")
    def _close(event: KeyPressEvent) -> None:
        event.app.exit(result=InputClosed())

    window = Window(FormattedTextControl(text, show_cursor=False), height=1)
    return Application(Layout(window), key_bindings=keys, refresh_interval=REFRESH_INTERVAL, erase_when_done=True)


async def piped_lines() -> AsyncGenerator[str]:
    """Yield the lines of standard input as they come, until its end."""
    if sys.stdin is None:  # it was closed before the start
        return
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_read_chunks, args=(sys.stdin.fileno(), loop, queue), daemon=True).start()
    decoder, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
    while chunk := await queue.get():
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in lines:
            yield line.rstrip("\r")
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest.rstrip("\r")


def _read_chunks(descriptor: int, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[bytes]) -> None:
    """Put what is read into the queue, an empty chunk at the end; runs in a daemon thread.

    A read that never returns must not delay the exit. `sys.stdin.read` would: it holds a lock that the interpreter
    takes at the end.
    """
    while True:
        try:
            chunk = os.read(descriptor, CHUNK)
        except OSError:
            chunk = b""
        try:
            loop.call_soon_threadsafe(queue.put_nowait, chunk)
        except RuntimeError:  # the loop is closed
            return
        if not chunk:
            return


def event_text(event: Event) -> Text | None:
    """Return the line for people, safe to print; None for an event that needs none."""
    if isinstance(event, Message):
        return _message_text(event, "")
    if isinstance(event, MessageEdited):
        return _message_text(event.message, " (edited)")
    text = _notice(event)
    return None if text is None else Text(f"-- {text}", style="dim")


def _message_text(message: Message, mark: str) -> Text:
    text = Text(f"{_author_name(message.author)}{mark}: ", style=STYLES.get(message.author.role, "bold"))
    return text.append(_content(message), style="dim" if message.author.role is Role.SYSTEM else "")


def _author_name(author: Author) -> str:
    name = NAMES.get(author.role, "someone")
    return name if author.role is Role.CUSTOMER else one_line(author.name, name)


def _content(message: Message) -> str:
    if isinstance(message, TextMessage):
        return _indented(message.text)
    if isinstance(message, OptionsMessage):
        choices = [f"\n   * {one_line(option.label) or one_line(option.id)}" for option in message.options]
        return _indented(message.text) + "".join(choices)
    if isinstance(message, FileMessage):
        size = f", {message.size} bytes" if message.size is not None else ""
        return f"[file {one_line(message.file_name)}{size}] {one_line(message.url)}"
    kind = one_line(message.service_type, "of no type")
    return f"[a message {kind!r} that this version cannot show]"


def _indented(text: str) -> str:
    return printable(text).replace("\n", "\n   ")


def _notice(event: Event) -> str | None:
    if isinstance(event, AgentJoined):
        return f"{one_line(event.agent.name if event.agent else None, 'an agent')} joined"
    if isinstance(event, AgentLeft):
        return f"{one_line(event.agent.name if event.agent else None, 'the agent')} left; another may come"
    if isinstance(event, ConnectionDegraded):
        return f"connection lost for now, the chat goes on: {one_line(event.problem)}"
    if isinstance(event, ConnectionRecovered):
        return f"connection back after {event.after:.1f} s"
    if isinstance(event, ConversationEnded) and event.by is not Role.CUSTOMER:
        names = {Role.AGENT: "the agent", Role.SYSTEM: "the contact centre", Role.BOT: "the bot"}
        return f"chat ended by {names.get(event.by, 'the other side')}"
    return None


def allocation_text(allocation: Allocation) -> str:
    """Return stage, position and estimated wait on one line."""
    text = {
        AllocationStage.QUEUED: "waiting for an agent",
        AllocationStage.OFFERED: "an agent is being asked",
        AllocationStage.DECLINED: "that agent declined; asking another",
        AllocationStage.ASSIGNED: "an agent takes the chat",
    }.get(allocation.stage, f"the request is {allocation.stage.value}")
    if allocation.queue_position is not None:
        text += f", position {allocation.queue_position}"
    if allocation.estimated_wait is not None:
        text += f", about {duration(allocation.estimated_wait)}"
    return text
