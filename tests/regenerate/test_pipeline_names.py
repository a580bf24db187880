"""Names that stay apart: of operations, schemas, properties and members of enumerations."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pipeline.rules import enums, naming, operations, schemas
from pipeline.rules.walk import Rule

from pipeline.document import Object, child, items
from pipeline.document import operations as operations_of

Small = Callable[..., Object]
OBJECT: Object = {"type": "object"}


def told(rule: Rule, document: Object) -> tuple[Object, list[str]]:
    notes: list[str] = []
    return rule(document, notes.append), notes


def named(document: Object, *calls: tuple[str, str, str]) -> Object:
    """Put operations of the names given into a document."""
    known = child(document, "paths", "/things/{id}", "get")
    paths: Object = {}
    for method, path, name in calls:
        paths[path] = {**child(paths, path), method: {**known, "operationId": name}}
    return {**document, "paths": paths}


def ids(document: Object) -> list[object]:
    return [operation["operationId"] for _, _, operation in operations_of(document)]


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("get", "/api/queue/info/{id}", "getQueueInfoById"),
        ("post", "/api/v1.0/conversation/{id}/route/", "postConversationByIdRoute"),
        ("put", "/V2/a-b/c.d", "putABCD"),
        ("get", "/api", "getApi"),
        ("get", "/", "getRoot"),
    ],
)
def test_an_operation_without_a_name_gets_a_readable_one(small: Small, method: str, path: str, name: str) -> None:
    """A name is made of method and path, without what every path begins with, and the note says which."""
    found, notes = told(operations.finish, named(small(), (method, path, "")))
    assert ids(found) == [name]
    assert notes == [f"{method.upper()} {path} has no operationId of its own: it is called `{name}`"]


def test_made_names_are_unique(small: Small) -> None:
    """Two versions of a path, a trailing slash, or a name that is given already make no two equal names."""
    calls = [
        ("get", "/v1/a", ""),
        ("get", "/v2/a", ""),
        ("get", "/v2/a/", ""),
        ("get", "/b", ""),
        ("get", "/c", "get_b"),
    ]
    found, _ = told(operations.finish, named(small(), *calls))
    assert ids(found) == ["getA", "getV2A", "getV2A2", "getB2", "get_b"]
    assert told(operations.finish, found) == (found, [])


@pytest.mark.parametrize("second", ["getThing", "GetThing", "get_thing"])
def test_the_second_of_two_equal_operation_ids_gets_a_number(small: Small, second: str) -> None:
    """No operation silently replaces another, however the name is spelled."""
    found, notes = told(
        operations.separate_operations, named(small(), ("get", "/a", "getThing"), ("post", "/b", second))
    )
    assert ids(found) == ["getThing", f"{second}2"]
    assert notes == [f"the operationIds of GET /a and POST /b are the same: the second is now `{second}2`"]


def test_a_discriminator_that_is_left_is_told(small: Small) -> None:
    """After the overlay it is said which unions the generator takes by the first branch that parses."""
    base: Object = {"type": "object", "discriminator": {"propertyName": "kind"}}
    holder: Object = {"properties": {"one": {"oneOf": [OBJECT], "discriminator": {"propertyName": "sort"}}}}
    _, notes = told(operations.finish, small(Base=base, Holder=holder))
    assert notes == [
        "the schema Base: the generator ignores the discriminator `kind`",
        "the schema Holder at properties/one: the generator ignores the discriminator `sort`",
    ]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Page`1[[Acme.Thing, Acme, Version=1.0.0.0]]", "PageOfThing"),
        ("Acme.Pair`2[[System.String, mscorlib],[Acme.Outer+Inner, Acme]]", "PairOfStringOfInner"),
        ("PagedResult`1", "PagedResult"),
        ("Page<Thing>", "PageOfThing"),
        ("`1", "Schema"),
    ],
)
def test_a_generic_name_becomes_readable(name: str, plain: str) -> None:
    """What .NET calls a generic type is said as a person would."""
    assert naming.readable(name) == plain


@pytest.mark.parametrize(
    ("names", "after"),
    [
        (["ChatMessage", "chat_message"], ["ChatMessage", "chat_message2"]),
        (["HTTPInfo", "HttpInfo", "HttpInfo2"], ["HTTPInfo", "HttpInfo3", "HttpInfo2"]),
        (["Acme.Thing", "AcmeThing"], ["Acme.Thing", "AcmeThing2"]),
        (["Page`1[[Acme.Thing, Acme]]", "PageOfThing"], ["PageOfThing2", "PageOfThing"]),
        (["Response", "Client", "T", "Error"], ["ResponseModel", "ClientModel", "TModel", "Error"]),
        (["Foo.Bar", "Zebra", "Apple"], ["Foo.Bar", "Zebra", "Apple"]),
    ],
)
def test_schemas_become_classes_of_their_own(small: Small, names: list[str], after: list[str]) -> None:
    """No schema replaces another, or what the generated code imports, and the order stays."""
    found, notes = told(schemas.separate_schemas, small(**dict.fromkeys(names, OBJECT)))
    assert list(child(found, "components", "schemas")) == after
    assert len(notes) == sum(one != other for one, other in zip(names, after, strict=True))


@pytest.mark.parametrize(
    "reference",
    ["Page`1[[Acme.Thing, Acme]]", "Page%601%5B%5BAcme.Thing%2C%20Acme%5D%5D", "Page%601[[Acme.Thing,%20Acme]]"],
)
def test_references_follow_a_renamed_schema(small: Small, reference: str) -> None:
    """Every spelling of a reference, and the mapping of a discriminator, leads to the new name."""
    holder: Object = {
        "properties": {"page": {"$ref": f"#/components/schemas/{reference}"}},
        "discriminator": {"propertyName": "kind", "mapping": {"p": f"#/components/schemas/{reference}"}},
    }
    found, _ = told(schemas.separate_schemas, small(**{"Page`1[[Acme.Thing, Acme]]": OBJECT, "Holder": holder}))
    after = child(found, "components", "schemas", "Holder")
    wanted = "#/components/schemas/PageOfThing"
    assert child(after, "properties", "page") == {"$ref": wanted}
    assert child(after, "discriminator", "mapping") == {"p": wanted}


def test_a_part_of_a_schema_that_is_referred_to_becomes_a_schema(small: Small) -> None:
    """The newest framework points into other schemas, where the generator does not look; both places mean the same."""
    inner: Object = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Thing/properties/inner"}}}
    holder: Object = {"$ref": "#/components/schemas/Thing/properties/inner"}
    found, notes = told(
        schemas.lift_inner_schemas, small(Thing={"properties": {"inner": inner}}, Holder={"properties": {"x": holder}})
    )
    reference: Object = {"$ref": "#/components/schemas/ThingInner"}
    assert child(found, "components", "schemas") == {
        "Thing": {"properties": {"inner": reference}},
        "Holder": {"properties": {"x": reference}},
        "ThingInner": {"type": "object", "properties": {"next": reference}},
    }
    assert len(notes) == 1


def test_a_title_does_not_name_a_class(small: Small) -> None:
    """Two schemas of one title stay two classes, each called by its name."""
    found, _ = told(
        schemas.drop_titles, small(A={"type": "object", "title": "Same"}, B={"type": "object", "title": "Same"})
    )
    assert child(found, "components", "schemas") == {"A": OBJECT, "B": OBJECT}


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        (["Id", "id"], ["Id", "id"]),
        (["id", "$id"], ["id"]),
        (["a-b", "a b", "a_b"], ["a-b", "a_b"]),
        (["class", "self", "None", "1x"], ["class", "self", "None", "1x"]),
        (["d", "cls", "cast", "toDict", "from_dict", "additionalProperties", "prop"], ["prop"]),
    ],
)
def test_properties_become_attributes_of_their_own(small: Small, names: list[str], kept: list[str]) -> None:
    """A class is not lost for a property that is no attribute: that one stays within reach, and is told."""
    thing: Object = {"required": [*names], "properties": dict.fromkeys(names, OBJECT), "additionalProperties": False}
    found, notes = told(schemas.separate_properties, small(Thing=thing))
    after = child(found, "components", "schemas", "Thing")
    assert list(child(after, "properties")) == after["required"] == kept
    assert after["additionalProperties"] is (len(kept) < len(names))
    assert [one.startswith("the schema Thing: the property `") for one in notes] == [True] * (len(names) - len(kept))


def test_a_property_does_not_take_the_place_of_a_loop(small: Small) -> None:
    """Where further members have a schema, generated code goes through them one `prop` at a time."""
    thing: Object = {"properties": {"prop": OBJECT, "ok": OBJECT}, "additionalProperties": OBJECT}
    found, notes = told(schemas.separate_properties, small(Thing=thing))
    assert child(found, "components", "schemas", "Thing") == {
        "properties": {"ok": OBJECT},
        "additionalProperties": True,
    }
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("schema", "values", "names", "note"),
    [
        ({"enum": ["Open", "OPEN"]}, ["Open", "OPEN"], ["OPEN", "OPEN2"], "`OPEN` is OPEN2"),
        ({"enum": ["on-hold", "on_hold"]}, ["on-hold", "on_hold"], ["ON_HOLD", "ON_HOLD2"], "`on_hold` is ON_HOLD2"),
        ({"enum": [0, 1], "x-enum-varnames": ["Low", "low"]}, [0, 1], ["LOW", "LOW2"], "`1` is LOW2"),
        ({"enum": [0, 1], "x-enum-varnames": ["1st", "B"]}, [0, 1], ["VALUE_1ST", "B"], "`0` is VALUE_1ST"),
        ({"enum": [0, 7], "x-enum-varnames": ["Low"]}, [0, 7], ["Low", "VALUE_1"], "1 names for 2 values"),
        ({"enum": [0], "x-enum-varnames": ["Low", "High"]}, [0], None, "2 names for 1 values: the names are left out"),
        ({"enum": [0, 1], "x-enum-varnames": ["A", 7]}, [0, 1], None, "the names are left out"),
        ({"enum": ["a", None], "x-enum-varnames": ["A", "N"]}, ["a", None], ["A"], None),
        ({"enum": [0, 1, 1], "x-enum-varnames": ["A", "B", "C"]}, [0, 1], ["A", "B"], "the value 1 is there more"),
        ({"enum": ["a", "a"]}, ["a"], None, "the value a is there more"),
        ({"type": "integer", "enum": ["0", "-1"]}, [0, -1], None, "integers written as strings"),
        ({"enum": ["a", 1]}, [], None, "neither all strings nor all integers"),
        ({"type": "number", "enum": [0.5]}, [], None, "neither all strings nor all integers"),
        ({"type": "boolean", "enum": [True]}, [], None, None),
        ({"enum": ["1st", "+", ""]}, ["1st", "+", ""], None, None),
        ({"enum": [0, 1], "x-enum-varnames": ["A", "B"]}, [0, 1], ["A", "B"], None),
    ],
)
def test_every_member_of_an_enumeration_has_a_name(
    small: Small, schema: Object, values: list[object], names: list[object] | None, note: str | None
) -> None:
    """No member disappears because of case, punctuation, an alias, or a list of names that does not fit."""
    found, notes = told(enums.keep_enum_members, small(State=schema))
    after = child(found, "components", "schemas", "State")
    assert items(after.get("enum")) == values
    assert after.get("x-enum-varnames") == names
    assert [(note or "") in one for one in notes] == [True] * bool(note)
    assert told(enums.keep_enum_members, found) == (found, [])
