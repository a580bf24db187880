"""Each rule of the normaliser, on a document with its trap and on one without."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline import normalise
from pipeline.document import Json, Object, child, items

Small = Callable[..., Object]
THING = "/things/{id}"


def operation(document: Object) -> Object:
    return child(document, "paths", THING, "get")


def with_operation(document: Object, **changes: Json) -> Object:
    return {**document, "paths": {THING: {"get": {**operation(document), **changes}}}}


def media(*names: str) -> Object:
    return {name: {"schema": {"type": "string", "title": name}} for name in names}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["text/plain", "application/json", "text/json"], ["application/json"]),
        (["text/plain", "application/json", "application/problem+json"], ["application/problem+json"]),
        (["text/plain", "text/json"], ["application/json"]),
        (["text/csv"], ["text/csv"]),
    ],
)
def test_a_response_keeps_one_json_type(small: Small, before: list[str], after: list[str]) -> None:
    """A reply is never read as text because the framework lists `text/plain` first."""
    document = with_operation(small(), responses={"200": {"description": "", "content": media(*before)}})
    replies = child(operation(normalise.keep_json_responses(document)), "responses", "200", "content")
    assert list(replies) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["text/json", "application/*+json", "application/json"], ["application/json"]),
        (["application/*+json"], ["application/json"]),
        (["application/x-www-form-urlencoded"], ["application/x-www-form-urlencoded"]),
    ],
)
def test_a_request_keeps_one_json_type(small: Small, before: list[str], after: list[str]) -> None:
    """A request never goes out with `Content-Type: application/*+json`."""
    document = with_operation(small(), requestBody={"content": media(*before), "required": True})
    body = child(operation(normalise.keep_json_requests(document)), "requestBody")
    assert list(child(body, "content")) == after
    assert body["required"] is True


def test_security_is_written_on_each_operation_but_not_over_its_own(small: Small) -> None:
    """An operation that needs a token says so itself, and one that says it needs none keeps that."""
    default: Json = [{"Bearer": []}]
    document: Object = {**small(), "security": default}
    assert operation(normalise.repeat_security(document))["security"] == default
    open_to_all = with_operation(document, security=[])
    assert operation(normalise.repeat_security(open_to_all))["security"] == []


def test_a_path_parameter_is_spelled_as_in_its_path(small: Small) -> None:
    """An endpoint is not dropped because its parameter differs in case, is optional, or may be null."""
    loose: Object = {"name": "ID", "in": "path", "schema": {"type": "string", "nullable": True}}
    other: Object = {"name": "After", "in": "query", "schema": {"type": "string", "nullable": True}}
    document = normalise.match_path_parameters(with_operation(small(), parameters=[loose, other]))
    fixed: Object = {"name": "id", "in": "path", "schema": {"type": "string"}, "required": True}
    assert operation(document)["parameters"] == [fixed, other]


def test_enum_names_reach_the_generator(small: Small) -> None:
    """The names that .NET tools give to integers are kept under the name that the generator reads."""
    role: Object = {"type": "integer", "enum": [0, 1], "x-enumNames": ["Low", "High"]}
    renamed = child(normalise.name_enum_members(small(Role=role)), "components", "schemas", "Role")
    assert renamed == {"type": "integer", "enum": [0, 1], "x-enum-varnames": ["Low", "High"]}


BASE: Object = {
    "type": "object",
    "required": ["kind"],
    "properties": {"kind": {"type": "string"}, "id": {"type": "string"}},
    "additionalProperties": False,
    "discriminator": {"propertyName": "kind"},
}
REFERENCE: Object = {"$ref": "#/components/schemas/Base"}
OWN: Object = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}


@pytest.mark.parametrize("child_schema", [{"allOf": [REFERENCE, OWN]}, {"allOf": [REFERENCE], **OWN}])
def test_a_child_takes_over_the_members_of_its_base(small: Small, child_schema: Object) -> None:
    """A child stands alone, base first, in both ways that the framework writes inheritance."""
    document = normalise.merge_inheritance(small(Base=BASE, Child=child_schema))
    merged = child(document, "components", "schemas", "Child")
    assert "allOf" not in merged
    assert list(child(merged, "properties")) == ["kind", "id", "text"]
    assert merged["required"] == ["kind", "text"]
    assert child(document, "components", "schemas", "Base") == BASE


def test_members_beside_all_of_are_not_dropped(small: Small) -> None:
    """A child of a base without discriminator keeps its own members, whichever way it is written."""
    plain: Object = {"type": "object", "properties": {"id": {"type": "string"}}}
    beside: Object = {**OWN, "allOf": [REFERENCE], "description": "Mine."}
    document = normalise.move_members_into_all_of(small(Base=plain, Child=beside))
    moved = child(document, "components", "schemas", "Child")
    assert moved == {"allOf": [REFERENCE, OWN], "description": "Mine."}
    assert normalise.move_members_into_all_of(document) == document


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({**REFERENCE, "nullable": True}, {"anyOf": [REFERENCE, {"type": "null"}]}),
        ({"allOf": [REFERENCE], "nullable": True}, {"anyOf": [REFERENCE, {"type": "null"}]}),
        ({"oneOf": [REFERENCE], "nullable": True}, {"oneOf": [REFERENCE, {"type": "null"}]}),
        (
            {"type": "string", "enum": ["a"], "nullable": True},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        (
            {"properties": {"nullable": {"type": "boolean"}}},
            {"properties": {"nullable": {"type": "boolean"}}},
        ),
    ],
)
def test_null_becomes_a_type(small: Small, before: Object, after: Object) -> None:
    """Nullability survives wherever it stands, and a field that is called nullable stays a field."""
    document = normalise.write_null_as_type(small("3.0.1", Thing=before))
    assert child(document, "components", "schemas", "Thing") == after
    assert document["openapi"] == "3.1.0"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}),
        ({"maximum": 9, "exclusiveMaximum": False}, {"maximum": 9}),
    ],
)
def test_exclusive_limits_become_numbers(small: Small, before: Object, after: Object) -> None:
    """A limit of OpenAPI 3.0 means the same after the document has become 3.1."""
    document = normalise.write_limits_as_numbers(small("3.0.1", Thing=before))
    assert child(document, "components", "schemas", "Thing") == after


@pytest.mark.parametrize("rule", normalise.RULES, ids=lambda rule: rule.__name__)
def test_a_rule_leaves_a_document_without_its_trap_alone(small: Small, rule: Callable[[Object], Object]) -> None:
    """A document of OpenAPI 3.1 without traps goes through every rule unchanged, order of keys included."""
    document = small(Thing={"type": ["string", "null"]}, Zebra=OWN, Apple=OWN)
    changed = rule(document)
    assert changed == document
    assert list(child(changed, "components", "schemas")) == ["Thing", "Zebra", "Apple"]


def test_the_normaliser_is_done_after_one_pass(small: Small) -> None:
    """Normalising what was normalised changes nothing, and the input itself is never touched."""
    document = small("3.0.1", Base=BASE, Child={"allOf": [REFERENCE, OWN]}, Gone={**REFERENCE, "nullable": True})
    before = repr(document)
    once = normalise.normalise(document)
    assert normalise.normalise(once) == once
    assert repr(document) == before
    assert items(operation(once)["parameters"])
