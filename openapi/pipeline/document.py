"""Read and write the documents, and walk through them without losing the order of their keys."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias, cast

from pipeline.problems import PipelineError, reason

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Object: TypeAlias = "dict[str, Json]"

PLAIN, FORM, BYTES = "application/json", "application/x-www-form-urlencoded", "application/octet-stream"
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


def read_bytes(path: Path) -> bytes:
    """Return what is in the file. Raises `PipelineError` when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise PipelineError(f"{path} cannot be read ({reason(error)}): restore it from version control.") from error


def parse(data: bytes, name: Path) -> Object:
    """Decode one JSON document. Raises `PipelineError` with line and column when it is none."""
    try:
        value = cast("Json", json.loads(data.decode("utf-8-sig")))
    except UnicodeDecodeError as error:
        raise PipelineError(f"{name} is not UTF-8 at byte {error.start}: save it as UTF-8.") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise PipelineError(f"{name} is not JSON at {where} ({error.msg}): correct the file.") from error
    if not isinstance(value, dict):
        raise PipelineError(f"{name} holds no JSON object: it must be an OpenAPI document.")
    return value


def dump(document: Object) -> bytes:
    """Encode a document as it is committed: two spaces, order kept, one newline at the end."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()


def sha256(data: bytes) -> str:
    """Return the checksum that SOURCE.toml carries."""
    return hashlib.sha256(data).hexdigest()


def child(node: Json, *keys: str) -> Object:
    """Follow the keys down to an object; what is missing or no object counts as empty."""
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else {}


def text(node: Object, key: str) -> str:
    """Return the string at the key; what is missing or no string counts as empty."""
    value = node.get(key)
    return value if isinstance(value, str) else ""


def items(node: Json) -> list[Json]:
    """Return the list itself; what is no list counts as empty."""
    return node if isinstance(node, list) else []


def operations(document: Object) -> Iterator[tuple[str, str, Object]]:
    """Yield path, method and operation of every operation, in the document's order."""
    for path, item in child(document, "paths").items():
        for method, operation in child(item).items():
            if method in METHODS and isinstance(operation, dict):
                yield path, method, operation


def objects(node: Json, keys: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Object]]:
    """Yield every object below a node, itself included, with the keys that lead to it from `keys` on."""
    if isinstance(node, dict):
        yield keys, node
        for key, value in node.items():
            yield from objects(value, (*keys, key))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from objects(value, (*keys, index))


def pointer(keys: Iterable[str | int]) -> str:
    """Return a JSON pointer (RFC 6901) to the keys given, `#` for the whole document."""
    return "#" + "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def rebuild_document(document: Object, change: Callable[[Object], Json]) -> Object:
    """Return a copy of a whole document in which every object, innermost first, went through `change`."""

    def rebuilt(node: Json) -> Json:
        if isinstance(node, list):
            return [rebuilt(one) for one in node]
        return change({key: rebuilt(one) for key, one in node.items()}) if isinstance(node, dict) else node

    return cast("Object", rebuilt(document))


def edit_operations(document: Object, change: Callable[[str, Object], Object]) -> Object:
    """Return a copy of a document in which every operation went through `change("METHOD /path", operation)`."""

    def edited(path: str, method: str, operation: Json) -> Json:
        is_one = method in METHODS and isinstance(operation, dict)
        return change(f"{method.upper()} {path}", child(operation)) if is_one else operation

    paths: Object = {
        path: {key: edited(path, key, one) for key, one in item.items()} if isinstance(item, dict) else item
        for path, item in child(document, "paths").items()
    }
    return {**document, "paths": paths} if "paths" in document else document
