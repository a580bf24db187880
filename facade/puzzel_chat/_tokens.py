"""The life of a token set. The token is the session: when it is lost, its conversations are lost.

    FRESH ──► ADVISORY ──► MANDATORY ──► EXPIRED        by the time that is left
      use       use, and      wait for      wait for a refresh,
                refresh       a refresh     or fail with its error
                beside

- One refresh at a time (`flight`).
- A refresh that fails for now is tried again after 5 s, doubling to 30 s, or later when the service asks for that. The
  present token is used as long as it lives.
- A refused refresh token (`SessionExpired`) ends the session for good and is never sent again.

Pure: time and randomness come in as arguments.
"""

from __future__ import annotations

import enum
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import NamedTuple

from attrs import define, evolve, field, frozen
from attrs.converters import optional

from puzzel_chat._errors import PuzzelChatError, SessionExpired, TransportError, twin
from puzzel_chat._json import JsonValue
from puzzel_chat._models import MASK, Secret
from puzzel_chat._retry import retry_after
from puzzel_chat._settings import Settings

DEFAULT_TTL = 600.0
"""Life of a token in seconds when the reply has no `expires_in`; assumed."""
VISITOR_FIELDS = ("user_info_id", "code_verifier")
"""Fields of the token request for a signed-in visitor; the names are assumed."""
NOBODY: Mapping[str, str] = {}
"""Fields for a visitor who is not signed in."""
RESEND_WITHIN = 10.0
"""Window in seconds in which a refresh without an answer is sent again with the same token."""
MOST = 2**62
"""Above every number that we count up to, and still one that a database can hold."""
_WRITABLE = re.compile("[^\ud800-\udfff]+")
_LONGEST_TIME = 1e12


class Now(NamedTuple):
    """One moment on both clocks, in seconds; the monotonic clock stands still while the machine sleeps."""

    monotonic: float
    wall: float

    def since(self, earlier: Now) -> float:
        """Return the seconds that have passed, by the clock that saw more of them."""
        return max(self.monotonic - earlier.monotonic, self.wall - earlier.wall, 0.0)


def _masked(secret: object) -> str:
    return "None" if secret is None else MASK


def _secret(value: str) -> Secret:
    # What a store gave may be of any type; that is found out later, and told.
    return Secret(value) if isinstance(value, str) else value


@frozen(kw_only=True)
class TokenSet(JsonValue):
    """The tokens of one session, from a reply or from a store; they hide themselves, also when made from plain strings.

    `generation` counts the refreshes of the session, `ttl` is in seconds, `obtained` in seconds since the epoch, read
    before the request. `visitor_id` is the service's.
    """

    access: Secret = field(repr=_masked, converter=_secret)
    """The access token."""
    refresh: Secret | None = field(default=None, repr=_masked, converter=optional(_secret))
    """The refresh token, if there is one."""
    generation: int = 1
    """How many tokens the session has had."""
    ttl: float = DEFAULT_TTL
    """How long the access token lives, in seconds."""
    obtained: float
    """When it was asked for, in seconds since the epoch."""
    visitor_id: Secret | None = field(default=None, repr=_masked, converter=optional(_secret))
    """The service's id of the customer."""

    def successor(self, fresh: TokenSet) -> TokenSet:
        """Return `fresh` as this set's next generation, with the values of this one where its reply had none."""
        refresh, visitor_id = fresh.refresh or self.refresh, fresh.visitor_id or self.visitor_id
        return evolve(fresh, generation=self.generation + 1, refresh=refresh, visitor_id=visitor_id)


def damage(tokens: object) -> str | None:
    """Return what is wrong with tokens that a store gave, in words without their values; None when they can be used."""
    if not isinstance(tokens, TokenSet):
        return f"its tokens are of type {type(tokens).__name__}, not TokenSet"
    access: object = tokens.access
    if not (isinstance(access, str) and access and access.isascii() and access.isprintable()):
        return "access is no token"
    refresh: object = tokens.refresh
    if not (refresh is None or (isinstance(refresh, str) and _WRITABLE.fullmatch(refresh))):
        return "refresh is no token"
    if type(tokens.generation) is not int or not 0 < tokens.generation < MOST:
        return "generation is no whole number from 1"
    for name, number in (("ttl", tokens.ttl), ("obtained", tokens.obtained)):
        if not isinstance(number, int | float) or isinstance(number, bool) or not abs(number) <= _LONGEST_TIME:
            return f"{name} is no number of seconds"
    return None


class Freshness(enum.Enum):
    """How urgent a refresh is."""

    FRESH = "fresh"
    ADVISORY = "advisory"
    MANDATORY = "mandatory"
    EXPIRED = "expired"


class Step(enum.Enum):
    """The next step of a caller that needs the token."""

    USE = "use it"
    USE_AND_START = "start a refresh and use it meanwhile"
    START_AND_WAIT = "start a refresh, wait for it, ask again"
    WAIT = "wait for the refresh under way, ask again"


@define
class TokenLife:
    """One process's view of a session's token: the present set, a refresh under way, and how the last ones went.

    `since` is the monotonic time when the token was asked for; `spread` (0 to 1, random) keeps sessions from refreshing
    in step.
    """

    tokens: TokenSet
    since: float
    spread: float
    flight: bool = False
    failures: int = 0
    retry_at: float = float("-inf")
    last_error: PuzzelChatError | None = None
    dead: SessionExpired | None = None

    @classmethod
    def begun(cls, tokens: TokenSet, now: Now, spread: float) -> TokenLife:
        """Begin with the tokens of a reply, at the moment before its request, or with stored ones, at the present."""
        return cls(tokens, _asked(tokens, now), spread)

    def freshness(self, now: Now) -> Freshness:
        """Judge the token by the time left: advisory from 300 s before its end at most, mandatory from 30 s."""
        left = self.tokens.ttl - now.since(Now(self.since, self.tokens.obtained))
        if left <= 0:
            return Freshness.EXPIRED
        if left <= min(30.0, self.tokens.ttl / 10):
            return Freshness.MANDATORY
        advisory = min(300.0, self.tokens.ttl / 2) * (1 - 0.2 * self.spread)
        return Freshness.ADVISORY if left <= advisory else Freshness.FRESH

    def step(self, now: Now) -> Step:
        """Return the next step of a caller; raises `SessionExpired`.

        An expired token raises the last refresh's error until the next try is due.
        """
        self._raise_if_dead()
        state = self.freshness(now)
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
        """Return the next step after a 401 for that generation: use a newer one, or refresh.

        Raises the error of a failed refresh until the next try is due, so that many 401s do not become many refreshes.
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
        """Return the tokens if they are newer than that generation; otherwise raise the reason why not."""
        if self.tokens.generation > generation:
            return self.tokens
        raise twin(self.dead or self.last_error or SessionExpired("The token was refused."))

    def started(self) -> None:
        """Note that a refresh is under way."""
        self.flight = True

    def succeeded(self, tokens: TokenSet, now: Now, spread: float) -> None:
        """Adopt the tokens of a refresh, ours or another process's; an older generation is never taken back.

        `now` is the moment before the request of our own refresh, and the present one for another process's.
        """
        self.flight = False
        if tokens.generation > self.tokens.generation:
            # The tokens last: a signal handler may look in between, and must not see new ones with an old age.
            self.since, self.spread, self.tokens = _asked(tokens, now), spread, tokens
            self.failures, self.retry_at, self.last_error = 0, float("-inf"), None

    def failed(self, error: PuzzelChatError, now: Now, *, counts: bool = True) -> None:
        """Note that the refresh failed; a `SessionExpired` ends the session.

        An interrupted refresh does not count and may be repeated at once.
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


def _asked(tokens: TokenSet, now: Now) -> float:
    # Only the wall clock is common to processes, and it may have been set back since.
    return now.monotonic - max(0.0, now.wall - tokens.obtained)


def resend(error: PuzzelChatError, elapsed: float) -> bool:
    """Return whether to send the same refresh token again, `elapsed` seconds after it was first sent.

    Only without an answer: the service may have rotated the token, and accepts the old one for a short time.
    """
    return isinstance(error, TransportError) and elapsed < RESEND_WITHIN


def connect_fields(settings: Settings, identified: Mapping[str, str] = NOBODY) -> dict[str, str]:
    """Return the form of the first token request; `identified` has the `VISITOR_FIELDS` of a signed-in visitor.

    A value of `token_fields` may contain one of them, such as `{user_info_id}`; it is then sent in that field instead.
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
    """Return the form of a refresh (RFC 6749 section 6)."""
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
    """Return the S256 challenge of a PKCE verifier (RFC 7636 section 4.2)."""
    return urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
