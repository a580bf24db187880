"""Apply an OpenAPI Overlay 1.0.0 document, and tell which actions find nothing, so that no correction gets lost."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import jsonpath_rfc9535 as jsonpath
from attrs import frozen
from jsonpath_rfc9535.selectors import NameSelector
from ruamel.yaml import YAML

from pipeline.decode import read_value, words_of
from pipeline.document import Json, Object, child, items, objects, read_bytes, text
from pipeline.problems import PipelineError, brief
from pipeline.walk import resolve

KNOWN = {"target", "description", "update", "remove"}
FEW = 8


@frozen
class Action:
    """One correction: where, why, and what to remove or to merge in; `line` is where it begins in the file."""

    name: str
    line: int
    target: str
    reason: str
    remove: bool
    update: Json


@frozen
class Missed:
    """An action that finds nothing, or that refers to what the document does not have."""

    action: Action
    there: str = ""  # how far its target leads
    name: str = ""  # what is not there
    names: tuple[str, ...] = ()  # what is there
    reference: str = ""

    def __str__(self) -> str:
        """Return a sentence that says what to do."""
        return f"{self.action.name} {self.told({}, {})}."

    def told(self, before: Object, renamed: Mapping[str, str]) -> str:
        """Return what to do, with the schema that stands in the place, else what is new there since the one before."""
        name = self.reference.rpartition("/")[2] or self.name
        instead = f"; `{renamed[name]}` stands in its place" if name in renamed else self._new_there(before)
        if self.reference:
            return f"refers to `{name}`, which is gone{instead}: correct it"
        where = f"{self.there} has no `{name}`" if name else f"there is no {self.action.target}"
        return f"finds nothing: {where}{instead}: correct the target, or drop it"

    def _new_there(self, before: Object) -> str:
        known = jsonpath.find_one(self.there, before) if self.there else None
        old = known.value if known else None
        new = [f"`{name}`" for name in self.names if isinstance(old, dict) and name not in old]
        return f"; new there: {', '.join(new)}" if 0 < len(new) <= FEW else ""


def read_overlay(path: Path) -> list[Action]:
    """Read the actions of an overlay file. Raises `PipelineError` when it is not a usable overlay."""
    words = words_of(read_bytes(path), str(path))
    document = child(read_value(words, str(path)))
    actions = items(document.get("actions"))
    if not text(document, "overlay").startswith("1.0.") or not actions:
        raise PipelineError(f"{path} has no list of actions, or does not say `overlay: 1.0.0`: write both.")
    # The library leaves the types of its streams and nodes open.
    nodes: list[Any] = cast("Any", YAML(typ="safe", pure=True)).compose(words).value
    entries = next(value.value for key, value in nodes if key.value == "actions")
    lines = [entry.start_mark.line + 1 for entry in entries]
    named = [(f"{path}, action {number}", line) for number, line in enumerate(lines, 1)]
    return [_action(child(entry), *one) for entry, one in zip(actions, named, strict=True)]


def _action(entry: Object, name: str, line: int) -> Action:
    target, reason, remove = text(entry, "target"), text(entry, "description"), entry.get("remove") is True
    strange = [key for key in entry if key not in KNOWN and not key.startswith("x-")]
    if not target or not reason or strange or remove == ("update" in entry):
        wanted = "a target, a description, which is its reason, and one of `update` and `remove: true`"
        raise PipelineError(f"{name} needs {wanted}, and may say nothing else: correct it.")
    return Action(name=name, line=line, target=target, reason=reason, remove=remove, update=entry.get("update"))


def apply_overlay(document: Object, actions: list[Action]) -> tuple[Object, tuple[Missed, ...]]:
    """Return a copy with the actions applied in order, and those that do not fit, which are left out."""
    result, missed = copy.deepcopy(document), list[Missed]()
    for action in actions:
        try:
            query = jsonpath.compile(action.target)
        except jsonpath.JSONPathError as error:
            why = f"{action.target} is no JSONPath ({brief(str(error))})"
            raise PipelineError(f"{action.name}: {why}: correct it.") from error
        found = {node.location: node for node in query.find(result)}
        references = [text(node, "$ref") for _, node in objects(action.update, ())]
        gone = [one for one in references if one and resolve(result, one) is None]
        if not found or gone:
            missed.append(Missed(action, reference=gone[0]) if found else _missed(result, action, query))
            continue
        # From the last to the first, so that removing from a list does not move what is still to be removed.
        for location in sorted(found, reverse=True):
            _apply(action, found[location])
    return result, tuple(missed)


def _missed(document: Object, action: Action, query: jsonpath.JSONPathQuery) -> Missed:
    """Return the action with the place that its target leads to, unless what is not there has no name."""
    there = jsonpath.find_one("$", document)
    for count, segment in enumerate(query.segments, 1):
        node = jsonpath.JSONPathQuery(env=query.env, segments=query.segments[:count]).find_one(document)
        (selector, *_) = segment.selectors
        if node is None and there and isinstance(there.value, dict) and isinstance(selector, NameSelector):
            return Missed(action, there.path(), selector.name, tuple(there.value))
        there = node
    return Missed(action)


def _apply(action: Action, node: jsonpath.JSONPathNode) -> None:
    if action.remove and node.parent is None:
        raise PipelineError(f"{action.name} removes the whole document: name what is to go.")
    if action.remove:
        cast("Any", node.parent).value.pop(node.location[-1])
    elif isinstance(node.value, list):
        node.value.append(copy.deepcopy(action.update))
    elif isinstance(node.value, dict) and isinstance(action.update, dict):
        _merge(node.value, action.update)
    else:
        raise PipelineError(f"{action.name} cannot merge into {node.path()}: target the object or list around it.")


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
