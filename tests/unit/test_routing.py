"""The wait for an agent: when it looks, what it tells, and that it always ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import chain, repeat

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from machines import TWICE, Machine, run
from puzzel_chat._errors import (
    AgentWaitTimeout,
    ApiError,
    ConfigurationError,
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
from puzzel_chat._routing import AgentWait, checked_seconds, must_leave, refusal

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
        *(ApiError(str(status), status=status) for status in (304, 407, 408, 425, 499)),
        ConfigurationError("base_url", "redirects"),
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
    with pytest.raises(InvalidArgument, match=r"^wait: "):
        checked_seconds("wait", timeout)
    assert checked_seconds("wait", 0) == 0.0


snapshots = st.builds(
    seen,
    stage=st.sampled_from(AllocationStage) | st.sampled_from([QUEUED, OFFERED, AllocationStage.DECLINED]),
    position=st.none() | st.integers(1, 3),
    wait=st.none() | st.sampled_from([10.0, 20.0]),
    agent=st.none() | st.sampled_from("12"),
    reason=st.sampled_from([None, "QueueFull", "Moon phase"]),
)
passing = st.sampled_from([None, 0.0, 1.0, 30.0, 500.0]).map(
    lambda asked: RateLimited("429", status=429, retry_after=asked)
) | st.sampled_from([BROKEN, ServerError("502", status=502), ApiError("408", status=408), undecodable()])
lasting = st.sampled_from([NotFound("404", status=404), PermissionDenied("403", status=403), SessionExpired("Over.")])
took = st.sampled_from([0.0, 0.1, 1.0]) | st.floats(0, 20)


class RoutingMachine(Machine):
    """A wait for an agent beside a model: its pauses, what it tells, and how it ends. Then the next wait begins."""

    over = True

    @initialize(timeout=st.sampled_from([0.0, 1.0, 30.0, 600.0]), chance=st.floats(0, 1))
    def begin(self, timeout: float, chance: float) -> None:
        """A wait begins, with a share of chance that stays."""
        self.now = self.began = 100.0
        self.timeout, self.chance = timeout, chance
        self.wait = AgentWait(self.began, timeout)
        self.pauses = chain((0.0, 1.0, 1.0, 2.0, 3.0), repeat(5.0))
        self.asked: float | None = None
        self.before: Allocation | None = None
        self.bad = 0
        self.looks = 0
        self.over = False

    @precondition(lambda self: self.over)
    @rule(timeout=st.floats(0, 60) | st.sampled_from([120.0, 3600.0]), chance=st.floats(0, 1))
    def the_next_one_begins(self, timeout: float, chance: float) -> None:
        """The one before has ended."""
        self.begin(timeout, chance)

    def uniform(self, low: float, high: float) -> float:
        """Chance."""
        return low + self.chance * (high - low)

    def looks_again(self, seconds: float) -> bool:
        """Wait as told and look, which takes some seconds; false when the wait is over instead."""
        left = self.began + self.timeout - self.now
        if left <= 0 and self.looks > 0:
            with pytest.raises(AgentWaitTimeout) as late:
                self.wait.delay(self.now, self.uniform)
            assert late.value.last is self.before
            self.over = True
            return False
        pause = self.wait.delay(self.now, self.uniform)
        wanted = next(self.pauses) * self.uniform(0.9, 1.1) if self.asked is None else self.asked
        assert pause == pytest.approx(max(0.0, min(wanted, left)))
        self.asked = None
        self.now += pause
        assert self.now <= self.began + self.timeout + 1e-6, "no look begins after the time is over"
        self.looks += 1
        self.now += seconds
        return True

    @precondition(lambda self: not self.over)
    @rule(seconds=took, snapshot=snapshots)
    def a_look_brings_a_snapshot(self, seconds: float, snapshot: Allocation) -> None:
        """It is told when it changed anything; an ending without an agent is raised."""
        if not self.looks_again(seconds):
            return
        self.bad = 0
        before, self.before = self.before, snapshot
        if snapshot.stage in ENDED:
            with pytest.raises(QueueFull if snapshot.reason == "QueueFull" else RoutingRefused):
                self.wait.observe(snapshot)
            self.over = True
            return
        assert self.wait.observe(snapshot) is (before is None or matters(before) != matters(snapshot))
        assert self.wait.done == (snapshot.stage is ASSIGNED)
        self.over = self.wait.done

    @precondition(lambda self: not self.over)
    @rule(seconds=took)
    def a_look_brings_the_same(self, seconds: float) -> None:
        """What has not changed is not told again, though it was fetched later."""
        if self.before is not None and self.looks_again(seconds):
            self.bad = 0
            self.before = evolve(self.before, fetched_at=WHEN + timedelta(seconds=self.now))
            assert not self.wait.observe(self.before)

    @precondition(lambda self: not self.over)
    @rule(seconds=took, error=passing)
    def a_look_fails_for_now(self, seconds: float, error: PuzzelChatError) -> None:
        """The wait goes on, unless its time is over or it was the third reply in a row that nobody can read."""
        if not self.looks_again(seconds):
            return
        self.bad += isinstance(error, ContractError)
        late = self.now >= self.began + self.timeout
        if isinstance(error, ContractError) and self.bad >= 3:
            with pytest.raises(ContractError):
                self.wait.failed(error, self.now)
            self.over = True
        elif late:
            with pytest.raises(AgentWaitTimeout) as raised:
                self.wait.failed(error, self.now)
            assert raised.value.__cause__ is error
            self.over = True
        else:
            self.wait.failed(error, self.now)
            asked = error.retry_after if isinstance(error, ApiError) else None
            self.asked = min(asked, 120.0) if asked else None

    @precondition(lambda self: not self.over)
    @rule(seconds=took, error=lasting, seldom=st.integers(0, 4))
    def a_look_fails_for_good(self, seconds: float, error: PuzzelChatError, seldom: int) -> None:
        """What cannot pass ends the wait as it is."""
        if seldom == 0 and self.looks_again(seconds):
            with pytest.raises(type(error)) as raised:
                self.wait.failed(error, self.now)
            assert raised.value is error
            self.over = True


def matters(snapshot: Allocation) -> tuple[object, ...]:
    """What a change is judged by."""
    agent = snapshot.agent.id if snapshot.agent else None
    return snapshot.stage, snapshot.queue_position, snapshot.estimated_wait, agent


@pytest.mark.parametrize("steps", TWICE)
def test_every_wait_ends_and_tells_each_change_once(steps: int) -> None:
    """10 000 steps: in time, by its own pauses or the service's, through bad looks, each change told once."""
    run(RoutingMachine, steps)


@given(reason=st.none() | st.text(max_size=20))
def test_an_unknown_stage_never_raises(reason: str | None) -> None:
    """A stage that this version does not know is told and waited on."""
    wait = AgentWait(0.0, 10.0)
    assert wait.observe(seen(AllocationStage.UNKNOWN, reason=reason))
    assert not wait.done
