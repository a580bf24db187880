"""The customers of a backend that holds hundreds of chats in one loop: handlers of every kind, and what they note."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import Literal

from attrs import define, field

from puzzel_chat import (
    AllocationStage,
    AsyncConversation,
    AsyncPuzzelChat,
    AuthenticationError,
    ConversationClosed,
    ConversationEnded,
    DeliveryUnknown,
    Event,
    PollingLoop,
    PuzzelChatError,
    SessionError,
    SessionExpired,
    TextMessage,
)
from puzzel_chat.sandbox import Sandbox
from soak.agent import LAST
from soak.customer import TRIES, TROUBLES, Way, take
from soak.talks import Sent, Talk

Manner = Literal["coroutine", "thread", "slow", "raising"]
MANNERS: tuple[Manner, ...] = ("coroutine", "thread", "slow", "raising")
SLOWEST = 1.5
"""Seconds that a slow handler takes for an event at most."""
SILENCE = 20.0
"""Seconds without anything new after which the customer ends the chat."""


@define(eq=False)
class Guest:
    """One customer and the chat that it holds.

    `ends` says that it ends the chat at the agent's last word, `way` what it does after a silence; `writes` is the size
    of its largest line, `most` the bound of the client.
    """

    name: str
    manner: Manner
    client: AsyncPuzzelChat
    random: Random
    ends: bool
    way: Way = "end"
    writes: int = 0
    most: int = 2**16
    talk: Talk = field(factory=lambda: Talk(""))
    conversation: AsyncConversation | None = None
    error: Exception | None = None
    over: bool = False
    tries: int = 0
    at_once: int = 0
    overlaps: int = 0
    raised: int = 0
    refused: int = 0
    _quiet_since: float = 0.0
    _loop: asyncio.AbstractEventLoop | None = None

    async def begin(self) -> None:
        """Come to an agent, in a few tries."""
        self._loop = asyncio.get_running_loop()
        while self.conversation is None and self.tries < TRIES:
            self.tries += 1
            self.talk = Talk(f"{self.name}-{self.tries}")
            try:
                self.conversation = await self.client.start(
                    "support", Sandbox.visual_queue_id, wait=60, conversation_id=self.talk.conversation_id
                )
            except PuzzelChatError as error:
                self.refused += isinstance(error, AuthenticationError)
                await asyncio.sleep(1.0)
        self._quiet_since = time.monotonic()
        self.over = self.conversation is None

    def join(self, loop: PollingLoop) -> None:
        """Let a loop hand out what comes."""
        if self.conversation is not None and not self.over:
            try:
                loop.add(self.conversation, self.in_thread if self.manner == "thread" else self.handle)
            except ConversationClosed:
                self.over = True
            except SessionError as error:
                self.failed(error)

    async def handle(self, conversation: AsyncConversation, event: Event) -> None:
        """Take one event, in the manner of this guest."""
        self._take(event)
        try:
            if self.manner == "slow":
                await asyncio.sleep(self.random.uniform(0.0, SLOWEST))
            await self._answer(conversation, event)
        finally:
            self.at_once -= 1
        if self.manner == "raising":
            self.raised += 1
            raise ValueError("not for the log")

    def in_thread(self, conversation: AsyncConversation, event: Event) -> None:
        """Take one event in a thread."""
        self._take(event)
        try:
            assert self._loop is not None
            asyncio.run_coroutine_threadsafe(self._answer(conversation, event), self._loop).result()
        finally:
            self.at_once -= 1

    def failed(self, error: Exception) -> None:
        """Note what ended the polling."""
        self.error, self.over = error, True
        self.talk.failed(error)
        self.talk.failure, self.talk.expired = f"{type(error).__name__}: {error}", isinstance(error, SessionExpired)

    async def look(self) -> None:
        """Do something after a long silence, for an end can be lost for good."""
        if self.conversation is None or self.over or time.monotonic() - self._quiet_since < SILENCE:
            return
        self._quiet_since = time.monotonic()
        way, self.way = self.way, "end"  # when nobody has ended the chat
        if way == "send":
            await self._send(self.conversation)
        elif way in ("type", "ask"):
            await self._ask(self.conversation, way)
        elif way == "end" and not self.talk.told:
            await self._end(self.conversation)
        else:
            self.way = way

    async def _ask(self, conversation: AsyncConversation, way: Way) -> None:
        try:
            if way == "type":
                await conversation.typing()
            else:
                self.talk.told = (await conversation.allocation()).stage is AllocationStage.CANCELLED
        except PuzzelChatError as error:
            self.talk.failed(error)
            self.talk.told = isinstance(error, ConversationClosed)

    def _take(self, event: Event) -> None:
        self.at_once += 1
        self.overlaps += self.at_once > 1
        take(event, self.talk, time.monotonic())
        if not isinstance(event, TROUBLES):
            self._quiet_since = time.monotonic()
        self.over = self.over or isinstance(event, ConversationEnded)

    async def _answer(self, conversation: AsyncConversation, event: Event) -> None:
        if not isinstance(event, TextMessage) or not event.author.is_agent or self.talk.ends:
            return
        if event.text == LAST and self.ends:
            await self._end(conversation)
        elif self.random.random() < 0.25:
            await self._send(conversation)

    async def _send(self, conversation: AsyncConversation) -> None:
        # Until it is known better: it may be stopped in the middle.
        more = "word " * (self.random.randrange(self.writes) // 5) if self.writes else ""
        sent = Sent(f"Line {len(self.talk.sends) + 1} of {self.talk.conversation_id}. {more}", "unknown")
        self.talk.sends.append(sent)
        try:
            sent.id, sent.outcome = (await conversation.send(sent.text)).id, "returned"
            self.talk.oversized += len(sent.text) > self.most
        except DeliveryUnknown:
            pass
        except PuzzelChatError as error:
            self.talk.failed(error)
            self.talk.told = self.talk.told or isinstance(error, ConversationClosed)
            sent.outcome = "failed"

    async def _end(self, conversation: AsyncConversation) -> None:
        try:
            await conversation.end()
            self.talk.closed = True
        except PuzzelChatError as error:
            self.talk.failed(error)
            # The next silence, or the agent, ends it.
            self._quiet_since = min(self._quiet_since, time.monotonic() - SILENCE + 3.0)
