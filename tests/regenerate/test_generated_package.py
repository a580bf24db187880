"""The generated package as the facade meets it."""

from __future__ import annotations

import ast
import copy
import pickle
import sys
from collections.abc import Callable
from typing import Any

import pytest
from attrs import astuple

from pipeline.document import parse, read_bytes
from pipeline.layout import Layout
from pipeline.provenance import rows
from puzzel_chat_api import models
from puzzel_chat_api.api.connect import connect_token
from puzzel_chat_api.api.conversation import poll_conversation, route_conversation
from puzzel_chat_api.provenance import OPERATIONS

COMMON = {"id": "m1", "conversationId": "c1", "version": 1, "sentAt": "2026-11-23T10:00:00.1234567Z"}
AUTHOR = {"author": {"role": 1, "displayName": "Kari"}}


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ({"type": "Text", "content": "<b>Hi</b>", **AUTHOR}, models.TextMessage),
        (
            {"type": "Options", "content": None, "options": [{"id": "1", "label": "Yes"}]},
            models.OptionsMessage,
        ),
        (
            {"type": "File", "fileName": "a.pdf", "url": "https://files.example/a", "size": 2**40},
            models.FileMessage,
        ),
        ({"type": "Event", "event": "AgentJoined", "agent": {"id": "a1"}}, models.EventMessage),
        ({"type": "Event", "event": "SomethingNew"}, models.EventMessage),
        ({"type": "Carousel", "cards": [1, 2]}, models.ChatMessage),
        ({"type": "Text", "content": None}, models.TextMessage),
    ],
)
def test_each_kind_of_message_becomes_its_class(message: dict[str, Any], kind: Any) -> None:
    """A list comes as it was sent; each kind has a class for its items, and the base takes what is new to us."""
    reply = models.PollReply.from_dict({"messages": [{**COMMON, **message}], "cursor": "7"})
    assert isinstance(reply.messages, list)
    again = kind.from_dict(reply.messages[0]).to_dict()
    assert {key: again[key] for key in message} == message


@pytest.mark.parametrize(
    ("enum", "known", "strange"),
    [
        (models.AllocationStatus, "Queued", "Parked"),
        (models.AuthorRole, 1, 9),
        (models.ChatEventKind, "AgentLeft", "ß"),
    ],
)
def test_an_unknown_value_of_an_enumeration_is_kept(enum: Callable[[Any], Any], known: Any, strange: Any) -> None:
    """A value that is new to us becomes a member that keeps it, equals itself, and survives a copy."""
    assert enum(known).value == known
    member = enum(strange)
    assert isinstance(member, type(enum(known)))
    assert (member.name, member.value, member) == (f"UNKNOWN_{strange}", strange, strange)
    assert member == enum(strange) != enum(known)
    assert hash(member) == hash(enum(strange))
    assert pickle.loads(pickle.dumps(member)) == copy.deepcopy(member) == member
    assert strange not in list(enum)  # type: ignore[call-overload]


@pytest.mark.parametrize("wrong", [None, [], {}, 1.5])
def test_a_value_of_the_wrong_type_is_no_member(wrong: Any) -> None:
    """Lenient means new values, not other types."""
    for enum in (models.AllocationStatus, models.AuthorRole):
        with pytest.raises(ValueError, match="is not a valid"):
            enum(wrong)


def test_roles_have_names() -> None:
    """The bare integers of the framework carry the names that the overlay gave them."""
    assert [(role.name, role.value) for role in models.AuthorRole] == [
        ("CUSTOMER", 0),
        ("AGENT", 1),
        ("SYSTEM", 2),
        ("BOT", 3),
    ]


def test_secrets_and_words_are_not_in_a_repr() -> None:
    """A token, a secret or a message does not reach a log because somebody printed an object.

    Known from others: a generated repr() that shows passwords.
    """
    secret = "s3cr3t"
    hidden = [
        models.ConnectTokenBody.from_dict({"grant_type": "x", "client_secret": secret, "other": secret}),
        models.TokenReply(access_token=secret, token_type="Bearer", refresh_token=secret, visitor_id=secret),
        models.AuthenticateRequest(code_challenge=secret, access_token=secret, id_token=secret),
        models.AuthenticateReply(user_info_id=secret),
        models.Variable(name="customerName", value=secret),
        models.SendMessageRequest(content=secret),
        models.PollReply.from_dict({"messages": [{**COMMON, "type": "Text", "content": secret}]}),
        models.PollReply.from_dict({"messages": [{**COMMON, "type": "New", "content": secret}]}),
    ]
    assert [one for one in hidden if secret in repr(one)] == []


def test_requests_are_built_as_the_contract_says() -> None:
    """Paths are quoted, the route's body is a list, the token is asked for as a form, and nothing else is sent."""
    route = route_conversation._get_kwargs("a/b", "q/1", body=[models.Variable(name="n", value="v")])
    assert (route["method"], route["url"]) == ("put", "/api/conversation/a%2Fb/route/q%2F1")
    assert route["json"] == [{"name": "n", "value": "v"}]
    assert route["headers"] == {"Content-Type": "application/json"}
    body = models.ConnectTokenBody(grant_type="refresh_token", refresh_token="r")
    assert connect_token._get_kwargs(body=body)["data"] == {
        "grant_type": "refresh_token",
        "refresh_token": "r",
    }
    assert poll_conversation._get_kwargs(after=None)["params"] == {}
    assert poll_conversation._get_kwargs(after="7")["params"] == {"after": "7"}
    assert poll_conversation._get_kwargs(after=7)["params"] == {"after": 7}


def test_the_provenance_table_is_the_document(committed: Layout) -> None:
    """A program that asks how sure an operation is gets what the document says."""
    document = parse(read_bytes(committed.built), committed.built)
    wanted = {row.operation_id: astuple(row) for row in rows(document)}
    assert {key: tuple(row) for key, row in OPERATIONS.items()} == wanted
    assert all(key == row.operation_id for key, row in OPERATIONS.items())


def test_the_package_needs_httpx_and_attrs_only(committed: Layout) -> None:
    """Nothing beyond the declared requirements is imported at run time."""
    found: set[str] = set()
    for path in committed.package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    assert found - set(sys.stdlib_module_names) == {"attrs", "httpx"}
