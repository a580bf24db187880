"""The wait for an agent: when it looks, what it tells, and that it always ends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat._errors import (
    AgentWaitTimeout,
    ApiError,
    ContractError,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PuzzelChatError,
    QueueClosed,
    QueueFull,
    RateLimited,
    RoutingRefused,
    ServerError,
    SessionExpired,
    TransportError,
)
from puzzel_chat._models import Agent, Allocation, AllocationStage
from puzzel_chat._routing import AgentWait, checked_timeout, must_leave, refusal

WHEN = datetime(2026, 11, 23, tzinfo=UTC)
QUEUED, OFFERED, ASSIGNED = AllocationStage.QUEUED, AllocationStage.OFFERED, AllocationStage.ASSIGNED
BROKEN = TransportError("No reply: it broke.", sent="maybe")
ENDED = (AllocationStage.REFUSED, AllocationStage.CANCELLED, AllocationStage.EXPIRED)


def seen(
    stage: AllocationStage = QUEUED,
    position: int | None = None,
    wait: float | None = None,
    agent: str | None = None,
    reason: str | None = None,
) -> Allocation:
    """A snapshot of the search."""
    return Allocation(
        stage=stage,
        queue_position=position,
        estimated_wait=wait,
        agent=Agent(id=agent) if agent else None,
        reason=reason,
        fetched_at=WHEN,
    )


def middle(low: float, high: float) -> float:
    """The middle of the range, in chance's place."""
    return (low + high) / 2


def undecodable() -> ContractError:
    """A reply that does not fit."""
    return ContractError("getRequestStatus", "/status", "a field is missing", "{}")


def test_it_looks_at_once_then_after_growing_pauses() -> None:
    """The pauses are 0, 1, 1, 2, 3, 5, 5 … seconds."""
    wait = AgentWait(0.0, 120.0)
    assert [wait.delay(0.0, middle) for _ in range(9)] == [0, 1, 1, 2, 3, 5, 5, 5, 5]


def test_pauses_vary_by_a_tenth() -> None:
    """Chance makes each pause up to 10 % shorter or longer, so that waits do not fall into step."""
    low, high = AgentWait(0.0, 120.0), AgentWait(0.0, 120.0)
    least = [low.delay(0.0, lambda a, b: a) for _ in range(6)]
    most = [high.delay(0.0, lambda a, b: b) for _ in range(6)]
    assert least == pytest.approx([0, 0.9, 0.9, 1.8, 2.7, 4.5])
    assert most == pytest.approx([0, 1.1, 1.1, 2.2, 3.3, 5.5])


def test_a_pause_never_reaches_past_the_deadline() -> None:
    """What is left of the time bounds the pause, also one that the service asked for."""
    wait = AgentWait(10.0, 4.0, last=seen())
    for _ in range(4):
        wait.delay(10.0, middle)
    assert wait.delay(13.5, middle) == 0.5
    wait.failed(RateLimited("429", status=429, retry_after=60.0), 13.6)
    assert wait.delay(13.6, middle) == pytest.approx(0.4)


def test_retry_after_wins_once() -> None:
    """What the service asks for takes the place of one pause, cut to two minutes."""
    wait = AgentWait(0.0, 1000.0)
    wait.failed(RateLimited("429", status=429, retry_after=7.0), 0.0)
    assert wait.delay(0.0, middle) == 7.0
    wait.failed(ServerError("503", status=503, retry_after=500.0), 0.0)
    assert wait.delay(0.0, middle) == 120.0
    wait.failed(BROKEN, 0.0)
    assert wait.delay(0.0, middle) == 0.0
    assert wait.delay(0.0, middle) == 1.0


def test_retry_after_zero_is_no_leave_to_hammer() -> None:
    """A service that says "again at once" for ever does not turn the wait into a busy loop."""
    wait = AgentWait(0.0, 120.0, last=seen())
    pauses = []
    for _ in range(20):
        pauses.append(wait.delay(0.0, middle))
        wait.failed(RateLimited("429", status=429, retry_after=0.0), 0.0)
    assert sum(pauses) > 5


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (seen(position=3), seen(position=3), False),
        (seen(position=3), seen(position=2), True),
        (seen(wait=30), seen(wait=20), True),
        (seen(), seen(position=1), True),
        (seen(), seen(OFFERED), True),
        (seen(OFFERED, agent="1"), seen(OFFERED, agent="2"), True),
        (seen(OFFERED), seen(AllocationStage.DECLINED), True),
        (seen(AllocationStage.DECLINED), seen(QUEUED), True),
        (seen(OFFERED), seen(ASSIGNED, agent="1"), True),
        (seen(AllocationStage.UNKNOWN), seen(AllocationStage.UNKNOWN), False),
    ],
)
def test_a_change_of_what_matters_is_told(before: Allocation, after: Allocation, changed: bool) -> None:
    """Stage, position, estimated wait and agent are compared with the last look; times are not."""
    wait = AgentWait(0.0, 120.0)
    assert wait.observe(before)
    assert wait.observe(after) is changed


def test_assigned_ends_it_well() -> None:
    """An agent has the chat: it is done, and the last snapshot is the one that says so."""
    wait = AgentWait(0.0, 120.0)
    wait.observe(seen())
    assert not wait.done
    wait.observe(seen(ASSIGNED, agent="1"))
    assert wait.done


@pytest.mark.parametrize("stage", ENDED)
def test_each_bad_end_is_a_refusal_with_its_reason(stage: AllocationStage) -> None:
    """Refused, cancelled and expired raise RoutingRefused with the service's word."""
    wait = AgentWait(0.0, 120.0)
    with pytest.raises(RoutingRefused, match="Moon phase") as raised:
        wait.observe(seen(stage, reason="Moon phase"))
    assert raised.value.reason == "Moon phase"
    assert wait.last is not None


def test_a_refusal_for_a_known_reason_is_that_error() -> None:
    """QueueClosed and QueueFull are told apart from the rest by the service's word (assumed)."""
    wait = AgentWait(0.0, 120.0)
    with pytest.raises(QueueClosed):
        wait.observe(seen(AllocationStage.REFUSED, reason="QueueClosed"))
    with pytest.raises(QueueFull):
        wait.observe(seen(AllocationStage.REFUSED, reason="QueueFull"))
    assert isinstance(refusal(None, "Refused"), RoutingRefused)


def test_the_timeout_tells_what_was_seen_last() -> None:
    """When the time is over it raises AgentWaitTimeout, which is a TimeoutError and holds the last snapshot."""
    wait = AgentWait(0.0, 30.0)
    last = seen(position=4)
    wait.observe(last)
    with pytest.raises(TimeoutError, match=r"within 30 s.*last seen queued at position 4") as raised:
        wait.delay(30.0, middle)
    assert isinstance(raised.value, AgentWaitTimeout)
    assert raised.value.last is last


def test_a_timeout_of_zero_looks_once() -> None:
    """One look is always made; if it finds an agent, that counts."""
    wait = AgentWait(5.0, 0.0)
    assert wait.delay(5.0, middle) == 0.0
    wait.observe(seen())
    with pytest.raises(AgentWaitTimeout):
        wait.delay(5.1, middle)
    lucky = AgentWait(5.0, 0.0)
    lucky.delay(5.0, middle)
    lucky.observe(seen(ASSIGNED))
    assert lucky.done


def test_a_timeout_of_zero_with_a_failed_look_ends_too() -> None:
    """When the only look fails, the timeout is raised with the failure as its cause."""
    wait = AgentWait(5.0, 0.0)
    wait.delay(5.0, middle)
    with pytest.raises(AgentWaitTimeout) as raised:
        wait.failed(BROKEN, 5.1)
    assert raised.value.__cause__ is BROKEN
    assert raised.value.last is None


@pytest.mark.parametrize(
    "error",
    [
        BROKEN,
        RateLimited("429", status=429),
        ServerError("500", status=500),
        ApiError("408", status=408),
        undecodable(),
    ],
)
def test_one_bad_look_does_not_end_the_wait(error: PuzzelChatError) -> None:
    """What passes is looked over; the next look is made."""
    wait = AgentWait(0.0, 120.0)
    wait.failed(error, 1.0)
    assert wait.observe(seen())


@pytest.mark.parametrize(
    "error",
    [
        NotFound("404", status=404),
        PermissionDenied("403", status=403),
        SessionExpired("Over."),
        ApiError("400", status=400),
    ],
)
def test_an_error_that_cannot_pass_ends_the_wait(error: PuzzelChatError) -> None:
    """Looking again would only fail again."""
    with pytest.raises(type(error)) as raised:
        AgentWait(0.0, 120.0).failed(error, 1.0)
    assert raised.value is error


def test_three_undecodable_looks_in_a_row_end_it() -> None:
    """Two are looked over, a good one starts the count anew, the third in a row is raised."""
    wait = AgentWait(0.0, 120.0)
    wait.failed(undecodable(), 0.0)
    wait.failed(undecodable(), 0.0)
    wait.observe(seen())
    wait.failed(undecodable(), 0.0)
    wait.failed(undecodable(), 0.0)
    with pytest.raises(ContractError):
        wait.failed(undecodable(), 0.0)


@pytest.mark.parametrize(
    ("error", "leaves"),
    [
        (AgentWaitTimeout("late"), True),
        (KeyboardInterrupt(), True),
        (BROKEN, True),
        (ValueError("a caller's own"), True),
        (GeneratorExit(), False),
        (QueueClosed("closed"), False),
        (RoutingRefused("no"), False),
    ],
)
def test_the_queue_is_left_unless_there_is_nothing_to_leave(error: BaseException, leaves: bool) -> None:
    """A timeout, an interrupt or a failure leaves the queue; stopping to listen keeps the place."""
    assert must_leave(error) is leaves


@pytest.mark.parametrize("timeout", [-1, float("inf"), float("nan"), None, "120", True])
def test_only_a_wait_that_ends_is_accepted(timeout: object) -> None:
    """The service has no longest wait (related), so ours must have one; the error names the argument."""
    with pytest.raises(InvalidArgument, match=r"^timeout: "):
        checked_timeout(timeout)
    assert checked_timeout(0) == 0.0


snapshots = st.builds(
    seen,
    stage=st.sampled_from(AllocationStage),
    position=st.none() | st.integers(1, 3),
    wait=st.none() | st.sampled_from([10.0, 20.0]),
    agent=st.none() | st.sampled_from("12"),
)
failures = st.sampled_from([None, 1.0, 30.0, 500.0]).map(
    lambda asked: RateLimited("429", status=429, retry_after=asked)
) | st.sampled_from([BROKEN, ServerError("502", status=502), ApiError("408", status=408)])
looks = st.lists(st.tuples(st.floats(0, 20), snapshots | failures), min_size=1, max_size=60)


@given(timeout=st.floats(0, 60), looks=looks, chance=st.floats(0, 1))
def test_every_wait_ends_and_tells_each_change_once(
    timeout: float, looks: list[tuple[float, Allocation | PuzzelChatError]], chance: float
) -> None:
    """Whatever comes, it ends by its deadline plus one look, and tells exactly the changes, in order."""
    wait, now, told, came = AgentWait(100.0, timeout), 100.0, list[Allocation](), list[Allocation]()
    script = iter(looks * 100)
    began_last_look = now
    try:
        while not wait.done:
            now += wait.delay(now, lambda low, high: low + chance * (high - low))
            began_last_look = now
            took, outcome = next(script)
            now += took
            if isinstance(outcome, PuzzelChatError):
                wait.failed(outcome, now)
                continue
            came.append(outcome)
            if wait.observe(outcome):
                told.append(outcome)
    except (AgentWaitTimeout, RoutingRefused, QueueClosed, QueueFull):
        pass
    assert began_last_look <= 100.0 + timeout + 1e-6
    if came and came[-1].stage in ENDED:
        came.pop()
    expected = [
        item
        for number, item in enumerate(came)
        if number == 0
        or (item.stage, item.queue_position, item.estimated_wait, item.agent)
        != (
            came[number - 1].stage,
            came[number - 1].queue_position,
            came[number - 1].estimated_wait,
            came[number - 1].agent,
        )
    ]
    assert told == expected


@given(reason=st.none() | st.text(max_size=20))
def test_an_unknown_stage_never_raises(reason: str | None) -> None:
    """A stage that this version does not know is told and waited on."""
    wait = AgentWait(0.0, 10.0)
    assert wait.observe(seen(AllocationStage.UNKNOWN, reason=reason))
    assert not wait.done
