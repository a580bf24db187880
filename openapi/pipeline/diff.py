"""What changed between two documents, reduced to what the facade uses, under the method that callers know it by.

redocly compares; here is said what that means for a facade whose types are the document's. A change is one of three
things: the type checker judges it, the generated client follows it by itself, or nobody sees it. Only the last is for
a person to look at.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from pipeline.carry import referred, select
from pipeline.document import Json, Object, child, dump, items, operations, pointer, rebuild_document, text
from pipeline.expected import TOLERATED
from pipeline.generate import RAW
from pipeline.judge import Row
from pipeline.layout import Layout
from pipeline.naming import NAMES, identifier
from pipeline.private import MARK as PRIVATE
from pipeline.provenance import HOST, MARK, host
from pipeline.tools import REDOCLY, ToolFailed, run_tool
from pipeline.walk import resolve

OURS = (MARK, PRIVATE, TOLERATED, RAW, HOST)
# By the rule of redocly that tells of it. What is in neither list and major is for a person.
JUDGED = {
    *("property-removed", "required-properties-added", "required-properties-removed", "schema-combinator-changed"),
    *("enum-values-added", "enum-values-removed", "schema-type-changed", "parameter-removed"),
    *("parameter-became-required", "request-body-removed", "request-body-became-required"),
}
FOLLOWED = {"response-removed", "response-header-removed", "media-type-removed", "operation-id-changed"}
FEW = 8
Call: TypeAlias = "tuple[str, str]"
"""A path and a method."""


class Weight(enum.IntEnum):
    """How much a change is a person's business."""

    LOOK = 0
    """It may break the facade and no type shows it: somebody looks, and then takes it."""
    READ = 1
    """No type shows it, but it stops nobody."""
    JUDGED = 2
    """It may break the facade, and the type checker says whether it does."""
    HARMLESS = 3
    """It adds something, or the generated client follows it."""


@frozen
class Change:
    """One change: what it is, where in the new document (in the old one when it is gone), and whom it concerns."""

    weight: Weight
    text: str
    place: str
    methods: tuple[str, ...]


def changes(layout: Layout, old: Object, new: Object, table: Sequence[Row], folder: Path) -> list[Change]:
    """Return what changed for the operations of that table, most serious first; `folder` is for redocly's two files.

    Raises `ToolsMissing` when redocly is not to be had here, and `ToolFailed` when it cannot compare the documents.
    """
    used = {row.operation: row.used_by for row in table}
    before, after = (_calls(document, used) for document in (old, new))
    both = {name: call for name, call in after.items() if name in before}
    aligned = _aligned(old, {before[name]: call for name, call in both.items()})
    ours, theirs = (_reduced(document, both.values()) for document in (aligned, new))
    found = [*_moved(before, both, used), *_answered(old, new, before, both, used)]
    for entry in _compared(layout, ours, theirs, folder):
        found += _told(layout, entry, ours, theirs, {call: used[name] for name, call in both.items()})
    return sorted(dict.fromkeys(found), key=lambda one: one.weight)


def _calls(document: Object, used: Iterable[str]) -> dict[str, Call]:
    named = {text(one, "operationId"): (path, method) for path, method, one in operations(document)}
    return {name: named[name] for name in used if name in named}


def _reduced(document: Object, calls: Iterable[Call]) -> Object:
    """Return a document of those operations only, without our marks."""
    kept: Object = {key: document[key] for key in ("openapi", "servers") if key in document}
    less: Object = {**kept, "info": {"title": "", "version": ""}, "paths": {}, **select(document, calls)}
    return rebuild_document(less, lambda node: {k: v for k, v in node.items() if not k.startswith(OURS)})


def _aligned(document: Object, moved: dict[Call, Call]) -> Object:
    """Return a document whose operations stand where the new one has them, under its names for parts of the path."""
    paths: Object = {}
    for (path, method), (there, other) in moved.items():
        renamed = dict(zip(_names(path), _names(there), strict=False))
        operation = child(document, "paths", path, method)
        parameters: list[Json] = [_renamed(child(one), renamed) for one in items(operation.get("parameters"))]
        told: Object = {**operation, **({"parameters": parameters} if parameters else {})}
        paths[there] = {**child(paths, there), other: told}
    return {**document, "paths": paths}


def _names(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _renamed(parameter: Object, names: dict[str, str]) -> Object:
    name = text(parameter, "name")
    return {**parameter, "name": names.get(name, name)} if parameter.get("in") == "path" else parameter


def _moved(before: dict[str, Call], after: dict[str, Call], used: dict[str, str]) -> Iterator[Change]:
    for name, (path, method) in after.items():
        if before[name] != (path, method):
            told = f"`{name}` is {shown((path, method))} now, no longer {shown(before[name])}; the client follows"
            yield Change(Weight.HARMLESS, told, pointer(("paths", path, method)), (used[name],))


def _answered(
    old: Object, new: Object, before: dict[str, Call], after: dict[str, Call], used: dict[str, str]
) -> Iterator[Change]:
    for name, (path, method) in after.items():
        was = host(old, child(old, "paths", before[name][0], before[name][1]))
        now = host(new, child(new, "paths", path, method))
        if was != now:
            told = f"`{name}` is answered by the {now} host now, no longer by the {was} one"
            weight = Weight.JUDGED if now == "elsewhere" else Weight.HARMLESS
            told += "" if weight is Weight.JUDGED else "; the client follows"
            yield Change(weight, told, pointer(("paths", path, method, "servers")), (used[name],))


def shown(call: Call) -> str:
    """Return an operation as people write it."""
    return f"{call[1].upper()} {call[0]}"


def _compared(layout: Layout, old: Object, new: Object, folder: Path) -> list[Object]:
    before, after = folder / "before.json", folder / "after.json"
    before.write_bytes(dump(old))
    after.write_bytes(dump(new))
    told = run_tool(layout, REDOCLY, "diff", str(before), str(after), "--format", "json", "--fail-on", "none")
    try:
        report: Json = json.loads(told)
    except ValueError as error:
        raise ToolFailed("what it printed is no JSON") from error
    if "changes" not in child(report):
        raise ToolFailed("what it printed is no report")
    return [child(one) for one in items(child(report)["changes"])]


def _told(layout: Layout, entry: Object, old: Object, new: Object, used: dict[Call, str]) -> Iterator[Change]:
    """Yield what one entry of redocly means."""
    where = text(child(entry, "revision"), "pointer") or text(child(entry, "base"), "pointer") or text(entry, "path")
    verdicts = [child(one) for one in items(entry.get("verdicts"))] or [{}]
    methods = _methods(where, new if "revision" in entry else old, used)
    for verdict in verdicts:
        told = _gone_and_new(entry) or text(verdict, "message").removesuffix(".") or _sentence(entry)
        yield Change(_weight(layout, entry, verdict), told + _beside(entry, old, new), where, methods)


def _methods(where: str, document: Object, used: dict[Call, str]) -> tuple[str, ...]:
    """Return the methods of the facade that a place concerns: those of its operation, or of all that refer to it."""
    keys = [step.replace("~1", "/").replace("~0", "~") for step in where.removeprefix("#/").split("/")]
    if keys[0] == "paths" and len(keys) > 1:
        return tuple(dict.fromkeys(method for call, method in used.items() if call[0] == keys[1] and call[1] in where))
    if keys[:2] != ["components", "schemas"]:
        return tuple(dict.fromkeys(used.values()))
    schemas = child(document, "components", "schemas")
    reached = (
        method
        for call, method in used.items()
        if keys[2] in referred(child(document, "paths", call[0], call[1]), schemas)
    )
    return tuple(dict.fromkeys(reached))


def _weight(layout: Layout, entry: Object, verdict: Object) -> Weight:
    rule = text(verdict, "ruleId")
    if (text(verdict, "impact") or text(entry, "impact")) != "major" or rule in FOLLOWED:
        return Weight.HARMLESS
    if rule not in JUDGED or _is_blind(rule, entry):
        return Weight.LOOK if _is_read(layout, entry) else Weight.HARMLESS
    return Weight.JUDGED


def _is_blind(rule: str, entry: Object) -> bool:
    """Tell whether the types cannot show it: what may be anything, a truth for a number, and what a number means."""
    old, new = (child(entry, side).get("value") for side in ("base", "revision"))
    if rule.startswith("enum-values"):
        return any(isinstance(one, int) for side in (old, new) for one in items(side))
    kinds, before = (set(map(str, items(one) or [one])) for one in (new, old))
    return rule == "schema-type-changed" and (new is None or ("boolean" in kinds and not before & {"boolean"}))


def _is_read(layout: Layout, entry: Object) -> bool:
    """Tell whether the facade reads that member of a reply; everything else counts as used."""
    name = re.search(r"/responses/.*/properties/([^/]+)$", text(entry, "path"))
    if name is None:
        return True
    word = re.compile(rf"\.{identifier(name[1])}\b")
    return any(word.search(path.read_text(encoding="utf-8")) for path in layout.wire.glob("*.py"))


def _gone_and_new(entry: Object) -> str:
    """Say of what redocly takes for a new name only what is known: that one is gone, and another is new."""
    if text(entry, "kind") != "modified" or text(entry, "property") not in ("name", "key"):
        return ""
    old, new = (child(entry, side).get("value") for side in ("base", "revision"))
    return f"{_place(entry)}: {_value(old)} is gone, {_value(new)} is new"


def _beside(entry: Object, old: Object, new: Object) -> str:
    """Name what is new beside a member that is gone."""
    where = text(child(entry, "base"), "pointer")
    if text(entry, "kind") != "removed" or "/properties/" not in where:
        return ""
    holder = where.rpartition("/")[0]
    # The same schema may have another name in the new document: then it is found where the old one was used.
    inside = text(entry, "path").rpartition("/")[0]
    now = child(resolve(new, holder)) or child(resolve(new, inside))
    fresh = [f"`{name}`" for name in now if name not in child(resolve(old, holder))]
    return f"; new beside it: {_few(fresh)}" if fresh else ""


def _sentence(entry: Object) -> str:
    what, member, kind = _place(entry), text(entry, "property"), text(entry, "kind")
    value = child(entry, "revision").get("value")
    if kind == "modified" and member == "description":
        return f"{what} is described as “{' '.join(str(value).split())}” now"
    if kind == "modified" and member:
        before = child(entry, "base").get("value")
        return f"`{member}` of {what} is {_value(value)} now, no longer {_value(before)}"
    if kind == "added" and text(entry, "typeName") == "Parameter":
        default = child(value, "schema").get("default")
        without = f", and the service takes {_value(default)} without it" if default is not None else ""
        named = f"the optional {text(child(value), 'in')} parameter `{text(child(value), 'name')}`"
        return f"{named} is new; it is not sent{without}"
    return f"{what} is {'new' if kind == 'added' else kind}"


def _place(entry: Object) -> str:
    words = [word.replace("~1", "/").replace("~0", "~") for word in text(entry, "path").removeprefix("#/").split("/")]
    if words[0] == "paths" and len(words) > 2:
        return " ".join([f"{words[2].upper()} {words[1]}", *(word for word in words[3:] if word != "properties")])
    return "/".join(words)


def _value(value: Json) -> str:
    written = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return f"`{written[:60]}{'…' if len(written) > 60 else ''}`" if value is not None else "not said"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")


def gone(old: Object, new: Object, name: str, call: Call) -> str:
    """Say that an operation is gone, and where it is when that is near certain: else which operations are new."""
    known = {(path, method) for path, method, _ in operations(old)}
    fresh = [(path, method) for path, method, _ in operations(new) if (path, method) not in known]
    same = [one for one in fresh if _bare(one[0]) == _bare(call[0]) and (one[1] == call[1] or one[0] == call[0])]
    told = f"{shown(call)}, our `{name}`, is gone"
    if len(same) == 1:
        return f"{told}; it is {shown(same[0])}: pin it to $.paths['{same[0][0]}'].{same[0][1]}"
    return f"{told}; these are new: {_few([shown(one) for one in fresh])}" if fresh else told


def _bare(path: str) -> str:
    """Return a path without what may differ when it is the same: case, version, names of ids, a slash at the end."""
    return re.sub(r"/v\d+(\.\d+)*(?=/)|/api(?=/)|/$", "", re.sub(r"\{[^}]*\}", "{}", path.lower()))


def new_operations(old: Object, new: Object) -> list[str]:
    """Return the operations that the old document did not have."""
    known = {text(one, "operationId") for *_, one in operations(old)}
    return [shown((path, method)) for path, method, one in operations(new) if text(one, "operationId") not in known]


def numbers(old: Object, new: Object, used: Iterable[str]) -> Iterator[Change]:
    """Yield the enumerations of numbers that changed or are new: what a number means, only a person can read."""
    calls = _calls(new, used)
    schemas = child(new, "components", "schemas")
    reached = {name for path, method in calls.values() for name in referred(child(new, "paths", path, method), schemas)}
    for name in [name for name in schemas if name in reached]:
        one, before = child(schemas[name]), child(old, "components", "schemas", name)
        if "integer" in (items(one.get("type")) or [one.get("type")]) and "enum" in one and not _same(one, before):
            words = " ".join(text(one, "description").split())
            told = f"what the numbers of `{name}` mean is {f'described as “{words}”' if words else 'not described'}"
            called = f"they are called {_few([str(value) for value in items(one.get(NAMES))])} here"
            told += f"; {called if NAMES in one else f'name them with {NAMES} in openapi/overlay.yaml'}"
            yield Change(Weight.READ, told, pointer(("components", "schemas", name)), ())


def _same(one: Object, other: Object) -> bool:
    return all(one.get(key) == other.get(key) for key in ("enum", NAMES, "description"))


def readable_classes(old: Object, new: Object) -> Iterator[str]:
    """Yield the new schemas whose class will show its fields in its `repr`: somebody must say if that is right."""
    known, schemas = (child(document, "components", "schemas") for document in (old, new))
    for name, schema in schemas.items():
        if name not in known and child(schema, "properties") and child(schema).get(PRIVATE) is not True:
            yield f"the class {name} is new and shows its fields when printed: mark it x-private if that must not be"
