"""A web backend whose chats are polled by workers, so that any number of it can run: see `worker`."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Body, FastAPI, Header, responses, sse
from redis.asyncio import Redis

from puzzel_chat import AsyncPuzzelChat, RedisStore

PAGE = """<!doctype html><title>Chat</title><pre></pre><form><input name=text><button>Send</button></form>
<script type=module>
const headers = {"Content-Type": "application/json"}, log = document.querySelector("pre")
const post = (path, text) => fetch(path, {method: "POST", headers, body: JSON.stringify(text)})
const path = `/chats/${await (await post("/chats", "Ada")).json()}`, events = new EventSource(path)
events.onmessage = ({data}) => { const {line, by} = JSON.parse(data); log.append(line + "\\n"); by && events.close() }
onsubmit = sent => { sent.preventDefault(); post(path, sent.target.text.value); sent.target.reset() }</script>"""
ADDRESS = os.environ["PUZZEL_CHAT_STORE"]
KEYS = os.environ.get("STORE_KEYS", "").split()
chat = AsyncPuzzelChat.from_env(store=RedisStore(ADDRESS, encryption_keys=KEYS))
redis: Any = Redis.from_url(ADDRESS, decode_responses=True)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with chat, redis:
        yield


app = FastAPI(lifespan=lifespan)
app.get("/", response_class=responses.HTMLResponse)(lambda: PAGE)


@app.post("/chats")
async def begin(name: str = Body()) -> str:
    conversation = await chat.start("support", customer={"name": name}, wait=0)
    await conversation.session.aclose()  # now a worker polls it
    return conversation.id


@app.post("/chats/{chat_id}")
async def say(chat_id: str, text: str = Body()) -> None:
    conversation = await chat.attach(chat_id)
    await conversation.send(text)


@app.get("/chats/{chat_id}", response_class=sse.EventSourceResponse)
async def stream(chat_id: str, last_event_id: Annotated[str, Header()] = "0") -> AsyncIterator[sse.ServerSentEvent]:
    while True:
        for place, row in await redis.xrange(f"events:{chat_id}", f"({last_event_id}"):
            last_event_id = place
            yield sse.ServerSentEvent(data=json.loads(row["event"]), id=place)
        await asyncio.sleep(0.2)
