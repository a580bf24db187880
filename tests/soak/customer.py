"""The application of a long run: a sensible one, that tries again what may be tried again and notes every outcome.

It is written once, for the blocking client; the asyncio client comes behind the same names.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from attrs import define, field

from puzzel_chat import (
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationClosed,
    ConversationEnded,
    DeliveryUnknown,
    Event,
    FileMessage,
    MessageEdited,
    OptionsMessage,
    PuzzelChatError,
    SessionExpired,
    TextMessage,
    UnknownMessage,
)
from puzzel_chat._retry import LAST_WORDS_WITHIN
from puzzel_chat.sandbox import Sandbox
from soak.agent import LAST
from soak.clock import SoakTime
from soak.compare import Sent, Talk

TRIES = 8
SILENCE = 60.0
"""Seconds (virtual) without anything new after which the customer ends the chat."""
TROUBLES = (ConnectionDegraded, ConnectionRecovered)
MESSAGES = (TextMessage, OptionsMessage, FileMessage, UnknownMessage, MessageEdited)


@define
class Customer:
    """Holds one chat; another one when the service forgets the session of the first.

    `by_steps` opens it call by call rather than with `start()`, `by_polls` reads `Session.poll()` rather than
    `events()`, and `ends` ends it at the agent's last word.
    """

    client: Any
    time: SoakTime
    random: Random
    by_steps: bool = False
    by_polls: bool = False
    ends: bool = False
    talks: list[Talk] = field(factory=list)
    tries: int = 0

    def hold(self) -> None:
        """Begin a chat and hold it to its end."""
        while self.tries < TRIES:
            self.tries += 1
            talk = Talk(f"chat-{self.tries}")
            try:
                conversation = self._by_steps(talk) if self.by_steps else self._at_once(talk)
            except PuzzelChatError:
                self.time.rest(5.0)
                continue
            self.talks.append(talk)
            self._talk(conversation, talk)
            if not talk.expired:
                return

    def _at_once(self, talk: Talk) -> Any:
        return self.client.start(
            "support", Sandbox.visual_queue_id, customer={"name": "Ada"}, wait=300, conversation_id=talk.conversation_id
        )

    def _by_steps(self, talk: Talk) -> Any:
        session = self.client.connect()
        try:
            conversation = session.conversation(talk.conversation_id)
            self._routed(conversation)
            conversation.wait_for_agent(300)
        except BaseException:
            session.close()
            raise
        return conversation

    def _routed(self, conversation: Any) -> None:
        for left in (2, 1, 0):
            try:
                conversation.route("support", customer={"name": "Ada"})
                return
            except PuzzelChatError:
                if not left:
                    raise
                self.time.rest(2.0)

    def _talk(self, conversation: Any, talk: Talk) -> None:
        try:
            for event in (self._polls if self.by_polls else self._events)(conversation, talk):
                take(event, talk, self.time.monotonic())
                self._answer(conversation, talk, event)
        except PuzzelChatError as error:
            talk.failure, talk.expired = f"{type(error).__name__}: {error}", isinstance(error, SessionExpired)
        finally:
            conversation.session.close()

    def _events(self, conversation: Any, talk: Talk) -> Iterator[Event]:
        for events in (conversation.events(), conversation.events()):  # a second end would come from the second
            given_up = 0
            for event in events:
                if event is not None:
                    yield event
                elif given_up < TRIES:
                    given_up += 1
                    self._end(conversation, talk)
                else:
                    return

    def _polls(self, conversation: Any, talk: Talk) -> Iterator[Event]:
        quiet_since, given_up = self.time.seconds(), 0
        while not talk.ends and given_up < TRIES:
            events = conversation.session.poll()
            if any(not isinstance(event, TROUBLES) for event in events):
                quiet_since = self.time.seconds()
            elif self.time.seconds() - quiet_since > SILENCE:
                quiet_since, given_up = self.time.seconds(), given_up + 1
                self._end(conversation, talk)
            yield from events
        for _ in range(3):
            yield from conversation.session.poll()

    def _answer(self, conversation: Any, talk: Talk, event: Event) -> None:
        if not isinstance(event, TextMessage) or not event.author.is_agent or talk.ends:
            return
        if event.text == LAST and self.ends:
            self._end(conversation, talk)
        elif self.random.random() < 0.25:
            self._send(conversation, talk)
        elif self.random.random() < 0.1:
            self._type(conversation)

    def _send(self, conversation: Any, talk: Talk) -> None:
        """Send a line; one that certainly was not sent is sent once more, in other words to tell them apart."""
        for attempt in (1, 2):
            sent = Sent(f"Line {len(talk.sends) + 1} of {talk.conversation_id}, try {attempt}.", "failed")
            talk.sends.append(sent)
            try:
                sent.id, sent.outcome = conversation.send(sent.text).id, "returned"
            except DeliveryUnknown:
                sent.outcome = "unknown"
            except (ConversationClosed, SessionExpired):
                return
            except PuzzelChatError:
                self.time.rest(2.0)
                continue
            return

    def _type(self, conversation: Any) -> None:
        try:
            conversation.typing()
        except PuzzelChatError:
            pass

    def _end(self, conversation: Any, talk: Talk) -> None:
        for _ in range(TRIES):
            try:
                conversation.end()
                talk.closed = True
                return
            except SessionExpired:
                return
            except PuzzelChatError:
                self.time.rest(3.0)


def take(event: Event, talk: Talk, now: float) -> None:
    """Note an event that came at that monotonic time."""
    if isinstance(event, MESSAGES):
        talk.delivered.append((event.id, event.version))
    if isinstance(event, TROUBLES):
        talk.degraded_at = now if isinstance(event, ConnectionDegraded) else None
    if isinstance(event, ConversationEnded):
        talk.ends += 1
        failing = 0.0 if talk.degraded_at is None else now - talk.degraded_at
        talk.given_up = talk.closed and failing >= LAST_WORDS_WITHIN
