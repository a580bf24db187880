"""A bot hands a chat over to a person, is silent meanwhile, and gets it back. First set what `make sandbox` prints."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from puzzel_chat import AsyncConversation, AsyncPuzzelChat, ConversationClosed, Role, RoutingError, Turn

SCRIPT = [(None, "Where is order 7?"), (Role.BOT, "A person, please"), (Role.AGENT, "end chat"), (Role.BOT, "Thanks")]


def answer(text: str) -> str | None:
    return None if "person" in text else f"I am a bot, and I read: {text}"


class Desk:
    def __init__(self, chat: AsyncPuzzelChat, tasks: asyncio.TaskGroup) -> None:
        self.chat, self.tasks, self.turns = chat, tasks, list[Turn]()
        self.person: AsyncConversation | None = None  # while an agent has the chat
        self.task: asyncio.Task[None] | None = None

    def say(self, role: Role, text: str, name: str | None = None) -> None:
        self.turns.append(Turn(role, text, datetime.now(UTC), name))
        print(self.turns[-1], flush=True)

    async def hear(self, text: str) -> None:
        self.say(Role.CUSTOMER, text)
        if self.person is not None:
            with suppress(ConversationClosed):  # it has just ended: the bot answers
                await self.person.send(text)
                return
        self.say(Role.BOT, (reply := answer(text)) or "I am looking for a person.")
        if reply is None and (self.task is None or self.task.done()):
            self.task = self.tasks.create_task(self.hand_over())

    async def hand_over(self) -> None:
        with suppress(RoutingError):  # nobody can come
            async with self.chat.start("support", history=self.turns, wait=60) as conversation:
                self.person = conversation
                async for event in conversation.events():
                    if event.type == "text_message" and event.author.is_agent:
                        self.say(Role.AGENT, event.text, event.author.name)
                    elif event.type in ("agent_joined", "agent_left"):  # after one left, another may come
                        self.person = conversation if event.type == "agent_joined" else None
        self.person = None
        self.say(Role.BOT, "It is me again.")


async def main() -> None:
    async with AsyncPuzzelChat.from_env() as chat, asyncio.TaskGroup() as tasks:
        desk = Desk(chat, tasks)
        for speaker, line in SCRIPT:
            while speaker and desk.turns[-1].role is not speaker:  # a line comes after somebody in that role spoke
                await asyncio.sleep(0.1)
            await desk.hear(line)


if __name__ == "__main__":
    asyncio.run(main())
