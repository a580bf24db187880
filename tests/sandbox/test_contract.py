"""The sandbox against the document that the client is generated from, with requests that nobody has thought of.

Schemathesis makes valid and invalid requests for each operation and checks the replies: no 5xx, only documented
statuses, content types and shapes, invalid requests refused, and no operation without its token. Each operation is
tried twice: with any ids, which mostly hit nothing, and on conversations, queues and tokens that exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from attrs import field, frozen
from hypothesis import HealthCheck, settings

from puzzel_chat.sandbox import Sandbox

DOCUMENT = Path(__file__).parents[2] / "openapi" / "puzzel-chat.json"
EXISTING = {"getQueueInfo": "support", "getTimeInfo": "support-hours"}
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


@pytest.fixture(scope="module")
def customer() -> Iterator[Customer]:
    """A customer of a sandbox in which everything takes place at once."""
    with Sandbox(pace=0) as sandbox, httpx.Client(base_url=sandbox.base_url) as http:
        yield Customer(http)


def _headers(customer: Customer) -> dict[str, str]:
    return {"Authorization": f"Bearer {customer.session()['access_token']}"}


def _check(case: schemathesis.Case, customer: Customer, headers: dict[str, str]) -> None:
    case.call_and_validate(base_url=str(customer.http.base_url).rstrip("/"), headers=headers)


@schema.parametrize()
@bounded
def test_any_request(case: schemathesis.Case, customer: Customer) -> None:
    """Whatever is asked, the reply is one that the document tells of."""
    _check(case, customer, _headers(customer))


@schema.exclude(operation_id="pollConversation").parametrize()
@bounded
def test_any_request_on_what_exists(case: schemathesis.Case, customer: Customer) -> None:
    """The same on conversations under way, open queues and good tokens."""
    headers = _headers(customer)
    operation = str(case.operation.definition.raw["operationId"])
    if operation == "connectToken":
        case.body = _good_form(case.body, customer)
    else:
        known = EXISTING.get(operation)
        routed = operation != "routeConversation"
        case.path_parameters["id"] = known or customer.conversation(headers, routed=routed)
    if operation == "routeConversation" and isinstance(case.body, dict) and "queueId" in case.body:
        case.body["queueId"] = "support"
    _check(case, customer, headers)


def _good_form(body: Any, customer: Customer) -> dict[str, Any]:
    """Give a token request that is granted, with whatever further fields were made up."""
    made_up = body if isinstance(body, dict) else {}
    refresh = customer.session()["refresh_token"]
    return {**made_up, "grant_type": "refresh_token", "client_id": "12345", "refresh_token": refresh}
