"""A sandbox that remembers what its poll replies held, so that the comparison knows what a lost reply took along."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

from puzzel_chat.sandbox import Fault, Happening, Sandbox
from puzzel_chat.sandbox._contract import Call, Reply
from soak.compare import Key

# What these do to a poll's reply leaves its messages readable.
_HARMLESS = frozenset({"latency", "slow_body", "unknown_enum", "bad_item", "no_client_id"})


class Witness(Sandbox):
    """`shown` was in a poll's reply that went out whole, `spoilt` in one that a fault harmed."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options, on_event=self._note)
        self.shown: set[Key] = set()
        self.spoilt: set[Key] = set()
        self.planted = False
        self.forgotten: set[str] = set()
        self.happened: Counter[tuple[str, str | None]] = Counter()
        # Each request is a task of its own, and several are answered at a time.
        self._present: ContextVar[tuple[Fault, ...]] = ContextVar("present", default=())
        self._real = self._desk.answer
        setattr(self._desk, "answer", self._answer)  # noqa: B010  # mypy allows no method to be replaced

    def forget(self) -> None:
        """Restart without memory; the conversations of that time have no session any more."""
        self.forgotten.update(self.ledger())
        self.restart(forget=True)

    def _choose(self, operation: str) -> tuple[Fault, ...]:
        chosen = super()._choose(operation)
        self._present.set(chosen)
        return chosen

    def _answer(self, operation: str, call: Call) -> Reply:
        reply = self._real(operation, call)
        if operation == "pollConversation" and reply.status == 200 and reply.body is not None:
            kinds = {fault.kind for fault in self._present.get()}
            messages: Any = reply.body["messages"]
            keys = {(message["id"], message["version"]) for message in messages}
            (self.shown if kinds <= _HARMLESS else self.spoilt).update(keys)
            self.planted = self.planted or "bad_item" in kinds
        return reply

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
