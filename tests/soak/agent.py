"""The agent of the long runs: says many things in a seeded order, and one last word that the customer knows."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from attrs import evolve

from puzzel_chat.sandbox import Scene, Script, Step

LAST = "That was all."
_CHOICES = {"options": [{"id": "delivery", "label": "Delivery"}, {"id": "invoice", "label": "Invoice"}]}
_RECEIPT = {"fileName": "receipt.pdf", "url": "https://files.example/receipt.pdf", "size": 20480}
_OTHERS = (
    Step("typing", delay=0),
    Step("send", "What is it about?", type="Options", fields=_CHOICES, delay=0),
    Step("send", type="File", fields=_RECEIPT, delay=0),
    Step("send", type="Carousel", fields={"cards": [{"title": "A type that no client knows"}]}, delay=0),
)


def script(random: Random, said: int, *, ends: bool, speed: float = 1.0) -> Script:
    """Give an agent who says `said` things and the last word, then ends the chat or leaves that to the customer.

    `speed` divides all pauses.
    """

    def joins(scene: Scene) -> Iterator[Step]:
        # Who comes after a transfer has half of it to say; nothing is shared, for two chats may go on at once.
        for step in _first(random, said, ends) if scene.stint == 1 else _rest(random, said // 2, ends):
            yield evolve(step, seconds=step.seconds / speed)

    return Script("soak", "says many things", joins=joins)


def _first(random: Random, said: int, ends: bool) -> Iterator[Step]:
    yield from _things(random, said - said // 2)
    if random.random() < 0.3:
        yield Step("leave", "transfer")
    else:
        yield from _rest(random, said // 2, ends)


def _rest(random: Random, said: int, ends: bool) -> Iterator[Step]:
    yield from _things(random, said)
    yield Step("say", LAST)
    if ends:
        yield Step("end")


def _things(random: Random, said: int) -> Iterator[Step]:
    for number in range(1, said + 1):
        # Most things come within seconds, some at the same moment, some after a long silence.
        pause = random.choices((0.0, random.uniform(0.1, 2.0), 20.0), (20, 78, 2))[0]
        yield Step("say", f"Thing {number}.", delay=0, seconds=pause)
        if random.random() < 0.15:
            yield Step("edit", f"Thing {number}, put better.", delay=0, seconds=random.uniform(0.0, 3.0))
        if random.random() < 0.2:
            yield random.choice(_OTHERS)
