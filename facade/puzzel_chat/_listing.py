"""What a store holds: its sessions as `sessions()` lists them. Those that are over, or expired, are forgotten."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime

from puzzel_chat._errors import StoreError
from puzzel_chat._lease import LEASE, acquired, owner_name
from puzzel_chat._models import Life
from puzzel_chat._refresh import stored_tokens
from puzzel_chat._session import loaded, stored_conversations
from puzzel_chat._steps import Parts
from puzzel_chat._store import SessionInfo, Store, StoredConversation
from puzzel_chat._tokens import TokenSet

log = logging.getLogger("puzzel_chat")


def listed(parts: Parts) -> tuple[SessionInfo, ...]:
    """Return the sessions of the store, and forget those of nobody that are over or expired; raises `StoreError`."""
    now = parts.clock.now().wall
    found: object = parts.store.sessions(now, LEASE)
    if not isinstance(found, dict):
        raise StoreError(f"The store gave {type(found).__name__} in place of its sessions: sessions() gives a dict.")
    usable = {one: in_use for one, in_use in found.items() if isinstance(one, str)}
    if len(usable) < len(found):
        log.warning("the store holds %d sessions whose ids are no text", len(found) - len(usable))
    infos = (_info(parts.store, one, bool(in_use), now) for one, in_use in usable.items())
    return tuple(info for info in infos if info is not None)


def _info(store: Store, session_id: str, in_use: bool, now: float) -> SessionInfo | None:
    """Describe a session; None when it is no longer there."""
    try:
        tokens, conversations = stored_tokens(store, session_id), stored_conversations(store, session_id)
        if tokens is None:
            return None
        if not in_use and _is_done(tokens, conversations.values(), now) and _forgotten(store, session_id, now):
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


def _forgotten(store: Store, session_id: str, now: float) -> bool:
    """Forget a session, unless somebody has just taken it up or it holds events that nobody has handled."""
    owner = owner_name()
    if acquired(store, session_id, "poll", owner, now, LEASE) != owner:
        return False
    try:
        found = loaded(store, session_id)
        done = found is None or (not found.unread and _is_done(found.tokens, found.conversations.values(), now))
        if done:
            store.delete(session_id)
        return done
    finally:
        store.release(session_id, "poll", owner)
