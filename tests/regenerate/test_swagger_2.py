"""Documents of Swagger 2.0, through the converter that runs on Node: what they say is still there afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.carry import CONNECT
from pipeline.document import (
    BYTES,
    Json,
    Object,
    child,
    dump,
    edit_operations,
    items,
    parse,
    read_bytes,
    rebuild_document,
    text,
)
from pipeline.layout import Layout
from pipeline.run import Given, read
from pipeline.walk import without
from regenerate.parts import STRING

ROOT = Path(__file__).resolve().parents[2]
NAMED: Object = {"type": "object", "properties": {"name": STRING}}


def reference(name: str, **more: Json) -> Object:
    return {"$ref": f"#/definitions/{name}", **more}


def swagger(paths: Object, definitions: Object, **more: Json) -> Object:
    return {
        "swagger": "2.0",
        "info": {"title": "Chat", "version": "1"},
        "paths": paths,
        "definitions": definitions,
        **more,
    }


def call(name: str, *parameters: Json, **more: Json) -> Object:
    reply: Object = {"200": {"description": "OK", "schema": reference("Thing")}}
    return {"operationId": name, "tags": ["Chat"], "parameters": list(parameters), "responses": reply, **more}


def converted(document: Object) -> Given:
    """Take a document as far as the normaliser."""
    return read(Layout(root=ROOT), dump(document), "swagger.json")


def schemas(found: Given) -> Object:
    return child(found.normal, "components", "schemas")


def test_host_schemes_and_base_path_become_paths_and_a_suggestion() -> None:
    """The base path begins every path, the address is told, and security and lists in a query mean the same."""
    lists: list[Json] = [
        {"name": "ids", "in": "query", "type": "array", "items": STRING},
        {"name": "tag", "in": "query", "type": "array", "items": STRING, "collectionFormat": "multi"},
    ]
    found = converted(
        swagger(
            {"/things": {"get": call("getThings", *lists)}},
            {"Thing": NAMED},
            host="chat.example:8443",
            basePath="/chat/v1",
            schemes=["https", "http"],
            produces=["application/json"],
            securityDefinitions={"Key": {"type": "apiKey", "name": "X-Key", "in": "header"}},
            security=[{"Key": []}],
        )
    )
    operation = child(found.normal, "paths", "/chat/v1/things", "get")
    assert operation["security"] == [{"Key": []}]
    assert [child(one)["schema"] for one in items(operation["parameters"])] == [
        STRING,
        {"type": "array", "items": STRING},
    ]
    assert [note.partition(":")[0] for note in found.notes] == [
        "the document names 2 servers",
        "the document's server suggests base_url https",
        "the document's server has the path /chat/v1",
        "GET /chat/v1/things",
    ]


def test_bodies_and_forms_become_request_bodies() -> None:
    """A body, also a shared one, a form, an upload and a download keep their schema and their type."""
    body: Object = {"name": "thing", "in": "body", "required": True, "schema": reference("Thing")}
    form: list[Json] = [
        {"name": "grant_type", "in": "formData", "type": "string", "required": True},
        {"name": "note", "in": "formData", "type": "string", "x-nullable": True},
    ]
    upload: Object = {"name": "file", "in": "formData", "type": "file", "required": True}
    paths: Object = {
        "/a": {"post": call("a", {"$ref": "#/parameters/Thing"}), "put": call("b", {"$ref": "#/parameters/Thing"})},
        "/form": {"post": call("form", *form)},
        "/path": {"parameters": form, "post": without(call("path"), "parameters")},
        "/file": {
            "post": call("upload", upload, consumes=["multipart/form-data"]),
            "get": call("download", responses={"200": {"description": "OK", "schema": {"type": "file"}}}),
        },
    }
    found = converted(swagger(paths, {"Thing": NAMED}, parameters={"Thing": body}))
    there = child(found.normal, "paths")
    thing: Object = {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}
    for method in ("post", "put"):
        assert child(there, "/a", method, "requestBody") == {"required": True, "content": thing}
    for path in ("/form", "/path"):
        content = child(there, path, "post", "requestBody", "content")
        assert child(content, "application/x-www-form-urlencoded", "schema") == {
            "type": "object",
            "required": ["grant_type"],
            "properties": {"grant_type": STRING, "note": {"type": ["string", "null"]}},
        }
    binary: Object = {"type": "string", "format": "binary"}
    sent = child(there, "/file", "post", "requestBody", "content", "multipart/form-data", "schema")
    assert child(sent, "properties")["file"] == binary
    replies = child(there, "/file", "get", "responses", "200", "content")
    assert replies == {"application/octet-stream": {"schema": binary}}
    assert found.notes == ("GET /file: the answer 200 of the type */* comes as bytes",)


def test_null_and_inheritance_survive() -> None:
    """`x-nullable` becomes null, and a child of a discriminated base has the members of both."""
    null: Json = True
    event: Object = {
        "type": "object",
        "required": ["kind", "to"],
        "discriminator": "kind",
        "properties": {
            "kind": STRING,
            "at": {"type": "string", "format": "date-time", "x-nullable": null},
            "level": {"type": "integer", "enum": [0, 1], "x-enumNames": ["Low", "High"], "x-nullable": null},
            "tags": {"type": "array", "items": STRING, "x-nullable": null},
            "by": reference("Thing", **{"x-nullable": null}),
            "to": reference("Thing", **{"x-nullable": null}),
        },
    }
    own: Object = {"type": "object", "required": ["text"], "properties": {"text": STRING}}
    definitions: Object = {"Thing": NAMED, "Event": event, "Text": {"allOf": [reference("Event"), own]}}
    found = schemas(converted(swagger({"/": {"get": call("get")}}, definitions)))
    members = child(found, "Event", "properties")
    assert members == {
        "kind": STRING,
        "at": {"type": ["string", "null"], "format": "date-time"},
        "level": {"anyOf": [{"type": "integer", "enum": [0, 1], "x-enum-varnames": ["Low", "High"]}, {"type": "null"}]},
        "tags": {"type": ["array", "null"], "items": STRING},
        **{key: {"anyOf": [{"$ref": "#/components/schemas/Thing"}, {"type": "null"}]} for key in ("by", "to")},
    }
    assert child(found, "Text")["properties"] == {**members, "text": STRING}
    assert child(found, "Text")["required"] == ["kind", "to", "text"]


def in_json(content: Object) -> Object:
    """Give a body's schema, of JSON or of a file."""
    return child(content, "application/json") or child(content, BYTES)


def as_swagger(document: Object) -> Object:
    """Write our document as a service of the older framework would: no marks, no token endpoint, one host, a base."""
    words = (
        dump(document).decode().replace("#/components/schemas/", "#/definitions/").replace('"nullable"', '"x-nullable"')
    )

    def older(node: Object) -> Json:
        bare: Object = {key: value for key, value in node.items() if not key.startswith("x-provenance")}
        return {**bare, "discriminator": text(bare, "propertyName")} if "propertyName" in bare else bare

    def operation(_label: str, now: Object) -> Object:
        parameters: list[Json] = [
            {**without(child(one), "schema"), **child(child(one), "schema")} for one in items(now.get("parameters"))
        ]
        sent, success = (child(one, "content") for one in (child(now, "requestBody"), child(now, "responses", "200")))
        body = in_json(sent)
        parameters += [{"name": "body", "in": "body", "required": True, **body}] if body else []
        replies: Object = {
            status: {"description": text(child(reply), "description"), **in_json(child(reply, "content"))}
            for status, reply in child(now, "responses").items()
        }
        kinds: Object = {
            word: [BYTES] for word, content in (("consumes", sent), ("produces", success)) if BYTES in content
        }
        return {**without(now, "requestBody", "servers"), **kinds, "parameters": parameters, "responses": replies}

    written = edit_operations(rebuild_document(child(json.loads(words)), older), operation)
    paths = {path.removeprefix("/api"): one for path, one in child(written, "paths").items() if path != CONNECT}
    definitions = child(written, "components", "schemas")
    return swagger(paths, definitions, host="app-commsrv.puzzel.com", basePath="/api", schemes=["https"])


@pytest.mark.slow
def test_our_own_contract_as_swagger_2_fits_the_facade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole run: the same contract in the older language adds to the document, and the facade feels nothing."""
    for folder in ("openapi", "facade", "generated"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("pipeline", "__pycache__"))
    layout, spec = Layout(root=tmp_path), tmp_path / "swagger.json"
    spec.write_bytes(dump(as_swagger(parse(read_bytes(layout.upstream), layout.upstream))))
    assert main(["--json", "--root", str(tmp_path), str(spec)]) == 10
    said = json.loads(capsys.readouterr().out)
    assert said["lost"] == []
    assert {one["weight"] for one in said["changes"]} <= {"read", "harmless"}
    assert "the document's server has the path /api: it now begins every path" in said["notes"]
    assert main(["--root", str(tmp_path), "--check"]) == 0
