"""The sandbox against the document that the client is generated from, with requests that nobody has thought of.

Schemathesis makes valid and invalid requests for each operation and checks the replies: no 5xx, only documented
statuses, content types and shapes, invalid requests refused, and no operation without its token. Each operation is
tried twice: with any ids, which mostly hit nothing, and on conversations, queues and tokens that exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import schemathesis
from attrs import field, frozen
from hypothesis import HealthCheck, settings
from jsonschema_rs import validator_for
from schemathesis.checks import CHECKS

from bare import Customer
from puzzel_chat.sandbox import Sandbox

pytestmark = pytest.mark.slow  # all of it: `make test` does not collect this file

Case: TypeAlias = schemathesis.Case[Any]

DOCUMENT = Path(__file__).parents[2] / "openapi" / "puzzel-chat.json"
EXISTING = {"getQueueInfo": "27501", "getTimeInfo": "support-hours"}
IDENTITY = ("connectToken", "authenticateVisitor")
WORDS = ("hello", "edit", "options", "file", "unknown", "typing", "someone else", "hello again", "end chat")


def _with_new_kinds() -> dict[str, Any]:
    """Give our document as one that lets a message be of a kind that is new: the sandbox sends such a one, too."""
    document: dict[str, Any] = json.loads(DOCUMENT.read_text())
    schemas = document["components"]["schemas"]
    schemas["ChatMessageType"] = {"type": "string"}
    schemas["PollReply"]["properties"]["messages"]["items"]["anyOf"].append(
        {"$ref": "#/components/schemas/ChatMessage"}
    )
    return document


schema = schemathesis.openapi.from_dict(_with_new_kinds())
bounded = settings(
    max_examples=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@frozen
class Centre:
    """A sandbox, its customers and their conversations."""

    sandbox: Sandbox
    numbers: Iterator[int] = field(factory=lambda: count(1))

    def conversation(self, customer: Customer, *, routed: bool) -> str:
        """Give the id of a new conversation."""
        name = f"chat-{next(self.numbers)}"
        if routed:
            customer.route(name).raise_for_status()
        return name

    def busy(self, customer: Customer) -> None:
        """Hold a chat in which everything happens that a poll can tell of."""
        chat = self.conversation(customer, routed=True)
        for word in WORDS:
            customer.say(word, chat)


@pytest.fixture(scope="module")
def centre() -> Iterator[Centre]:
    """A sandbox in which everything takes place at once."""
    with Sandbox(pace=0) as sandbox:
        yield Centre(sandbox)


def _unsaid(case: Case, operation: str) -> list[str]:
    """Name the checks that ask more than the document can say."""
    if operation == "connectToken":
        return ["positive_data_acceptance"]  # no schema tells which credentials are good
    if operation == "authenticateVisitor":
        return ["positive_data_acceptance"]  # nor which tokens, and that one of the two is needed is said in words
    if operation == "sendMessage" and isinstance(case.body, dict) and not str(case.body.get("content")).strip():
        return ["positive_data_acceptance"]  # EmptyMessage: a text of nothing but blanks is a string all the same
    if operation == "uploadFile":
        passed_over = ["negative_data_rejection"] if (case.query or {}).get("fileName") else []  # any bytes are a file
        return ["positive_data_acceptance", *passed_over]  # nor what is no name of a file, and no media type
    if case.method == "GET":
        return ["negative_data_rejection"]  # any string is an id, and query fields nobody knows are passed over
    return []


def _check(case: Case, centre: Centre, customer: Customer) -> None:
    operation = _operation(case)
    url = centre.sandbox.identity_url if operation in IDENTITY else centre.sandbox.base_url
    excluded: list[Any] = list(CHECKS.get_by_names(_unsaid(case, operation)))
    headers = {"Authorization": customer.http.headers["Authorization"]}
    case.call_and_validate(base_url=url, headers=headers, excluded_checks=excluded)


def _operation(case: Case) -> str:
    return str(case.operation.definition.raw["operationId"])


@schema.parametrize()
@bounded
def test_any_request(case: Case, centre: Centre) -> None:
    """Whatever is asked, the reply is one that the document tells of."""
    with closing(Customer(centre.sandbox)) as customer:
        _check(case, centre, customer)


@schema.parametrize()
@bounded
def test_any_request_on_what_exists(case: Case, centre: Centre) -> None:
    """The same on conversations under way, open queues, good tokens and visitors who are signed in."""
    operation = _operation(case)
    with closing(Customer(centre.sandbox)) as customer:
        if operation == "connectToken":
            case.body = _good_form(case.body, customer)
        elif operation == "authenticateVisitor":
            case.path_parameters["customerId"] = centre.sandbox.solution_id
            _make_good(case, centre.sandbox)
        elif operation == "pollConversation":
            centre.busy(customer)
        elif operation == "downloadFile":
            sent = customer.http.post(
                "/api/upload?fileName=x", content=b"x", headers={"Content-Type": "application/octet-stream"}
            )
            case.path_parameters["id"] = sent.json()["id"]
        else:
            routed = operation != "routeConversation"
            case.path_parameters["id"] = EXISTING.get(operation) or centre.conversation(customer, routed=routed)
        if operation == "routeConversation":
            case.path_parameters["queueKey"] = centre.sandbox.queue_key
        _check(case, centre, customer)


def _good_form(body: Any, customer: Customer) -> dict[str, Any]:
    """Give a token request that is granted, with whatever further fields were made up."""
    made_up = body if isinstance(body, dict) else {}
    client = {"client_id": "oneplatform_engage", "tenant_id": customer.tenant}
    refresh = customer.tokens["refresh_token"]
    return {**made_up, **client, "grant_type": "refresh_token", "refresh_token": refresh}


def _make_good(case: Case, sandbox: Sandbox) -> None:
    """Put a provider's good token where a made-up one is."""
    if isinstance(case.body, dict):
        for name in ("accessToken", "idToken"):
            if isinstance(case.body.get(name), str):
                case.body[name] = sandbox.visitor_token()


def test_every_message_has_the_shape_of_its_type(centre: Centre) -> None:
    """A message of a known type fits that type, where the document as a whole also lets it pass as an unknown one."""
    schemas = {"components": _with_new_kinds()["components"]}
    with closing(Customer(centre.sandbox)) as customer:
        centre.busy(customer)
        messages = customer.poll().json()["messages"]
    shapes = {name: f"{name}Message" for name in ("Text", "Options", "File", "Event")}
    assert {message["type"] for message in messages} == {*shapes, "Carousel"}
    for message in messages:
        shape = {"$ref": f"#/components/schemas/{shapes.get(message['type'], 'ChatMessage')}", **schemas}
        validator_for(shape).validate(message)
