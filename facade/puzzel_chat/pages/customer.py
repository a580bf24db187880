"""A web backend with a chat window: one polling loop for all chats, and a stream of events to every tab of each.

Set what `make sandbox` prints, or the settings of your tenant; then `python -m puzzel_chat.pages.customer` serves the
page on port 8000 of this machine. To make it your own, copy this file and, from `static/`, customer.html, customer.js
and customer.css with base.js and base.css. Beside the library it needs Starlette and uvicorn, which come with
`[sandbox]`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import puzzel_chat as pc

STATIC = Path(__file__).with_name("static")
PAGE = (STATIC / "customer.html").read_text(encoding="utf-8")
POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'"
WAIT = 300.0  # seconds for an agent to come
LARGEST = 20 * 2**20  # bytes of a file, as `max_file_bytes` unless set
ALIVE = 15.0  # seconds of silence after which a stream says that it is there, or a proxy would close it
FRESH, PATIENCE = 2.0, 5.0  # seconds that opening hours are good for, and those to ask for them
KEPT = 100  # ended chats that a page can still show, after a reload for example
STATUS = {pc.InvalidArgument: 400, pc.NotFound: 404, pc.SessionNotFound: 404, pc.Conflict: 409}
STATUS |= {pc.RoutingError: 409, pc.ConversationClosed: 409, pc.PuzzelChatError: 502}


@dataclass(eq=False)
class Chat:
    """A chat, and all that happened in it; any number of tabs read that, each at its own place."""

    conversation: pc.AsyncConversation
    log: list[dict[str, Any]] = field(default_factory=list)
    over: bool = False
    more: asyncio.Event = field(default_factory=asyncio.Event)

    def wake(self) -> None:
        """Let the tabs look again."""
        self.more.set()
        self.more = asyncio.Event()


class Backend:
    """The chats of a website; `queues` are those that a customer may choose, each key with its visual queue id."""

    def __init__(self, chat: pc.AsyncPuzzelChat, queues: Mapping[str, str | None], *, page: str = PAGE) -> None:
        self._chat, self._queues, self._page = chat, queues, page
        self._loop = pc.PollingLoop(on_failure=self._failed)
        self._chats, self._ended, self._closed = dict[str, Chat](), deque[str](), False
        self._session: pc.AsyncSession | None = None  # it asks for the opening hours
        self._hours, self._asked = [{"key": key} for key in queues], -FRESH
        self.routes = [
            Route("/", self._show),
            Route("/queues", told(self._tell_queues)),
            Route("/chats", told(self._begin), methods=["POST"]),
            Route("/chats/{id}/events", told(self._events)),
            Route("/chats/{id}/file", told(self._send_file), methods=["POST"]),
            Route("/chats/{id}/files/{message:path}", told(self._download)),
            Route("/chats/{id}/{act}", told(self._act), methods=["POST"]),
        ]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serve chats while the block lasts, then end them: nobody stays in a queue."""
        async with self._chat, self._loop:
            try:
                yield
            finally:
                await self._loop.aclose(end=True)

    def close(self) -> None:
        """End the streams; a server waits for those that are open."""
        self._closed = True
        for chat in self._chats.values():
            chat.wake()

    @property
    def received(self) -> Mapping[str, list[dict[str, Any]]]:
        """What came in each chat, by its id."""
        return {key: chat.log for key, chat in self._chats.items()}

    async def _begin(self, request: Request) -> Response:
        asked = await body(request)
        if (queue := str(asked.get("queue"))) not in self._queues:
            raise pc.InvalidArgument("queue", f"must be one of {', '.join(self._queues)}")
        order = {name: asked.get(name) for name in ("subject", "variables")}
        customer = pc.Customer(name=asked.get("name"))
        conversation = await self._chat.start(queue, self._queues[queue], customer=customer, **order, wait=0)
        self._chats[conversation.id] = Chat(conversation)
        self._loop.add(conversation, self._heard, wait=WAIT)
        return JSONResponse({"id": conversation.id})

    async def _heard(self, conversation: pc.AsyncConversation, event: pc.Event) -> None:
        self._note(conversation.id, event.to_dict(), over=event.type == "conversation_ended")

    async def _failed(self, conversation: pc.AsyncConversation, error: pc.PuzzelChatError) -> None:
        self._note(conversation.id, error.to_dict(), over=True)  # nothing more will come

    def _note(self, key: str, entry: dict[str, Any], *, over: bool) -> None:
        chat = self._chats[key]
        chat.log.append(entry)
        chat.over = over
        chat.wake()
        self._ended += [key] if over else []
        while len(self._ended) > KEPT:
            del self._chats[self._ended.popleft()]

    async def _events(self, request: Request) -> Response:
        chat, asked = self._of(request), request.query_params.get("after", "")
        last = request.headers.get("last-event-id", asked)[:9]  # a browser that lost the line says where it was
        place = int(last) + 1 if last.isdecimal() else 0
        if chat.over and place >= len(chat.log):
            return Response(status_code=204)  # the browser need not come again
        return StreamingResponse(self._stream(chat, place), media_type="text/event-stream")

    async def _stream(self, chat: Chat, place: int) -> AsyncIterator[str]:
        while True:
            more = chat.more
            for number, entry in enumerate(chat.log[place:], place):
                yield f"id: {number}\ndata: {json.dumps(entry)}\n\n"
                place = number + 1
            if chat.over or self._closed:
                return
            try:
                await asyncio.wait_for(more.wait(), ALIVE)
            except TimeoutError:
                yield ": here\n\n"

    async def _act(self, request: Request) -> Response:
        if (act := ACTS.get(request.path_params["act"])) is None:
            return Response(status_code=404)
        sent = await act(self._of(request).conversation, await body(request))
        return JSONResponse({"id": sent.id} if sent else {})

    async def _send_file(self, request: Request) -> Response:
        conversation, data = self._of(request).conversation, await read(request, LARGEST)
        name, kind = request.query_params.get("name"), request.headers.get("content-type")
        sent = await conversation.send_file(data, name=name, content_type=kind)
        return JSONResponse({"id": sent.id})

    async def _download(self, request: Request) -> Response:
        conversation, data = self._of(request).conversation, BytesIO()
        files = [one for one in conversation.transcript() if isinstance(one, pc.FileMessage)]
        message = next((one for one in files if one.id == request.path_params["message"]), None)
        if message is None:
            return Response(status_code=404)
        await conversation.download(message, data)
        # Never shown as a page: whoever sent it chose what it is.
        name = f"attachment; filename*=UTF-8''{quote(message.file_name, safe='', errors='replace')}"
        return Response(data.getvalue(), headers={"Content-Disposition": name}, media_type="application/octet-stream")

    def _of(self, request: Request) -> Chat:
        """Return the chat of a request. Its id is a key; where your customers log in, see here whose it is."""
        if (chat := self._chats.get(request.path_params["id"])) is None:
            raise pc.SessionNotFound("There is no such chat, or it ended a while ago.")
        return chat

    async def _show(self, request: Request) -> Response:
        return HTMLResponse(self._page, headers={"Content-Security-Policy": POLICY})

    async def _tell_queues(self, request: Request) -> Response:
        if monotonic() - self._asked > FRESH:
            self._asked = monotonic()  # however many look, one asks
            await self._ask_hours()
        return JSONResponse({"queues": self._hours, "max_file_bytes": LARGEST})

    async def _ask_hours(self) -> None:
        """Ask when the queues are open; where that fails nobody knows, and the page works all the same."""
        hours: dict[str, dict[str, Any]] = {key: {"key": key} for key in self._queues}
        try:
            async with asyncio.timeout(PATIENCE):
                session = self._session = self._session or await self._chat.connect()
                for key, visual in self._queues.items():
                    with suppress(pc.NotFound):
                        hours[key] |= (await session.queue_info(visual)).to_dict() if visual else {}
        except (pc.PuzzelChatError, TimeoutError):
            self._session = None  # it may have expired
        self._hours = [*hours.values()]


Act = Callable[[pc.AsyncConversation, dict[str, Any]], Awaitable[pc.TextMessage | None]]
ACTS: Mapping[str, Act] = {
    "message": lambda conversation, asked: conversation.send(asked.get("text", "")),
    "choice": lambda conversation, asked: conversation.choose(asked.get("option", "")),
    "typing": lambda conversation, asked: conversation.typing(asked.get("typing") is True),
    "end": lambda conversation, _: conversation.end(),
}
Endpoint = Callable[[Request], Awaitable[Response]]


def told(endpoint: Endpoint) -> Endpoint:
    """Answer an error of the library as data."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except pc.PuzzelChatError as error:
            status = next(status for kind, status in STATUS.items() if isinstance(error, kind))
            return JSONResponse({"error": error.to_dict()}, status)

    return answered


async def read(request: Request, most: int) -> bytes:
    """Return the body of a request, if it is not too long."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > most:
            raise pc.InvalidArgument("body", f"has more than {most:,} bytes")
    return bytes(data)


async def body(request: Request) -> dict[str, Any]:
    """Return the object that the page sent as JSON, a type that another site's page cannot send."""
    data = await read(request, 2**20)
    with suppress(ValueError):
        if request.headers.get("content-type") == "application/json" and isinstance(found := json.loads(data), dict):
            return found
    raise pc.InvalidArgument("body", "must be a JSON object, as application/json")


class Server(uvicorn.Server):
    """A server that ends its streams before it stops: uvicorn waits for what is open."""

    def __init__(self, config: uvicorn.Config, end: Callable[[], None]) -> None:
        super().__init__(config)
        self._end = end

    async def shutdown(self, sockets: Any = None) -> None:
        """Stop."""
        self._end()
        await super().shutdown(sockets)


def main() -> None:
    """Serve the page on this machine, at the port that the program is given."""
    queue, visual = os.environ.get("PUZZEL_CHAT_QUEUE_KEY"), os.environ.get("PUZZEL_CHAT_VISUAL_QUEUE_ID")
    backend = Backend(pc.AsyncPuzzelChat.from_env(), {queue or "support": visual or None})
    routes = [*backend.routes, Mount("/static", StaticFiles(directory=STATIC))]
    app = Starlette(routes=routes, lifespan=lambda _: backend.running())
    port = int(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("PORT", "8000"))
    with suppress(KeyboardInterrupt):
        Server(uvicorn.Config(app, port=port), backend.close).run()


if __name__ == "__main__":
    main()
