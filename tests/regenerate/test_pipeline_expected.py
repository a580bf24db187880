"""What a document expects of an answer, as a probe compares with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.document import Json, Object, operations, text
from pipeline.expected import Expected, expected
from pipeline.layout import Layout
from puzzel_chat import operations as of_the_facade
from puzzel_chat_api.provenance import OPERATIONS

Small = Callable[..., Object]


def of(document: Object, schema: Json, **more: Json) -> Expected:
    """Give what is expected of an operation that answers 200 with that schema."""
    responses: Object = {"200": {"description": "", "content": {"application/json": {"schema": schema}}}, **more}
    return expected(document, {"responses": responses})


def test_members_are_told_by_their_place_and_type(small: Small) -> None:
    """Objects, lists, null and what may be anything each have their word."""
    schema: Object = {
        "type": "object",
        "required": ["id"],
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "a/b": {"type": ["integer", "null"]},
            "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "number"}}}},
            "open": {},
        },
    }
    found = of(small(), schema)
    assert found.reply == {
        "/id": "string",
        "/a~1b": "integer or null",
        "/list": "array",
        "/list/*": "object",
        "/list/*/x": "number",
        "/open": "any",
    }
    assert found.required == ("/id",)
    assert found.statuses == (200,)


def test_branches_are_taken_together(small: Small) -> None:
    """A member of one branch may come, and one that every branch demands is always there."""
    one: Object = {"type": "object", "required": ["kind", "a"], "properties": {"kind": {"type": "string"}, "a": {}}}
    other: Object = {"type": "object", "required": ["kind"], "properties": {"kind": {"type": "integer"}, "b": {}}}
    found = of(small(), {"anyOf": [one, other]})
    assert found.reply == {"/kind": "string or integer", "/a": "any", "/b": "any"}
    assert found.required == ("/kind",)


def test_a_schema_within_itself_is_told_once(small: Small) -> None:
    """A tree of things comes to an end."""
    node: Object = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Node"}}}
    found = of(small(Node=node), {"$ref": "#/components/schemas/Node"})
    assert found.reply == {"/child": "object"}
    several: Object = {"type": "array", "items": {"$ref": "#/components/schemas/Node"}}
    lists = of(small(Node={"type": "object", "properties": {"kids": several}}), several)
    assert lists.reply == {"/*": "object", "/*/kids": "array", "/*/kids/*": "object"}


def test_what_is_tolerated_is_not_expected(small: Small) -> None:
    """A type that only a correction of ours lets through counts as a surprise."""
    schema: Object = {"type": "object", "properties": {"n": {"type": ["integer", "string"], "x-tolerated": ["string"]}}}
    assert of(small(), schema).reply == {"/n": "integer"}


@pytest.mark.parametrize("status", ["204", "404", "default"])
def test_only_successes_say_what_comes(small: Small, status: str) -> None:
    """A refusal's document is no reply that the facade reads."""
    reply: Any = {"description": "", "content": {"application/json": {"schema": {"properties": {"code": {}}}}}}
    found = expected(small(), {"responses": {status: {"description": ""} if status == "204" else reply}})
    assert found.reply == {}


def test_the_generated_table_is_what_the_document_expects(committed: Layout) -> None:
    """What the facade tells of each operation is what the built document says."""
    document = json.loads(committed.built.read_text(encoding="utf-8"))
    for _, _, operation in operations(document):
        row, found = OPERATIONS[text(operation, "operationId")], expected(document, operation)
        assert (row.statuses, row.reply, row.required) == (found.statuses, found.reply, found.required)
    told = {one.name: one.reply for one in of_the_facade()}
    assert told["pollConversation"]["/cursor"] == "integer or null"
