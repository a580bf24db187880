"""The shop floor: the line is served, chats are offered, agents join, leave and follow their scripts."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

from attrs import frozen

from ._ledger import Ledger
from ._queues import Agent, Conversation, Queue, Status
from ._scripts import Answer, Scene, Script, Step
from ._values import Role


@frozen
class FloorSettings:
    """How the floor works; `pace`, `offer_timeout`, `max_wait` and `interval` are in seconds."""

    pace: float = 0.3
    ahead: int = 0
    offer_timeout: float | None = None
    max_wait: float | None = None
    messages: int = 10
    interval: float = 1.0


class Floor:
    """Moves conversations through queues and agents. Everything later goes through the agenda."""

    def __init__(self, settings: FloorSettings, script: Script, agenda: Agenda, ledger: Ledger) -> None:
        self.settings, self.script = settings, script
        self._agenda, self._ledger = agenda, ledger

    def enter(self, chat: Conversation, now: float) -> None:
        """Put a new request at the end of the line, behind `ahead` simulated customers."""
        line, room = chat.queue.line, chat.queue.capacity - chat.queue.size - 1
        line.extend([None] * max(0, min(self.settings.ahead - len(line), room)))
        line.append(chat)
        if self.settings.max_wait is not None:
            self._agenda.at(now + self.settings.max_wait, partial(self._expire, chat, chat.allocation))
        self._arrange(chat.queue, now)

    def script_of(self, queue: Queue) -> Script:
        """Return the script that the agents of a queue follow."""
        return queue.script or self.script

    def _arrange(self, queue: Queue, now: float) -> None:
        """Plan when the head of the line is served, if it can be."""
        if queue.arranged or not queue.line or not self.script_of(queue).answers:
            return
        head = queue.line[0]
        if head is not None and queue.free_agent(head) is None:
            return
        queue.arranged = True
        due = now + self.settings.pace if head is None else max(now, head.ready_at)
        self._agenda.at(due, partial(self._serve, queue))

    def _serve(self, queue: Queue, now: float) -> None:
        queue.arranged = False
        if not self.script_of(queue).answers:
            return
        head = queue.line[0] if queue.line else None
        if head is None and queue.line:
            queue.line.pop(0)
            self._hold_back(queue, now)
        elif head is not None and head.ready_at <= now and (agent := queue.free_agent(head)):
            queue.line.pop(0)
            self._offer(head, agent, now)
        self._arrange(queue, now)

    def _hold_back(self, queue: Queue, now: float) -> None:
        """Let whoever moved up be seen in the new place for one pace."""
        for waiting in queue.line:
            if waiting is not None:
                waiting.ready_at = max(waiting.ready_at, now + self.settings.pace)

    def _requeue(self, chat: Conversation, now: float, reason: str | None = None) -> None:
        """Back to the head of the line: who was served before is served first."""
        self._turn(chat)
        chat.allocation.move(Status.QUEUED, reason)
        chat.ready_at = now + self.settings.pace
        chat.queue.line.insert(0, chat)
        self._ledger.happened("queued", now, chat)
        self._arrange(chat.queue, now)

    def _expire(self, chat: Conversation, allocation: object, now: float) -> None:
        if chat.allocation is allocation and chat.allocation.searching:
            self.lose(chat, Status.EXPIRED, "WaitedTooLong", now)
            self._ledger.happened("expired", now, chat)

    def lose(self, chat: Conversation, status: Status, reason: str, now: float) -> None:
        """End the search without an agent."""
        self._turn(chat)
        if chat in chat.queue.line:
            chat.queue.line.remove(chat)
        chat.allocation.move(status, reason)
        self._arrange(chat.queue, now)

    def _offer(self, chat: Conversation, agent: Agent, now: float) -> None:
        chat.allocation.move(Status.OFFERED)
        self._turn(chat)
        agent.offer, chat.offered_to = chat, agent
        chat.tried.append(agent)
        chat.offers += 1
        self._ledger.happened("offered", now, chat, agent=agent.name)
        self._await_answer(chat, self.script_of(chat.queue).answer(chat.offers), now)

    def _await_answer(self, chat: Conversation, answer: Answer, now: float) -> None:
        pace, timeout = self.settings.pace, self.settings.offer_timeout
        if answer == "accept":
            self._later(chat, now + pace, self.accept)
        elif answer == "decline":
            self._later(chat, now + pace, self.decline)
        elif answer == "ignore" or timeout is not None:
            self._later(chat, now + (timeout if timeout is not None else 4 * pace), self._lapse)

    def accept(self, chat: Conversation, now: float) -> None:
        """Let the agent who has the offer take the chat."""
        agent = chat.offered_to
        if agent is None:
            return
        self._turn(chat)
        chat.allocation.move(Status.ASSIGNED)
        chat.agent, chat.quiet, chat.last_said = agent, False, None
        chat.stint += 1
        agent.chats += 1
        self._ledger.event(chat, "AgentJoined", now, agent=agent)
        self._ledger.happened("joined", now, chat, agent=agent.name)
        self._play(chat, self.script_of(chat.queue).joins(self._scene(chat, "")), now)
        self._arrange(chat.queue, now)

    def decline(self, chat: Conversation, now: float) -> None:
        """Let the agent who has the offer say no; another is asked a pace later."""
        name = chat.offered_to.name if chat.offered_to else None
        self._ledger.happened("declined", now, chat, agent=name)
        if self.script_of(chat.queue).gives_up and chat.offers >= len(chat.queue.staff):
            self.lose(chat, Status.REFUSED, "NoAgents", now)
            self._ledger.happened("refused", now, chat)
            return
        self._turn(chat)
        chat.allocation.move(Status.DECLINED)
        self._later(chat, now + self.settings.pace, self._requeue)
        self._arrange(chat.queue, now)

    def _lapse(self, chat: Conversation, now: float) -> None:
        name = chat.offered_to.name if chat.offered_to else None
        self._ledger.happened("unanswered", now, chat, agent=name)
        self._requeue(chat, now)

    def hear(self, chat: Conversation, text: str, now: float) -> None:
        """Let the agent's script answer what the customer wrote."""
        chat.heard += 1
        if chat.agent is not None and not chat.quiet:
            self._play(chat, self.script_of(chat.queue).hears(self._scene(chat, text)), now)

    def leave(self, chat: Conversation, reason: str, now: float) -> None:
        """Let the agent go; the chat returns through the queue to another."""
        agent = chat.agent
        if agent is not None:
            self._ledger.event(chat, "AgentLeft", now, agent=agent, reason=reason)
            self._ledger.happened("left", now, chat, agent=agent.name)
            self._requeue(chat, now, reason)

    def end(self, chat: Conversation, by: Role, now: float) -> None:
        """End the conversation; while the search is on this is leaving the queue."""
        name = chat.agent.name if chat.agent else None
        if chat.allocation.searching:
            self.lose(chat, Status.CANCELLED, "CustomerLeft", now)
            self._ledger.happened("cancelled", now, chat)
        self._turn(chat)
        chat.ended = True
        self._ledger.event(chat, "ConversationEnded", now, endedBy=int(by))
        self._ledger.happened("ended", now, chat, agent=name, role=by)
        self._arrange(chat.queue, now)

    def act(self, chat: Conversation, step: Step, now: float) -> None:
        """Do one step of an agent's script, or of a person who plays the agent."""
        if step.act == "say":
            chat.last_said = self._ledger.say(chat, step.text, now).id
        elif step.act == "edit" and chat.last_said is not None:
            self._ledger.edit(chat, chat.last_said, step.text, now)
        elif step.act == "typing":
            self._ledger.event(chat, "AgentTyping", now, agent=chat.agent, isTyping=True)
        elif step.act == "send":
            self._ledger.send(chat, step.type, step.text, step.fields, now)
        elif step.act == "leave":
            self.leave(chat, step.text or "left", now)
        elif step.act == "end":
            self.end(chat, Role.AGENT, now)
        elif step.act == "quiet":
            chat.quiet = True

    def _scene(self, chat: Conversation, text: str) -> Scene:
        name = chat.agent.name if chat.agent else ""
        return Scene(name, chat.stint, chat.heard, text, self.settings.messages, self.settings.interval)

    def _play(self, chat: Conversation, steps: Iterator[Step], now: float) -> None:
        """Plan the next step; each step plans the one after it, so a long script is one entry at a time."""
        step = next(steps, None)
        if step is not None:
            due = now + step.delay * self.settings.pace + step.seconds
            self._later(chat, due, partial(self._play_step, steps, step))

    def _play_step(self, steps: Iterator[Step], step: Step, chat: Conversation, now: float) -> None:
        if not chat.quiet:
            self.act(chat, step, now)
            self._play(chat, steps, now)

    def _later(self, chat: Conversation, due: float, action: Callable[[Conversation, float], None]) -> None:
        """Plan an action that is dropped when the chat has changed hands by then."""
        turn = chat.turn
        self._agenda.at(due, lambda now: action(chat, now) if chat.turn == turn else None)

    def _turn(self, chat: Conversation) -> None:
        """Close whatever an agent had open on this chat: an offer, or a seat in it."""
        chat.turn += 1
        if chat.offered_to is not None:
            chat.offered_to.offer = None
            chat.offered_to = None
        if chat.agent is not None:
            chat.agent.chats -= 1
            chat.agent = None


Action = Callable[[float], None]


class Agenda:
    """A heap of actions by due time; equal times run in the order they were written down."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Action]] = []
        self._order = count()
        self.now = 0.0

    def at(self, due: float, action: Action) -> None:
        """Write down an action, which is called with its own due time."""
        heapq.heappush(self._heap, (due, next(self._order), action))

    def run(self, now: float) -> float:
        """Run everything due by `now` and return the time it is: a clock that goes back is not followed."""
        while self._heap and self._heap[0][0] <= now:
            due, _, action = heapq.heappop(self._heap)
            self.now = max(self.now, due)
            action(self.now)
        self.now = max(self.now, now)
        return self.now

    def __len__(self) -> int:
        return len(self._heap)
