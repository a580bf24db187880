"""The time that a caller allows for one call: it bounds all attempts, and may be longer than the usual one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from puzzel_chat import DeliveryUnknown, InvalidArgument, MemoryStore, Session, TransportError
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Secret
from puzzel_chat._session import SessionState
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Parts
from puzzel_chat._tokens import TokenSet
from puzzel_chat.testing import VirtualTime
from scripted import Plain, blocking

Call = Callable[..., object]
CALLS: dict[str, Callable[[Session], Call]] = {
    "queue_info": lambda session: lambda **more: session.queue_info("1", **more),
    "time_info": lambda session: lambda **more: session.time_info("t", **more),
    "route": lambda session: lambda **more: session.conversation("a").route("support", **more),
    "allocation": lambda session: lambda **more: session.conversation("a").allocation(**more),
    "send": lambda session: lambda **more: session.conversation("a").send("Hello", **more),
    "typing": lambda session: lambda **more: session.conversation("a").typing(**more),
    "end": lambda session: lambda **more: session.conversation("a").end(**more),
}


class Slow:
    """A service that takes its time: it answers after `takes` seconds, or not within what it is given."""

    def __init__(self, clock: VirtualTime, takes: float, reply: Reply | None = None) -> None:
        self.clock = clock
        self.takes = takes
        self.reply = reply
        self.given: list[tuple[str, float | None, float | None]] = []

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Answer in time or fail."""
        self.given.append((request.operation, request.timeout, within))
        allowed = min(within or 1e9, 3 * (request.timeout or 10.0))
        self.clock.advance(min(self.takes, allowed))
        if self.takes > allowed:
            raise TransportError("No reply: too late.", sent="maybe")
        return self.reply or Reply(status=503, headers={"content-type": "application/json"}, body=b"{}")


def opened(clock: VirtualTime, **settings: Any) -> SessionState:
    """A session that may have a chat."""
    parts = Parts(Settings(base_url="https://chat.example", solution_id="7", **settings), MemoryStore(), clock)
    now = clock.now()
    state = Plain.opened("s", parts, TokenSet(access=Secret("a1"), ttl=1e9, obtained=now.wall), now)
    state.routed("a", None)
    return state.state


@pytest.mark.parametrize("call", CALLS)
def test_all_attempts_together_are_bounded(call: str) -> None:
    """However often it is tried, and whatever is looked for after that, it is over in time."""
    clock = VirtualTime()
    service = Slow(clock, takes=60)
    began = clock.monotonic()
    with pytest.raises((TransportError, DeliveryUnknown)):
        CALLS[call](blocking(opened(clock, max_retries=10), service))(timeout=5)
    assert clock.monotonic() - began <= 5
    assert service.given[0][1:] == (5, 5)
    assert all(within is not None and within <= 5 for _, _, within in service.given)


@pytest.mark.parametrize("call", CALLS)
def test_a_service_that_fails_at_once_is_asked_again_until_then(call: str) -> None:
    """A pause that would end later is not begun."""
    clock = VirtualTime()
    service = Slow(clock, takes=0.5)
    began = clock.monotonic()
    with pytest.raises(Exception, match=r"503|no clear answer"):
        CALLS[call](blocking(opened(clock, max_retries=10), service))(timeout=3)
    assert clock.monotonic() - began <= 3
    operations = [operation for operation, *_ in service.given]
    assert operations.count(operations[0]) > 1 or call in ("send", "route")


@pytest.mark.parametrize("call", ["send", "queue_info", "end", "typing", "time_info", "allocation"])
def test_more_time_than_usual_is_given_too(call: str) -> None:
    """Each part of a request may take as long, not only the time of the settings."""
    clock = VirtualTime()
    state = opened(clock)
    body = json.dumps({"id": "1", "state": "Assigned", "status": "Assigned"}).encode()
    service = Slow(clock, 40, Reply(status=200, headers={"content-type": "application/json"}, body=body))
    CALLS[call](blocking(state, service))(timeout=45)
    assert service.given == [(service.given[0][0], 45, 45)]


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), "5", True])
@pytest.mark.parametrize("call", CALLS)
def test_a_time_that_is_none_is_refused(call: str, timeout: Any) -> None:
    """Before anything is sent."""
    clock = VirtualTime()
    service = Slow(clock, takes=0)
    with pytest.raises(InvalidArgument, match=r"^timeout: must be a finite number of seconds above 0"):
        CALLS[call](blocking(opened(clock), service))(timeout=timeout)
    assert service.given == []


@pytest.mark.parametrize("most", [0, 1, 4])
def test_a_call_is_tried_again_as_often_as_the_settings_say(most: int) -> None:
    """And no more often; polls and searches have a pace of their own."""
    clock = VirtualTime()
    service = Slow(clock, takes=0)
    session = blocking(opened(clock, max_retries=most), service)
    with pytest.raises(Exception, match="503") as raised:
        session.queue_info("1")
    assert len(service.given) == 1 + most
    assert raised.value.attempts == 1 + most  # type: ignore[attr-defined]


@pytest.mark.parametrize("most", [0, 2])
def test_a_route_without_an_answer_is_made_again_as_often(most: int) -> None:
    """Each time the service is asked first whether it knows the chat."""
    clock = VirtualTime()

    class Forgets(Slow):
        def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
            self.given.append((request.operation, request.timeout, within))
            return Reply(status=502 if "route" in request.operation else 404, body=b"")

    service = Forgets(clock, takes=0)
    with pytest.raises(Exception, match="502"):
        blocking(opened(clock, max_retries=most), service).conversation("b").route("support")
    assert [operation for operation, *_ in service.given].count("routeConversation") == 1 + most
