"""What changed between two documents, reduced to what the facade uses, under the method that callers know it by.

redocly compares what has the same name in both; what became of the names is seen by walking through both at once. A
change is one of three things: the types show it, and the type checker judges it; it adds something, or the generated
client follows it; or no type shows it. Only the last is for a person to look at.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from pipeline.carry import ASSUMED, referred, select
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
from pipeline.judge import Row
from pipeline.layout import Layout
from pipeline.naming import DEFAULT, NAMES, identifier
from pipeline.private import MARK as PRIVATE
from pipeline.provenance import MARK, host
from pipeline.servers import common_hosts, hosts
from pipeline.tools import REDOCLY, ToolFailed, run_tool
from pipeline.walk import SCHEMAS, SHARED, UNIONS, kinds, resolve, without

# What the types show, by the rule of redocly that tells of it.
SHOWN = {
    *("property-removed", "required-properties-added", "required-properties-removed", "schema-combinator-changed"),
    *("enum-values-added", "enum-values-removed", "schema-type-changed", "parameter-removed", "media-type-removed"),
    *("parameter-became-required", "request-body-removed", "request-body-became-required"),
}
FOLLOWED = {"response-removed", "response-header-removed", "operation-id-changed"}
# What redocly is not asked about: words and marks, and what no type of Python says.
LEFT_OUT = {"description", "summary", "example", "operationId", "bearerFormat", "tags", "openapi", "servers"}
SIZES = ("int32", "int64", "float", "double")
FORMATS = (None, "uuid", "date", "date-time", "binary")
ERROR = re.compile(r"#/paths/[^/]+/[a-z]+/responses/([45]\d\d|default)\b")
SAYS = {"type", "enum", "const", "properties", "allOf", "anyOf", "oneOf"}
PART = re.compile(r"#/paths/[^/]+/[a-z]+")
HOLDER = re.compile(r"/responses/\w+$|/requestBody$")
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
    methods: tuple[str, ...] = ()


@frozen
class Both:
    """The operations that both documents have, at their places in the new one, with the methods that use them."""

    old: Object
    new: Object
    before: dict[str, Call]
    methods: dict[Call, str]

    def schemas(self, *, old: bool) -> Object:
        """Return the shared schemas of one of the two."""
        return child(self.old if old else self.new, *SHARED)

    def concerned(self, place: str) -> tuple[str, ...]:
        """Return the methods of the facade that a place concerns: of its operation, or of all that refer to it."""
        keys = [step.replace("~1", "/").replace("~0", "~") for step in place.removeprefix("#/").split("/")]
        if keys[0] == "paths":
            found = [method for call, method in self.methods.items() if list(call) == keys[1:3]]
        elif place.startswith(SCHEMAS):
            old = keys[2] not in self.schemas(old=False)
            document, schemas = (self.old if old else self.new), self.schemas(old=old)
            calls = {call: referred(child(document, "paths", *call), schemas) for call in self.methods}
            found = [method for call, method in self.methods.items() if keys[2] in calls[call]]
        else:
            found = list(self.methods.values())
        return tuple(dict.fromkeys(found))


def common(old: Object, new: Object, table: Sequence[Row]) -> Both:
    """Return the used operations of both documents, the old one's moved to where the new one has them."""
    old, new = (rebuild_document(document, _without_null) for document in (old, new))
    before, after = _calls(old), _calls(new)
    rows = [row for row in table if row.operation in before and row.operation in after]
    paths: Object = {}
    for there, was in [(after[row.operation], before[row.operation]) for row in rows]:
        names = dict(zip(re.findall(r"\{(\w+)\}", was[0]), re.findall(r"\{(\w+)\}", there[0]), strict=False))
        operation = child(old, "paths", *was)
        parameters: list[Json] = [_renamed(child(one), names) for one in items(operation.get("parameters"))]
        moved: Object = {**operation, **({"parameters": parameters} if parameters else {})}
        paths[there[0]] = {**child(paths, there[0]), there[1]: moved}
    where = {row.operation: before[row.operation] for row in rows}
    return Both({**old, "paths": paths}, new, where, {after[row.operation]: row.used_by for row in rows})


def _without_null(node: Object) -> Object:
    """Return a reference that may be null as what it refers to: the types show the null."""
    for union in UNIONS:
        branches = [one for one in items(node.get(union)) if one != {"type": "null"}]
        if len(branches) == 1:
            return {**without(node, union), **child(branches[0])}
    return node


def _calls(document: Object) -> dict[str, Call]:
    return {text(one, "operationId"): (path, method) for path, method, one in operations(document)}


def _renamed(parameter: Object, names: dict[str, str]) -> Object:
    name = text(parameter, "name")
    return {**parameter, "name": names.get(name, name)} if parameter.get("in") == "path" else parameter


def changes(layout: Layout, old: Object, new: Object, table: Sequence[Row], folder: Path) -> list[Change]:
    """Return what changed for the operations of that table, most serious first; `folder` is for redocly's two files.

    Raises `ToolsMissing` when redocly is not to be had here, and `ToolFailed` when it cannot compare the documents.
    """
    both = common(old, new, table)
    found = [*_moved(both, old), *_answered(both, old), *_parameters(both)]
    found += [*_walked(layout, both), *_named(both), *_numbers(both)]
    entries = _compared(layout, both, folder)
    told = [change for entry in entries if _is_like_for_like(entry, both) for change in _told(layout, entry, both)]
    return sorted(dict.fromkeys([*found, *told, *_errors(entries, both)]), key=lambda one: (one.weight, one.place))


def _moved(both: Both, old: Object) -> Iterator[Change]:
    for name, call in _calls(both.new).items():
        was = both.before.get(name, call)
        if was != call:
            told = f"`{name}` is {shown(call)} now, no longer {shown(was)}"
            yield Change(Weight.HARMLESS, told, pointer(("paths", *call)), both.concerned(pointer(("paths", *call))))


def _answered(both: Both, old: Object) -> Iterator[Change]:
    """Yield the operations that have another host, and addresses of tokens that are at another one."""
    was_common, now_common = common_hosts(old), common_hosts(both.new)
    if now_common - was_common:
        told = f"the document names {', '.join(sorted(now_common))} as its hosts now"
        yield Change(Weight.LOOK, told, "#/servers", both.concerned("#/servers"))
    for call, name in [(call, name) for name, call in _calls(both.new).items() if name in both.before]:
        one, other = child(old, "paths", *both.before[name]), child(both.new, "paths", *call)
        was, now, at = host(old, one), host(both.new, other), hosts(other) or now_common
        place, there = pointer(("paths", *call, "servers")), ", ".join(sorted(at))
        if now == "elsewhere":
            told = f"`{name}` is answered at {there}, which is neither host: say with x-host in the overlay which it is"
            yield Change(Weight.JUDGED, told, place, both.concerned(place))
        elif was != now:
            told = f"`{name}` is answered by the {now} host now, no longer by the {was} one"
            yield Change(Weight.HARMLESS, told, place, both.concerned(place))
        elif at - now_common - (hosts(one) or was_common):
            yield Change(Weight.LOOK, f"`{name}` is answered at {there} now", place, both.concerned(place))
    yield from _token_addresses(both, old)


def _token_addresses(both: Both, old: Object) -> Iterator[Change]:
    keys = ("components", "securitySchemes")
    known = {text(one, "tokenUrl") for _, one in objects(child(old, *keys), ())}
    identity = {
        at for call in both.methods if _is_identity(both.new, call) for at in hosts(child(both.new, "paths", *call))
    }
    for place, one in objects(child(both.new, *keys), keys):
        url = text(one, "tokenUrl")
        if url and url not in known and not hosts({"servers": [{"url": url}]}) <= identity:
            users = [method for call, method in both.methods.items() if _is_identity(both.new, call)]
            where = pointer((*place, "tokenUrl"))
            yield Change(Weight.LOOK, f"tokens are given out at {url} now", where, tuple(dict.fromkeys(users)))


def _is_identity(document: Object, call: Call) -> bool:
    return host(document, child(document, "paths", *call)) == "identity"


def _parameters(both: Both) -> Iterator[Change]:
    """Yield the parameters that are gone, and those that are new."""
    for call in both.methods:
        place = pointer(("paths", *call))
        old, new = (
            {_key(one): child(one) for one in items(child(document, "paths", *call).get("parameters"))}
            for document in (both.old, both.new)
        )
        for key in [key for key in old if key not in new]:
            yield Change(Weight.JUDGED, f"{_subject(place, old[key])} is gone", place, both.concerned(place))
        for one in [one for key, one in new.items() if key not in old]:
            default = child(one, "schema").get(DEFAULT)
            unsaid = f"; the service takes {_value(default)} without it" if default is not None else ""
            required = one.get("required") is True
            how = "required" if required else f"optional{unsaid}"
            weight = Weight.JUDGED if required else Weight.HARMLESS
            yield Change(weight, f"{_subject(place, one)} is new and {how}", place, both.concerned(place))


def _walked(layout: Layout, both: Both) -> Iterator[Change]:
    """Yield where another schema stands in the place of one, and what is described otherwise at the same place."""
    for place, one, other in paired(both):
        words, names = _words(other), (_schema_of(text(one, "$ref")), _schema_of(text(other, "$ref")))
        if words and words != _words(one) and not _is_numbers(other) and not HOLDER.search(place):
            told = f"{_subject(place, other)} is described as “{words}” now"
            yield Change(Weight.READ, told, place, both.concerned(place))
        if names[0] and names[0] != names[1] and (names[0] in both.schemas(old=False) or not names[1]):
            now = f"`{names[1]}`" if names[1] else "written out" if SAYS & set(other) else "anything"
            blind = now == "anything" and _is_read(layout, place)
            told = f"{_subject(place, other)} is {now} now, no longer `{names[0]}`"
            yield Change(Weight.LOOK if blind else Weight.JUDGED, told, place, both.concerned(place))


def paired(both: Both) -> Iterator[tuple[str, Object, Object]]:
    """Yield the parts that stand at the same place of both documents, with that place in the new one.

    Where a reference leads in one document, there it leads in the other, whatever the schemas are called.
    """
    todo: list[tuple[str, Object, Object]] = [
        (pointer(("paths", *call)), child(both.old, "paths", *call), child(both.new, "paths", *call))
        for call in both.methods
    ]
    seen: set[tuple[str, str]] = set()
    while todo:
        place, one, other = todo.pop(0)
        yield place, one, other
        references = text(one, "$ref"), text(other, "$ref")
        if all(references) and references not in seen:
            seen.add(references)
            todo.append(
                (references[1], child(resolve(both.old, references[0])), child(resolve(both.new, references[1])))
            )
        todo += _inner(place, one, other)


def _inner(place: str, one: Object, other: Object) -> Iterator[tuple[str, Object, Object]]:
    for key in [key for key in one if key in other and key != "servers" and not ERROR.match(f"{place}/{key}")]:
        pairs = [(key, one[key], other[key])]
        if isinstance(one[key], list):
            known = {_key(part): part for part in items(one[key])}
            pairs = [(f"{key}/{n}", known.get(_key(part)), part) for n, part in enumerate(items(other[key]))]
        for step, before, after in pairs:
            if isinstance(before, dict) and isinstance(after, dict):
                inner = step if isinstance(one[key], list) else step.replace("~", "~0").replace("/", "~1")
                yield f"{place}/{inner}", before, after


def _key(part: Json) -> str:
    return " ".join(text(child(part), word) for word in ("in", "name", "$ref"))


def _named(both: Both) -> Iterator[Change]:
    """Yield the schemas that are gone, with what stands in their place, and those that are new, with what they have."""
    before, after = _reached(both, old=True), _reached(both, old=False)
    instead = renamed(both)
    for name in [name for name in both.schemas(old=True) if name in before and name not in both.schemas(old=False)]:
        there = f"; `{instead[name]}` stands in its place" if name in instead else ""
        place = f"{SCHEMAS}{name}"
        yield Change(Weight.JUDGED, f"`{name}` is gone{there}", place, both.concerned(place))
    for name, schema in both.schemas(old=False).items():
        if name in after - before and name.removeprefix(ASSUMED) not in before and not _is_numbers(child(schema)):
            place = f"{SCHEMAS}{name}"
            yield Change(
                Weight.HARMLESS, f"`{name}` is new; it {_contents(child(schema))}", place, both.concerned(place)
            )


def _reached(both: Both, *, old: bool) -> set[str]:
    document = both.old if old else both.new
    return referred(
        [{method: child(document, "paths", path, method)} for path, method in both.methods], both.schemas(old=old)
    )


def _contents(schema: Object) -> str:
    if "enum" in schema:
        return f"is one of {', '.join(f'`{one}`' for one in items(schema['enum']))}"
    required = items(schema.get("required"))
    members = [
        f"`{name}`{' (required)' if name in required else ''}{f' “{_words(child(one))}”' if _words(child(one)) else ''}"
        for name, one in child(schema, "properties").items()
    ]
    return f"has {', '.join(members)}" if members else "says no more"


def renamed(both: Both) -> dict[str, str]:
    """Return the schemas that are gone, each with the one that stands in its place."""
    found = ((_schema_of(text(one, "$ref")), _schema_of(text(other, "$ref"))) for _, one, other in paired(both))
    return {name: new for name, new in found if name and new and name not in both.schemas(old=False)}


def _numbers(both: Both) -> Iterator[Change]:
    """Yield the enumerations of numbers that changed or are new: what a number means, only a person can read."""
    for name in [name for name in both.schemas(old=False) if name in _reached(both, old=False)]:
        one, before = child(both.new, *SHARED, name), child(both.old, *SHARED, name)
        if _is_numbers(one) and any(one.get(key) != before.get(key) for key in ("enum", NAMES, "description")):
            words = f"described as “{_words(one)}”" if _words(one) else "not described"
            called = f"they are called {_few([str(value) for value in items(one.get(NAMES))])} here"
            told = f"what the numbers of `{name}` mean is {words}; "
            told += called if NAMES in one else f"name them with {NAMES} in openapi/overlay.yaml"
            yield Change(Weight.READ, told, f"{SCHEMAS}{name}", both.concerned(f"{SCHEMAS}{name}"))


def _is_numbers(schema: Object) -> bool:
    return "integer" in kinds(schema) and "enum" in schema


def _words(node: Object) -> str:
    return " ".join(text(node, "description").split())


def _schema_of(place: str) -> str:
    return place.removeprefix(SCHEMAS).partition("/")[0] if place.startswith(SCHEMAS) else ""


def _compared(layout: Layout, both: Both, folder: Path) -> list[Object]:
    files = [folder / "before.json", folder / "after.json"]
    for file, document, other in ((files[0], both.old, both.new), (files[1], both.new, both.old)):
        less: Object = {"info": {"title": "", "version": ""}, "paths": {}, **select(document, both.methods)}
        less = edit_operations(less, partial(_with_shared_parameters, other))
        file.write_bytes(dump({"openapi": "3.1.0", **rebuild_document(less, _bare)}))
    told = run_tool(layout, REDOCLY, "diff", *map(str, files), "--format", "json", "--fail-on", "none")
    try:
        report: Json = json.loads(told)
    except ValueError as error:
        raise ToolFailed("what it printed is no JSON") from error
    if "changes" not in child(report):
        raise ToolFailed("what it printed is no report")
    return [child(one) for one in items(child(report)["changes"])]


def _with_shared_parameters(other: Object, label: str, operation: Object) -> Object:
    """Return an operation with the parameters that the other document has too, in order: redocly pairs any two."""
    method, _, path = label.partition(" ")
    known = {_key(one) for one in items(child(other, "paths", path, method.lower()).get("parameters"))}
    own = sorted((one for one in items(operation.get("parameters")) if _key(one) in known), key=_key)
    return {**operation, "parameters": own} if own else without(operation, "parameters")


def _bare(node: Object) -> Object:
    """Return a part without what redocly should not look at, and its types in one order."""
    kept: Object = {key: value for key, value in node.items() if not _is_left_out(key, value)}
    if isinstance(kept.get("type"), list):
        kept["type"] = sorted(items(kept["type"]), key=lambda kind: (kind == "null", str(kind)))
    return kept


def _is_left_out(key: str, value: Json) -> bool:
    if isinstance(value, dict):
        return key == "additionalProperties" and not value
    return (
        key in LEFT_OUT
        or (key.startswith("x-") and key != DEFAULT)
        or (key == "format" and value in SIZES)
        or key == "additionalProperties"
    )


def _is_like_for_like(entry: Object, both: Both) -> bool:
    """Tell whether an entry is about a part that both have under one name; redocly also compares what stands apart."""
    old, new = (text(child(entry, side), "pointer") for side in ("base", "revision"))
    if ERROR.match(text(entry, "path")):
        return False
    if not old or not new:
        there, where = (both.new, old) if old else (both.old, new)
        held = _schema_of(where) in child(there, *SHARED) if _schema_of(where) else True
        return held and resolve(there, where) is None
    member = text(entry, "property")
    return _schema_of(old) == _schema_of(new) and (
        member == "key" or old.removesuffix(f"/{member}") == new.removesuffix(f"/{member}")
    )


def _told(layout: Layout, entry: Object, both: Both) -> Iterator[Change]:
    """Yield what one entry of redocly means."""
    where = text(child(entry, "revision"), "pointer") or text(child(entry, "base"), "pointer")
    member = text(entry, "property")
    what, where = _found(both, where.removesuffix(f"/{member}") if member else where)
    for verdict in [child(one) for one in items(entry.get("verdicts"))] or [{}]:
        told = _sentence(entry, verdict, what)
        yield Change(_weight(layout, entry, verdict), told, where, both.concerned(where))


def _found(both: Both, where: str) -> tuple[str, str]:
    """Return what is at a place, as people say it, and the place: redocly's documents count parameters otherwise."""
    part = re.match(r"(#/paths/([^/]+)/([a-z]+))/parameters/(\d+)", where)
    if part is None:
        return _place(where), where
    path = part[2].replace("~1", "/").replace("~0", "~")
    operation = child(both.new, "paths", path, part[3])
    shared = _with_shared_parameters(both.old, f"{part[3].upper()} {path}", operation)
    one = child(items(shared.get("parameters"))[int(part[4])])
    index = items(operation["parameters"]).index(one)
    return _subject(part[1], one), f"{part[1]}/parameters/{index}"


def _weight(layout: Layout, entry: Object, verdict: Object) -> Weight:
    rule, path = text(verdict, "ruleId"), text(entry, "path")
    if (text(verdict, "impact") or text(entry, "impact")) != "major" or rule in FOLLOWED:
        return Weight.HARMLESS
    if rule == "media-type-removed" and "/requestBody/" in path:
        return Weight.HARMLESS  # the client follows
    if _is_shown(rule, entry):
        return Weight.JUDGED
    return Weight.LOOK if _is_read(layout, path) else Weight.HARMLESS


def _is_shown(rule: str, entry: Object) -> bool:
    """Tell whether the types show it: not what may be anything, a truth for a number, and what a number means."""
    old, new = (child(entry, side).get("value") for side in ("base", "revision"))
    if rule == "schema-constraint-changed" and text(entry, "property") == "format":
        return {_format(old), _format(new)} <= set(FORMATS)
    if rule.startswith("enum-values"):
        return not any(isinstance(one, int) for side in (old, new) for one in items(side))
    if rule == "schema-type-changed":
        now, before = (items(one) or [one] for one in (new, old))
        return new is not None and not ("boolean" in now and "boolean" not in before)
    return rule in SHOWN


def _format(value: Json) -> Json:
    return value.get("format") if isinstance(value, dict) else value


def _is_read(layout: Layout, path: str) -> bool:
    """Tell whether the facade reads that member of a reply; everything else counts as used."""
    if "/requestBody/" in path or (name := re.search(r"/properties/([^/]+)$", path)) is None:
        return True
    word = re.compile(rf"\.{identifier(name[1])}\b")
    return any(word.search(file.read_text(encoding="utf-8")) for file in layout.wire.glob("*.py"))


def _sentence(entry: Object, verdict: Object, what: str) -> str:
    member, kind, rule = text(entry, "property"), text(entry, "kind"), text(verdict, "ruleId")
    old, new = (child(entry, side).get("value") for side in ("base", "revision"))
    if member == "key":
        # redocly takes it for one thing under a new name; known is only that one is gone, and another is new.
        holder = re.sub(rf"(\.| ){re.escape(str(new))}(`?)$", r"\2", what)
        return f"{holder}: `{old}` is gone, and `{new}` is new"
    if kind in ("added", "removed"):
        return f"{what} is {'new' if kind == 'added' else 'gone'}"
    if member == DEFAULT:
        return f"without {what} the service takes {_value(new)} now, and took {_value(old)}"
    if not member or rule.startswith(("enum", "required")):
        message = text(verdict, "message").removesuffix(".")
        return message if what in message else f"{what}: {message}"
    if old is None or new is None:
        return f"`{member}` of {what} is {f'{_value(new)} now' if old is None else f'{_value(old)} no more'}"
    return f"`{member}` of {what} is {_value(new)} now, no longer {_value(old)}"


def _errors(entries: Iterable[Object], both: Both) -> Iterator[Change]:
    """Yield one sentence an operation for what changed about its errors, which are judged by their status."""
    statuses: dict[str, dict[str, None]] = {}
    for entry in entries:
        if found := ERROR.match(text(entry, "path")):
            statuses.setdefault(found[0].rpartition("/responses/")[0], {})[found[1]] = None
    for place, several in statuses.items():
        told = f"what {_place(place)} says of the errors {', '.join(several)} changed; they are judged as before"
        yield Change(Weight.HARMLESS, told, f"{place}/responses", both.concerned(place))


def _subject(place: str, node: Object) -> str:
    """Return what stands at a place as people say it, a parameter by its name."""
    if text(node, "in") and (part := PART.match(place)):
        return f"the {text(node, 'in')} parameter `{text(node, 'name')}` of {_place(part[0])}"
    return _place(place)


def _place(place: str) -> str:
    """Return a place as people say it: the member of a schema, or the part of an operation."""
    words = [word.replace("~1", "/").replace("~0", "~") for word in place.removeprefix("#/").split("/")]
    if place.startswith(SCHEMAS):
        member = f"`{'.'.join(_members(words[2:]))}`"
        return f"every member of {member}" if words[-1] == "properties" else member
    if words[0] == "paths" and len(words) > 2:
        inner = [word for word in words[3:] if word not in ("schema", "properties")]
        kept = [word for word in inner[:-1] if word != "content"] + inner[-1:]
        return " ".join([f"{words[2].upper()} {words[1]}", *kept])
    return " ".join(words)


def _members(words: Sequence[str]) -> Iterator[str]:
    """Yield the names in the place of a member, without the words of the specification between them."""
    rest = iter(words)
    for word in rest:
        if word == "properties":
            yield from [name] if (name := next(rest, "")) else []
        elif word != "items":
            yield word


def shown(call: Call) -> str:
    """Return an operation as people write it."""
    return f"{call[1].upper()} {call[0]}"


def _value(value: Json) -> str:
    written = " or ".join(map(str, value)) if isinstance(value, list) else json.dumps(value, ensure_ascii=False)
    written = written.strip('"')
    return f"`{written[:60]}{'…' if len(written) > 60 else ''}`"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW]) + (f" and {len(names) - FEW} more" if len(names) > FEW else "")


def gone(old: Object, new: Object, name: str, call: Call) -> str:
    """Say that an operation is gone, and where it is when that is near certain: else which operations are new."""
    known = set(_calls(old).values())
    fresh = [one for one in _calls(new).values() if one not in known]
    same = [one for one in fresh if _essence(one[0]) == _essence(call[0]) and (one[1] == call[1] or one[0] == call[0])]
    told = f"{shown(call)}, our `{name}`, is gone"
    if len(same) == 1:
        return f"{told}; it is {shown(same[0])}: pin it to $.paths['{same[0][0]}'].{same[0][1]}"
    return f"{told}; these are new: {_few([shown(one) for one in fresh])}" if fresh else told


def _essence(path: str) -> str:
    """Return a path without what may differ when it is the same: case, version, names of ids, a slash at the end."""
    return re.sub(r"/v\d+(\.\d+)*(?=/)|/api(?=/)|/$", "", re.sub(r"\{[^}]*\}", "{}", path.lower()))


def kept(new: Object, names: Iterable[str], table: Sequence[Row]) -> Iterator[Change]:
    """Yield what is carried over of ours."""
    used, calls = {row.operation: row.used_by for row in table}, _calls(new)
    for name in names:
        mark = text(child(new, "paths", *calls[name]), MARK)
        told = f"the document has no {shown(calls[name])}; our `{name}` is carried over, still {mark}"
        yield Change(Weight.READ, told, pointer(("paths", *calls[name])), (used[name],))


def new_operations(old: Object, new: Object) -> list[str]:
    """Return the operations that the old document did not have."""
    return [shown(call) for name, call in _calls(new).items() if name not in _calls(old)]


def readable_classes(old: Object, new: Object) -> Iterator[str]:
    """Yield the new schemas whose class will show its fields in its `repr`: somebody must say if that is right."""
    known = child(old, *SHARED)
    fresh = [name for name in child(new, *SHARED) if name not in known and name.removeprefix(ASSUMED) not in known]
    shows = [name for name in fresh if child(new, *SHARED, name, "properties")]
    if open_ := [name for name in shows if child(new, *SHARED, name).get(PRIVATE) is not True]:
        told = "new classes show their fields when printed; mark x-private those that hold words or tokens"
        yield f"{told}: {', '.join(open_)}"
