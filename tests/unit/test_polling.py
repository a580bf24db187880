"""When a session is polled: the grid, chance, what the service asks for, and what ends it."""

from __future__ import annotations

import pytest

from puzzel_chat._errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    ContractError,
    NotFound,
    PermissionDenied,
    PuzzelChatError,
    RateLimited,
    ServerError,
    SessionExpired,
    TransportError,
)
from puzzel_chat._http import Reply
from puzzel_chat._polling import Pace
from puzzel_chat._wire.operations import POLL
from puzzel_chat._wire.replies import misfit

BROKEN = TransportError("No reply: it broke.", sent="maybe")


def lowest(low: float, high: float) -> float:
    """The least that chance can give."""
    return low


def highest(low: float, high: float) -> float:
    """The most that chance can give."""
    return high


def ready(period: float = 1.0, now: float = 100.0) -> Pace:
    """A pace whose first poll is due now."""
    pace = Pace(period)
    assert pace.delay(now, lowest) == 0.0
    return pace


def undecodable() -> ContractError:
    """A reply that does not fit."""
    return ContractError("pollConversation", "", "the reply is not JSON", "(empty)")


def test_the_first_poll_is_at_a_random_point_of_the_period() -> None:
    """Chance spreads the sessions over the period, and is asked once."""
    assert Pace(2.0).delay(100.0, lowest) == 0.0
    assert Pace(2.0).delay(100.0, highest) == 2.0
    pace = Pace(2.0)
    pace.delay(100.0, highest)
    assert pace.delay(100.5, lowest) == 1.5


def test_polls_keep_to_the_grid() -> None:
    """The next poll is the previous due time plus the period, however long the reply took."""
    pace = ready()
    for tick in range(1, 5):
        pace.succeeded(100.0 + tick - 1 + 0.3)
        assert pace.delay(100.0 + tick - 1 + 0.3, highest) == pytest.approx(0.7)
        assert pace.delay(100.0 + tick, highest) == 0.0


@pytest.mark.parametrize(("took", "next_at"), [(0.0, 101), (0.999, 101), (1.0, 102), (3.2, 104), (7200.5, 7301)])
def test_a_late_poll_goes_to_the_next_grid_point(took: float, next_at: float) -> None:
    """What was missed stays missed: no burst, and the grid is kept."""
    pace = ready()
    pace.succeeded(100.0 + took)
    assert pace.delay(100.0 + took, highest) == pytest.approx(next_at - 100.0 - took)


@pytest.mark.parametrize("periods", range(1, 20))
def test_a_poll_that_took_whole_periods_is_followed_by_a_pause(periods: int) -> None:
    """The grid point that is now counts as missed, also when rounding puts it a hair ahead: never two polls at once."""
    pace = ready(period=0.1)
    pace.succeeded(100.0 + periods * 0.1)
    assert pace.delay(100.0 + periods * 0.1, highest) == pytest.approx(0.1)


def test_failures_wait_anything_up_to_the_doubling_bound() -> None:
    """Full jitter: from 0 to min(30, 2^n) seconds after the n-th failure in a row."""
    pace = ready()
    for bound in (2, 4, 8, 16, 30, 30, 30):
        pace.failed(BROKEN, 100.0, lowest)
        assert pace.delay(100.0, lowest) == 0.0
        pace.failures -= 1
        pace.failed(BROKEN, 100.0, highest)
        assert pace.delay(100.0, lowest) == bound


def test_a_success_resets_the_backoff_and_tells_how_long_it_lasted() -> None:
    """The first failure of a row is told, and the success after tells the seconds since."""
    pace = ready()
    assert pace.failed(BROKEN, 100.0, highest) is True
    assert pace.failed(BROKEN, 102.0, highest) is False
    assert pace.succeeded(106.5) == 6.5
    assert pace.succeeded(107.0) is None
    assert pace.failed(BROKEN, 110.0, highest) is True
    assert pace.delay(110.0, highest) == 2.0


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (120.0, 120.0), (3600.0, 120.0)])
def test_retry_after_is_honoured_up_to_two_minutes(asked: float, waited: float) -> None:
    """429 and 503 say when to come back, and chance has no say in it."""
    for error in (
        RateLimited("429", status=429, retry_after=asked),
        ServerError("503", status=503, retry_after=asked),
    ):
        pace = ready()
        pace.failed(error, 100.0, highest)
        assert pace.delay(100.0, lowest) == waited


def test_retry_after_zero_is_no_leave_to_hammer() -> None:
    """A service that answers 429 with "again at once" is not polled in a busy loop."""
    pace, waited = ready(), 0.0
    for _ in range(20):
        pace.failed(RateLimited("429", status=429, retry_after=0.0), 100.0, highest)
        waited += pace.delay(100.0, highest)
    assert waited > 5


@pytest.mark.parametrize(
    "error",
    [
        AuthenticationError("401", status=401),
        PermissionDenied("403", status=403),
        NotFound("404", status=404),
        ApiError("410", status=410),
        SessionExpired("Over."),
        ConfigurationError("client_id", "invalid_client"),
    ],
)
def test_what_cannot_pass_ends_the_polling(error: PuzzelChatError) -> None:
    """401 after the replay, 403, 404, 410 and a dead session are raised at once."""
    with pytest.raises(type(error)) as raised:
        ready().failed(error, 100.0, highest)
    assert raised.value is error


@pytest.mark.parametrize(
    "error",
    [
        BROKEN,
        RateLimited("429", status=429),
        ServerError("500", status=500),
        *(ApiError(str(status), status=status) for status in (101, 300, 304, 407, 408, 421, 423, 425, 499)),
        *(ConfigurationError(setting, "redirects") for setting in ("base_url", "identity_url", "region")),
    ],
)
def test_what_passes_never_ends_the_polling(error: PuzzelChatError) -> None:
    """However often it comes, the polling goes on."""
    pace = ready()
    for number in range(100):
        assert pace.failed(error, 100.0, highest) is (number == 0)


def test_a_place_in_a_loop_comes_after_the_pause_that_was_asked_for() -> None:
    """Who adds a session to a loop does not have it polled before its `Retry-After` is over."""
    pace = ready()
    pace.failed(RateLimited("too many", status=429, retry_after=30.0), 100.0, lowest)
    pace.take_place(101.0, 0.5, 1.0)
    assert 29.0 <= pace.delay(101.0, lowest) < 29.1
    pace.succeeded(131.0)
    pace.take_place(131.0, 0.5, 1.0)
    assert 0.5 <= pace.delay(131.0, lowest) < 0.6


def test_three_undecodable_replies_in_a_row_end_the_polling() -> None:
    """Two pass; a good reply between starts the count anew."""
    pace = ready()
    pace.failed(undecodable(), 100.0, highest)
    pace.failed(undecodable(), 100.0, highest)
    pace.succeeded(101.0)
    pace.failed(undecodable(), 102.0, highest)
    pace.failed(undecodable(), 103.0, highest)
    with pytest.raises(ContractError):
        pace.failed(undecodable(), 104.0, highest)


def test_undecodable_replies_between_other_failures_are_not_in_a_row() -> None:
    """A broken connection between two bad replies says nothing about the document, nor forgives it."""
    pace = ready()
    for error in (undecodable(), BROKEN, undecodable(), BROKEN):
        pace.failed(error, 100.0, highest)
    with pytest.raises(ContractError):
        pace.failed(undecodable(), 100.0, highest)


def test_pages_do_not_count_as_replies_of_the_service() -> None:
    """After any number of web pages the first reply of the service that does not fit is the first."""
    pace = ready()
    for _ in range(5):
        pace.failed(misfit(POLL, Reply(status=200, body=b"<html>"), "the reply is not JSON"), 100.0, highest)
    for _ in range(2):
        pace.failed(misfit(POLL, Reply(status=200, body=b"{"), "the reply is not JSON"), 100.0, highest)
    with pytest.raises(ContractError):
        pace.failed(misfit(POLL, Reply(status=200, body=b"{"), "the reply is not JSON"), 100.0, highest)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_session_that_another_polled_is_polled_soon_and_then_at_its_place(share: float) -> None:
    """The first poll comes within a quarter of the period, the next ones where they would have come anyway."""
    usual, soon = Pace(1.0), Pace(1.0)
    usual.take_place(100.0, share, 1.0)
    soon.take_place(100.0, share, 1.0, soon=True)
    first = 100.0 + soon.delay(100.0, lowest)
    assert first <= 100.25
    soon.succeeded(first)
    after = first + soon.delay(first, lowest)
    assert (after - 100.0 - usual.delay(100.0, lowest)) % 1.0 == pytest.approx(0.0, abs=1e-6)
    assert first < after <= 101.0 + 1e-6


def test_a_session_whose_polls_fail_is_not_polled_sooner() -> None:
    """A pause after a failure is kept, whoever polled before."""
    pace = ready()
    pace.failed(BROKEN, 100.0, highest)
    due = 100.0 + pace.delay(100.0, lowest)
    pace.take_place(100.0, 0.0, 1.0, soon=True)
    assert 100.0 + pace.delay(100.0, lowest) >= due
