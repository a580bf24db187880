"""What is noted of the sandbox's requests: the newest ones, and what polls brought, for the newest chats."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from itertools import count
from typing import Any

from attrs import define, field

from puzzel_chat.sandbox import Exchange, Happening, Sandbox

from ._compare import Key
from ._stream import Json

NEWEST = 200
"""Requests that are kept."""
CHATS = 1000
"""Chats whose polls are kept."""

Item = Mapping[str, Any]


def key_of(message_id: object, version: object, sent_at: object) -> Key:
    """Return which message this is; its time tells it from a later one of the same id."""
    return f"{message_id} of {sent_at}", version if isinstance(version, int) else 1


def item_key(item: Item) -> Key:
    """Return which message an item of a poll is."""
    return key_of(item.get("id"), item.get("version"), item.get("sentAt"))


@define
class Polled:
    """What polls brought of one chat: each item once, in the order in which it first went out whole."""

    delivered: dict[Key, Item] = field(factory=dict[Key, Item])
    fetched: set[Key] = field(factory=set[Key])
    """Also what was lost on the way."""


class Recorder:
    """Notes the requests of a sandbox from now on."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._requests: deque[tuple[int, Json]] = deque(maxlen=NEWEST)
        self._polled: OrderedDict[str, Polled] = OrderedDict()
        self.stop = sandbox.watch(self._hear)
        self._before = {chat.id: chat.entries for chat in sandbox.chats(ended=True)}

    def requests(self, since: int = 0) -> tuple[list[Json], int]:
        """Return the newest requests after a number, oldest first, and the number of the last one."""
        with self._lock:
            found = [(number, told) for number, told in self._requests if number > since]
            return [told for _, told in found], found[-1][0] if found else since

    def polled(self, conversation_id: str) -> Polled:
        """Return what polls have brought of a chat so far."""
        with self._lock:
            found = self._polled.get(conversation_id, Polled())
            return Polled(dict(found.delivered), set(found.fetched))

    def before(self, conversation_id: str) -> int:
        """Return how many entries a chat had before anything was noted."""
        return self._before.get(conversation_id, 0)

    def _hear(self, news: Happening | Exchange) -> None:
        if not isinstance(news, Exchange):
            return
        with self._lock:
            number = next(self._numbers)
            self._requests.append((number, _told(number, news)))
            for item in news.delivered:
                self._of(item).delivered.setdefault(item_key(item), item)
            for item in (*news.delivered, *news.harmed):
                self._of(item).fetched.add(item_key(item))

    def _of(self, item: Item) -> Polled:
        polled = self._polled.setdefault(str(item.get("conversationId")), Polled())
        while len(self._polled) > CHATS:
            self._polled.popitem(last=False)
        return polled


def _told(number: int, exchange: Exchange) -> Json:
    return {
        "number": number,
        "at": exchange.at.isoformat(),
        "operation": exchange.operation,
        "status": exchange.status,
        "milliseconds": round(exchange.seconds * 1000, 1),
        "faults": list(exchange.faults),
        "token": exchange.token,
    }
