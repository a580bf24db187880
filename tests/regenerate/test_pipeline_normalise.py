"""Each rule of the normaliser, on a document with its trap and on one without."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import normalise as rules
from pipeline.document import Json, Object, child, items, objects, parse, read_bytes
from pipeline.problems import PipelineError
from pipeline.provenance import confirm
from pipeline.validate import check_document
from pipeline.walk import without
from regenerate.making import ROOT

Small = Callable[..., Object]
THING = "/things/{id}"


def told(rule: rules.Rule, document: Object) -> tuple[Object, list[str]]:
    notes: list[str] = []
    return rule(document, notes.append), notes


def changed(rule: rules.Rule, document: Object) -> Object:
    return told(rule, document)[0]


def schema(document: Object, name: str = "Thing") -> Object:
    return child(document, "components", "schemas", name)


def operation(document: Object) -> Object:
    return child(document, "paths", THING, "get")


def with_operation(document: Object, **changes: Json) -> Object:
    return {**document, "paths": {THING: {"get": {**operation(document), **changes}}}}


def media(*names: str) -> Object:
    return {name: {"schema": {"type": "string", "title": name}} for name in names}


# Requests and replies


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["text/plain", "application/json", "text/json"], "application/json"),
        (["text/plain", "application/json", "application/problem+json"], "application/problem+json"),
        (["text/plain", "text/json"], "application/json"),
        (["text/csv"], "text/csv"),
        (["*/*"], "application/json"),
    ],
)
def test_a_response_keeps_one_json_type(small: Small, before: list[str], after: str) -> None:
    """A reply is never read as text because the framework lists `text/plain` first."""
    document = with_operation(small(), responses={"200": {"description": "", "content": media(*before)}})
    replies = child(operation(changed(rules.keep_one_type, document)), "responses", "200", "content")
    assert list(replies) == [after]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["text/json", "application/*+json", "application/json"], ["application/json"]),
        (["application/*+json"], ["application/json"]),
        (["application/vnd.acme.v2+json"], ["application/vnd.acme.v2+json"]),
        (["application/x-www-form-urlencoded"], ["application/x-www-form-urlencoded"]),
    ],
)
def test_a_request_keeps_one_json_type(small: Small, before: list[str], after: list[str]) -> None:
    """A request never goes out with `Content-Type: application/*+json`, but with a type of the vendor's own."""
    document = with_operation(small(), requestBody={"content": media(*before), "required": True})
    body = child(operation(changed(rules.keep_one_type, document)), "requestBody")
    assert list(child(body, "content")) == after
    assert body["required"] is True


@pytest.mark.parametrize(
    ("content", "after", "note"),
    [
        ({"image/png": {}}, {"application/octet-stream": rules.BINARY}, "of the type image/png comes as bytes"),
        (
            {"text/plain": {"schema": rules.BINARY}, "application/json": {"schema": rules.BINARY}},
            {"application/octet-stream": rules.BINARY},
            "comes as bytes",
        ),
        ({"*/*": {"schema": rules.BINARY}}, {"application/octet-stream": rules.BINARY}, "comes as bytes"),
        ({"text/csv": {"schema": {"oneOf": [rules.BINARY, rules.BINARY]}}}, None, "of the type text/csv comes as"),
        (
            {"application/pdf": {"schema": rules.BINARY}, "application/json": {"schema": {}}},
            {"application/json": {}},
            "is read as application/json, and not as application/pdf",
        ),
        (
            {"application/json": {"schema": {"type": "integer"}}, "text/csv": {"schema": {"type": "string"}}},
            {"application/json": {"type": "integer"}},
            "is read as application/json, and not as text/csv",
        ),
        ({"application/octet-stream": {"schema": {}}}, {"application/octet-stream": rules.BINARY}, None),
        ({"text/csv": {"schema": {"type": "integer"}}}, {"text/csv": {"type": "string"}}, "it comes as a string"),
        ({"application/xml": {"schema": {"type": "object"}}}, {"text/xml": {"type": "string"}}, "comes as a string"),
        ({"text/html": {"schema": {"type": "string"}}}, {"text/html": {"type": "string"}}, None),
    ],
)
def test_a_reply_that_is_no_json_comes_as_text_or_bytes(
    small: Small, content: Object, after: Object | None, note: str | None
) -> None:
    """A response is never dropped, nor read as JSON, because it is a picture, a file or a text."""
    document = with_operation(small(), responses={"200": {"description": "", "content": content}})
    found, notes = told(rules.keep_one_type, document)
    replies = child(operation(found), "responses", "200", "content")
    wanted = after or {"application/octet-stream": rules.BINARY}
    assert {name: child(one)["schema"] for name, one in replies.items()} == wanted
    assert [(note or "") in one for one in notes] == [True] * bool(note)


def test_a_form_beside_json_is_told(small: Small) -> None:
    """A body that may also be a form is sent as JSON, and it is said that the form is not there."""
    document = with_operation(small(), requestBody={"content": media("application/json", "multipart/form-data")})
    found, notes = told(rules.keep_one_type, document)
    assert list(child(operation(found), "requestBody", "content")) == ["application/json"]
    assert notes == ["GET /things/{id}: the body is sent as application/json, and not as multipart/form-data"]


def test_security_is_written_on_each_operation_but_not_over_its_own(small: Small) -> None:
    """An operation that needs a token says so itself, and one that says it needs none keeps that."""
    default: Json = [{"Bearer": []}]
    document: Object = {**small(), "security": default}
    assert operation(changed(rules.repeat_security, document))["security"] == default
    open_to_all = with_operation(document, security=[])
    assert operation(changed(rules.repeat_security, open_to_all))["security"] == []


# Inheritance

REFERENCE: Object = {"$ref": "#/components/schemas/Base"}
ENUM: Object = {"type": "string", "enum": ["a"]}
OWN: Object = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
BASE: Object = {
    "type": "object",
    "required": ["kind", "id"],
    "properties": {"kind": {"type": "string"}, "id": {"type": "string"}},
    "additionalProperties": False,
    "x-provenance": "assumed",
    "x-provenance-note": "Ours.",
    "discriminator": {"propertyName": "kind", "mapping": {"C": "#/components/schemas/Child"}},
}


@pytest.mark.parametrize("kind", [{"allOf": [REFERENCE, OWN]}, {"allOf": [REFERENCE], **OWN}])
def test_a_child_takes_over_the_members_of_its_base(small: Small, kind: Object) -> None:
    """A child stands alone, base first, in both ways that the framework writes inheritance, and knows its kind."""
    merged = schema(changed(rules.merge_inheritance, small(Base=BASE, Child=kind)), "Child")
    assert "allOf" not in merged
    assert list(child(merged, "properties")) == ["kind", "id", "text"]
    assert merged["required"] == ["kind", "id", "text"]
    assert child(merged, "properties", "kind") == {"type": "string", "const": "C"}


def test_a_base_names_its_kinds_in_an_enumeration(small: Small) -> None:
    """The enumeration has the base's marks, and a kind that is new to us, or none at all, is still the base."""
    found = changed(rules.merge_inheritance, small(Base=BASE, Child={"allOf": [REFERENCE, OWN]}))
    base = schema(found, "Base")
    enum: Object = {"$ref": "#/components/schemas/BaseKind"}
    assert child(base, "properties", "kind") == {"anyOf": [enum, {"type": "null"}]}
    assert base["required"] == ["id"]
    marks: Object = {"x-provenance": "assumed", "x-provenance-note": "Ours."}
    assert schema(found, "BaseKind") == {"type": "string", "enum": ["C"], **marks}
    assert changed(rules.merge_inheritance, found) == found
    assert "discriminator" not in schema(changed(rules.drop_discriminators, found), "Base")


def test_a_discriminator_that_is_an_enumeration_stays_one(small: Small) -> None:
    """Only a plain string becomes an enumeration of ours; the constants are there in any case."""
    kind: Object = {"$ref": "#/components/schemas/Kind"}
    base: Object = {**BASE, "properties": {"kind": kind}}
    document = small(Base=base, Child={"allOf": [REFERENCE, OWN]}, Kind={"type": "string", "enum": ["C"]})
    found = changed(rules.merge_inheritance, document)
    assert schema(found, "Base") == base
    assert child(schema(found, "Child"), "properties", "kind") == {"type": "string", "const": "C"}
    assert list(child(found, "components", "schemas")) == ["Base", "Child", "Kind"]


def test_a_kind_that_says_itself_what_it_is_called_is_believed(small: Small) -> None:
    """What stands at the member is nearer than the mapping of the base."""
    own: Object = {"type": "object", "properties": {"kind": {"type": "string", "enum": ["Other"]}}}
    found = changed(rules.merge_inheritance, small(Base=BASE, Child={"allOf": [REFERENCE, own]}))
    assert child(schema(found, "Child"), "properties", "kind") == {"type": "string", "const": "Other"}


def test_a_kind_that_is_a_base_itself_is_not_shut_to_its_own_kinds(small: Small) -> None:
    """A member that refers to the middle of a tree takes the kinds below it."""
    mapping: Object = {"C": "#/components/schemas/Child", "G": "Grandchild"}
    base: Object = {**BASE, "discriminator": {"propertyName": "kind", "mapping": mapping}}
    below: Object = {"allOf": [{"$ref": "#/components/schemas/Child"}, OWN]}
    found = changed(rules.merge_inheritance, small(Base=base, Child={"allOf": [REFERENCE]}, Grandchild=below))
    assert child(schema(found, "Child"), "properties", "kind") == {"type": "string"}
    assert child(schema(found, "Grandchild"), "properties", "kind") == {"type": "string", "const": "G"}


def test_a_discriminator_inside_a_part_counts(small: Small) -> None:
    """A base that inherits itself says its discriminator in the part that is its own."""
    inner = without(BASE, "x-provenance", "x-provenance-note")
    base: Object = {"allOf": [{"$ref": "#/components/schemas/Root"}, inner]}
    document = small(Root={"type": "object", "properties": {"r": {}}}, Base=base, Child={"allOf": [REFERENCE, OWN]})
    found = changed(rules.merge_inheritance, document)
    assert list(child(schema(found, "Child"), "properties")) == ["r", "kind", "id", "text"]
    assert schema(found, "BaseKind")["enum"] == ["C"]


def test_one_kind_of_several_names_is_told(small: Small) -> None:
    """No constant tells it from the others."""
    mapping: Object = {"C": "#/components/schemas/Child", "D": "#/components/schemas/Child"}
    base: Object = {**BASE, "discriminator": {"propertyName": "kind", "mapping": mapping}}
    found, notes = told(rules.merge_inheritance, small(Base=base, Child={"allOf": [REFERENCE, OWN]}))
    assert child(schema(found, "Child"), "properties", "kind") == {"type": "string"}
    assert notes == ["the schema Base: one kind goes by several names, so its `kind` tells it from no other"]


def test_a_child_takes_over_what_its_base_inherits_itself(small: Small) -> None:
    """Neither the members of a base's own base are lost, nor those of a part beside the base."""
    parts: Object = {name: {"type": "object", "properties": {name.lower(): {}}} for name in ("Root", "Mixin", "Own")}
    base: Object = {**child(parts, "Own"), "allOf": [{"$ref": "#/components/schemas/Root"}]}
    both: Json = [REFERENCE, {"$ref": "#/components/schemas/Mixin"}]
    document = small(**parts, Base={**base, "discriminator": {"propertyName": "own"}}, Child={"allOf": both})
    merged = schema(changed(rules.merge_inheritance, document), "Child")
    assert merged == {"type": "object", "properties": {"root": {}, "own": {}, "mixin": {}}}


def test_members_beside_all_of_are_not_dropped(small: Small) -> None:
    """A child of a base without discriminator keeps its own members and what it requires."""
    plain: Object = {"type": "object", "properties": {"id": {"type": "string"}}}
    beside: Object = {**OWN, "allOf": [REFERENCE], "description": "Mine."}
    merged = schema(changed(rules.merge_inheritance, small(Base=plain, Child=beside)), "Child")
    assert merged == {
        "type": "object",
        "properties": {"id": {"type": "string"}, "text": {"type": "string"}},
        "required": ["text"],
        "description": "Mine.",
    }


def test_a_schema_that_is_a_part_of_itself_comes_to_an_end(small: Small) -> None:
    """A document that makes no sense does not keep the pipeline for ever."""
    loop: Json = {"$ref": "#/components/schemas/Loop"}
    union: Object = {"oneOf": [loop, loop, {"$ref": "#/components/schemas/Other"}, {"type": "null"}], "default": 1}
    mixed: Object = {"allOf": [loop, REFERENCE], "discriminator": {"propertyName": "kind"}}
    base: Object = {"allOf": [{"$ref": "#/components/schemas/Itself"}]}
    document = small("3.0.1", Loop=union, Other=union, Base=base, Itself=mixed)
    document = with_operation(document, parameters=[{"name": "id", "in": "path", "schema": loop}])
    found = changed(rules.finish, changed(rules.normalise, document))
    assert set(child(found, "components", "schemas")) == {"Loop", "Other", "Base", "Itself"}


# Ways to write a schema


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
        ({"type": "string", "nullable": False}, {"type": "string"}),
        ({"type": "string", "x-nullable": True}, {"type": ["string", "null"]}),
        ({**REFERENCE, "nullable": True}, {"anyOf": [REFERENCE, {"type": "null"}]}),
        ({"allOf": [REFERENCE], "nullable": True}, {"anyOf": [REFERENCE, {"type": "null"}]}),
        ({"oneOf": [REFERENCE], "nullable": True}, {"oneOf": [REFERENCE, {"type": "null"}]}),
        ({"type": "null", "allOf": [REFERENCE]}, {"anyOf": [REFERENCE, {"type": "null"}]}),
        ({"type": ["null", "object"], **REFERENCE}, {"anyOf": [REFERENCE, {"type": "null"}]}),
        ({"oneOf": [{"type": "null"}, REFERENCE], "nullable": True}, {"oneOf": [REFERENCE, {"type": "null"}]}),
        ({"type": "string", "enum": ["a"], "nullable": True}, {"anyOf": [ENUM, {"type": "null"}]}),
        ({"type": ["null", "string"], "enum": ["a"]}, {"anyOf": [ENUM, {"type": "null"}]}),
        ({"properties": {"nullable": {"type": "boolean"}}}, {"properties": {"nullable": {"type": "boolean"}}}),
    ],
)
@pytest.mark.parametrize("version", ["3.0.1", "3.1.1"])
def test_null_becomes_a_type(small: Small, version: str, before: Object, after: Object) -> None:
    """Nullability survives wherever it stands, and a field that is called nullable stays a field."""
    document = changed(rules.normalise, small(version, Thing=before, Base=OWN))
    assert schema(document) == after
    assert str(document["openapi"]).startswith("3.1.")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"minimum": 0, "exclusiveMinimum": True}, {"exclusiveMinimum": 0}),
        ({"maximum": 9, "exclusiveMaximum": False}, {"maximum": 9}),
    ],
)
def test_exclusive_limits_become_numbers(small: Small, before: Object, after: Object) -> None:
    """A limit of OpenAPI 3.0 means the same after the document has become 3.1."""
    assert schema(changed(rules.write_limits_as_numbers, small("3.0.1", Thing=before))) == after


def test_optional_references_may_be_null_in_openapi_30_only(small: Small) -> None:
    """The framework cannot say in 3.0 that a reference may be null; in 3.1 it can, and means what it says."""
    thing: Object = {"required": ["one"], "properties": {"one": REFERENCE, "two": REFERENCE}}
    admitted = schema(changed(rules.admit_null_for_references, small("3.0.1", Thing=thing, Base=OWN)))
    assert child(admitted, "properties") == {"one": REFERENCE, "two": {**REFERENCE, "nullable": True}}
    document = small("3.1.0", Thing=thing, Base=OWN)
    assert changed(rules.admit_null_for_references, document) == document


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"type": ["integer", "string"], "pattern": "^x", "format": "int32"}, {"type": "integer", "format": "int32"}),
        ({"type": ["null", "number", "string"], "pattern": "^x"}, {"type": ["null", "number"]}),
        ({"type": ["integer", "string"]}, {"type": ["integer", "string"]}),
    ],
)
def test_a_number_that_may_be_written_as_a_string_is_a_number(small: Small, before: Object, after: Object) -> None:
    """The newest framework accepts both and writes numbers: a caller does not meet a union; one note tells of all."""
    found, notes = told(rules.read_numbers_as_numbers, small(Thing=before, Other=before))
    assert schema(found) == schema(found, "Other") == after
    assert notes == ["2 numbers may also be strings, the schema Thing the first: they are taken as numbers"] * (
        before != after
    )


@pytest.mark.parametrize(
    "schema_",
    [
        {"type": "integer", "default": 1},
        {"type": "integer", "default": "x"},
        {"type": "string", "format": "date-time", "default": "soon"},
        {"type": ["string", "null"], "default": None},
        {"type": "object", "default": {}},
        {"allOf": [{"$ref": "#/components/schemas/State"}], "default": "On"},
    ],
)
def test_a_default_is_left_to_the_service(small: Small, schema_: Object) -> None:
    """What nobody says is not sent, whether the generator could write it or not; the note says what it is."""
    document = small(Thing={"type": "object", "properties": {"a": schema_}}, State={"type": "string", "enum": ["On"]})
    found, notes = told(rules.leave_defaults_to_the_service, document)
    assert child(schema(found), "properties", "a") == {
        ("x-default" if key == "default" else key): value for key, value in schema_.items()
    }
    assert [one.startswith("the schema Thing at properties/a: the default") for one in notes] == [True]
    check_document(found, "small.json")


def test_unions_are_tried_by_what_they_ask_for(small: Small) -> None:
    """Constants count as much as required members, and what asks for nothing comes last."""
    some: Object = {"type": "object", "properties": {"a": {"type": "string"}}}
    more: Object = {**some, "required": ["a"]}
    most: Object = {**some, "required": ["a"], "properties": {"a": {"const": "x"}}}
    refs: list[Json] = [{"$ref": f"#/components/schemas/{name}"} for name in ("Some", "More", "Most")]
    union: Object = {"anyOf": [{"type": "null"}, *refs]}
    found, notes = told(rules.order_unions, small(Some=some, More=more, Most=most, Thing=union))
    assert items(schema(found)["anyOf"]) == [refs[2], refs[1], {"type": "null"}, refs[0]]
    assert notes == ["the schema Thing: a Some may be read as More, which comes first"]


# The whole

KNOWN = (ROOT / "openapi" / "upstream.json", ROOT / "tests" / "regenerate" / "rehearsal" / "vendor.json")


@pytest.mark.parametrize("rule", [*rules.RULES, *rules.LAST_RULES], ids=lambda rule: rule.__name__)
def test_a_rule_leaves_a_document_without_its_trap_alone(small: Small, rule: rules.Rule) -> None:
    """A document of OpenAPI 3.1 without traps goes through every rule unchanged, order of keys included."""
    document = small(Thing={"type": ["string", "null"]}, Zebra=OWN, Apple=OWN)
    after, notes = told(rule, document)
    assert (after, notes) == (document, [])
    assert list(child(after, "components", "schemas")) == ["Thing", "Zebra", "Apple"]


@pytest.mark.parametrize("path", KNOWN, ids=lambda path: path.name)
def test_the_normaliser_is_done_after_one_pass(path: Path) -> None:
    """Normalising what was normalised changes nothing, and the input itself is never touched."""
    document = confirm(parse(read_bytes(path), path))
    before = copy.deepcopy(document)
    once = changed(rules.normalise, document)
    assert changed(rules.normalise, once) == once
    assert changed(rules.finish, changed(rules.finish, once)) == changed(rules.finish, once)
    assert document == before


ODD: st.SearchStrategy[Json] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2),
    st.sampled_from(["", "null", "object", "array", "string", "integer", "#/components/schemas/Base", "#/", "~"]),
    st.sampled_from([[], {}, [None], ["null"], {"type": "null"}, [{"$ref": "#/components/schemas/Thing"}], {"a": 1}]),
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_document_ends_in_a_traceback(data: st.DataObject) -> None:
    """Whatever stands at whatever place, the document is taken or refused in sentences with a place."""
    holder: Object = {"properties": {"x": {"oneOf": [REFERENCE, {"type": "null"}], "default": 1}}, "x-enumNames": ["A"]}
    enum: Object = {"type": ["null", "integer"], "enum": [1, 2], "x-enum-varnames": ["A"], "nullable": True}
    parameters: list[Json] = [
        {"name": "ID", "in": "path", "required": True, "schema": {"type": "string"}},
        {"name": "q", "in": "query", "style": "form", "explode": False, "schema": {"type": "array", "items": {}}},
    ]
    reply: Object = {"200": {"description": "", "content": media("text/plain", "text/json")}}
    call: Object = {"parameters": parameters, "responses": reply, "requestBody": {"content": media("text/json")}}
    document: Object = {
        "openapi": "3.0.1",
        "info": {"title": "t", "version": "1"},
        "servers": [{"url": "https://a.example/api"}],
        "security": [],
        "paths": {THING: {"get": call, "parameters": parameters[:1]}},
        "components": {"schemas": {"Base": BASE, "Child": {"allOf": [REFERENCE, OWN]}, "Thing": holder, "E": enum}},
    }
    document = copy.deepcopy(document)
    for _ in range(data.draw(st.integers(1, 3))):
        places = [(node, key) for _, node in objects(document, ()) for key in node if node is not document]
        node, key = data.draw(st.sampled_from(places))
        node[key] = copy.deepcopy(data.draw(ODD))
    try:
        check_document(changed(rules.finish, changed(rules.normalise, confirm(document))), "odd.json")
    except PipelineError as error:
        refused = error.details
    else:
        refused = ()
    assert all("Traceback" not in one and "\n" not in one for one in refused)
