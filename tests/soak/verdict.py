"""Whether workers kept their promises: what they handled and how they polled, against what the service knows.

A message may be handled again only where a kill, a suspension, a cut or a restart of the store fell between the handler
and the write, so at most once for each of those and chat. A refresh token may be presented again only where the reply
to the first time may not have been written down for the same reason. A process that is suspended between its look at
the lease and its poll sends that poll when it goes on: one for each suspension and session.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Literal

from attrs import define, field, frozen

from puzzel_chat.sandbox import Entry
from soak.turnstile import Poll, Presented

Kind = Literal["kill", "stop", "cut", "term", "restart", "crash"]
"""SIGKILL, SIGSTOP and SIGTERM of a worker, its way to Redis cut; Redis itself ended by SIGTERM or by SIGKILL."""
REDIS = "redis"
EXCUSES: frozenset[Kind] = frozenset({"kill", "stop", "cut", "restart", "crash"})
"""What may fall between a handler and the write; who is asked to leave has time to write."""
AROUND = 2.0
"""Seconds before a trouble, and after it, in which what was done may not have been written."""
ON_ITS_WAY = 1.0
"""Seconds after a suspension in which a poll comes that was about to be sent when it began."""
SENT_FOR = 12.0
"""Seconds before a trouble in which the reply to a refresh may have been under way, or not yet written."""
MUST_BE_ZERO = (
    "lost",
    "out of order",
    "doubled",
    "tokens twice",
    "polled at once",
    "sends wrong",
    "failed",
)


@frozen
class Handled:
    """A line that a handler wrote; `at` in monotonic seconds."""

    worker: str
    conversation_id: str
    event_id: str
    at: float


@frozen
class Trouble:
    """Something that was done to a worker, or to Redis; from when until when it was away, in monotonic seconds."""

    kind: Kind
    who: str
    began: float
    ended: float

    def strikes(self, worker: str, at: float, before: float = AROUND) -> bool:
        """Tell whether what a worker did then may not have been written."""
        known = self.kind in EXCUSES and self.who in (worker, REDIS)
        return known and self.began - before <= at <= self.ended + AROUND


@frozen
class Evidence:
    """Everything that is known after a run. `sent` are the texts whose `send` returned, `failures` are lines.

    `refused` counts what the web backends could not do for now, by the error's name.
    """

    ledger: Mapping[str, Sequence[Entry]]
    handled: Sequence[Handled]
    polls: Mapping[str, Sequence[Poll]]
    presented: Sequence[Presented]
    troubles: Sequence[Trouble]
    lease: float
    sent: Sequence[str] = ()
    refused: Mapping[str, int] = field(factory=dict)
    failures: Sequence[str] = field(default=(), repr=False)


def judged(found: Evidence) -> Counter[str]:
    """Count what was kept, and what was broken; `MUST_BE_ZERO` says which is which."""
    by_chat: dict[str, list[Handled]] = defaultdict(list)
    for one in found.handled:
        by_chat[one.conversation_id].append(one)
    figures: Counter[str] = Counter(chats=len(found.ledger), handled=len(found.handled))
    figures.update({f"refused, {name}": times for name, times in found.refused.items()})
    figures["failed"] = len(found.failures)
    used: set[tuple[Trouble, str]] = set()
    for conversation_id, entries in found.ledger.items():
        wanted = [entry.id for entry in entries if _is_wanted(entry)]
        got = by_chat[conversation_id]
        firsts = [one for one in dict.fromkeys(line.event_id for line in got) if one in set(wanted)]
        figures["messages"] += len(wanted)
        figures["lost"] += len(wanted) - len(firsts)
        figures["out of order"] += firsts != [one for one in wanted if one in set(firsts)]
        figures += _again(got, found.troubles, used)
    figures += _tokens(found.presented, found.troubles)
    figures["sends wrong"] = _sends_wrong(found)
    for polls in found.polls.values():
        figures["polls"] += len(polls)
        sent = on_their_way(polls, found.troubles)
        figures["polled after a suspension"] += len(sent)
        figures["polled at once"] += at_once(poll for poll in polls if poll not in sent)
        seen = turns(polls)
        figures["turns"] += len(seen)
        figures["back within a lease"] += back(seen, found.lease)
        figures["interleaved"] += interleaved(seen, found.lease)
    return figures


def _is_wanted(entry: Entry) -> bool:
    return entry.type != "Event" or entry.content == "ConversationEnded"


def _again(got: Sequence[Handled], troubles: Sequence[Trouble], used: set[tuple[Trouble, str]]) -> Counter[str]:
    """Count what was handled again in one chat, by the trouble that explains it; each explains one time in a chat."""
    figures: Counter[str] = Counter()
    before: dict[str, list[Handled]] = defaultdict(list)
    for line in got:
        seen = before[line.event_id]
        if seen:
            pairs = [
                (one, line.conversation_id)
                for one in troubles
                if any(one.strikes(it.worker, it.at) for it in (*seen, line))
            ]
            free = next((pair for pair in pairs if pair not in used), None)
            figures["doubled" if free is None else f"again after {free[0].kind}"] += 1
            used.update([free] if free else [])
        seen.append(line)
    return figures


def _tokens(presented: Iterable[Presented], troubles: Sequence[Trouble]) -> Counter[str]:
    figures: Counter[str] = Counter()
    first: dict[str, Presented] = {}
    for one in presented:
        if earlier := first.get(one.token):
            excused = any(trouble.strikes(earlier.worker, earlier.at, SENT_FOR) for trouble in troubles)
            figures["tokens again after trouble" if excused else "tokens twice"] += 1
        else:
            first[one.token] = one
            figures["refreshes"] += 1
    return figures


def _sends_wrong(found: Evidence) -> int:
    stored = Counter(entry.content for entries in found.ledger.values() for entry in entries)
    return sum(stored[text] != 1 for text in found.sent)


def on_their_way(polls: Sequence[Poll], troubles: Iterable[Trouble]) -> list[Poll]:
    """Return the polls of one session that their worker was about to send when it was suspended."""
    found = []
    for trouble in troubles:
        if trouble.kind == "stop":
            own = [poll for poll in polls if poll.worker == trouble.who]
            late = [poll for poll in own if 0 <= poll.arrived - trouble.ended < ON_ITS_WAY]
            found += sorted(late, key=lambda poll: poll.arrived)[:1]
    return found


def at_once(polls: Iterable[Poll]) -> int:
    """Count the polls of one session that came while another worker's was under way."""
    until: dict[str, float] = {}
    wrong = 0
    for poll in sorted(polls, key=lambda one: one.arrived):
        wrong += any(worker != poll.worker and poll.arrived < end for worker, end in until.items())
        until[poll.worker] = max(poll.replied, until.get(poll.worker, 0.0))
    return wrong


@define
class Turn:
    """What one worker polls of a session before another one does: when its first and its last poll came."""

    worker: str
    first: float
    last: float


def turns(polls: Iterable[Poll]) -> list[Turn]:
    """Give the turns of one session."""
    found: list[Turn] = []
    for poll in sorted(polls, key=lambda one: one.arrived):
        if not found or found[-1].worker != poll.worker:
            found.append(Turn(poll.worker, poll.arrived, poll.arrived))
        found[-1].last = poll.arrived
    return found


def back(seen: Sequence[Turn], lease: float) -> int:
    """Count how often a session went to another worker and came back within one lease: it may be given back so."""
    return sum(
        one.worker == third.worker and third.first - one.last < lease
        for one, third in zip(seen, seen[2:], strict=False)
    )


def interleaved(seen: Sequence[Turn], lease: float) -> int:
    """Count how often two workers polled a session in turn twice each within one lease: it may be given back so."""
    return sum(
        (one.worker, two.worker) == (three.worker, four.worker) and four.first - one.last < lease
        for one, two, three, four in zip(seen, seen[1:], seen[2:], seen[3:], strict=False)
    )


def gaps(found: Evidence, within: float) -> dict[Kind, list[float]]:
    """Give the seconds between the last poll before a take-over and the first one after it, by what led to it.

    A take-over is the first poll by another worker within so many seconds of a trouble's end.
    """
    times: dict[Kind, list[float]] = defaultdict(list)
    for polls in found.polls.values():
        ordered = sorted(polls, key=lambda one: one.arrived)
        for trouble in found.troubles:
            times[trouble.kind].extend(_taken_over(ordered, trouble, within))
    return times


def _taken_over(polls: Sequence[Poll], trouble: Trouble, within: float) -> Iterator[float]:
    for earlier, later in pairwise(polls):
        if later.arrived < trouble.began:
            continue
        if earlier.worker != trouble.who or later.arrived > trouble.ended + within:
            return
        if later.worker != trouble.who:
            yield later.arrived - earlier.arrived
            return
