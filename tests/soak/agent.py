"""The agent of the long runs: says many things in a seeded order, and one last word that the customer knows."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from attrs import evolve, frozen

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


@frozen
class Manner:
    """How an agent talks: `sizes` are the bytes of long things, each said once; a `terse` one often says Yes."""

    sizes: tuple[int, ...] = ()
    terse: bool = False


def script(random: Random, said: int, manner: Manner, *, ends: bool, speed: float = 1.0) -> Script:
    """Give an agent who says `said` things and the last word, then ends the chat or leaves that to the customer.

    `speed` divides all pauses.
    """

    def joins(scene: Scene) -> Iterator[Step]:
        # Who comes after a transfer has half of it to say; nothing is shared, for two chats may go on at once.
        first = scene.stint == 1
        for step in _first(random, said, manner, ends) if first else _rest(random, said // 2, manner, ends):
            yield evolve(step, seconds=step.seconds / speed)

    return Script("soak", "says many things", joins=joins)


def _first(random: Random, said: int, manner: Manner, ends: bool) -> Iterator[Step]:
    yield from _things(random, said - said // 2, manner)
    if random.random() < 0.3:
        yield Step("leave", "transfer")
    else:
        yield from _rest(random, said // 2, Manner(terse=manner.terse), ends)


def _rest(random: Random, said: int, manner: Manner, ends: bool) -> Iterator[Step]:
    yield from _things(random, said, manner)
    yield Step("say", LAST)
    if ends:
        yield Step("end")


def _things(random: Random, said: int, manner: Manner) -> Iterator[Step]:
    long = {(place + 1) * said // (len(manner.sizes) + 1): size for place, size in enumerate(manner.sizes)}
    for number in range(1, said + 1):
        # Most things come within seconds, some at the same moment, some after a long silence.
        pause = random.choices((0.0, random.uniform(0.1, 2.0), 20.0), (20, 78, 2))[0]
        yield Step("say", f"Thing {number}.", delay=0, seconds=pause)
        if random.random() < 0.15:
            yield Step("edit", f"Thing {number}, put better.", delay=0, seconds=random.uniform(0.0, 3.0))
        if random.random() < 0.2:
            yield random.choice(_OTHERS)
        if manner.terse and random.random() < 0.5:
            yield Step("say", "Yes.", delay=0, seconds=1.0)
        if number in long:
            yield Step("say", f"Much to read: {'word ' * (long[number] // 5)}", delay=0, seconds=1.0)
