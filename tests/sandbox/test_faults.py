"""Faults of the sandbox over real HTTP: each kind, its place before or after the effect, and how often it strikes."""

from __future__ import annotations

import logging
import time
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx
import pytest

from bare import Customer, texts
from puzzel_chat.sandbox import SEMANTICS, Fault, Sandbox, Semantics
from waiting import until


def test_latency(sandbox: Sandbox, customer: Customer) -> None:
    """Latency delays the reply, and nothing else is different."""
    sandbox.faults(Fault.latency(0.15, "pollConversation"))
    start = time.monotonic()
    assert customer.poll().status_code == 200
    assert time.monotonic() - start >= 0.15
    customer.status()
    assert sandbox.stats().faults == 1


def test_latency_before_and_after_the_effect(sandbox: Sandbox, customer: Customer) -> None:
    """A client that gives up on a slow reply has sent its message with `after`, and has not before that."""
    customer.route()
    for after, stored in ((False, 0), (True, 1)):
        sandbox.faults(Fault.latency(30, "sendMessage", after=after))
        with pytest.raises(httpx.ReadTimeout):
            customer.http.post("/api/conversation/chat/message", json={"content": "x"}, timeout=0.1)
        until(lambda number=stored: len(sandbox.ledger()["chat"]) == number)  # type: ignore[misc]


def test_slow_body(sandbox: Sandbox, customer: Customer) -> None:
    """A slow body arrives whole, and not before its time."""
    sandbox.faults(Fault.slow_body(0.2, "pollConversation"))
    start = time.monotonic()
    assert customer.poll().json()["messages"] == []
    assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize("status", [500, 502, 503, 429, 403, 520])
def test_error_statuses_come_before_the_effect(sandbox: Sandbox, customer: Customer, status: int) -> None:
    """An error status swallows the request; 502 is a web page, the others are problems."""
    sandbox.faults(Fault.status(status, "routeConversation", times=1))
    reply = customer.route()
    kind = "text/html; charset=utf-8" if status == 502 else "application/problem+json"
    assert (reply.status_code, reply.headers["Content-Type"]) == (status, kind)
    assert "Retry-After" not in reply.headers
    assert customer.route().status_code == 202


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("semantics", SEMANTICS)
def test_a_status_without_a_body_takes_no_message_along(status: int, semantics: Semantics) -> None:
    """204 and 304 say nothing at all, and what there is to tell comes with the next poll, whatever a poll means."""
    with Sandbox(script="manual", pace=0, semantics=semantics) as sandbox, closing(Customer(sandbox)) as customer:
        customer.route()
        customer.say("one")
        sandbox.faults(Fault.status(status, "pollConversation", times=2))
        for reply in (customer.poll(), customer.poll()):
            assert (reply.status_code, reply.content) == (status, b"")
            assert not {"Content-Type", "Location", "Content-Length"} & set(reply.headers)
        assert texts(customer.poll()) == ["one"]
        assert sandbox.stats().faults == 2


@pytest.mark.parametrize("semantics", SEMANTICS)
def test_an_end_in_a_lost_reply(semantics: Semantics) -> None:
    """The first reply that tells an end is lost, and no other one; only under "drain" it never comes again."""
    with Sandbox(script="manual", pace=0, semantics=semantics) as sandbox, closing(Customer(sandbox)) as customer:
        customer.route()
        sandbox.faults(Fault.lost_end(), Fault.status(500, "sendMessage"))
        assert customer.say("lost").status_code == 500
        sandbox.agent("chat").accept()
        sandbox.agent("chat").say("one")
        assert texts(customer.poll()) == ["one"]
        sandbox.agent("chat").end()
        assert sandbox.stats().faults == 1
        with pytest.raises(httpx.RemoteProtocolError):
            customer.poll(2)
        told = [message.get("event") for message in customer.poll(2).json()["messages"]]
        assert ("ConversationEnded" in told) == (semantics != "drain")
        assert customer.poll(2).status_code == 200
        assert sandbox.stats().faults == 2


def test_the_ends_of_several_chats_are_lost_one_by_one(sandbox: Sandbox, customer: Customer) -> None:
    """Each conversation's end has a first telling of its own."""
    sandbox.faults(Fault.lost_end())
    for key in ("a", "b"):
        customer.route(key)
        customer.end(key)
        with pytest.raises(httpx.RemoteProtocolError):
            customer.poll()
    assert [message["conversationId"] for message in customer.poll().json()["messages"]] == ["a", "b"]


def test_a_rate_of_lost_ends(sandbox: Sandbox, customer: Customer) -> None:
    """With a rate an end may come through at the first telling, and is not lost later."""
    sandbox.faults(Fault.lost_end(rate=0.0))
    customer.route()
    customer.end()
    assert customer.poll().status_code == 200
    assert sandbox.stats().faults == 0


def test_error_status_after_the_effect(sandbox: Sandbox, customer: Customer) -> None:
    """With `after` the client is told of an error although the request took effect."""
    sandbox.faults(Fault.status(500, "routeConversation", after=True, times=1))
    assert customer.route().status_code == 500
    assert customer.route().status_code == 409


def test_retry_after_in_both_forms(sandbox: Sandbox, customer: Customer) -> None:
    """Retry-After comes as whole seconds or as an HTTP date."""
    date = datetime(2026, 11, 23, 8, 0, 0, tzinfo=UTC)
    sandbox.faults(Fault.status(429, retry_after=1.2, times=1), Fault.status(503, retry_after=date, times=1))
    assert customer.poll().headers["Retry-After"] == "2"
    assert parsedate_to_datetime(customer.poll().headers["Retry-After"]) == date


def test_html_page(sandbox: Sandbox, customer: Customer) -> None:
    """A proxy's page is 200, HTML, and swallows the request."""
    sandbox.faults(Fault.html_page("routeConversation", times=1))
    reply = customer.route()
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert sandbox.stats().routed == 0


@pytest.mark.parametrize("after", [False, True])
def test_drop(sandbox: Sandbox, customer: Customer, after: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A dropped connection gives no reply, before or after the effect, and nothing is logged of it."""
    sandbox.faults(Fault.drop("routeConversation", after=after, times=1))
    with caplog.at_level(logging.DEBUG), pytest.raises(httpx.RemoteProtocolError):
        customer.route()
    assert customer.route().status_code == (409 if after else 202)
    assert [record.name for record in caplog.records if record.name.startswith(("uvicorn", "puzzel"))] == []


def test_truncate(sandbox: Sandbox, customer: Customer) -> None:
    """A truncated reply declares more than it sends, after the effect; where there is no body the reply is lost."""
    sandbox.faults(Fault.truncate("*", times=2))
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        customer.route()
    with pytest.raises(httpx.RemoteProtocolError):
        customer.end()
    assert customer.status().json()["status"] == "Cancelled"


def test_bad_json(sandbox: Sandbox, customer: Customer) -> None:
    """A reply that is no JSON says that it is, after the effect."""
    sandbox.faults(Fault.bad_json("routeConversation", times=1))
    reply = customer.route()
    assert (reply.status_code, reply.headers["Content-Type"]) == (202, "application/json")
    with pytest.raises(ValueError, match="Expecting"):
        reply.json()
    assert sandbox.stats().routed == 1


def test_wrong_types_and_nulls(sandbox: Sandbox, customer: Customer) -> None:
    """Fields of wrong types, or null where none should be, under a good status."""
    customer.route()
    sandbox.faults(Fault.wrong_types(times=1), Fault.nulls(times=1))
    good = {"requestId", "conversationId", "status", "queuePosition", "estimatedWaitSeconds", "agent", "reason"}
    wrong, nulls = customer.status().json(), customer.status().json()
    assert set(wrong) == set(nulls) == good
    assert not isinstance(wrong["status"], str)
    assert set(nulls.values()) == {None}


def test_unknown_enum(sandbox: Sandbox, customer: Customer) -> None:
    """Enum values that nobody knows, at the top and deep inside."""
    customer.route()
    customer.say("x")
    sandbox.faults(Fault.unknown_enum())
    assert customer.status().json()["status"] == "Teleported"
    assert customer.poll().json()["messages"][0]["author"]["role"] == 9


def test_bad_item_among_good_ones(sandbox: Sandbox, customer: Customer) -> None:
    """One item of no known shape stands between the good ones, which are untouched."""
    customer.route()
    customer.say("one")
    customer.say("two")
    good = customer.poll().json()["messages"]
    sandbox.faults(Fault.bad_item())
    spoilt = customer.poll().json()["messages"]
    assert [spoilt[0], spoilt[2]] == good
    assert spoilt[1]["id"] == 17


def test_no_client_id(sandbox: Sandbox, customer: Customer) -> None:
    """The customer's own id is left out of what a poll tells, and the ledger has it all the same."""
    customer.route()
    customer.say("one")
    told = customer.poll().json()["messages"]
    sandbox.faults(Fault.no_client_id())
    assert customer.poll().json()["messages"] == [{**message, "clientMessageId": None} for message in told]


def test_revoked_once(sandbox: Sandbox, customer: Customer) -> None:
    """An access token revoked early is 401 for good, while the refresh token still works."""
    sandbox.faults(Fault.revoked("pollConversation", times=1))
    assert [customer.poll().status_code, customer.poll().status_code] == [401, 401]
    customer.bear(customer.refresh().json())
    assert customer.poll().status_code == 200


@pytest.mark.parametrize(("when", "expected"), [
    ({"times": 2}, "xx......"), ({"every": 3}, "..x..x.."), ({"skip": 2, "times": 1}, "..x....."),
    ({"skip": 1, "every": 2, "times": 2}, "..x.x..."), ({"rate": 0.0}, "........"), ({"rate": 1.0}, "xxxxxxxx"),
])  # fmt: skip
def test_how_often(sandbox: Sandbox, customer: Customer, when: dict[str, int], expected: str) -> None:
    """Times, every, skip and rate say which requests a fault strikes."""
    sandbox.faults(Fault.status(500, "pollConversation", **when))  # type: ignore[arg-type]
    seen = "".join("x" if customer.poll().status_code == 500 else "." for _ in range(8))
    assert seen == expected
    assert sandbox.stats().faults == expected.count("x")


def test_a_rate_is_seeded() -> None:
    """The same seed strikes the same requests; another strikes others; about the rate are struck."""

    def struck(seed: int) -> list[int]:
        with Sandbox(pace=0, seed=seed, faults=(Fault.status(503, "pollConversation", rate=0.4),)) as sandbox:
            customer = Customer(sandbox)
            with closing(customer):
                return [customer.poll().status_code for _ in range(50)]

    assert struck(1) == struck(1) != struck(2)
    assert 10 <= struck(1).count(503) <= 30


def test_delays_combine_and_of_the_rest_the_first_wins(sandbox: Sandbox, customer: Customer) -> None:
    """A later rule is not used up by a request that an earlier one has spoilt."""
    sandbox.faults(Fault.latency(0.05), Fault.status(500, times=1), Fault.status(503, times=1))
    start = time.monotonic()
    assert [customer.poll().status_code for _ in range(3)] == [500, 503, 200]
    assert time.monotonic() - start >= 0.15
    sandbox.faults()
    struck = sandbox.stats().faults
    assert customer.poll().status_code == 200
    assert sandbox.stats().faults == struck


def test_faults_check_their_arguments() -> None:
    """A misspelt operation or an impossible rate is an error, not a fault that never strikes."""
    with pytest.raises(ValueError, match="operation"):
        Fault.drop("polConversation")
    with pytest.raises(ValueError, match="rate"):
        Fault.drop(rate=1.5)
