"""A web backend: a page for customers, a stream of what happens in each chat, and one polling loop for all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import uvicorn
from fastapi import Body, FastAPI, responses, sse

from puzzel_chat import AsyncConversation, AsyncPuzzelChat, Event, PollingLoop

PAGE = """<!doctype html><title>Chat</title><pre></pre><form><input name=text><button>Send</button></form>
<script type=module>
const headers = {"Content-Type": "application/json"}, log = document.querySelector("pre")
const post = (path, text) => fetch(path, {method: "POST", headers, body: JSON.stringify(text)})
const path = `/chats/${await (await post("/chats", "Ada")).json()}`, events = new EventSource(path)
events.onmessage = ({data}) => { const {line, by} = JSON.parse(data); log.append(line + "\\n"); by && events.close() }
onsubmit = sent => { sent.preventDefault(); post(path, sent.target.text.value); sent.target.reset() }</script>"""
chats: dict[str, tuple[AsyncConversation, asyncio.Queue[Event]]] = {}
chat, loop = AsyncPuzzelChat.from_env(), PollingLoop()


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with chat, loop:
        yield
        await loop.aclose(end=True)  # nobody stays in a queue


app = FastAPI(lifespan=lifespan)
app.get("/", response_class=responses.HTMLResponse)(lambda: PAGE)
server = uvicorn.Server(uvicorn.Config(app))


@app.post("/chats")
async def begin(name: str = Body()) -> str:
    conversation = await chat.start("support", customer={"name": name}, wait=0)
    chats[conversation.id] = conversation, asyncio.Queue()
    loop.add(conversation, lambda _, event: chats[conversation.id][1].put(event), wait=300)
    return conversation.id


@app.post("/chats/{chat_id}")
async def say(chat_id: str, text: str = Body()) -> None:
    await chats[chat_id][0].send(text)


@app.get("/chats/{chat_id}", response_class=sse.EventSourceResponse)
async def stream(chat_id: str) -> AsyncIterator[dict[str, object]]:
    while chat_id in chats and not server.should_exit:
        with suppress(TimeoutError):
            event = await asyncio.wait_for(chats[chat_id][1].get(), 1)
            yield {**event.to_dict(), "line": str(event)}
            if event.type == "conversation_ended":
                del chats[chat_id]


if __name__ == "__main__":
    server.run()
