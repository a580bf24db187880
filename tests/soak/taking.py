"""A chat whose events a `PollingLoop` hands out, behind the names of a conversation that is asked for them.

The loop's time stands still while its handler, which is the chat's customer, is at work, so that a run is the same each
time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from functools import cache
from typing import Any

from blocking import Blocking, Loop
from puzzel_chat import AsyncConversation, ConversationEnded, Event, PollingLoop, TransportError
from puzzel_chat._fleet._transport import FleetTransport
from puzzel_chat._settings import Settings
from puzzel_chat._wire.operations import poll_request
from soak.clock import SoakTime
from soak.customer import SILENCE, TROUBLES


@cache
def begin_what_stays() -> None:
    """Let the fast transport's library begin what it keeps as long as the process lives: threads, and their files."""

    async def send() -> None:
        transport = FleetTransport(Settings(base_url="http://127.0.0.1:9", solution_id="7"), 1)
        with suppress(TransportError):
            await transport.send(poll_request(None), "token")
        await transport.aclose()

    asyncio.run(send())


class Taking:
    """One customer's chats, one after the other, in a loop; `fast` is the loop's."""

    def __init__(self, fast: bool, time: SoakTime) -> None:
        self.polling = PollingLoop(fast=fast, on_failure=self._hand)
        self.polling._share = time.uniform(0.0, 1.0)
        self._time = time
        self._quiet_since = 0.0
        self._added: set[str] = set()
        self._handed: asyncio.Queue[Event | Exception | None] = asyncio.Queue()
        time.before_sleep = self._settled

    async def events(self, conversation: AsyncConversation) -> AsyncGenerator[Event | None]:
        """Give what the loop's handler is given, and None after each long silence; the second time, what is left."""
        if conversation.id in self._added:
            while self.polling.stats().conversations:
                await asyncio.sleep(0)
        else:
            self._added.add(conversation.id)
            self._quiet_since = self._time.seconds()
            self.polling.add(conversation, self._hand)
        while self.polling.stats().conversations or not self._handed.empty():
            item = await self._handed.get()
            try:
                if isinstance(item, Exception):
                    raise item
                yield item
            finally:
                self._handed.task_done()
            if isinstance(item, ConversationEnded):
                return

    async def _hand(self, _: AsyncConversation, item: Event | Exception) -> None:
        """Give it to the customer, and wait until that one comes back for more."""
        if not isinstance(item, TROUBLES):
            self._quiet_since = self._time.seconds()
        self._handed.put_nowait(item)
        await self._handed.join()

    async def _settled(self) -> None:
        """Before the loop lets time pass, wait until the customer waits for the loop; tell him of a long silence."""
        task = asyncio.current_task()
        if task is None or task.get_name() != "puzzel-chat-loop":
            return
        while True:
            await self._handed.join()
            if at_work := self.polling._dispatcher.tasks:
                await asyncio.wait(at_work)
            elif self._time.seconds() - self._quiet_since > SILENCE and self.polling.stats().conversations:
                self._quiet_since = self._time.seconds()
                self._handed.put_nowait(None)
            else:
                return


class Taken(Blocking):
    """One asyncio object with blocking methods, whose events a loop hands out."""

    def __init__(self, loop: Loop, target: Any, taking: Taking) -> None:
        super().__init__(loop, target)
        self._taking = taking

    def events(self) -> Iterator[Event | None]:
        """Give the conversation's events."""
        return self._iterate(self._taking.events(self._target))

    def _wrap(self, target: Any) -> Blocking:
        return Taken(self._loop, target, self._taking)
