"""What both sides of a conversation noted: its application, and the contact centre."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from attrs import define, field, frozen

from puzzel_chat import AuthenticationError, Event
from puzzel_chat.sandbox import Entry, Semantics

Key = tuple[str, int]
"""Which message, and its version; an edit is a version of its own. An id alone is not enough: ids may begin again."""
PLANTED: Key = ("17", 1)
"""The bad item that the fault of that name plants."""


def named(message_id: str, sent_at: datetime | str | None) -> str:
    """Tell a message from a later one of the same id, where it has a time."""
    if isinstance(sent_at, str):
        sent_at = datetime.fromisoformat(sent_at)
    return message_id if sent_at is None else f"{message_id} of {sent_at:%H:%M:%S.%f}"


def message_id(name: str) -> str:
    """Give the id in a name."""
    return name.partition(" of ")[0]


def event_key(event: Event) -> Key:
    """Name what a client delivered."""
    return named(event.id, event.sent_at), event.version


def entry_key(entry: Entry) -> Key:
    """Name what the ledger holds; an edit has the time of its message."""
    sent_at = entry.wire.get("sentAt")
    return named(entry.id, sent_at if isinstance(sent_at, str) else None), entry.version


def item_key(item: Mapping[str, Any]) -> Key:
    """Name what a reply held."""
    return named(item["id"], item["sentAt"]), item["version"]


@define
class Sent:
    """A line that the customer sent, and how that went: returned (with an id), unknown, or certainly failed."""

    text: str = field(repr=False)
    outcome: Literal["returned", "unknown", "failed"]
    id: str | None = None


@define
class Talk:
    """One conversation as its application saw it.

    `edits` were told as edits, `kept` is what the transcript holds. `told` says that a call was answered with the end
    of the chat, `open` that `ended` was still False when the application stopped. `refused` counts the calls that
    raised `AuthenticationError`, `oversized` the lines that went out although they are larger than the client's bound.
    """

    conversation_id: str
    delivered: list[Key] = field(factory=list)
    ends: int = 0
    sends: list[Sent] = field(factory=list)
    failure: str | None = None
    expired: bool = False
    closed: bool = False
    degraded_at: float | None = None
    given_up: bool = False
    edits: set[Key] = field(factory=set)
    kept: Collection[Key] | None = None
    told: bool = False
    open: bool = False
    refused: int = 0
    oversized: int = 0

    def failed(self, error: Exception) -> None:
        """Note what a call raised."""
        self.refused += isinstance(error, AuthenticationError)


@frozen
class Truth:
    """The same conversation as the contact centre knows it.

    `shown` went out whole, `spoilt` was in a reply that a fault harmed, `too_large` in one that no client reads.
    `forgotten` means that its session is no more, `given_up` that the customer knew of the end and then no poll
    succeeded for so long that the client waits no more for the last words, `silent` that nothing but the event itself
    tells an end to somebody who only listens.
    """

    entries: Sequence[Entry]
    semantics: Semantics
    shown: Collection[Key] = frozenset()
    spoilt: Collection[Key] = frozenset()
    planted: bool = False
    forgotten: bool = False
    given_up: bool = False
    too_large: Collection[Key] = frozenset()
    silent: bool = True

    @property
    def end(self) -> Key | None:
        """The event of the end, if there is one."""
        ends = (one for one in self.entries if one.type == "Event" and one.content == "ConversationEnded")
        return next(map(entry_key, ends), None)
