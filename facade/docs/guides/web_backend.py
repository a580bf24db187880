"""# A web backend

A browser must not have the contact centre's tokens, so your backend holds the chats: one `AsyncPuzzelChat` and one
`PollingLoop` per process, and a stream of events to each browser. The program `web_backend` does that for any number of
customers, page included; this guide says why it looks as it does.

**One loop, one handler.** `PollingLoop.add` polls for a chat and calls your handler with each event, in order and once.
With `wait=300` it waits for the agent too: `AllocationChanged` comes at each change of the search (position in the
queue, an offer, the agent's name), then everything else. When nobody comes in time the chat leaves the queue, and its
end says so: `by` is the system, `reason` is `"AgentWaitTimeout"`.

```python
import asyncio

from puzzel_chat import (
    AgentJoined,
    AllocationChanged,
    AsyncConversation,
    AsyncPuzzelChat,
    ConversationEnded,
    Event,
    PollingLoop,
)


async def push(conversation: AsyncConversation, event: Event) -> None:
    match event:
        case AllocationChanged(allocation=allocation):
            print("search:", allocation)
        case AgentJoined():
            await conversation.send("end chat")
        case ConversationEnded():
            print("over:", event.reason or event.by)
        case _:
            print(event.to_dict()["type"])


async def main() -> None:
    async with AsyncPuzzelChat.from_env() as chat, PollingLoop() as loop:
        conversation = await chat.start("support", customer={"name": "Ada"}, wait=0)
        loop.add(conversation, push, wait=300)
        while loop.stats().conversations:
            await asyncio.sleep(0.1)


asyncio.run(main())
```

**Events go to the browser as data.** `event.to_dict()` is what JSON takes, with a literal `type`; `event_from_dict`
reads it again, in another service for example. `str(event)` is a line for a person. Show text as text, never as markup:
`TextMessage.html` is what came, `text` is plain.

**One reader for each chat.** Two browser tabs are two listeners of *your* stream, not two readers of the chat: a second
reader raises `SessionInUse`. Give each tab a queue of its own that the one handler fills.

**Nobody stays in a queue.** `aclose(end=True)` ends each chat of the loop at the service within five seconds. Servers
that wait for open streams before they shut down (uvicorn does) need streams that end by themselves: the program asks
once a second whether the server is to stop.

**The chat's id is a key.** Whoever knows it can write in the chat. It is a random UUID; still, tie it to the customer's
login or cookie where you have one.

**Several processes.** A chat's events come to the process that polls it, so send a customer's requests there (sticky
sessions), or leave the polls to workers: then any process takes any request, by `attach`; see the guide `workers`. Some
hundreds of chats fit one process as it is, thousands with `[fleet]`.
"""
