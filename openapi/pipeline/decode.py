"""From bytes to a document: JSON, YAML and Swagger 2.0, or one sentence that says what came instead."""

from __future__ import annotations

import json
import re
import tempfile
from collections import Counter
from contextlib import suppress
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Literal, cast

from attrs import define
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from pipeline.address import HEADER_VARIABLE
from pipeline.document import Json, Object, child, dump, edit_operations, parse, text
from pipeline.layout import Layout
from pipeline.problems import PipelineError, brief
from pipeline.tools import CONVERTER, ToolFailed, ToolsMissing, run_tool

HTML = re.compile(
    r"(?>\s*(?:<!--(?>.*?-->)|<\?xml[^>]*>))*+\s*"
    r"<(?:!doctype\s+html|html|head|body|title|meta|link|style|script|div|center|p|h[1-6])\b",
    re.IGNORECASE | re.DOTALL,
)
VERSION_LINE = re.compile(r"^[ \t]*[\"']?(?:openapi|swagger)[\"']?\s*:", re.MULTILINE)
# Versions are strings even where somebody forgot the quotes.
VERSIONS = (("openapi",), ("swagger",), ("info", "version"))
TAG = "tag:yaml.org,2002:"
PLAIN = {f"{TAG}{kind}" for kind in ("null", "bool", "int", "float")}
MOST = 1_000_000  # values after all aliases are followed; the largest public documents have about a tenth
CHECK = f"check the address, set {HEADER_VARIABLE} if it wants a login, or save the document by hand and give the file"
# What stands beside a reference, as x-nullable does, is taken away unless it is to be preserved.
CONVERT = ("--patch", "--refSiblings", "preserve", "--targetVersion", "3.0.3")


def decode(data: bytes, name: str) -> tuple[Object, Literal["json", "yaml"]]:
    """Return the OpenAPI or Swagger document in the bytes, and its language; raises `PipelineError` if it is none."""
    words = words_of(data, name)
    is_json = words.lstrip().startswith(("{", "["))
    value = child(read_value(words, name) if is_json or VERSION_LINE.search(words) else None)
    if not text(value, "openapi") and not text(value, "swagger"):
        told = f"begins with {brief(words, 60)}, which is no OpenAPI document with its version in quotes"
        raise PipelineError(f"{name} {told}: {CHECK}.")
    return value, "json" if is_json else "yaml"


def read_value(words: str, name: str) -> Json:
    """Return the value of a JSON or YAML text. Raises `PipelineError` when it is neither."""
    try:
        value = _read_json(words, name) if words.lstrip().startswith(("{", "[")) else _read_yaml(words, name)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise PipelineError(f"{name} is nested too deeply to be read: give a flatter one.") from None
    except ValueError:  # Python also reads no number of more than 4300 digits.
        raise PipelineError(f"{name} has a number or half a letter that JSON cannot carry: correct it.") from None
    return value


def _read_yaml(words: str, name: str) -> Json:
    yaml = cast("Any", YAML(typ="safe", pure=True))  # The library leaves the types of its streams and nodes open.
    try:
        node = yaml.compose(words)
        if node is not None and _tame(node, (), {}) > MOST:
            raise PipelineError(f"{name} has aliases that make it endless: write them out.")
        return cast("Json", yaml.constructor.construct_document(node) if node is not None else None)
    except (PipelineError, RecursionError):
        raise
    except Exception as error:  # The library itself breaks on some texts, each time in another way.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        why = brief(str(getattr(error, "problem", None) or type(error).__name__))
        raise PipelineError(f"{name} is not YAML{where} ({why}): correct it, or give another file.") from None


def _tame(node: Node, keys: tuple[str, ...], sizes: dict[Node, int]) -> int:
    """Leave a node no kind but those of JSON, and return how many values it comes to when its aliases are followed."""
    if node in sizes:
        return sizes[node]
    size = 1
    if isinstance(node, ScalarNode):
        if keys in VERSIONS or node.tag not in PLAIN or node.value[-3:].lower() in ("inf", "nan"):
            node.tag = f"{TAG}str"
    elif isinstance(node, MappingNode):
        node.tag = f"{TAG}map"
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                raise ConstructorError(problem="a key that is no text", problem_mark=key.start_mark)
            if key.tag != f"{TAG}merge":
                key.tag = f"{TAG}str"
            size += _tame(value, (*keys, key.value), sizes)
    else:
        node.tag = f"{TAG}seq"
        size += sum(_tame(item, (*keys, ""), sizes) for item in node.value)
    sizes[node] = size
    return size


def is_swagger_2(document: Object) -> bool:
    """Whether a document is written in the version before OpenAPI."""
    return str(document.get("swagger", "")).startswith("2")


def to_openapi(layout: Layout, document: Object) -> Object:
    """Return a Swagger 2.0 document as OpenAPI 3.0, by the converter that everybody uses."""
    with tempfile.TemporaryDirectory(prefix="puzzel-chat-") as folder:
        before, after = Path(folder) / "swagger.json", Path(folder) / "openapi.json"
        # The converter wants a list of parameters before it adds a body of the path's.
        before.write_bytes(dump(edit_operations(document, lambda _, operation: {"parameters": [], **operation})))
        try:
            run_tool(layout, CONVERTER, *CONVERT, "--outfile", str(after), str(before))
            return parse(after.read_bytes(), after)
        except (ToolFailed, FileNotFoundError) as error:
            told = brief(str(error).replace(folder, ""), 200)
            raise PipelineError(f"This Swagger 2.0 document cannot be converted ({told}): give OpenAPI 3.") from error
        except ToolsMissing as error:
            raise ToolsMissing(f"This is Swagger 2.0, which must be converted. {error}") from error


def text_of(data: bytes) -> str:
    """Return the text of bytes in the encoding that they seem to have, with a mark for what it does not have."""
    return data.decode(json.detect_encoding(data), "replace")


def words_of(data: bytes, name: str) -> str:
    """Return the text of bytes. Raises `PipelineError` when there is none, or that of a web page."""
    words = text_of(data)
    if not words.strip("\ufeff \t\r\n"):
        raise PipelineError(f"{name} is empty: {CHECK}.")
    if (page := read_html(words)) is not None:
        title = brief("".join(tag.text for tag in page if tag.name in ("title", "h1")))
        raise PipelineError(f"{name} is a web page ({title or 'no title'}), not an OpenAPI document: {CHECK}.")
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError as error:
        raise PipelineError(f"{name} is not {error.encoding} at byte {error.start}: save it as UTF-8.") from None


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


def _read_json(words: str, name: str) -> Json:
    def once(pairs: list[tuple[str, Json]]) -> Object:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise PipelineError(f"{name} has the key {brief(twice)} twice in one object: remove one.")
        return found

    try:
        return cast("Json", json.loads(words, object_pairs_hook=once))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise PipelineError(f"{name} is not JSON at {where} ({error.msg}): fetch it whole, or correct it.") from None
