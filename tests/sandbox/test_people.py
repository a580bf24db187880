"""Persons who play agents: who gets an offer, what happens when they pause or go home, and what watchers are told."""

from __future__ import annotations

from random import Random

import httpx
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from hypothesis.strategies import booleans, integers, sampled_from

from bare import Customer, texts
from puzzel_chat.sandbox import Exchange, Fault, Happening, Person, Sandbox
from puzzel_chat.sandbox._floor import FloorSettings
from puzzel_chat.sandbox._queues import Agent, Conversation, Status
from puzzel_chat.sandbox._sessions import TokenSettings
from puzzel_chat.sandbox._values import Order, Role
from puzzel_chat.sandbox._world import World, WorldSettings
from waiting import until

NAMES = ("Kari", "Nils")
QUEUES = ("support", "unknown-hours", "silent")


@pytest.fixture
def kari(sandbox: Sandbox) -> Person:
    """A person at work, without scripted colleagues."""
    sandbox.set_script("helpful")
    sandbox.set_scripted(False)
    return sandbox.person("Kari")


def test_a_person_is_asked_before_the_scripted_agents(sandbox: Sandbox, customer: Customer) -> None:
    """They take the chat when the person declines."""
    sandbox.set_script("helpful")
    kari = sandbox.person("Kari")
    customer.route()
    assert kari.offer == "chat"
    sandbox.agent("chat").decline()
    until(lambda: customer.status().json()["status"] == "Assigned")
    assert kari.chats() == ()


def test_nobody_is_asked_while_the_scripted_agents_are_off(sandbox: Sandbox, customer: Customer) -> None:
    """The request waits, and is served once they are on again."""
    sandbox.set_script("helpful")
    sandbox.set_scripted(False)
    customer.route()
    assert (customer.status().json()["status"], sandbox.scripted) == ("Queued", False)
    assert customer.http.get("/api/queue/info/27501").json()["agentsReady"] == 0
    sandbox.set_scripted(True)
    until(lambda: customer.status().json()["status"] == "Assigned")


def test_scripted_agents_finish_their_chats_after_they_are_switched_off(sandbox: Sandbox, customer: Customer) -> None:
    """Only new offers go elsewhere."""
    sandbox.set_script("helpful")
    customer.route()
    until(lambda: customer.status().json()["status"] == "Assigned")
    sandbox.set_scripted(False)
    customer.say("Hello")
    until(lambda: any(text.startswith("I see") for text in texts(customer.poll())))


def test_a_script_that_answers_serves_who_waits_already(sandbox: Sandbox, customer: Customer) -> None:
    """A request that waited under "silent" is taken as soon as agents look."""
    sandbox.set_script("silent")
    customer.route()
    assert customer.status().json()["status"] == "Queued"
    sandbox.set_script("helpful")
    until(lambda: customer.status().json()["status"] == "Assigned")


def test_a_lone_person_who_declines_is_asked_again(kari: Person, sandbox: Sandbox, customer: Customer) -> None:
    """There is nobody else."""
    customer.route()
    sandbox.agent("chat").decline()
    until(lambda: kari.offer == "chat")
    assert sandbox.chat("chat").offers == 2
    sandbox.agent("chat").accept()
    assert [chat.id for chat in kari.chats()] == ["chat"]


def test_an_open_offer_goes_on_when_its_person_pauses(kari: Person, sandbox: Sandbox, customer: Customer) -> None:
    """The other one is asked; who pauses gets nothing until ready again."""
    customer.route()
    assert kari.offer == "chat"
    kari.set_ready(False)
    nils = sandbox.person("Nils")
    until(lambda: nils.offer == "chat")
    assert kari.offer is None
    assert not kari.ready
    customer.route("second")
    assert kari.offer is None
    kari.set_ready(True)
    until(lambda: kari.offer == "second")


def test_who_goes_home_leaves_the_chats_to_the_others(kari: Person, sandbox: Sandbox, customer: Customer) -> None:
    """Each goes back to its queue and is offered again; the customer hears that the agent left."""
    customer.route()
    sandbox.agent("chat").accept()
    customer.route("second", "unknown-hours")
    until(lambda: kari.offer == "second")
    nils = sandbox.person("Nils")
    nils.set_ready(False)
    kari.leave()
    assert (kari.offer, kari.chats(), sandbox.persons()) == (None, (), ("Nils",))
    events = [message.get("event") for message in customer.poll().json()["messages"]]
    assert "AgentLeft" in events
    nils.set_ready(True)
    until(lambda: nils.offer is not None)
    sandbox.agent(str(nils.offer)).accept()
    until(lambda: nils.offer is not None)


def test_a_transfer_puts_the_chat_into_another_queue(kari: Person, sandbox: Sandbox, customer: Customer) -> None:
    """It is offered there; an unknown queue changes nothing."""
    customer.route()
    agent = sandbox.agent("chat")
    agent.accept()
    with pytest.raises(KeyError, match="nowhere"):
        agent.transfer("nowhere")
    assert [chat.queue_key for chat in kari.chats()] == ["support"]
    nils = sandbox.person("Nils")
    agent.transfer("unknown-hours")
    until(lambda: nils.offer == "chat")
    assert (sandbox.chat("chat").queue_key, sandbox.chat("chat").waiting) == ("unknown-hours", True)


def test_two_handles_of_a_name_are_one_person(kari: Person, sandbox: Sandbox, customer: Customer) -> None:
    """As two tabs of a browser are."""
    customer.route()
    again = sandbox.person("Kari")
    assert (again.id, again.offer) == (kari.id, "chat")


def test_no_two_persons_have_one_id(kari: Person, sandbox: Sandbox) -> None:
    """Nor when one goes home and another comes."""
    nils = sandbox.person("Nils")
    kari.leave()
    assert len({kari.id, nils.id, sandbox.person("Ada").id, sandbox.person("Kari").id}) == 4


def test_choices_reach_the_customer(kari: Person, sandbox: Sandbox, customer: Customer) -> None:
    """With an id for each."""
    customer.route()
    agent = sandbox.agent("chat")
    agent.accept()
    agent.ask("What is it <about>?", ["Delivery", "Invoice"])
    options = customer.poll().json()["messages"][-1]
    assert options["content"] == "What is it &lt;about&gt;?"
    assert options["options"] == [{"id": "1", "label": "Delivery"}, {"id": "2", "label": "Invoice"}]


def test_states_tell_what_a_page_shows(kari: Person, sandbox: Sandbox, customer: Customer) -> None:
    """A chat and its queue, before and after its end."""
    sandbox.set_capacity("support", 7)
    customer.route(items=[{"name": "customerName", "value": "Ada"}])
    kari.set_ready(False)
    chat, queue = sandbox.chat("chat"), sandbox.queue("support")
    assert (chat.status, chat.position, chat.waiting, chat.order.customer) == (Status.QUEUED, 1, True, {"name": "Ada"})
    assert (queue.size, queue.capacity, queue.is_open, queue.staff) == (1, 7, True, ())
    assert sandbox.queue("closed").opens_at is not None
    customer.end()
    assert (sandbox.chats(), [one.id for one in sandbox.chats(ended=True)]) == ((), ["chat"])
    with pytest.raises(LookupError):
        sandbox.chat("other")


def test_watchers_hear_of_happenings_and_requests_until_they_stop(sandbox: Sandbox, customer: Customer) -> None:
    """In order; one that fails keeps nothing from the others. A request shows the end of its token, never the token."""
    heard: list[Happening | Exchange] = []

    def fail(_news: object) -> None:
        raise ValueError

    sandbox.watch(fail)
    stop = sandbox.watch(heard.append)
    customer.route()
    sandbox.faults(Fault.status(503, "pollConversation", times=1), Fault.drop("sendMessage", after=True))
    customer.poll()
    with pytest.raises(httpx.TransportError):
        customer.say("Hello")
    until(lambda: len([one for one in heard if isinstance(one, Exchange)]) == 3)
    asked = [one for one in heard if isinstance(one, Exchange)]
    assert [(one.operation, one.status, one.faults) for one in asked] == [
        ("routeConversation", 202, ()),
        ("pollConversation", 503, ("status",)),
        ("sendMessage", None, ("drop",)),
    ]
    assert all(len(one.token) == 4 and customer.tokens["access_token"].endswith(one.token) for one in asked)
    assert customer.tokens["access_token"] not in repr(heard)
    assert [one.kind for one in heard if isinstance(one, Happening)] == ["routed", "offered", "message"]
    stop()
    told = len(heard)
    customer.poll()
    assert len(heard) == told


def test_faults_can_be_added_and_are_counted(sandbox: Sandbox, customer: Customer) -> None:
    """Beside those in force, which keep their counts."""
    sandbox.faults(Fault.status(503, "pollConversation", times=1))
    assert customer.poll().status_code == 503
    sandbox.add_fault(Fault.status(500, "pollConversation", times=1))
    assert [customer.poll().status_code for _ in range(2)] == [500, 200]
    assert [(rule.fault.status_code, rule.struck, rule.spent) for rule in sandbox.rules()] == [
        (503, 1, True),
        (500, 1, True),
    ]


def test_the_life_of_tokens_can_change(sandbox: Sandbox, customer: Customer) -> None:
    """For those that are issued from then on."""
    sandbox.set_token_life(77)
    assert customer.refresh().json()["expires_in"] == 77


class Staff(RuleBasedStateMachine):
    """Any order of customers, persons, answers, pauses and transfers, on a world without I/O."""

    def __init__(self) -> None:
        super().__init__()
        told = WorldSettings(TokenSettings("12345"), FloorSettings(pace=1.0), agents=1)
        self.world, self.now, self.number = World(told, Random(0)), 1_790_000_000.0, 0
        form = {"grant_type": "visitor", "client_id": "oneplatform_engage", "tenant_id": "12345"}
        self.session = self.world.authorise(str(self.world.connect(form, self.now)["access_token"]), self.now)

    def chosen(self, number: int) -> Conversation | None:
        """One of the open conversations."""
        chats = [chat for chat in self.world.conversations.values() if not chat.ended]
        return chats[number % len(chats)] if chats else None

    @rule(queue=sampled_from(QUEUES))
    def route(self, queue: str) -> None:
        """A customer comes."""
        self.number += 1
        self.world.route(self.session, f"chat-{self.number}", Order(queue), self.now)

    @rule(seconds=integers(1, 5))
    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.now += seconds
        self.world.advance(self.now)

    @rule(name=sampled_from(NAMES))
    def sit_down(self, name: str) -> None:
        """A person comes to work."""
        self.world.sit_down(name, self.now)

    @rule(name=sampled_from(NAMES))
    def stand_up(self, name: str) -> None:
        """A person goes home."""
        self.world.stand_up(name, self.now)

    @rule(name=sampled_from(NAMES))
    def pause(self, name: str) -> None:
        """A person pauses."""
        if name in self.world.persons:
            self.world.floor.pause(self.world.persons[name], self.now)

    @rule(on=booleans())
    def switch(self, on: bool) -> None:
        """The scripted agents are switched."""
        self.world.set_scripted(on, self.now)

    @rule(number=integers(0, 20), accepts=booleans())
    def answer(self, number: int, accepts: bool) -> None:
        """An offer is answered."""
        chat = self.chosen(number)
        if chat is not None and chat.offered_to is not None:
            (self.world.floor.accept if accepts else self.world.floor.decline)(chat, self.now)

    @rule(number=integers(0, 20), to=sampled_from((None, *QUEUES)))
    def leave(self, number: int, to: str | None) -> None:
        """An agent leaves a chat, or transfers it."""
        chat = self.chosen(number)
        if chat is not None:
            self.world.floor.leave(chat, "left", self.now, None if to is None else self.world.queues[to])

    @rule(number=integers(0, 20), by=sampled_from((Role.CUSTOMER, Role.AGENT)))
    def end(self, number: int, by: Role) -> None:
        """A chat ends."""
        chat = self.chosen(number)
        if chat is not None:
            self.world.floor.end(chat, by, self.now)

    @invariant()
    def the_books_agree(self) -> None:
        """Offers and chats are told alike by agents and conversations, and a line holds who is queued, once each."""
        chats = [chat for chat in self.world.conversations.values() if not chat.ended]
        agents = {agent.id: agent for queue in self.world.queues.values() for agent in queue.staff}
        for agent in agents.values():
            assert agent.chats == sum(chat.agent is agent for chat in chats)
            assert agent.offer is None or (agent.offer.offered_to is agent and agent.offer in chats)
        for chat in chats:
            assert chat.offered_to is None or chat.offered_to.offer is chat
            queued = chat.allocation.status is Status.QUEUED
            assert sum(queue.line.count(chat) for queue in self.world.queues.values()) == queued
            assert (chat.agent is not None) == (chat.allocation.status is Status.ASSIGNED)

    @invariant()
    def nobody_waits_for_an_agent_who_is_free(self) -> None:
        """A line whose first one may be served is served at the next moment."""

        def free(agent: Agent) -> bool:
            return agent.ready and agent.offer is None and (agent.person or queue.key != "silent")

        for queue in self.world.queues.values():
            if queue.line and any(free(agent) for agent in queue.staff):
                assert queue.arranged

    def teardown(self) -> None:
        """With a person at work and time, everybody in a line is asked for."""
        self.world.sit_down("Kari", self.now).ready = True
        self.world.floor.arrange(self.now)
        for _ in range(10 * (self.number + 1)):
            self.now += 5
            self.world.advance(self.now)
            for chat in self.world.conversations.values():
                if chat.offered_to is not None and chat.offered_to.person:
                    self.world.floor.accept(chat, self.now)
        assert all(not queue.line for queue in self.world.queues.values())


TestStaff = Staff.TestCase
TestStaff.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
