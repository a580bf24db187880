"""A worker of its own process: writes what its handler got to a file, one JSON line each; ends at SIGTERM.

Arguments: the store (a redis:// URL, or a file of SQLite), the file for what is heard, the worker's name.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys

from puzzel_chat import AsyncConversation, AsyncPuzzelChat, Event, RedisStore, SQLiteStore, Worker


async def main(address: str, heard: str, name: str) -> None:
    file = os.open(heard, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def handler(conversation: AsyncConversation, event: Event) -> None:
        line = {"by": name, "conversation": conversation.id, "id": event.id, "text": getattr(event, "text", None)}
        os.write(file, f"{json.dumps(line)}\n".encode())

    store = RedisStore(address) if address.startswith("redis") else SQLiteStore(address)
    async with AsyncPuzzelChat.from_env(store=store) as chat:
        await Worker(chat, handler, name=name).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
