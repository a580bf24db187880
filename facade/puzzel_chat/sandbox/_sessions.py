"""Visitors, their sessions with a message log each, and their tokens.

Documented: `expires_in` and a refresh token in the token reply, and the call that authenticates a visitor. Observed:
the grant type of visitors, and `visitor_id`. Assumed: everything else, after RFC 6749 and, for a reused refresh token,
RFC 9700 section 4.14.2; and how the `userInfoId` gets into the token request.

The events of a session have numbers from 1 without gaps. The cursor is the number of the last one, 0 before the first.
The vendor's own stream works like that (related); for a poll it is assumed.
"""

from __future__ import annotations

import hmac
import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from random import Random
from uuid import UUID

from attrs import define, evolve, field, frozen

from ._values import Entry, Json, Refusal, Semantics, TokenRefusal

SCOPE = "simulator:puzzel-chat:not-puzzel"

PROVIDERS = (1, 2)
"""The customer's identity providers; the first is the default."""

SIGN_IN_LIFE = 600.0
"""Lifetime of a `userInfoId` in seconds."""


@define(eq=False)
class Log:
    """All events of a session in order; an edit is an event of its own."""

    entries: list[Entry] = field(factory=list[Entry])
    read: int = 0

    @property
    def next_id(self) -> int:
        """The number of the next event."""
        return len(self.entries) + 1

    def poll(self, semantics: Semantics, after: str | None) -> tuple[list[Json], int | None, bool]:
        """Return wire messages, the cursor, and whether anything is new.

        With "history" these are all messages, each once, edited, in its old place; with "cursor" those after the
        cursor; with "drain" those that no poll has returned yet, so a lost reply stays lost.
        """
        unread = self.entries[self.read :]
        self.read = len(self.entries)
        if semantics == "history":
            last = {(entry.life, entry.id): entry.wire for entry in self.entries}
            return list(last.values()), None, bool(unread)
        chosen = self.entries[self._place(after) :] if semantics == "cursor" else unread
        return [entry.wire for entry in chosen], self.read if semantics == "cursor" else None, bool(chosen)

    def _place(self, cursor: str | None) -> int:
        """Return how many entries to skip; an unknown cursor skips none."""
        place = int(cursor) if cursor and re.fullmatch(r"\d{1,9}", cursor, re.ASCII) else 0
        return place if place <= len(self.entries) else 0


@define(eq=False)
class Session:
    """One visitor's conversations and their message log."""

    id: str
    visitor_id: str
    log: Log = field(factory=Log, repr=False)
    revoked: bool = False


@frozen
class TokenSettings:
    """Settings of the token endpoint; `life`, `promise`, `refresh_life` and `reuse_grace` are in seconds."""

    tenant_id: str
    client_id: str = "oneplatform_engage"
    client_secret: str | None = field(default=None, repr=False)
    grant_type: str = "visitor"
    life: float = 900.0
    refresh_life: float | None = None
    rotation: bool = True
    reuse_grace: float = 0.0
    promise: float | None = None
    visitor_fields: tuple[str, str] = ("user_info_id", "code_verifier")


@define(eq=False)
class _Access:
    session: Session
    expires: float


@define(eq=False)
class _Refresh:
    session: Session
    expires: float
    spent_at: float | None = None
    reply: dict[str, object] | None = field(default=None, repr=False)
    successor: str | None = field(default=None, repr=False)


class TokenBook:
    """All tokens issued; `note` gets the counts and what happened to sessions."""

    def __init__(
        self, settings: TokenSettings, visitors: VisitorBook, random: Random, note: Callable[[str, float], None]
    ) -> None:
        self._settings, self._visitors, self._random, self._note = settings, visitors, random, note
        self._access: dict[str, _Access] = {}
        self._refresh: dict[str, _Refresh] = {}
        self._sessions = 0

    def grant(self, form: Mapping[str, str], now: float) -> dict[str, object]:
        """Answer the token endpoint.

        Raises:
            TokenRefusal: invalid_request, unsupported_grant_type, invalid_client or invalid_grant.

        """
        kind = form.get("grant_type")
        if not kind:
            raise TokenRefusal(400, "invalid_request", "grant_type is missing")
        if kind not in (self._settings.grant_type, "refresh_token"):
            raise TokenRefusal(400, "unsupported_grant_type", f"{self._settings.grant_type} or refresh_token")
        self._check_client(form)
        self._check_tenant(form, required=kind == "visitor")
        if kind == "refresh_token":
            return self._renew(form.get("refresh_token") or "", now)
        visitor_id = self._visitors.identify(form, now)
        self._sessions += 1
        self._note("session-opened", now)
        return self._issue(Session(f"session-{self._sessions}", visitor_id), now, refresh=self._mint("rt"))

    def session(self, access_token: str, now: float) -> Session | None:
        """Return the session of a valid access token."""
        access = self._access.get(access_token)
        living = access is not None and now < access.expires and not access.session.revoked
        return access.session if access is not None and living else None

    def revoke_access(self, access_token: str) -> None:
        """Revoke one access token early; its session and refresh token stay valid."""
        self._access.pop(access_token, None)

    @property
    def life(self) -> float:
        """The lifetime of the access tokens that are issued now."""
        return self._settings.life

    def set_life(self, life: float) -> None:
        """Change the lifetime of the access tokens issued from now on, in seconds."""
        self._settings = evolve(self._settings, life=life)

    def expire(self) -> None:
        """Revoke every access token early; sessions and refresh tokens stay valid."""
        self._access.clear()

    def forget(self) -> None:
        """Drop every session, like a service that restarts without its memory."""
        self._access.clear()
        self._refresh.clear()

    def _check_client(self, form: Mapping[str, str]) -> None:
        client = form.get("client_id")
        if client is None:
            raise TokenRefusal(400, "invalid_request", "client_id is missing")
        known = client == self._settings.client_id
        secret = self._settings.client_secret
        given = form.get("client_secret", "").encode("utf-8", "surrogatepass")
        if not known or (secret is not None and not hmac.compare_digest(given, secret.encode())):
            raise TokenRefusal(401, "invalid_client", "unknown client_id or wrong client_secret")

    def _check_tenant(self, form: Mapping[str, str], *, required: bool) -> None:
        tenant = form.get("tenant_id")
        if tenant is None and required:
            raise TokenRefusal(400, "invalid_request", "tenant_id is missing")
        if tenant not in (None, self._settings.tenant_id):
            raise TokenRefusal(400, "invalid_grant", "no such tenant_id")

    def _renew(self, token: str, now: float) -> dict[str, object]:
        if not token:
            raise TokenRefusal(400, "invalid_request", "refresh_token is missing")
        found = self._refresh.get(token)
        if found is None or found.session.revoked or now >= found.expires:
            raise TokenRefusal(400, "invalid_grant", "the refresh token is unknown, expired or revoked")
        if found.spent_at is not None:
            return self._spent_again(found, now)
        self._note("refreshes", now)
        self._note("session-refreshed", now)
        if not self._settings.rotation:
            return self._issue(found.session, now, refresh=None)
        found.spent_at, found.successor = now, self._mint("rt")
        found.reply = self._issue(found.session, now, refresh=found.successor)
        return found.reply

    def _spent_again(self, found: _Refresh, now: float) -> dict[str, object]:
        """Repeat the reply within the grace period if its token is still unspent, else revoke the session."""
        successor = self._refresh[found.successor or ""]
        in_grace = now - (found.spent_at or 0.0) < self._settings.reuse_grace
        if in_grace and successor.spent_at is None and found.reply is not None:
            return found.reply
        found.session.revoked = True
        self._note("reuse_detected", now)
        self._note("session-revoked", now)
        raise TokenRefusal(400, "invalid_grant", "a spent refresh token came back: the session is revoked")

    def _issue(self, session: Session, now: float, *, refresh: str | None) -> dict[str, object]:
        life, promise = self._settings.life, self._settings.promise
        access = self._mint("at")
        self._access[access] = _Access(session, now + life)
        if refresh is not None:
            lasts = self._settings.refresh_life
            self._refresh[refresh] = _Refresh(session, math.inf if lasts is None else now + lasts)
        self._note("tokens_issued", now)
        return {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": max(1, round(life if promise is None else promise)),
            "refresh_token": refresh,
            "scope": SCOPE,
            "visitor_id": session.visitor_id,
        }

    def _mint(self, prefix: str) -> str:
        return f"sim-{prefix}-{self._random.getrandbits(128):032x}"


@frozen
class SignIn:
    """A visitor's credentials: a token of a provider, and a challenge as in PKCE (RFC 7636)."""

    challenge: str
    token: str = field(repr=False)
    provider_id: int | None = None


@frozen
class _Visitor:
    name: str = field(repr=False)
    provider_id: int


@frozen
class _Issued:
    visitor: _Visitor
    expires: float


@frozen
class _Pending:
    visitor: _Visitor
    challenge: str
    expires: float


class VisitorBook:
    """Visitors and their sign-ins. `fields` are the two fields of a signed-in visitor's token request."""

    def __init__(
        self, customer_id: str, fields: tuple[str, str], random: Random, note: Callable[[str, float], None]
    ) -> None:
        self._customer_id, self._fields, self._random, self._note = customer_id, fields, random, note
        self._issued: dict[str, _Issued] = {}
        self._pending: dict[str, _Pending] = {}
        self._ids: dict[_Visitor, str] = {}

    def token(self, name: str, provider_id: int | None, life: float, now: float) -> str:
        """Return a token of a simulated identity provider for one visitor.

        Raises:
            ValueError: there is no such provider.

        """
        provider = PROVIDERS[0] if provider_id is None else provider_id
        if provider not in PROVIDERS:
            raise ValueError(f"no provider {provider}; there are {', '.join(map(str, PROVIDERS))}")
        token = f"sim-idp-{self._random.getrandbits(128):032x}"
        self._issued[token] = _Issued(_Visitor(name, provider), now + life)
        return token

    def authenticate(self, customer_id: str, sign_in: SignIn, now: float) -> str:
        """Return the `userInfoId` of a visitor.

        Raises:
            Refusal: no such customer or provider, or the token is not valid there.

        """
        provider = PROVIDERS[0] if sign_in.provider_id is None else sign_in.provider_id
        if customer_id != self._customer_id:
            raise Refusal(404, "CustomerNotFound", "no such customer")
        if provider not in PROVIDERS:
            raise Refusal(404, "ProviderNotFound", "no such identity provider")
        issued = self._issued.get(sign_in.token)
        if issued is None or issued.visitor.provider_id != provider or now >= issued.expires:
            raise Refusal(401, "InvalidToken", "the identity provider does not know the token, or it has expired")
        key = f"sim-user-{self._random.getrandbits(128):032x}"
        self._pending[key] = _Pending(issued.visitor, sign_in.challenge, now + SIGN_IN_LIFE)
        return key

    def identify(self, form: Mapping[str, str], now: float) -> str:
        """Return the visitor id for a token request, a new one unless the visitor is signed in.

        Raises:
            TokenRefusal: invalid_grant for a used or old `userInfoId`, or a verifier that does not fit;
                invalid_request for one in a field of another name.

        """
        named, proof = self._fields
        key, verifier = form.get(named), form.get(proof)
        if key is None and verifier is None:
            # An anonymous session here would hide the mistake in the field names.
            if not self._pending.keys().isdisjoint(form.values()):
                raise TokenRefusal(400, "invalid_request", f"a signed-in visitor comes with {named} and {proof}")
            return self._new_id()
        pending = self._pending.pop(key or "", None)
        if pending is None or now >= pending.expires or not _proves(verifier or "", pending.challenge):
            raise TokenRefusal(400, "invalid_grant", f"{named} is unknown, used or too old, or {proof} does not fit it")
        self._note("visitor-signed-in", now)
        if pending.visitor not in self._ids:
            self._ids[pending.visitor] = self._new_id()
        return self._ids[pending.visitor]

    def forget(self) -> None:
        """Drop unused sign-ins; visitors keep their ids."""
        self._pending.clear()

    def _new_id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


def _proves(verifier: str, challenge: str) -> bool:
    """Whether a verifier is well-formed (RFC 7636 section 4.1) and fits an S256 challenge."""
    if not re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier):
        return False
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode() == challenge
