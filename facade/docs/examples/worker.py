"""A worker: polls chats beside other workers on the same Redis, and writes each event where web backends read it."""

import asyncio
import json
import os

from redis.asyncio import Redis

from puzzel_chat import AfterError, AsyncConversation, AsyncPuzzelChat, Event, RedisStore, Worker

ADDRESS = os.environ["PUZZEL_CHAT_STORE"]
KEYS = os.environ.get("STORE_KEYS", "").split()
DAY = 86400


async def main() -> None:
    async def write(conversation: AsyncConversation, event: Event) -> None:
        stream = f"events:{conversation.id}"
        await redis.xadd(stream, {"event": json.dumps({**event.to_dict(), "line": str(event)})})
        await redis.expire(stream, DAY)

    store = RedisStore(ADDRESS, encryption_keys=KEYS)
    async with Redis.from_url(ADDRESS) as redis, AsyncPuzzelChat.from_env(store=store) as chat:
        await Worker(chat, write, wait=300, on_handler_error=AfterError.TRY_AGAIN).run()


if __name__ == "__main__":
    asyncio.run(main())
