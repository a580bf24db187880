"""Every trap of the generator that is known, in the order of our table: the client survives it, or it is named.

Each test is named after its trap; Swagger 2.0, which the generator refuses, has a file of its own. The first half goes
through normaliser and generator with one document that holds them all; the second half is what the generated client
does at run time, and what the facade makes of it.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from attrs import fields

from pipeline.document import Json, Object
from pipeline.generate import generate, marker
from pipeline.layout import Layout
from pipeline.problems import PipelineError
from pipeline.tree import snapshot
from puzzel_chat._errors import ApiError, ContractError, PuzzelChatError, ServerError, TransportError
from puzzel_chat._http import Reply
from puzzel_chat._models import AllocationStage, TextMessage, UnknownMessage
from puzzel_chat._settings import Settings
from puzzel_chat._transport import Transport
from puzzel_chat._wire import replies
from puzzel_chat._wire.operations import QUEUE, poll_request, queue_request
from puzzel_chat._wire.refusals import error_for
from regenerate.making import Client, importable
from regenerate.parts import STRING, reference

ROOT = Path(__file__).resolve().parents[2]


def habits(schema: Object, *names: str) -> Object:
    """Write a schema under several media types, as the framework does."""
    return {name: {"schema": schema} for name in names}


def replying(schema: Object, **more: Json) -> Object:
    content = habits(schema, "text/plain", "application/json", "text/json")
    return {"tags": ["T"], "responses": {"200": {"description": "OK", "content": content}}, **more}


def kind(name: str) -> Object:
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"type": "string", "const": name}, name: STRING},
    }


SCHEMAS: Object = {
    "Zebra": {
        "type": "object",
        "properties": {
            "zebra": STRING,
            "apple": STRING,
            "maybe": {**reference("Apple"), "nullable": True},
            # The generator casts what is already known, which strict typing refuses.
            "bag": {"type": "array", "items": {}, "nullable": True},
        },
    },
    "Loop": {"type": "array", "items": {"$ref": "#/components/schemas/Loop"}},
    "Apple": {"type": "object", "properties": {"Id": STRING, "id": STRING, "class": STRING}},
    "apple": {"type": "object", "properties": {"other": STRING}},
    "Level": {"type": "integer", "enum": [0, 1], "x-enumNames": ["Low", "High"]},
    "Grown": {"type": "integer", "enum": [0, 1], "x-enum-varnames": ["Low"]},
    "One": kind("one"),
    "Two": kind("two"),
    "Either": {"type": "object", "properties": {"it": {"oneOf": [reference("One"), reference("Two")]}}},
    "Page`1[[Acme.Apple, Acme]]": {
        "type": "object",
        "properties": {"items": {"type": "array", "items": reference("Apple")}},
    },
}
DOCUMENT: Object = {
    "openapi": "3.0.1",
    "info": {"title": "Traps", "version": "1"},
    "servers": [{"url": "/api"}],
    "paths": {
        "/plain": {"get": replying(reference("Zebra"))},
        "/either": {"get": replying(reference("Either"))},
        "/page": {"get": replying(reference("Page%601%5B%5BAcme.Apple%2C%20Acme%5D%5D"))},
        "/case/{id}": {
            "parameters": [{"name": "ID", "in": "path", "required": True, "schema": STRING}],
            "get": replying(reference("Level")),
        },
        "/types": {
            "post": {
                "tags": ["T"],
                "requestBody": {
                    "content": habits(reference("Apple"), "text/json", "application/*+json", "application/json")
                },
                "responses": {
                    "204": {"description": "No"},
                    "4XX": {"description": "Bad"},
                    "default": {"description": "?"},
                },
            }
        },
        "/xml": {
            "post": {
                "tags": ["T"],
                "requestBody": {"content": habits(STRING, "text/xml")},
                "responses": {"204": {"description": "No"}},
            }
        },
        "/odd": {
            "get": {
                "tags": ["T"],
                "responses": {"200": {"description": "OK", "content": habits(reference("Loop"), "text/json")}},
            }
        },
    },
    "components": {"schemas": SCHEMAS},
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The client of the document with all traps, importable under a name of its own."""
    with importable(DOCUMENT, tmp_path_factory.mktemp("traps"), "traps_client") as made:
        yield made


# At generation


def test_dropped_endpoints_and_responses_are_named(client: Client) -> None:
    """The generator ends well without them; nobody else does."""
    lost = client.generated.lost
    assert lost[0] == "POST /api/xml is not in the client (Unsupported content type text/xml)"
    assert lost[1].startswith("GET /api/odd: the answer 200 is not read (Cannot parse response for status code")
    assert lost[2].startswith("the generator says: Unable to parse schema /components/schemas/Loop")
    assert len(lost) == 3


@pytest.mark.slow
def test_text_plain_listed_first_is_still_json(client: Client) -> None:
    """A reply is read into its class, and the whole output passes strict typing."""
    found = client.parse("t.get_plain", 200, json={"zebra": "z"})
    assert type(found).__name__ == "Zebra"
    assert found.zebra == "z"
    assert client.mypy().startswith("Success")


def test_several_json_request_types_send_plain_json(client: Client) -> None:
    """A request never says `Content-Type: application/*+json`."""
    kwargs = client.module("api.t.post_types")._get_kwargs(body=client.module("models").Apple(id="1"))
    assert kwargs["headers"] == {"Content-Type": "application/json"}


def test_nullable_beside_a_reference_survives(client: Client) -> None:
    """Null is a value of such a field, not an error."""
    found = client.module("models").Zebra.from_dict({"maybe": None, "bag": None})
    assert (found.maybe, found.bag) == (None, None)


def test_a_path_parameter_in_another_case_costs_no_endpoint(client: Client) -> None:
    """The endpoint is there, and the note says what was put right."""
    assert client.module("api.t.get_case_by_id")._get_kwargs("a/b")["url"] == "/api/case/a%2Fb"
    assert "GET /api/case/{id}: the parameter `ID` is spelled `id` as in its path" in client.notes


def test_enum_names_are_kept(client: Client) -> None:
    """`x-enumNames` reach the members, and a value without a name gets one, which is told."""
    models = client.module("models")
    assert [(member.name, member.value) for member in models.Level] == [("LOW", 0), ("HIGH", 1)]
    assert [(member.name, member.value) for member in models.Grown] == [("LOW", 0), ("VALUE_1", 1)]
    assert "the schema Grown: there are 1 names for 2 values: the last are called VALUE_1" in client.notes


def test_const_tells_branches_apart(client: Client) -> None:
    """With a const on each child, the first branch that parses is right."""
    models = client.module("models")
    for name in ("one", "two"):
        found = models.Either.from_dict({"it": {"kind": name, name: "x"}})
        assert type(found.it).__name__ == name.title()


def test_no_operation_id_is_a_stable_name(client: Client) -> None:
    """The names come from method and path alone, and are told."""
    assert "GET /api/case/{id} has no operationId of its own that fits: it is called `getCaseById`" in client.notes
    modules = {path.stem for path in client.generated.package.glob("api/t/*.py")}
    assert modules == {"__init__", "get_plain", "get_either", "get_page", "get_case_by_id", "post_types", "get_odd"}


def test_the_generator_never_fetches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is given a file, never an address, and what it refuses is a sentence."""
    commands: list[list[str]] = []

    def refused(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, "", "Traceback (most recent call last):\n  here\nValueError: no")

    monkeypatch.setattr(subprocess, "run", refused)
    with pytest.raises(PipelineError, match="openapi-python-client refused") as raised:
        generate(DOCUMENT, Layout(root=ROOT), tmp_path)
    assert raised.value.details == ("ValueError: no",)
    assert "--url" not in commands[0]
    assert commands[0][commands[0].index("--path") + 1] == str(tmp_path / "puzzel-chat.json")


def test_the_output_is_whole_typed_and_marked(client: Client) -> None:
    """Made in an empty folder, so that nothing old stays; with `py.typed` and a marker in every file."""
    files = snapshot(client.generated.package)
    assert "py.typed" in files
    assert [name for name, data in files.items() if not data.startswith(marker().encode())] == []


def test_a_missing_ruff_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The generator would go on without it; the hooks that it runs are pinned to what strict typing survives."""
    hooks = (ROOT / "openapi" / "generator.yaml").read_text()
    assert "ruff check --isolated --fix --quiet --select I,F401,UP" in hooks
    monkeypatch.setattr(shutil, "which", lambda *_names, **_options: None)
    with pytest.raises(PipelineError, match="holds no ruff"):
        generate(DOCUMENT, Layout(root=ROOT), tmp_path)


def test_the_order_of_the_document_is_the_order_of_the_fields(client: Client) -> None:
    """Nothing is sorted on the way."""
    assert [field.name for field in fields(client.module("models").Zebra)][:3] == ["zebra", "apple", "maybe"]


def test_a_server_with_a_path_is_not_ignored(client: Client) -> None:
    """Not in the table: the generator reads no servers, so their path is in every path."""
    assert client.module("api.t.get_plain")._get_kwargs()["url"] == "/api/plain"
    assert "the document's server has the path /api: it now begins every path" in client.notes


def test_names_that_collide_or_that_no_reference_holds(client: Client) -> None:
    """Not in the table: schemas that differ in case, generic ones, and properties that differ in case are all there."""
    models = client.module("models")
    assert [field.name for field in fields(models.Apple)][:3] == ["Id", "id", "class_"]
    assert models.Apple2.from_dict({"other": "x"}).other == "x"
    assert models.Page1AcmeAppleAcme.from_dict({"items": [{"id": "1"}]}).items[0].id == "1"


def test_default_and_ranges_are_read(client: Client) -> None:
    """Not in the table: a range is one answer, and `default` takes the rest."""
    source = (client.generated.package / "api" / "t" / "post_types.py").read_text()
    assert "400 <= response.status_code <= 499" in source
    assert client.parse("t.post_types", 599, json={}) is None


# At run time: what the generated client does, and what the facade makes of the same reply

COMMON = {"id": "1", "conversationId": "c", "version": 1, "sentAt": "2026-11-23T12:00:00Z"}
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
JSON = "application/json"


class Service(BaseHTTPRequestHandler):
    """Answers every request with what the test planned, and keeps the last request's headers."""

    answer: tuple[int, str, str] = (200, JSON, "{}")
    seen: dict[str, str] = {}  # noqa: RUF012  # one test at a time

    def do_GET(self) -> None:
        """Answer."""
        status, media, body = Service.answer
        Service.seen = {name.lower(): value for name, value in self.headers.items()}
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A service on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def sent(address: str, request: Any, status: int, media: str, body: str) -> Reply:
    """Send a request of ours over real HTTP, and give the answer that the test planned."""
    Service.answer = (status, media, body)
    transport = Transport(Settings(base_url=address, solution_id="7", timeout=5))
    try:
        return transport.send(request, None)
    finally:
        transport.close()


def read(reply: Reply) -> object:
    """Judge and read a reply about a queue, as both clients of ours do."""
    error = error_for(QUEUE, reply)
    if error is not None:
        raise error
    return replies.queue_info(reply, NOW)


def test_no_timeout() -> None:
    """The generated client waits for ever; ours gives up when its settings say."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Settings(base_url=f"http://127.0.0.1:{silent.getsockname()[1]}", solution_id="7", timeout=0.1)
        transport = Transport(settings)
        with pytest.raises(TransportError, match=r"did not answer within 0\.1 s"):
            transport.send(queue_request("q"), None)
        transport.close()


def test_accept_anything(address: str) -> None:
    """The generated client sends `Accept: */*`; ours asks for JSON."""
    sent(address, queue_request("q"), 200, JSON, "{}")
    assert Service.seen["accept"] == "application/json, application/problem+json"


@pytest.mark.parametrize(
    ("status", "media", "body", "error"),
    [
        pytest.param(418, JSON, "{}", ApiError, id="None for an undocumented status"),
        pytest.param(520, "text/html", "<html>", ServerError, id="ValueError for status 520"),
        pytest.param(200, "text/html", "<html><title>Hi</title>", ContractError, id="JSONDecodeError for an HTML page"),
        pytest.param(502, "text/html", "<html>", ServerError, id="JSONDecodeError for an HTML error"),
        pytest.param(200, JSON, '{"name": "Support"}', ContractError, id="KeyError for a missing field"),
    ],
)
def test_a_reply_that_is_no_answer_is_an_error_of_ours(
    address: str, status: int, media: str, body: str, error: type[PuzzelChatError]
) -> None:
    """Whatever the generated client would make of it, a caller meets one error that names operation or status."""
    reply = sent(address, queue_request("q"), status, media, body)
    with pytest.raises(error) as raised:
        read(reply)
    assert str(status) in str(raised.value) or "getQueueInfo" in str(raised.value)


def test_wrong_types_pass_through_unions(address: str) -> None:
    """The generated classes hold whatever came; ours hold their type or None, and what came is in `raw`."""
    body = {"id": "q", "isOpen": "yes", "queueSize": "many", "opensAt": 7}
    found = replies.queue_info(sent(address, queue_request("q"), 200, JSON, json.dumps(body)), NOW)
    assert (found.is_open, found.queue_size, found.opens_at) == (None, None, None)
    assert found.raw["queueSize"] == "many"


def test_one_bad_item_turns_a_list_into_dicts(address: str) -> None:
    """The generated list would be dicts altogether; ours loses no good message to a bad one."""
    body = {"messages": [{**COMMON, "type": "Text", "content": "Hi"}, 7, {"type": "Text"}]}
    found = replies.poll(sent(address, poll_request(None), 200, JSON, json.dumps(body)))
    assert [type(event) for event in found.events] == [TextMessage, UnknownMessage, UnknownMessage]


def test_unknown_enum_values(address: str) -> None:
    """The generated enums would raise; ours keep a value that is new to us."""
    body = {"id": "c", "status": "Parked"}
    reply = sent(address, queue_request("q"), 200, JSON, json.dumps(body))
    assert replies.allocation(reply, NOW).stage is AllocationStage.UNKNOWN
