"""Each rule of the normaliser, on a document with its trap and on one without."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pipeline.rules import contents, defaults, dialect, enums, inheritance, normalise, shared
from pipeline.rules.walk import Rule

from pipeline.document import Json, Object, child

Small = Callable[..., Object]
THING = "/things/{id}"


def told(rule: Rule, document: Object) -> tuple[Object, list[str]]:
    notes: list[str] = []
    return rule(document, notes.append), notes


def changed(rule: Rule, document: Object) -> Object:
    return told(rule, document)[0]


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
    replies = child(operation(changed(contents.keep_json_responses, document)), "responses", "200", "content")
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
    body = child(operation(changed(contents.keep_json_requests, document)), "requestBody")
    assert list(child(body, "content")) == after
    assert body["required"] is True


def test_security_is_written_on_each_operation_but_not_over_its_own(small: Small) -> None:
    """An operation that needs a token says so itself, and one that says it needs none keeps that."""
    default: Json = [{"Bearer": []}]
    document: Object = {**small(), "security": default}
    assert operation(changed(shared.repeat_security, document))["security"] == default
    open_to_all = with_operation(document, security=[])
    assert operation(changed(shared.repeat_security, open_to_all))["security"] == []


def test_enum_names_reach_the_generator(small: Small) -> None:
    """The names that .NET tools give to integers are kept under the name that the generator reads."""
    role: Object = {"type": "integer", "enum": [0, 1], "x-enumNames": ["Low", "High"]}
    renamed = child(changed(enums.name_enum_members, small(Role=role)), "components", "schemas", "Role")
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
    document = changed(inheritance.merge_inheritance, small(Base=BASE, Child=child_schema))
    merged = child(document, "components", "schemas", "Child")
    assert "allOf" not in merged
    assert list(child(merged, "properties")) == ["kind", "id", "text"]
    assert merged["required"] == ["kind", "text"]
    assert child(document, "components", "schemas", "Base") == BASE


def test_a_child_takes_over_what_its_base_inherits_itself(small: Small) -> None:
    """Neither the members of a base's own base are lost, nor those of a part beside the base."""
    kinds: Object = {name: {"type": "object", "properties": {name.lower(): {}}} for name in ("Root", "Mixin", "Own")}
    base: Object = {**child(kinds, "Own"), "allOf": [{"$ref": "#/components/schemas/Root"}]}
    parts: Json = [{"$ref": "#/components/schemas/Base"}, {"$ref": "#/components/schemas/Mixin"}]
    document = small(**kinds, Base={**base, "discriminator": {"propertyName": "own"}}, Child={"allOf": parts})
    merged = child(changed(inheritance.merge_inheritance, document), "components", "schemas", "Child")
    assert merged == {"type": "object", "properties": {"root": {}, "own": {}, "mixin": {}}}


def test_members_beside_all_of_are_not_dropped(small: Small) -> None:
    """A child of a base without discriminator keeps its own members and what it requires, however it is written."""
    plain: Object = {"type": "object", "properties": {"id": {"type": "string"}}}
    beside: Object = {**OWN, "allOf": [REFERENCE], "description": "Mine."}
    document = changed(inheritance.move_members_into_all_of, small(Base=plain, Child=beside))
    moved = child(document, "components", "schemas", "Child")
    assert moved == {"allOf": [REFERENCE, OWN], "description": "Mine."}
    assert changed(inheritance.move_members_into_all_of, document) == document
    demanding: Object = {"allOf": [REFERENCE], "required": ["id"], "nullable": True}
    document = changed(inheritance.move_members_into_all_of, small(Base=plain, Child=demanding))
    moved = child(document, "components", "schemas", "Child")
    assert moved == {"allOf": [REFERENCE, {"required": ["id"]}], "nullable": True}


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
    document = changed(dialect.write_null_as_type, small("3.0.1", Thing=before))
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
    document = changed(dialect.write_limits_as_numbers, small("3.0.1", Thing=before))
    assert child(document, "components", "schemas", "Thing") == after


@pytest.mark.parametrize(
    ("version", "member", "required", "after"),
    [
        ("3.0.1", REFERENCE, [], {**REFERENCE, "nullable": True}),
        ("3.0.1", {**REFERENCE, "description": "x"}, [], {**REFERENCE, "description": "x", "nullable": True}),
        ("3.0.1", REFERENCE, ["other"], REFERENCE),
        ("3.0.1", {**REFERENCE, "nullable": False}, [], {**REFERENCE, "nullable": False}),
        ("3.1.0", REFERENCE, [], REFERENCE),
    ],
)
def test_an_optional_reference_may_be_null(
    small: Small, version: str, member: Object, required: list[Json], after: Object
) -> None:
    """A null where the framework could not say `nullable` does not make the whole reply unreadable."""
    thing: Object = {"type": "object", "required": required, "properties": {"other": member}}
    document = changed(dialect.admit_null_for_references, small(version, Thing=thing, Base={"type": "object"}))
    assert child(document, "components", "schemas", "Thing", "properties", "other") == after


def test_the_extension_for_null_is_understood(small: Small) -> None:
    """What tools say in Swagger 2.0 is as good as `nullable`, wherever the converter leaves it."""
    note: Object = {"type": "string", "x-nullable": True}
    found = changed(normalise.normalise, small("3.0.3", Thing={"type": "object", "properties": {"note": note}}))
    assert child(found, "components", "schemas", "Thing", "properties", "note") == {"type": ["string", "null"]}


def test_an_id_is_a_string_whatever_its_form(small: Small) -> None:
    """An id that is no UUID is still an id; the generator would make a class of it that refuses others."""
    thing: Object = {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}}
    document = changed(dialect.keep_ids_as_strings, small(Thing=thing))
    assert child(document, "components", "schemas", "Thing", "properties", "id") == {"type": "string"}


@pytest.mark.parametrize("rule", normalise.RULES, ids=lambda rule: rule.__name__)
def test_a_rule_leaves_a_document_without_its_trap_alone(small: Small, rule: Rule) -> None:
    """A document of OpenAPI 3.1 without traps goes through every rule unchanged, order of keys included."""
    document = small(Thing={"type": ["string", "null"]}, Zebra=OWN, Apple=OWN)
    after, notes = told(rule, document)
    assert (after, notes) == (document, [])
    assert list(child(after, "components", "schemas")) == ["Thing", "Zebra", "Apple"]


def test_the_normaliser_is_done_after_one_pass(small: Small) -> None:
    """Normalising what was normalised changes nothing, and the input itself is never touched."""
    twins: Object = {"type": "string", "enum": ["Open", "OPEN", "Open"], "default": "Shut"}
    odd = small(
        "3.0.1",
        **{
            "Base": BASE,
            "Child": {"allOf": [REFERENCE, {**OWN, "title": "Base"}]},
            "Gone": {**REFERENCE, "nullable": True},
        },
        **{"Page`1[[Acme.Thing, Acme]]": OWN, "base": OWN, "Response": {"type": "array"}, "State": twins},
    )
    paths: Object = {
        "/things/{ID:int}": {"get": operation(odd)},
        "/a": {"get": {**operation(odd), "operationId": "get_thing"}},
    }
    document: Object = {**odd, "servers": [{"url": "/api"}], "paths": paths}
    before = repr(document)
    once, notes = told(normalise.normalise, document)
    assert told(normalise.normalise, once)[0] == once
    assert repr(document) == before
    assert len(notes) == len(set(notes)) >= 10


def test_a_schema_that_is_a_part_of_itself_comes_to_an_end(small: Small) -> None:
    """A document that makes no sense does not keep the pipeline for ever."""
    loop: Json = {"$ref": "#/components/schemas/Loop"}
    union: Object = {"oneOf": [loop, loop, {"$ref": "#/components/schemas/Other"}, {"type": "null"}], "default": 1}
    mixed: Object = {"allOf": [loop, REFERENCE], "discriminator": {"propertyName": "kind"}}
    document = small(
        "3.0.1", Loop=union, Other=union, Base={"allOf": [{"$ref": "#/components/schemas/Self"}]}, Self=mixed
    )
    found = changed(
        normalise.normalise, with_operation(document, parameters=[{"name": "id", "in": "path", "schema": loop}])
    )
    assert child(found, "components", "schemas", "Self")["discriminator"] == {"propertyName": "kind"}


# Media types


@pytest.mark.parametrize(
    ("content", "after", "note"),
    [
        ({"image/png": {}}, {"application/octet-stream": contents.BINARY}, "of the type image/png comes as bytes"),
        (
            {"text/plain": {"schema": contents.BINARY}, "application/json": {"schema": contents.BINARY}},
            {"application/octet-stream": contents.BINARY},
            "of the type application/json comes as bytes",
        ),
        (
            {"image/png": {"schema": contents.BINARY}, "text/plain": {"schema": contents.BINARY}},
            {"application/octet-stream": contents.BINARY},
            "of the type text/plain comes as bytes",
        ),
        (
            {"application/pdf": {}, "application/json": {"schema": {}}},
            {"application/json": {}},
            "is read as application/json, and not as application/pdf",
        ),
        (
            {"application/json": {"schema": {"type": "integer"}}, "text/csv": {"schema": {"type": "string"}}},
            {"application/json": {"type": "integer"}},
            "is read as application/json, and not as text/csv",
        ),
        (
            {"application/json": {"schema": {}}, "application/vnd.acme+json": {"schema": {"type": "integer"}}},
            {"application/json": {}},
            "is read as application/json, and not as application/vnd.acme+json",
        ),
        (
            {"application/pdf": {}, "text/html": {"schema": {"type": "string"}}},
            {"text/html": {"type": "string"}},
            "is read as text/html, and not as application/pdf",
        ),
        ({"*/*": {"schema": contents.BINARY}}, {"application/octet-stream": contents.BINARY}, "comes as bytes"),
        ({"application/octet-stream": {"schema": {}}}, {"application/octet-stream": contents.BINARY}, None),
        ({"text/csv": {"schema": {"type": "integer"}}}, {"text/csv": {"type": "string"}}, "it comes as a string"),
        ({"text/html": {"schema": {"type": "string"}}}, {"text/html": {"type": "string"}}, None),
    ],
)
def test_a_reply_that_is_no_json_comes_as_text_or_bytes(
    small: Small, content: Object, after: Object, note: str | None
) -> None:
    """A response is never dropped, nor read as JSON, because it is a picture, a file or a text."""
    document = with_operation(small(), responses={"200": {"description": "", "content": content}})
    found, notes = told(contents.keep_json_responses, document)
    replies = child(operation(found), "responses", "200", "content")
    assert {name: child(media)["schema"] for name, media in replies.items()} == after
    assert [(note or "") in one for one in notes] == [True] * bool(note)


@pytest.mark.parametrize(
    ("content", "after"),
    [
        ({"*/*": {"schema": OWN}}, {"application/json": {"schema": OWN}}),
        (
            {"*/*": {"schema": OWN}, "application/json": {"examples": {}}},
            {"application/json": {"examples": {}, "schema": OWN}},
        ),
        ({"*/*": {"schema": contents.BINARY}}, {"*/*": {"schema": contents.BINARY}}),
    ],
)
def test_what_may_be_of_any_type_is_json(small: Small, content: Object, after: Object) -> None:
    """A reply of which the document says no type is not read as bytes, unless it is a file; one note tells of all."""
    replies: Object = {status: {"description": "", "content": content} for status in ("200", "201")}
    found, notes = told(contents.read_any_type_as_json, with_operation(small(), responses=replies))
    assert child(operation(found), "responses", "200", "content") == after
    assert notes == ["2 bodies or replies may be of any type: they are taken for JSON"] * (content != after)


def test_statuses_are_spelled_as_the_generator_reads_them(small: Small) -> None:
    """A range in lower case is not dropped, and a reply without a description is still one."""
    statuses: Object = {"4xx": {}, "5XX": {}, "default": {}, "404": {"description": "No"}, "2**": {}}
    found, notes = told(contents.keep_json_responses, with_operation(small(), responses=statuses))
    assert notes == ["GET /things/{id}: the answer 2** is no status: it is left out"]
    replies = child(operation(found), "responses")
    assert list(replies) == ["4XX", "5XX", "default", "404"]
    assert [child(one)["description"] for one in replies.values()] == ["", "", "", "No"]


@pytest.mark.parametrize(("name", "schema"), [("application/json", {}), ("multipart/form-data", {"type": "object"})])
def test_a_body_without_a_schema_takes_anything(small: Small, name: str, schema: Object) -> None:
    """An endpoint is not dropped because nobody described its body."""
    document = with_operation(small(), requestBody={"content": {name: {}}})
    found, notes = told(contents.keep_json_requests, document)
    assert child(operation(found), "requestBody", "content", name)["schema"] == schema
    assert len(notes) == 1
    assert notes[0].startswith("GET /things/{id}: the body has no schema")


def test_a_type_of_the_vendors_own_is_still_sent(small: Small) -> None:
    """Only the wildcard and JSON that calls itself text become plain JSON."""
    document = with_operation(small(), requestBody={"content": media("application/vnd.acme.v2+json")})
    body = child(operation(changed(contents.keep_json_requests, document)), "requestBody")
    assert list(child(body, "content")) == ["application/vnd.acme.v2+json"]


def test_a_form_beside_json_is_told(small: Small) -> None:
    """A body that may also be a form is sent as JSON, and it is said that the form is not there."""
    document = with_operation(small(), requestBody={"content": media("application/json", "multipart/form-data")})
    found, notes = told(contents.keep_json_requests, document)
    assert list(child(operation(found), "requestBody", "content")) == ["application/json"]
    assert notes == ["GET /things/{id}: the body is sent as application/json, and not as multipart/form-data"]


def test_what_the_service_would_call_is_told(small: Small) -> None:
    """Webhooks and callbacks do not get lost in silence: no client has them."""
    document: Object = {**with_operation(small(), callbacks={"done": {}}), "webhooks": {"ping": {}}}
    _, notes = told(contents.tell_calls_back, document)
    assert notes == [
        "the document has webhooks (ping), which no client calls",
        "GET /things/{id} has callbacks, which no client calls",
    ]


# Ways to write a schema


@pytest.mark.parametrize(
    ("before", "after", "note"),
    [
        ({"properties": {"a": True, "b": False}}, {"properties": {"a": {}, "b": {"not": {}}}}, None),
        ({"type": "array", "items": True}, {"type": "array", "items": {}}, None),
        ({"type": "array"}, {"type": "array", "items": {}}, "the array does not say of what"),
        ({"type": "object", "additionalProperties": False}, {"type": "object", "additionalProperties": False}, None),
    ],
)
def test_short_schemas_are_written_out(small: Small, before: Object, after: Object, note: str | None) -> None:
    """The whole document is not refused for a schema that is `true`, nor a class dropped for a list of anything."""
    found, notes = told(dialect.write_out_short_schemas, small(Thing=before))
    assert child(found, "components", "schemas", "Thing") == after
    assert [(note or "") in one for one in notes] == [True] * bool(note)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"type": ["integer", "string"], "pattern": "^x", "format": "int32"}, {"type": "integer", "format": "int32"}),
        ({"type": ["null", "number", "string"], "pattern": "^x"}, {"type": ["null", "number"]}),
        ({"type": ["integer", "string"]}, {"type": ["integer", "string"]}),
    ],
)
def test_a_number_that_may_be_written_as_a_string_is_a_number(small: Small, before: Object, after: Object) -> None:
    """The newest framework accepts both and writes numbers: a caller does not meet a union."""
    found = changed(dialect.read_numbers_as_numbers, small(Thing=before))
    assert child(found, "components", "schemas", "Thing") == after


def test_nullable_is_understood_in_openapi_31_too(small: Small) -> None:
    """A word of 3.0 in a document of 3.1 does not lose its meaning."""
    found = changed(normalise.normalise, small(Thing={"type": "string", "nullable": True}))
    assert child(found, "components", "schemas", "Thing") == {"type": ["string", "null"]}


def test_words_without_a_value_are_left_out(small: Small) -> None:
    """A tool that writes null for what it does not know does not make a document useless; values and names stay."""
    thing: Object = {"default": None, "format": None, "enum": [None]}
    document = with_operation(small(Thing=thing, Any={"properties": {"format": None}}), summary=None)
    found = changed(dialect.leave_out_nothing, with_operation(document, responses={"204": None}))
    assert child(operation(found), "responses") == {"204": {}}
    assert "summary" not in operation(found)
    assert child(found, "components", "schemas") == {
        "Thing": {"default": None, "enum": [None]},
        "Any": {"properties": {"format": {}}},
    }


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        ({"type": "integer", "default": 1}, True),
        ({"type": "integer", "default": "x"}, False),
        ({"type": "string", "format": "date-time", "default": "soon"}, False),
        ({"type": ["string", "null"], "default": "x"}, True),
        ({"type": "object", "default": {}}, False),
        ({"allOf": [{"$ref": "#/components/schemas/State"}], "default": "On"}, True),
        ({"allOf": [{"$ref": "#/components/schemas/State"}], "default": 1}, False),
        ({"anyOf": [{"$ref": "#/components/schemas/State"}, {"type": "null"}], "default": "Off"}, False),
        ({"type": "array", "items": {}, "default": []}, True),
    ],
)
def test_a_default_that_is_no_value_is_left_out(small: Small, schema: Object, kept: bool) -> None:
    """A class or an endpoint is not dropped for a default that does not fit; the note says which."""
    state: Object = {"type": "string", "enum": ["On"]}
    found, notes = told(defaults.drop_unusable_defaults, small(State=state, Thing={"properties": {"a": schema}}))
    assert ("default" in child(found, "components", "schemas", "Thing", "properties", "a")) is kept
    assert [one.startswith("the schema Thing at properties/a: the default") for one in notes] == [True] * (not kept)
