"""Agents played by hand, by a test or a person: one who has a whole desk, and the agent of one conversation."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ._centre import Centre
from ._queues import Agent, Conversation, Status
from ._scripts import Act, Step
from ._values import Entry, Order
from ._views import Chat, chat_of
from ._world import World


class Person:
    """A person who takes chats in every queue that has staff, before the scripted agents are asked.

    Offers come one at a time; several chats may be open.
    """

    def __init__(self, centre: Centre, agent: Agent) -> None:
        self._centre, self._agent = centre, agent
        self.id, self.name = agent.id, agent.name

    @property
    def ready(self) -> bool:
        """Whether offers come."""
        return self._agent.ready

    @property
    def offer(self) -> str | None:
        """The id of the conversation that is offered, else None."""
        with self._centre.world():
            return self._agent.offer.id if self._agent.offer else None

    def chats(self) -> tuple[Chat, ...]:
        """Return the chats that the person is in."""
        with self._centre.world() as (world, _now):
            return tuple(map(chat_of, world.chats_of(self._agent)))

    def set_ready(self, ready: bool) -> None:
        """Take offers, or take none for now: an open one goes to another agent, the chats go on."""
        with self._centre.world() as (world, now):
            if ready:
                self._agent.ready = True
                world.floor.arrange(now)
            else:
                world.floor.pause(self._agent, now)

    def leave(self) -> None:
        """Go home; the chats go back to their queues."""
        with self._centre.world() as (world, now):
            world.stand_up(self.name, now)


class AgentHandle:
    """The agent of one conversation, played by hand. Everything raises LookupError before it was routed."""

    def __init__(self, centre: Centre, conversation_id: str) -> None:
        self._centre, self.conversation_id = centre, conversation_id

    @property
    def status(self) -> Status:
        """Where the search for an agent stands."""
        with self._centre.world() as (world, _now):
            return self._conversation(world).allocation.status

    @property
    def name(self) -> str | None:
        """The name of the agent in the conversation, or of the one with the offer, else None."""
        with self._centre.world() as (world, _now):
            conversation = self._conversation(world)
            agent = conversation.agent or conversation.offered_to
            return agent.name if agent else None

    @property
    def order(self) -> Order:
        """What the customer gave when asking: queue, name, variables, subject, history."""
        with self._centre.world() as (world, _now):
            return self._conversation(world).order

    @property
    def customer_typing(self) -> bool:
        """Whether the customer is typing, as last reported; a message ends it."""
        with self._centre.world() as (world, _now):
            return self._conversation(world).customer_typing

    def transcript(self, start: int = 0) -> tuple[Entry, ...]:
        """Return the entries of the conversation, without the first `start` of them."""
        with self._centre.world() as (world, _now):
            return tuple(self._conversation(world).entries[start:])

    def accept(self) -> None:
        """Accept the offer.

        Raises:
            RuntimeError: no offer is open.

        """
        with self._centre.world() as (world, now):
            world.floor.accept(self._offered(world), now)

    def decline(self) -> None:
        """Decline the offer; it goes to another agent.

        Raises:
            RuntimeError: no offer is open.

        """
        with self._centre.world() as (world, now):
            world.floor.decline(self._offered(world), now)

    def say(self, text: str, *, html: bool = False) -> str:
        """Send a message and return its id; with `html` the text is markup already.

        Raises:
            RuntimeError: no agent is in the conversation.

        """
        with self._centre.world() as (world, now):
            return world.ledger.say(self._joined(world), text if html else escape(text), now).id

    def edit(self, message_id: str, text: str, *, html: bool = False) -> None:
        """Change a message.

        Raises:
            LookupError: there is no such message.

        """
        with self._centre.world() as (world, now):
            world.ledger.edit(self._joined(world), message_id, text if html else escape(text), now)

    def typing(self, is_typing: bool = True) -> None:
        """Show that the agent is typing, or no longer is."""
        with self._centre.world() as (world, now):
            conversation = self._joined(world)
            world.ledger.event(conversation, "AgentTyping", now, agent=conversation.agent, isTyping=is_typing)

    def send_file(self, data: bytes, name: str, content_type: str = "application/octet-stream") -> str:
        """Send a file and return the id of its message."""
        with self._centre.world() as (world, now):
            return world.floor.send_file(self._joined(world), name, content_type, data, now)

    def file(self, message_id: str) -> bytes:
        """Return the bytes of a file that either side has sent, by the id of its message.

        Raises:
            LookupError: there is no such message, or it is no file.

        """
        with self._centre.world() as (world, _now):
            sent = [entry for entry in self._conversation(world).entries if entry.id == message_id]
            return world.files.at(sent[-1].wire.get("url") if sent else None).data

    def ask(self, text: str, choices: Sequence[str]) -> str:
        """Send a question with choices and return the id of its message."""
        options = [{"id": str(number), "label": label} for number, label in enumerate(choices, 1)]
        return self.send_raw({"type": "Options", "content": escape(text), "options": options})

    def send_raw(self, message: dict[str, object]) -> str:
        """Send a message of any type and shape and return its id; missing base fields are filled in."""
        with self._centre.world() as (world, now):
            return world.ledger.raw(self._joined(world), message, now).id

    def leave(self, reason: str = "left") -> None:
        """Leave; the conversation goes back through the queue to another agent."""
        self._act("leave", reason)

    def transfer(self, queue_key: str) -> None:
        """Leave, and put the conversation into another queue, at its head.

        Raises:
            KeyError: no such queue.

        """
        with self._centre.world() as (world, now):
            world.floor.leave(self._joined(world), "transfer", now, world.queues[queue_key])

    def end(self) -> None:
        """End the conversation."""
        self._act("end")

    def _act(self, act: Act, text: str = "") -> None:
        with self._centre.world() as (world, now):
            world.floor.act(self._joined(world), Step(act, text), now)

    def _conversation(self, world: World) -> Conversation:
        return world.conversation(self.conversation_id)

    def _offered(self, world: World) -> Conversation:
        conversation = self._conversation(world)
        if conversation.offered_to is None:
            status = conversation.allocation.status
            raise RuntimeError(f"no offer is open: the request is {status}; with pace=0 an offer comes at once")
        return conversation

    def _joined(self, world: World) -> Conversation:
        conversation = self._conversation(world)
        if conversation.agent is None:
            state = "ended" if conversation.ended else conversation.allocation.status
            raise RuntimeError(f"no agent is in the chat: it is {state}")
        return conversation
