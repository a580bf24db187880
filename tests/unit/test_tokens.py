"""The life of a token: design section 5, rule by rule, and then against a model of a server."""

from __future__ import annotations

import json
import re
from typing import cast
from urllib.parse import parse_qsl

import pytest
from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from machines import TWICE, Machine, run
from puzzel_chat._errors import (
    ConfigurationError,
    PuzzelChatError,
    RateLimited,
    ServerError,
    SessionExpired,
    TransportError,
)
from puzzel_chat._http import Reply
from puzzel_chat._models import Secret, Visitor
from puzzel_chat._session import opened
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Parts, Send
from puzzel_chat._store import MemoryStore
from puzzel_chat._tokens import (
    Freshness,
    Now,
    Step,
    TokenLife,
    TokenSet,
    challenge,
    connect_fields,
    refresh_fields,
    resend,
)
from puzzel_chat._wire.replies import grant
from puzzel_chat.testing import VirtualTime

HOUR = 3600.0
BEGIN = Now(1000.0, 1_800_000_000.0)
BROKEN = TransportError("No reply: it broke.", sent="maybe")
OVER = SessionExpired("Refused.")
WRONG = ConfigurationError("client_id", "invalid_client")


def later(monotonic: float, wall: float | None = None) -> Now:
    """A moment that many seconds after the beginning, on both clocks or differently on each."""
    return Now(BEGIN.monotonic + monotonic, BEGIN.wall + (monotonic if wall is None else wall))


def tokens(ttl: float = 600.0, *, refresh: str | None = "r1", generation: int = 1, obtained: Now = BEGIN) -> TokenSet:
    """A token set of the beginning."""
    return TokenSet(
        access=Secret(f"a{generation}"),
        refresh=Secret(refresh) if refresh else None,
        generation=generation,
        ttl=ttl,
        obtained=obtained.wall,
    )


def life_of(present: TokenSet | None = None, spread: float = 0.0) -> TokenLife:
    """The life of a token set that was asked for at the beginning."""
    return TokenLife.begun(present or tokens(), BEGIN, spread)


@pytest.mark.parametrize(
    ("ttl", "spread", "age", "expected"),
    [
        (600, 0, 0, Freshness.FRESH),
        (600, 0, 299.9, Freshness.FRESH),
        (600, 0, 300, Freshness.ADVISORY),
        (600, 0, 569.9, Freshness.ADVISORY),
        (600, 0, 570, Freshness.MANDATORY),
        (600, 0, 599.9, Freshness.MANDATORY),
        (600, 0, 600, Freshness.EXPIRED),
        (900, 0, 599.9, Freshness.FRESH),
        (900, 0, 600, Freshness.ADVISORY),
        (900, 0, 869.9, Freshness.ADVISORY),
        (900, 0, 870, Freshness.MANDATORY),
        (100, 0, 49.9, Freshness.FRESH),
        (100, 0, 50, Freshness.ADVISORY),
        (100, 0, 89.9, Freshness.ADVISORY),
        (100, 0, 90, Freshness.MANDATORY),
        (100, 0, 100, Freshness.EXPIRED),
        (600, 1, 359.9, Freshness.FRESH),
        (600, 1, 360, Freshness.ADVISORY),
        (600, 1, 570, Freshness.MANDATORY),
    ],
)
def test_each_limit_falls_where_the_design_says(ttl: float, spread: float, age: float, expected: Freshness) -> None:
    """The advisory limit is min(300, ttl/2) less jitter before the end, the mandatory one min(30, ttl/10)."""
    assert life_of(tokens(ttl), spread).freshness(later(age)) is expected


def test_an_hour_forward_ages_the_token() -> None:
    """A wall clock an hour ahead counts as time passed: better one refresh too many (okta/okta-auth-js#472)."""
    assert life_of().freshness(later(1, wall=HOUR)) is Freshness.EXPIRED


def test_an_hour_back_does_not_rejuvenate_the_token() -> None:
    """A wall clock that is set an hour back changes nothing, for the monotonic one goes on (okta/okta-auth-js#472)."""
    assert life_of().freshness(later(599, wall=599 - HOUR)) is Freshness.MANDATORY
    assert life_of().freshness(later(0, wall=-HOUR)) is Freshness.FRESH


def test_a_night_asleep_is_seen_by_the_wall_clock() -> None:
    """The monotonic clock stands still while a machine is suspended; the token has died (okta/okta-auth-js#472)."""
    assert life_of().freshness(later(2, wall=8 * HOUR)) is Freshness.EXPIRED
    assert life_of().step(later(2, wall=8 * HOUR)) is Step.START_AND_WAIT


def test_a_reply_without_a_life_time_counts_ten_minutes() -> None:
    """Without `expires_in` a token lives 600 seconds (assumed)."""
    assert grant(Reply(status=200, body=b'{"access_token": "a"}'), 0.0).ttl == 600.0
    assert grant(Reply(status=200, body=b'{"access_token": "a", "expires_in": 900}'), 0.0).ttl == 900.0


def test_a_fresh_token_is_used_at_once() -> None:
    """While it is fresh nothing is started."""
    assert life_of().step(later(10)) is Step.USE


def test_an_advisory_token_is_used_while_one_flight_renews_it() -> None:
    """The first caller starts the refresh and goes on; the others go on too."""
    life = life_of()
    assert life.step(later(400)) is Step.USE_AND_START
    life.started()
    assert life.step(later(400)) is Step.USE


def test_a_mandatory_token_waits_for_its_refresh() -> None:
    """Near its end, the first caller starts the refresh and all wait."""
    life = life_of()
    assert life.step(later(580)) is Step.START_AND_WAIT
    life.started()
    assert life.step(later(580)) is Step.WAIT
    assert life.step(later(700)) is Step.WAIT


def test_without_a_refresh_token_the_token_serves_to_its_end() -> None:
    """Nothing can be started, so it is used as long as it lives, and then the session is over."""
    life = life_of(tokens(refresh=None))
    assert [life.step(later(age)) for age in (0, 400, 590)] == [Step.USE] * 3
    with pytest.raises(SessionExpired, match=r"no refresh token.*connect\(\)"):
        life.step(later(600))
    with pytest.raises(SessionExpired):
        life.step(later(0))


def test_a_401_without_a_refresh_token_ends_the_session() -> None:
    """There is nothing to renew it with."""
    life = life_of(tokens(refresh=None))
    with pytest.raises(SessionExpired):
        life.refused(1, later(400))
    with pytest.raises(SessionExpired):
        life.step(later(0))


def test_failures_are_retried_after_five_seconds_doubling_to_thirty() -> None:
    """Each failed refresh is repeated after 5, 10, 20, 30, 30 s, not before."""
    life = life_of(tokens(ttl=100_000))
    moment = 99_800.0
    for pause in (5.0, 10.0, 20.0, 30.0, 30.0):
        life.started()
        life.failed(BROKEN, later(moment))
        assert life.step(later(moment + pause - 0.01)) is Step.USE
        moment += pause
        assert life.step(later(moment)) is Step.USE_AND_START


def test_a_success_forgets_the_failures() -> None:
    """After a refresh that worked, the next failure is repeated after 5 s again."""
    life = life_of()
    for _ in range(4):
        life.failed(BROKEN, later(400))
    life.succeeded(tokens(generation=2, obtained=later(400)), later(400), 0.0)
    assert life.last_error is None
    life.failed(BROKEN, later(800))
    assert life.step(later(804.9)) is Step.USE
    assert life.step(later(805)) is Step.USE_AND_START


def test_a_failed_refresh_lets_the_token_serve_while_it_lives() -> None:
    """Also past the mandatory limit it is used between two tries; once dead, the last error is raised."""
    life = life_of()
    life.failed(BROKEN, later(598))
    assert life.step(later(599)) is Step.USE
    with pytest.raises(TransportError) as raised:
        life.step(later(601))
    assert (str(raised.value), raised.value.sent) == (str(BROKEN), BROKEN.sent)
    assert life.step(later(603)) is Step.START_AND_WAIT


@pytest.mark.parametrize(
    "error",
    [
        BROKEN,
        RateLimited("429", status=429),
        ServerError("503", status=503),
        WRONG,
    ],
)
def test_only_a_refused_grant_is_final(error: PuzzelChatError) -> None:
    """A network failure, 429, 5xx or invalid_client never kills the session."""
    life = life_of()
    life.started()
    life.failed(error, later(400))
    assert life.dead is None
    assert life.step(later(406)) is Step.USE_AND_START


def test_a_refused_refresh_token_is_never_sent_again() -> None:
    """After SessionExpired nothing is started any more, whatever time it is and whatever is refused."""
    life = life_of()
    life.started()
    life.failed(OVER, later(400))
    for age in (400, 406, 590, 10_000):
        with pytest.raises(SessionExpired):
            life.step(later(age))
        with pytest.raises(SessionExpired):
            life.refused(1, later(400))
    assert not life.flight


def test_an_error_that_is_raised_for_ever_does_not_grow() -> None:
    """A dead session that is asked again and again keeps no frame of earlier callers."""
    life = life_of()
    life.failed(SessionExpired("Refused."), later(400))
    depths = []
    for _ in range(20):
        with pytest.raises(SessionExpired) as raised:
            life.step(later(500))
        depths.append(len(raised.traceback))
    assert depths[-1] == depths[0], "each raise of the same object adds its frames to it for good"


def test_a_late_401_for_an_older_generation_only_uses_the_newer() -> None:
    """Someone has refreshed meanwhile: the newer token is used and nothing is started."""
    life = life_of(tokens(generation=2))
    assert life.refused(1, later(0)) is Step.USE
    assert life.newer_than(1).generation == 2


def test_a_401_forces_one_refresh() -> None:
    """A fresh token that the service refuses is renewed at once, by one flight."""
    life = life_of()
    assert life.refused(1, later(0)) is Step.START_AND_WAIT
    life.started()
    assert life.refused(1, later(0)) is Step.WAIT


def test_a_storm_of_401s_is_no_storm_of_refreshes() -> None:
    """While the token endpoint fails, 401s get its error until the next try is due: 5, 10, 20, 30, 30 s, then one.

    A 401 once forced a refresh whatever had failed just before, so that each caller of a service that had lost its
    tokens sent one more request to a token endpoint that was down.
    """
    life, moment = life_of(), 0.0
    for pause in (5.0, 10.0, 20.0, 30.0, 30.0):
        assert life.refused(1, later(moment)) is Step.START_AND_WAIT
        life.started()
        life.failed(BROKEN, later(moment))
        for early in (0.0, pause / 2, pause - 0.01):
            with pytest.raises(TransportError) as raised:
                life.refused(1, later(moment + early))
            assert raised.value is not BROKEN
            assert (str(raised.value), raised.value.sent) == (str(BROKEN), BROKEN.sent)
        moment += pause


def test_every_waiter_gets_the_same_error() -> None:
    """When the forced refresh failed, whoever waited for it gets its error."""
    life = life_of()
    life.started()
    life.failed(BROKEN, later(0))
    for _ in range(2):
        with pytest.raises(TransportError) as raised:
            life.newer_than(1)
        assert (str(raised.value), raised.value.sent) == (str(BROKEN), BROKEN.sent)


def test_a_rotation_replaces_the_refresh_token_and_counts_up() -> None:
    """A new refresh token takes the old one's place in the next generation."""
    following = tokens().successor(tokens(refresh="r2"))
    assert (following.generation, following.refresh) == (2, "r2")


def test_no_new_refresh_token_keeps_the_old_one() -> None:
    """A reply without a refresh token leaves the one that we have."""
    following = tokens().successor(tokens(refresh=None))
    assert (following.generation, following.refresh) == (2, "r1")


@pytest.mark.parametrize("generation", [1, 2])
def test_an_older_generation_is_never_adopted(generation: int) -> None:
    """What lands late, with the same or an older generation, ends the flight and changes nothing else."""
    life = life_of(tokens(generation=2))
    life.started()
    present = life.tokens
    life.succeeded(tokens(generation=generation, refresh="old", obtained=later(400)), later(400), 1.0)
    assert life.tokens is present
    assert (life.since, life.spread) == (BEGIN.monotonic, 0.0)
    assert not life.flight


def test_an_unanswered_refresh_is_sent_again_for_ten_seconds() -> None:
    """Only without any answer, and only within the window in which the service still knows the token."""
    assert resend(BROKEN, 0)
    assert resend(BROKEN, 9.9)
    assert not resend(BROKEN, 10.0)
    assert not resend(ServerError("500", status=500), 0)
    assert not resend(OVER, 0)


def test_a_stored_token_ages_on_the_wall_clock_only() -> None:
    """In another process, or after a reboot, the monotonic clock says nothing about the stored moment."""
    present = Now(5.0, BEGIN.wall + 400)
    begun, adopted = TokenLife.begun(tokens(), present, 0.0), life_of(tokens(generation=0))
    adopted.succeeded(tokens(), present, 0.0)
    for life in (begun, adopted):
        assert life.since == -395.0
        assert life.freshness(present) is Freshness.ADVISORY
        assert life.freshness(Now(174.9, present.wall)) is Freshness.ADVISORY
        assert life.freshness(Now(175.0, present.wall)) is Freshness.MANDATORY
        assert life.freshness(Now(5.0, BEGIN.wall + 570)) is Freshness.MANDATORY
    set_back = TokenLife.begun(tokens(), Now(5.0, BEGIN.wall - HOUR), 0.0)
    assert (set_back.since, set_back.freshness(Now(5.0, BEGIN.wall - HOUR))) == (5.0, Freshness.FRESH)


def test_a_refreshed_token_ages_from_before_its_request() -> None:
    """The time that the request took counts, also when the wall clock was set back meanwhile."""
    life = life_of()
    life.succeeded(tokens(generation=2, obtained=later(400)), later(400), 0.5)
    assert (life.since, life.spread) == (BEGIN.monotonic + 400, 0.5)
    assert life.freshness(later(970, wall=410)) is Freshness.MANDATORY


PLAIN = Settings(base_url="https://chat.example", solution_id="7")
FULL = PLAIN.replace(
    grant_type="client_credentials",
    client_id="c",
    tenant_id="t",
    client_secret="s",
    scope="x",
    token_fields={"audience": "chat"},
)
VISITOR = {"grant_type": "visitor", "client_id": "oneplatform_engage", "tenant_id": "7"}
IDENTIFIED = {"user_info_id": "u1", "code_verifier": "v1"}


def test_the_first_request_is_a_visitors() -> None:
    """The grant is visitor, the client is the vendor's web client, the tenant is the solution; there is no secret."""
    assert connect_fields(PLAIN) == VISITOR


def test_each_field_of_the_first_request_has_a_setting() -> None:
    """Whoever has other credentials can say so, and fields of their own go along."""
    assert connect_fields(FULL) == {
        "grant_type": "client_credentials",
        "client_id": "c",
        "tenant_id": "t",
        "client_secret": "s",
        "scope": "x",
        "audience": "chat",
    }


def test_a_refresh_sends_the_refresh_token() -> None:
    """The grant is refresh_token (documented), with the same client fields."""
    assert refresh_fields(PLAIN, "r1") == {**VISITOR, "grant_type": "refresh_token", "refresh_token": "r1"}
    assert refresh_fields(FULL, "r1") == {
        "grant_type": "refresh_token",
        "client_id": "c",
        "tenant_id": "t",
        "client_secret": "s",
        "scope": "x",
        "audience": "chat",
        "refresh_token": "r1",
    }


def test_a_signed_in_visitor_is_named_in_the_first_request() -> None:
    """What the identity service gave and the PKCE verifier go along under names that are assumed."""
    assert connect_fields(PLAIN, IDENTIFIED) == {**VISITOR, **IDENTIFIED}


@pytest.mark.parametrize(
    ("fields", "sent"),
    [
        ({"visitor": "{user_info_id}"}, {"visitor": "u1", "code_verifier": "v1"}),
        ({"verifier": "{code_verifier}"}, {"user_info_id": "u1", "verifier": "v1"}),
        ({"visitor": "{user_info_id}", "verifier": "{code_verifier}"}, {"visitor": "u1", "verifier": "v1"}),
        ({"assertion": "id:{user_info_id};v:{code_verifier}"}, {"assertion": "id:u1;v:v1"}),
        ({"a": "{user_info_id}", "b": "{user_info_id}"}, {"a": "u1", "b": "u1", "code_verifier": "v1"}),
        ({"audience": "chat"}, {**IDENTIFIED, "audience": "chat"}),
        ({"note": "{visitor}"}, {**IDENTIFIED, "note": "{visitor}"}),
    ],
)
def test_what_names_the_visitor_can_be_sent_in_other_fields(fields: dict[str, str], sent: dict[str, str]) -> None:
    """A field of `token_fields` that asks for it takes the place of the assumed name."""
    settings = PLAIN.replace(token_fields=fields)
    assert connect_fields(settings, IDENTIFIED) == {**VISITOR, **sent}


@pytest.mark.parametrize("value", ["{user_info_id}", "{code_verifier}", "id:{user_info_id};v:{code_verifier}"])
def test_a_field_about_the_visitor_is_sent_for_nobody_else(value: str) -> None:
    """Neither for a visitor whom nobody knows nor in a refresh: there is nothing to put in it."""
    settings = PLAIN.replace(token_fields={"visitor": value, "audience": "chat"})
    assert connect_fields(settings) == {**VISITOR, "audience": "chat"}
    refresh = {**VISITOR, "grant_type": "refresh_token", "refresh_token": "r1", "audience": "chat"}
    assert refresh_fields(settings, "r1") == refresh


def test_what_names_the_visitor_is_masked_wherever_it_is_put() -> None:
    """The verifier and the visitor's id are shown by no tool that prints the form."""
    settings = PLAIN.replace(token_fields={"assertion": "id:{user_info_id};v:{code_verifier}"})
    identified = {name: Secret(value) for name, value in IDENTIFIED.items()}
    for form in (connect_fields(settings, identified), connect_fields(PLAIN, identified)):
        assert "u1" not in repr(form)
        assert "v1" not in repr(form)


def test_the_challenge_is_that_of_the_standard() -> None:
    """RFC 7636 appendix B: the S256 challenge of its example verifier."""
    assert challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def sign_in(visitor: Visitor) -> tuple[dict[str, str], dict[str, str]]:
    """What a sign-in sends: the body of the request that identifies the visitor, and the form of the token request."""
    steps = opened(Parts(PLAIN, MemoryStore(), VirtualTime()), visitor)
    identifies = cast(Send, next(steps)).request.body
    asks = cast(Send, steps.send(Reply(status=200, body=b'{"userInfoId": "u1"}'))).request.body
    return json.loads(identifies or b""), dict(parse_qsl((asks or b"").decode()))


def test_each_sign_in_has_a_verifier_of_its_own() -> None:
    """Of 43 characters and more that no form must quote (RFC 7636 section 4.1), and never twice."""
    verifiers = [sign_in(Visitor(access_token="t"))[1]["code_verifier"] for _ in range(50)]
    assert len(set(verifiers)) == 50
    assert all(re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", one) for one in verifiers)


def test_a_sign_in_sends_the_challenge_of_its_verifier_and_hands_the_verifier_on() -> None:
    """So the service can tell that the token request comes from whoever identified the visitor."""
    identified, form = sign_in(Visitor(id_token="t", provider_id=3))
    assert identified == {"codeChallenge": challenge(form["code_verifier"]), "idToken": "t"}
    assert form["user_info_id"] == "u1"


def test_the_visitor_stays_the_same_through_refreshes_that_do_not_name_it() -> None:
    """A reply without `visitor_id` leaves the one that we have, thirty times over; one with another replaces it."""
    present = evolve(tokens(), visitor_id=Secret("ada"))
    for _ in range(30):
        present = present.successor(tokens())
    assert (present.generation, present.visitor_id) == (31, "ada")
    named = present.successor(evolve(tokens(), visitor_id=Secret("kari")))
    assert named.visitor_id == "kari"


def test_the_visitor_is_the_one_that_the_reply_names() -> None:
    """It is masked in the set's repr, and there is none when the reply names none."""
    named = grant(Reply(status=200, body=b'{"access_token": "a1", "visitor_id": "ada"}'), 0.0)
    assert named.visitor_id == "ada"
    assert "ada" not in repr(named)
    assert grant(Reply(status=200, body=b'{"access_token": "a1"}'), 0.0).visitor_id is None


class TokenMachine(Machine):
    """A session's token beside a model: a server that rotates, a store with another process at it, both clocks."""

    def __init__(self) -> None:
        """Begin before the first token."""
        super().__init__()
        self.now = self.asked = BEGIN
        self.flights = 0
        self.refused: set[str] = set()
        self.failures = 0
        self.not_before = float("-inf")
        self.over = False
        self.highest = 1

    @initialize(ttl=st.sampled_from([20.0, 100.0, 600.0, 900.0]), spread=st.floats(0, 1), given=st.integers(0, 9))
    def connect(self, ttl: float, spread: float, given: int) -> None:
        """Get the first token, seldom without a refresh token."""
        self.life = life_of(tokens(ttl, refresh="r1" if given else None), spread)

    @property
    def left(self) -> float:
        """The seconds that the present token lives, by the clock that saw more time pass."""
        passed = max(self.now.monotonic - self.asked.monotonic, self.now.wall - self.asked.wall, 0.0)
        return self.life.tokens.ttl - passed

    @property
    def resting(self) -> bool:
        """Whether a refresh has failed so lately that no other is due."""
        return self.now.monotonic < self.not_before

    def start(self) -> None:
        """Send the refresh token, as a shell does when it is told so."""
        assert self.flights == 0
        assert not self.over
        assert not self.resting
        assert self.life.tokens.refresh is not None
        assert self.life.tokens.refresh not in self.refused
        self.life.started()
        self.flights += 1

    @rule(seconds=st.floats(0, 700) | st.floats(0, 40))
    def time_passes(self, seconds: float) -> None:
        """Both clocks go on."""
        self.now = Now(self.now.monotonic + seconds, self.now.wall + seconds)

    @rule(before=st.sampled_from([-0.01, 0.0, 0.01, 1.0, 29.0, 31.0, 299.0]))
    def the_end_comes_near(self, before: float) -> None:
        """Time passes to just before, or after, one of the limits."""
        self.time_passes(max(0.0, self.left - before))

    @rule(seconds=st.sampled_from([-HOUR, HOUR, 8 * HOUR, -1.0]))
    def the_wall_clock_jumps(self, seconds: float) -> None:
        """The clock is set, or the machine slept."""
        self.now = Now(self.now.monotonic, self.now.wall + seconds)

    @rule()
    def someone_needs_the_token(self) -> None:
        """A caller asks, and does what it is told."""
        renewable = self.life.tokens.refresh is not None
        try:
            step = self.life.step(self.now)
        except SessionExpired:
            assert self.over or (not renewable and self.left <= 0)
            self.over = True
            return
        except PuzzelChatError:
            assert self.left <= 0
            assert self.resting, "a token that can be refreshed now is refreshed, not given up"
            return
        assert not self.over
        if step in (Step.USE, Step.USE_AND_START):
            assert self.left > 0, "an expired token is never used"
        if step in (Step.USE_AND_START, Step.START_AND_WAIT):
            self.start()
        if step is Step.WAIT:
            assert self.flights == 1

    @rule(behind=st.integers(0, 2), callers=st.integers(1, 5))
    def the_service_answers_401(self, behind: int, callers: int) -> None:
        """Calls made with this or an older generation were refused, several at once."""
        for _ in range(callers):
            self.one_answer_is_401(behind)

    def one_answer_is_401(self, behind: int) -> None:
        """One of them."""
        try:
            step = self.life.refused(self.life.tokens.generation - behind, self.now)
        except SessionExpired:
            assert self.over or self.life.tokens.refresh is None
            self.over = True
            return
        except PuzzelChatError:
            assert self.resting
            assert not self.flights
            assert behind == 0
            return
        assert not self.over
        assert (step is Step.USE) == (behind > 0)
        if step is Step.START_AND_WAIT:
            self.start()
        if step is Step.WAIT:
            assert self.flights == 1

    @precondition(lambda self: self.flights)
    @rule(rotates=st.booleans())
    def the_refresh_lands(self, rotates: bool) -> None:
        """The server gives the next token, with or without a new refresh token."""
        before = self.life.tokens
        number = before.generation + 1
        fresh = tokens(before.ttl, refresh=f"r{number}" if rotates else None, obtained=self.now)
        self.life.succeeded(before.successor(fresh), self.now, 0.0)
        self.asked = self.now
        self.flights, self.failures, self.not_before = 0, 0, float("-inf")
        assert self.life.newer_than(before.generation) is self.life.tokens
        assert self.life.tokens.generation == number
        assert self.life.tokens.refresh == (f"r{number}" if rotates else before.refresh)

    @precondition(lambda self: self.flights)
    @rule(error=st.sampled_from([BROKEN, RateLimited("429", status=429), ServerError("500", status=500), WRONG]))
    def the_refresh_fails_for_now(self, error: PuzzelChatError) -> None:
        """The server could not be reached, had no time, or no longer knows the client."""
        self.life.failed(error, self.now)
        self.flights = 0
        self.not_before = self.now.monotonic + min(30.0, 5.0 * 2**self.failures)
        self.failures += 1
        with pytest.raises(type(error), match=str(error)):
            self.life.newer_than(self.life.tokens.generation)

    @precondition(lambda self: self.flights)
    @rule(seldom=st.integers(0, 9))
    def the_refresh_is_refused(self, seldom: int) -> None:
        """The server no longer takes the refresh token; seldom, for nothing much happens after that."""
        if seldom:
            return
        self.refused.add(str(self.life.tokens.refresh))
        self.life.failed(OVER, self.now)
        self.flights, self.over = 0, True

    @rule(ahead=st.integers(-2, 3))
    def another_process_was_faster(self, ahead: int) -> None:
        """The store has other tokens, older or newer than here; a flight ends with them, or a look after an error."""
        if self.over or (not self.flights and not self.resting):
            return
        before = self.life.tokens
        number = before.generation + ahead
        newer = evolve(before, generation=number, refresh=Secret(f"r{number}"), obtained=self.now.wall)
        self.life.succeeded(newer, self.now, 0.0)
        self.flights = 0
        if ahead > 0:
            self.asked = self.now
            self.failures, self.not_before = 0, float("-inf")
        else:
            assert self.life.tokens is before

    @invariant()
    def it_never_goes_back(self) -> None:
        """The generation only grows, and the flag of the flight is the truth."""
        if not hasattr(self, "life"):
            return
        assert self.life.tokens.generation >= self.highest
        self.highest = self.life.tokens.generation
        assert self.life.flight == bool(self.flights)


@pytest.mark.parametrize("steps", TWICE)
def test_no_sequence_breaks_the_life_of_a_token(steps: int) -> None:
    """10 000 steps: one flight at a time, a refused token never sent again, no generation back, no dead token used."""
    run(TokenMachine, steps)


def test_the_token_endpoint_may_ask_for_a_longer_pause() -> None:
    """A failed refresh is tried again no sooner than the service asked for, two minutes at most."""
    life = life_of()
    life.failed(RateLimited("Wait.", status=429, retry_after=90), BEGIN)
    assert life.retry_at == BEGIN.monotonic + 90
