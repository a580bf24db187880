"""What a host is spared, in simulated time: the steady rate, the herd after an outage, the latency of a stall."""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Callable
from itertools import count
from math import inf, sqrt
from random import Random

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat import MemoryStore, PollingLoop
from puzzel_chat._errors import ContractError, NotFound, PuzzelChatError, RateLimited, ServerError, TransportError
from puzzel_chat._fleet._hosts import BURST, CHANCE, FEW, HEADROOM, LEAST, REFRESHES_WITHIN, Host
from puzzel_chat._fleet._polled import Service
from puzzel_chat._models import Secret
from puzzel_chat._polling import BUNCH, GRID, Pace
from puzzel_chat._session import SessionState
from puzzel_chat._settings import HostName, Settings
from puzzel_chat._steps import Parts
from puzzel_chat._tokens import TokenSet
from puzzel_chat.testing import VirtualTime
from scripted import Plain

REFUSED = TransportError("refused", sent="no")
Answer = Callable[[float], tuple[float, PuzzelChatError | None]]


@define
class Fleet:
    """Sessions that are polled as the loop polls them, against a service that answers as it is told to."""

    answer: Answer
    sessions: int
    host: Host
    random: Random = field(factory=lambda: Random(5))
    offered: Counter[int] = field(factory=Counter)
    answered: Counter[int] = field(factory=Counter)
    most_under_way: int = 0

    def run(self, seconds: float) -> Fleet:
        """Let so many seconds pass."""
        paces = [Pace(1.0) for _ in range(self.sessions)]
        events: list[tuple[float, int, str, int, float, PuzzelChatError | None]] = []
        number, waiting, looking = count(), deque[int](), inf
        for place, pace in enumerate(paces):
            self.host.joined(1.0)
            pace.take_place(0.0, self.random.random(), self.host.steady)
            heapq.heappush(events, (pace.delay(0.0, self.random.uniform), next(number), "due", place, 0.0, None))
        while events and (now := events[0][0]) < seconds:
            _, _, what, place, took, error = heapq.heappop(events)
            if what == "look":
                looking = inf
            elif what == "due":
                waiting.append(place)
            elif what == "ended":
                self.host.ended(now, took, error)
                self.answered[int(now)] += error is None
                if error:
                    paces[place].failed(error, now, self.random.uniform)
                else:
                    paces[place].succeeded(now)
                due = now + paces[place].delay(now, self.random.uniform)
                heapq.heappush(events, (due, next(number), "due", place, 0.0, None))
            while waiting and (pause := self.host.pause(now)) == 0.0:
                self.host.began()
                self.offered[int(now)] += 1
                self.most_under_way = max(self.most_under_way, self.host.under_way)
                took, error = self.answer(now)
                heapq.heappush(events, (now + took, next(number), "ended", waiting.popleft(), took, error))
            if waiting and now + pause < looking:
                looking = now + pause
                heapq.heappush(events, (looking, next(number), "look", -1, 0.0, None))
        return self


def outage(kind: str, begins: float, ends: float) -> Answer:
    """Give a service of 100 ms that is out for a while, in one of several ways."""
    failing: dict[str, tuple[float, PuzzelChatError]] = {
        "refused": (0.001, REFUSED),
        "503": (0.1, ServerError("out", status=503)),
        "503 for 20 s": (0.1, ServerError("out", status=503, retry_after=20.0)),
        "hangs": (10.0, TransportError("nothing came", sent="maybe")),
    }
    return lambda now: failing[kind] if begins <= now < ends else (0.1, None)


STEADY = 300
"""Sessions in these tests, polled once a second; a real fleet has thousands, and every bound is a share of them."""


@pytest.mark.parametrize("kind", ["refused", "503", "503 for 20 s", "hangs"])
def test_an_outage_is_no_herd(kind: str) -> None:
    """During an outage little is asked, after it never twice the steady rate, and soon each session is polled again."""
    fleet = Fleet(outage(kind, 10.0, 70.0), STEADY, Host(1000)).run(120.0)
    assert [fleet.offered[second] for second in range(5, 10)] == [STEADY] * 5
    assert max(fleet.offered[second] for second in range(15, 70)) < 0.075 * STEADY + FEW
    assert max(fleet.offered[second] for second in range(70, 120)) < 2 * STEADY
    assert [fleet.answered[second] for second in range(110, 119)] == [STEADY] * 9


def test_a_stall_piles_nothing_up() -> None:
    """What waits behind a stall waits here: no more polls are under way than the usual latency needs, and some."""
    fleet = Fleet(outage("hangs", 20.0, 40.0), STEADY, Host(1000)).run(60.0)
    assert fleet.most_under_way <= STEADY * 0.1 + CHANCE * sqrt(STEADY * 0.1) + 1


@pytest.mark.parametrize("latency", [0.01, 0.2, 0.9])
def test_the_usual_latency_is_learnt(latency: float) -> None:
    """A service that takes its time gets each poll all the same."""
    fleet = Fleet(lambda now: (latency, None), STEADY, Host(1000)).run(30.0)
    assert [fleet.offered[second] for second in range(15, 29)] == [STEADY] * 14


def test_a_service_that_becomes_slower_is_still_polled() -> None:
    """The latency that counts is that of the last seconds: after some of them there are places enough."""
    fleet = Fleet(lambda now: (0.05 if now < 20 else 0.4, None), STEADY, Host(1000)).run(60.0)
    assert [fleet.offered[second] for second in range(45, 59)] == [STEADY] * 14


def test_the_most_is_never_passed() -> None:
    """The bound on polls under way holds, and what comes of it is polls that are made later."""
    fleet = Fleet(lambda now: (1.0, None), STEADY, Host(80)).run(30.0)
    assert fleet.most_under_way == 80
    assert sum(fleet.answered[second] for second in range(20, 28)) == 8 * 80


@pytest.mark.parametrize("sessions", [2, 5, FEW])
def test_few_sessions_that_are_due_together_are_all_polled_then(sessions: int) -> None:
    """Chats come and go, so a few may be due at one moment, each second again: none of them waits for another."""
    host = Host(1000)
    for _ in range(sessions):
        host.joined(1.0)
    for now in range(1, 20):
        for _ in range(sessions):
            assert host.pause(float(now)) == 0.0
            host.began()
        for _ in range(sessions):
            host.ended(now + 0.1, 0.1, None)


def test_a_poll_that_was_not_made_says_nothing_about_the_host() -> None:
    """A session that another task has just polled gives its place back, and counts neither as quick nor as well."""
    host = Host(1000, steady=1000.0)
    places = host.places
    for place in range(200):
        host.began()
        host.ended(0.1 * place, None, None)
        host.began()
        host.ended(0.1 * place, 0.1, None if place < 20 else REFUSED)
    assert (host.under_way, host.places, host.health) == (0, places, LEAST)


def test_one_session_that_fails_slows_nobody() -> None:
    """An error of one session among many changes nothing for the others."""
    host = Host(1000, steady=100.0)
    for place in range(1000):
        now = 0.01 * place
        assert host.pause(now) == 0.0
        host.began()
        host.ended(now, 0.1, ServerError("it failed", status=500) if place % 4 == 0 else None)
    assert host.health == 1.0


@pytest.mark.parametrize("error", [NotFound("not there", status=404), ContractError("pollConversation", "", "x", "")])
def test_what_only_one_session_meets_says_nothing_about_the_host(error: PuzzelChatError) -> None:
    """A refusal or an unreadable reply is an answer: the host is well."""
    host = Host(1000, steady=100.0)
    for place in range(200):
        host.began()
        host.ended(0.1 * place, 0.1, error)
    assert host.health == 1.0


def test_a_retry_after_holds_for_all() -> None:
    """Nobody on the host is polled until the time that it asked for is over; a shorter one does not shorten it."""
    host = Host(1000, steady=100.0)
    for asked in (30.0, 5.0):
        host.began()
        host.ended(10.0, 0.1, RateLimited("too many", status=429, retry_after=asked))
    assert host.pause(10.0) == 30.0
    assert host.pause(39.0) == 1.0
    assert host.pause(40.0) < 1.0


def test_refreshes_take_turns() -> None:
    """Of many sessions whose tokens could be refreshed at once, only so many are each second."""
    host = Host(1000, sessions=2000)
    began = Counter(int(now / 10) for now in range(200) for _ in range(50) if host.may_refresh(now / 10))
    assert all(0 < began[second] <= 2 * 2000 / REFRESHES_WITHIN for second in range(20))
    assert sum(began.values()) <= 2000 * 20 / REFRESHES_WITHIN + 2000 / REFRESHES_WITHIN


@given(
    steps=st.lists(
        st.tuples(st.floats(0.0, 2.0), st.sampled_from([None, REFUSED, RateLimited("x", status=429, retry_after=3.0)])),
        max_size=200,
    ),
    sessions=st.integers(1, 500),
)
def test_the_bounds_hold_whatever_comes(steps: list[tuple[float, PuzzelChatError | None]], sessions: int) -> None:
    """Whatever the service answers: never more under way than there are places, never more in a second than allowed."""
    host, now, begun = Host(50, steady=float(sessions), sessions=sessions), 0.0, list[float]()
    for pause, error in steps:
        now += pause
        for _ in range(sessions):
            if host.pause(now) > 0.0:
                break
            assert now >= host.shut_until
            host.began()
            begun.append(now)
            assert host.under_way <= min(50, host.places)
        if host.under_way:
            host.ended(now, 0.1, error)
        assert LEAST <= host.health <= 1.0
    most = max(1.0, HEADROOM * sessions)
    for start in begun:
        assert sum(start <= one < start + 1.0 for one in begun) <= most + max(FEW, BURST * most) + 1


@pytest.mark.parametrize("rate", [1.0, 5000.0])
@pytest.mark.parametrize("period", [0.05, 0.33, 1.0, 2.5, 300.0])
def test_polls_come_on_a_grid_that_divides_the_period(period: float, rate: float) -> None:
    """Planned on the grid, a session stays on it and keeps its period; after a failure it is on it again."""
    pace, random = Pace(period), Random(3)
    pace.take_place(1000.0, 0.6, rate)
    assert pace.grid <= min(GRID, BUNCH / rate)
    first = 1000.0 + pace.delay(1000.0, random.uniform)
    assert -1e-6 <= first - 1000.0 - 0.6 * period <= 0.02
    pace.succeeded(first)
    assert first + pace.delay(first, random.uniform) == pytest.approx(first + period)
    pace.failed(REFUSED, first, random.uniform)
    due = first + pace.delay(first, random.uniform)
    assert due / pace.grid == pytest.approx(round(due / pace.grid), abs=1e-3)


def told(host: HostName, retry_after: float = 30.0) -> RateLimited:
    """What one of the two hosts says when it has had enough."""
    error = RateLimited("too many", status=429, retry_after=retry_after)
    error.host = host
    return error


def two_hosts(sessions: int = 1000) -> Service:
    """A service whose tokens come from another host than its messages, with sessions that are polled each second."""
    service = Service(Host(1000), Host(1000), None)
    for _ in range(sessions):
        service.joined(1.0)
    return service


def test_a_retry_after_of_the_identity_host_stops_no_poll() -> None:
    """A poll that failed because a token was due says nothing about the host of the messages: all others go on."""
    service = two_hosts()
    for place in range(200):
        now = 10.0 + 0.01 * place
        assert service.host.pause(now) == 0.0
        service.host.began()
        service.ended(now, 0.1, told("identity"))
    assert (service.host.pause(12.0), service.host.health, service.host.under_way) == (0.0, 1.0, 0)
    assert service.identity.pause(12.0) == 0.0, "the keeper of the token has told it, once and not for each poll"


def test_a_retry_after_of_the_polled_host_stops_its_polls_and_no_refresh() -> None:
    """The other way round: a token can be refreshed while no poll is made."""
    service = two_hosts()
    service.host.began()
    service.ended(10.0, 0.1, told("communication"))
    assert service.host.pause(10.0) == 30.0
    assert service.identity.may_refresh(10.0)


def test_a_retry_after_of_the_identity_host_holds_back_what_can_wait() -> None:
    """No session there begins a refresh that could wait, until the time is over; polls are made meanwhile."""
    service = two_hosts()
    service.identity.told(10.0, told("identity"))
    assert not service.identity.may_refresh(10.0)
    assert not service.identity.may_refresh(39.9)
    assert service.host.pause(10.0) == 0.0
    assert service.identity.may_refresh(40.0)


def test_refreshes_of_two_hosts_take_turns_by_the_sessions_there() -> None:
    """The identity host counts who is polled elsewhere with its tokens, and forgets who has left."""
    service = two_hosts(2000)
    assert service.identity.sessions == service.host.sessions == 2000
    first = sum(service.identity.may_refresh(now / 100) for now in range(100))
    assert 0 < first <= 2 * 2000 / REFRESHES_WITHIN
    for _ in range(2000):
        service.left(1.0)
    assert (service.identity.sessions, service.host.sessions) == (0, 0)


@pytest.mark.parametrize("host", ["identity", "communication"])
def test_one_host_for_both_is_spared_as_one(host: HostName) -> None:
    """Where one address gives tokens and messages, what it asks for holds for polls and refreshes alike."""
    one = Host(1000)
    service = Service(one, one, None)
    service.joined(1.0)
    assert one.sessions == 1
    one.began()
    service.ended(10.0, 0.1, told(host))
    assert one.pause(10.0) == 30.0
    assert not one.may_refresh(10.0)
    service.left(1.0)
    assert one.sessions == 0


def test_two_services_with_one_identity_host_spare_it_together() -> None:
    """A Retry-After of the host that gives tokens to both holds for the sessions of both, and for no other host."""

    async def scenario() -> None:
        async with PollingLoop(fast=False) as loop:

            def session(chat: str, identity: str) -> SessionState:
                settings = Settings(solution_id="7", base_url=f"https://{chat}.example", identity_url=identity)
                parts = Parts(settings, MemoryStore(), VirtualTime())
                tokens = TokenSet(access=Secret("a"), obtained=parts.clock.now().wall)
                return Plain.opened(chat, parts, tokens, parts.clock.now()).state

            one, two, other, alone = (
                loop._service(session(chat, identity))
                for chat, identity in (
                    ("one", "https://id.example"),
                    ("two", "https://id.example"),
                    ("other", "https://other-id.example"),
                    ("alone", "https://alone.example"),
                )
            )
            one.identity.told(10.0, told("identity"))
            assert not two.identity.may_refresh(10.0)
            assert two.host.pause(10.0) == other.host.pause(10.0) == 0.0
            assert other.identity.may_refresh(10.0)
            assert alone.identity is alone.host

    asyncio.run(scenario())
