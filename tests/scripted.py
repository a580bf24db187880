"""Sessions of both shells on a transport of the test's own, and sessions without a shell."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar, cast

from puzzel_chat import AsyncSession, Session, _async, _sync
from puzzel_chat._session import SessionState, restored
from puzzel_chat._steps import Parts, Steps, at_once
from puzzel_chat._store import Store
from puzzel_chat._tokens import Now, TokenSet
from puzzel_chat._wire.replies import Poll

_T = TypeVar("_T")


def blocking(state: SessionState, transport: Any) -> Session:
    """A blocking session that sends over that transport."""
    return Session(state, _sync.Runner(transport, state.parts))


def awaiting(state: SessionState, transport: Any) -> AsyncSession:
    """An awaiting session that sends over that transport."""
    return AsyncSession(state, _async.Runner(transport, state.parts))


def store_of(parts: Parts) -> Store:
    """The store of an application, which nobody has to await."""
    return cast("Store", parts.store)


def done(steps: Steps[_T], parts: Parts) -> _T:
    """What a workflow gives that asks for nothing but such a store."""
    return at_once(steps, store_of(parts))


class Plain:
    """A session whose workflows are done at once, for tests that need no shell; `state` is the session itself."""

    def __init__(self, state: SessionState) -> None:
        self.state = state

    @classmethod
    def opened(cls, session_id: str, parts: Parts, tokens: TokenSet, asked: Now) -> Plain:
        """Begin a session."""
        return cls(done(SessionState.opened(session_id, parts, tokens, asked), parts))

    @classmethod
    def restored(cls, parts: Parts, session_id: str, shared: bool = False) -> Plain:
        """Take one up again."""
        return cls(done(restored(parts, session_id, shared), parts))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.state, name)
        return self._done(value) if inspect.ismethod(value) else value

    def polled(self, batch: Poll) -> int:
        """Take a poll's result in, and write it down, as a poll does."""
        new = self.state.polled(batch)
        self.catch_up()
        return new

    def catch_up(self) -> None:
        """Write down what is not written yet."""
        done(self.state.lease.catch_up(), self.state.parts)

    def _done(self, method: Any) -> Any:
        def doing(*arguments: Any, **named: Any) -> Any:
            result = method(*arguments, **named)
            return done(cast("Steps[object]", result), self.state.parts) if inspect.isgenerator(result) else result

        return doing
