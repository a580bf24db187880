"""One seeded chat under one mix: a sandbox, a client and a clock of its own, and the figures that came of it."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from attrs import frozen

from puzzel_chat.sandbox import Semantics
from soak import leftovers
from soak.agent import script
from soak.clients import Kind, client
from soak.clock import SoakTime
from soak.compare import judge
from soak.customer import Customer, Way
from soak.mixes import BY_NAME, GRACE, Mix, What
from soak.taking import begin_what_stays
from soak.witness import Witness, reserved

STUCK = 180
"""Real seconds after which a chat counts as stuck; one takes a fraction of a second, with endless replies some."""


@frozen
class Cell:
    """Names one chat; the same cell gives the same figures. `way` is one of those of the mix, chosen unless given."""

    mix: str
    semantics: Semantics
    kind: Kind
    seed: int
    number: int
    said: int
    way: Way | None = None

    def __str__(self) -> str:
        return f"{self.mix} {self.semantics} {self.kind}, seed {self.seed}, chat {self.number}"


class Stuck(BaseException):
    """A chat that did not come to an end."""


def run(cell: Cell) -> tuple[Counter[str], list[str]]:
    """Hold the chat; gives its figures, and a line about each thing that must not be."""
    if cell.kind == "fleet":
        begin_what_stays()
    before = leftovers.count()
    try:
        with _patience():
            figures, problems = _held(cell, BY_NAME[cell.mix])
    except Stuck:
        figures, problems = Counter(chats=1, stuck=1), [f"stuck for {STUCK} seconds"]
    figures["left_over"] += leftovers.since(before)
    return figures, [f"{cell}: {problem}" for problem in problems]


def _held(cell: Cell, mix: Mix) -> tuple[Counter[str], list[str]]:
    random = Random(f"{cell.seed}-{cell.mix}-{cell.semantics}-{cell.kind}-{cell.number}")
    time = SoakTime(Random(random.random()))
    agent_ends, by_steps, by_polls = (random.random() < share for share in (0.5, 0.4, 0.4))
    chosen: Way = Random(f"{cell} way").choice(mix.asks)
    way = cell.way or chosen
    # Nobody else would end the chat of a customer who only listens, or writes.
    agent_ends = agent_ends or way != "end"
    agent = script(Random(random.random()), cell.said, mix.agent, ends=agent_ends)
    options: dict[str, Any] = {"reuse_grace": GRACE, **mix.server, "faults": mix.faults, "semantics": cell.semantics}
    with reserved() as ports:
        sandbox = Witness(
            script=agent,
            clock=time.seconds,
            sleep=time.passing,
            pace=0.5,
            seed=random.getrandbits(32),
            **ports,
            **options,
        )
        with sandbox, client(cell.kind, sandbox, time, timeout=mix.timeout, **mix.client) as (chat, tasks):
            sandbox.set_after_end(*mix.after_end)
            _plan(mix, sandbox, time)
            asked = cell.kind in ("loop", "fleet")
            by_polls = by_polls and not asked
            customer = Customer(
                chat, time, random, by_steps, by_polls, not agent_ends, way, asked, mix.writes, mix.most
            )
            customer.hold()
    return _judged(customer, sandbox, cell, tasks)


def _plan(mix: Mix, sandbox: Witness, time: SoakTime) -> None:
    actions: dict[What, Callable[[float], object]] = {
        "close": lambda _: sandbox.close(),
        "open": lambda _: sandbox.start(),
        "restart": lambda _: sandbox.restart(),
        "forget": lambda _: sandbox.forget(),
        "renumber": lambda _: sandbox.restart(renumber=True),
        "expire": lambda _: sandbox.expire_tokens(),
        "step": time.step,
        "suspend": time.suspend,
    }
    for after, what, seconds in mix.happens:
        time.at(after, lambda what=what, seconds=seconds: actions[what](seconds))  # type: ignore[misc]


@contextmanager
def _patience() -> Iterator[None]:
    def give_up(*_: object) -> None:
        raise Stuck

    before = signal.signal(signal.SIGALRM, give_up)
    # Again and again, for closing what is stuck may be stuck as well.
    signal.setitimer(signal.ITIMER_REAL, STUCK, STUCK / 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _judged(customer: Customer, sandbox: Witness, cell: Cell, tasks: list[str]) -> tuple[Counter[str], list[str]]:
    ledger, stats = sandbox.ledger(), sandbox.stats()
    figures: Counter[str] = Counter(chats=1, left_over=len(tasks), held=len(customer.talks))
    problems = [f"task left: {task}" for task in tasks]
    for talk in customer.talks:
        entries = ledger[talk.conversation_id]
        forgotten = talk.conversation_id in sandbox.forgotten
        judged = judge(talk, sandbox.truth(entries, cell.semantics, forgotten, talk.given_up))
        figures += judged
        problems += [f"{name} {judged[name]} ({talk.failure})" for name in ZEROS if judged[name]]
    figures["refused"] += customer.refused
    for conversation_id in ledger:
        figures["routed_twice"] += sandbox.happened["routed", conversation_id] > 1
    held = {talk.conversation_id for talk in customer.talks}
    figures["abandoned"] = sum(not sandbox.happened["ended", one] for one in ledger if one not in held)
    figures["starts_failed"] = customer.tries - len(customer.talks)
    figures["never_begun"] = int(not customer.talks)
    figures["faults"], figures["requests"] = stats.faults, stats.total_requests
    figures["refreshes"], figures["reuse"] = stats.refreshes, stats.reuse_detected
    return figures, problems


ZEROS = (
    "lost", "doubled", "disordered", "strangers", "ended_twice", "ended_never", "sends_wrong", "routed_twice",
    "sessions_lost", "never_begun", "reuse", "left_over", "stuck", "refused", "told_wrongly", "not_kept", "open",
    "oversized",
)  # fmt: skip
"""The figures that must be zero."""
