"""A web backend in a process of its own, which opens chats and polls none: `python -m soak.front JSON`.

It does what the lines of its input say, several at once, answers each with a line once it is done, and ends with it:
"open", "say CHAT TEXT", "end CHAT". What came of a customer's message is written down.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

from puzzel_chat import AsyncPuzzelChat, ConversationClosed, DeliveryUnknown, PuzzelChatError
from soak.jobs import Job, Notes
from soak.serving import client


class Front:
    """The backend's three actions."""

    def __init__(self, chat: AsyncPuzzelChat, notes: Notes, name: str) -> None:
        self._chat, self._notes, self._name = chat, notes, name

    async def open(self) -> None:
        """Open a chat, for whichever worker takes it."""
        conversation = await self._chat.start("support", wait=0)
        await conversation.session.aclose()

    async def say(self, conversation_id: str, text: str) -> None:
        """Send a customer's message."""
        conversation = await self._chat.attach(conversation_id)
        await conversation.send(text)
        self._notes.add("sent", text)
        await conversation.session.aclose()

    async def end(self, conversation_id: str) -> None:
        """End a chat for its customer."""
        conversation = await self._chat.attach(conversation_id)
        await conversation.end()
        await conversation.session.aclose()

    async def do(self, line: str) -> None:
        """Do what a line says; what fails for now is noted, and the next one is another chance."""
        word, *rest = line.split()
        actions: dict[str, Callable[..., Awaitable[None]]] = {"open": self.open, "say": self.say, "end": self.end}
        try:
            await actions[word](*rest)
        except (ConversationClosed, DeliveryUnknown, PuzzelChatError) as error:
            self._notes.add("refused", self._name, word, type(error).__name__)
        except Exception as error:
            self._notes.add("failed", self._name, word, type(error).__name__)
        print(word, flush=True)


async def serve(job: Job) -> None:
    """Act until the input ends."""
    async with client(job) as chat, asyncio.TaskGroup() as acting:
        front = Front(chat, Notes(job.notes), job.name)
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            acting.create_task(front.do(line))


if __name__ == "__main__":
    asyncio.run(serve(Job(**json.loads(sys.argv[1]))))
