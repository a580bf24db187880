"""What the generator dropped is counted and named, with its own reason where it gave one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.document import Json, Object, child
from pipeline.lost import lost_parts, read_warnings
from pipeline.private import private_classes

Small = Callable[..., Object]
ENDPOINT = """
def _get_kwargs(id: str) -> dict[str, object]:
    return {}

def _parse_response(*, client, response):
    if response.status_code == 204:
        return None
    if 400 <= response.status_code <= 499:
        return None
    if client.raise_on_unexpected_status:
        raise ValueError
    else:
        return None
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package as the generator would write it for one operation."""
    for name, text in {
        "api/things/get_thing.py": ENDPOINT,
        "api/things/__init__.py": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def with_operation(document: Object, **changes: Json) -> Object:
    known = child(document, "paths", "/things/{id}", "get")
    return {**document, "paths": {"/things/{id}": {"get": {**known, **changes}}}}


def test_nothing_is_lost_of_what_is_there(small: Small, package: Path) -> None:
    """A whole client has no losses, ranges included."""
    assert lost_parts(with_operation(small(), responses={"204": {}, "4XX": {}}), package, []) == ()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"operationId": "other"}, "GET /things/{id} is not in the client"),
        ({"responses": {"200": {}}}, "GET /things/{id}: the answer 200 is not read"),
        ({"responses": {"default": {}}}, "GET /things/{id}: the answer default is not read"),
        ({"responses": {"5XX": {}}}, "GET /things/{id}: the answer 5XX is not read"),
        ({"parameters": []}, "GET /things/{id}: of 0 parameters and body the client takes 1"),
        (
            {"requestBody": {"content": {"application/json": {}}}},
            "GET /things/{id}: of 2 parameters and body the client takes 1",
        ),
    ],
)
def test_a_lost_part_of_an_operation_is_named(small: Small, package: Path, changes: Object, sentence: str) -> None:
    """An endpoint, an answer or an argument that nothing was generated for is told by its place."""
    assert lost_parts(with_operation(small(), **changes), package, [])[0] == sentence


OUTPUT = """Warning(s) encountered while generating. Client was generated, but some pieces may be missing
WARNING parsing GET /things/{id} within things. Endpoint will not be generated.

Unsupported content type text/xml

{
  "content": {}
}

Unable to parse schema /components/schemas/Loop

it holds <openapi_python_client.schema.untrusted_string.UntrustedString object at 0x7f4d96eac0d0>
and more

{}

If you believe this was a mistake or this tool is missing a feature you need, please open an issue
"""


def test_a_warning_is_the_reason_of_a_loss_or_one_of_its_own(small: Small, tmp_path: Path) -> None:
    """What the generator says is told once, in one line, the same each time."""
    assert lost_parts(small(), tmp_path, read_warnings(OUTPUT)) == (
        "GET /things/{id} is not in the client (Unsupported content type text/xml)",
        "the generator says: Unable to parse schema /components/schemas/Loop it holds it and more",
    )
    assert read_warnings("") == read_warnings("Generating things\n") == []


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (["multipart/form-data"], ["GetThingBody"]),
        (["application/json", "multipart/form-data"], ["GetThingJsonBody", "GetThingFilesBody"]),
        (["application/x-www-form-urlencoded", "application/json"], ["GetThingDataBody", "GetThingJsonBody"]),
    ],
)
def test_a_private_body_is_found_by_the_name_that_the_generator_gives_it(
    small: Small, types: list[str], wanted: list[str]
) -> None:
    """A body of several kinds is a class for each, and none of them shows what it holds."""
    content: Object = {name: {"schema": {"type": "object", "x-private": True}} for name in types}
    document = with_operation(small(), requestBody={"content": content})
    assert list(private_classes(document)) == wanted
