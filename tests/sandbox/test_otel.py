"""A chat under OpenTelemetry: one trace from its start to its end, figures beside it, and nobody's words in either."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from attrs import define, field
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import puzzel_chat
from blocking import settings
from observed import PLANTED, WAYS, at_once, blocking, centre
from puzzel_chat import AgentWaitTimeout, MemoryStore, PuzzelChat, Telemetry, operations
from puzzel_chat.otel import SCHEMA, OpenTelemetry
from puzzel_chat.sandbox import Sandbox

UNITS = {
    "http.client.request.duration": "s",
    "puzzel_chat.polls": "{poll}",
    "puzzel_chat.poll.lateness": "s",
    "puzzel_chat.token.refreshes": "{refresh}",
    "puzzel_chat.retries": "{retry}",
    "puzzel_chat.agent.wait": "s",
    "puzzel_chat.messages.sent": "{message}",
    "puzzel_chat.messages.received": "{message}",
}
TEMPLATES = {row.path for row in operations()}


@define
class Telescope:
    """Providers that keep what they are told, and our `observe` for them."""

    spans_kept: InMemorySpanExporter = field(factory=InMemorySpanExporter)
    tracing: TracerProvider = field(factory=TracerProvider)
    reader: InMemoryMetricReader = field(factory=InMemoryMetricReader)
    observe: OpenTelemetry = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tracing.add_span_processor(SimpleSpanProcessor(self.spans_kept))
        self.observe = OpenTelemetry(self.tracing, MeterProvider([self.reader]))

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans that have ended."""
        return list(self.spans_kept.get_finished_spans())

    def named(self, name: str) -> list[ReadableSpan]:
        """Those of that name."""
        return [one for one in self.spans if one.name == name]

    @property
    def metrics(self) -> list[Metric]:
        """The metrics so far."""
        data = self.reader.get_metrics_data()
        return [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics] if data else []

    @property
    def figures(self) -> dict[str, list[tuple[dict[str, Any], Any]]]:
        """Each metric's points: attributes, and the sum or the count."""
        return {
            one.name: [
                (dict(point.attributes or {}), getattr(point, "value", None) or getattr(point, "count", 0))
                for point in one.data.data_points
            ]
            for one in self.metrics
        }


@pytest.fixture
def seen() -> Telescope:
    """One for a test."""
    return Telescope()


@pytest.fixture(scope="module")
def held() -> tuple[Telescope, Sandbox, int]:
    """What was seen of one chat, where it was held, and with how many polls."""
    telescope = Telescope()
    with pytest.MonkeyPatch.context() as patched, centre() as sandbox:
        at_once(patched)
        blocking(sandbox, telescope.observe, MemoryStore())
        return telescope, sandbox, sandbox.stats().requests["pollConversation"]


def told_by(span: ReadableSpan) -> str:
    """Everything that a span says."""
    events = [(one.name, dict(one.attributes or {})) for one in span.events]
    return repr((span.name, dict(span.attributes or {}), events, span.status.description, span.links))


@pytest.mark.parametrize("way", WAYS)
def test_a_chat_is_one_trace_without_a_word_of_it(way: str, seen: Telescope, monkeypatch: pytest.MonkeyPatch) -> None:
    """From `start` to its end, faults included, over every transport; all spans are below the chat's."""
    at_once(monkeypatch)
    store, mine = MemoryStore(), seen.tracing.get_tracer("mine")
    with centre() as sandbox, mine.start_as_current_span("caller") as caller:
        conversation_id = WAYS[way](sandbox, seen.observe, store)
        asked = dict(sandbox.stats().requests)
    spans = [one for one in seen.spans if one.name != "caller"]
    (chat,) = seen.named("chat")
    assert {one.context.trace_id for one in spans} == {caller.get_span_context().trace_id}
    assert chat.parent is not None
    assert chat.parent.span_id == caller.get_span_context().span_id
    children = [one for one in spans if one is not chat]
    assert {one.parent.span_id for one in children if one.parent} == {chat.context.span_id}
    assert all(one.parent for one in children)
    # Each call has its span; of the polls, those that brought something or failed.
    made = Counter(str((one.attributes or {}).get("puzzel_chat.operation")) for one in children)
    polls = asked.pop("pollConversation")
    assert {name: made[name] for name in asked} == asked
    assert 0 < made["pollConversation"] <= polls
    assert len(seen.named("wait for an agent")) == 1
    assert {one.name for one in chat.events} == {"retry", "polls degraded", "polls recovered"}
    about = dict(chat.attributes or {})
    assert (about["puzzel_chat.conversation.id"], about["puzzel_chat.ended_by"]) == (conversation_id, "agent")
    assert chat.status.status_code is StatusCode.UNSET
    assert all((chat.start_time or 0) <= (one.start_time or 0) for one in children)
    # Nothing of anybody.
    tokens = [one.tokens for one in store._sessions.values()]
    everything = "".join(map(told_by, seen.spans)) + repr(seen.figures)
    for hidden in (PLANTED, "How can I help", *(secret for one in tokens for secret in (one.access, one.refresh))):
        assert str(hidden) not in everything
    assert repr(seen.observe) == "<OpenTelemetry of 0 chats>"
    assert seen.observe._held == {}


def test_a_request_follows_the_conventions(held: tuple[Telescope, Sandbox, int]) -> None:
    """Names and attributes of the HTTP conventions, the address without its query, a failure as an error."""
    seen, sandbox, _ = held
    host, _, port = sandbox.base_url.partition("//")[2].partition(":")
    requests = [one for one in seen.spans if one.kind is SpanKind.CLIENT]
    for one in requests:
        told = dict(one.attributes or {})
        assert one.name == f"{told['http.request.method']} {told['url.template']}"
        assert told["url.template"] in TEMPLATES
        assert "?" not in str(told["url.full"])
        failed = int(str(told.get("http.response.status_code", 500))) >= 400
        assert (one.status.status_code is StatusCode.ERROR) == failed == ("error.type" in told)
        assert one.instrumentation_scope is not None
        assert one.instrumentation_scope.name == "puzzel_chat"
        assert one.instrumentation_scope.version == puzzel_chat.__version__
        assert one.instrumentation_scope.schema_url == SCHEMA
    sends = [dict(one.attributes or {}) for one in seen.named("POST /api/conversation/{id}/message")]
    assert (sends[-1]["server.address"], sends[-1]["server.port"]) == (host, int(port))
    assert str(sends[-1]["url.full"]).startswith(f"{sandbox.base_url}/api/conversation/")
    tokens = [dict(one.attributes or {}) for one in seen.named("POST /connect/token")]
    assert [one.get("http.request.resend_count") for one in tokens] == [None, 1, None]
    assert tokens[0]["error.type"] == "503"
    duration = seen.figures["http.client.request.duration"]
    assert sum(count for _, count in duration) >= len(requests)
    assert all(told["url.template"] in TEMPLATES and "url.full" not in told for told, _ in duration)


def test_figures_are_kept(held: tuple[Telescope, Sandbox, int]) -> None:
    """Polls, lateness, refreshes, retries, waits and messages, each with its unit."""
    seen, _, polls = held
    figures = seen.figures
    assert sum(count for _, count in figures["puzzel_chat.polls"]) == polls
    assert ({"error.type": "ServerError"}, 1) in figures["puzzel_chat.polls"]
    assert [count for _, count in figures["puzzel_chat.poll.lateness"]] == [polls]
    assert figures["puzzel_chat.token.refreshes"] == [({}, 1)]
    assert ({"puzzel_chat.operation": "connectToken", "error.type": "503"}, 1) in figures["puzzel_chat.retries"]
    assert figures["puzzel_chat.agent.wait"] == [({"puzzel_chat.outcome": "assigned"}, 1)]
    assert figures["puzzel_chat.messages.sent"] == [({}, 2)]
    assert {told["puzzel_chat.role"] for told, _ in figures["puzzel_chat.messages.received"]} >= {"agent"}
    assert {one.name: one.unit for one in seen.metrics} == UNITS


def test_a_start_that_fails_is_an_error(seen: Telescope) -> None:
    """The chat's span and the wait's say why."""
    with (
        Sandbox(script="silent", pace=0.02) as sandbox,
        PuzzelChat(**settings(sandbox), observe=seen.observe) as chat,
        pytest.raises(AgentWaitTimeout),
    ):
        chat.start("support", wait=0.05)
    for name in ("chat", "wait for an agent"):
        (span,) = seen.named(name)
        assert (span.attributes or {})["error.type"] == "AgentWaitTimeout"
        assert span.status.status_code is StatusCode.ERROR


def test_chats_of_one_session_are_traces_of_their_own(seen: Telescope) -> None:
    """What belongs to one is below it; a poll of both is linked to each."""
    with (
        Sandbox(script="silent", pace=0.02) as sandbox,
        PuzzelChat(**settings(sandbox), observe=seen.observe) as chat,
        chat.connect() as session,
    ):
        for name in ("a", "b"):
            session.conversation(name).route("support")
            session.conversation(name).send("Hello")
        session.poll()
        for name in ("a", "b"):
            session.conversation(name).end()
    chats = {str((one.attributes or {})["puzzel_chat.conversation.id"]): one for one in seen.named("chat")}
    assert len({one.context.trace_id for one in chats.values()}) == 2
    for span in seen.named("POST /api/conversation/{id}/message"):
        whose = chats[str((span.attributes or {})["puzzel_chat.conversation.id"])]
        assert span.context.trace_id == whose.context.trace_id
    (poll,) = seen.named("GET /api/conversation")
    linked = {link.context.span_id for link in poll.links}
    assert (poll.parent, linked) == (None, {one.context.span_id for one in chats.values()})


def test_polls_that_bring_nothing_have_no_span(seen: Telescope) -> None:
    """They are counted; otherwise a chat of an hour would be a trace of thousands."""
    with (
        Sandbox(script="silent", pace=0) as sandbox,
        PuzzelChat(**settings(sandbox), observe=seen.observe) as chat,
        chat.start("support", wait=0) as conversation,
    ):
        while conversation.session.poll():
            pass
        before = len(seen.named("GET /api/conversation"))
        for _ in range(3):
            assert conversation.session.poll() == []
        assert len(seen.named("GET /api/conversation")) == before
        assert seen.figures["puzzel_chat.polls"] == [({}, sandbox.stats().requests["pollConversation"])]


def test_a_chat_that_nobody_holds_leaves_nothing_behind(seen: Telescope) -> None:
    """Its span ends with the next thing that happens."""
    with Sandbox(script="silent", pace=0.02) as sandbox, PuzzelChat(**settings(sandbox), observe=seen.observe) as chat:
        for _ in range(5):
            chat.start("support", wait=0)
        gc.collect()
        chat.connect().close()
        assert repr(seen.observe) == "<OpenTelemetry of 0 chats>"
    assert len(seen.named("chat")) == 5


def test_one_observer_can_call_others(seen: Telescope) -> None:
    """It is a function like any other, so that a program can listen beside it."""
    told: list[Telemetry] = []

    def both(what: Telemetry) -> None:
        told.append(what)
        seen.observe(what)

    with Sandbox(script="silent", pace=0.02) as sandbox, PuzzelChat(**settings(sandbox), observe=both) as chat:
        chat.connect().close()
    assert [type(one).__name__ for one in told] == ["RequestEnded"]
    assert len(seen.named("POST /connect/token")) == 1


def test_without_an_sdk_nothing_is_recorded() -> None:
    """The API alone does nothing, and costs little."""
    with centre() as sandbox:
        assert blocking(sandbox, OpenTelemetry(), MemoryStore())


def test_without_the_extra_it_is_named() -> None:
    """Who imports it and lacks the API is told what to install; nobody else imports the API."""
    program = (
        "import sys\n"
        "import puzzel_chat, puzzel_chat._sync, puzzel_chat._async\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "sys.modules['opentelemetry'] = None\n"
        "try:\n    import puzzel_chat.otel\nexcept ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    told = "puzzel_chat.otel needs the extra [otel]: pip install 'puzzel-chat[otel]'"
    assert (done.stdout.strip(), done.stderr) == (told, "")
