"""Apply an OpenAPI Overlay 1.0.0 document, and stop where one of its actions finds nothing.

An overlay that silently misses its target is how corrections get lost when the vendor's document changes.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TypeAlias, cast

import jsonpath_rfc9535 as jsonpath
from attrs import frozen
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pipeline.document import Json, Object, child, items, read_bytes, text
from pipeline.nearest import nearest, normalised_path
from pipeline.problems import PipelineError

Location: TypeAlias = "tuple[int | str, ...]"

KNOWN = {"target", "description", "update", "remove"}


@frozen
class Action:
    """One correction: where, why, and what to remove or to merge in."""

    name: str
    target: str
    reason: str
    remove: bool
    update: Json


def read_overlay(path: Path) -> list[Action]:
    """Read the actions of an overlay file. Raises `PipelineError` when it is not a usable overlay."""
    try:
        # The library leaves the type of its streams open.
        loaded = cast("Json", YAML(typ="safe", pure=True).load(read_bytes(path)))  # pyright: ignore[reportUnknownMemberType]
    except (YAMLError, UnicodeDecodeError) as error:
        where = " ".join(str(error).split())
        raise PipelineError(f"{path} is not YAML ({where}): correct the file.") from error
    document = child(loaded)
    if not text(document, "overlay").startswith("1.0."):
        raise PipelineError(f"{path} does not say `overlay: 1.0.0`, the only version understood: write it.")
    actions = items(document.get("actions"))
    if not actions:
        raise PipelineError(f"{path} has no list of actions: restore it from version control.")
    return [_action(child(entry), f"{path}, action {number}") for number, entry in enumerate(actions, 1)]


def _action(entry: Object, name: str) -> Action:
    target, reason, remove = text(entry, "target"), text(entry, "description"), entry.get("remove") is True
    if not target or not reason:
        raise PipelineError(f"{name} needs a target and a description, which is its reason: write both.")
    strange = [key for key in entry if key not in KNOWN and not key.startswith("x-")]
    if strange:
        raise PipelineError(f"{name} says {strange[0]!r}, which Overlay 1.0 does not know: correct it.")
    if remove == ("update" in entry):
        raise PipelineError(f"{name} ({target}) must either update or remove: give it one of the two.")
    return Action(name=name, target=target, reason=reason, remove=remove, update=entry.get("update"))


def apply_overlay(document: Object, actions: list[Action]) -> Object:
    """Return a copy with every action applied in order. Raises `PipelineError` when one matches nothing."""
    result = copy.deepcopy(document)
    for action in actions:
        # From the last to the first, so that removing from a list does not move what is still to be removed.
        for location in reversed(_find(result, action)):
            if action.remove:
                _remove(result, location, action)
            else:
                _update(_at(result, location), location, action)
    return result


def _find(document: Object, action: Action) -> list[Location]:
    try:
        found = {node.location for node in jsonpath.find(action.target, document)}
    except jsonpath.JSONPathError as error:
        why = " ".join(str(error).split())
        raise PipelineError(f"{action.name}: {action.target} is no JSONPath ({why}): correct it.") from error
    if not found:
        raise PipelineError(
            f"{action.name} matches nothing: there is no {action.target}, and the nearest existing path is "
            f"{nearest(document, action.target)}; correct the target, or drop the action if it is not needed."
        )
    return sorted(found)


def _at(document: Object, location: Location) -> Json:
    node: Json = document
    for key in location:
        node = cast("dict[int | str, Json]", node)[key]
    return node


def _remove(document: Object, location: Location, action: Action) -> None:
    if not location:
        raise PipelineError(f"{action.name} removes the whole document: name what is to go.")
    cast("dict[int | str, Json]", _at(document, location[:-1])).pop(location[-1])


def _update(value: Json, location: Location, action: Action) -> None:
    if isinstance(value, list):
        value.append(copy.deepcopy(action.update))
    elif isinstance(value, dict) and isinstance(action.update, dict):
        _merge(value, action.update)
    else:
        where = normalised_path(location)
        raise PipelineError(f"{action.name} cannot merge into {where}: target the object or list around it.")


def _merge(target: Object, update: Object) -> None:
    """Merge as Overlay 1.0.0 section 4.4.3 says: objects by member, lists appended, the rest replaced."""
    for key, value in update.items():
        old = target.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            _merge(old, value)
        elif isinstance(old, list) and isinstance(value, list):
            old.extend(copy.deepcopy(value))
        else:
            target[key] = copy.deepcopy(value)
