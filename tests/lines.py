"""A service that answers the polls with given lines of one conversation and everything else well, and its customers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hostile import Asked, Said, Service
from puzzel_chat import AsyncPuzzelChat, ConversationEnded, Event, PollingLoop

TOKENS = {"access_token": "access", "refresh_token": "refresh", "expires_in": 600}
AGENT = {"role": 1, "id": "kari", "displayName": "Kari"}


def line(number: int, **more: Any) -> dict[str, Any]:
    """A text of the agent in the conversation "mine"."""
    usual = {"id": str(number), "conversationId": "mine", "sentAt": "2026-01-05T09:00:00Z", "author": AGENT}
    return {**usual, "version": 1, "type": "Text", "content": f"line {number}", **more}


END = line(999, type="Event", event="ConversationEnded", endedBy=1)


def centre(*polls: Any, **replies: Said) -> Callable[[Asked], Said]:
    """Answer the polls with these lists of items, then with nothing; the rest well, unless `replies` names its path."""
    left = list(polls)

    def answer(asked: Asked) -> Said:
        if asked.path.startswith("/connect"):
            return Said(TOKENS)
        if asked.path.startswith("/api/conversation?") or asked.path == "/api/conversation":
            said = left.pop(0) if left else []
            return said if isinstance(said, Said) else Said({"messages": said})
        for word, said in replies.items():
            if word in asked.path:
                return said
        return Said({"id": "1", "status": "Assigned", "sentAt": "2026-01-05T09:00:00Z"})

    return answer


def routed(chat: Any) -> Any:
    """A conversation that has an agent."""
    conversation = chat.connect().conversation("mine")
    conversation.route("q_support")
    return conversation


async def handled(service: Service, fast: bool) -> list[Event]:
    """Give what a `PollingLoop` hands to the handler of a routed conversation, until that ends."""
    seen: list[Event] = []
    over = asyncio.Event()

    async def handler(_: object, event: Event) -> None:
        seen.append(event)
        if isinstance(event, ConversationEnded):
            over.set()

    async with AsyncPuzzelChat(base_url=service.base_url, solution_id="7", poll_interval=0.05) as chat:
        conversation = (await chat.connect()).conversation("mine")
        await conversation.route("support")
        async with PollingLoop(fast=fast) as loop:
            loop.add(conversation, handler)
            await asyncio.wait_for(over.wait(), 20)
    return seen
