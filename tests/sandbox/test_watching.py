"""What the sandbox tells of itself: requests, what a poll brought or lost, faults by number, and its conduct."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from bare import Customer
from puzzel_chat.sandbox import AFTER_END, SCRIPTS, SEMANTICS, Exchange, Fault, Happening, Sandbox
from waiting import Held, until


@pytest.fixture
def told(sandbox: Sandbox) -> Iterator[list[Exchange]]:
    """Each poll of the test, in order."""
    polls: list[Exchange] = []

    def note(news: Exchange | Happening) -> None:
        if isinstance(news, Exchange) and news.operation == "pollConversation":
            polls.append(news)

    stop = sandbox.watch(note)
    yield polls
    stop()


def test_a_poll_tells_what_it_brought(sandbox: Sandbox, customer: Customer, told: list[Exchange]) -> None:
    """The items are those of the reply, and nothing was harmed."""
    customer.route()
    customer.say("hush")
    items = customer.poll().json()["messages"]
    assert [list(one.delivered) for one in told] == [items]
    assert (told[0].harmed, told[0].status, told[0].faults) == ((), 200, ())
    assert "hush" not in repr(told[0])


@pytest.mark.parametrize(
    ("fault", "readable"),
    [
        (Fault.drop("pollConversation", after=True, times=1), False),
        (Fault.status(500, "pollConversation", after=True, times=1), False),
        (Fault.truncate("pollConversation", times=1), False),
        (Fault.nulls("pollConversation", times=1), False),
        (Fault.latency(0.001, "pollConversation", times=1), True),
        (Fault.bad_item("pollConversation", times=1), True),
        (Fault.unknown_enum("pollConversation", times=1), True),
    ],
    ids=lambda one: one.kind if isinstance(one, Fault) else "",
)
def test_what_a_fault_does_to_the_items_of_a_poll(
    sandbox: Sandbox, customer: Customer, told: list[Exchange], fault: Fault, readable: bool
) -> None:
    """A fault that leaves the reply readable delivers them; any other one harms them."""
    customer.route()
    customer.say("one")
    sandbox.faults(fault)
    try:
        customer.poll()
    except httpx.HTTPError:
        assert not readable
    items = told[0].delivered if readable else told[0].harmed
    assert [item["content"] for item in items] == ["one"]
    assert told[0].faults == (fault.kind,)


def test_a_fault_before_the_effect_harms_nothing(sandbox: Sandbox, customer: Customer, told: list[Exchange]) -> None:
    """What was never read from the log is in no reply."""
    customer.route()
    customer.say("one")
    sandbox.faults(Fault.status(503, "pollConversation", times=1))
    assert customer.poll().status_code == 503
    assert (told[0].delivered, told[0].harmed, told[0].status) == ((), (), 503)


def test_a_reply_that_nobody_waits_for_is_harmed() -> None:
    """A client that gave up during a slow fault got nothing of the reply."""
    held, told = Held(), list[Exchange]()
    with Sandbox(script="manual", pace=0, sleep=held.sleep) as sandbox, closing(Customer(sandbox)) as customer:
        customer.route()
        customer.say("one")
        sandbox.watch(lambda news: told.append(news) if isinstance(news, Exchange) else None)
        sandbox.faults(Fault.latency(60, "pollConversation", after=True, times=1))
        with pytest.raises(httpx.ReadTimeout):
            customer.http.get("/api/conversation", timeout=0.1)
        held.let_go()
        until(lambda: told)
    assert (told[0].delivered, [item["content"] for item in told[0].harmed]) == ((), ["one"])


def test_a_lost_end_strikes_once(sandbox: Sandbox, customer: Customer, told: list[Exchange]) -> None:
    """It is counted where an end is lost, not at each poll, and `times` counts such ends."""
    sandbox.faults(Fault.lost_end(times=1))
    customer.route()
    customer.poll()
    customer.end()
    assert [rule.struck for rule in sandbox.rules()] == [0]
    with pytest.raises(httpx.RemoteProtocolError):
        customer.poll()
    assert [(rule.struck, rule.spent) for rule in sandbox.rules()] == [(1, True)]
    assert [one.faults for one in told] == [(), ("lost_end",)]


def test_one_fault_is_removed_by_its_number(sandbox: Sandbox, customer: Customer) -> None:
    """Of two equal ones only that goes, and the other one's count stays."""
    fault = Fault.status(503, "pollConversation", times=1)
    first, second = sandbox.add_fault(fault), sandbox.add_fault(fault)
    assert customer.poll().status_code == 503
    sandbox.remove_fault(second)
    assert [(rule.number, rule.struck) for rule in sandbox.rules()] == [(first, 1)]
    assert customer.poll().status_code == 200
    with pytest.raises(LookupError, match=f"number {second}"):
        sandbox.remove_fault(second)


def test_a_number_is_never_given_again(sandbox: Sandbox) -> None:
    """Who removes a fault by an old number removes no new one."""
    old = sandbox.add_fault(Fault.drop())
    sandbox.faults(Fault.reset(), Fault.hang("sendMessage"))
    assert old not in {rule.number for rule in sandbox.rules()}
    assert len({rule.number for rule in sandbox.rules()}) == 2


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_conduct_is_what_was_set(sandbox: Sandbox, script: str) -> None:
    """Everything that can be changed can be seen."""
    sandbox.set_script(script)
    sandbox.set_scripted(False)
    sandbox.set_semantics(SEMANTICS[-1])
    sandbox.set_after_end(AFTER_END[-1], 3.0)
    sandbox.set_token_life(7.0)
    conduct = sandbox.conduct()
    assert (conduct.script.name, conduct.scripted) == (script, False)
    assert (conduct.semantics, conduct.after_end, conduct.linger) == (SEMANTICS[-1], AFTER_END[-1], 3.0)
    assert conduct.token_life == 7.0


def test_the_newest_chats_come_first(sandbox: Sandbox, customer: Customer) -> None:
    """Only so many as asked for, and those that have ended where they are wanted."""
    for key in ("a", "b", "c"):
        customer.route(key)
    customer.end("c")
    assert [one.id for one in sandbox.chats(newest=2)] == ["b", "a"]
    assert [one.id for one in sandbox.chats(ended=True, newest=2)] == ["c", "b"]
    assert [one.id for one in sandbox.chats(ended=True)] == ["a", "b", "c"]
