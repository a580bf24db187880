"""Pure: which message of the polls is one that we sent and that got no clear answer.

The echo names our own id (assumed). Where it does not, the same words from the customer count, and of equal ones each
stands for one send; while another send of these words may still be answered, nobody can tell, so nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from attrs import define, field

from puzzel_chat._errors import DeliveryUnknown
from puzzel_chat._html import bare
from puzzel_chat._models import Event, Role, TextMessage


@define(eq=False)
class Expected:
    """A message of ours that the polls should bring back; `unanswered` once no clear answer can come any more."""

    client_id: str
    text: str = field(repr=False)
    unanswered: bool = False

    def matches(self, echo: TextMessage) -> bool:
        """Tell whether the echo is that message: by our own id, else by the same words from the customer."""
        if echo.client_id:
            return echo.client_id == self.client_id
        return echo.author.role is Role.CUSTOMER and bare(self.text) in (bare(echo.text), bare(echo.html))

    def disputed_by(self, other: Expected) -> bool:
        """Tell whether an echo without an id may be the other's."""
        return other is not self and not other.unanswered and bare(other.text) == bare(self.text)


@define
class Sends:
    """The sends of one conversation that are under way, and the echoes that none of them has claimed."""

    expected: list[Expected] = field(factory=list)
    echoes: dict[str, TextMessage] = field(factory=dict)
    claimed: set[str] = field(factory=set)

    @contextmanager
    def expecting(self, client_id: str, text: str) -> Iterator[Expected]:
        """Watch the polls for a message of ours, from before it is sent."""
        expected = Expected(client_id, text)
        self.expected.append(expected)
        try:
            yield expected
        finally:
            self.expected.remove(expected)
            if not self.expected:
                self.echoes.clear()

    def note(self, event: Event) -> None:
        """Keep what a poll brought, when it may be an echo that a send looks for."""
        if not isinstance(event, TextMessage) or event.id in self.claimed:
            return
        if any(expected.matches(event) for expected in self.expected):
            self.echoes[event.id] = event

    def claim(self, message_id: str) -> None:
        """Note which message a send became."""
        self.claimed.add(message_id)
        self.echoes.pop(message_id, None)

    def found(self, expected: Expected) -> TextMessage | None:
        """Give the echo of a message, and claim it; None while there is none, or none that is certain."""
        disputed = any(expected.disputed_by(other) for other in self.expected)
        for echo in self.echoes.values():
            if expected.matches(echo) and (echo.client_id or not disputed):
                self.claim(echo.id)
                return echo
        return None


def delivery_unknown(expected: Expected) -> DeliveryUnknown:
    """Give the error for a message that the polls did not bring back."""
    return DeliveryUnknown(
        "The service gave no clear answer to a message, and the polls after it did not show it."
        " Ask the agent before sending it again; it may have arrived.",
        text=str(expected.text),
        client_id=expected.client_id,
    )
