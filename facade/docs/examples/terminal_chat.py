"""A chat in a terminal: you type, the agent answers. It ends with the chat, or at Ctrl-D."""

import asyncio
import sys

from puzzel_chat import Allocation, AsyncConversation, AsyncPuzzelChat, PuzzelChatError, QueueClosed, Role, TextMessage


def tell(allocation: Allocation) -> None:
    print(f"… {allocation}")


async def listen(conversation: AsyncConversation) -> None:
    async for event in conversation.events():
        if not isinstance(event, TextMessage) or event.author.role is not Role.CUSTOMER:
            print(event)


async def speak(conversation: AsyncConversation) -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip():
            await conversation.send(line.strip())


async def main() -> None:
    try:
        async with (
            AsyncPuzzelChat.from_env() as chat,
            chat.start("support", customer={"name": "Ada"}, wait=300, on_progress=tell) as conversation,
        ):
            heard, said = asyncio.create_task(listen(conversation)), asyncio.create_task(speak(conversation))
            await asyncio.wait({heard, said}, return_when=asyncio.FIRST_COMPLETED)
            for task in (heard, said):
                task.cancel()
    except QueueClosed as closed:
        sys.exit(f"We are closed. We open at {closed.opens_at}.")
    except PuzzelChatError as error:
        sys.exit(f"The chat is over: {error}")


if __name__ == "__main__":
    asyncio.run(main())
