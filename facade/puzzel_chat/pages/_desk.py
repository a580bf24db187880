"""The agent's desk: who waits, the offer, the chats, and everything that an agent does."""

from __future__ import annotations

import asyncio
import pathlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from html import unescape
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from puzzel_chat.sandbox import NOTICE, AgentHandle, Chat, Entry, Person

from ._cards import Cards, Over
from ._requests import Body, Path, done, flag, posted, refused, text, texts
from ._stream import Hub, Json, Shown, stream

PAGE = pathlib.Path(__file__).with_name("static") / "desk.html"
LONGEST_NAME = 40
GRACE = 5.0
"""Seconds after the last tab of an agent has closed until offers go elsewhere; a reload takes less."""
LINES = 300
"""Lines of a chat that a page begins with."""
LARGEST_FILE = 20 * 2**20
"""Bytes that a file may have."""


class Desks:
    """The desks of all agents; one who has no tab open gets no offers."""

    def __init__(self, hub: Hub) -> None:
        self._hub, self._sandbox = hub, hub.sandbox
        self._tabs: dict[str, int] = {}
        self._paused: set[str] = set()
        self._cards: dict[str, Cards] = {}
        self.routes = [
            Route("/desk", self._page),
            Route("/desk/agents", self._agents),
            WebSocketRoute("/desk/stream", self._stream),
            posted("/desk/scripted", self._switch),
            posted("/desk/ready", self._ready),
            posted("/desk/leave", self._leave),
            posted("/desk/chats/{id}/close", self._close),
            *(posted(f"/desk/chats/{{id}}/{name}", partial(self._act, name)) for name in ACTS),
            Route("/desk/chats/{id}/file", self._send_file, methods=["POST"]),
            Route("/desk/chats/{id}/file/{message}", self._file),
        ]

    def tabs(self, name: str) -> int:
        """Return how many tabs an agent has open."""
        return self._tabs.get(name, 0)

    async def _page(self, request: Request) -> Response:
        return FileResponse(PAGE)

    async def _agents(self, request: Request) -> Response:
        return JSONResponse({"agents": list(self._sandbox.persons())})

    async def _stream(self, socket: WebSocket) -> None:
        name = socket.query_params.get("agent", "").strip()[:LONGEST_NAME]
        if name:
            await stream(socket, self._news(name))
        else:
            await socket.close(reason="say who you are: ?agent=Kari")

    async def _news(self, name: str) -> AsyncIterator[Json | None]:
        person, shown, sent = self._sandbox.person(name), Shown(), dict[str, int]()
        self._tabs[name] = self._tabs.get(name, 0) + 1
        person.set_ready(name not in self._paused)
        try:
            async for _ in self._hub.looks():
                now = self._person(name)
                if now is None or now.id != person.id:  # signed out in another tab
                    yield shown.news({"notice": NOTICE, "me": None})
                    continue
                cards = self._cards.setdefault(person.id, Cards(self._sandbox)).look(person)
                state = shown.news(self._state(person, cards))
                entries = self._entries(cards, sent)
                yield {**(state or {}), "entries": entries} if state or entries else None
        finally:
            self._tabs[name] -= 1
            asyncio.get_running_loop().call_later(GRACE, self._rest, name)

    def _rest(self, name: str) -> None:
        """Send no more offers to an agent whose last tab is closed."""
        person = self._person(name)
        if person is not None and not self._tabs[name]:
            person.set_ready(False)

    def _person(self, name: object) -> Person | None:
        """Return the agent of this name, None if that one has gone home."""
        return self._sandbox.person(name) if isinstance(name, str) and name in self._sandbox.persons() else None

    def _state(self, person: Person, cards: Mapping[str, Over | None]) -> Json:
        chats = {one.id: one for one in self._sandbox.chats()}
        waiting = sorted((one for one in chats.values() if one.waiting), key=lambda one: one.routed_at)
        known = {
            **{one.id: one for one in waiting},
            **{key: chats.get(key) or self._sandbox.chat(key) for key in cards},
        }
        queues = [self._sandbox.queue(key) for key in self._sandbox.queues()]
        return {
            "notice": NOTICE,
            "me": {"id": person.id, "name": person.name, "ready": person.ready, "offer": person.offer},
            "scripted": self._sandbox.scripted,
            "agents": self._at_work(Counter(one.agent for one in chats.values())),
            "queues": [{"key": one.key, "name": one.name, "open": one.is_open, "size": one.size} for one in queues],
            "waiting": [one.id for one in waiting],
            "cards": list(cards),
            **{f"order:{key}": order_json(one) for key, one in known.items()},
            **{f"wait:{one.id}": waiting_json(one) for one in waiting},
            **{f"card:{key}": card_json(known[key], over) for key, over in cards.items()},
        }

    def _at_work(self, chats: Mapping[str | None, int]) -> list[Json]:
        persons = [person for name in self._sandbox.persons() if (person := self._person(name))]
        return [{"name": one.name, "ready": one.ready, "chats": chats.get(one.id, 0)} for one in persons]

    def _entries(self, cards: Mapping[str, Over | None], sent: dict[str, int]) -> dict[str, list[Json]]:
        """Return what is new in these chats, as long as they were the agent's, and count it as sent."""
        new = {}
        for key, over in cards.items():
            start = sent.get(key, 0)
            entries = self._sandbox.agent(key).transcript(start)
            entries = entries if over is None else entries[: max(0, over.entries - start)]
            sent[key] = start + len(entries)
            shown = [entry_json(entry) for entry in entries if entry.wire.get("event") != "AgentTyping"]
            if shown:
                new[key] = shown[-LINES:]
        return new

    def _switch(self, body: Body, _path: Path) -> None:
        self._sandbox.set_scripted(flag(body, "on"))

    def _ready(self, body: Body, _path: Path) -> None:
        person, ready = self._known(body), flag(body, "ready")
        (self._paused.discard if ready else self._paused.add)(person.name)
        person.set_ready(ready)

    def _leave(self, body: Body, _path: Path) -> None:
        person = self._known(body)
        self._paused.discard(person.name)
        self._cards.pop(person.id, None)
        person.leave()

    def _close(self, body: Body, path: Path) -> None:
        cards = self._cards.get(self._known(body).id)
        if cards is not None:
            cards.close(path["id"])

    def _act(self, name: str, body: Body, path: Path) -> None:
        ACTS[name](self._agent(self._known(body), path["id"], offer=name in OFFER), body)

    async def _send_file(self, request: Request) -> Response:
        asked, key = request.query_params, request.path_params["id"]
        if int(request.headers.get("content-length", 0)) > LARGEST_FILE:
            return refused(413, f"a file may have {LARGEST_FILE} bytes")
        data, name = await request.body(), asked.get("name", "file")
        kind = request.headers.get("content-type") or "application/octet-stream"
        return done(lambda: self._agent(self._known(asked), key).send_file(data, name, kind))

    def _known(self, asked: Body) -> Person:
        """Return the agent who asks for something.

        Raises:
            LookupError: that one has gone home.

        """
        person = self._person(asked.get("agent"))
        if person is None:
            raise LookupError("you have signed out")
        return person

    def _agent(self, person: Person, conversation_id: str, *, offer: bool = False) -> AgentHandle:
        """Return the agent of a chat, or of an offer, if it is this person's.

        Raises:
            LookupError: it is not.

        """
        own = (person.offer,) if offer else [one.id for one in person.chats()]
        if conversation_id not in own:
            raise LookupError("this chat is no longer yours")
        return self._sandbox.agent(conversation_id)

    async def _file(self, request: Request) -> Response:
        agent, key = self._sandbox.agent(request.path_params["id"]), request.path_params["message"]
        try:
            data = agent.file(key)
        except LookupError as error:
            return refused(404, str(error))
        name = next(str(one.wire.get("fileName")) for one in agent.transcript() if one.id == key)
        # Always a download: whoever sent it chose its type.
        kept = f"attachment; filename*=utf-8''{quote(name, safe='', errors='replace')}"
        return Response(data, headers={"Content-Disposition": kept}, media_type="application/octet-stream")


ACTS: Mapping[str, Callable[[AgentHandle, Body], str | None]] = {
    "accept": lambda agent, _body: agent.accept(),
    "decline": lambda agent, _body: agent.decline(),
    "say": lambda agent, body: agent.say(text(body, "text")),
    "edit": lambda agent, body: agent.edit(text(body, "message"), text(body, "text")),
    "typing": lambda agent, body: agent.typing(flag(body, "typing")),
    "ask": lambda agent, body: agent.ask(text(body, "text"), texts(body, "choices")),
    "transfer": lambda agent, body: agent.transfer(text(body, "queue")),
    "leave": lambda agent, _body: agent.leave(),
    "end": lambda agent, _body: agent.end(),
}
"""What an agent can do in a chat."""
OFFER = ("accept", "decline")
"""Those that answer an offer."""


def plain(content: str) -> str:
    """Return the text of a content that has no markup; a number that no letter can have is not read."""
    return unescape(re.sub(r"&#[0-9]{9,};?", "\ufffd", content))


def order_json(chat: Chat) -> Json:
    """Return what came with a chat, which does not change; a secret value stays secret."""
    order = chat.order
    return {
        "since": chat.routed_at.isoformat(),
        "customer": dict(order.customer or {}),
        "subject": order.subject,
        "variables": [
            {"name": one["name"], "value": None if one.get("secret") else one["value"]} for one in order.variables
        ],
        "history": order.history,
    }


def waiting_json(chat: Chat) -> Json:
    """Return how far a chat is that waits."""
    return {"queue": chat.queue_key, "position": chat.position, "offers": chat.offers}


def card_json(chat: Chat, over: Over | None) -> Json:
    """Return how a chat on the desk stands, and how it has left the desk if it has."""
    if over is None:
        return {"queue": chat.queue_key, "typing": chat.customer_typing, "over": None}
    return {"queue": over.queue, "typing": False, "over": {"how": over.how, "at": over.at.isoformat()}}


def entry_json(entry: Entry) -> Json:
    """Return an entry of the ledger; its text is plain. Ids may begin again, keys do not."""
    wire, author = entry.wire, entry.wire.get("author")
    return {
        "id": entry.id,
        "key": f"{entry.life}.{entry.id}",
        "version": entry.version,
        "type": entry.type,
        "role": entry.role.name.lower(),
        "by": author.get("id") if isinstance(author, Mapping) else None,
        "author": entry.author,
        "text": "" if entry.type in ("File", "Event") else plain(entry.content or ""),
        "at": entry.sent_at.isoformat(),
        "options": wire.get("options"),
        "file": {"name": wire.get("fileName"), "size": wire.get("size")} if entry.type == "File" else None,
        "event": {name: wire.get(name) for name in ("event", "agent", "endedBy", "reason")}
        if entry.type == "Event"
        else None,
    }
