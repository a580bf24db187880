"""A sandbox that remembers what its poll replies held, so that the comparison knows what a lost reply took along."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from puzzel_chat._transport import LARGEST_REPLY
from puzzel_chat.sandbox import AfterEnd, Answer, Entry, Happening, Sandbox, Semantics
from puzzel_chat.sandbox._faults import HARMLESS
from soak.talks import Key, Truth, item_key


class Witness(Sandbox):
    """`shown` was in a poll's reply that went out whole, `spoilt` in one that a fault harmed, or it was `too_large`.

    `silent` says that nothing but the event itself tells an end to somebody who only listens.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, on_event=self._note)
        self.listen(self._answered)
        self.shown: set[Key] = set()
        self.spoilt: set[Key] = set()
        self.too_large: set[Key] = set()
        self.silent = True
        self.planted = False
        self.forgotten: set[str] = set()
        self.happened: Counter[tuple[str, str | None]] = Counter()

    def set_after_end(self, after_end: AfterEnd, linger: float = 0.0) -> None:
        """Change what a conversation is after its end."""
        super().set_after_end(after_end, linger)
        self.silent = after_end not in ("not-found", "gone")

    def forget(self) -> None:
        """Restart without memory; the conversations of that time have no session any more."""
        self.forgotten.update(self.ledger())
        self.restart(forget=True)

    def truth(self, entries: Sequence[Entry], semantics: Semantics, forgotten: bool, given_up: bool) -> Truth:
        """Tell what this service knows of one conversation."""
        replies = (self.shown, self.spoilt, self.planted)
        return Truth(entries, semantics, *replies, forgotten, given_up, self.too_large, self.silent)

    def _answered(self, answer: Answer) -> None:
        if answer.operation != "pollConversation" or answer.status != 200 or answer.body is None:
            return
        messages: Any = answer.body["messages"]
        harmed = self.spoilt if answer.faults - HARMLESS else self.shown
        (self.too_large if answer.size > LARGEST_REPLY else harmed).update(map(item_key, messages))
        self.planted = self.planted or "bad_item" in answer.faults

    def _note(self, happening: Happening) -> None:
        self.happened[happening.kind, happening.conversation_id] += 1


@contextmanager
def reserved() -> Iterator[dict[str, int]]:
    """Keep both ports for a sandbox that goes down and comes back: nobody else is given them meanwhile."""
    with ExitStack() as kept:
        ports = {}
        for name in ("port", "identity_port"):
            keeper = kept.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            keeper.bind(("127.0.0.1", 0))
            ports[name] = keeper.getsockname()[1]
        yield ports
