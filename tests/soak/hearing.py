"""What each session was answered, noted beneath the client: it proves that the design, and no mistake, ends a polling.

Four tokens refused in a row for one poll end it, and three replies in a row that cannot be read. Counted faults never
do that to a lone session, but of many that share the counts one may well meet several of them in a row.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

from attrs import define, field

from puzzel_chat import AuthenticationError, ContractError
from puzzel_chat._async_transport import AsyncTransport
from puzzel_chat._fleet._transport import FleetTransport
from puzzel_chat._http import Reply, Request
from puzzel_chat._retry import MAX_UNDECODABLE
from puzzel_chat._session import REPLAYS, SessionState
from puzzel_chat._steps import Steps
from puzzel_chat._wire.operations import POLL, TOKEN
from soak.talks import Key, item_key

REFUSED = REPLAYS + 1
"""Tokens refused in a row for one poll that end it."""
_NEEDED = {POLL.name: ("messages", list), TOKEN.name: ("access_token", str)}


@define
class Ear:
    """Listens for one session: the tokens refused for its last poll, the unreadable replies since the last good poll.

    A poll waits for its token, so a refresh that fails counts as the poll's failure. `heard` is all that came,
    `failed_for` the seconds for which no poll had succeeded at the last failure.
    """

    refused: set[str | None] = field(factory=set)
    unreadable: int = 0
    heard: set[Key] = field(factory=set)
    failed_for: float = 0.0
    _good_at: float = field(factory=time.monotonic)

    def note(self, request: Request, access: str | None, reply: Reply | None) -> None:
        """Note a reply, or that none came."""
        if request.operation not in _NEEDED:
            return
        polled = request.operation == POLL.name
        if polled:
            self.refused = {*self.refused, access} if reply is not None and reply.status == 401 else set()
        found = None if reply is None or reply.status != 200 else _needed(request.operation, reply.body)
        if found is None:
            self.failed_for = time.monotonic() - self._good_at
            self.unreadable += reply is not None and reply.status == 200
        elif polled:
            self._good_at, self.failed_for, self.unreadable = time.monotonic(), 0.0, 0
            self.heard.update(item_key(one) for one in found if "version" in one)

    def explains(self, error: Exception | None) -> bool:
        """Tell whether an error is what the design makes of what came."""
        if isinstance(error, AuthenticationError):
            return len(self.refused) >= REFUSED
        return isinstance(error, ContractError) and self.unreadable >= MAX_UNDECODABLE


def _needed(operation: str, body: bytes) -> Any:
    name, kind = _NEEDED[operation]
    try:
        found = json.loads(body)[name]
    except (ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, kind) else None


@contextmanager
def hearing() -> Iterator[WeakKeyDictionary[SessionState, Ear]]:
    """Listen for all sessions meanwhile."""
    ears: WeakKeyDictionary[SessionState, Ear] = WeakKeyDictionary()
    # A refresh is a task of its own, begun in the exchange that needs it.
    whose: ContextVar[Ear | None] = ContextVar("whose", default=None)
    exchange = SessionState._exchange

    def heard(session: SessionState, *arguments: Any) -> Steps[Reply]:
        before = whose.set(ears.setdefault(session, Ear()))
        try:
            return (yield from exchange(session, *arguments))
        finally:
            whose.reset(before)

    def noting(send: Callable[..., Any]) -> Callable[..., Any]:
        async def noted(carrier: Any, request: Request, access: str | None, within: float | None = None) -> Reply:
            reply: Reply | None = None
            try:
                reply = await send(carrier, request, access, within)
            finally:
                if (ear := whose.get()) is not None:
                    ear.note(request, access, reply)
            return reply

        return noted

    with (
        patch.object(SessionState, "_exchange", heard),
        patch.object(AsyncTransport, "send", noting(AsyncTransport.send)),
        patch.object(FleetTransport, "send", noting(FleetTransport.send)),
    ):
        yield ears
