"""Which failure may be sent again, and when: every line of the decision."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat._errors import (
    ApiError,
    AuthenticationError,
    Conflict,
    ContractError,
    NotFound,
    PuzzelChatError,
    RateLimited,
    ServerError,
    SessionExpired,
    TransportError,
)
from puzzel_chat._retry import again, backoff, ends_a_loop, not_taken, retry_after, unknown_outcome

UNSENT = TransportError("No reply: refused.", sent="no")
BROKEN = TransportError("No reply: broke.", sent="maybe")
LIMITED = RateLimited("429", status=429)
FAILED = ServerError("500", status=500)
GATEWAY = ServerError("503", status=503)
LATER = ServerError("503", status=503, retry_after=2.0)
BAD = ContractError("sendMessage", "", "the reply is not JSON", "(empty)")
MISSING = NotFound("404", status=404)


def highest(low: float, high: float) -> float:
    """The most that chance can give."""
    return high


@pytest.mark.parametrize(
    ("error", "certainly_not", "unknown"),
    [
        (UNSENT, True, False),
        (LIMITED, True, False),
        (LATER, True, False),
        (BROKEN, False, True),
        (FAILED, False, True),
        (GATEWAY, False, True),
        (BAD, False, True),
        (MISSING, False, False),
        *((ApiError(str(status), status=status), False, True) for status in (101, 300, 304, 306, 408, 499)),
        *((ApiError(str(status), status=status), True, False) for status in (421, 425)),
        *((ApiError(str(status), status=status), False, False) for status in (400, 407, 410, 413, 423, 451)),
        (ServerError("511", status=511), True, False),
        (ServerError("501", status=501), False, True),
        (Conflict("409", status=409), False, False),
        (AuthenticationError("401", status=401), False, False),
        (SessionExpired("Over."), False, False),
        (ServerError("500", status=500, retry_after=2.0), False, True),
    ],
)
def test_each_failure_says_whether_the_service_acted(
    error: PuzzelChatError, certainly_not: bool, unknown: bool
) -> None:
    """Not sent, 429 and a 503 with a time to come back were not taken; no or a bad answer leaves it open."""
    assert not_taken(error) is certainly_not
    assert unknown_outcome(error) is unknown


@pytest.mark.parametrize(
    ("error", "repeatable", "sent_again"),
    [
        (UNSENT, False, True),
        (LIMITED, False, True),
        (LATER, False, True),
        (BROKEN, False, False),
        (FAILED, False, False),
        (GATEWAY, False, False),
        (BROKEN, True, True),
        (FAILED, True, True),
        (BAD, True, False),
        (MISSING, True, False),
        (SessionExpired("Over."), True, False),
    ],
)
def test_only_what_is_safe_is_sent_again(error: PuzzelChatError, repeatable: bool, sent_again: bool) -> None:
    """A request that may have arrived is repeated only when doing it twice is the same as once."""
    assert (again(error, 1, most_retries=2, repeatable=repeatable, uniform=highest) is not None) is sent_again


@pytest.mark.parametrize("most", [0, 1, 2, 10])
def test_so_many_retries_are_all(most: int) -> None:
    """After the last of them, which may be the first attempt, the error is the caller's."""
    made = [again(UNSENT, n, most_retries=most, repeatable=True, uniform=highest) is not None for n in range(1, 15)]
    assert made == [n <= most for n in range(1, 15)]


def test_the_pauses_between_attempts_have_full_jitter() -> None:
    """Anything from 0 up to a bound that doubles."""
    assert again(UNSENT, 1, most_retries=2, repeatable=True, uniform=highest) == 1.0
    assert again(UNSENT, 2, most_retries=2, repeatable=True, uniform=highest) == 2.0
    assert again(UNSENT, 2, most_retries=2, repeatable=True, uniform=lambda low, high: low) == 0.0


@pytest.mark.parametrize(("asked", "pause"), [(0.0, 0.0), (10.0, 10.0)])
def test_a_short_retry_after_is_waited_for(asked: float, pause: float) -> None:
    """Up to ten seconds the service's wish is kept to the letter."""
    error = RateLimited("429", status=429, retry_after=asked)
    assert again(error, 1, most_retries=2, repeatable=False, uniform=highest) == pause


def test_a_long_retry_after_is_the_callers_to_wait_for() -> None:
    """A single call does not hang for it; the error tells the seconds."""
    error = RateLimited("429", status=429, retry_after=10.1)
    assert again(error, 1, most_retries=2, repeatable=True, uniform=highest) is None
    assert error.retry_after == 10.1


@pytest.mark.parametrize(("asked", "given_"), [(None, None), (-3.0, 0.0), (5.0, 5.0), (1e9, 120.0)])
def test_retry_after_is_cut_to_two_minutes(asked: float | None, given_: float | None) -> None:
    """Nonsense from the service neither hangs nor crashes a loop."""
    assert retry_after(RateLimited("429", status=429, retry_after=asked)) == given_
    assert retry_after(BROKEN) is None
    assert retry_after(None) is None


@given(failures=st.integers(0, 10_000), chance=st.floats(0, 1))
def test_backoff_is_bounded_for_every_count(failures: int, chance: float) -> None:
    """Never negative, never over thirty seconds, and no overflow after a long outage."""
    assert 0.0 <= backoff(failures, lambda low, high: low + chance * (high - low)) <= 30.0


@pytest.mark.parametrize(
    ("error", "undecodable", "ends"),
    [
        (BROKEN, 0, False),
        (UNSENT, 0, False),
        (LIMITED, 0, False),
        (FAILED, 0, False),
        (ApiError("408", status=408), 0, False),
        (ApiError("410", status=410), 0, True),
        (MISSING, 0, True),
        (SessionExpired("Over."), 0, True),
        (BAD, 1, False),
        (BAD, 2, False),
        (BAD, 3, True),
    ],
)
def test_a_loop_goes_on_only_after_what_passes(error: PuzzelChatError, undecodable: int, ends: bool) -> None:
    """No reply, 408, 429, 5xx and up to two undecodable replies pass; anything else ends the loop."""
    assert ends_a_loop(error, undecodable) is ends
