"""A chat that survives its process: kill this program and start it again, and the chat goes on; nothing is lost."""

import sys

from puzzel_chat import Conversation, PuzzelChat, SQLiteStore, TextMessage


def unfinished(chat: PuzzelChat) -> Conversation | None:
    """Take up a chat that an earlier process left behind."""
    for found in chat.sessions():
        if found.conversations and not found.in_use and found.problem is None:
            return chat.resume(found.id).conversations[0]
    return None


def main(file: str) -> None:
    with PuzzelChat.from_env(store=SQLiteStore(file)) as chat:
        conversation = unfinished(chat)
        if conversation is None:
            conversation = chat.start("support", customer={"name": "Ada"}, wait=120)
            conversation.send("help")
        for event in conversation.events():
            # What was printed just before a kill is printed once more: its id tells.
            print(event.id, event, flush=True)
            if isinstance(event, TextMessage) and event.text.startswith("Try:"):
                conversation.send("end chat")


if __name__ == "__main__":
    main(*sys.argv[1:] or ["chats.db"])
