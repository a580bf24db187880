"""Sessions of both shells on a transport of the test's own."""

from __future__ import annotations

from typing import Any

from puzzel_chat import AsyncSession, Session, _async, _sync
from puzzel_chat._session import SessionState


def blocking(state: SessionState, transport: Any) -> Session:
    """A blocking session that sends over that transport."""
    return Session(state, _sync.Runner(transport, state.parts))


def awaiting(state: SessionState, transport: Any) -> AsyncSession:
    """An awaiting session that sends over that transport."""
    return AsyncSession(state, _async.Runner(transport, state.parts))
