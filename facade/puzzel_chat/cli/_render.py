"""Pure: events as lines for people and as records for programs. Nothing of the service reaches a terminal raw."""

from __future__ import annotations

from rich.text import Text

from puzzel_chat import (
    AgentJoined,
    AgentLeft,
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
from puzzel_chat.cli._words import duration, one_line, printable

STYLES = {Role.AGENT: "bold cyan", Role.CUSTOMER: "bold", Role.SYSTEM: "dim", Role.BOT: "bold magenta"}
NAMES = {Role.AGENT: "agent", Role.CUSTOMER: "you", Role.SYSTEM: "system", Role.BOT: "bot"}


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
