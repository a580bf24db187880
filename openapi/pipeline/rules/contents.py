"""Leave of each request and reply the one form that the client can write or read."""

from __future__ import annotations

import re

from pipeline.document import Json, Object, child, edit_operations, rebuild_document, text
from pipeline.rules.walk import Note, followed, without

PROBLEM, PLAIN, BYTES = "application/problem+json", "application/json", "application/octet-stream"
ANY = "*/*"
STATUS = re.compile(r"DEFAULT|[1-5](\d\d|XX)")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
BINARY: Object = {"type": "string", "format": "binary"}


def read_any_type_as_json(document: Object, note: Note) -> Object:
    """Take what may be of any type for JSON; the converter says so of every reply that Swagger 2.0 gives no type."""
    found: list[Object] = []

    def change(node: Object) -> Json:
        content = child(node, "content")
        if ANY not in content or _is_binary(document, child(content, ANY)):
            return node
        found.append(node)
        # What it has of JSON beside it, and that is examples without a schema, belongs together.
        told: Object = {**child(content, PLAIN), **child(content, ANY)}
        return {**node, "content": {PLAIN: told, **without(content, ANY, PLAIN)}}

    result = rebuild_document(document, change)
    if found:
        note(f"{len(found)} bodies or replies may be of any type: they are taken for JSON")
    return result


def _is_binary(document: Object, media: Object) -> bool:
    return text(child(followed(document, media.get("schema"))), "format") == "binary"


def keep_json_responses(document: Object, note: Note) -> Object:
    """Leave one type per response, JSON if there is any: the generator takes the first, here `text/plain`."""

    def change(label: str, operation: Object) -> Object:
        if "responses" not in operation:
            return operation
        replies: Object = {}
        for status, reply in child(operation, "responses").items():
            told = f"{label}: the answer {status}"
            if STATUS.fullmatch(status.upper()) or status.startswith("x-"):
                known = status.upper() if status.endswith("xx") else status
                replies[known] = _readable(document, told, reply, note)
            else:
                note(f"{told} is no status: it is left out")
        return {**operation, "responses": replies}

    return edit_operations(document, change)


def _readable(document: Object, label: str, reply: Json, note: Note) -> Json:
    if not isinstance(reply, dict) or "$ref" in reply:
        return reply
    result: Object = {**({} if "description" in reply else {"description": ""}), **reply}
    content = child(reply, "content")
    text_types = (name for name in content if name.startswith("text/"))
    name = _json_type(content, PROBLEM) or next(text_types, next(iter(content), None))
    return {**result, "content": _one_form(document, label, content, name, note)} if name else result


def _one_form(document: Object, label: str, content: Object, name: str, note: Note) -> Object:
    media = child(content[name])
    if not (_is_json(name) or name.startswith("text/")) or _is_binary(document, media):
        if name != BYTES:
            note(f"{label} of the type {name} comes as bytes")
        return {BYTES: {**media, "schema": BINARY}}
    _tell_others(f"{label} is read", content, name, note)
    return {_spelled(name): media} if _is_json(name) else {name: _as_text(document, label, media, note)}


def _as_text(document: Object, label: str, media: Object, note: Note) -> Object:
    kind = child(followed(document, media.get("schema"))).get("type", "string")
    if kind == "string" or kind == ["string", "null"]:
        return media
    note(f"{label} is text, not JSON, so it comes as a string")
    return {**media, "schema": {"type": "string"}}


def keep_json_requests(document: Object, note: Note) -> Object:
    """Leave one JSON type per request: with several, the generator would send `application/*+json`."""

    def change(label: str, operation: Object) -> Object:
        if "requestBody" not in operation:
            return operation
        return {**operation, "requestBody": _writable(label, operation["requestBody"], note)}

    return edit_operations(document, change)


def _writable(label: str, body: Json, note: Note) -> Json:
    content = child(body, "content")
    if not isinstance(body, dict) or not content:
        return body
    name = _json_type(content, PLAIN)
    if name:
        _tell_others(f"{label}: the body is sent", content, name, note)
        content = {_spelled(name): content[name]}
    return {**body, "content": {name: _with_schema(label, name, child(one), note) for name, one in content.items()}}


def _with_schema(label: str, name: str, media: Object, note: Note) -> Object:
    if name == BYTES:
        return {**media, "schema": BINARY}
    if isinstance(media.get("schema"), dict):
        return media
    note(f"{label}: the body has no schema: it takes any {'fields' if name in FORMS else 'JSON'}")
    return {**media, "schema": {"type": "object"} if name in FORMS else {}}


def _json_type(content: Object, first: str) -> str | None:
    wanted = [name for name in (first, PLAIN) if name in content]
    return next((name for name in [*wanted, *content] if _is_json(name)), None)


def _spelled(name: str) -> str:
    # A type of the vendor's own is part of the request; a wildcard, or JSON that calls itself text, is not.
    return name if "+json" in name and "*" not in name else PLAIN


def _tell_others(label: str, content: Object, kept: str, note: Note) -> None:
    """Tell of the types that are no other spelling of the one that is kept."""
    schema = child(content[kept]).get("schema")
    spellings = [name for name in content if _is_json(name) or re.search("text|xml", name)]
    same = [kept, *(name for name in spellings if child(content[name]).get("schema") in (schema, None))]
    others = [name for name in content if name not in same]
    if others:
        note(f"{label} as {kept}, and not as {', '.join(others)}")


def _is_json(name: str) -> bool:
    return re.search(r"[/+]json\b", name) is not None


def tell_calls_back(document: Object, note: Note) -> Object:
    """Tell of requests that the service would make: a client answers none."""
    if child(document, "webhooks"):
        note(f"the document has webhooks ({', '.join(child(document, 'webhooks'))}), which no client calls")

    def change(label: str, operation: Object) -> Object:
        if child(operation, "callbacks"):
            note(f"{label} has callbacks, which no client calls")
        return operation

    return edit_operations(document, change)
