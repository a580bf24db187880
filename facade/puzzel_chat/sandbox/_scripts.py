"""Scripts for the simulated agents: the next step, and the delay before it.

A script answers offers and yields steps. It has no clock and no side effects. Delays are in units of the simulator's
`pace`, so one number makes every agent fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

from attrs import field, frozen

Answer = Literal["accept", "decline", "ignore", "wait"]
Act = Literal["say", "edit", "typing", "send", "file", "leave", "end", "quiet"]


@frozen
class Step:
    """One thing an agent does, `delay` paces (plus `seconds`) after the step before.

    A file is called `text`, is of the media type `type`, and consists of `data`.
    """

    act: Act
    """What the agent does."""
    text: str = field(default="", repr=False)
    """What is said, or the name of a file."""
    delay: float = 1.0
    """The pause before it, in paces."""
    seconds: float = 0.0
    """And in seconds."""
    type: str = ""
    """The type of a message that is sent, or of a file."""
    fields: Mapping[str, object] = field(factory=dict[str, object], repr=False)
    """More members of a message that is sent."""
    data: bytes = field(default=b"", repr=False)
    """The content of a file."""


@frozen
class Scene:
    """What a script is told: the agent's name, the number of this agent, the last message and how many came."""

    agent: str
    """The agent's name."""
    stint: int = 1
    """The number of this agent in the chat."""
    heard: int = 0
    """How many messages the customer has sent."""
    text: str = field(default="", repr=False)
    """The customer's last message."""
    messages: int = 10
    """The `messages` of the sandbox."""
    interval: float = 1.0
    """The `interval` of the sandbox, in seconds."""


Steps = Callable[[Scene], Iterator[Step]]


@frozen
class Script:
    """How the agents of a queue behave.

    `answers` are for the first, second, … offer of a request; the last one repeats, and without any the request stays
    queued. `gives_up` refuses the request once every agent has declined it.
    """

    name: str
    """The script's name."""
    about: str
    """What it does, in words."""
    answers: tuple[Answer, ...] = ("accept",)
    """The answers to the first offers; the last one repeats."""
    gives_up: bool = False
    """Whether the request is refused once all agents declined."""
    notice: bool = True
    """Whether the customer is told of the simulator."""
    joins: Steps = lambda _scene: iter(())
    """What an agent does who joins."""
    hears: Steps = lambda _scene: iter(())
    """What an agent does at each message."""

    def answer(self, offers: int) -> Answer:
        """Return the answer to the n-th offer, counted from 1."""
        return self.answers[min(offers, len(self.answers)) - 1]


def _greet(scene: Scene) -> Iterator[Step]:
    yield Step("say", f"Hello, this is {scene.agent}. How can I help?")


def _someone_else(scene: Scene) -> Iterator[Step]:
    yield Step("say", "I will put you through to someone else.")
    yield Step("leave", "transfer")


def _end(scene: Scene) -> Iterator[Step]:
    yield Step("say", "Thank you, goodbye.")
    yield Step("end")


def _edit(scene: Scene) -> Iterator[Step]:
    yield Step("say", "Your order left on Munday.")
    yield Step("edit", "Your order left on Monday.")


def _options(scene: Scene) -> Iterator[Step]:
    choices = [{"id": "delivery", "label": "Delivery"}, {"id": "invoice", "label": "Invoice"}]
    yield Step("send", "What is it about?", type="Options", fields={"options": choices})


def _file(scene: Scene) -> Iterator[Step]:
    yield Step("file", "receipt.txt", type="text/plain", data=b"One order, 199.00. From the simulator, not Puzzel.\n")


def _unknown(scene: Scene) -> Iterator[Step]:
    yield Step("send", type="Carousel", fields={"cards": [{"title": "A type that no client knows"}]})


def _typing(scene: Scene) -> Iterator[Step]:
    yield Step("typing")
    yield Step("say", "Let me look that up.")


def _quiet(scene: Scene) -> Iterator[Step]:
    yield Step("quiet", delay=0)


def _leave(scene: Scene) -> Iterator[Step]:
    yield Step("leave", "left")


def _help(scene: Scene) -> Iterator[Step]:
    yield Step("say", "Try: " + ", ".join(KEYWORDS) + ".")


KEYWORDS: Mapping[str, Steps] = {
    "help": _help,
    "someone else": _someone_else,
    "end chat": _end,
    "edit": _edit,
    "options": _options,
    "file": _file,
    "unknown": _unknown,
    "typing": _typing,
    "silence": _quiet,
    "leave": _leave,
}


def _helpful(scene: Scene) -> Iterator[Step]:
    word = scene.text.strip().lower().rstrip(".!?")
    if word in KEYWORDS:
        yield from KEYWORDS[word](scene)
    else:
        yield Step("say", f"I see. You have written {scene.heard} time(s).")


def _leaves(scene: Scene) -> Iterator[Step]:
    yield from _greet(scene)
    if scene.stint == 1:
        yield Step("leave", "left", delay=2)


def _chatty(scene: Scene) -> Iterator[Step]:
    for number in range(1, scene.messages + 1):
        yield Step("say", f"Message {number} of {scene.messages}", delay=0, seconds=scene.interval)


def _only_end(scene: Scene) -> Iterator[Step]:
    if scene.text.strip().lower() == "end chat":
        yield from _end(scene)


def _demo_hears(scene: Scene) -> Iterator[Step]:
    yield Step("typing", delay=0.5)
    if scene.heard == 1:
        yield Step("say", "I can see your order. It left on Munday.")
        yield Step("edit", "I can see your order. It left on Monday.")
    elif scene.heard == 2:
        yield from _unknown(scene)
        yield Step("say", "It arrives tomorrow. Is there anything else?")
    else:
        yield from _end(scene)


_TURNS_DOWN: tuple[Answer, ...] = ("decline", "accept")
_OVERLOOKS: tuple[Answer, ...] = ("ignore", "accept")

_ALL = (
    Script("helpful", "joins, greets, answers, and knows keywords (say help)", joins=_greet, hears=_helpful),
    Script("decline", "the first declines, the second is helpful", _TURNS_DOWN, joins=_greet, hears=_helpful),
    Script("no-answer", "the first lets the offer lapse", _OVERLOOKS, joins=_greet, hears=_helpful),
    Script("refuse", "every agent declines, then the request is refused", ("decline",), gives_up=True),
    Script("silent", "no agent ever looks: the request stays queued", answers=()),
    Script("leaves", "the first agent leaves mid-chat, another comes", joins=_leaves, hears=_helpful),
    Script("demo", "one declines, the next shows everything and ends at the third message", _TURNS_DOWN,
           joins=_greet, hears=_demo_hears),
    Script("chatty", "sends `messages` messages, one every `interval` seconds", notice=False,
           joins=_chatty, hears=_only_end),
    Script("manual", "a person or a test plays the agent", ("wait",), notice=False),
)  # fmt: skip

SCRIPTS: Mapping[str, Script] = {script.name: script for script in _ALL}
"""The scripts by name."""
