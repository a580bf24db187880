"""Visitors, and those of them who are signed in at an identity provider of the customer's own.

The call that authenticates a visitor is documented; how its `userInfoId` gets into the token request is assumed.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from random import Random
from uuid import UUID

from attrs import field, frozen

from ._values import Refusal, TokenRefusal

PROVIDERS = (1, 2)
"""The identity providers that the customer has set up; the first is the default."""

SIGN_IN_LIFE = 600.0
"""Seconds within which a `userInfoId` is to be used."""


@frozen
class SignIn:
    """What authenticates a visitor: a token of a provider, and a challenge as in PKCE (RFC 7636)."""

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
    """Who visits. `fields` names the two members of the token request that a signed-in visitor comes with."""

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
            Refusal: no such customer or provider, or the token is not good there.

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
        """Return the visitor id for a token request: of a signed-in visitor, or a new one.

        Raises:
            TokenRefusal: invalid_grant: used before, too old, or without the verifier of its challenge;
                invalid_request: handed over in fields of other names.

        """
        named, proof = self._fields
        key, verifier = form.get(named), form.get(proof)
        if key is None and verifier is None:
            # Taken for somebody unknown, a signed-in visitor would never learn why.
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
        """Drop the sign-ins that nobody has used yet; visitors keep their ids."""
        self._pending.clear()

    def _new_id(self) -> str:
        return str(UUID(int=self._random.getrandbits(128), version=4))


def _proves(verifier: str, challenge: str) -> bool:
    """Whether a verifier has the form that RFC 7636 section 4.1 gives it, and S256 makes the challenge of it."""
    if not re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier):
        return False
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode() == challenge
