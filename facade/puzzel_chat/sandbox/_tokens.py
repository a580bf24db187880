"""Sessions and their tokens: expiry, rotation, and revocation when a spent refresh token comes back.

The reply has `expires_in` and a refresh token (documented); the visitor's grant and `visitor_id` were observed; the
rest follows RFC 6749 and, for the reuse of rotated refresh tokens, RFC 9700 section 4.14.2 (assumed).
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Mapping
from random import Random

from attrs import define, field, frozen

from ._log import Log
from ._values import TokenRefusal
from ._visitors import VisitorBook

SCOPE = "simulator:puzzel-chat:not-puzzel"


@frozen
class TokenSettings:
    """How tokens live: `life`, `promise`, `refresh_life` and `reuse_grace` are in seconds."""

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
class Session:
    """What a token stands for: one visitor's conversations and one message log."""

    id: str
    visitor_id: str
    log: Log = field(factory=Log, repr=False)
    revoked: bool = False


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
    """Every token given out; `note` is told what is counted and what happened to sessions."""

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
        """Return the session of a living access token."""
        access = self._access.get(access_token)
        living = access is not None and now < access.expires and not access.session.revoked
        return access.session if access is not None and living else None

    def revoke_access(self, access_token: str) -> None:
        """End one access token before its time; its session and refresh token live on."""
        self._access.pop(access_token, None)

    def forget(self) -> None:
        """Drop every session, as a service that restarts without its memory does."""
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
        """Forgive a spent token within the grace if nothing came after it, else end the session."""
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
