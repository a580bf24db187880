"""Write shared parts where they are used: the generator, and the rules after these, look only there."""

from __future__ import annotations

from pipeline.document import METHODS, Json, Object, child, edit_operations, items, text
from pipeline.rules.walk import Note, followed, without

SECTIONS = ("parameters", "responses", "requestBodies", "pathItems")


def write_parts_where_used(document: Object, _note: Note) -> Object:
    """Replace references to parameters, responses and bodies, and move in what a path says for all its operations."""
    paths: Object = {path: _whole_item(document, item) for path, item in child(document, "paths").items()}
    result = {**document, "paths": paths} if "paths" in document else document
    components = child(document, "components")
    if any(section in components for section in SECTIONS):
        result = {**result, "components": without(components, *SECTIONS)}
    return result


def _whole_item(document: Object, item: Json) -> Json:
    item = followed(document, item)
    if not isinstance(item, dict):
        return item
    shared = [followed(document, one) for one in items(item.get("parameters"))]
    servers = {"servers": item["servers"]} if "servers" in item else {}
    return {
        key: _whole_operation(document, {**servers, **value}, shared)
        if key in METHODS and isinstance(value, dict)
        else value
        for key, value in without(item, "parameters", "servers").items()
    }


def _whole_operation(document: Object, operation: Object, shared: list[Json]) -> Object:
    result = dict(operation)
    own = [followed(document, one) for one in items(operation.get("parameters"))]
    named = {_identity(one) for one in own}
    parameters = [*own, *(one for one in shared if _identity(one) not in named)]
    if parameters:
        result["parameters"] = parameters
    if "responses" in operation:
        replies = child(operation, "responses").items()
        result["responses"] = {status: followed(document, reply) for status, reply in replies}
    if "requestBody" in operation:
        result["requestBody"] = followed(document, operation["requestBody"])
    return result


def _identity(parameter: Json) -> tuple[str, str]:
    return text(child(parameter), "name").lower(), text(child(parameter), "in")


def repeat_security(document: Object, _note: Note) -> Object:
    """Write the document's security on every operation: the generator reads it only there."""
    if "security" not in document:
        return document
    default = document["security"]

    def change(_label: str, operation: Object) -> Object:
        return operation if "security" in operation else {**operation, "security": default}

    return edit_operations(document, change)
