"""Whatever customers, agents and clocks do, the simulated contact centre keeps its own rules."""

from __future__ import annotations

from contextlib import suppress
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from puzzel_chat.sandbox._floor import FloorSettings
from puzzel_chat.sandbox._queues import Conversation, Status
from puzzel_chat.sandbox._scripts import SCRIPTS
from puzzel_chat.sandbox._sessions import Session, TokenSettings
from puzzel_chat.sandbox._values import Entry, Order, Refusal, Role, TokenRefusal
from puzzel_chat.sandbox._world import World, WorldSettings

KEYS = st.sampled_from([f"chat-{number}" for number in range(6)])
WORDS = st.sampled_from(["hello", "someone else", "leave", "end chat", "edit", "silence", "unknown", " "])
CLIENT = {"grant_type": "visitor", "client_id": "oneplatform_engage", "tenant_id": "12345"}


class ContactCentre(RuleBasedStateMachine):
    """Two customers, six conversations, two agents with two seats each, a queue of four."""

    @initialize(script=st.sampled_from(sorted(SCRIPTS)), ahead=st.integers(0, 2), wait=st.sampled_from([None, 20.0]))
    def open(self, script: str, ahead: int, wait: float | None) -> None:
        """Start a world."""
        floor = FloorSettings(pace=1.0, ahead=ahead, offer_timeout=5.0, max_wait=wait, messages=3)
        tokens = TokenSettings("12345", life=100.0)
        self.world = World(WorldSettings(tokens, floor, script, "cursor", 2, 2, 4), Random(0))
        self.now = 1_790_000_000.0
        self.sessions: list[Session] = []
        self.refresh_tokens: list[str] = []
        self.ledger: dict[str, tuple[Entry, ...]] = {}
        self.cursor: str | None = None
        self.received: list[object] = []
        for _ in range(2):
            reply = self.world.connect(CLIENT, self.now)
            self.refresh_tokens.append(str(reply["refresh_token"]))
            self.sessions.append(self.world.authorise(str(reply["access_token"]), self.now))

    @rule(key=KEYS, who=st.integers(0, 1))
    def route(self, key: str, who: int) -> None:
        """A customer asks for an agent."""
        with suppress(Refusal):
            self.world.route(self.sessions[who], key, Order("support"), self.now)

    @rule(key=KEYS, who=st.integers(0, 1), text=WORDS)
    def say(self, key: str, who: int, text: str) -> None:
        """A customer writes."""
        with suppress(Refusal):
            self.world.send(self.sessions[who], key, text, None, self.now)

    @rule(key=KEYS, who=st.integers(0, 1))
    def end(self, key: str, who: int) -> None:
        """A customer ends."""
        with suppress(Refusal):
            self.world.end(self.sessions[who], key, self.now)

    @rule(seconds=st.sampled_from([0.0, 0.3, 1.0, 4.0, 30.0]))
    def wait(self, seconds: float) -> None:
        """Time goes on."""
        self.now += seconds
        self.world.advance(self.now)

    @rule(key=KEYS, accept=st.booleans())
    def answer(self, key: str, accept: bool) -> None:
        """A person answers an offer by hand."""
        chat = self.world.conversations.get(key)
        if chat is not None and chat.offered_to is not None:
            (self.world.floor.accept if accept else self.world.floor.decline)(chat, self.now)

    @rule(is_open=st.sampled_from([True, False, None]))
    def hours(self, is_open: bool | None) -> None:
        """The queue opens, closes, or nobody knows."""
        self.world.open_queue("support", is_open)

    @rule(script=st.sampled_from(sorted(SCRIPTS)))
    def change_script(self, script: str) -> None:
        """Agents change their ways."""
        self.world.floor.script = SCRIPTS[script]

    @rule()
    def poll(self) -> None:
        """The first customer polls with the cursor."""
        reply = self.world.poll(self.sessions[0], self.cursor, self.now)
        assert reply is not None
        messages = reply["messages"]
        assert isinstance(messages, list)
        self.received += messages
        assert reply["cursor"] == len(self.received)
        self.cursor = str(reply["cursor"])

    @precondition(lambda self: bool(self.refresh_tokens))
    @rule(data=st.data())
    def refresh(self, data: st.DataObject) -> None:
        """Somebody spends a refresh token, maybe one spent before."""
        token = data.draw(st.sampled_from(self.refresh_tokens))
        form = {**CLIENT, "grant_type": "refresh_token", "refresh_token": token}
        with suppress(TokenRefusal):
            self.refresh_tokens.append(str(self.world.connect(form, self.now)["refresh_token"]))

    @property
    def chats(self) -> list[Conversation]:
        """All conversations."""
        return list(self.world.conversations.values())

    @invariant()
    def an_agent_has_one_offer_and_no_more_chats_than_seats(self) -> None:
        """Offers and seats agree on both sides."""
        for agent in self.world.queues["support"].staff:
            assert agent.chats == sum(chat.agent is agent for chat in self.chats) <= 2
            assert [chat for chat in self.chats if chat.offered_to is agent] == [agent.offer] * (
                agent.offer is not None
            )

    @invariant()
    def the_state_says_where_a_request_is(self) -> None:
        """Queued requests stand in the line once, offered ones have an offer, assigned ones an agent, unless ended."""
        line = self.world.queues["support"].line
        for chat in self.chats:
            status = chat.allocation.status
            assert line.count(chat) == (status is Status.QUEUED)
            assert (chat.offered_to is not None) == (status is Status.OFFERED)
            assert (chat.agent is not None) == (status is Status.ASSIGNED and not chat.ended)
            assert not (chat.ended and chat.allocation.searching)

    @invariant()
    def positions_are_distinct_and_within_the_line(self) -> None:
        """No two requests have the same place."""
        queue = self.world.queues["support"]
        places = [place for chat in self.chats if (place := queue.position(chat)) is not None]
        assert len(set(places)) == len(places)
        assert all(1 <= place <= queue.size for place in places)

    @invariant()
    def the_ledger_only_grows(self) -> None:
        """What was stored stays as it was, and versions of a message count up."""
        ledger = self.world.entries(self.now)
        for key, before in self.ledger.items():
            assert ledger[key][: len(before)] == before
        for entries in ledger.values():
            for entry in entries:
                versions = [other.version for other in entries if other.id == entry.id]
                assert versions == list(range(1, len(versions) + 1))
            assert sorted(entry.sent_at for entry in entries) == [entry.sent_at for entry in entries]
        self.ledger = ledger

    @invariant()
    def nothing_is_said_after_the_end(self) -> None:
        """The end is the last entry, and there is one."""
        for chat in self.chats:
            ends = [entry.content == "ConversationEnded" for entry in chat.entries]
            assert ends.count(True) == chat.ended
            assert not chat.ended or ends[-1]

    @invariant()
    def a_cursor_never_misses_or_repeats(self) -> None:
        """What was polled is a beginning of what the session's conversations stored."""
        stored = [entry.wire for entry in self.sessions[0].log.entries]
        assert stored[: len(self.received)] == self.received
        assert [wire["eventId"] for wire in stored] == list(range(1, len(stored) + 1))
        assert sum(len(chat.entries) for chat in self.chats if chat.session is self.sessions[0]) == len(stored)

    @invariant()
    def only_agents_in_a_chat_speak(self) -> None:
        """Between joining and leaving or the end, and never outside, there are messages of an agent."""
        for chat in self.chats:
            inside = False
            for entry in chat.entries:
                if entry.type == "Event":
                    inside = entry.content in ("AgentJoined", "AgentTyping")
                elif entry.role is Role.AGENT:
                    assert inside

    @invariant()
    def the_agenda_stays_small(self) -> None:
        """Plans do not pile up: a bounded number per conversation and request."""
        assert len(self.world.agenda) < 400


ContactCentre.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestContactCentre = ContactCentre.TestCase
