"""Hundreds of chats at once in one `PollingLoop`, each mix of faults at a service of its own, against the ledgers.

In real time, with handlers of every kind. Now and then the loop is closed and another one takes all its chats over.
Faults that set or stop the client's clock are left out, for there is but one clock here.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, contextmanager
from itertools import cycle
from random import Random
from typing import Any

from attrs import define, evolve, field, frozen

from puzzel_chat import AsyncConversation, AsyncPuzzelChat, AuthenticationError, PollingLoop
from puzzel_chat._async import inner
from puzzel_chat._retry import LAST_WORDS_WITHIN
from puzzel_chat._session import SessionState
from puzzel_chat.sandbox import SEMANTICS, Answer, Fault, Semantics
from soak import leftovers
from soak.agent import script
from soak.cells import ZEROS
from soak.clients import Kind
from soak.compare import judge
from soak.excuses import told
from soak.faults import COLUMNS, quiet
from soak.guests import MANNERS, Guest
from soak.hearing import Ear, hearing
from soak.mixes import GRACE, MIXES, Mix
from soak.table import table
from soak.taking import begin_what_stays
from soak.talks import Key, event_key
from soak.witness import Witness, reserved

KINDS: tuple[Kind, ...] = ("loop", "fleet")
SPEED = 4.0
"""By what the agents' pauses are divided, and the times of what happens to a service."""
PERIOD = 0.5
"""Seconds between two polls of a session."""
EXPIRY = 2.0
"""By what the times of forced expiry are multiplied: a refresh takes real time, and a second on a busy machine."""
LONGEST_ASKED = 2
"""Seconds that a service asks to wait at most."""
LEAST_TIMEOUT = 4.0
"""Seconds: hundreds of chats and all their services share one machine, and no reply may come too late for that."""
CUT = 1.0
"""Seconds before a service goes down in which a reply that it made may not have come through."""
CHANGE_WITHIN = 20.0
"""Seconds in which handlers finish before another loop takes over: a thread cannot be stopped in the middle."""
PATIENCE = 150.0
"""Seconds after which what is not over is stuck."""
ZERO = (*ZEROS, "overlaps", "uncounted")


@frozen
class Plan:
    """How much of it."""

    kind: Kind
    semantics: Semantics
    chats: int
    seed: int
    said: int
    changes: float
    names: tuple[str, ...]


class Centre(Witness):
    """A service that goes down while it answers: what it showed just before that may be lost."""

    def __init__(self, **options: Any) -> None:
        self.recent: list[tuple[float, set[Key]]] = []
        super().__init__(**options)

    def _answered(self, answer: Answer) -> None:
        before = set(self.shown)
        super()._answered(answer)
        self.recent = [one for one in self.recent if one[0] > time.monotonic() - CUT]
        self.recent.append((time.monotonic(), self.shown - before))

    def close(self) -> None:
        """Stop listening."""
        super().close()
        for at, keys in self.recent:
            if at > time.monotonic() - CUT:
                self.shown -= keys
                self.spoilt |= keys


@define
class Party:
    """One mix: its service, and the guests there."""

    mix: Mix
    centre: Centre
    guests: list[Guest] = field(factory=list)


@contextmanager
def parties(plan: Plan) -> Iterator[list[Party]]:
    """Open a service for each mix."""
    with ExitStack() as stack:
        opened = []
        for place, mix in enumerate(mix for mix in MIXES if not plan.names or mix.name in plan.names):
            random = Random(f"{plan.seed}-{mix.name}-{plan.semantics}-{plan.kind}")
            options: dict[str, Any] = {"reuse_grace": GRACE, **mix.server}
            options["faults"] = tuple(_shared(fault, plan.chats) for fault in mix.faults)
            agent = script(Random(random.random()), plan.said, mix.agent, ends=place % 2 == 0, speed=SPEED)
            options |= {"agents": plan.chats, **stack.enter_context(reserved())}
            centre = Centre(script=agent, pace=0.1, seed=place, semantics=plan.semantics, **options)
            centre.set_after_end(*mix.after_end)
            opened.append(Party(mix, stack.enter_context(centre)))
        yield opened


def _shared(fault: Fault, chats: int) -> Fault:
    """Fit a fault that is meant for one chat to real time and several chats; else they meet for one of them."""
    if fault.kind == "revoked":
        fault = evolve(fault, every=fault.every * chats)
    return evolve(fault, retry_after=min(fault.retry_after, LONGEST_ASKED)) if fault.retry_after else fault


async def _happens(party: Party) -> None:
    """Let happen to a service what its mix says, at its times."""
    began = time.monotonic()
    actions: dict[str, Callable[[], object]] = {
        "close": party.centre.close,
        "open": party.centre.start,
        "restart": party.centre.restart,
        "forget": party.centre.forget,
        "renumber": lambda: party.centre.restart(renumber=True),
        "expire": party.centre.expire_tokens,
    }
    for after, what, _ in party.mix.happens:
        if what in actions:
            due = after * EXPIRY if what == "expire" else after / SPEED
            await asyncio.sleep(began + due - time.monotonic())
            await asyncio.to_thread(actions[what])


async def hold(plan: Plan, held: list[Party]) -> Counter[str]:
    """Hold every chat to its end, in one loop after the other; gives what the loops counted."""
    counted: Counter[str] = Counter()
    manners = cycle(MANNERS)
    async with AsyncExitStack() as stack:
        for place, party in enumerate(held):
            timeout = max(LEAST_TIMEOUT, min(party.mix.timeout, 10.0))
            settings: dict[str, Any] = {**party.centre.settings, "timeout": timeout, "poll_interval": PERIOD}
            client = AsyncPuzzelChat(**settings, **party.mix.client)
            await stack.enter_async_context(client)
            # Who only listens has no end under drain, unless the polls say so.
            ways = cycle(way for way in party.mix.asks if way != "listen" or not party.centre.silent)
            party.guests = [
                Guest(
                    f"{party.mix.name}-{number}", next(manners), client, Random(plan.seed + number), place % 2 == 1,
                    next(ways), party.mix.writes, party.mix.most,
                )
                for number in range(1 if party.mix.heavy else plan.chats)
            ]  # fmt: skip
        guests = {guest for party in held for guest in party.guests}
        happens = [asyncio.create_task(_happens(party)) for party in held]
        begun = [asyncio.create_task(guest.begin()) for guest in guests]
        until = time.monotonic() + PATIENCE
        while not all(task.done() for task in begun) or not all(guest.over for guest in guests):
            if time.monotonic() > until:
                break
            counted += await _one_loop(plan, guests, min(until, time.monotonic() + plan.changes))
        for task in (*begun, *happens):
            task.cancel()
        await asyncio.gather(*begun, *happens, return_exceptions=True)
        counted["stuck"] = sum(not guest.over for guest in guests)
    return counted


async def _one_loop(plan: Plan, guests: set[Guest], until: float) -> Counter[str]:
    by_id: dict[str, Guest] = {}

    def failed(conversation: AsyncConversation, error: Exception) -> None:
        by_id[conversation.id].failed(error)

    async with PollingLoop(fast=plan.kind == "fleet", on_failure=failed) as loop:
        while time.monotonic() < until and not all(guest.over for guest in guests):
            for guest in guests:
                if guest.conversation is not None and guest.conversation.id not in by_id:
                    by_id[guest.conversation.id] = guest
                    guest.join(loop)
            await asyncio.gather(*(guest.look() for guest in guests))
            await asyncio.sleep(0.1)
        await loop.aclose(timeout=CHANGE_WITHIN)
    stats = loop.stats()
    return Counter(polls=stats.polls, handler_errors=stats.handler_errors, stopped=stats.stopped, loops=1)


def judged(
    plan: Plan, held: list[Party], counted: Counter[str], ears: Mapping[SessionState, Ear]
) -> tuple[Counter[str], list[str]]:
    """Compare what the guests noted with the ledgers."""
    figures, problems = Counter(counted), list[str]()
    for party in held:
        ledger, centre = party.centre.ledger(), party.centre
        for guest in party.guests:
            figures["chats"] += 1
            figures["overlaps"] += guest.overlaps
            figures["starts_failed"] += guest.tries - (guest.conversation is not None)
            figures["never_begun"] += guest.conversation is None
            figures["refused"] += guest.refused
            if guest.conversation is None:
                continue
            talk, entries = guest.talk, ledger[guest.talk.conversation_id]
            ear = ears[inner(guest.conversation)[0].session]
            by_design = ear.explains(guest.error)
            figures["by_design"] += by_design
            talk.expired = talk.expired or by_design
            talk.refused -= by_design and isinstance(guest.error, AuthenticationError)
            forgotten = by_design or talk.conversation_id in centre.forgotten
            # By what happened, for a slow handler is told of it later.
            talk.given_up = (talk.closed or talk.told) and talk.ends > 0 and ear.failed_for >= LAST_WORDS_WITHIN
            # What came is no excuse, whatever became of the service meanwhile.
            talk.kept = {event_key(one) for one in guest.conversation.transcript()}
            talk.open = not guest.conversation.ended
            truth = centre.truth(entries, plan.semantics, forgotten, talk.given_up)
            found = judge(talk, evolve(truth, shown=centre.shown | ear.heard))
            figures += found
            wrong = [f"{name} {found[name]}" for name in ZEROS if found[name]]
            if wrong:
                problems.append(f"{plan.kind} {plan.semantics} {guest.name} ({guest.manner}): {wrong} {talk.failure}")
        figures["routed_twice"] += sum(centre.happened["routed", one] > 1 for one in ledger)
        stats = centre.stats()
        figures += Counter(
            faults=stats.faults, requests=stats.total_requests, refreshes=stats.refreshes, reuse=stats.reuse_detected
        )
    raised = sum(guest.raised for party in held for guest in party.guests)
    figures["uncounted"] = abs(raised - counted["handler_errors"])
    return figures, problems


def run(plan: Plan) -> tuple[Counter[str], list[str]]:
    """Hold the chats of one plan."""
    begin_what_stays()
    before = leftovers.count()
    with parties(plan) as held, hearing() as ears:
        counted = asyncio.run(hold(plan, held))
        figures, problems = judged(plan, held, counted, ears)
    figures["left_over"] = leftovers.since(before)
    return figures, problems


def main(arguments: list[str]) -> int:
    """Run, print the table, and fail when a figure that must be zero is not."""
    parser = ArgumentParser(prog="python -m soak fleet", description=__doc__)
    parser.add_argument("--chats", type=int, default=8, help="chats at once for each mix (default 8)")
    parser.add_argument("--said", type=int, default=12, help="things that an agent says (default 12)")
    parser.add_argument(
        "--changes", type=float, default=6.0, help="seconds after which a new loop takes over (default 6)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the chats (default 1)")
    parser.add_argument("--mix", action="append", choices=[mix.name for mix in MIXES], help="only this mix")
    parser.add_argument("--semantics", action="append", choices=SEMANTICS, help="only this meaning of a poll")
    parser.add_argument("--kind", action="append", choices=KINDS, help="only this transport")
    asked = parser.parse_args(arguments)
    quiet()
    logging.getLogger("puzzel_chat").setLevel(logging.CRITICAL)
    rows: dict[str, Counter[str]] = {}
    problems: list[str] = []
    for kind in asked.kind or KINDS:
        for semantics in asked.semantics or SEMANTICS:
            began, names = time.monotonic(), tuple(asked.mix or ())
            plan = Plan(kind, semantics, asked.chats, asked.seed, asked.said, asked.changes, names)
            rows[f"{kind} {semantics}"], found = run(plan)
            problems += found
            print(f"{kind} {semantics}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    rows["all"] = sum(rows.values(), Counter())
    columns = {
        **COLUMNS,
        "overlaps": "two at once",
        "uncounted": "raised uncounted",
        "polls": "polls",
        "loops": "loops",
        "handler_errors": "raised",
    }
    print(table(["over", *columns.values()], [[name, *(f[one] for one in columns)] for name, f in rows.items()]))
    print("\n".join(["", told(rows["all"]), "", *problems]))
    return int(any(rows["all"][name] for name in ZERO))
