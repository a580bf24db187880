"""Decode what was fetched, or say in one sentence what came instead of an OpenAPI document."""

from __future__ import annotations

import json
import re
from typing import Literal, NoReturn, TypeAlias

from pipeline.document import Json, Object
from pipeline.intake.address import HEADER_VARIABLE
from pipeline.intake.html_page import HtmlPage, lenient_text, read_html
from pipeline.intake.yaml_document import read_yaml
from pipeline.problems import PipelineError, brief

Language: TypeAlias = Literal["json", "yaml"]

BINARY = {
    b"%PDF-": "a PDF file",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"GIF8": "an image",
}
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
VERSION_LINE = re.compile(r"^[ \t]*[\"']?(?:openapi|swagger)[\"']?\s*:", re.MULTILINE)
VERSION_KEYS = ("openapi", "swagger")
SHOWN = 5
DEEP = "{} is nested too deeply to be read: give a flatter one."
CHECK = "check the address, or save the document from a browser and give the file"


def decode(data: bytes, name: str) -> tuple[Object, Language]:
    """Return the OpenAPI or Swagger document in the bytes, and what it is written in.

    The content decides, whatever the server said of it. Raises `PipelineError` with one sentence that says what came
    and what to do when it is no such document.
    """
    text = _text(data, name)
    if not text.lstrip().startswith(("{", "[")) and not VERSION_LINE.search(text):
        kind = "XML" if text.lstrip().startswith("<") else "text"
        raise PipelineError(f"{name} is {kind} that begins with {brief(text, 40)}, not an OpenAPI document: {CHECK}.")
    value, language = read_value(text, name)
    if not isinstance(value, dict) or not any(key in value for key in VERSION_KEYS):
        raise PipelineError(f"{name} is {_what(value)}, not an OpenAPI document: {CHECK}.")
    if odd := [key for key in VERSION_KEYS if not isinstance(value.get(key, ""), str)]:
        raise PipelineError(f"{name} has no string for `{odd[0]}`: write the whole version in quotes.")
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise PipelineError(DEEP.format(name)) from None
    except ValueError:
        raise PipelineError(f"{name} has a number or half a letter that JSON cannot carry: correct it.") from None
    return value, language


def _text(data: bytes, name: str) -> str:
    kind = next((kind for start, kind in BINARY.items() if data.startswith(start)), None)
    text = lenient_text(data)
    if not text.strip():
        raise PipelineError(f"{name} is {'only blanks' if data else 'empty'}: {CHECK}.")
    if kind is None and CONTROL.search(text):
        kind = "binary data"
    if kind is not None:
        raise PipelineError(f"{name} is {kind}, not an OpenAPI document: unpack or export it, or {CHECK}.")
    page = read_html(text)
    if page is not None:
        raise PipelineError(_told(page, name))
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise PipelineError(f"{name} is not {error.encoding} at byte {error.start}: save it as UTF-8.") from None


def _told(page: HtmlPage, name: str) -> str:
    title = f" ({brief(page.title)})" if page.title else ""
    if page.is_login:
        return (
            f"{name} is a login page{title}: set {HEADER_VARIABLE} to a `Name: value` line, "
            "or log in with a browser, save the document and give the file."
        )
    return f"{name} is a web page{title}, not an OpenAPI document: {CHECK}."


def read_value(text: str, name: str) -> tuple[Json, Language]:
    """Return the value of a JSON or YAML text, and which it is. Raises `PipelineError` when it is neither."""
    if text.lstrip().startswith(("{", "[")):
        return _json(text, name), "json"
    return read_yaml(text, name), "yaml"


def _json(text: str, name: str) -> Json:
    def once(pairs: list[tuple[str, Json]]) -> Object:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise PipelineError(f"{name} has the key {brief(twice)} twice in one object: remove one.")
        return found

    def no_number(word: str) -> NoReturn:
        raise PipelineError(f"{name} has {word} for a number, which JSON does not know: correct it.")

    try:
        value: Json = json.loads(text, object_pairs_hook=once, parse_constant=no_number)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
            raise PipelineError(f"{name} breaks off at {where}: fetch it again, or give a whole file.") from None
        raise PipelineError(f"{name} is not JSON at {where} ({error.msg}): correct it, or give another.") from None
    except ValueError:  # Python reads no number of more than 4300 digits.
        raise PipelineError(f"{name} has a number that is too long: correct it.") from None
    except RecursionError:
        raise PipelineError(DEEP.format(name)) from None
    return value


def _what(value: Json) -> str:
    if isinstance(value, list):
        return f"a JSON list of {len(value)}"
    if not isinstance(value, dict):
        return "a single value"
    if "error" in value or ("title" in value and "status" in value):
        said = next(
            (value[key] for key in ("error_description", "error", "title") if isinstance(value.get(key), str)), ""
        )
        return f"an error reply ({brief(str(said))})" if said else "an error reply"
    keys = ", ".join(brief(key, 30) for key in list(value)[:SHOWN])
    return f"JSON with the keys {keys}{' and more' if len(value) > SHOWN else ''}" if keys else "an empty JSON object"
