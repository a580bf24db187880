"""The error tree: as it is drawn, and with what every error promises."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
import re
from datetime import UTC, datetime

import pytest

import puzzel_chat
from puzzel_chat import Allocation, AllocationStage, _errors
from puzzel_chat._errors import (
    AgentWaitTimeout,
    ApiError,
    AuthenticationError,
    ConfigurationError,
    Conflict,
    ContractError,
    ConversationClosed,
    DeliveryUnknown,
    EventTimeout,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    PuzzelChatError,
    QueueClosed,
    QueueFull,
    RateLimited,
    ReplyTooLarge,
    RoutingError,
    RoutingRefused,
    ServerError,
    SessionError,
    SessionExpired,
    SessionInUse,
    SessionNotFound,
    StoreError,
    TransportError,
)

WHEN = datetime(2026, 11, 24, 8, tzinfo=UTC)
EXAMPLES: list[PuzzelChatError] = [
    PuzzelChatError("It failed."),
    ConfigurationError("base_url", "is missing"),
    InvalidArgument("text", "is empty"),
    TransportError("No reply.", sent="maybe"),
    ApiError("status 400", status=400, code="Bad", title="T", detail="D", retry_after=2.0, request_id="r"),
    AuthenticationError("401", status=401),
    PermissionDenied("403", status=403),
    NotFound("404", status=404),
    Conflict("409", status=409),
    RateLimited("429", status=429, retry_after=2.0),
    ServerError("500", status=500),
    ContractError("pollConversation", "/messages", "this is not a list", "{}"),
    ReplyTooLarge("pollConversation", "", "the reply is larger than 8388608 bytes", "(not shown)"),
    SessionError("Closed."),
    SessionExpired("Over."),
    SessionInUse("Busy."),
    SessionNotFound("None."),
    StoreError("Disk."),
    RoutingError("No agent."),
    QueueClosed("Closed.", opens_at=WHEN),
    QueueFull("Full."),
    RoutingRefused("No.", reason="NoAgents"),
    AgentWaitTimeout("Late."),
    DeliveryUnknown("Unknown.", text="Hello", client_id="c"),
    EventTimeout("Nothing happened."),
    ConversationClosed("Ended."),
]


def drawn() -> dict[str, str | None]:
    """Read the tree in the docstring: each class with its parent."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for text in (_errors.__doc__ or "").splitlines():
        found = re.match(r"^([│ ]*)(?:[├└]── )?([A-Z][A-Za-z]+)(?:\(|  |$)", text)
        if not found or not (text.startswith("PuzzelChatError(") or "── " in text):
            continue
        depth = (len(found[1]) // 4 + 1) if "── " in text else 0
        path[depth:] = [found[2]]
        parents[found[2]] = path[depth - 1] if depth else None
    return parents


def classes() -> dict[str, type[PuzzelChatError]]:
    """Every error class of the module."""
    return {
        name: value
        for name, value in vars(_errors).items()
        if inspect.isclass(value) and issubclass(value, PuzzelChatError)
    }


def test_the_tree_that_is_drawn_is_the_tree() -> None:
    """Every class is drawn under its real parent, and nothing else is drawn."""
    real = {
        name: next((base.__name__ for base in kind.__bases__ if issubclass(base, PuzzelChatError)), None)
        for name, kind in classes().items()
    }
    assert drawn() == real


def test_the_drawing_names_the_real_arguments() -> None:
    """What stands in brackets is an attribute of the error."""
    by_name = {type(error).__name__: error for error in EXAMPLES}
    for name, arguments in re.findall(r"([A-Z][A-Za-z]+)\(([a-z_, ]+)\)", _errors.__doc__ or ""):
        for argument in arguments.split(", "):
            assert hasattr(by_name[name], argument), (name, argument)


def test_every_error_is_public_and_has_an_example_here() -> None:
    """A caller can catch each one by name."""
    assert {type(error).__name__ for error in EXAMPLES} == set(classes())
    assert set(classes()) <= set(puzzel_chat.__all__)


def test_what_may_succeed_later_says_so() -> None:
    """`retryable` is true for what passes: no reply, 429, 5xx, a full queue, too long a wait, a session in use."""
    assert {type(error).__name__ for error in EXAMPLES if error.retryable} == {
        "TransportError",
        "RateLimited",
        "ServerError",
        "QueueFull",
        "AgentWaitTimeout",
        "EventTimeout",
        "SessionInUse",
    }


def test_some_are_also_what_python_calls_them() -> None:
    """A wait that took too long is a TimeoutError, an argument that cannot be sent a ValueError."""
    assert issubclass(AgentWaitTimeout, TimeoutError)
    assert issubclass(InvalidArgument, ValueError)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_tells_its_message_once(error: PuzzelChatError) -> None:
    """`str()` is one line, not empty, and the base's attributes are there."""
    assert str(error)
    assert "\n" not in str(error)
    assert error.attempts == 1
    assert error.request_id in (None, "r")


def test_an_error_of_a_request_keeps_its_host() -> None:
    """Of none it is None; where a request was made, every copy of the error says which host was asked."""
    assert all(error.host is None for error in EXAMPLES)
    error = ServerError("500", status=500)
    error.host = "identity"
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error)), _errors.twin(error)):
        assert twin.host == "identity"
    assert ServerError("500", status=500).host is None


def test_the_messages_of_the_checked_ones_begin_with_what_is_wrong() -> None:
    """A setting, an argument or an operation comes first."""
    assert str(ConfigurationError("base_url", "is missing")) == "base_url: is missing"
    assert str(InvalidArgument("text", "is empty")) == "text: is empty"
    told = str(ContractError("pollConversation", "/messages", "this is not a list", "{}"))
    assert told == "pollConversation: this is not a list at /messages; it began: {}"
    assert "at the whole reply" in str(ContractError("pollConversation", "", "the reply is not JSON", ""))


def test_an_excerpt_is_cut() -> None:
    """At most 256 characters of a reply are kept, in the attribute and in the message."""
    error = ContractError("pollConversation", "", "the reply is not JSON", "x" * 1000)
    assert len(error.excerpt) == 256
    assert str(error).count("x") == 256


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_can_cross_a_process_border(error: PuzzelChatError) -> None:
    """Worker pools copy errors by pickle; what comes out says the same."""
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_every_error_is_data_too(error: PuzzelChatError) -> None:
    """Its class, its message and every attribute as JSON; notes and other inner things are left out."""
    error = copy.copy(error)
    error.add_note("a note")
    told = json.loads(json.dumps(error.to_dict(), allow_nan=False))
    assert (told["type"], told["error"], told["message"]) == ("error", type(error).__name__, str(error))
    public = {name for name in vars(error) if not name.startswith("_")}
    assert set(told) == {"type", "error", "message", "retryable", "host", *public}


def test_what_an_error_has_is_written_as_in_an_event() -> None:
    """Moments as ISO 8601, an allocation as its own dict, the text of an unconfirmed message as it is."""
    assert QueueClosed("Closed.", opens_at=WHEN).to_dict()["opens_at"] == "2026-11-24T08:00:00+00:00"
    last = Allocation(stage=AllocationStage.QUEUED, queue_position=2, fetched_at=WHEN)
    assert AgentWaitTimeout("Late.", last=last).to_dict()["last"] == last.to_dict()
    assert DeliveryUnknown("Unknown.", text="Hello", client_id="c").to_dict()["text"] == "Hello"
