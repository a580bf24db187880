"""The agent's desk: who waits, the offer, the chats, and everything that an agent does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from html import unescape
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from puzzel_chat.sandbox import NOTICE, AgentHandle, Chat, Entry, Person

from ._stream import Hub, Json, Shown, event_stream

PAGE = Path(__file__).with_name("static") / "desk.html"
LONGEST_NAME = 40
GRACE = 5.0
"""Seconds after the last tab of an agent has closed until offers go elsewhere; a reload takes less."""

Body = Mapping[str, Any]


class Desk:
    """The desks of all agents; one who has no tab open gets no offers."""

    def __init__(self, hub: Hub) -> None:
        self._hub, self._sandbox = hub, hub.sandbox
        self._tabs: dict[str, int] = {}
        self.routes = [
            Route("/desk", self._page),
            Route("/desk/stream", self._stream),
            Route("/desk/scripted", self._switch, methods=["POST"]),
            Route("/desk/leave", self._leave, methods=["POST"]),
            Route("/desk/chats/{id}/file", self._send_file, methods=["POST"]),
            Route("/desk/chats/{id}/file/{message}", self._file),
            Route("/desk/chats/{id}/{act}", self._act, methods=["POST"]),
        ]

    def tabs(self, name: str) -> int:
        """Return how many tabs an agent has open."""
        return self._tabs.get(name, 0)

    async def _page(self, request: Request) -> Response:
        return FileResponse(PAGE)

    async def _stream(self, request: Request) -> Response:
        name = request.query_params.get("agent", "").strip()[:LONGEST_NAME]
        if not name:
            return refused(400, "say who you are: ?agent=Kari")
        return event_stream(self._news(name))

    async def _news(self, name: str) -> AsyncIterator[Json | None]:
        person, shown, sent = self._sandbox.person(name), Shown(), dict[str, int]()
        self._tabs[name] = self._tabs.get(name, 0) + 1
        person.set_ready(True)
        mine: list[str] = []
        try:
            async for _ in self._hub.looks():
                # What was mine a moment ago is shown once more: how it ended, or that it went on to someone else.
                mine = list(dict.fromkeys([*mine, *(one.id for one in person.chats())]))
                chats = {key: self._sandbox.chat(key) for key in mine}
                state = shown.news(self._state(person, chats))
                entries = self._entries(mine, sent)
                mine = [key for key in mine if chats[key].agent == person.id]
                yield {**(state or {}), "entries": entries} if state or entries else None
        finally:
            self._tabs[name] -= 1
            asyncio.get_running_loop().call_later(GRACE, self._rest, name)

    def _rest(self, name: str) -> None:
        """Send no more offers to an agent whose last tab is closed."""
        if not self._tabs[name] and name in self._sandbox.persons():
            self._sandbox.person(name).set_ready(False)

    def _state(self, person: Person, mine: Mapping[str, Chat]) -> Json:
        waiting = sorted((one for one in self._sandbox.chats() if one.waiting), key=lambda one: one.routed_at)
        chats = {**{one.id: one for one in waiting}, **mine}
        queues = [self._sandbox.queue(key) for key in self._sandbox.queues()]
        return {
            "notice": NOTICE,
            "me": {"id": person.id, "name": person.name, "ready": person.ready, "offer": person.offer},
            "scripted": self._sandbox.scripted,
            "agents": list(self._sandbox.persons()),
            "queues": [{"key": one.key, "name": one.name, "open": one.is_open, "size": one.size} for one in queues],
            "waiting": [one.id for one in waiting],
            "mine": [one.id for one in mine.values() if one.agent == person.id],
            **{f"chat:{key}": chat_json(one) for key, one in chats.items()},
        }

    def _entries(self, chats: Iterable[str], sent: dict[str, int]) -> dict[str, list[Json]]:
        """Return what is new in these chats, and count it as sent."""
        new = {}
        for key in chats:
            entries = self._sandbox.agent(key).transcript(sent.get(key, 0))
            if entries:
                new[key] = [entry_json(entry) for entry in entries]
                sent[key] = sent.get(key, 0) + len(entries)
        return new

    async def _switch(self, request: Request) -> Response:
        body = await request.json()
        self._sandbox.set_scripted(bool(body["on"]))
        return JSONResponse({})

    async def _leave(self, request: Request) -> Response:
        body = await request.json()
        if body["agent"] in self._sandbox.persons():
            self._sandbox.person(body["agent"]).leave()
        return JSONResponse({})

    async def _act(self, request: Request) -> Response:
        body: Body = await request.json()
        act = ACTS.get(request.path_params["act"])
        if act is None:
            return refused(404, "an agent cannot do that")
        return self._done(request, str(body.get("agent")), lambda agent: act(agent, body))

    async def _send_file(self, request: Request) -> Response:
        asked, data = request.query_params, await request.body()
        kind = request.headers.get("content-type") or "application/octet-stream"
        name = asked.get("name", "file")
        return self._done(request, asked.get("agent", ""), lambda agent: agent.send_file(data, name, kind))

    def _done(self, request: Request, name: str, act: Callable[[AgentHandle], object]) -> Response:
        """Act in a chat, or answer an offer, if it is this agent's."""
        key, offer = request.path_params["id"], request.path_params.get("act") in ("accept", "decline")
        person = self._sandbox.person(name) if name in self._sandbox.persons() else None
        if person is None or not (person.offer == key if offer else key in {one.id for one in person.chats()}):
            return refused(409, "this chat is no longer yours")
        try:
            act(self._sandbox.agent(key))
        except KeyError as error:
            return refused(400, f"{error.args[0]} is missing or unknown")
        except (LookupError, RuntimeError) as error:
            return refused(409, str(error))
        return JSONResponse({})

    async def _file(self, request: Request) -> Response:
        try:
            data = self._sandbox.agent(request.path_params["id"]).file(request.path_params["message"])
        except LookupError as error:
            return refused(404, str(error))
        # Always a download: whoever sent it chose its type.
        return Response(data, headers={"Content-Disposition": "attachment"}, media_type="application/octet-stream")


ACTS: Mapping[str, Callable[[AgentHandle, Body], str | None]] = {
    "accept": lambda agent, _body: agent.accept(),
    "decline": lambda agent, _body: agent.decline(),
    "say": lambda agent, body: agent.say(str(body["text"])),
    "edit": lambda agent, body: agent.edit(str(body["message"]), str(body["text"])),
    "typing": lambda agent, body: agent.typing(bool(body["typing"])),
    "ask": lambda agent, body: agent.ask(str(body["text"]), [str(one) for one in body["choices"]]),
    "transfer": lambda agent, body: agent.transfer(str(body["queue"])),
    "leave": lambda agent, _body: agent.leave(),
    "end": lambda agent, _body: agent.end(),
}
"""What an agent can do in a chat; `accept` and `decline` are for the offer."""


def refused(status: int, why: str) -> JSONResponse:
    """Return an error that a page shows to its user."""
    return JSONResponse({"error": why}, status)


def chat_json(chat: Chat) -> Json:
    """Return what the desk shows of a chat; a secret value stays secret."""
    order = chat.order
    return {
        "id": chat.id,
        "queue": chat.queue_key,
        "status": str(chat.status),
        "since": chat.routed_at.isoformat(),
        "position": chat.position,
        "agent": chat.agent,
        "agentName": chat.agent_name,
        "typing": chat.customer_typing,
        "ended": chat.ended,
        "customer": dict(order.customer or {}),
        "subject": order.subject,
        "variables": [
            {"name": one["name"], "value": None if one.get("secret") else one["value"]} for one in order.variables
        ],
        "history": order.history,
    }


def entry_json(entry: Entry) -> Json:
    """Return an entry of the ledger; its text is plain."""
    wire = entry.wire
    return {
        "id": entry.id,
        "version": entry.version,
        "type": entry.type,
        "role": entry.role.name.lower(),
        "author": entry.author,
        "text": unescape(entry.content or ""),
        "at": entry.sent_at.isoformat(),
        "options": wire.get("options"),
        "file": {"name": wire.get("fileName"), "size": wire.get("size")} if entry.type == "File" else None,
        "event": {name: wire.get(name) for name in ("event", "agent", "endedBy", "reason")}
        if entry.type == "Event"
        else None,
    }
