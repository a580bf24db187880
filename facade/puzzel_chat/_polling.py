"""Pure: when a session is polled, what a reply brings to whom, and when a loop must stop.

    poll ──► Inbox.accept ──► one Mailbox per conversation ──► take() ──► the caller
                 │                    no duplicates,                        │
                 └ entries to journal edits told, end last    take() again: acknowledged

What the poll returns is unknown (everything, what follows a cursor, or what was not read yet), so nothing here relies
on it: an item is known by its id *and* content. The order is the service's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from attrs import define, field

from puzzel_chat._errors import ContractError, PuzzelChatError
from puzzel_chat._mailbox import BUFFER, LAST_REPLIES, Entry, Mailbox, fingerprint
from puzzel_chat._models import ConnectionDegraded, ConnectionRecovered, ConversationEnded, Event, Role
from puzzel_chat._retry import Uniform, backoff, ends_a_loop, retry_after

STRANGERS = 100
"""Conversations that nobody here has asked for and whose mail is kept all the same; that of more is not taken."""
LONGEST_CURSOR = 4096
"""Characters of a cursor that still fits an address; a longer one is not taken, and what is known is sent again."""
ALMOST = 1e-3
"""Share of a period that is no pause."""

GRID = 0.02
"""Seconds between two points of the grid at most: polls that come in bunches wake the event loop less often."""
BUNCH = 20
"""Polls at one point at most. Larger bunches make Python collect garbage in the midst of each: all that is under way
then counts as old, and soon everything is looked through, for 0.17 s at 5000 sessions (measured)."""


@define
class Pace:
    """When a session's next poll is due. Times are monotonic seconds, `period` is the time between polls.

    With a `grid`, polls are due at multiples of so many seconds only, so that those of many sessions come in bunches.
    """

    period: float
    failures: int = 0
    failing_since: float | None = None
    grid: float = 0.0
    _undecodable: int = field(default=0, init=False)
    _next: float | None = field(default=None, init=False)

    def delay(self, now: float, uniform: Uniform) -> float:
        """Give the seconds until the next poll; the first is at a random point of the period."""
        if self._next is None:
            self._next = now + uniform(0.0, self.period)
        return max(0.0, self._next - now)

    def take_place(self, now: float, share: float, rate: float) -> None:
        """Plan the next poll at that share of the coming period, on a grid that divides it; a failure's pause is kept.

        With a higher rate (the polls per second of all sessions) come points between those that were there before.
        """
        halved = max(0, math.ceil(math.log2(max(1.0, rate * GRID / BUNCH))))
        self.grid = self.period / (math.ceil(self.period / GRID) << halved)
        due = now + share * self.period
        if self.failures and self._next is not None:
            due = max(due, self._next)
        self._next = self._on_grid(due)

    def _on_grid(self, due: float) -> float:
        return math.ceil(due / self.grid) * self.grid if self.grid else due

    def succeeded(self, now: float) -> float | None:
        """Plan the next poll on the grid; gives for how long polls had failed, when this one ended it."""
        failed_for = None if self.failing_since is None else now - self.failing_since
        self.failures, self.failing_since, self._undecodable = 0, None, 0
        due = now if self._next is None else self._next
        # A grid point that is almost now, maybe by rounding, is missed too: two polls never come without a pause.
        missed = max(0.0, math.floor((now - due) / self.period + ALMOST))
        self._next = due + (missed + 1) * self.period
        return failed_for

    def failed(self, error: PuzzelChatError, now: float, uniform: Uniform) -> bool:
        """Plan the next poll after a failed one; raises the error when going on is no use.

        Tells whether this is the first failure of a row.
        """
        self._undecodable += isinstance(error, ContractError)
        if ends_a_loop(error, self._undecodable):
            raise error
        self.failures += 1
        first = self.failing_since is None
        self.failing_since = now if self.failing_since is None else self.failing_since
        asked = retry_after(error)
        self._next = self._on_grid(now + (asked or backoff(self.failures, uniform)))
        return first


@define
class Inbox:
    """One session's mail: shares each reply out to the conversations, and keeps the cursor."""

    cursor: str | None = None
    next_seq: int = 1
    boxes: dict[str, Mailbox] = field(factory=dict)
    failure: PuzzelChatError | None = None

    def box(self, conversation_id: str) -> Mailbox:
        """Give the mailbox of a conversation that somebody asks for, new when it was not known."""
        box = self._box(conversation_id)
        box.wanted = True
        return box

    def _box(self, conversation_id: str) -> Mailbox:
        if conversation_id not in self.boxes:
            self.boxes[conversation_id] = Mailbox(conversation_id)
        return self.boxes[conversation_id]

    @property
    def is_full(self) -> bool:
        """Tell whether a conversation's caller is so far behind that polling must stop."""
        return any(box.wanted and len(box.waiting) >= BUFFER for box in list(self.boxes.values()))

    def accept(self, events: Iterable[Event], cursor: str | None, held: int = 0) -> list[Entry]:
        """Take a reply's events in its order, ends last; gives the new ones, to be journaled.

        `held` is how many items the reply held, when those that are known already are not among the events.
        """
        batch = sorted(events, key=lambda event: isinstance(event, ConversationEnded))
        entries = [entry for event in batch for entry in self._deliver(event)]
        if cursor is not None and len(cursor) <= LONGEST_CURSOR:
            self.cursor = cursor
        for box in list(self.boxes.values()):
            box.forget_oldest(max(len(batch), held))
            box.replies_since_closing += box.closing
            if box.replies_since_closing >= LAST_REPLIES:
                entries += self._end_of_ours(box)
        return entries

    def restore(self, waiting: Iterable[tuple[int, Event]], cursor: str | None) -> None:
        """Take up what an earlier process had received and not handed out, under its old places in the journal."""
        free = self.next_seq
        for seq, event in waiting:
            self.next_seq = seq
            list(self._deliver(event))
            free = max(free, seq + 1, self.next_seq)
        self.next_seq, self.cursor = free, cursor

    def _deliver(self, event: Event) -> Iterable[Entry]:
        for box in self._boxes_for(event):
            if box.finished or (box.ended is not None and isinstance(event, ConversationEnded)):
                continue
            news = box.news(event)
            if news is None:
                box.note_message(event)
                continue
            told, mark = news
            box.note_message(told)
            box.sends.note(event)
            if isinstance(told, ConversationEnded):
                box.ended = told
            yield self._enqueue(box, told, mark)

    def _boxes_for(self, event: Event) -> list[Mailbox]:
        """Give the mailboxes that an event belongs to: its conversation's, or all when it names none."""
        if not event.conversation_id:
            return list(self.boxes.values())
        known = event.conversation_id in self.boxes
        if not known and sum(not box.wanted for box in list(self.boxes.values())) >= STRANGERS:
            return []
        return [self._box(event.conversation_id)]

    def _enqueue(self, box: Mailbox, event: Event, mark: str) -> Entry:
        entry = Entry(self.next_seq, event, mark)
        self.next_seq += 1
        box.enqueue(entry)
        return entry

    def _end_of_ours(self, box: Mailbox) -> list[Entry]:
        """End a chat that we closed and whose last replies did not tell the end."""
        if not box.closing or box.knows_end:
            return []
        box.ended = ConversationEnded(
            conversation_id=box.conversation_id, id=f"{box.conversation_id}:end", by=Role.CUSTOMER
        )
        return [self._enqueue(box, box.ended, fingerprint(box.ended))]

    def degraded(self, problem: str) -> None:
        """Tell every conversation that polls fail for now."""
        self._tell(lambda cid: ConnectionDegraded(conversation_id=cid, id=f"{cid}:degraded", problem=problem))

    def recovered(self, after: float) -> None:
        """Tell every conversation that polls succeed again."""
        self._tell(lambda cid: ConnectionRecovered(conversation_id=cid, id=f"{cid}:recovered", after=after))

    def _tell(self, make: Callable[[str], Event]) -> None:
        for box in list(self.boxes.values()):
            if not box.knows_end:
                box.enqueue(Entry(None, make(box.conversation_id)))

    def end_ours(self) -> None:
        """End the chats that we closed, though no reply told their end."""
        for box in list(self.boxes.values()):
            self._end_of_ours(box)

    def failed(self, error: PuzzelChatError) -> None:
        """Fail every conversation for good; one that we closed simply ends."""
        self.failure = error
        for box in list(self.boxes.values()):
            if not (box.closing or box.knows_end):
                box.failure = error
        self.end_ours()
