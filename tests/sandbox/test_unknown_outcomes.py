"""Replies that are lost, before or after the effect: what was asked for is found again or an error, never done twice.

Each row of `LOST` is one way to lose a reply; each test holds every operation against all of them, in virtual time.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
from attrs import frozen

from blocking import settings
from puzzel_chat import (
    ContractError,
    ConversationClosed,
    ConversationEnded,
    DeliveryUnknown,
    Event,
    MessageEdited,
    PuzzelChatError,
    TextMessage,
)
from puzzel_chat.sandbox import SEMANTICS, Entry, Fault, Sandbox, Semantics
from puzzel_chat.testing import VirtualTime
from quick import quick_only
from waiting import until

Connect = Callable[..., Any]
Lose = Callable[..., Fault]
TIMEOUT = 1.0

AFTER: dict[str, Lose] = {
    "dropped": lambda name, **when: Fault.drop(name, after=True, **when),
    "truncated": Fault.truncate,
    "502 page": lambda name, **when: Fault.status(502, name, html=True, after=True, **when),
    "500": lambda name, **when: Fault.status(500, name, after=True, **when),
    "503": lambda name, **when: Fault.status(503, name, after=True, **when),
    "200 page": lambda name, **when: Fault.html_page(name, after=True, **when),
    "200 garbage": Fault.bad_json,
    "200 other types": Fault.wrong_types,
    "200 nulls": Fault.nulls,
    "late": lambda name, **when: Fault.latency(2 * TIMEOUT, name, after=True, **when),
}
BEFORE: dict[str, Lose] = {
    "dropped": Fault.drop,
    "502 page": lambda name, **when: Fault.status(502, name, html=True, **when),
    "500": lambda name, **when: Fault.status(500, name, **when),
    "503": lambda name, **when: Fault.status(503, name, **when),
    "200 page": Fault.html_page,
    "late": lambda name, **when: Fault.latency(2 * TIMEOUT, name, **when),
}
LOST = [(f"{name} after", lose, True) for name, lose in AFTER.items()]
LOST += [(f"{name} before", lose, False) for name, lose in BEFORE.items()]


@frozen
class Lost:
    """Rows of `LOST`, and the client's timeout: a short one only where replies are late, for a machine may be slow."""

    rows: list[tuple[str, Lose, bool]]
    timeout: float


@pytest.fixture(params=quick_only(["soon"], ["soon", "late"]))
def lost(request: pytest.FixtureRequest) -> Lost:
    """The replies that are lost at once, then those that are given up."""
    late = request.param == "late"
    return Lost([row for row in LOST if ("late" in row[0]) == late], TIMEOUT if late else 20.0)


@pytest.fixture
def centre(puzzel_time: VirtualTime) -> Callable[..., Sandbox]:
    """Make a contact centre that lives in the client's time; its agents answer at once."""
    return lambda **more: Sandbox(**{"script": "helpful", "pace": 0, "clock": puzzel_time.seconds, **more})


def of_customer(sandbox: Sandbox, conversation_id: str) -> list[Entry]:
    """Give what the ledger has of the customer's own words."""
    return [entry for entry in sandbox.ledger()[conversation_id] if entry.role == 0 and entry.type == "Text"]


def check_delivered(events: list[Event], ledger: tuple[Entry, ...]) -> None:
    """Hold what was delivered against the ledger: all of it once, in order, and the end once, last."""
    told = [(event.id, event.version) for event in events if isinstance(event, TextMessage | MessageEdited)]
    assert told == [(entry.id, entry.version) for entry in ledger if entry.type == "Text"]
    assert [type(event) for event in events].count(ConversationEnded) == 1
    assert isinstance(events[-1], ConversationEnded)


@pytest.mark.parametrize("echoes", quick_only([True], [True, False]), ids=["our id in the echo", "no id in the echo"])
@pytest.mark.parametrize("semantics", quick_only(["cursor"], SEMANTICS))
def test_a_send(
    connect: Connect, centre: Callable[..., Sandbox], lost: Lost, semantics: Semantics, echoes: bool
) -> None:
    """A message that arrived is found by the polls, one that did not is `DeliveryUnknown`; all have the same words."""
    hide = () if echoes else (Fault.no_client_id(),)
    with centre(semantics=semantics) as sandbox:
        conversation = connect(**settings(sandbox, timeout=lost.timeout, poll_interval=1)).start("support", wait=20)
        found: list[str] = []
        for name, lose, arrives in lost.rows:
            before = len(of_customer(sandbox, conversation.id))
            sandbox.faults(lose("sendMessage", times=1), *hide)
            try:
                found.append(conversation.send("Yes").id)
                assert arrives or "late" in name, name
            except DeliveryUnknown:
                assert not arrives, name
            if "late" not in name:
                assert len(of_customer(sandbox, conversation.id)) - before == arrives, name
        mine = [entry.id for entry in of_customer(sandbox, conversation.id)]
        assert len(found) == len(set(found)), "two sends took one message for theirs"
        assert set(found) <= set(mine)
        assert len(mine) <= len(lost.rows)
        # What is late arrives after everything else was looked at.
        arrived = sum(arrives or "late" in name for name, _, arrives in lost.rows)
        until(lambda: len(of_customer(sandbox, conversation.id)) == arrived)
        sandbox.faults(*hide)
        conversation.end()
        check_delivered(list(conversation.events()), sandbox.ledger()[conversation.id])


@pytest.mark.parametrize("semantics", quick_only(["cursor"], SEMANTICS))
def test_sends_side_by_side(connect: Connect, centre: Callable[..., Sandbox], semantics: Semantics) -> None:
    """Several senders of the same words, some replies lost, no ids in the echoes: each message counts for one send."""
    lost = [Fault.drop("sendMessage", after=True, every=3), Fault.drop("sendMessage", every=4)]
    with centre(semantics=semantics, faults=(*lost, Fault.no_client_id())) as sandbox, ThreadPoolExecutor(4) as pool:
        conversation = connect(**settings(sandbox, poll_interval=1)).start("support", wait=20)

        def send(_: int) -> str | None:
            try:
                message: TextMessage = conversation.send("Yes")
            except DeliveryUnknown:
                return None
            return message.id

        found = [one for one in pool.map(send, range(24)) if one]
        mine = [entry.id for entry in of_customer(sandbox, conversation.id)]
        assert sandbox.stats().requests["sendMessage"] == 24
        assert len(found) == len(set(found))
        assert set(found) <= set(mine)
        sandbox.faults(Fault.no_client_id())
        conversation.end()
        check_delivered(list(conversation.events()), sandbox.ledger()[conversation.id])


@pytest.mark.parametrize("reader", ["events", "poll"])
def test_a_send_whose_echo_another_reads(connect: Connect, reader: str) -> None:
    """A reader in another thread or task takes the echo as it comes, and the send finds it all the same."""
    with Sandbox(script="helpful", pace=0) as sandbox, ThreadPoolExecutor(1) as pool:
        conversation = connect(**settings(sandbox)).start("support", wait=20)

        def read() -> list[Event]:
            if reader == "events":
                return list(conversation.events())
            seen: list[Event] = []
            while not (seen and isinstance(seen[-1], ConversationEnded)):
                seen += conversation.session.poll()
            return seen

        reading = pool.submit(read)
        for number in range(5):
            sandbox.faults(Fault.drop("sendMessage", after=True, times=1))
            assert conversation.send("Yes").id == of_customer(sandbox, conversation.id)[number].id
        conversation.end()
        check_delivered(reading.result(timeout=30), sandbox.ledger()[conversation.id])


def test_a_send_while_nobody_reads(connect: Connect, centre: Callable[..., Sandbox], puzzel_time: VirtualTime) -> None:
    """A full inbox stops the polls of readers, not those that look for a message of ours."""
    with centre(script="chatty", messages=1100, interval=0) as sandbox:
        conversation = connect(**settings(sandbox)).start("support", wait=20)
        while len(sandbox.ledger()[conversation.id]) < 1100:
            puzzel_time.advance(1)
        assert conversation.send("First").text == "First"
        next(iter(conversation.events()))  # everything is fetched; more waits than the inbox takes
        sandbox.faults(Fault.drop("sendMessage", after=True, times=1))
        assert conversation.send("Is anybody there?").id == of_customer(sandbox, conversation.id)[-1].id


def test_a_send_into_a_chat_that_ends(
    connect: Connect, centre: Callable[..., Sandbox], puzzel_time: VirtualTime
) -> None:
    """When the chat ends while a message is looked for, nothing comes behind the end, and nobody asks on."""
    with centre() as sandbox:
        conversation = connect(**settings(sandbox)).start("support", wait=20)
        sandbox.faults(Fault.drop("sendMessage", times=1))
        sandbox.agent(conversation.id).end()
        began, polls = puzzel_time.monotonic(), sandbox.stats().requests.get("pollConversation", 0)
        with pytest.raises(DeliveryUnknown):
            conversation.send("Hello?")
        assert puzzel_time.monotonic() - began < 2
        assert sandbox.stats().requests["pollConversation"] - polls <= 2
        with pytest.raises(ConversationClosed):
            conversation.send("Hello?")


@pytest.mark.parametrize("polls", [Fault.status(500, "pollConversation"), Fault.status(403, "pollConversation")])
def test_a_send_while_polls_fail(
    connect: Connect, centre: Callable[..., Sandbox], puzzel_time: VirtualTime, polls: Fault
) -> None:
    """Polls that fail for now are tried for ten seconds, those that are refused once; then it is `DeliveryUnknown`."""
    with centre() as sandbox:
        conversation = connect(**settings(sandbox)).start("support", wait=20)
        sandbox.faults(Fault.drop("sendMessage", times=1), polls)
        began = puzzel_time.monotonic()
        with pytest.raises(DeliveryUnknown):
            conversation.send("Hello?")
        assert puzzel_time.monotonic() - began <= 10.01
        assert sandbox.stats().requests["pollConversation"] <= 20


def test_an_echo_in_other_words(connect: Connect, centre: Callable[..., Sandbox]) -> None:
    """A service that keeps no ids and writes the words in its own way is understood, also behind an agent's line."""
    with centre() as sandbox:
        conversation = connect(**settings(sandbox)).start("support", wait=20)
        sandbox.faults(Fault.drop("sendMessage", times=1))
        agent = sandbox.agent(conversation.id)
        agent.say("One moment")
        customer = {"role": 0, "id": None, "displayName": None}
        told = agent.send_raw({"content": "&amp;lt;b&amp;gt; me,<br>please", "author": customer})
        assert conversation.send("  <b> me,\nplease ").id == told


def test_a_route(connect: Connect, centre: Callable[..., Sandbox], lost: Lost) -> None:
    """A request for an agent whose reply is lost is made once, and ended with its block."""
    with (
        centre(script="silent") as sandbox,
        connect(**settings(sandbox, timeout=lost.timeout, poll_interval=1)).connect() as session,
    ):
        for name, lose, _ in lost.rows:
            sandbox.faults(lose("routeConversation", times=1))
            routed = sandbox.stats().routed
            with session.conversation() as conversation:
                conversation.route("support")
                assert sandbox.stats().routed == routed + 1, name
            assert sandbox.stats().ended == sandbox.stats().routed, name


def test_a_route_that_is_given_up(connect: Connect, centre: Callable[..., Sandbox]) -> None:
    """When not even the status can be had, the error is raised, and whatever was taken is ended with the block."""
    with centre(script="silent") as sandbox, connect(**settings(sandbox, timeout=20)).connect() as session:
        for name, lose, arrives in LOST:
            if "late" in name:
                continue
            sandbox.faults(lose("routeConversation"), Fault.status(500, "getRequestStatus"))
            routed = sandbox.stats().routed
            # Any success counts as routed, also one that tells nothing.
            given_up = nullcontext() if name == "200 nulls after" else pytest.raises(PuzzelChatError)
            with given_up, session.conversation() as conversation:
                conversation.route("support")
            assert sandbox.stats().routed - routed == arrives, name
            assert sandbox.stats().ended == sandbox.stats().routed, name


@pytest.mark.slow
def test_a_route_that_takes_effect_after_it_was_given_up(connect: Connect) -> None:
    """A request that the service works on while it denies it is not made twice, and `end()` meets it there."""
    late = Fault.latency(1.0, "routeConversation")
    with Sandbox(script="silent", pace=0, faults=(late,)) as sandbox:
        with connect(**settings(sandbox, timeout=0.2)).connect() as session:
            conversation = session.conversation()
            with pytest.raises(PuzzelChatError):
                conversation.route("support")
            assert sandbox.stats().routed == 0
            conversation.end()
        assert (sandbox.stats().routed, sandbox.stats().ended) == (1, 1)


def test_a_refusal_after_a_request_without_an_answer_is_not_the_last_word(connect: Connect) -> None:
    """When the second try does not even leave, the first may still arrive, and is left."""
    with Sandbox(script="silent", pace=0) as sandbox:
        faults = (
            Fault.latency(1.0, "routeConversation", times=1),
            Fault.status(429, "routeConversation", retry_after=60, skip=1),
        )
        sandbox.faults(*faults)
        session = connect(**settings(sandbox, timeout=0.2)).connect()
        with pytest.raises(PuzzelChatError), session.conversation() as conversation:
            conversation.route("support")
        assert (sandbox.stats().routed, sandbox.stats().ended) == (1, 1)


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "for long"])
def test_an_end(connect: Connect, centre: Callable[..., Sandbox], lost: Lost, lasting: bool) -> None:
    """An end without an answer is repeated, or raises and can be called again; the chat ends once and tells it once."""
    with centre() as sandbox:
        chat = connect(**settings(sandbox, timeout=lost.timeout, poll_interval=1))
        for name, lose, _ in lost.rows:
            conversation = chat.start("support", wait=20)
            sandbox.faults(lose("endConversation", **({} if lasting else {"times": 1})))
            try:
                conversation.end()
            except PuzzelChatError:
                assert lasting or "200 page" in name, name
                sandbox.faults()
                conversation.end()
            assert conversation.ended, name
            sandbox.faults()
            check_delivered(list(conversation.events()), sandbox.ledger()[conversation.id])
        assert sandbox.stats().ended == len(lost.rows)


@pytest.mark.parametrize("status", [500, 404])
def test_an_end_while_polls_fail(
    connect: Connect, centre: Callable[..., Sandbox], puzzel_time: VirtualTime, status: int
) -> None:
    """A chat that we ended is over here too, told once, when no poll can say so any more."""
    with centre() as sandbox:
        conversation = connect(**settings(sandbox)).start("support", wait=20)
        conversation.end()
        sandbox.faults(Fault.status(status, "pollConversation"))
        began = puzzel_time.monotonic()
        events = list(conversation.events())
        assert [type(event) for event in events].count(ConversationEnded) == 1
        assert isinstance(events[-1], ConversationEnded)
        assert puzzel_time.monotonic() - began < 60
        assert list(conversation.events()) == []


def test_typing(connect: Connect, centre: Callable[..., Sandbox], lost: Lost) -> None:
    """Typing without an answer is repeated; a page in its place is an error; either way nothing is said."""
    with centre() as sandbox:
        conversation = connect(**settings(sandbox, timeout=lost.timeout, poll_interval=1)).start("support", wait=20)
        for name, lose, _ in lost.rows:
            sandbox.faults(lose("sendTyping", times=1))
            try:
                conversation.typing()
            except ContractError:
                assert "200 page" in name, name
        sandbox.faults()
        conversation.end()
        assert of_customer(sandbox, conversation.id) == []
        check_delivered(list(conversation.events()), sandbox.ledger()[conversation.id])
