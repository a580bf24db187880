"""The control room: what the contact centre does, what goes wrong, every request, and a ledger beside its client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from puzzel_chat.sandbox import AFTER_END, NOTICE, SCRIPTS, SEMANTICS, Chat, Fault, QueueState, Sandbox

from ._beside import Received, beside
from ._catalogue import MAKERS, OPERATIONS, made, plain_status, rule_json
from ._recorder import Recorder
from ._requests import Body, flag, number, one_of, posted, whole
from ._stream import Hub, Json, Shown, stream

PAGE = Path(__file__).with_name("static") / "control.html"
CHATS = 200
"""Chats that can be chosen, the newest ones."""
SPENT = 20
"""Faults that have struck for the last time and are still shown."""
IN_FORCE = 100
"""Faults that may be in force before the page takes no more."""
LONGEST_LIFE = 86_400.0 * 365


class Control:
    """The control rooms of all who watch; each shows the same.

    `received` returns the events that the customer's page has received in a chat, and None for another client's chat.
    Requests are noted from now on, until `close`.
    """

    def __init__(self, hub: Hub, received: Received) -> None:
        self._hub, self._sandbox, self._received = hub, hub.sandbox, received
        self._recorder = Recorder(hub.sandbox)
        self.routes = [
            Route("/control", self._page),
            WebSocketRoute("/control/stream", self._stream),
            *(posted(f"/control/{name}", partial(self._act, name)) for name in ACTS),
        ]

    def close(self) -> None:
        """Note no more requests."""
        self._recorder.stop()

    async def _page(self, request: Request) -> Response:
        return FileResponse(PAGE)

    async def _stream(self, socket: WebSocket) -> None:
        await stream(socket, self._news(socket.query_params.get("chat", "")))

    async def _news(self, chosen: str) -> AsyncIterator[Json | None]:
        shown, seen = Shown(), 0
        async for _ in self._hub.looks():
            requests, seen = self._recorder.requests(seen)
            state = shown.news(self._state(chosen))
            yield {**(state or {}), "requests": requests} if state or requests else None

    def _state(self, chosen: str) -> Json:
        sandbox = self._sandbox
        chats = sandbox.chats(ended=True, newest=CHATS)
        return {
            **FIXED,
            **_conduct(sandbox),
            **_operations(sandbox),
            **{f"queue:{key}": queue_json(sandbox.queue(key)) for key in sandbox.queues()},
            "queues": list(sandbox.queues()),
            "rules": [rule_json(rule) for rule in sandbox.rules()],
            **{f"chat:{one.id}": self._chat(one) for one in chats},
            "chats": [one.id for one in chats],
            **(
                beside(sandbox, self._recorder, self._received, chosen)
                if chosen in {one.id for one in chats}
                else {"beside": None}
            ),
        }

    def _chat(self, chat: Chat) -> Json:
        return {
            "id": chat.id,
            "name": (chat.order.customer or {}).get("name"),
            "queue": chat.queue_key,
            "status": str(chat.status),
            "agent": chat.agent_name,
            "at": chat.routed_at.isoformat(),
            "ended": chat.ended,
            "ofThePage": self._received(chat.id) is not None,
        }

    def _act(self, name: str, body: Body, _path: object) -> None:
        ACTS[name](self._sandbox, body)
        self._hub.wake()


FIXED: Json = {
    "notice": NOTICE,
    "catalogue": [one.to_dict() for one in MAKERS.values()],
    "scripts": {script.name: script.about for script in SCRIPTS.values()},
    "semantics": list(SEMANTICS),
    "afterEnd": list(AFTER_END),
    "operations": list(OPERATIONS),
}


def queue_json(queue: QueueState) -> Json:
    """Return what is shown of a queue."""
    return {
        "key": queue.key,
        "name": queue.name,
        "open": queue.is_open,
        "opensAt": queue.opens_at.isoformat() if queue.opens_at else None,
        "size": queue.size,
        "capacity": queue.capacity,
        "staff": list(queue.staff),
    }


def _conduct(sandbox: Sandbox) -> dict[str, object]:
    conduct, stats = sandbox.conduct(), sandbox.stats()
    return {
        "conduct": {
            "script": conduct.script.name,
            "about": conduct.script.about,
            "scripted": conduct.scripted,
            "semantics": conduct.semantics,
            "afterEnd": conduct.after_end,
            "linger": conduct.linger,
            "tokenLife": conduct.token_life,
        },
        "stats": {
            "requests": stats.total_requests,
            "tokens": stats.tokens_issued,
            "refreshes": stats.refreshes,
            "reused": stats.reuse_detected,
            "faults": stats.faults,
        },
    }


def _operations(sandbox: Sandbox) -> dict[str, object]:
    """Return of each operation how often it was asked for, and the plain status that it answers with, if any."""
    requests, rules = sandbox.stats().requests, [rule for rule in sandbox.rules() if not rule.spent]
    found: dict[str, object] = {}
    for operation in OPERATIONS:
        plain = next((rule.fault for rule in rules if plain_status(rule, operation)), None)
        found[f"operation:{operation}"] = {
            "name": operation,
            "requests": requests.get(operation, 0),
            "status": plain.status_code if plain else None,
            "once": plain is not None and plain.times == 1,
        }
    return found


def _set_open(sandbox: Sandbox, body: Body) -> None:
    is_open = None if body.get("open", "") is None else flag(body, "open")
    opens_at = None if body.get("opensAt") is None else number(body, "opensAt", 0.0, 2.0**32)
    sandbox.set_open(one_of(body, "queue", sandbox.queues()), is_open, opens_at=opens_at)


def _set_capacity(sandbox: Sandbox, body: Body) -> None:
    sandbox.set_capacity(one_of(body, "queue", sandbox.queues()), whole(body, "capacity", 0, 1_000_000))


def _set_after_end(sandbox: Sandbox, body: Body) -> None:
    sandbox.set_after_end(one_of(body, "afterEnd", AFTER_END), number(body, "linger"))


def _add_fault(sandbox: Sandbox, body: Body) -> None:
    _put(sandbox, made(body))


def _set_status(sandbox: Sandbox, body: Body) -> None:
    """Let an operation answer with a status, or as usual again."""
    operation = one_of(body, "operation", OPERATIONS)
    code, once = body.get("status"), flag(body, "once")
    fault = None
    if code is not None:
        status = whole(body, "status", 200, 599)
        fault = Fault.status(status, operation, times=1) if once else Fault.status(status, operation)
    for rule in sandbox.rules():
        if plain_status(rule, operation):
            sandbox.remove_fault(rule.number)
    if fault is not None:
        _put(sandbox, fault)


def _put(sandbox: Sandbox, fault: Fault) -> None:
    rules = sandbox.rules()
    if sum(not rule.spent for rule in rules) >= IN_FORCE:
        raise ValueError(f"{IN_FORCE} faults are in force; remove some first")
    sandbox.add_fault(fault)
    for rule in [rule for rule in rules if rule.spent][:-SPENT]:
        sandbox.remove_fault(rule.number)


ACTS: Mapping[str, Callable[[Sandbox, Body], Any]] = {
    "open": _set_open,
    "capacity": _set_capacity,
    "scripted": lambda sandbox, body: sandbox.set_scripted(flag(body, "on")),
    "script": lambda sandbox, body: sandbox.set_script(one_of(body, "script", SCRIPTS)),
    "token-life": lambda sandbox, body: sandbox.set_token_life(number(body, "seconds", 0.0, LONGEST_LIFE)),
    "expire": lambda sandbox, _body: sandbox.expire_tokens(),
    "semantics": lambda sandbox, body: sandbox.set_semantics(one_of(body, "semantics", SEMANTICS)),
    "after-end": _set_after_end,
    "fault": _add_fault,
    "remove-fault": lambda sandbox, body: sandbox.remove_fault(whole(body, "number")),
    "clear-faults": lambda sandbox, _body: sandbox.faults(),
    "status": _set_status,
}
"""What can be done in the control room."""
