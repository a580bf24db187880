"""Playing the agent by hand: a person at a terminal, or a test."""

from __future__ import annotations

from html import escape

from ._agents import Act, Step
from ._allocation import Status
from ._desk import Desk
from ._queues import Conversation, Order
from ._values import Entry
from ._world import World


class AgentHandle:
    """The agent of one conversation. Everything raises LookupError when that was never routed."""

    def __init__(self, desk: Desk, conversation_id: str) -> None:
        self._desk, self.conversation_id = desk, conversation_id

    @property
    def status(self) -> Status:
        """Where the search for an agent stands."""
        with self._desk.world() as (world, _now):
            return self._chat(world).allocation.status

    @property
    def name(self) -> str | None:
        """The name of the agent who has the chat or the offer, None when nobody has."""
        with self._desk.world() as (world, _now):
            chat = self._chat(world)
            agent = chat.agent or chat.offered_to
            return agent.name if agent else None

    @property
    def order(self) -> Order:
        """What the customer brought along: name, variables, subject."""
        with self._desk.world() as (world, _now):
            return self._chat(world).order

    @property
    def customer_typing(self) -> bool:
        """Whether the customer last said to be typing."""
        with self._desk.world() as (world, _now):
            return self._chat(world).customer_typing

    def transcript(self) -> tuple[Entry, ...]:
        """Return everything stored of the conversation."""
        with self._desk.world() as (world, _now):
            return tuple(self._chat(world).entries)

    def accept(self) -> None:
        """Take the chat.

        Raises:
            RuntimeError: no offer is open.

        """
        with self._desk.world() as (world, now):
            world.floor.accept(self._offered(world), now)

    def decline(self) -> None:
        """Say no to the offer; it goes to another agent.

        Raises:
            RuntimeError: no offer is open.

        """
        with self._desk.world() as (world, now):
            world.floor.decline(self._offered(world), now)

    def say(self, text: str, *, html: bool = False) -> str:
        """Send a message and return its id; `html` when the text is markup already.

        Raises:
            RuntimeError: the agent is not in the chat.

        """
        with self._desk.world() as (world, now):
            return world.ledger.say(self._joined(world), text if html else escape(text), now).id

    def edit(self, message_id: str, text: str, *, html: bool = False) -> None:
        """Change a message.

        Raises:
            LookupError: there is no such message.

        """
        with self._desk.world() as (world, now):
            world.ledger.edit(self._joined(world), message_id, text if html else escape(text), now)

    def typing(self, is_typing: bool = True) -> None:
        """Show that the agent types, or no longer does."""
        with self._desk.world() as (world, now):
            chat = self._joined(world)
            world.ledger.event(chat, "AgentTyping", now, agent=chat.agent, isTyping=is_typing)

    def send_raw(self, message: dict[str, object]) -> str:
        """Send a message of any type and shape, with base fields it lacks filled in; return its id."""
        with self._desk.world() as (world, now):
            return world.ledger.raw(self._joined(world), message, now).id

    def leave(self, reason: str = "left") -> None:
        """Leave; the conversation goes back through the queue to another agent."""
        self._act("leave", reason)

    def end(self) -> None:
        """End the conversation."""
        self._act("end")

    def _act(self, act: Act, text: str = "") -> None:
        with self._desk.world() as (world, now):
            world.floor.act(self._joined(world), Step(act, text), now)

    def _chat(self, world: World) -> Conversation:
        return world.conversation(self.conversation_id)

    def _offered(self, world: World) -> Conversation:
        chat = self._chat(world)
        if chat.offered_to is None:
            raise RuntimeError(f"no offer is open: the request is {chat.allocation.status}")
        return chat

    def _joined(self, world: World) -> Conversation:
        chat = self._chat(world)
        if chat.agent is None:
            state = "ended" if chat.ended else chat.allocation.status
            raise RuntimeError(f"no agent is in the chat: it is {state}")
        return chat
