"""Where parameters and paths are written, and how: each rule on a small document with its trap."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pipeline import normalise as rules
from pipeline import servers
from pipeline.document import Json, Object, child, items, operations

Small = Callable[..., Object]
STRING: Object = {"type": "string"}


def parameter(name: str, where: str = "query", schema: Json = None, **more: Json) -> Object:
    return {"name": name, "in": where, "schema": STRING if schema is None else schema, **more}


def with_path(document: Object, path: str, *declared: Json, **more: Json) -> Object:
    known = child(document, "paths", "/things/{id}", "get")
    return {**document, "paths": {path: {"get": {**known, "parameters": list(declared), **more}}}}


def told(rule: rules.Rule, document: Object) -> tuple[list[Object], list[str]]:
    """Return the parameters of the first operation after the rule, and what it said."""
    notes: list[str] = []
    _, _, operation = next(operations(rule(document, notes.append)))
    return [child(one) for one in items(operation.get("parameters"))], notes


LIST: Object = {"type": ["array", "null"], "items": STRING}
ID: Object = {"name": "id", "in": "path", "required": True, "schema": STRING}


@pytest.mark.parametrize(
    ("declared", "after", "note"),
    [
        (parameter("ID", "path", required=True), [ID], "the parameter `ID` is spelled `id` as in its path"),
        (parameter("rest", "path", required=True), [], "the parameter `rest` is not in the path: it is left out"),
        (parameter("Rest"), [parameter("Rest")], None),
        (ID, [ID], None),
    ],
)
def test_a_path_parameter_is_as_its_path_says(
    small: Small, declared: Object, after: list[Object], note: str | None
) -> None:
    """An endpoint is not dropped because a parameter differs in case, or belongs to a longer route."""
    found, notes = told(rules.pass_parameters, with_path(small(), "/things/{id}", declared))
    assert found == after
    assert [(note or "") in one for one in notes] == [True] * bool(note)
    assert all(one.startswith("GET /things/{id}: ") for one in notes)


@pytest.mark.parametrize(
    ("declared", "after", "note"),
    [
        ({"name": "f", "in": "query", "content": {"application/json": {}}}, parameter("f"), "as application/json"),
        (parameter("X", "header", {"type": "string", "format": "date-time"}), parameter("X", "header"), "header `X`"),
        (parameter("X", "header", {"type": "array", "items": {}}), parameter("X", "header"), "header `X`"),
        (parameter("X", "header", {"allOf": [STRING]}), parameter("X", "header"), "header `X`"),
        (parameter("c", "cookie", {"type": "integer"}), parameter("c", "cookie"), "the cookie `c`"),
        (parameter("p", "path", {"type": "array", "items": {}}), parameter("p", "path"), "the path `p`"),
        (parameter("X", "header", {"type": "string", "nullable": True}), parameter("X", "header"), None),
        (parameter("p", "path", {"type": ["null", "string"]}), parameter("p", "path"), None),
        (parameter("X", "header", {"type": "boolean"}), parameter("X", "header", {"type": "boolean"}), None),
        (parameter("q", schema=LIST, style="form", explode=False), parameter("q"), "joins the values as form says"),
        (
            parameter("q", schema=LIST, style="pipeDelimited", explode=False),
            parameter("q"),
            "joins the values as pipeDelimited says",
        ),
        (
            parameter("q", schema=LIST, style="spaceDelimited"),
            parameter("q"),
            "joins the values as spaceDelimited says",
        ),
        (parameter("q", schema=LIST, explode=True), parameter("q", schema=LIST, explode=True), None),
        (parameter("q", schema=LIST), parameter("q", schema=LIST), None),
        (parameter("q", explode=False), parameter("q", explode=False), None),
        (
            parameter("q", schema={"type": "object"}, style="deepObject"),
            parameter("q", schema={"type": "object"}, style="deepObject"),
            "the generator does not write q[member]",
        ),
        (
            parameter("q", schema={"type": "object"}, explode=False),
            parameter("q", schema={"type": "object"}, explode=False),
            "the generator does not write them as one value",
        ),
    ],
)
def test_a_parameter_has_a_schema_that_its_place_can_carry(
    small: Small, declared: Object, after: Object, note: str | None
) -> None:
    """No parameter is dropped or sent in another form than said because of how its place would have it written."""
    found, notes = told(rules.pass_parameters, with_path(small("3.0.1"), "/a/{p}", declared))
    assert found == [after]
    assert [(note or "") in one for one in notes] == [True] * bool(note)


def test_a_parameter_that_is_said_twice_is_told(small: Small) -> None:
    """Names that differ in case are one parameter to the framework."""
    found, notes = told(rules.write_parts_where_used, with_path(small(), "/a", parameter("Id"), parameter("id")))
    assert found == [parameter("Id")]
    assert notes == ["GET /a: a parameter is said twice: the first one counts"]


def test_shared_parts_are_written_where_they_are_used(small: Small) -> None:
    """What stands at the path or in the components counts as if written in the operation, which may override it."""
    document = with_path(
        {
            **small(),
            "components": {
                "parameters": {"After": parameter("after")},
                "responses": {"Ok": {"description": "Yes"}},
                "requestBodies": {"Text": {"content": {}}},
            },
        },
        "/things/{id}",
        parameter("Limit", schema={"type": "integer"}),
        responses={"200": {"$ref": "#/components/responses/Ok"}},
        requestBody={"$ref": "#/components/requestBodies/Text"},
    )
    child(document, "paths", "/things/{id}")["parameters"] = [
        ID,
        {"$ref": "#/components/parameters/After"},
        parameter("limit"),
    ]
    found = rules.write_parts_where_used(document, print)
    item = child(found, "paths", "/things/{id}")
    assert "parameters" not in item
    assert child(item, "get")["parameters"] == [parameter("Limit", schema={"type": "integer"}), ID, parameter("after")]
    assert child(item, "get", "responses", "200") == {"description": "Yes"}
    assert child(item, "get")["requestBody"] == {"content": {}}


@pytest.mark.parametrize(
    ("server", "path", "note"),
    [
        ({"url": "/api/v2"}, "/api/v2/things/{id}", "the document's server has the path /api/v2"),
        ({"url": "api/"}, "/api/things/{id}", "has the path /api"),
        ({"url": "http://localhost:5000/chat"}, "/chat/things/{id}", "has the path /chat"),
        ({"url": "{scheme}://{host}/v{v}", "variables": {"v": {"default": "3"}}}, "/v3/things/{id}", "path /v3"),
        ({"url": "https://chat.example"}, "/things/{id}", "suggests base_url https://chat.example"),
        ({"url": "/"}, "/things/{id}", None),
        ({"url": "{protocol}://{hostpath}"}, "/things/{id}", None),
    ],
)
def test_the_path_of_the_server_is_part_of_every_path(
    small: Small, server: Object, path: str, note: str | None
) -> None:
    """The generator reads no servers: their path is not lost, and an address of a real host is suggested."""
    notes: list[str] = []
    found = servers.fold_server_path({**small(), "servers": [server]}, notes.append)
    assert list(child(found, "paths")) == [path]
    assert [(note or "") in one for one in notes] == [True] * bool(note)
    assert servers.fold_server_path(found, print) == found


def test_servers_that_do_not_count_are_told(small: Small) -> None:
    """A second server does not disappear without a word."""
    notes: list[str] = []
    servers.fold_server_path({**small(), "servers": [{"url": "/"}, {"url": "https://b.example"}]}, notes.append)
    assert notes == [
        "the document names 2 servers: the path of the first counts, and there is also https://b.example",
    ]


def test_an_operation_with_a_server_of_its_own_keeps_its_path(small: Small) -> None:
    """The document's path is not put before it."""
    document = with_path(small(), "/a", servers=[{"url": "https://idp.example"}])
    child(document, "paths")["/b"] = child(small(), "paths", "/things/{id}")
    found = servers.fold_server_path({**document, "servers": [{"url": "https://chat.example/api"}]}, print)
    assert [path for path, *_ in operations(found)] == ["/a", "/api/b"]
    assert found["servers"] == [{"url": "https://chat.example"}]


def test_the_servers_of_a_path_are_those_of_its_operations(small: Small) -> None:
    """Each operation says where it is answered, be that written at its path."""
    document = with_path(small(), "/a")
    child(document, "paths", "/a")["servers"] = [{"url": "https://idp.example"}]
    found = rules.write_parts_where_used(document, print)
    assert list(child(found, "paths", "/a")) == ["get"]
    assert child(found, "paths", "/a", "get")["servers"] == [{"url": "https://idp.example"}]


def test_without_servers_of_its_own_a_document_is_where_most_of_it_is(small: Small) -> None:
    """Its host is the one that most operations name."""
    named = {"/a": "chat", "/b": "chat", "/token": "idp"}
    paths: Object = {path: {"get": {"servers": [{"url": f"https://{name}.example"}]}} for path, name in named.items()}
    assert servers.common_hosts({**small(), "paths": paths}) == {"chat.example"}
