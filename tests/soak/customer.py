"""The application of a long run: a sensible one, that tries again what may be tried again and notes every outcome.

It is written once, for the blocking client; the asyncio client comes behind the same names.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any, Literal

from attrs import define, field

from puzzel_chat import (
    AllocationStage,
    AuthenticationError,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationClosed,
    ConversationEnded,
    DeliveryUnknown,
    Event,
    FileMessage,
    MessageEdited,
    NotFound,
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
from soak.talks import Sent, Talk, event_key

TRIES = 8
LISTENS = 2
"""Long silences after which a customer who only listens goes away."""
SILENCE = 60.0
"""Seconds (virtual) without anything new after which the customer ends the chat."""
Way = Literal["end", "send", "type", "ask", "listen"]
"""What a customer does after a long silence: end the chat, write, type, ask for the allocation, or only listen."""
TROUBLES = (ConnectionDegraded, ConnectionRecovered)
MESSAGES = (TextMessage, OptionsMessage, FileMessage, UnknownMessage, MessageEdited)


class Enough(Exception):
    """The customer gives up on a chat that does not end."""


@define
class Customer:
    """Holds one chat; another one when the service forgets the session of the first.

    `by_steps` opens it call by call rather than with `start()`, `by_polls` reads `Session.poll()` rather than
    `events()`, and `ends` ends it at the agent's last word. `way` is what it does after a long silence, which comes as
    an event when it is `asked`; `writes` is the size of its largest line, `most` the client's bound.
    """

    client: Any
    time: SoakTime
    random: Random
    by_steps: bool = False
    by_polls: bool = False
    ends: bool = False
    way: Way = "end"
    asked: bool = False
    writes: int = 0
    most: int = 2**16
    talks: list[Talk] = field(factory=list)
    tries: int = 0
    refused: int = 0
    _quiet_since: float = 0.0
    _silences: int = 0

    def hold(self) -> None:
        """Begin a chat and hold it to its end."""
        while self.tries < TRIES:
            self.tries += 1
            talk = Talk(f"chat-{self.tries}")
            try:
                conversation = self._by_steps(talk) if self.by_steps else self._at_once(talk)
            except PuzzelChatError as error:
                self.refused += isinstance(error, AuthenticationError)
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
            except PuzzelChatError as error:
                if not left:
                    raise
                self.refused += isinstance(error, AuthenticationError)
                self.time.rest(2.0)

    def _talk(self, conversation: Any, talk: Talk) -> None:
        self._quiet_since, self._silences = self.time.seconds(), 0
        try:
            for event in (self._polls if self.by_polls else self._events)(conversation, talk):
                if not isinstance(event, TROUBLES):
                    self._quiet_since = self.time.seconds()
                take(event, talk, self.time.monotonic())
                self._answer(conversation, talk, event)
        except Enough:
            pass
        except PuzzelChatError as error:
            talk.failed(error)
            talk.failure, talk.expired = f"{type(error).__name__}: {error}", isinstance(error, SessionExpired)
        finally:
            talk.kept, talk.open = {event_key(one) for one in conversation.transcript()}, not conversation.ended
            conversation.session.close()

    def _events(self, conversation: Any, talk: Talk) -> Iterator[Event]:
        def after_silence() -> None:
            self._after_silence(conversation, talk)

        def never() -> bool:
            return False

        with self.time.meanwhile(never if self.asked else self._is_silent, after_silence):
            for events in (conversation.events(), conversation.events()):  # a second end would come from the second
                for event in events:
                    if event is not None:
                        yield event
                    else:
                        after_silence()

    def _polls(self, conversation: Any, talk: Talk) -> Iterator[Event]:
        while not talk.ends:
            yield from conversation.session.poll()
            if self._is_silent():
                self._after_silence(conversation, talk)
        with suppress(ConversationClosed, NotFound):  # some services no longer know a chat that has ended
            for _ in range(3):
                yield from conversation.session.poll()

    def _is_silent(self) -> bool:
        return self.time.seconds() - self._quiet_since > SILENCE

    def _after_silence(self, conversation: Any, talk: Talk) -> None:
        """Do something, for the end can be lost for good; who only writes must end the chat when nobody else did."""
        self._quiet_since, self._silences = self.time.seconds(), self._silences + 1
        if self._silences > (LISTENS if self.way == "listen" else TRIES):
            raise Enough
        self._do(
            "end" if self._silences > 1 and self.way != "listen" and not talk.told else self.way, conversation, talk
        )

    def _do(self, way: Way, conversation: Any, talk: Talk) -> None:
        ways = {"end": self._end, "send": self._send, "type": self._type, "ask": self._ask}
        if way != "listen":
            ways[way](conversation, talk)

    def _answer(self, conversation: Any, talk: Talk, event: Event) -> None:
        if isinstance(event, ConnectionDegraded) and self.way != "end":
            self._do(self.way, conversation, talk)  # it may be told of an end whose event is still to come
        if not isinstance(event, TextMessage) or not event.author.is_agent or talk.ends:
            return
        if event.text == LAST and self.ends:
            self._end(conversation, talk)
        elif self.random.random() < 0.25:
            self._send(conversation, talk)
        elif self.random.random() < 0.1:
            self._type(conversation, talk)

    def _send(self, conversation: Any, talk: Talk) -> None:
        """Send a line; one that certainly was not sent is sent once more, in other words to tell them apart."""
        for attempt in (1, 2):
            more = "word " * (self.random.randrange(self.writes) // 5) if self.writes and attempt == 1 else ""
            sent = Sent(f"Line {len(talk.sends) + 1} of {talk.conversation_id}, try {attempt}. {more}", "failed")
            talk.sends.append(sent)
            try:
                sent.id, sent.outcome = conversation.send(sent.text).id, "returned"
            except DeliveryUnknown:
                sent.outcome = "unknown"
            except (ConversationClosed, SessionExpired) as error:
                talk.told = talk.told or isinstance(error, ConversationClosed)
                return
            except PuzzelChatError as error:
                talk.failed(error)
                self.time.rest(2.0)
                continue
            talk.oversized += len(sent.text) > self.most
            return

    def _type(self, conversation: Any, talk: Talk) -> None:
        try:
            conversation.typing()
        except PuzzelChatError as error:
            talk.failed(error)
            talk.told = talk.told or isinstance(error, ConversationClosed)

    def _ask(self, conversation: Any, talk: Talk) -> None:
        try:
            talk.told = talk.told or conversation.allocation().stage is AllocationStage.CANCELLED
        except PuzzelChatError as error:
            talk.failed(error)

    def _end(self, conversation: Any, talk: Talk) -> None:
        for _ in range(TRIES):
            try:
                conversation.end()
                talk.closed = True
                return
            except SessionExpired:
                return
            except PuzzelChatError as error:
                talk.failed(error)
                self.time.rest(3.0)


def take(event: Event, talk: Talk, now: float) -> None:
    """Note an event that came at that monotonic time."""
    if isinstance(event, MESSAGES):
        talk.delivered.append(event_key(event))
        if isinstance(event, MessageEdited):
            talk.edits.add(event_key(event))
    if isinstance(event, TROUBLES):
        talk.degraded_at = now if isinstance(event, ConnectionDegraded) else None
    if isinstance(event, ConversationEnded):
        talk.ends += 1
        failing = 0.0 if talk.degraded_at is None else now - talk.degraded_at
        talk.given_up = (talk.closed or talk.told) and failing >= LAST_WORDS_WITHIN
