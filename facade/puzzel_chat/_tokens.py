"""Pure: the life of a token set. The token is the session (documented), so it is never given up lightly.

    FRESH ──► ADVISORY ──► MANDATORY ──► EXPIRED        by the time that is left
      use       use, and      wait for      wait for a refresh,
                refresh       a refresh     or fail with its error
                beside

One refresh at a time (`flight`). A refresh that fails for now is tried again after 5 s, doubling to 30 s, or when the
service asks for it if that is later, and the present token serves as long as it lives. A refused one (`SessionExpired`)
ends the session for good: that refresh token is never sent again. Time and randomness come in as arguments.
"""

from __future__ import annotations

import enum
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256

from attrs import define, evolve, frozen

from puzzel_chat._errors import PuzzelChatError, SessionExpired, TransportError, twin
from puzzel_chat._models import Secret
from puzzel_chat._retry import retry_after
from puzzel_chat._settings import Settings

DEFAULT_TTL = 600.0
"""Seconds that a token lives when the reply does not say (assumed)."""
VISITOR_FIELDS = ("user_info_id", "code_verifier")
"""What the token request for a signed-in visitor carries (assumed, the names too)."""
NOBODY: Mapping[str, str] = {}
RESEND_WITHIN = 10.0
"""A refresh without an answer is sent again, with the same token, for this many seconds."""


@frozen
class Now:
    """One moment on both clocks, in seconds: the monotonic one stands still while a machine sleeps."""

    monotonic: float
    wall: float

    def since(self, earlier: Now) -> float:
        """Give the seconds that have passed, by the clock that saw more of them."""
        return max(self.monotonic - earlier.monotonic, self.wall - earlier.wall, 0.0)


@frozen(kw_only=True)
class TokenSet:
    """What one token reply gave. `obtained` was read before the request, `ttl` is in seconds.

    `generation` counts the refreshes of the session; `spread` (0 to 1, random) keeps sessions from refreshing in step.
    """

    access: Secret
    refresh: Secret | None = None
    generation: int = 1
    ttl: float = DEFAULT_TTL
    obtained: Now
    spread: float = 0.0
    visitor_id: Secret | None = None

    def age(self, now: Now) -> float:
        """Give the seconds since the token was asked for."""
        return now.since(self.obtained)

    def successor(self, fresh: TokenSet) -> TokenSet:
        """Give `fresh` as this set's next generation; what its reply left out stays as it was."""
        refresh, visitor_id = fresh.refresh or self.refresh, fresh.visitor_id or self.visitor_id
        return evolve(fresh, generation=self.generation + 1, refresh=refresh, visitor_id=visitor_id)

    def moved_to(self, now: Now) -> TokenSet:
        """Restate a set from another process on this one's monotonic clock; only the wall clock is common to both."""
        age = max(0.0, now.wall - self.obtained.wall)
        return evolve(self, obtained=Now(now.monotonic - age, self.obtained.wall))


class Freshness(enum.Enum):
    """How urgent a refresh is."""

    FRESH = "fresh"
    ADVISORY = "advisory"
    MANDATORY = "mandatory"
    EXPIRED = "expired"


def freshness(tokens: TokenSet, now: Now) -> Freshness:
    """Judge a token set by the time it has left: advisory at most 300 s before its end, mandatory at most 30 s."""
    left = tokens.ttl - tokens.age(now)
    if left <= 0:
        return Freshness.EXPIRED
    if left <= min(30.0, tokens.ttl / 10):
        return Freshness.MANDATORY
    advisory = min(300.0, tokens.ttl / 2) * (1 - 0.2 * tokens.spread)
    return Freshness.ADVISORY if left <= advisory else Freshness.FRESH


class Step(enum.Enum):
    """What a caller who needs the token does next."""

    USE = "use it"
    USE_AND_START = "start a refresh and use it meanwhile"
    START_AND_WAIT = "start a refresh, wait for it, ask again"
    WAIT = "wait for the refresh under way, ask again"


@define
class TokenLife:
    """The state of one session's token: the present set, whether a refresh is under way, and how the last ones went."""

    tokens: TokenSet
    flight: bool = False
    failures: int = 0
    retry_at: float = float("-inf")
    last_error: PuzzelChatError | None = None
    dead: SessionExpired | None = None

    def step(self, now: Now) -> Step:
        """Decide for a caller; raises `SessionExpired`, or the last refresh's error when the token has died of it."""
        self._raise_if_dead()
        state = freshness(self.tokens, now)
        if state is Freshness.FRESH:
            return Step.USE
        if self.tokens.refresh is None:
            return self._without_refresh(state)
        if self.flight:
            return Step.USE if state is Freshness.ADVISORY else Step.WAIT
        if self.last_error is not None and now.monotonic < self.retry_at:
            if state is Freshness.EXPIRED:
                raise twin(self.last_error)
            return Step.USE
        return Step.USE_AND_START if state is Freshness.ADVISORY else Step.START_AND_WAIT

    def refused(self, generation: int, now: Now) -> Step:
        """Decide after a 401 for a call made with that generation; a newer one is simply used.

        Until a failed refresh may be tried again its error is raised, so that a storm of 401s does not become a storm
        of refreshes.
        """
        self._raise_if_dead()
        if self.tokens.generation > generation:
            return Step.USE
        if self.tokens.refresh is None:
            raise self._die("The token was refused and there is no refresh token.")
        if self.flight:
            return Step.WAIT
        if self.last_error is not None and now.monotonic < self.retry_at:
            raise twin(self.last_error)
        return Step.START_AND_WAIT

    def newer_than(self, generation: int) -> TokenSet:
        """Give the present tokens when they are newer; else raises why they are not."""
        if self.tokens.generation > generation:
            return self.tokens
        raise twin(self.dead or self.last_error or SessionExpired("The token was refused."))

    def started(self) -> None:
        """A refresh is under way."""
        self.flight = True

    def succeeded(self, tokens: TokenSet) -> None:
        """A refresh gave these tokens, or another process did; an older generation is never taken back."""
        self.flight = False
        if tokens.generation > self.tokens.generation:
            self.tokens = tokens
            self.failures, self.retry_at, self.last_error = 0, float("-inf"), None

    def failed(self, error: PuzzelChatError, now: Now, *, counts: bool = True) -> None:
        """The refresh under way failed; after a refusal the session is over.

        One that only its caller's interrupt stopped does not count, and may be begun again at once.
        """
        self.flight = False
        self.last_error = error
        if isinstance(error, SessionExpired):
            self.dead = error
            return
        if not counts:
            return
        pause = min(30.0, 5.0 * 2.0 ** min(self.failures, 8))
        self.retry_at = now.monotonic + max(pause, retry_after(error) or 0.0)
        self.failures += 1

    def _without_refresh(self, state: Freshness) -> Step:
        if state is Freshness.EXPIRED:
            raise self._die("The token has expired and the service gave no refresh token.")
        return Step.USE

    def _die(self, why: str) -> SessionExpired:
        self.dead = SessionExpired(f"{why} Open a new session with connect().")
        return self.dead

    def _raise_if_dead(self) -> None:
        if self.dead is not None:
            raise twin(self.dead)


def resend(error: PuzzelChatError, elapsed: float) -> bool:
    """Tell whether to send the same refresh token again, `elapsed` seconds after it was first sent.

    Only without any answer: the service may have rotated the token, and shortly after still knows the old one as ours.
    """
    return isinstance(error, TransportError) and elapsed < RESEND_WITHIN


def connect_fields(settings: Settings, identified: Mapping[str, str] = NOBODY) -> dict[str, str]:
    """Give the form of the first token request; `identified` has the `VISITOR_FIELDS` of a signed-in visitor.

    Where a value of `token_fields` names one of them, such as `{user_info_id}`, it is sent in that field instead.
    """
    unnamed, added = dict(identified), {}
    for name, value in settings.token_fields.items():
        named = _named_in(value)
        if named and not identified:
            continue
        for one in named:
            value = Secret(value.replace(f"{{{one}}}", identified[one]))
            unnamed.pop(one, None)
        added[name] = value
    return {**unnamed, **added, **_client_fields(settings), "grant_type": settings.grant_type}


def refresh_fields(settings: Settings, refresh: str) -> dict[str, str]:
    """Give the form of a refresh (RFC 6749 section 6)."""
    added = {name: value for name, value in settings.token_fields.items() if not _named_in(value)}
    return {**added, **_client_fields(settings), "grant_type": "refresh_token", "refresh_token": refresh}


def _named_in(value: str) -> list[str]:
    return [one for one in VISITOR_FIELDS if f"{{{one}}}" in value]


def _client_fields(settings: Settings) -> dict[str, str]:
    fields = {
        "client_id": settings.client_id,
        "tenant_id": settings.tenant_id or settings.solution_id,
        "client_secret": settings.client_secret,
        "scope": settings.scope,
    }
    return {name: value for name, value in fields.items() if value is not None}


def challenge(verifier: str) -> str:
    """Give the S256 challenge of a PKCE verifier (RFC 7636 section 4.2)."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
