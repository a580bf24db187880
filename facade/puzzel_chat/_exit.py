"""What the service is still told when the program exits without `close()`.

A chat whose session is in a `MemoryStore` can never be taken up again, and an agent would talk to nobody: it is ended.
Chats of another store stay, for `resume`. All of it takes five seconds at most. Neither a process that is killed
(SIGTERM without a handler is that too) nor a forked child comes here.
"""

from __future__ import annotations

import atexit
import time
from weakref import WeakSet

from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._fork import in_child
from puzzel_chat._refresh import FLIGHTS
from puzzel_chat._retry import LEAVE_WITHIN, within
from puzzel_chat._session import SessionState, log
from puzzel_chat._steps import Send, ThreadFlag
from puzzel_chat._store import MemoryStore
from puzzel_chat._transport import Transport
from puzzel_chat._wire.operations import end_request

SESSIONS: WeakSet[SessionState] = WeakSet()
"""Sessions of this process. Closed ones too: a chat that goes on in one of them ends with the process as well."""
in_child(SESSIONS.clear)


@atexit.register
def leave() -> None:
    """End the chats that nobody can take up again, and let refreshes land; five seconds in all."""
    by = time.monotonic() + LEAVE_WITHIN
    transports: dict[int, Transport] = {}
    for state in list(SESSIONS):
        if isinstance(state.parts.store, MemoryStore) and (left := state.going_on()):
            parts = state.parts
            try:
                if id(parts) not in transports:
                    transports[id(parts)] = Transport(parts.settings, parts.http_client)
            except PuzzelChatError as error:
                log.warning("%d conversations could not be ended at exit: %s", len(left), error)
                continue
            _end(state, left, transports[id(parts)], by)
    for transport in transports.values():
        transport.close()
    for flight in list(FLIGHTS):
        # A task has ended with its event loop.
        if flight.awaited and isinstance(flight.landed, ThreadFlag):
            flight.landed.wait(max(0.0, by - time.monotonic()))


def _end(state: SessionState, left: list[str], transport: Transport, by: float) -> None:
    for conversation_id in left:
        now, address = time.monotonic(), state.parts.settings.address("communication")
        if state.leave_by(conversation_id) <= now:
            continue
        try:
            # Once, with the token at hand and on a connection of its own: no thread can be started any more,
            # and no event loop runs.
            allowed = within(by, now, address)
            ask = Send(end_request(conversation_id), state.keeper.life.tokens.access, allowed, state.id)
            with state.parts.watched(ask) as seen:
                seen.reply = transport.send(ask.request, ask.access, ask.within)
        except PuzzelChatError as error:
            log.warning("conversation %s could not be ended at exit: %s", conversation_id, type(error).__name__)
