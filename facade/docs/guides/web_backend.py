"""# A web backend

A browser must not have the contact centre's tokens, so your backend holds the chats: one `AsyncPuzzelChat` and one
`PollingLoop` per process, and a stream of events to each browser. The program `customer` does that for any number of
customers, with a page to start from; this guide says why it looks as it does. `python -m puzzel_chat.pages.customer`
runs it.

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
reader raises `SessionInUse`. The program's one handler writes a log of each chat, which every tab reads at its own
place. So a page that is reloaded, or that lost the line, gets all of the chat again, or the rest of it. Logs of chats
that have ended are forgotten after a hundred more.

**Errors go to the browser as data, too.** `error.to_dict()` has the class's name, the words, and what the page needs to
act: `opens_at` of `QueueClosed`, `retryable`. After `DeliveryUnknown` the page does not offer to send again; it says
that the message may have arrived.

**Files pass through.** The browser sends bytes to your backend, and fetches a file from there by the id of its message:
the address that the service gave may need the token. Serve such a file as a download, never as a page of yours.

**Nobody stays in a queue.** `aclose(end=True)` ends each chat of the loop at the service within five seconds. Servers
that wait for open streams before they shut down (uvicorn does) need streams that end: the program's `Server` ends them
first. A customer who closes the page without a word stays until `wait` is over, or the agent ends the chat; whether
that should end it sooner is for you to say, since a telephone in a pocket looks the same.

**The chat's id is a key.** Whoever knows it can read the chat and write in it. It is a random UUID; still, tie it to
the customer's login or cookie where you have one.

**Several processes.** A chat's events come to the process that polls it, so send a customer's requests there (sticky
sessions), or leave the polls to workers: then any process takes any request, by `attach`; see the guide `workers`. Some
hundreds of chats fit one process as it is, thousands with `[fleet]`.
"""
