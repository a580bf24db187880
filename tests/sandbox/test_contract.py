"""The sandbox against the document that the client is generated from, with requests that nobody has thought of.

Schemathesis makes valid and invalid requests for each operation and checks the replies: no 5xx, only documented
statuses, content types and shapes, invalid requests refused, and no operation without its token. Each operation is
tried twice: with any ids, which mostly hit nothing, and on conversations, queues and tokens that exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest
import schemathesis
from attrs import field, frozen
from hypothesis import HealthCheck, settings
from jsonschema_rs import validator_for
from schemathesis.checks import CHECKS

from puzzel_chat.sandbox import Sandbox

Case: TypeAlias = schemathesis.Case[Any]

DOCUMENT = Path(__file__).parents[2] / "openapi" / "puzzel-chat.json"
EXISTING = {"getQueueInfo": "support", "getTimeInfo": "support-hours"}
WORDS = ("hello", "edit", "options", "file", "unknown", "typing", "someone else", "hello again", "end chat")
schema = schemathesis.openapi.from_path(DOCUMENT)
bounded = settings(
    max_examples=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@frozen
class Customer:
    """One session at a sandbox, and conversations in it."""

    http: httpx.Client
    numbers: Iterator[int] = field(factory=lambda: count(1))

    def session(self) -> dict[str, str]:
        """Open a session and give its tokens."""
        form = {"grant_type": "client_credentials", "client_id": "12345"}
        reply: dict[str, str] = self.http.post("/connect/token", data=form).raise_for_status().json()
        return reply

    def conversation(self, headers: dict[str, str], *, routed: bool) -> str:
        """Give the id of a new conversation."""
        name = f"chat-{next(self.numbers)}"
        if routed:
            route = f"/api/conversation/{name}/route/"
            self.http.post(route, json={"queueId": "support"}, headers=headers).raise_for_status()
        return name

    def busy(self, headers: dict[str, str]) -> None:
        """Hold a chat in which everything happens that a poll can tell of."""
        chat = self.conversation(headers, routed=True)
        for word in WORDS:
            self.http.post(f"/api/conversation/{chat}/message", json={"content": word}, headers=headers)


@pytest.fixture(scope="module")
def customer() -> Iterator[Customer]:
    """A customer of a sandbox in which everything takes place at once."""
    with Sandbox(pace=0) as sandbox, httpx.Client(base_url=sandbox.base_url) as http:
        yield Customer(http)


def _headers(customer: Customer) -> dict[str, str]:
    return {"Authorization": f"Bearer {customer.session()['access_token']}"}


def _unsaid(case: Case, operation: str) -> list[str]:
    """Name the checks that ask more than the document can say."""
    if operation == "connectToken":
        return ["positive_data_acceptance"]  # no schema tells which credentials are good
    if operation == "sendMessage" and isinstance(case.body, dict) and not str(case.body.get("content")).strip():
        return ["positive_data_acceptance"]  # EmptyMessage: a text of nothing but blanks is a string all the same
    if case.method == "GET":
        return ["negative_data_rejection"]  # any string is an id, and query fields nobody knows are passed over
    return []


def _check(case: Case, customer: Customer, headers: dict[str, str]) -> None:
    excluded: list[Any] = list(CHECKS.get_by_names(_unsaid(case, _operation(case))))
    case.call_and_validate(base_url=str(customer.http.base_url).rstrip("/"), headers=headers, excluded_checks=excluded)


def _operation(case: Case) -> str:
    return str(case.operation.definition.raw["operationId"])


@schema.parametrize()
@bounded
def test_any_request(case: Case, customer: Customer) -> None:
    """Whatever is asked, the reply is one that the document tells of."""
    _check(case, customer, _headers(customer))


@schema.parametrize()
@bounded
def test_any_request_on_what_exists(case: Case, customer: Customer) -> None:
    """The same on conversations under way, open queues and good tokens."""
    headers, operation = _headers(customer), _operation(case)
    if operation == "connectToken":
        case.body = _good_form(case.body, customer)
    elif operation == "pollConversation":
        customer.busy(headers)
    else:
        routed = operation != "routeConversation"
        case.path_parameters["id"] = EXISTING.get(operation) or customer.conversation(headers, routed=routed)
    if operation == "routeConversation" and isinstance(case.body, dict) and isinstance(case.body.get("queueId"), str):
        case.body["queueId"] = "support"
    _check(case, customer, headers)


def _good_form(body: Any, customer: Customer) -> dict[str, Any]:
    """Give a token request that is granted, with whatever further fields were made up."""
    made_up = body if isinstance(body, dict) else {}
    refresh = customer.session()["refresh_token"]
    return {**made_up, "grant_type": "refresh_token", "client_id": "12345", "refresh_token": refresh}


def test_every_message_has_the_shape_of_its_type(customer: Customer) -> None:
    """A message of a known type fits that type, where the document as a whole also lets it pass as an unknown one."""
    schemas = {"components": json.loads(DOCUMENT.read_text())["components"]}
    headers = _headers(customer)
    customer.busy(headers)
    messages = customer.http.get("/api/conversation", headers=headers).json()["messages"]
    shapes = {name: f"{name}Message" for name in ("Text", "Options", "File", "Event")}
    assert {message["type"] for message in messages} == {*shapes, "Carousel"}
    for message in messages:
        shape = {"$ref": f"#/components/schemas/{shapes.get(message['type'], 'ChatMessage')}", **schemas}
        validator_for(shape).validate(message)
