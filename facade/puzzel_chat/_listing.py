"""What a store holds: its sessions as `sessions()` lists them. Those that are over, or expired, are forgotten."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from puzzel_chat._errors import SessionInUse, StoreError
from puzzel_chat._lease import PollLease, lease_of
from puzzel_chat._models import Life
from puzzel_chat._refresh import stored_tokens
from puzzel_chat._session import loaded, stored_conversations
from puzzel_chat._steps import Parts, Steps, afterwards, kept
from puzzel_chat._store import SessionInfo, Store, StoredConversation
from puzzel_chat._tokens import TokenSet

log = logging.getLogger("puzzel_chat")


def listed(parts: Parts) -> Steps[tuple[SessionInfo, ...]]:
    """Return the sessions of the store, and forget those of nobody that are over or expired; raises `StoreError`."""
    now = parts.clock.now().wall
    found: object = yield from kept(Store.sessions, now, lease_of(parts.store))
    if not isinstance(found, dict):
        raise StoreError(f"The store gave {type(found).__name__} in place of its sessions: sessions() gives a dict.")
    usable = {one: in_use for one, in_use in found.items() if isinstance(one, str)}
    if len(usable) < len(found):
        log.warning("the store holds %d sessions whose ids are no text", len(found) - len(usable))
    infos: list[SessionInfo] = []
    for one, in_use in usable.items():
        if (info := (yield from _info(parts, one, bool(in_use), now))) is not None:
            infos.append(info)
    return tuple(infos)


def _info(parts: Parts, session_id: str, in_use: bool, now: float) -> Steps[SessionInfo | None]:
    """Describe a session; None when it is no longer there."""
    try:
        tokens = yield from stored_tokens(parts, session_id)
        conversations = yield from stored_conversations(parts, session_id)
        if tokens is None:
            return None
        done = not in_use and _is_done(tokens, conversations.values(), now)
        if done and (yield from _forgotten(parts, session_id, now)):
            return None
    except StoreError as error:
        if error.retryable:
            raise
        return SessionInfo(id=session_id, in_use=in_use, problem=str(error))
    asked = None
    with suppress(ValueError, OverflowError, OSError):
        asked = datetime.fromtimestamp(tokens.obtained, UTC)
    return SessionInfo(id=session_id, renewed_at=asked, conversations=tuple(conversations.values()), in_use=in_use)


def _is_done(tokens: TokenSet, conversations: Iterable[StoredConversation], now: float) -> bool:
    """Return whether the end of each chat was read, or the token has expired and no other can be had."""
    lives = {one.life for one in conversations}
    return lives == {Life.READ} or (tokens.refresh is None and tokens.obtained + tokens.ttl <= now)


def _forgotten(parts: Parts, session_id: str, now: float) -> Steps[bool]:
    """Forget a session, unless somebody has just taken it up or it holds events that nobody has handled."""
    lease = PollLease(session_id, parts)
    try:
        yield from lease.take()
    except SessionInUse:
        return False
    return (yield from afterwards(_deleted(parts, session_id, now), lease.give_back))


def _deleted(parts: Parts, session_id: str, now: float) -> Steps[bool]:
    found = yield from loaded(parts, session_id)
    if found is not None and (found.unread or not _is_done(found.tokens, found.conversations.values(), now)):
        return False
    yield from kept(Store.delete, session_id)
    return True
