"""A token set from a reply, as a store keeps it, and back on this process's clocks."""

from __future__ import annotations

from puzzel_chat._store import StoredTokens
from puzzel_chat._tokens import DEFAULT_TTL, Now, TokenSet
from puzzel_chat._wire.replies import Grant


def token_set(grant: Grant, asked: Now, spread: float) -> TokenSet:
    """Give the token set of a reply to a request sent at `asked`."""
    ttl = grant.expires_in or DEFAULT_TTL
    return TokenSet(
        access=grant.access,
        refresh=grant.refresh,
        ttl=ttl,
        obtained=asked,
        spread=spread,
        visitor_id=grant.visitor_id,
    )


def to_stored(tokens: TokenSet) -> StoredTokens:
    """Give a token set as the store keeps it."""
    return StoredTokens(
        access=tokens.access,
        refresh=tokens.refresh,
        generation=tokens.generation,
        ttl=tokens.ttl,
        obtained=tokens.obtained.wall,
        visitor_id=tokens.visitor_id,
    )


def from_stored(stored: StoredTokens, now: Now, spread: float) -> TokenSet:
    """Give a stored token set on this process's clocks."""
    tokens = TokenSet(
        access=stored.access,
        refresh=stored.refresh,
        generation=stored.generation,
        ttl=stored.ttl,
        obtained=Now(now.monotonic, stored.obtained),
        spread=spread,
        visitor_id=stored.visitor_id,
    )
    return tokens.moved_to(now)
