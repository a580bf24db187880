"""The floor of the contact centre: lines are served, conversations offered, and agents follow their scripts.

The simulator has no ticker. Whatever is due later stands in the agenda and runs before the next call.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count

from attrs import frozen

from ._files import Files
from ._ledger import Ledger
from ._queues import Agent, Conversation, Queue, Status
from ._scripts import SCRIPTS, Answer, Scene, Script, Step
from ._values import Role


@frozen
class FloorSettings:
    """Settings of the floor; `pace`, `offer_timeout`, `max_wait` and `interval` are in seconds."""

    pace: float = 0.3
    ahead: int = 0
    offer_timeout: float | None = None
    max_wait: float | None = None
    messages: int = 10
    interval: float = 1.0


class Floor:
    """Moves conversations through queues and agents."""

    def __init__(self, settings: FloorSettings, script: Script, agenda: Agenda, ledger: Ledger, files: Files) -> None:
        self.settings, self.script = settings, script
        self.queues: Iterable[Queue] = ()
        self._agenda, self._ledger, self._files = agenda, ledger, files

    def enter(self, conversation: Conversation, now: float) -> None:
        """Put a new request at the end of the line, behind `ahead` simulated customers."""
        line, room = conversation.queue.line, conversation.queue.capacity - conversation.queue.size - 1
        line.extend([None] * max(0, min(self.settings.ahead - len(line), room)))
        line.append(conversation)
        if self.settings.max_wait is not None:
            self._agenda.at(now + self.settings.max_wait, partial(self._expire, conversation, conversation.allocation))
        self._arrange(conversation.queue, now)

    def script_of(self, queue: Queue, agent: Agent | None = None) -> Script:
        """Return the script that the agents of a queue follow, or one of them."""
        return SCRIPTS["manual"] if agent is not None and agent.person else queue.script or self.script

    def arrange(self, now: float) -> None:
        """Serve every line, after a change of scripts, queues or staff."""
        for queue in self.queues:
            self._plan(queue, now)

    def _arrange(self, queue: Queue, now: float) -> None:
        """Serve the line of a queue; a person in it works in all the others, too."""
        if any(agent.person for agent in queue.staff):
            self.arrange(now)
        else:
            self._plan(queue, now)

    def _answering(self, queue: Queue) -> list[Agent]:
        """Return the agents who answer offers."""
        return [agent for agent in queue.staff if agent.ready and self.script_of(queue, agent).answers]

    def _free_agent(self, conversation: Conversation) -> Agent | None:
        """Return the free agent with the fewest offers of this conversation; persons first, then by fewest chats."""
        free = [agent for agent in self._answering(conversation.queue) if conversation.queue.can_take(agent)]
        return min(free, key=lambda one: (conversation.tried.count(one), not one.person, one.chats), default=None)

    def _plan(self, queue: Queue, now: float) -> None:
        """Plan to serve the head of the line, if that is possible."""
        if queue.arranged or not queue.line or not self._answering(queue):
            return
        head = queue.line[0]
        if head is not None and self._free_agent(head) is None:
            return
        queue.arranged = True
        due = now + self.settings.pace if head is None else max(now, head.ready_at)
        self._agenda.at(due, partial(self._serve, queue))

    def _serve(self, queue: Queue, now: float) -> None:
        queue.arranged = False
        if not self._answering(queue):
            return
        head = queue.line[0] if queue.line else None
        if head is None and queue.line:
            queue.line.pop(0)
            self._hold_back(queue, now)
        elif head is not None and head.ready_at <= now and (agent := self._free_agent(head)):
            queue.line.pop(0)
            self._offer(head, agent, now)
        self._arrange(queue, now)

    def _hold_back(self, queue: Queue, now: float) -> None:
        """Hold conversations in their new place for one pace, so that polls see it."""
        for waiting in queue.line:
            if waiting is not None:
                waiting.ready_at = max(waiting.ready_at, now + self.settings.pace)

    def _requeue(self, conversation: Conversation, now: float, reason: str | None = None) -> None:
        """Put a conversation back at the head of the line, as it has waited already."""
        self._change_hands(conversation)
        conversation.allocation.move(Status.QUEUED, reason)
        conversation.ready_at = now + self.settings.pace
        conversation.queue.line.insert(0, conversation)
        self._ledger.happened("queued", now, conversation)
        self._arrange(conversation.queue, now)

    def _expire(self, conversation: Conversation, allocation: object, now: float) -> None:
        if conversation.allocation is allocation and conversation.allocation.searching:
            self._end_search(conversation, Status.EXPIRED, "WaitedTooLong", now)
            self._ledger.happened("expired", now, conversation)

    def _end_search(self, conversation: Conversation, status: Status, reason: str, now: float) -> None:
        """End the search without an agent."""
        self._change_hands(conversation)
        if conversation in conversation.queue.line:
            conversation.queue.line.remove(conversation)
        conversation.allocation.move(status, reason)
        self._arrange(conversation.queue, now)

    def _offer(self, conversation: Conversation, agent: Agent, now: float) -> None:
        conversation.allocation.move(Status.OFFERED)
        self._change_hands(conversation)
        agent.offer, conversation.offered_to = conversation, agent
        conversation.tried.append(agent)
        conversation.offers += 1
        self._ledger.happened("offered", now, conversation, agent=agent.name)
        self._await_answer(conversation, self.script_of(conversation.queue, agent).answer(conversation.offers), now)

    def _await_answer(self, conversation: Conversation, answer: Answer, now: float) -> None:
        pace, timeout = self.settings.pace, self.settings.offer_timeout
        if answer == "accept":
            self._later(conversation, now + pace, self.accept)
        elif answer == "decline":
            self._later(conversation, now + pace, self.decline)
        elif answer == "ignore" or timeout is not None:
            self._later(conversation, now + (timeout if timeout is not None else 4 * pace), self._lapse)

    def accept(self, conversation: Conversation, now: float) -> None:
        """Accept the open offer."""
        agent = conversation.offered_to
        if agent is None:
            return
        self._change_hands(conversation)
        conversation.allocation.move(Status.ASSIGNED)
        conversation.agent, conversation.quiet, conversation.last_said = agent, False, None
        conversation.stint += 1
        agent.chats += 1
        self._ledger.event(conversation, "AgentJoined", now, agent=agent)
        self._ledger.happened("joined", now, conversation, agent=agent.name)
        self._play(conversation, self.script_of(conversation.queue, agent).joins(self._scene(conversation, "")), now)
        self._arrange(conversation.queue, now)

    def decline(self, conversation: Conversation, now: float) -> None:
        """Decline the open offer; another agent gets one a pace later."""
        name = conversation.offered_to.name if conversation.offered_to else None
        self._ledger.happened("declined", now, conversation, agent=name)
        if self.script_of(conversation.queue).gives_up and conversation.offers >= len(conversation.queue.staff):
            self._end_search(conversation, Status.REFUSED, "NoAgents", now)
            self._ledger.happened("refused", now, conversation)
            return
        self._change_hands(conversation)
        conversation.allocation.move(Status.DECLINED)
        self._later(conversation, now + self.settings.pace, self._requeue)
        self._arrange(conversation.queue, now)

    def _lapse(self, conversation: Conversation, now: float) -> None:
        name = conversation.offered_to.name if conversation.offered_to else None
        self._ledger.happened("unanswered", now, conversation, agent=name)
        self._requeue(conversation, now)

    def hear(self, conversation: Conversation, text: str, now: float) -> None:
        """Run the agent's script on a message from the customer."""
        conversation.heard += 1
        agent = conversation.agent
        if agent is not None and not conversation.quiet:
            self._play(
                conversation, self.script_of(conversation.queue, agent).hears(self._scene(conversation, text)), now
            )

    def leave(self, conversation: Conversation, reason: str, now: float, to: Queue | None = None) -> None:
        """Take the agent out; the conversation goes back to its queue, or `to` another one."""
        agent = conversation.agent
        if agent is not None:
            self._ledger.event(conversation, "AgentLeft", now, agent=agent, reason=reason)
            self._ledger.happened("left", now, conversation, agent=agent.name)
            conversation.queue = to or conversation.queue
            self._requeue(conversation, now, reason)

    def sit_down(self, agent: Agent, now: float) -> None:
        """Let a person take chats of every queue that has staff."""
        for queue in self.queues:
            if queue.staff:
                queue.staff.append(agent)
        self.arrange(now)

    def pause(self, agent: Agent, now: float) -> None:
        """Give a person no more offers; an open one goes to another agent."""
        agent.ready = False
        if agent.offer is not None:
            self._lapse(agent.offer, now)

    def stand_up(self, agent: Agent, chats: Iterable[Conversation], now: float) -> None:
        """Take a person off every queue; the chats go back to theirs."""
        self.pause(agent, now)
        for queue in self.queues:
            if agent in queue.staff:
                queue.staff.remove(agent)
        for conversation in chats:
            self.leave(conversation, "left", now)
        self.arrange(now)

    def end(self, conversation: Conversation, by: Role, now: float) -> None:
        """End the conversation; without an agent yet, this leaves the queue."""
        name = conversation.agent.name if conversation.agent else None
        if conversation.allocation.searching:
            self._end_search(conversation, Status.CANCELLED, "CustomerLeft", now)
            self._ledger.happened("cancelled", now, conversation)
        self._change_hands(conversation)
        conversation.ended, conversation.ended_at = True, now
        self._ledger.event(conversation, "ConversationEnded", now, endedBy=int(by))
        self._ledger.happened("ended", now, conversation, agent=name, role=by)
        self._arrange(conversation.queue, now)

    def act(self, conversation: Conversation, step: Step, now: float) -> None:
        """Do one step of a script, or of a person who plays the agent."""
        if step.act == "say":
            conversation.last_said = self._ledger.say(conversation, step.text, now).id
        elif step.act == "edit" and conversation.last_said is not None:
            self._ledger.edit(conversation, conversation.last_said, step.text, now)
        elif step.act == "typing":
            self._ledger.event(conversation, "AgentTyping", now, agent=conversation.agent, isTyping=True)
        elif step.act == "send":
            self._ledger.send(conversation, step.type, step.text, step.fields, now)
        elif step.act == "file":
            self.send_file(conversation, step.text, step.type, step.data, now)
        elif step.act == "leave":
            self.leave(conversation, step.text or "left", now)
        elif step.act == "end":
            self.end(conversation, Role.AGENT, now)
        elif step.act == "quiet":
            conversation.quiet = True

    def send_file(self, conversation: Conversation, name: str, content_type: str, data: bytes, now: float) -> str:
        """Send a file from the agent and return the id of its message."""
        stored = self._files.add(conversation.session, name, content_type, data)
        return self._ledger.send(conversation, "File", "", stored.wire(), now).id

    def _scene(self, conversation: Conversation, text: str) -> Scene:
        name = conversation.agent.name if conversation.agent else ""
        return Scene(name, conversation.stint, conversation.heard, text, self.settings.messages, self.settings.interval)

    def _play(self, conversation: Conversation, steps: Iterator[Step], now: float) -> None:
        """Plan the next step, which plans the one after it, so that a script takes one place in the agenda."""
        step = next(steps, None)
        if step is not None:
            due = now + step.delay * self.settings.pace + step.seconds
            self._later(conversation, due, partial(self._play_step, steps, step))

    def _play_step(self, steps: Iterator[Step], step: Step, conversation: Conversation, now: float) -> None:
        if not conversation.quiet:
            self.act(conversation, step, now)
            self._play(conversation, steps, now)

    def _later(self, conversation: Conversation, due: float, action: Callable[[Conversation, float], None]) -> None:
        """Plan an action, dropped if the conversation changes hands before."""
        turn = conversation.turn
        self._agenda.at(due, lambda now: action(conversation, now) if conversation.turn == turn else None)

    def _change_hands(self, conversation: Conversation) -> None:
        """Take back an open offer, or the agent's place in the conversation."""
        conversation.turn += 1
        if conversation.offered_to is not None:
            conversation.offered_to.offer = None
            conversation.offered_to = None
        if conversation.agent is not None:
            conversation.agent.chats -= 1
            conversation.agent = None


Action = Callable[[float], None]


class Agenda:
    """Actions by due time; equal times run in the order of planning."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Action]] = []
        self._order = count()
        self.now = 0.0

    def at(self, due: float, action: Action) -> None:
        """Plan an action, which is called with its own due time."""
        heapq.heappush(self._heap, (due, next(self._order), action))

    def run(self, now: float) -> float:
        """Run everything due by `now` and return the time, which never goes back."""
        while self._heap and self._heap[0][0] <= now:
            due, _, action = heapq.heappop(self._heap)
            self.now = max(self.now, due)
            action(self.now)
        self.now = max(self.now, now)
        return self.now

    def __len__(self) -> int:
        return len(self._heap)
