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
from pipeline.document import (
    Json,
    Object,
    child,
    dump,
    edit_operations,
    items,
    objects,
    operations,
    pointer,
    rebuild_document,
    text,
)
from pipeline.expected import TOLERATED
from pipeline.generate import RAW
from pipeline.judge import Row
from pipeline.layout import Layout
from pipeline.naming import DEFAULT, NAMES, identifier
from pipeline.private import MARK as PRIVATE
from pipeline.provenance import HOST, MARK, host
from pipeline.servers import hosts
from pipeline.tools import REDOCLY, ToolFailed, run_tool
from pipeline.walk import SCHEMAS, resolve, without

OURS = (MARK, PRIVATE, TOLERATED, RAW, HOST, NAMES)
# By the rule of redocly that tells of it. What is in neither list and major is for a person.
JUDGED = {
    *("property-removed", "required-properties-added", "required-properties-removed", "schema-combinator-changed"),
    *("enum-values-added", "enum-values-removed", "schema-type-changed", "parameter-removed"),
    *("parameter-became-required", "request-body-removed", "request-body-became-required"),
}
FOLLOWED = {"response-removed", "response-header-removed", "operation-id-changed"}
# How large a number is, which no type of Python says.
SIZES = ("int32", "int64", "float", "double")
# What the types show of a text.
SEEN = (None, "uuid", "date", "date-time", "binary")
WORDS = ("description", "summary", "example", "operationId", "bearerFormat")
ERROR = re.compile(r"(#/paths/[^/]+/[a-z]+)/responses/([45]\d\d|default)\b")
CHANGED: Object = {"ruleId": "schema-type-changed", "impact": "major"}
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
    found = [*_moved(before, both, used), *_answered(old, new, before, both, used)]
    methods = {call: used[name] for name, call in both.items()}
    for place, one, other in paired(aligned, new, both.values()):
        if (words := _words(other)) and words != _words(one) and not _is_numbers(other):
            told = f"{named(place)} is described as “{words}” now"
            found.append(Change(Weight.READ, told, place, _methods(place, new, methods)))
    ours, theirs = (_reduced(document, both.values()) for document in (aligned, new))
    entries = list(_without_repeats(_compared(layout, ours, theirs, folder)))
    for entry in entries:
        found += _told(layout, entry, ours, theirs, methods)
    found += _errors(entries, methods)
    return sorted(dict.fromkeys(found), key=lambda one: one.weight)


def paired(old: Object, new: Object, calls: Iterable[Call]) -> Iterator[tuple[str, Object, Object]]:
    """Yield the parts that stand at the same place of both documents, with that place in the new one.

    Where a reference leads in one document, there it leads in the other, whatever the schemas are called.
    """
    todo: list[tuple[str, Object, Object]] = [
        (pointer(("paths", *call)), child(old, "paths", *call), child(new, "paths", *call)) for call in calls
    ]
    seen: set[tuple[str, str]] = set()
    while todo:
        place, one, other = todo.pop(0)
        references = text(one, "$ref"), text(other, "$ref")
        yield place, one, other
        if all(references) and references not in seen:
            seen.add(references)
            todo.append((references[1], child(resolve(old, references[0])), child(resolve(new, references[1]))))
        todo += _inner(place, one, other)


def _inner(place: str, one: Object, other: Object) -> Iterator[tuple[str, Object, Object]]:
    for key, value in one.items():
        there = other.get(key) if key != "servers" else None
        if isinstance(value, list) and isinstance(there, list):
            named = {_key(part): part for part in map(child, value)}
            pairs = [(f"{key}/{number}", named.get(_key(part)), part) for number, part in enumerate(map(child, there))]
        else:
            pairs = [(key.replace("~", "~0").replace("/", "~1"), child(value), child(there))]
        yield from ((f"{place}/{step}", before, after) for step, before, after in pairs if before and after)


def _key(part: Object) -> str:
    return f"{text(part, 'in')} {text(part, 'name')} {text(part, '$ref')}"


def renamed(old: Object, new: Object, used: Iterable[str]) -> dict[str, str]:
    """Return the schemas that are gone, each with the one that stands in its place."""
    before, after = (_calls(document, used) for document in (old, new))
    both = {name: call for name, call in after.items() if name in before}
    aligned = _aligned(old, {before[name]: call for name, call in both.items()})
    found = (
        (text(one, "$ref").removeprefix(SCHEMAS), text(other, "$ref").removeprefix(SCHEMAS))
        for _, one, other in paired(aligned, new, both.values())
    )
    there = child(new, "components", "schemas")
    return {name: instead for name, instead in found if name and instead and name not in there}


def _words(node: Object) -> str:
    return " ".join(text(node, "description").split())


def _without_repeats(entries: list[Object]) -> Iterator[Object]:
    """Yield entries without new schemas, which are told where they are used, and a changed parameter as one entry."""
    gone = {_parameter(one, "base"): one for one in entries if text(one, "kind") == "removed"}
    fresh = {_parameter(one, "revision"): one for one in entries if text(one, "kind") == "added"}
    for one in entries:
        if (key := _parameter(one, "base")) and key in fresh:
            yield {**fresh[key], **one, "kind": "modified", "property": "schema", "verdicts": [CHANGED]}
        elif not ((key := _parameter(one, "revision")) and key in gone):
            yield from [] if re.fullmatch("#/components/schemas/[^/]+", text(one, "path")) else [one]


def _parameter(entry: Object, side: str) -> str:
    value = child(entry, side, "value")
    if text(entry, "typeName") != "Parameter" or (side == "base") != (text(entry, "kind") == "removed"):
        return ""
    return f"{text(entry, 'path').rpartition('/')[0]} {text(value, 'in')} {text(value, 'name')}"


def _calls(document: Object, used: Iterable[str]) -> dict[str, Call]:
    named = {text(one, "operationId"): (path, method) for path, method, one in operations(document)}
    return {name: named[name] for name in used if name in named}


def _reduced(document: Object, calls: Iterable[Call]) -> Object:
    """Return a document of those operations only, without our marks and without words: redocly matches lists whole."""
    kept: Object = {key: document[key] for key in ("openapi", "servers") if key in document}
    # The servers of an operation are told by themselves.
    bare = edit_operations(document, lambda _, one: without(one, "servers"))
    less: Object = {**kept, "info": {"title": "", "version": ""}, "paths": {}, **select(bare, calls)}
    return rebuild_document(less, _bare)


def _bare(node: Object) -> Object:
    """Return a part without what redocly should not look at; a reference that may be null is what it refers to."""
    kept: Object = {key: value for key, value in node.items() if not _is_left_out(key, value)}
    branches = [one for one in items(kept.get("anyOf")) if one != {"type": "null"}]
    return {**child(branches[0]), **{k: v for k, v in kept.items() if k != "anyOf"}} if len(branches) == 1 else kept


def _is_left_out(key: str, value: Json) -> bool:
    if key.startswith(OURS) or (key == "format" and value in SIZES):
        return True
    return (key in WORDS and not isinstance(value, dict)) or (key == "additionalProperties" and not child(value))


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
    """Yield the operations that have another host."""
    for name, call in after.items():
        one, other = child(old, "paths", *before[name]), child(new, "paths", *call)
        was, now = host(old, one), host(new, other)
        at = ", ".join(sorted(hosts(other)))
        place, methods = pointer(("paths", *call, "servers")), (used[name],)
        if now == "elsewhere":
            yield Change(Weight.JUDGED, f"`{name}` is answered at {at}, which is none of the two hosts", place, methods)
        elif was != now:
            told = f"`{name}` is answered by the {now} host now, no longer by the {was} one; the client follows"
            yield Change(Weight.HARMLESS, told, place, methods)
        elif hosts(one) != hosts(other) and at:
            yield Change(Weight.LOOK, f"`{name}` is answered at {at} now", place, methods)
    known = {url for _, url in _token_addresses(old)}
    for place, url in _token_addresses(new):
        if url not in known and not hosts({"servers": [{"url": url}]}) <= _identity_hosts(new):
            yield Change(Weight.LOOK, f"the document has tokens given out at {url}", place, tuple(used.values())[:1])


def _token_addresses(document: Object) -> Iterator[tuple[str, str]]:
    keys = ("components", "securitySchemes")
    for place, one in objects(child(document, *keys), keys):
        if address := text(one, "tokenUrl"):
            yield pointer((*place, "tokenUrl")), address


def _identity_hosts(document: Object) -> set[str]:
    return {name for *_, one in operations(document) if host(document, one) == "identity" for name in hosts(one)}


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


def _errors(entries: Iterable[Object], used: dict[Call, str]) -> Iterator[Change]:
    """Yield one sentence an operation for what changed about its errors, which are judged by their status."""
    statuses: dict[str, dict[str, None]] = {}
    for entry in entries:
        if found := ERROR.match(text(entry, "path")):
            statuses.setdefault(found[1], {})[found[2]] = None
    for place, several in statuses.items():
        told = f"what {named(place)} says of the errors {', '.join(several)} changed; they are judged as before"
        yield Change(Weight.HARMLESS, told, f"{place}/responses", _methods(place, {}, used))


def _told(layout: Layout, entry: Object, old: Object, new: Object, used: dict[Call, str]) -> Iterator[Change]:
    """Yield what one entry of redocly means."""
    where = text(child(entry, "revision"), "pointer") or text(child(entry, "base"), "pointer") or text(entry, "path")
    if ERROR.match(where):
        return
    methods = _methods(where, new if "revision" in entry else old, used)
    for verdict in [child(one) for one in items(entry.get("verdicts"))] or [{}]:
        told = _gone_and_new(entry, where) or _gone(entry, where)
        told = told or _message(verdict, where) or _sentence(entry, where)
        yield Change(_weight(layout, entry, verdict), told, where, methods)


def _message(verdict: Object, where: str) -> str:
    """Return redocly's sentence, with the operation that it is about; of any other type it says "widened"."""
    message = text(verdict, "message").removesuffix(".")
    if not message or text(verdict, "ruleId") == "schema-type-changed":
        return ""
    part = re.match(r"#/paths/[^/]+/[a-z]+(/responses/[^/]+|/requestBody)?", where)
    return f"{named(part[0])}: {message}" if part else message


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
    if rule == "media-type-removed":
        return Weight.HARMLESS if "/requestBody/" in text(entry, "path") else Weight.JUDGED
    if _is_shown(rule, entry):
        return Weight.JUDGED
    return Weight.LOOK if _is_read(layout, entry) else Weight.HARMLESS


def _is_shown(rule: str, entry: Object) -> bool:
    """Tell whether the types show it: not what may be anything, a truth for a number, and what a number means."""
    old, new = (child(entry, side).get("value") for side in ("base", "revision"))
    if rule == "schema-constraint-changed":
        member = text(entry, "property")
        old, new = (one.get("format") if isinstance(one, dict) else one for one in (old, new))
        return member == "format" and old in SEEN and new in SEEN
    if rule.startswith("enum-values"):
        return not any(isinstance(one, int) for side in (old, new) for one in items(side))
    kinds, before = (set(map(str, items(one) or [one])) for one in (new, old))
    return rule in JUDGED and not (
        rule == "schema-type-changed" and (new is None or ("boolean" in kinds and "boolean" not in before))
    )


def _is_read(layout: Layout, entry: Object) -> bool:
    """Tell whether the facade reads that member of a reply; everything else counts as used."""
    name = re.search(r"/responses/.*/properties/([^/]+)$", text(entry, "path"))
    if name is None:
        return True
    word = re.compile(rf"\.{identifier(name[1])}\b")
    return any(word.search(path.read_text(encoding="utf-8")) for path in layout.wire.glob("*.py"))


def _gone_and_new(entry: Object, where: str) -> str:
    """Say of what redocly takes for a new name only what is known: that one is gone, and another is new."""
    if text(entry, "kind") != "modified" or text(entry, "property") not in ("name", "key"):
        return ""
    old, new = (child(entry, side).get("value") for side in ("base", "revision"))
    place = re.sub(r"/parameters/\d+/name$|(/properties)?/[^/]+$", "", where)
    return f"{named(place)}: `{old}` is gone, and `{new}` is new"


def _gone(entry: Object, where: str) -> str:
    return f"{named(where)} is gone" if text(entry, "kind") == "removed" and "/properties/" in where else ""


def _sentence(entry: Object, where: str) -> str:
    what, member, kind = named(where), text(entry, "property"), text(entry, "kind")
    old, new = (child(entry, side).get("value") for side in ("base", "revision"))
    if text(entry, "typeName") == "Parameter" and kind != "removed":
        what = f"the {text(child(new), 'in')} parameter `{text(child(new), 'name')}`"
    if kind == "modified" and member:
        old, new = (child(one).get(member, one) for one in (old, new))
        what = named(where.removesuffix(f"/{member}"))
        if member == DEFAULT:
            return f"without {what} the service takes {_value(new)} now, and {_value(old)} before"
        if old is None or new is None:
            return f"`{member}` of {what} is {f'{_value(new)} now' if old is None else f'{_value(old)} no more'}"
        return f"`{member}` of {what} is {_value(new)} now, no longer {_value(old)}"
    if kind == "added" and text(entry, "typeName") == "Parameter":
        default = child(new, "schema").get(DEFAULT)
        without = f"; the service takes {_value(default)} without it" if default is not None else ""
        return f"{what} is new and optional, and not sent{without}"
    return f"{what} is {'new' if kind == 'added' else kind}"


def named(place: str) -> str:
    """Return a place as people say it: the member of a schema, or the part of an operation."""
    words = [word.replace("~1", "/").replace("~0", "~") for word in place.removeprefix("#/").split("/")]
    if words[:2] == ["components", "schemas"]:
        member = f"`{'.'.join(word for word in words[2:] if word != 'properties')}`"
        return f"every member of {member}" if words[-1] == "properties" else member
    if words[0] == "paths" and len(words) > 2:
        return " ".join([f"{words[2].upper()} {words[1]}", *words[3:]])
    return " ".join(words)


def _value(value: Json) -> str:
    written = json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else value
    return f"`{written[:60]}{'…' if len(written) > 60 else ''}`"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")


def gone(old: Object, new: Object, name: str, call: Call) -> str:
    """Say that an operation is gone, and where it is when that is near certain: else which operations are new."""
    known = {(path, method) for path, method, _ in operations(old)}
    fresh = [(path, method) for path, method, _ in operations(new) if (path, method) not in known]
    same = [one for one in fresh if _essence(one[0]) == _essence(call[0]) and (one[1] == call[1] or one[0] == call[0])]
    told = f"{shown(call)}, our `{name}`, is gone"
    if len(same) == 1:
        return f"{told}; it is {shown(same[0])}: pin it to $.paths['{same[0][0]}'].{same[0][1]}"
    return f"{told}; these are new: {_few([shown(one) for one in fresh])}" if fresh else told


def _essence(path: str) -> str:
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
        if _is_numbers(one) and not _same(one, before):
            words = " ".join(text(one, "description").split())
            told = f"what the numbers of `{name}` mean is {f'described as “{words}”' if words else 'not described'}"
            called = f"they are called {_few([str(value) for value in items(one.get(NAMES))])} here"
            told += f"; {called if NAMES in one else f'name them with {NAMES} in openapi/overlay.yaml'}"
            yield Change(Weight.READ, told, pointer(("components", "schemas", name)), ())


def _is_numbers(schema: Object) -> bool:
    return "integer" in (items(schema.get("type")) or [schema.get("type")]) and "enum" in schema


def _same(one: Object, other: Object) -> bool:
    return all(one.get(key) == other.get(key) for key in ("enum", NAMES, "description"))


def readable_classes(old: Object, new: Object) -> Iterator[str]:
    """Yield the new schemas whose class will show its fields in its `repr`: somebody must say if that is right."""
    known, schemas = (child(document, "components", "schemas") for document in (old, new))
    for name, schema in schemas.items():
        if name not in known and child(schema, "properties") and child(schema).get(PRIVATE) is not True:
            yield f"the class {name} is new and shows its fields when printed: mark it x-private if that must not be"
