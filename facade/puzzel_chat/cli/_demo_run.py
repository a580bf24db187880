"""One whole chat against an embedded simulator, each step awaited, never hoped for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from attrs import define, field

from puzzel_chat import (
    AgentJoined,
    Allocation,
    AllocationStage,
    AsyncConversation,
    AsyncPuzzelChat,
    AsyncSession,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    Event,
    Message,
    MessageEdited,
    Role,
    TextMessage,
    UnknownMessage,
)
from puzzel_chat.cli._compare import Stored, Verdict, compare
from puzzel_chat.cli._patience import PatientClock
from puzzel_chat.cli._steps import Steps
from puzzel_chat.cli._words import one_line
from puzzel_chat.sandbox import Fault, Sandbox

PACE = 0.5
TOKEN_LIFE = 4.0
STEP_LIMIT = 20.0
"""Seconds after which a step that has not come is given up."""

CHAT_LIMIT = 90.0
"""Seconds after which the whole chat is given up."""


class StepMissed(Exception):
    """A step did not come within its time."""


def demo_sandbox(clock: PatientClock) -> Sandbox:
    """Make the simulated contact centre of the demo: two callers ahead, an agent who declines, short-lived tokens."""
    return Sandbox(script="demo", pace=PACE, ahead=2, token_life=TOKEN_LIFE, clock=clock)


@define
class Demo:
    """The customer's side of the chat."""

    sandbox: Sandbox
    clock: PatientClock
    steps: Steps
    delivered: list[Event] = field(factory=list[Event])
    sent: list[TextMessage] = field(factory=list[TextMessage])
    positions: list[int] = field(factory=list[int])
    conversation_id: str = ""

    async def play(self) -> None:
        """Hold the chat. Raises `StepMissed`."""
        try:
            async with asyncio.timeout(CHAT_LIMIT):
                await self._play()
        except TimeoutError:
            raise StepMissed from None

    async def _play(self) -> None:
        sandbox = self.sandbox
        async with AsyncPuzzelChat(**sandbox.settings, poll_interval=0.2) as chat:
            session = await chat.connect()
            self.steps.done("session", "session opened: one token, which is the session")
            await self._ask_hours(session)
            conversation = session.conversation()
            self.conversation_id = conversation.id
            await conversation.route(sandbox.queue_key, customer={"name": "Ada"})
            self.steps.done("routed", "routed: the contact centre looks for an agent")
            await self._wait_for_agent(conversation)
            async with conversation:
                await self._talk(conversation)

    def verdict(self) -> Verdict:
        """Compare both sides."""
        sent = [message.client_id or message.id for message in self.sent]
        messages = [event for event in self.delivered if isinstance(event, Message | MessageEdited)]
        entries = self.sandbox.ledger().get(self.conversation_id, ())
        ledger = [Stored(e.id, e.version, e.client_message_id) for e in entries if e.type != "Event"]
        return compare(sent, [(event.id, event.version) for event in messages], ledger)

    async def _ask_hours(self, session: AsyncSession) -> None:
        info = await session.queue_info(self.sandbox.visual_queue_id)
        if info.is_open:
            self.steps.done("queue", f"queue {info.id} is open, {info.agents_ready} agents are ready")

    async def _wait_for_agent(self, conversation: AsyncConversation) -> None:
        """Look often, so that every state is seen; `wait_for_agent` would look every few seconds."""
        last: Allocation | None = None
        stages: list[AllocationStage] = []
        while last is None or last.stage is not AllocationStage.ASSIGNED:
            self.clock.look()
            allocation = await conversation.allocation()
            if last is None or _state(allocation) != _state(last):
                self._show_allocation(allocation, stages)
                stages.append(allocation.stage)
            last = allocation
            await asyncio.sleep(0.1)
        self.clock.release()

    def _show_allocation(self, allocation: Allocation, before: list[AllocationStage]) -> None:
        stage, position = allocation.stage, allocation.queue_position
        if stage is AllocationStage.OFFERED:
            again = AllocationStage.DECLINED in before
            self.steps.done("offered-again" if again else "offered", f"offered to {'another' if again else 'an'} agent")
        elif stage is AllocationStage.DECLINED:
            self.steps.done("declined", "declined by that agent")
        elif stage is AllocationStage.QUEUED and position is not None:
            going_down = bool(self.positions) and not before.count(AllocationStage.DECLINED)
            going_down = going_down and position < self.positions[-1]
            self.positions.append(position)
            wait = f", about {allocation.estimated_wait:g} s" if allocation.estimated_wait is not None else ""
            self.steps.done("position" if going_down else "queued", f"in the queue at position {position}{wait}")

    async def _talk(self, conversation: AsyncConversation) -> None:
        refreshes = self.sandbox.stats().refreshes
        reading = asyncio.create_task(self._read(conversation))
        try:
            await self._until(reading, lambda: self._heard(TextMessage, Role.AGENT) >= 1)
            await self._send(conversation, "My order has not arrived.")
            await self._until(reading, lambda: self._heard(MessageEdited) >= 1)
            recovered = self._heard(ConnectionRecovered)
            self.sandbox.faults(Fault.status(503, "pollConversation", retry_after=1, times=1))
            await self._until(reading, lambda: self._heard(ConnectionRecovered) > recovered)
            await self._send(conversation, "When will it arrive?")
            await self._until(reading, lambda: self._heard(TextMessage, Role.AGENT) >= 3)
            await self._until(reading, lambda: self.sandbox.stats().refreshes > refreshes)
            number = self.sandbox.stats().refreshes - refreshes
            self.steps.done("refreshed", f"token refreshed during the chat ({number} so far), the session goes on")
            await self._send(conversation, "That is all, thank you.")
            await self._until(reading, reading.done)
        finally:
            reading.cancel()
            await asyncio.wait([reading])

    async def _send(self, conversation: AsyncConversation, text: str) -> None:
        message = await conversation.send(text)
        self.sent.append(message)
        self.steps.done("sent", f"you: {text}", "bold")

    async def _read(self, conversation: AsyncConversation) -> None:
        async for event in conversation.events():
            self.delivered.append(event)
            self._show(event)

    async def _until(self, reading: asyncio.Task[None], condition: Callable[[], bool]) -> None:
        try:
            async with asyncio.timeout(STEP_LIMIT):
                while not condition():
                    if reading.done():
                        reading.result()
                        raise StepMissed
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise StepMissed from None

    def _heard(self, kind: type[Event], role: Role | None = None) -> int:
        return sum(isinstance(event, kind) and role in (None, event.author.role) for event in self.delivered)

    def _show(self, event: Event) -> None:
        name = one_line(event.author.name, event.author.role.value)
        if isinstance(event, TextMessage) and event.author.role is not Role.CUSTOMER:
            self.steps.done("received", f"{name}: {one_line(event.text)}", "cyan")
        elif isinstance(event, MessageEdited) and isinstance(event.message, TextMessage):
            self.steps.done("edit", f"{name} edited that: {one_line(event.message.text)}", "cyan")
        elif isinstance(event, UnknownMessage):
            self.steps.done("unknown", f"{name} sent {event.type!r}, a type nobody here knows; it is kept", "cyan")
        elif isinstance(event, AgentJoined):
            self.steps.done("joined", f"{one_line(event.agent.name if event.agent else None, 'an agent')} joined")
        elif isinstance(event, ConnectionDegraded):
            self.steps.done("degraded", "a poll failed: connection degraded, the chat goes on", "yellow")
        elif isinstance(event, ConnectionRecovered):
            self.steps.done("recovered", f"recovered after {event.after:.1f} s", "yellow")
        elif isinstance(event, ConversationEnded) and event.by is Role.AGENT:
            self.steps.done("ended", "the agent ended the chat")
        both = self._heard(TextMessage, Role.AGENT) and self._heard(TextMessage, Role.CUSTOMER)
        if both and sum(isinstance(event, Message) for event in self.delivered) >= 6:
            self.steps.seen.add("messages")


def _state(allocation: Allocation) -> tuple[object, ...]:
    return allocation.stage, allocation.queue_position
