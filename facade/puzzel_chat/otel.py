"""Traces and metrics by OpenTelemetry, of the extra `[otel]`.

    from puzzel_chat import PuzzelChat
    from puzzel_chat.otel import OpenTelemetry

    with PuzzelChat.from_env(observe=OpenTelemetry()) as chat:
        ...

It uses the providers that the program has set up, unless it is given others, and needs their API alone; without an SDK
nothing is recorded.

**Traces.** A chat is one trace, or a part of the caller's: the span `chat` lasts from `start()` (or the first
`route()`, or a resume) until its end was read or its session was closed. Under it each request has a span by the
conventions for HTTP clients, with the ids in its path and without its query, and the wait for an agent has one. A poll
has a span only if it brought something or failed, for it is made every second; retries, degraded polls and their
recovery are events of the chat's span. A poll of a session with several chats has a span of its own, linked to each.
The context of a trace is not sent to the service, which is another company's.

**Metrics.** `http.client.request.duration` by the conventions, and:

    puzzel_chat.polls              {poll}      counter, with error.type
    puzzel_chat.poll.lateness      s           histogram: from the due time to the request
    puzzel_chat.token.refreshes    {refresh}   counter, with error.type
    puzzel_chat.retries            {retry}     counter, with the operation and error.type
    puzzel_chat.agent.wait         s           histogram, with the outcome
    puzzel_chat.messages.sent      {message}   counter
    puzzel_chat.messages.received  {message}   counter, with the role of who wrote it

No attribute, event or name holds a token, a header that was sent, a body or people's words.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from attrs import frozen

from puzzel_chat import (
    AgentSearchEnded,
    ChatEnded,
    ChatStarted,
    MessageReceived,
    MessageSent,
    PollEnded,
    PollsDegraded,
    PollsRecovered,
    RefreshEnded,
    RequestEnded,
    RequestRetried,
    Telemetry,
    __version__,
    operations,
)

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider
except ImportError as error:
    raise ImportError("puzzel_chat.otel needs the extra [otel]: pip install 'puzzel-chat[otel]'") from error

__all__ = ["OpenTelemetry"]

SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
"""The version of the conventions that the names below are of."""
_SCOPE = "puzzel_chat"
_POLL = "pollConversation"
# As the conventions advise for the duration of a request.
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_WAITS = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_CONVERSATION = "puzzel_chat.conversation.id"
_OPERATION = "puzzel_chat.operation"
_GOOD_OUTCOMES = ("assigned", "left")
_Attributes = dict[str, str | int]


@frozen
class _Chat:
    """The span of a chat that goes on, and the context of what is under it."""

    span: Span
    context: Context


@frozen
class _Held:
    """A poll's request that went well, until it is known whether it brought something; `at` is in nanoseconds."""

    request: RequestEnded
    at: int


class OpenTelemetry:
    """Makes traces and metrics of what happens in a client: `PuzzelChat(…, observe=OpenTelemetry())`.

    The providers are those that the program has set up, unless given. One object may serve several clients.
    """

    def __init__(
        self, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        self._tracer = trace.get_tracer(_SCOPE, __version__, tracer_provider, SCHEMA)
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider, SCHEMA)
        self._duration = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._polls = meter.create_counter("puzzel_chat.polls", "{poll}", "Polls that were made.")
        self._lateness = meter.create_histogram(
            "puzzel_chat.poll.lateness",
            "s",
            "Time from a poll's due time to its request.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._refreshes = meter.create_counter("puzzel_chat.token.refreshes", "{refresh}", "Refreshes of tokens.")
        self._retries = meter.create_counter("puzzel_chat.retries", "{retry}", "Requests that were sent again.")
        self._wait = meter.create_histogram(
            "puzzel_chat.agent.wait",
            "s",
            "Time of the wait for an agent.",
            explicit_bucket_boundaries_advisory=_WAITS,
        )
        self._sent = meter.create_counter("puzzel_chat.messages.sent", "{message}", "Messages that were sent.")
        self._received = meter.create_counter(
            "puzzel_chat.messages.received", "{message}", "Messages of others that came."
        )
        self._lock = threading.Lock()
        self._chats: dict[str, dict[str, _Chat]] = {}
        self._held: dict[str, _Held] = {}

    def __repr__(self) -> str:
        return f"<OpenTelemetry of {sum(map(len, self._chats.values()))} chats>"

    def __call__(self, what: Telemetry) -> None:
        """Record what happened just now."""
        match what:
            case RequestEnded():
                self._request(what)
            case PollEnded():
                self._poll(what)
            case ChatStarted():
                self._started(what)
            case ChatEnded():
                self._ended(what)
            case AgentSearchEnded():
                self._searched(what)
            case RequestRetried():
                reason = {_OPERATION: what.operation, "error.type": what.reason}
                self._retries.add(1, reason)
                self._event("retry", {**reason, "puzzel_chat.delay": what.delay}, what.session_id, what.conversation_id)
            case RefreshEnded():
                self._refreshes.add(1, _failure(what.error))
            case PollsDegraded():
                self._event("polls degraded", {"error.type": what.error}, what.session_id)
            case PollsRecovered():
                self._event("polls recovered", {"puzzel_chat.seconds": what.seconds}, what.session_id)
            case MessageSent():
                self._sent.add(1)
            case MessageReceived():
                self._received.add(1, {"puzzel_chat.role": what.role.value})

    # Chats.

    def _started(self, what: ChatStarted) -> None:
        attributes: _Attributes = {_CONVERSATION: what.conversation_id, "puzzel_chat.resumed": what.resumed}
        span = self._tracer.start_span("chat", attributes=attributes)
        chat = _Chat(span, trace.set_span_in_context(span))
        with self._lock:
            self._chats.setdefault(what.session_id, {})[what.conversation_id] = chat

    def _ended(self, what: ChatEnded) -> None:
        with self._lock:
            chats = self._chats.get(what.session_id, {})
            chat = chats.pop(what.conversation_id, None)
            if not chats:
                self._chats.pop(what.session_id, None)
                self._held.pop(what.session_id, None)
        if chat is None:
            return
        if what.by is not None:
            chat.span.set_attribute("puzzel_chat.ended_by", what.by.value)
        _fail(chat.span, what.error)
        chat.span.end()

    def _of(self, session_id: str | None, conversation_id: str | None = None) -> list[_Chat]:
        """Return the chat that something belongs to, or those of its session where that is not known."""
        with self._lock:
            chats = self._chats.get(session_id or "", {})
            if conversation_id is None:
                return list(chats.values())
            return [chats[conversation_id]] if conversation_id in chats else []

    def _event(
        self, name: str, told: Mapping[str, str | float], session_id: str | None, conversation_id: str | None = None
    ) -> None:
        for chat in self._of(session_id, conversation_id):
            chat.span.add_event(name, told)

    def _span(
        self,
        name: str,
        kind: SpanKind,
        attributes: _Attributes,
        error: str | None,
        at: int,
        seconds: float,
        chats: list[_Chat],
    ) -> None:
        """Write down what has ended at that time, below its chat, or below what the caller has under way."""
        under = chats[0].context if len(chats) == 1 else None
        links = [Link(chat.span.get_span_context()) for chat in chats] if len(chats) > 1 else None
        began = at - int(seconds * 1e9)
        span = self._tracer.start_span(name, under, kind, attributes, links, began)
        _fail(span, error)
        span.end(at)

    # Requests.

    def _request(self, what: RequestEnded) -> None:
        error = _error_of(what)
        self._duration.record(what.seconds, {**_place_of(what), **_failure(error)})
        held = _Held(what, time.time_ns())
        if what.operation != _POLL or error is not None:
            self._request_span(held)
        elif what.session_id in self._chats:
            self._held[what.session_id] = held

    def _request_span(self, held: _Held) -> None:
        what = held.request
        attributes = {**_place_of(what), "url.full": what.base_url + what.path, _OPERATION: what.operation}
        more = {
            "http.request.resend_count": what.attempt - 1 or None,
            "puzzel_chat.request.id": what.request_id,
            _CONVERSATION: what.conversation_id,
        }
        attributes.update({name: value for name, value in more.items() if value is not None})
        name = f"{what.method} {attributes['url.template']}"
        chats = self._of(what.session_id, what.conversation_id)
        self._span(name, SpanKind.CLIENT, attributes, _error_of(what), held.at, what.seconds, chats)

    def _poll(self, what: PollEnded) -> None:
        self._polls.add(1, _failure(what.error))
        self._lateness.record(what.late)
        held = self._held.pop(what.session_id, None)
        if held is not None and (what.events or what.error):
            self._request_span(held)

    def _searched(self, what: AgentSearchEnded) -> None:
        outcome = {"puzzel_chat.outcome": what.outcome}
        self._wait.record(what.seconds, outcome)
        attributes: _Attributes = {**outcome, _CONVERSATION: what.conversation_id}
        error = None if what.outcome in _GOOD_OUTCOMES else what.outcome
        chats = self._of(what.session_id, what.conversation_id)
        self._span("wait for an agent", SpanKind.INTERNAL, attributes, error, time.time_ns(), what.seconds, chats)


@lru_cache(maxsize=1)
def _templates() -> dict[str, str]:
    return {row.name: row.path for row in operations()}


@lru_cache(maxsize=64)
def _host_and_port(base_url: str) -> tuple[str, int]:
    parts = urlsplit(base_url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _place_of(what: RequestEnded) -> _Attributes:
    host, port = _host_and_port(what.base_url)
    attributes: _Attributes = {
        "http.request.method": what.method,
        "server.address": host,
        "server.port": port,
        "url.template": _templates().get(what.operation, what.path),
    }
    if what.status is not None:
        attributes["http.response.status_code"] = what.status
    return attributes


def _error_of(what: RequestEnded) -> str | None:
    if what.status is None:
        return what.error
    return str(what.status) if what.status >= 400 else None


def _failure(error: str | None) -> dict[str, str]:
    return {} if error is None else {"error.type": error}


def _fail(span: Span, error: str | None) -> None:
    if error is not None:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))
