"""From bytes to a document: JSON, YAML and Swagger 2.0, or one sentence that says what came instead."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal, NoReturn, TypeAlias, cast

from attrs import define
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pipeline.address import HEADER_VARIABLE
from pipeline.document import Json, Object, dump, edit_operations, parse
from pipeline.layout import Layout
from pipeline.problems import PipelineError, brief
from pipeline.tools import CONVERTER, ToolFailed, ToolsMissing, run_tool

Language: TypeAlias = Literal["json", "yaml"]

BINARY = {b"%PDF-": "a PDF file", b"PK\x03\x04": "a zip archive", b"\x1f\x8b": "a gzip archive", b"\x89PNG": "an image"}
CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
HTML = re.compile(
    r"(?>\s*(?:<!--(?>.*?-->)|<\?xml[^>]*>))*+\s*"
    r"<(?:!doctype\s+html|html|head|body|title|meta|link|style|script|div|center|p|h[1-6])\b",
    re.IGNORECASE | re.DOTALL,
)
LOGIN = re.compile(r"\b(?:sign|log)[ -]?in\b|\blogg inn\b|\bpassword\b", re.IGNORECASE)
VERSION_LINE = re.compile(r"^[ \t]*[\"']?(?:openapi|swagger)[\"']?\s*:", re.MULTILINE)
VERSION_KEYS = ("openapi", "swagger")
# Versions are strings even where somebody forgot the quotes.
VERSIONS = (("openapi",), ("swagger",), ("info", "version"))
TAG = "tag:yaml.org,2002:"
MOST = 1_000_000  # values after all aliases are followed; the largest public documents have about a tenth
DEEP = "{} is nested too deeply to be read: give a flatter one."
CHECK = "check the address, or save the document from a browser and give the file"
# What stands beside a reference, as x-nullable does, is taken away unless it is to be preserved.
CONVERT = ("--patch", "--refSiblings", "preserve", "--targetVersion", "3.0.3")


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


def read_value(text: str, name: str) -> tuple[Json, Language]:
    """Return the value of a JSON or YAML text, and which it is. Raises `PipelineError` when it is neither."""
    if text.lstrip().startswith(("{", "[")):
        return _read_json(text, name), "json"
    return read_yaml(text, name), "yaml"


def read_yaml(text: str, name: str) -> Json:
    """Return the value of one YAML 1.2 document as JSON would carry it: keys and dates as they are written.

    Raises `PipelineError`, with line and column, when it is none.
    """
    try:
        # The library leaves the type of its streams open.
        node = cast("Node | None", YAML(typ="safe", pure=True).compose(text))  # pyright: ignore[reportUnknownMemberType]
        return _YamlReader(name).value(node, ())
    except PipelineError:
        raise
    except RecursionError:
        raise PipelineError(DEEP.format(name)) from None
    except Exception as error:  # The library itself breaks on some texts, each time in another way.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        why = brief(str(getattr(error, "problem", None) or type(error).__name__))
        raise PipelineError(f"{name} is not YAML{where} ({why}): correct it, or give another file.") from None


def is_swagger_2(document: Object) -> bool:
    """Whether a document is written in the version before OpenAPI."""
    return str(document.get("swagger", "")).startswith("2")


def to_openapi(layout: Layout, document: Object) -> Object:
    """Return a Swagger 2.0 document as OpenAPI 3.0, by the converter that everybody uses.

    Raises `ToolsMissing` when the converter is not to be had here, and `PipelineError` when it refuses the document.
    """
    with tempfile.TemporaryDirectory(prefix="puzzel-chat-") as folder:
        before, after = Path(folder) / "swagger.json", Path(folder) / "openapi.json"
        # The converter wants a list of parameters before it adds a body of the path's.
        before.write_bytes(dump(edit_operations(document, lambda _, operation: {"parameters": [], **operation})))
        try:
            run_tool(layout, CONVERTER, *CONVERT, "--outfile", str(after), str(before))
        except ToolFailed as error:
            told = str(error).replace(folder, "")
            raise PipelineError(f"This Swagger 2.0 document cannot be converted ({told}): give OpenAPI 3.") from error
        except ToolsMissing as error:
            raise ToolsMissing(f"This is Swagger 2.0, which must be converted. {error}") from error
        if not after.is_file():
            raise PipelineError("This Swagger 2.0 document came to nothing when it was converted: give OpenAPI 3.")
        return parse(after.read_bytes(), after)


def text_of(data: bytes) -> str:
    """Return the text of bytes in the encoding that they seem to have, with a mark for what it does not have."""
    return data.decode(json.detect_encoding(data), "replace")


@define
class Tag:
    """A tag of a page, with the text between it and the next."""

    name: str
    attributes: dict[str, str]
    text: str = ""


def read_html(text: str) -> list[Tag] | None:
    """Return the tags of a page, None for what is no HTML."""
    if not HTML.match(text):
        return None
    reader = _HtmlReader()
    with suppress(AssertionError):  # How the library says that it gives up on a declaration; what it has read stays.
        reader.feed(text)
        reader.close()
    return reader.tags


def asks_for_password(page: list[Tag]) -> bool:
    """Tell whether a page has a field for a password."""
    return any(tag.name == "input" and tag.attributes.get("type", "").lower() == "password" for tag in page)


class _HtmlReader(HTMLParser):
    """Collects the tags while the library walks through the page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[Tag] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(Tag(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(Tag("", {}))

    def handle_data(self, data: str) -> None:
        for last in self.tags[-1:]:
            last.text += data


def _text(data: bytes, name: str) -> str:
    kind = next((kind for start, kind in BINARY.items() if data.startswith(start)), None)
    text = text_of(data)
    if not text.strip():
        raise PipelineError(f"{name} is {'only blanks' if data else 'empty'}: {CHECK}.")
    if kind or CONTROL.search(text):
        told = f"{kind or 'binary data'}, not an OpenAPI document: unpack or export it, or {CHECK}"
        raise PipelineError(f"{name} is {told}.")
    page = read_html(text)
    if page is not None:
        raise PipelineError(_told(page, name))
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise PipelineError(f"{name} is not {error.encoding} at byte {error.start}: save it as UTF-8.") from None


def _told(page: list[Tag], name: str) -> str:
    title = "".join(tag.text for tag in page if tag.name == "title")
    place = f"{name} is a {{}} page{f' ({brief(title)})' if title.strip() else ''}"
    if asks_for_password(page) or LOGIN.search(" ".join([title, *(tag.text for tag in page if tag.name == "h1")])):
        told = f"set {HEADER_VARIABLE} to a `Name: value` line, or log in with a browser, save the document"
        return f"{place.format('login')}: {told} and give the file."
    return f"{place.format('web')}, not an OpenAPI document: {CHECK}."


def _read_json(text: str, name: str) -> Json:
    def once(pairs: list[tuple[str, Json]]) -> Object:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
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
        told = [value.get(key) for key in ("error_description", "error", "title")]
        said = next((one for one in told if isinstance(one, str)), "")
        return f"an error reply ({brief(said)})" if said else "an error reply"
    keys = ", ".join(brief(key, 30) for key in list(value)[:5])
    return f"JSON with the keys {keys}{' and more' if len(value) > 5 else ''}" if keys else "an empty JSON object"


class _YamlReader:
    """Turns nodes into values, and counts them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = MOST

    def value(self, node: Node | None, keys: tuple[str, ...]) -> Json:
        self._left -= 1
        if self._left < 0:
            raise PipelineError(f"{self._name} has aliases that make it endless: write them out.")
        if isinstance(node, MappingNode):
            return self._object(node, keys)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*keys, "")) for item in node.value]
        if isinstance(node, ScalarNode):
            return str(node.value) if keys in VERSIONS else _scalar(node)
        return None

    def _object(self, node: MappingNode, keys: tuple[str, ...]) -> Object:
        found: Object = {}
        merged: Object = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode):
                raise self._error(key, "has a key that is no text", "write it as a string")
            if key.value in found:
                raise self._error(key, f"has the key {brief(key.value)} twice", "remove one")
            if key.tag == f"{TAG}merge":
                merged = {**self._merged(item, keys), **merged}
            else:
                found[key.value] = self.value(item, (*keys, key.value))
        return {**merged, **found}

    def _merged(self, node: Node, keys: tuple[str, ...]) -> Object:
        value = self.value(node, keys)
        parts = value if isinstance(value, list) else [value]
        return {key: item for part in reversed(parts) if isinstance(part, dict) for key, item in part.items()}

    def _error(self, node: Node, what: str, step: str) -> PipelineError:
        mark = node.start_mark
        return PipelineError(f"{self._name} {what} at line {mark.line + 1}, column {mark.column + 1}: {step}.")


def _scalar(node: ScalarNode) -> Json:
    kind, text = str(node.tag).removeprefix(TAG), str(node.value)
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text.replace("_", ""), {"0o": 8, "0x": 16, "0b": 2}.get(text.lstrip("+-")[:2], 10))
    if kind == "float" and text.lower()[-3:] not in ("inf", "nan"):
        return float(text.replace("_", ""))
    return text
