"""A hostile document is refused in one sentence, or becomes a client that does nothing but what it says."""

from __future__ import annotations

import ast
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.document import Object
from pipeline.generate import Generated
from pipeline.layout import Layout
from pipeline.normalise import finish
from pipeline.problems import PipelineError
from pipeline.run import package, read
from quick import quick_only

ROOT = Path(__file__).resolve().parents[2]
EVIL = '''"""\n__import__("os").system("touch /tmp/owned")\n"""\\'''
NAMES = (
    'a"b',
    "a'b",
    "a\nimport os",
    "__import__('os')",
    "../../evil",
    "class",
    "None",
    "self",
    "__init__",
    "a\\b",
    "{{ 7 * 7 }}",
    "{% raw %}",
    "1",
    "\u202e",
)
ALLOWED = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign, ast.AnnAssign)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is ever fetched because a document says so."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the pipeline opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def document(schema: Any = None, *, name: str = "Thing", path: str = "/things", **operation: Any) -> Object:
    """A vendor's document with one operation, which answers with one schema."""
    said: Any = {"$ref": f"#/components/schemas/{name}"} if name != "Thing" else schema or {"type": "string"}
    answer: Object = {"200": {"description": "OK", "content": {"application/json": {"schema": said}}}}
    return {
        "openapi": "3.0.1",
        "info": {"title": "Things", "version": "1"},
        "paths": {path: {"get": {"tags": ["T"], "operationId": "getThing", "responses": answer, **operation}}},
        "components": {"schemas": {name: schema or {"type": "object", "properties": {"a": {"type": "string"}}}}},
    }


def built(hostile: Object | bytes, folder: Path) -> Generated:
    """Take a document through everything that stands between an address and a package; the overlay left out."""
    layout = Layout(root=ROOT)
    data = hostile if isinstance(hostile, bytes) else json.dumps(hostile).encode()
    found = read(layout, data, "hostile.json")
    return package(layout, finish(found.normal, lambda _note: None), folder, lambda _line: None)


def top_level(source: str) -> Iterator[ast.stmt]:
    """Give the statements of a module that run when it is imported, those of its classes included."""
    for node in ast.parse(source).body:
        yield node
        if isinstance(node, ast.ClassDef):
            yield from node.body


def check_harmless(generated: Generated) -> None:
    """Every module holds imports, classes, functions and plain values, and every file is where it should be."""
    for path in generated.package.rglob("*.py"):
        source = path.read_text()
        assert path.resolve().is_relative_to(generated.package.resolve())
        for node in top_level(source):
            is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            guarded = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            assert is_text or guarded or isinstance(node, (*ALLOWED, ast.Pass)), ast.unparse(node)[:200]
        for call in (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)):
            assert ast.unparse(call.func) not in ("__import__", "eval", "exec", "os.system"), ast.unparse(call)[:200]
        imported = {
            alias.name.partition(".")[0]
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert imported <= {"datetime", "json", "httpx", "ssl"}, (path.name, imported)


def harmless_or_refused(hostile: Object | bytes, folder: Path) -> str:
    """Check one of the two; gives the refusal, or nothing."""
    try:
        generated = built(hostile, folder)
    except PipelineError as error:
        told = "".join([*error.details, str(error)])
    else:
        check_harmless(generated)
        return ""
    assert "\n" not in told
    assert "Traceback" not in told
    return told


def named(place: str, *names: str) -> Object:
    """A document in which things of one kind have these names."""
    thing: Object = {"type": "object", "properties": {"a": {"type": "string"}}}
    field: Object = {"type": "string"}
    parameters: list[Any] = [{"name": name, "in": "query", "schema": field} for name in names]
    one: Any = document()["paths"]
    operation = one["/things"]["get"]
    if place == "schema":
        return {**document(), "components": {"schemas": dict.fromkeys(names, thing)}}
    if place == "property":
        return document({"type": "object", "required": [*names], "properties": dict.fromkeys(names, field)})
    if place == "enum":
        return document({"type": "string", "enum": [*names, "b"]})
    if place == "parameter":
        return document(parameters=parameters)
    if place == "header":
        return document(parameters=[{**one, "in": "header"} for one in parameters])
    changes: dict[str, Any] = {"operation": "operationId", "tag": "tags"}
    paths: dict[str, Any] = {}
    for number, name in enumerate(names):
        own = {changes[place]: [name] if place == "tag" else name} if place in changes else {}
        paths[f"/{name}" if place == "path" else f"/{number}"] = {
            "get": {**operation, "operationId": f"get{number}", **own}
        }
    return {**document(), "paths": paths}


@pytest.mark.parametrize(
    "place", quick_only(["property"], ["schema", "property", "operation", "tag", "parameter", "path", "enum", "header"])
)
def test_a_name_never_becomes_code(tmp_path: Path, place: str) -> None:
    """Whatever a thing is called, its name is an identifier, a string, or refused; nothing is written elsewhere."""
    bad = [] if not harmless_or_refused(named(place, *NAMES), folder(tmp_path, "all")) else [*NAMES]
    for number, name in enumerate(bad):
        harmless_or_refused(named(place, name), folder(tmp_path, str(number)))
    made = {path.name for path in tmp_path.glob("*/*")} | {"puzzel-chat.json", "puzzel_chat_api"}
    assert made == {"puzzel-chat.json", "puzzel_chat_api"}
    assert all(path.is_dir() for path in tmp_path.iterdir())


def folder(parent: Path, name: str) -> Path:
    """Make a folder for one run."""
    (parent / name).mkdir()
    return parent / name


@pytest.mark.parametrize(
    "text", quick_only([EVIL], [EVIL, "ends with a backslash \\", 'ends with a quote"', "{{ 7 * 7 }}", "a\r\nb\x85c"])
)
def test_a_description_never_leaves_its_docstring(tmp_path: Path, text: str) -> None:
    """Quotes, backslashes and template marks in what is told about a thing stay text."""
    field = {"type": "string", "description": text, "example": text}
    hostile = document(
        {"type": "object", "description": text, "properties": {"a": field}},
        name="Other",
        summary=text,
        description=text,
        parameters=[{"name": "q", "in": "query", "description": text, "schema": field}],
    )
    hostile["info"] = {"title": text, "version": text, "description": text}
    assert harmless_or_refused(hostile, tmp_path) == "" or text.isprintable() is False


@pytest.mark.parametrize(
    "value", quick_only([EVIL], [EVIL, '" + __import__("os").getcwd() + "', "\\", '"', "'", "{{ 7 * 7 }}"])
)
@pytest.mark.parametrize("place", quick_only(["default"], ["default", "enum", "const", "parameter"]))
def test_a_value_never_becomes_code(tmp_path: Path, place: str, value: str) -> None:
    """Defaults, constants and members of enumerations are strings, whatever is in them."""
    fields: dict[str, Object] = {
        "default": {"type": "string", "default": value},
        "enum": {"type": "string", "enum": [value, "b"], "x-enum-varnames": ["A", "B"], "default": value},
        "const": {"type": "string", "enum": [value]},
        "parameter": {"type": "string", "default": value},
    }
    query = [{"name": "q", "in": "query", "schema": fields[place]}] if place == "parameter" else []
    thing: Object = {"type": "object", "properties": {"a": fields[place]}}
    harmless_or_refused(document(thing, name="Other", parameters=query), tmp_path)


@pytest.mark.parametrize(
    "target",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "../../secret.json",
        "secret.json#/a",
        "http://169.254.169.254/latest/meta-data",
        "https://evil.example/a.json#/b",
        "//evil.example/a.json",
        "#/components/schemas/../../../x",
    ],
)
@pytest.mark.parametrize("place", ["schema", "property", "parameter", "response", "body", "path"])
def test_no_reference_leads_out_of_the_document(tmp_path: Path, place: str, target: str) -> None:
    """A `$ref` to a file or a host is refused by name; nothing is read or fetched."""
    away: Object = {"$ref": target}
    documents: dict[str, Object] = {
        "schema": document(away, name="Other"),
        "property": document({"type": "object", "properties": {"a": away}}, name="Other"),
        "parameter": document(parameters=[away]),
        "response": document(responses={"200": away}),
        "body": document(requestBody=away),
        "path": {**document(), "paths": {"/a": away, **document()["paths"]}},  # type: ignore[dict-item]
    }
    refused = harmless_or_refused(documents[place], tmp_path)
    assert target in refused
    assert "root:" not in refused


def test_credentials_of_a_server_are_not_told(tmp_path: Path) -> None:
    """What a `servers` entry holds beside its host reaches neither a note nor the client."""
    server: Object = {"url": "https://user:pa55word@chat.example/api?key=pa55word"}
    hostile: Object = {**document(), "servers": [server, server]}
    found = read(Layout(root=ROOT), json.dumps(hostile).encode(), "hostile.json")
    assert "pa55word" not in "".join(found.notes)
    generated = built(hostile, tmp_path)
    assert "pa55word" not in "".join(path.read_text() for path in generated.package.rglob("*.py"))


@pytest.mark.parametrize(
    "text",
    [
        '{"openapi": "3.0.1", "info": {"title": "t", "version": "1"}, "x": ' + "9" * 5000 + "}",
        '{"openapi": "3.0.1", "x": 1e999999999}',
        '{"openapi": "3.0.1", "openapi": "3.0.1"}',
        "openapi: 3.0.1\nx: !!python/object/apply:os.system [id]",
        "openapi: 3.0.1\nx: !!python/name:os.system",
        "openapi: 3.0.1\nx: " + "9" * 5000,
        "openapi: 3.0.1\nx: 0x" + "f" * 200_000,
    ],
    ids=lambda text: text[:40],
)
def test_a_text_that_is_an_attack_is_refused(tmp_path: Path, text: str) -> None:
    """Huge numbers, keys that stand twice, and objects of a language end in a sentence."""
    assert harmless_or_refused(text.encode(), tmp_path)


def test_a_refusal_is_exit_code_30(tmp_path: Path) -> None:
    """The command says one sentence and changes nothing."""
    given = tmp_path / "hostile.json"
    given.write_text(json.dumps(document({"$ref": "file:///etc/passwd"}, name="Other")))
    command = [sys.executable, "-m", "pipeline", str(given), "--root", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, env={"PYTHONPATH": str(ROOT / "openapi")})
    assert done.returncode == 30
    assert done.stderr.splitlines()[-1].startswith("30: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_enumeration_of_very_many_members_ends(tmp_path: Path) -> None:
    """Ten thousand members are made or refused in the time that a test has."""
    many: Object = {"type": "string", "enum": [f"member-{number}" for number in range(10_000)]}
    harmless_or_refused(document(many, name="Other"), tmp_path)
