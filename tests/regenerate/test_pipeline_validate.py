"""What is refused before the generator sees it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline.document import Json, Object, child
from pipeline.problems import PipelineError
from pipeline.validate import check_document, check_input

Small = Callable[..., Object]


def problems(document: Object) -> str:
    with pytest.raises(PipelineError) as raised:
        check_document(document, "puzzel-chat.json")
    assert raised.value.exit_code == 30
    return "\n".join(raised.value.details)


def test_a_good_document_passes(small: Small) -> None:
    """The checks find nothing in a document that has nothing, however a reference in it is written."""
    places: list[Json] = [{"$ref": f"#/components/schemas/{place}"} for place in ("Thing/allOf/0", "Th%69ng")]
    document = small(Thing={"allOf": [{"type": "object"}]}, Other={"anyOf": places})
    check_document(document, "puzzel-chat.json")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"swagger": "1.2"}, "is Swagger 1.2"),
        ({"openapi": "4.0.0", "paths": {}}, "says openapi: 4.0.0"),
        ({"openapi": "3.0", "paths": {}}, "says openapi: 3.0: give one of OpenAPI 3.0.x or 3.1.x"),
        ({}, "says openapi: nothing"),
        ({"openapi": "3.0.1", "paths": {}}, "has no operations"),
    ],
)
def test_a_document_of_another_kind_is_refused(document: Object, reason: str) -> None:
    """A document that this pipeline does not read is refused by what it is."""
    with pytest.raises(PipelineError) as raised:
        check_input(document, "upstream.json")
    assert str(raised.value).startswith("upstream.json ")
    assert reason in str(raised.value)


def test_every_misshapen_part_is_listed(small: Small) -> None:
    """All errors come at once, each with the place it is at."""
    document = small(One={"type": "strin"}, Two={"required": "id"})
    found = problems(document)
    assert "#/components/schemas/One/type" in found
    assert "#/components/schemas/Two/required" in found


@pytest.mark.parametrize("target", ["#/components/schemas/Nobody", "other.json#/Thing", "#Thing"])
def test_a_reference_that_leads_nowhere_is_refused(small: Small, target: str) -> None:
    """A broken reference is told with its place and target, not as a failure of the validator."""
    document = small(Thing={"properties": {"other": {"$ref": target}}})
    assert problems(document) == (
        f"#/components/schemas/Thing/properties/other refers to {target}, which the document does not have"
    )


def two_operations(document: Object, **second: str) -> Object:
    first = child(document, "paths", "/things/{id}", "get")
    paths: Object = {"/a/{id}": {"get": first}, "/b/{id}": {"post": {**first, **second}}}
    return {**document, "paths": paths}


@pytest.mark.parametrize("name", ["getThing", "GetThing", "get_thing"])
def test_operations_that_share_a_module_are_refused(small: Small, name: str) -> None:
    """Two operationIds of one tag that become one file are found, whatever their spelling."""
    found = problems(two_operations(small(), operationId=name))
    assert "GET /a/{id} and POST /b/{id} would both become api/things/get_thing.py" in found


def test_an_operation_needs_a_mark(small: Small) -> None:
    """An operation without x-provenance does not get into the client."""
    found = problems(two_operations(small(), **{"operationId": "other", "x-provenance": "rumoured"}))
    assert found.startswith("POST /b/{id} lacks x-provenance")


def test_a_path_parameter_that_is_not_declared_is_refused(small: Small) -> None:
    """The endpoint would be dropped; the path is in the sentence."""
    document = small()
    del child(document, "paths", "/things/{id}", "get")["parameters"]
    assert "'id'" in problems(document)
    assert "/things/{id}" in problems(document)


@pytest.mark.parametrize(("one", "other"), [("ChatMessage", "chat_message"), ("HTTPInfo", "HttpInfo")])
def test_schemas_that_share_a_class_are_refused(small: Small, one: str, other: str) -> None:
    """Two schemas that become one class or one file are found, whatever their spelling."""
    found = problems(small(**{one: {"type": "object"}, other: {"type": "object"}}))
    assert f"the schemas {one} and {other} would both become" in found


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"type": "string", "enum": ["Open", "OPEN"]}, "Open and OPEN would both become the member OPEN"),
        ({"type": "string", "enum": ["on-hold", "on_hold"]}, "would both become the member ON_HOLD"),
        (
            {"type": "integer", "enum": [0, 1], "x-enum-varnames": ["Low", "low"]},
            "would both become the member LOW",
        ),
        (
            {"type": "integer", "enum": [0], "x-enum-varnames": ["1st"]},
            "1st would become the member 1ST, which is no name",
        ),
        (
            {"type": "integer", "enum": [0, 1], "x-enum-varnames": ["Low"]},
            "has 2 values but 1 x-enum-varnames",
        ),
    ],
)
def test_enum_members_that_would_be_lost_are_refused(small: Small, schema: Object, reason: str) -> None:
    """No member of an enumeration disappears because of case, punctuation or a list of the wrong length."""
    found = problems(small(State=schema))
    assert found.startswith("#/components/schemas/State")
    assert reason in found


@pytest.mark.parametrize("name", ["d", "srcDict", "toDict", "from_dict", "additionalProperties"])
def test_a_property_whose_name_its_class_needs_is_refused(small: Small, name: str) -> None:
    """The generated class would take its own for the property; one that comes raw has no such class."""
    thing: Object = {"type": "object", "properties": {name: {"type": "string"}}}
    assert problems(small(Thing=thing)).startswith(f"#/components/schemas/Thing/properties/{name} would become ")
    check_document(small(Thing={**thing, "x-raw": True}), "puzzel-chat.json")
