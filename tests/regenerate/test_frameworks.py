"""What frameworks write today: each habit goes through normaliser and generator, and shows itself in types or notes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from pipeline.document import Json, Object
from regenerate.making import Client, importable
from regenerate.parts import STRING, reference

NULL: Object = {"type": "null"}


def members(required: list[Json] | None = None, **properties: Json) -> Object:
    closed: Object = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**closed, "required": required} if required else closed


def either(*branches: Json) -> Object:
    return {"anyOf": list(branches)}


def content(name: str, schema: Json) -> Object:
    return {"content": {name: {"schema": schema}}}


def call(name: str, *parameters: Json, reply: Json = None, **more: Json) -> Object:
    said: Object = (
        {"description": "OK"} if reply is None else {"description": "OK", **content("application/json", reply)}
    )
    return {"tags": ["T"], "operationId": name, "parameters": list(parameters), "responses": {"200": said}, **more}


def parameter(name: str, where: str, schema: Json, **more: Json) -> Object:
    return {"name": name, "in": where, "schema": schema, **more}


LONG = "Page" + "OfThing" * 30
SCHEMAS: Object = {
    "Thing": members(id={"type": "string", "format": "uuid"}),
    "Colour": {"type": "string", "enum": ["Red", "Blue"]},
    "Size": {"type": "string", "enum": ["S", "L"]},
    LONG: members(a=STRING),
    "Nulls": members(
        listed={"type": ["null", "string"]},
        beside={"type": "null", "allOf": [reference("Thing")]},
        first={"oneOf": [NULL, reference("Thing")]},
        whole=either({"allOf": [reference("Thing")]}, NULL),
        lacking={"type": ["string", "null"], "enum": ["a", "b"]},
        named={"type": ["null", "string"], **reference("Colour")},
    ),
    "Cat": members(name=STRING, lives={"type": "integer"}),
    "Dog": members(["bark"], name=STRING, bark=STRING),
    "Puppy": members(["age", "bark"], name=STRING, bark=STRING, age={"type": "integer"}),
    "Cow": members(name=STRING, milk={"type": "integer"}),
    "Unions": members(
        pet=either(reference("Cat"), reference("Dog"), reference("Puppy")),
        silent={"oneOf": [reference("Cat"), reference("Cow")]},
        when=either(reference("Colour"), {"type": "string", "format": "date-time"}),
        paint=either(reference("Colour"), reference("Size")),
        free=either(reference("Colour"), STRING),
    ),
    "Defaults": members(
        count={"type": "integer", "default": "many"},
        at={"type": "string", "format": "date-time", "default": "soon"},
        colour={**either(reference("Colour"), NULL), "default": "Green"},
        thing={"allOf": [reference("Thing")], "default": {}},
        good={"type": "integer", "default": 3},
        paint={"allOf": [reference("Colour")], "default": "Blue"},
    ),
    "Account": members(
        ["id", "name", "secret"],
        id={**STRING, "readOnly": True},
        name=STRING,
        secret={**STRING, "writeOnly": True},
    ),
    "Shape": {
        **members(["kind"], kind=STRING, at=STRING),
        "x-provenance": "assumed",
        "x-provenance-note": "Ours.",
        "discriminator": {
            "propertyName": "kind",
            "mapping": {"Round": "#/components/schemas/Circle", "Long": "#/components/schemas/Line"},
        },
    },
    "Circle": {"allOf": [reference("Shape"), members(radius={"type": "integer"})]},
    "Line": {"allOf": [reference("Shape"), members(length={"type": "integer"})]},
    "Canvas": members(
        shapes={"type": "array", "items": either(reference("Shape"), reference("Circle"), reference("Line"))},
        one=reference("Shape"),
    ),
}
FILTER: Object = members(after={"type": "string", "format": "date-time"}, closed={"type": "boolean"})
DOCUMENT: Object = {
    "openapi": "3.1.1",
    "info": {"title": "Habits", "version": "1"},
    "paths": {
        "/nulls": {"get": call("getNulls", reply=reference("Nulls"))},
        "/unions": {"get": call("getUnions", reply=reference("Unions"))},
        "/defaults": {
            "get": call(
                "getDefaults", parameter("n", "query", {"type": "integer", "default": "x"}), reply=reference("Defaults")
            )
        },
        "/account": {
            "post": call(
                "postAccount", reply=reference("Account"), requestBody=content("application/json", reference("Account"))
            ),
        },
        "/shapes": {
            "get": call("getShapes", reply=reference("Canvas")),
            "post": call(
                "postShape",
                requestBody=content("application/json", {"oneOf": [reference("Circle"), reference("Line")]}),
            ),
        },
        "/long": {"get": call("getLong", reply=reference(LONG))},
        "/text": {
            "get": call("getText", responses={"200": {"description": "", **content("text/plain", STRING)}}),
            "post": call("postText", requestBody=content("text/plain", STRING)),
        },
        "/xml": {
            "get": call(
                "getXml", responses={"200": {"description": "", **content("application/xml", reference("Thing"))}}
            ),
            "put": call("putXml", requestBody=content("application/xml", reference("Thing"))),
        },
        "/send/{keys}": {
            "post": call(
                "send",
                parameter("keys", "path", {"type": "array", "items": STRING}, required=True),
                parameter("X-Trace", "header", STRING, required=True),
                parameter("X-Tags", "header", {"type": "array", "items": STRING}),
                parameter("theme", "cookie", {"type": "integer"}),
                parameter("ids", "query", {"type": "array", "items": STRING}),
                parameter("joined", "query", {"type": "array", "items": STRING}, explode=False),
                parameter("filter", "query", FILTER, style="deepObject", explode=True),
                parameter("open", "query", {"type": "boolean"}),
                parameter("since", "query", {"type": "string", "format": "date-time"}),
                requestBody=content("multipart/form-data", members(file={"type": "string", "format": "binary"})),
            )
        },
        "/raw": {
            "put": call("putRaw", requestBody=content("application/octet-stream", {**STRING, "format": "binary"}))
        },
    },
    "components": {"schemas": SCHEMAS},
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The client of a document with all these habits."""
    with importable(DOCUMENT, tmp_path_factory.mktemp("habits"), "habits_client") as made:
        yield made


@pytest.mark.slow
def test_it_is_strictly_typed(client: Client) -> None:
    """Whatever a document holds, the type checker can read the client of it."""
    assert client.mypy().startswith("Success")


def test_every_spelling_of_null_is_in_the_types(client: Client) -> None:
    """A list of types, a type beside a reference, an enumeration without its null: each may be None."""
    for name in ("listed", "beside", "first", "whole", "lacking", "named"):
        assert "None" in client.type_of("Nulls", name), name
    nothing = dict.fromkeys(("listed", "beside", "first", "whole", "lacking", "named"))
    assert client.module("models").Nulls.from_dict(nothing).to_dict() == nothing


def test_an_id_that_is_a_uuid_is_one_in_the_types(client: Client) -> None:
    """An id that changes its form is told by the type checker, not hidden."""
    assert "UUID" in client.type_of("Thing", "id")
    text = "0f8fad5b-d9cb-469f-a165-70867728950e"
    assert client.module("models").Thing.from_dict({"id": text}).id == UUID(text)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"name": "Tom", "lives": 9}, "Cat"),
        ({"name": "Rex", "bark": "wow"}, "Dog"),
        ({"name": "Rex", "bark": "wow", "age": 1}, "Puppy"),
    ],
)
def test_closed_classes_are_told_apart_by_their_required_members(client: Client, value: Object, kind: str) -> None:
    """The branch that asks for most is tried first, so that none takes what is another's."""
    found = client.module("models").Unions.from_dict({"pet": value})
    assert type(found.pet).__name__ == kind
    assert found.to_dict() == {"pet": value}


def test_classes_that_nothing_tells_apart_are_told(client: Client) -> None:
    """Where a value of one branch may be read as another, the note says which and where."""
    told = "the schema Unions at properties/silent: a Cow may be read as Cat, which comes first"
    assert told in client.notes
    assert "the schema Unions at properties/paint: a Size may be read as Colour, which comes first" in client.notes
    assert not [note for note in client.notes if "properties/free" in note or "properties/when" in note]


def test_a_lenient_enumeration_swallows_no_other_branch(client: Client) -> None:
    """Our enumerations take any string, so a time is tried before them."""
    found = client.module("models").Unions.from_dict({"when": "2026-01-02T03:04:05+00:00"})
    assert isinstance(found.when, datetime)
    assert client.module("models").Unions.from_dict({"when": "Red"}).when == client.module("models").Colour.RED


def test_a_default_is_left_to_the_service_whatever_its_type(client: Client) -> None:
    """Neither the class nor the endpoint is lost, nothing is sent that nobody said, and each place is told."""
    assert client.module("models").Defaults().to_dict() == {}
    told = [note.partition(": the default ")[0] for note in client.notes if "the default" in note]
    names = ("count", "at", "colour", "thing", "good", "paint")
    assert told[-1] == "GET /defaults at parameters/n/schema"
    assert told[:-1] == [f"the schema Defaults at properties/{name}" for name in names]


def test_a_name_that_no_file_system_takes_is_shortened(client: Client) -> None:
    """The class is there under a shorter name, and the note says which."""
    assert hasattr(client.module("models"), LONG[:100])
    assert (
        f"the schema {LONG} is now called {LONG[:100]}: its own name makes no class and file of its own" in client.notes
    )


def test_members_of_one_way_may_be_missing(client: Client) -> None:
    """What only a reply holds need not be sent, what only a request holds need not come."""
    account = client.module("models").Account(name="n", secret="s")
    assert account.to_dict() == {"name": "n", "secret": "s"}
    assert client.module("models").Account.from_dict({"id": "1", "name": "n"}).id == "1"
    told = "the schema Account: id, secret may be missing: requests and replies differ in this"
    assert told in client.notes


def test_text_and_xml_replies_come_as_text(client: Client) -> None:
    """Nobody parses them as JSON; requests of that kind are not in the client, and that is told."""
    assert client.parse("t.get_text", 200, text="hi") == "hi"
    assert client.parse("t.get_xml", 200, text="<a/>") == "<a/>"
    assert "GET /xml: the answer 200 is text, not JSON, so it comes as a string" in client.notes
    assert [note for note in client.generated.lost if "is not in the client" in note] == [
        "POST /text is not in the client (Unsupported content type text/plain)",
        "PUT /xml is not in the client (Unsupported content type application/xml)",
    ]


def test_requests_carry_what_the_document_says(client: Client) -> None:
    """Headers, cookies, files, raw bodies, repeated members, booleans and zones are in what is built."""
    api, types = client.module("api.t.send"), client.module("types")
    file = types.File(payload=b"x", file_name="a.txt", mime_type="text/plain")
    arguments: dict[str, Any] = {"ids": ["a", "b"], "joined": "a,b", "open_": True, "theme": "dark", "x_tags": "a,b"}
    since = datetime.fromisoformat("2026-01-02T03:04:05+01:00")
    filter_ = client.module("models").SendFilter(closed=False)
    body = client.module("models").SendBody(file=file)
    built = api._get_kwargs("k1,k2", body=body, x_trace="t", since=since, filter_=filter_, **arguments)
    assert built["url"] == "/send/k1%2Ck2"
    assert built["headers"].items() >= {"X-Trace": "t", "X-Tags": "a,b"}.items()
    assert built["cookies"] == {"theme": "dark"}
    sent = {"ids": ["a", "b"], "joined": "a,b", "closed": False, "open": True, "since": "2026-01-02T03:04:05+01:00"}
    assert built["params"] == sent
    assert built["files"] == [("file", ("a.txt", b"x", "text/plain"))]
    raw = client.module("api.t.put_raw")._get_kwargs(body=file)
    assert (raw["content"], raw["headers"]) == (b"x", {"Content-Type": "application/octet-stream"})


def test_what_the_generator_writes_otherwise_is_told(client: Client) -> None:
    """A list in a path, header or single query, a cookie that is no text, a nested query: each with its place."""
    label = "POST /send/{keys}: the"
    assert [note for note in client.notes if note.startswith(label)] == [
        f"{label} path `keys` is taken as a string: the generator writes no other form of it there",
        f"{label} header `X-Tags` is taken as a string: the generator writes no other form of it there",
        f"{label} cookie `theme` is taken as a string: the generator writes no other form of it there",
        f"{label} query `joined` is a string, in which the caller joins the values as form says",
        f"{label} query `filter` is sent as its members: the generator does not write filter[member]",
    ]


def test_a_discriminator_becomes_an_enumeration_and_constants(client: Client) -> None:
    """Each kind is read into its class, a kind that is new to us into the base, last in whatever union."""
    canvas = client.module("models").Canvas
    shapes: list[Json] = [{"kind": "Round", "radius": 1}, {"kind": "Long", "at": "x"}, {"kind": "New"}, {"at": "y"}]
    found = canvas.from_dict({"shapes": shapes})
    assert [type(one).__name__ for one in found.shapes] == ["Circle", "Line", "Shape", "Shape"]
    assert found.to_dict() == {"shapes": shapes}
    assert [member.value for member in client.module("models").ShapeKind] == ["Long", "Round"]
    assert client.type_of("Circle", "kind") == "Literal['Round']"
    assert client.type_of("Shape", "kind") == "ShapeKind | None | Unset".replace("ShapeKind | None", "None | ShapeKind")


def test_a_base_that_stands_for_its_kinds_is_told(client: Client) -> None:
    """Where a member refers to the base alone, its kinds are not read, and that is said."""
    told = [note for note in client.notes if "discriminator" in note]
    assert told == [
        "the schema Shape stands for others by its discriminator: where it is referred to, "
        "its kinds (Circle, Line) are not told apart"
    ]


def test_a_body_of_several_kinds_has_to_be_given(client: Client) -> None:
    """Strict typing refuses what the generator writes for one that may be left out."""
    assert "POST /shapes: the body is of several kinds, and so has to be given" in client.notes
