"""The contract over HTTP: two hosts, their routes, and one operation for each."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from itertools import count
from time import perf_counter

from attrs import frozen
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ._centre import Centre
from ._contract import IDENTITY, Call, Differences, Reply, problem
from ._faults import HARMLESS, Fault
from ._replies import WITHOUT_REPLY, after_effect, before_effect, before_reading, encode, http_date, struck
from ._values import NOTICE, Answer, Json, is_list, is_object, moment
from ._views import Exchange

Choose = Callable[[str], tuple[Fault, ...]]
Lost = Callable[[Fault], object]
_log = logging.getLogger("puzzel_chat.sandbox")


@frozen
class _Done:
    """A response, the faults that struck, the items of a poll, and whether they do not reach the client."""

    response: Response
    faults: tuple[Fault, ...]
    items: tuple[Json, ...] = ()
    harmed: bool = False


def make_app(centre: Centre, choose: Choose, lost: Lost, differs: Differences, ports: tuple[int, int]) -> ASGIApp:
    """Return the ASGI application.

    `choose` picks the faults of each request, and `lost` is told of each lost end. `ports` are those of the
    communication and the identity host; each host has only its own paths.
    """
    numbers = count(1)

    def endpoint(operation: str) -> Callable[[Request], object]:
        async def serve(request: Request) -> Response:
            came, began = centre.now(), perf_counter()
            faults = choose(operation)
            done = await _respond(centre, faults, lost, differs, operation, request)
            if centre.watched:
                told = _exchange(operation, request, done, moment(came), perf_counter() - began)
                centre.tell_now(told)
            return _marked(done.response, next(numbers), centre.now())

        return serve

    async def refuse(request: Request, error: Exception) -> Response:
        return _marked(encode(_refusal(error)), next(numbers), centre.now())

    hosts = {port: Starlette(exception_handlers={HTTPException: refuse}) for port in ports}
    for host in hosts.values():
        host.router.redirect_slashes = False
    for operation, path in differs.routes.items():
        hosts[ports[operation in IDENTITY]].routes.append(_route(path, endpoint(operation)))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await hosts[scope["server"][1]](scope, receive, send)

    return app


def _exchange(operation: str, request: Request, done: _Done, at: datetime, seconds: float) -> Exchange:
    _, _, token = request.headers.get("authorization", "").partition(" ")
    status = None if isinstance(done.response, WITHOUT_REPLY) else done.response.status_code
    items = ((), done.items) if done.harmed else (done.items, ())
    return Exchange(at, operation, token[-4:], status, seconds, tuple(fault.kind for fault in done.faults), *items)


def _route(called: str, endpoint: Callable[[Request], object]) -> Route:
    """Return a route without HEAD, which Starlette adds and the contract lacks."""
    method, path = called.split()
    route = Route(path, endpoint, methods=[method])
    route.methods = {method}
    return route


async def _respond(
    centre: Centre, faults: tuple[Fault, ...], lost: Lost, differs: Differences, operation: str, request: Request
) -> _Done:
    if (unread := before_reading(faults)) is not None:
        return _Done(unread, _without_end(faults))
    call = differs.to_contract(await _read(request))
    early = await before_effect(centre, faults, call)
    if early is not None:
        return _Done(early, _without_end(faults))
    items: tuple[Json, ...] = ()
    try:
        answer = centre.answer(operation, call)
        faults = struck(centre, faults, answer, lost)
        items = _items(operation, answer) if centre.watched else ()
        centre.answered(Answer(operation, answer.status, answer.body, frozenset(fault.kind for fault in faults)))
        reply = differs.from_contract(answer)
    except Exception:
        _log.exception("the simulator itself failed in %s", operation)
        reply = problem(500, "SimulatorBug", "the bundled simulator itself failed; its log says where")
    response = await after_effect(centre, faults, reply)
    harmed = not HARMLESS.issuperset(fault.kind for fault in faults)
    # A fault may have taken so long that nobody is there for the reply.
    return _Done(response, faults, items, harmed or (bool(faults and items) and await request.is_disconnected()))


def _without_end(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    return tuple(fault for fault in faults if fault.kind != "lost_end")


def _items(operation: str, answer: Reply) -> tuple[Json, ...]:
    messages = answer.body.get("messages") if operation == "pollConversation" and answer.body else None
    return tuple(filter(is_object, messages)) if is_list(messages) else ()


async def _read(request: Request) -> Call:
    path = request.path_params
    return Call(
        id=str(path.get("id") or path.get("customerId", "")),
        queue_key=str(path.get("queueKey", "")),
        provider_id=request.query_params.get("providerId"),
        after=request.query_params.get("after"),
        file_name=request.query_params.get("fileName"),
        file_type=request.query_params.get("contentType"),
        content_type=request.headers.get("content-type", ""),
        authorization=request.headers.get("authorization", ""),
        body=await request.body(),
    )


def _refusal(error: Exception) -> Reply:
    """Return problem+json for an unknown path or a wrong method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    code = {404: "NotFound", 405: "MethodNotAllowed"}.get(status, "Refused")
    reply = problem(status, code, "no such path or method in the contract")
    return Reply(status, reply.body, headers, reply.media_type)


def _marked(response: Response, number: int, now: float) -> Response:
    response.headers["Date"] = http_date(now)
    response.headers["X-Simulator"] = NOTICE
    response.headers["X-Request-Id"] = f"sim-{number}"
    return response
