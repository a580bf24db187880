"""Decoding: what counts as a document, and the one sentence for everything else."""

from __future__ import annotations

import contextlib
import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.decode import decode
from pipeline.document import Object
from pipeline.problems import PipelineError

DOCUMENT: Object = {"openapi": "3.0.1", "info": {"title": "Åpent", "version": "1"}, "paths": {}}
JSON = json.dumps(DOCUMENT, ensure_ascii=False)
YAML = "# ours\nopenapi: 3.0.1\ninfo: {title: Åpent, version: 1}\npaths: {}\n"


def refused(data: bytes | str) -> str:
    """Return the sentence that the bytes are refused with."""
    with pytest.raises(PipelineError) as raised:
        decode(data if isinstance(data, bytes) else data.encode(), "v1.json")
    said = str(raised.value)
    assert "\n" not in said
    assert re.match(r"v1\.json .+: [a-z].*\.$", said), said
    assert len(said) < 400
    return said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_json_is_read_in_every_encoding_that_it_may_have(encoding: str) -> None:
    """With or without a mark at its start."""
    assert decode(f"\r\n {JSON}\n".encode(encoding), "v1.json") == (DOCUMENT, "json")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_yaml_is_read(encoding: str) -> None:
    """YAML with a mark and a comment at its start gives the same document."""
    assert decode(YAML.encode(encoding), "v1.yaml") == (DOCUMENT, "yaml")


def test_swagger_2_is_a_document_too() -> None:
    """Whether a version is understood is for a later step to say."""
    assert decode(b'{"swagger": "2.0"}', "v1.json") == ({"swagger": "2.0"}, "json")
    assert decode(b"swagger: 2.0\ninfo: {version: 1.10}", "v1.json")[0] == {
        "swagger": "2.0",
        "info": {"version": "1.10"},
    }


@pytest.mark.parametrize(
    ("yaml", "value"),
    [
        ("200: 1\n0x10: 2\ntrue: 3\n~: 4\n2020-01-01: 5", {"200": 1, "0x10": 2, "true": 3, "~": 4, "2020-01-01": 5}),
        ("{a: 2020-01-01, b: 2020-01-01T10:00:00Z}", {"a": "2020-01-01", "b": "2020-01-01T10:00:00Z"}),
        ("[yes, NO, on, True, null, ~]", ["yes", "NO", "on", True, None, None]),
        ("[010, 0o10, 0x1F, -7, 1.5e3, 12:30]", [10, 8, 31, -7, 1500.0, "12:30"]),
        ("{a: .nan, b: -.inf, c: '', d: }", {"a": ".nan", "b": "-.inf", "c": "", "d": None}),
        ("- &a {b: [1]}\n- *a", [{"b": [1]}, {"b": [1]}]),
        ("- &a {b: 1, c: 1}\n- {<<: *a, c: 2}\n- {c: 3, <<: [{d: 1}, {d: 2, e: 2}]}",
         [{"b": 1, "c": 1}, {"b": 1, "c": 2}, {"d": 1, "e": 2, "c": 3}]),
        ("!!binary aGk=", "aGk="),
    ],
)  # fmt: skip
def test_yaml_becomes_what_json_would_carry(yaml: str, value: object) -> None:
    """Keys and dates stay as they are written, words are no booleans, and aliases are written out."""
    indented = "\n".join(f"  {line}" for line in yaml.splitlines())
    document, _ = decode(f"openapi: 3.0.1\nx:\n{indented}".encode(), "v1.yaml")
    assert document["x"] == value


BOMB = "openapi: 3.0.1\na0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)
MERGES = "openapi: 3.0.1\na0: &a0 {k: 1}\n" + "".join(
    f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)
)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty: check the address"),
        (b" \n\t\r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        ("<!DOCTYPE html><title>Sign in to\n  your account</title>", "is a web page (Sign in to your account), not"),
        ("<html><h1>Logg inn</h1></html>", "(Logg inn), not an OpenAPI document: check the address, set PUZZEL"),
        ("<form><html><input type=password>", "begins with <form><html>"),
        ("<html><input type='password'></html>", "is a web page (no title)"),
        ("<html><title>Chat &amp; more</title></html>", "is a web page (Chat & more), not an OpenAPI document"),
        ("<h1>404</h1>", "is a web page (404), not an OpenAPI document"),
        ("<html>æ</html>".encode("latin-1"), "is a web page (no title), not"),
        ('<?xml version="1.0"?><Error/>', 'begins with <?xml version="1.0"?><Error/>'),
        ("Not found\x1b[31m", "begins with Not found [31m, which is no OpenAPI document"),
        ("version: 3", "begins with version: 3, which is no"),
        ("[1, 2]", "begins with [1, 2], which is no"),
        ("{}", "begins with {}, which"),
        ('{"error": "invalid_token", "error_description": "It\\nended"}', 'begins with {"error": "invalid_token"'),
        ('{"openapi": 3.0}', "no OpenAPI document with its version in quotes"),
        ('{"openapi": "3.0.1",\n "paths": {', "is not JSON at line 2, column 12 ("),
        ('{"openapi": "3.0.1', "is not JSON at line 1, column 13 ("),
        ('{"openapi": "3.0.1",}', "is not JSON at line 1, column 2"),  # the comma in Python 3.13, what follows before
        ('{"openapi": "3.0.1"} {}', "is not JSON at line 1, column 22 (Extra data)"),
        ('{"openapi": "3.0.1", "x": {"a": 1, "a": 2}}', "has the key a twice in one object: remove one"),
        ('{"openapi": "3.0.1", "x": NaN}', "has a number or half a letter"),
        ('{"openapi": "3.0.1", "x": 1e999}', "has a number or half a letter that JSON cannot carry"),
        ('{"openapi": "3.0.1", "x": "\\ud800"}', "has a number or half a letter"),
        ('{"openapi": "3.0.1", "x": ' + "[" * 100_000, "is nested too deeply"),
        ('{"openapi": "3.0.1", "x": "æ"}'.encode("latin-1"), "is not utf-8 at byte 27: save it as UTF-8"),
        (b"PK\x03\x04\x00", "begins with PK, which is no OpenAPI document"),
        (b"\x7fELF\x02\x01\x00", "which is no OpenAPI document"),
        ("openapi: 3.0.1\npaths:\n  /a: [", "is not YAML at line 3, column "),
        ("openapi: 3.0.1\na: 1\na: 2", 'is not YAML at line 3, column 1 (found duplicate key "a"'),
        ("openapi: 3.0.1\nx: {200: 1, '200': 2}", 'is not YAML at line 2, column 13 (found duplicate key "200"'),
        ("openapi: 3.0.1\n? [a, b]\n: 1", "is not YAML at line 2, column 3 (a key that is no text)"),
        ("openapi: 3.0.1\nx: *nobody", "is not YAML at line 2, column 4 (found undefined alias"),
        ("openapi: 3.0.1\n---\nopenapi: 3.0.1", "is not YAML at line 2, column 1 (but found another document)"),
        ("openapi: 3.0.1\nx: &x [*x]", "is nested too deeply"),
        ("openapi: 3.0.1\nx: " + "[" * 500, "is nested too deeply"),
        ("openapi: 3.0.1\nx: !!int a", "is not YAML (ValueError)"),
        (BOMB, "has aliases that make it endless: write them out"),
        (MERGES, "has aliases that make it endless"),
        ("openapi: [3]", "with its version in quotes"),
    ],
    ids=lambda value: None if isinstance(value, bytes) or len(value) > 60 else value,
)  # fmt: skip
def test_what_is_no_document_is_told_in_one_sentence(data: bytes | str, reason: str) -> None:
    """The sentence says what came, where it goes wrong, and what to do."""
    assert reason in refused(data)


WORDS = r"""a b 1 0x 1e9 .inf - &a *a { } [ ] " ' , ? | > !!int !!float !x <<: : # --- \ud800 <html> \ufeff"""
BYTES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.lists(
        st.sampled_from([*WORDS.split(), "\n", " ", "\t", "%YAML 1.1\n"]),
        max_size=30,
    ).map(lambda pieces: "openapi: 3\n" + "".join(pieces)).map(str.encode),
    st.tuples(
        st.sampled_from([b"", b"openapi: 3\n", b'{"openapi": "3",', b"<html>", b"\xff\xfe"]), st.binary(max_size=50)
    ).map(b"".join),
)  # fmt: skip


@given(BYTES)
@example(b"openapi: 3\nx: !!float .")
@example(b"<html><![")
@example(b"openapi: 3\nx: &a {<<: *a}")
def test_no_bytes_break_the_decoder(data: bytes) -> None:
    """Whatever comes, it is a document that can be written as JSON, or refused with a sentence."""
    with contextlib.suppress(PipelineError):
        document, _ = decode(data, "v1.json")
        assert json.loads(json.dumps(document, ensure_ascii=False, allow_nan=False).encode()) == document
