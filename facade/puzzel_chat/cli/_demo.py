"""`puzzel-chat demo`: one whole chat against the bundled simulator, and a comparison of both sides."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from attrs import asdict, define, field, frozen

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
    PuzzelChatError,
    Role,
    TextMessage,
    UnknownMessage,
)
from puzzel_chat.cli._output import Exit, Output, one_line, print_error
from puzzel_chat.cli._sandbox import start_sandbox
from puzzel_chat.sandbox import NOTICE, Entry, Fault, Sandbox

PACE = 0.5
TOKEN_LIFE = 4.0
STEP_TIMEOUT = 20.0
CHAT_TIMEOUT = 90.0
STEPS = {
    "session": "a session opened",
    "queue": "the queue found open",
    "routed": "the chat routed",
    "position": "the position going down",
    "offered": "the chat offered",
    "declined": "the offer declined by a first agent",
    "offered-again": "the chat offered again",
    "joined": "an agent joining",
    "messages": "at least six messages, both ways",
    "edit": "an edit",
    "unknown": "a message of an unknown type",
    "degraded": "a failed poll shown as degraded",
    "recovered": "the connection recovered",
    "refreshed": "a token refresh in the middle of the chat",
    "ended": "the end by the agent",
}
Key = tuple[str, int]
"""Id and version of a message; an edit is the next version."""


def run_demo(output: Output) -> Exit:
    """Hold one whole chat, compare both sides, and return the exit code."""
    clock = BoundedClock(PACE / 2)
    with start_sandbox(lambda: demo_sandbox(clock)) as sandbox:
        output.show({"step": "notice", "elapsed": 0.0, "text": NOTICE}, f"This is the {NOTICE}.\n", "bold")
        demo = Demo(sandbox, clock, StepPrinter(output))
        try:
            asyncio.run(demo.run())
        except StepMissed:
            pass  # the summary names the step
        except PuzzelChatError as error:
            print_error(error)
    return _print_summary(demo, output)


def demo_sandbox(clock: BoundedClock) -> Sandbox:
    """Return a simulator with two callers ahead, an agent who declines, and short-lived tokens."""
    return Sandbox(script="demo", pace=PACE, ahead=2, token_life=TOKEN_LIFE, clock=clock)


def _print_summary(demo: Demo, output: Output) -> Exit:
    verdict, missing = demo.verdict(), demo.steps.missing
    output.say()
    for text in missing:
        output.say(f"did not happen: {text}", "red")
    clean = verdict.clean and not missing
    record = {"step": "summary", **asdict(verdict), "missing_steps": missing}
    output.show(record, str(verdict), "bold green" if clean else "bold red")
    return Exit.OK if clean else Exit.LOST


class StepMissed(Exception):
    """A step did not come in time."""


@define
class Demo:
    """The customer's side of the chat."""

    sandbox: Sandbox
    clock: BoundedClock
    steps: StepPrinter
    delivered: list[Event] = field(factory=list[Event])
    sent: list[TextMessage] = field(factory=list[TextMessage])
    positions: list[int] = field(factory=list[int])
    conversation_id: str = ""

    async def run(self) -> None:
        """Hold the chat. Raise `StepMissed` if a step or the whole takes too long."""
        try:
            async with asyncio.timeout(CHAT_TIMEOUT):
                await self._run()
        except TimeoutError:
            raise StepMissed from None

    async def _run(self) -> None:
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
        """Compare what the customer sent and received with the simulator's ledger."""
        sent = [message.client_id or message.id for message in self.sent]
        messages = [event for event in self.delivered if isinstance(event, Message | MessageEdited)]
        ledger = [entry for entry in self.sandbox.ledger().get(self.conversation_id, ()) if entry.type != "Event"]
        return compare(sent, [(event.id, event.version) for event in messages], ledger)

    async def _ask_hours(self, session: AsyncSession) -> None:
        info = await session.queue_info(self.sandbox.visual_queue_id)
        if info.is_open:
            self.steps.done("queue", f"queue {info.id} is open, {info.agents_ready} agents are ready")

    async def _wait_for_agent(self, conversation: AsyncConversation) -> None:
        # `wait_for_agent` polls every few seconds and would miss some of the states.
        last: Allocation | None = None
        stages: list[AllocationStage] = []
        while last is None or last.stage is not AllocationStage.ASSIGNED:
            self.clock.extend()
            allocation = await conversation.allocation()
            if last is None or (allocation.stage, allocation.queue_position) != (last.stage, last.queue_position):
                self._show_allocation(allocation, stages)
                stages.append(allocation.stage)
            last = allocation
            await asyncio.sleep(0.1)
        self.clock.unbind()

    def _show_allocation(self, allocation: Allocation, before: list[AllocationStage]) -> None:
        stage, position = allocation.stage, allocation.queue_position
        if stage is AllocationStage.OFFERED:
            again = AllocationStage.DECLINED in before
            self.steps.done("offered-again" if again else "offered", f"offered to {'another' if again else 'an'} agent")
        elif stage is AllocationStage.DECLINED:
            self.steps.done("declined", "declined by that agent")
        elif stage is AllocationStage.QUEUED and position is not None:
            first_search = AllocationStage.DECLINED not in before
            going_down = first_search and bool(self.positions) and position < self.positions[-1]
            self.positions.append(position)
            wait = f", about {allocation.estimated_wait:g} s" if allocation.estimated_wait is not None else ""
            self.steps.done("position" if going_down else "queued", f"in the queue at position {position}{wait}")

    async def _talk(self, conversation: AsyncConversation) -> None:
        refreshes = self.sandbox.stats().refreshes
        reading = asyncio.create_task(self._read(conversation))
        try:
            await self._until(reading, lambda: self._received(TextMessage, Role.AGENT) >= 1)
            await self._send(conversation, "My order has not arrived.")
            await self._until(reading, lambda: self._received(MessageEdited) >= 1)
            recovered = self._received(ConnectionRecovered)
            self.sandbox.faults(Fault.status(503, "pollConversation", retry_after=1, times=1))
            await self._until(reading, lambda: self._received(ConnectionRecovered) > recovered)
            await self._send(conversation, "When will it arrive?")
            await self._until(reading, lambda: self._received(TextMessage, Role.AGENT) >= 3)
            await self._until(reading, lambda: self.sandbox.stats().refreshes > refreshes)
            number = self.sandbox.stats().refreshes - refreshes
            self.steps.done("refreshed", f"token refreshed during the chat ({number} so far), the session continues")
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
            async with asyncio.timeout(STEP_TIMEOUT):
                while not condition():
                    if reading.done():
                        reading.result()
                        raise StepMissed
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise StepMissed from None

    def _received(self, kind: type[Event], role: Role | None = None) -> int:
        return sum(isinstance(event, kind) and role in (None, event.author.role) for event in self.delivered)

    def _show(self, event: Event) -> None:
        name = one_line(event.author.name, event.author.role.value)
        if isinstance(event, TextMessage) and event.author.role is not Role.CUSTOMER:
            self.steps.done("received", f"{name}: {one_line(event.text)}", "cyan")
        elif isinstance(event, MessageEdited) and isinstance(event.message, TextMessage):
            self.steps.done("edit", f"{name} edited that: {one_line(event.message.text)}", "cyan")
        elif isinstance(event, UnknownMessage):
            self.steps.done("unknown", f"{name} sent {event.service_type!r}, an unknown type; it is kept", "cyan")
        elif isinstance(event, AgentJoined):
            self.steps.done("joined", f"{one_line(event.agent.name if event.agent else None, 'an agent')} joined")
        elif isinstance(event, ConnectionDegraded):
            self.steps.done("degraded", "a poll failed: connection degraded, the chat goes on", "yellow")
        elif isinstance(event, ConnectionRecovered):
            self.steps.done("recovered", f"recovered after {event.after:.1f} s", "yellow")
        elif isinstance(event, ConversationEnded) and event.by is Role.AGENT:
            self.steps.done("ended", "the agent ended the chat")
        both = self._received(TextMessage, Role.AGENT) and self._received(TextMessage, Role.CUSTOMER)
        if both and sum(isinstance(event, Message) for event in self.delivered) >= 6:
            self.steps.seen.add("messages")


@define
class StepPrinter:
    """Print each step as it happens, with the seconds since the start."""

    output: Output
    began: float = field(factory=time.monotonic)
    seen: set[str] = field(factory=set[str])

    def done(self, step: str, text: str, style: str = "") -> None:
        """Print a step and mark it as seen."""
        self.seen.add(step)
        elapsed = time.monotonic() - self.began
        line = f"{elapsed:4.1f}s  {text}"
        self.output.show({"step": step, "elapsed": round(elapsed, 3), "text": text}, line, style)

    @property
    def missing(self) -> list[str]:
        """The promised steps that were not seen, in words."""
        return [text for step, text in STEPS.items() if step not in self.seen]


@frozen(kw_only=True)
class Verdict:
    """How a chat went. `received` counts what others wrote, with edits; the last three should be 0."""

    sent: int
    received: int
    edits: int
    lost: int
    duplicated: int
    out_of_order: int

    @property
    def clean(self) -> bool:
        """Whether everything arrived, once and in order."""
        return not (self.lost or self.duplicated or self.out_of_order)

    def __str__(self) -> str:
        return (
            f"messages: {self.sent} sent, {self.received} received ({self.edits} edited),"
            f" {self.lost} lost, {self.duplicated} duplicated, {self.out_of_order} out of order"
        )


def compare(sent: Sequence[str], delivered: Sequence[Key], ledger: Sequence[Entry]) -> Verdict:
    """Compare what was sent (client ids) and what was delivered with the messages of the ledger, in both directions.

    All three are in order. A message is out of order if one that stands after it in the ledger came first.
    """
    arrived = [one.client_message_id for one in ledger if one.client_message_id is not None and one.version == 1]
    keys = [(one.id, one.version) for one in ledger]
    theirs = {(one.id, one.version) for one in ledger if one.client_message_id is None}
    return Verdict(
        sent=len(sent),
        received=sum(key in theirs for key in set(delivered)),
        edits=sum(version > 1 for _, version in set(delivered)),
        lost=_missing(sent, arrived) + _missing(keys, delivered),
        duplicated=_repeated(arrived) + _repeated(delivered),
        out_of_order=_late(sent, arrived) + _late(keys, delivered),
    )


def _missing(wanted: Sequence[Hashable], found: Sequence[Hashable]) -> int:
    return len(set(wanted) - set(found))


def _repeated(items: Sequence[Hashable]) -> int:
    return sum(number - 1 for number in Counter(items).values())


def _late(order: Sequence[Hashable], arrived: Sequence[Hashable]) -> int:
    """Count the items that came after a later one; only the first arrival of each counts."""
    place = {item: index for index, item in enumerate(order)}
    late, furthest = 0, -1
    for item in dict.fromkeys(arrived):
        if item in place:
            late += place[item] < furthest
            furthest = max(furthest, place[item])
    return late


class BoundedClock:
    """Real time, but at most `limit` seconds past the last `extend`.

    A client on a slow machine then misses no state of the simulator.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._left = limit
        self._now = time.time()
        self._last = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the seconds since the epoch."""
        with self._lock:
            return self._advance()

    def extend(self) -> None:
        """Let the time go on for another `limit` seconds."""
        with self._lock:
            self._advance()
            self._left = max(self._left, self._limit)

    def unbind(self) -> None:
        """Let the time go on without a limit."""
        with self._lock:
            self._advance()
            self._left = float("inf")

    def _advance(self) -> float:
        real = time.monotonic()
        step = min(real - self._last, self._left)
        self._last = real
        self._left -= step
        self._now += step
        return self._now
