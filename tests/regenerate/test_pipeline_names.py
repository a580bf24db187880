"""Names that stay apart: of operations, schemas and members of enumerations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline import normalise as rules
from pipeline.document import Object, child
from pipeline.document import operations as operations_of

Small = Callable[..., Object]
OBJECT: Object = {"type": "object"}


def told(rule: rules.Rule, document: Object) -> tuple[Object, list[str]]:
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
    return [operation.get("operationId") for _, _, operation in operations_of(document)]


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
    found, notes = told(rules.finish, named(small(), (method, path, "")))
    assert ids(found) == [name]
    assert notes == [f"{method.upper()} {path} has no operationId of its own that fits: it is called `{name}`"]


def test_an_operation_with_a_name_too_long_for_a_file_gets_a_shorter_one(small: Small) -> None:
    """The generator would end in the file system's refusal."""
    found, notes = told(rules.finish, named(small(), ("get", "/a", "a" * 201), ("get", f"/{'b' * 300}", "")))
    assert ids(found) == ["getA", "getB" + "b" * 196]
    assert notes[0] == "GET /a has no operationId of its own that fits: it is called `getA`"


def test_made_names_are_unique(small: Small) -> None:
    """Two versions of a path, a trailing slash, or a name that is given already make no two equal names."""
    calls = [
        ("get", "/v1/a", ""),
        ("get", "/v2/a", ""),
        ("get", "/v2/a/", ""),
        ("get", "/b", ""),
        ("get", "/c", "get_b"),
    ]
    found, _ = told(rules.finish, named(small(), *calls))
    assert ids(found) == ["getA", "getA2", "getA3", "getB2", "get_b"]
    assert told(rules.finish, found) == (found, [])


def test_names_of_ours_are_taken_from_operations_of_theirs(small: Small) -> None:
    """The overlay can pin a name that the document gives to another operation, however spelled."""
    found = rules.give_up_names(named(small(), ("get", "/a", "poll_chat"), ("get", "/b", "other")), {"pollChat"})
    assert ids(found) == [None, "other"]


@pytest.mark.parametrize(
    ("names", "after"),
    [
        (["ChatMessage", "chat_message"], ["ChatMessage", "chat_message2"]),
        (["HTTPInfo", "HttpInfo", "HttpInfo2"], ["HTTPInfo", "HttpInfo3", "HttpInfo2"]),
        (["Acme.Thing", "AcmeThing"], ["Acme.Thing", "AcmeThing2"]),
        (
            ["Page`1[[Acme.Thing, Acme]]", "Page_1_Acme.Thing_Acme"],
            ["Page_1_Acme.Thing_Acme2", "Page_1_Acme.Thing_Acme"],
        ),
        (["Page<Thing>", "`"], ["Page_Thing", "Schema"]),
        (
            ["Response", "Client", "T", "Self", "Error"],
            ["ResponseModel", "ClientModel", "TModel", "SelfModel", "Error"],
        ),
        (["A" * 201, "A" * 202], ["A" * 100, "A" * 100 + "2"]),
        (["Foo.Bar", "Zebra", "Apple"], ["Foo.Bar", "Zebra", "Apple"]),
    ],
)
def test_schemas_become_classes_of_their_own(small: Small, names: list[str], after: list[str]) -> None:
    """No schema replaces another, or what the generated code imports, each has a file, and the order stays."""
    found, notes = told(rules.separate_schemas, small(**dict.fromkeys(names, OBJECT)))
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
        "discriminator": {
            "propertyName": "kind",
            "mapping": {"p": f"#/components/schemas/{reference}", "bare": "Page`1[[Acme.Thing, Acme]]"},
        },
    }
    found, _ = told(rules.separate_schemas, small(**{"Page`1[[Acme.Thing, Acme]]": OBJECT, "Holder": holder}))
    after = child(found, "components", "schemas", "Holder")
    wanted = "#/components/schemas/Page_1_Acme.Thing_Acme"
    assert child(after, "properties", "page") == {"$ref": wanted}
    assert child(after, "discriminator", "mapping") == {"p": wanted, "bare": wanted}


def test_enum_names_reach_the_generator(small: Small) -> None:
    """The names that .NET tools give to integers are kept under the name that the generator reads."""
    role: Object = {"type": "integer", "enum": [0, 1], "x-enumNames": ["Low", "High"]}
    renamed = child(told(rules.name_members, small(Role=role))[0], "components", "schemas", "Role")
    assert renamed == {"type": "integer", "enum": [0, 1], "x-enum-varnames": ["Low", "High"]}


@pytest.mark.parametrize(
    ("values", "names", "after"),
    [
        ([0, 1, 7], ["Low"], ["Low", "VALUE_1", "VALUE_2"]),
        (["a", "b", None], ["First"], ["First", "B"]),
        ([0, 1], ["A", "B"], ["A", "B"]),
        ([0, None], ["A"], ["A"]),
    ],
)
def test_new_members_get_names(small: Small, values: list[object], names: list[object], after: list[object]) -> None:
    """A value that came after the overlay was written does not stop the run, and is told."""
    found, notes = told(rules.name_members, small(State={"enum": values, "x-enum-varnames": names}))
    assert child(found, "components", "schemas", "State")["x-enum-varnames"] == after
    assert len(notes) == (names != after)
