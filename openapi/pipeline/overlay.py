"""Apply an OpenAPI Overlay 1.0.0 document, and tell which of its actions find nothing.

An overlay that silently misses its target is how corrections get lost when the vendor's document changes.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import jsonpath_rfc9535 as jsonpath
from attrs import frozen
from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode

from pipeline.decode import read_yaml
from pipeline.document import Json, Object, child, items, objects, read_bytes, text
from pipeline.problems import PipelineError
from pipeline.walk import resolve

Location: TypeAlias = "tuple[int | str, ...]"

KNOWN = {"target", "description", "update", "remove"}
FEW = 8
STEP = re.compile(
    r"""\.(?P<plain>[\w$-]+)|\[\s*(?:'(?P<single>(?:[^'\\]|\\.)*)'|"(?P<double>(?:[^"\\]|\\.)*)"|(?P<index>\d+))\s*\]"""
)


@frozen
class Action:
    """One correction: where, why, and what to remove or to merge in; `line` is its target's in the file."""

    name: str
    line: int
    target: str
    reason: str
    remove: bool
    update: Json


@frozen
class Missed:
    """An action that finds nothing, or, if there is a `reference`, that refers to what the document does not have.

    `there` is how far its target leads, `name` what is not there, and `names` what is.
    """

    action: Action
    there: Location
    name: str
    names: tuple[str, ...] = ()
    reference: str = ""

    def __str__(self) -> str:
        """Return a sentence that says what to do."""
        return f"{self.action.name} {self.told({}, {})}."

    def told(self, before: Object, renamed: Mapping[str, str]) -> str:
        """Return a sentence that says what to do.

        It names the schema that stands in the place of one that is gone, else what is new there since the document
        before.
        """
        name = self.reference.rpartition("/")[2] or self.name
        instead = f"`{renamed[name]}` stands in its place" if name in renamed else self._new_there(before)
        if self.reference:
            return f"refers to `{name}`, which is gone{f'; {instead}' if instead else ''}: correct it"
        where = f"{normalised_path(self.there)} has no `{name}`" if name else f"there is no {self.action.target}"
        return f"finds nothing: {where}{f'; {instead}' if instead else ''}: correct the target, or drop it"

    def _new_there(self, before: Object) -> str:
        known = _maybe_at(before, self.there)
        new = [f"`{name}`" for name in self.names if isinstance(known, dict) and name not in known]
        return f"new there: {', '.join(new)}" if 0 < len(new) <= FEW else ""


def read_overlay(path: Path) -> list[Action]:
    """Read the actions of an overlay file. Raises `PipelineError` when it is not a usable overlay."""
    try:
        words = read_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise PipelineError(f"{path} is not UTF-8 at byte {error.start}: save it as UTF-8.") from error
    document = child(read_yaml(words, str(path)))
    if not text(document, "overlay").startswith("1.0."):
        raise PipelineError(f"{path} does not say `overlay: 1.0.0`, the only version understood: write it.")
    actions = items(document.get("actions"))
    if not actions:
        raise PipelineError(f"{path} has no list of actions: restore it from version control.")
    lines = _target_lines(words)
    numbered = enumerate(actions, 1)
    return [_action(child(entry), f"{path}, action {number}", lines.get(number, 0)) for number, entry in numbered]


def _target_lines(words: str) -> dict[int, int]:
    """Return the line of each action's target, by the action's number."""
    # The library leaves the types of its streams and nodes open.
    node = cast("Any", YAML(typ="safe", pure=True)).compose(words)
    actions: list[Any] = next((value.value for key, value in node.value if key.value == "actions"), [])
    return {
        number: key.start_mark.line + 1
        for number, entry in enumerate(actions, 1)
        if isinstance(entry, MappingNode)
        for key, _ in entry.value
        if key.value == "target"
    }


def _action(entry: Object, name: str, line: int) -> Action:
    target, reason, remove = text(entry, "target"), text(entry, "description"), entry.get("remove") is True
    if not target or not reason:
        raise PipelineError(f"{name} needs a target and a description, which is its reason: write both.")
    strange = [key for key in entry if key not in KNOWN and not key.startswith("x-")]
    if strange:
        raise PipelineError(f"{name} says {strange[0]!r}, which Overlay 1.0 does not know: correct it.")
    if remove == ("update" in entry):
        raise PipelineError(f"{name} ({target}) must either update or remove: give it one of the two.")
    return Action(name=name, line=line, target=target, reason=reason, remove=remove, update=entry.get("update"))


def apply_overlay(document: Object, actions: list[Action]) -> tuple[Object, tuple[Missed, ...]]:
    """Return a copy with the actions applied in order, and those that do not fit, which are left out.

    Raises `PipelineError` for an action that cannot be applied to what it matches.
    """
    result, missed = copy.deepcopy(document), list[Missed]()
    for action in actions:
        found = _find(result, action)
        reference = _in_vain(result, action.update)
        if not found or reference:
            missed.append(_missed(result, action, reference if found else ""))
            continue
        # From the last to the first, so that removing from a list does not move what is still to be removed.
        for location in reversed(found):
            if action.remove:
                _remove(result, location, action)
            else:
                _update(_at(result, location), location, action)
    return result, tuple(missed)


def _missed(document: Object, action: Action, reference: str) -> Missed:
    there, node = list[int | str](), cast("Json", document)
    for step in _steps(action.target):
        if isinstance(node, dict) and step not in node:
            return Missed(action, tuple(there), str(step), tuple(node), reference)
        node = _maybe_at(document, (*there, step))
        there.append(step)
    return Missed(action, tuple(there), "", reference=reference)


def _steps(target: str) -> Iterator[int | str]:
    position = 1
    while match := STEP.match(target, position):
        position = match.end()
        word = match["plain"] or match["single"] or match["double"]
        yield int(match["index"]) if match["index"] else re.sub(r"\\(.)", r"\1", word or "")


def _maybe_at(document: Object, location: Iterable[int | str]) -> Json:
    node: Json = document
    for key in location:
        if isinstance(node, dict) and key in node:
            node = node[str(key)]
        elif isinstance(node, list) and isinstance(key, int) and key < len(node):
            node = node[key]
        else:
            return None
    return node


def normalised_path(location: Iterable[int | str]) -> str:
    """Return a location as a normalised path writes it (RFC 9535 section 2.7)."""
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f"[{_quoted(key)}]" for key in location)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _in_vain(document: Object, update: Json) -> str:
    """Return the first reference in an update that leads nowhere."""
    references = (text(node, "$ref") for _, node in objects(update, ()))
    return next((one for one in references if one and resolve(document, one) is None), "")


def _find(document: Object, action: Action) -> list[Location]:
    try:
        found = {node.location for node in jsonpath.find(action.target, document)}
    except jsonpath.JSONPathError as error:
        why = " ".join(str(error).split())
        raise PipelineError(f"{action.name}: {action.target} is no JSONPath ({why}): correct it.") from error
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
