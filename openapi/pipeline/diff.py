"""What changed between two documents, reduced to what the facade uses, under the method that callers know it by.

redocly compares what has the same name in both; what became of the names is seen by walking through both at once. A
change is one of three things: the types show it, and the type checker judges it; it adds something, or the generated
client follows it; or no type shows it. Only the last is for a person to look at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.both import (
    ERROR,
    Both,
    Call,
    Change,
    Weight,
    calls,
    few,
    key_of,
    paired,
    place_of,
    renamed,
    schema_of,
    shown,
    subject,
)
from pipeline.carry import ASSUMED, select
from pipeline.document import (
    BYTES,
    FORM,
    Json,
    Object,
    child,
    dump,
    edit_operations,
    items,
    objects,
    pointer,
    rebuild_document,
    text,
)
from pipeline.layout import Layout
from pipeline.naming import DEFAULT, NAMES, identifier
from pipeline.private import MARK as PRIVATE
from pipeline.provenance import host
from pipeline.servers import common_hosts, hosts
from pipeline.tools import REDOCLY, ToolFailed, run_tool
from pipeline.walk import SCHEMAS, SHARED, UNIONS, followed, kinds, made_of, resolve, without

# What the types show, by the rule of redocly that tells of it.
SHOWN = {
    *("property-removed", "required-properties-added", "required-properties-removed", "schema-combinator-changed"),
    *("enum-values-added", "enum-values-removed", "schema-type-changed", "parameter-removed", "media-type-removed"),
    *("parameter-became-required", "request-body-removed", "request-body-became-required"),
}
FOLLOWED = {"response-removed", "response-header-removed", "operation-id-changed"}
# What redocly is not asked about: words and marks, and what no type of Python says.
LEFT_OUT = {"description", "summary", "example", "operationId", "bearerFormat", "tags", "security"}
SIZES = ("int32", "int64", "float", "double")
FORMATS = (None, "uuid", "date", "date-time", "binary")
SAYS = {"type", "enum", "const", "properties", "allOf", "anyOf", "oneOf"}
HOLDER = re.compile(r"/responses/\w+$|/requestBody$")


def changes(layout: Layout, both: Both, old: Object, folder: Path) -> list[Change]:
    """Return what changed for both documents' operations, most serious first; `folder` is for redocly's two files.

    `old` is the whole of the old document.

    Raises `ToolsMissing` when redocly is not to be had here, and `ToolFailed` when it cannot compare the documents.
    """
    found = [*_moved(both), *_answered(both, old), *_parameters(both), *_bodies(both), *_empty(both)]
    found += [*_walked(layout, both), *_named(both), *_numbers(both)]
    entries = _compared(layout, both, folder)
    told = [change for entry in entries if _is_like_for_like(entry, both) for change in _told(layout, entry, both)]
    return sorted(dict.fromkeys([*found, *told, *_errors(entries, both)]), key=lambda one: (one.weight, one.place))


def _moved(both: Both) -> Iterator[Change]:
    for name, call in calls(both.new).items():
        was = both.before.get(name, call)
        if was != call:
            told = f"`{name}` is {shown(call)} now, no longer {shown(was)}"
            yield both.say(Weight.HARMLESS, told, pointer(("paths", *call)))


def _answered(both: Both, old: Object) -> Iterator[Change]:
    """Yield the operations that have another host, and addresses of tokens that are at another one."""
    was_common, now_common = common_hosts(old), common_hosts(both.new)
    if now_common - was_common:
        told = f"the document names {', '.join(sorted(now_common))} as its hosts now"
        yield both.say(Weight.LOOK, told, "#/servers")
    for call, name in [(call, name) for name, call in calls(both.new).items() if name in both.before]:
        one, other = child(old, "paths", *both.before[name]), child(both.new, "paths", *call)
        was, now, at = host(was_common, one), host(now_common, other), hosts(other) or now_common
        place, there = pointer(("paths", *call, "servers")), ", ".join(sorted(at))
        if now == "elsewhere":
            told = f"`{name}` is answered at {there}, which is neither host: say with x-host in the overlay which it is"
            yield both.say(Weight.JUDGED, told, place)
        elif was != now:
            told = f"`{name}` is answered by the {now} host now, no longer by the {was} one"
            yield both.say(Weight.HARMLESS, told, place)
        elif at - now_common - (hosts(one) or was_common):
            yield both.say(Weight.LOOK, f"`{name}` is answered at {there} now", place)
        if one.get("security") != other.get("security"):
            asked = ", ".join(name for way in items(other.get("security")) for name in child(way)) or "nothing"
            yield both.say(Weight.READ, f"`{name}` asks for {asked} now, by its `security`", place)
    yield from _token_addresses(both, old)


def _token_addresses(both: Both, old: Object) -> Iterator[Change]:
    keys, common = ("components", "securitySchemes"), common_hosts(both.new)
    known = {text(one, "tokenUrl") for _, one in objects(child(old, *keys), ())}
    asked = [(method, child(both.new, "paths", *call)) for call, method in both.methods.items()]
    identity = [(method, one) for method, one in asked if host(common, one) == "identity"]
    users = tuple(dict.fromkeys(method for method, _ in identity))
    places = {at.partition("/")[0] for _, one in identity for at in hosts(one)}
    for place, one in objects(child(both.new, *keys), keys):
        url = text(one, "tokenUrl")
        if url and url not in known and urlsplit(url).netloc not in places:
            yield Change(Weight.LOOK, f"tokens are given out at {url} now", pointer((*place, "tokenUrl")), users)


def _parameters(both: Both) -> Iterator[Change]:
    """Yield the parameters that are gone, and those that are new."""
    for call in both.methods:
        place = pointer(("paths", *call))
        old, new = (
            {key_of(one): child(one) for one in items(child(document, "paths", *call).get("parameters"))}
            for document in (both.old, both.new)
        )
        for key in [key for key in old if key not in new]:
            yield both.say(Weight.JUDGED, f"{subject(place, old[key])} is gone", place)
        for one in [one for key, one in new.items() if key not in old]:
            default = child(one, "schema").get(DEFAULT)
            unsaid = f"; the service takes {_value(default)} without it" if default is not None else ""
            required = one.get("required") is True
            how = "required" if required else f"optional{unsaid}"
            weight = Weight.JUDGED if required else Weight.HARMLESS
            yield both.say(weight, f"{subject(place, one)} is new and {how}", place)


def _bodies(both: Both) -> Iterator[Change]:
    """Yield the bodies that are of another kind now, of which the facade sends none."""
    for call in both.methods:
        old, new = (child(one, "paths", *call, "requestBody", "content") for one in (both.old, both.new))
        if set(new) - set(old) and not _is_sendable(both.new, new):
            told = f"the body of {shown(call)} is {few(list(new))} now, which the facade refuses to send"
            yield both.say(Weight.LOOK, told, pointer(("paths", *call, "requestBody")))


def _is_sendable(document: Object, content: Object) -> bool:
    """Tell whether a body is JSON, a form of plain members, or bytes."""
    if len(content) != 1:
        return False
    [(name, media)] = content.items()
    schema = child(followed(document, child(media).get("schema")))
    if name == FORM:
        members = child(schema, "properties").values()
        parts = [part for one in members for part in made_of(document, one, *UNIONS, "allOf")]
        parts += [child(followed(document, part["items"])) for part in parts if "items" in part]
        return not any("object" in kinds(part) or "properties" in part for part in parts)
    return name.endswith("json") or (name == BYTES and text(schema, "format") == "binary")


def _empty(both: Both) -> Iterator[Change]:
    """Yield the operations whose success may have no body now, beside one that has."""
    for call in both.methods:
        old, new = (_successes(one, call) for one in (both.old, both.new))
        fresh = [status for status, has_body in new.items() if not has_body and status not in old]
        if fresh and any(new.values()) and all(old.values()):
            told = f"{shown(call)} may be answered {few(fresh)} without a body now"
            yield both.say(Weight.LOOK, told, pointer(("paths", *call, "responses", fresh[0])))


def _successes(document: Object, call: Call) -> dict[str, bool]:
    replies = child(document, "paths", *call, "responses")
    return {status: "content" in child(reply) for status, reply in replies.items() if status.startswith("2")}


def _walked(layout: Layout, both: Both) -> Iterator[Change]:
    """Yield where another schema stands in the place of one, and what is described otherwise at the same place."""
    for place, one, other in paired(both):
        words, names = _words(other), (schema_of(text(one, "$ref")), schema_of(text(other, "$ref")))
        if words and words != _words(one) and not _is_numbers(other) and not HOLDER.search(place):
            told = f"{subject(place, other)} is described as “{words}” now"
            yield both.say(Weight.READ, told, place)
        if names[0] and names[0] != names[1] and (names[0] in both.schemas(old=False) or not names[1]):
            now = f"`{names[1]}`" if names[1] else "written out" if SAYS & set(other) else "anything"
            blind = now == "anything" and _is_read(layout, place)
            told = f"{subject(place, other)} is {now} now, no longer `{names[0]}`"
            yield both.say(Weight.LOOK if blind else Weight.JUDGED, told, place)


def _named(both: Both) -> Iterator[Change]:
    """Yield the schemas that are gone, with what stands in their place, and those that are new, with what they have."""
    before, after = set(both.users_before), set(both.users)
    instead = renamed(both)
    for name in [name for name in both.schemas(old=True) if name in before and name not in both.schemas(old=False)]:
        there = f"; `{instead[name]}` stands in its place" if name in instead else ""
        place = f"{SCHEMAS}{name}"
        yield both.say(Weight.JUDGED, f"`{name}` is gone{there}", place)
    for name, schema in both.schemas(old=False).items():
        if name in after - before and name.removeprefix(ASSUMED) not in before and not _is_numbers(child(schema)):
            place = f"{SCHEMAS}{name}"
            yield both.say(Weight.HARMLESS, f"`{name}` is new; it {_contents(child(schema))}", place)


def _contents(schema: Object) -> str:
    if "enum" in schema:
        return f"is one of {', '.join(f'`{one}`' for one in items(schema['enum']))}"
    required = items(schema.get("required"))
    members = [
        f"`{name}`{' (required)' if name in required else ''}{f' “{_words(child(one))}”' if _words(child(one)) else ''}"
        for name, one in child(schema, "properties").items()
    ]
    return f"has {', '.join(members)}" if members else "says no more"


def _numbers(both: Both) -> Iterator[Change]:
    """Yield the enumerations of numbers that changed or are new: what a number means, only a person can read."""
    for name in [name for name in both.schemas(old=False) if name in both.users]:
        one, before = child(both.new, *SHARED, name), child(both.old, *SHARED, name)
        if _is_numbers(one) and any(one.get(key) != before.get(key) for key in ("enum", NAMES, "description")):
            words = f"described as “{_words(one)}”" if _words(one) else "not described"
            called = f"they are called {few([str(value) for value in items(one.get(NAMES))])} here"
            told = f"what the numbers of `{name}` mean is {words}; "
            told += called if NAMES in one else f"name them with {NAMES} in openapi/overlay.yaml"
            yield both.say(Weight.READ, told, f"{SCHEMAS}{name}")


def _is_numbers(schema: Object) -> bool:
    return "integer" in kinds(schema) and "enum" in schema


def _words(node: Object) -> str:
    return " ".join(text(node, "description").split())


def _compared(layout: Layout, both: Both, folder: Path) -> list[Object]:
    files = [folder / "before.json", folder / "after.json"]
    for file, document, other in ((files[0], both.old, both.new), (files[1], both.new, both.old)):
        bare = partial(_with_shared_parameters, other)
        less: Object = {"info": {"title": "", "version": ""}, "paths": {}, **select(document, both.methods)}
        less = edit_operations({**less, "components": without(child(less, "components"), "securitySchemes")}, bare)
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
    known = {key_of(one) for one in items(child(other, "paths", path, method.lower()).get("parameters"))}
    own = sorted((one for one in items(operation.get("parameters")) if key_of(one) in known), key=key_of)
    bare = without(operation, "parameters", "servers")
    return {**bare, "parameters": own} if own else bare


def _bare(node: Object) -> Object:
    """Return a part without what redocly should not look at, and its types in one order."""
    kept: Object = {key: value for key, value in node.items() if not _is_left_out(key, value)}
    if "string" not in kinds(kept):
        kept.pop("pattern", None)
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
        held = schema_of(where) in child(there, *SHARED) if schema_of(where) else True
        return held and resolve(there, where) is None
    member = text(entry, "property")
    return schema_of(old) == schema_of(new) and (
        member == "key" or old.removesuffix(f"/{member}") == new.removesuffix(f"/{member}")
    )


def _told(layout: Layout, entry: Object, both: Both) -> Iterator[Change]:
    """Yield what one entry of redocly means."""
    where = text(child(entry, "revision"), "pointer") or text(child(entry, "base"), "pointer")
    member = text(entry, "property")
    what, where = _found(both, where.removesuffix(f"/{member}") if member else where)
    for verdict in [child(one) for one in items(entry.get("verdicts"))] or [{}]:
        told = _sentence(entry, verdict, what)
        yield both.say(_weight(layout, both, entry, verdict), told, where)


def _found(both: Both, where: str) -> tuple[str, str]:
    """Return what is at a place, as people say it, and the place: redocly's documents count parameters otherwise."""
    part = re.match(r"(#/paths/([^/]+)/([a-z]+))/parameters/(\d+)", where)
    if part is None:
        return place_of(where), where
    path = part[2].replace("~1", "/").replace("~0", "~")
    operation = child(both.new, "paths", path, part[3])
    shared = _with_shared_parameters(both.old, f"{part[3].upper()} {path}", operation)
    one = child(items(shared.get("parameters"))[int(part[4])])
    index = items(operation["parameters"]).index(one)
    return subject(part[1], one), f"{part[1]}/parameters/{index}"


def _weight(layout: Layout, both: Both, entry: Object, verdict: Object) -> Weight:
    rule, path, member = text(verdict, "ruleId"), text(entry, "path"), text(entry, "property")
    major = (text(verdict, "impact") or text(entry, "impact")) == "major"
    shown = _is_shown(rule or member, entry)
    if rule in FOLLOWED or not (
        major or (member == "format" and shown) or member in ("enum", "const") or _is_lost(entry)
    ):
        return Weight.HARMLESS
    if rule == "schema-constraint-changed" and not _is_sent(both, entry):
        return Weight.HARMLESS
    if rule == "media-type-removed" and "/requestBody/" in path:
        return Weight.HARMLESS  # the client follows
    return Weight.JUDGED if shown else Weight.LOOK if _is_read(layout, path) else Weight.HARMLESS


def _is_lost(entry: Object) -> bool:
    return text(entry, "kind") == "removed" and "/schema" in text(entry, "path")


def _is_shown(rule: str, entry: Object) -> bool:
    """Tell whether the types show it: not what may be anything, a truth for a number, and what a number means."""
    old, new = (child(entry, side).get("value") for side in ("base", "revision"))
    if text(entry, "property") == "format":
        return all(_format(one) in FORMATS for one in (old, new))
    if rule.startswith("enum"):
        return not any(isinstance(one, int) for side in (old, new) for one in items(side))
    if rule == "schema-type-changed":
        now, before = (items(one) or [one] for one in (new, old))
        return new is not None and not ("boolean" in now and "boolean" not in before)
    return rule in SHOWN or _is_lost(entry)


def _is_sent(both: Both, entry: Object) -> bool:
    """Tell whether a constraint may refuse what is sent; what comes is not refused for its length or pattern."""
    where = text(child(entry, "revision"), "pointer") or text(child(entry, "base"), "pointer")
    is_kind = text(entry, "property") in ("format", "const")
    return is_kind or "/responses/" not in text(entry, "path") or schema_of(where) in both.sent


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
    if member == "enum":
        return _values(what, items(old), items(new))
    if member == DEFAULT:
        return f"without {what} the service takes {'what is not said' if new is None else _value(new)} now"
    if not member or rule.startswith("required"):
        message = text(verdict, "message").removesuffix(".")
        return message if what in message else f"{what}: {message}"
    if old is None or new is None:
        return f"`{member}` of {what} is {f'{_value(new)} now' if old is None else f'{_value(old)} no more'}"
    return f"`{member}` of {what} is {_value(new)} now, no longer {_value(old)}"


def _values(what: str, old: list[Json], new: list[Json]) -> str:
    """Say how the values of an enumeration changed."""
    if not old or not new:
        return f"{what} is one of {few(list(map(_value, new)))} now" if new else f"{what} may have any value now"
    fresh, lost = ([_value(one) for one in these if one not in those] for these, those in ((new, old), (old, new)))
    told = [f"may be {few(fresh)} now" for _ in fresh[:1]] + [f"is never {few(lost)} any more" for _ in lost[:1]]
    return f"{what} {' and '.join(told) or 'lists its values in another order, by which we name them'}"


def _errors(entries: Iterable[Object], both: Both) -> Iterator[Change]:
    """Yield one sentence an operation for what changed about its errors, which are judged by their status."""
    statuses: dict[str, dict[str, None]] = {}
    for entry in entries:
        if found := ERROR.match(text(entry, "path")):
            statuses.setdefault(found[1], {})[found[2]] = None
    for place, several in statuses.items():
        told = f"what {place_of(place)} says of the errors {', '.join(several)} changed; they are judged as before"
        yield both.say(Weight.HARMLESS, told, f"{place}/responses")


def _value(value: Json) -> str:
    words = [json.dumps(one, ensure_ascii=False).strip('"') for one in (value if isinstance(value, list) else [value])]
    written = " or ".join(words)
    return f"`{written[:60]}{'…' if len(written) > 60 else ''}`"


def readable_classes(old: Object, new: Object) -> Iterator[str]:
    """Yield the new schemas whose class will show its fields in its `repr`: somebody must say if that is right."""
    known = child(old, *SHARED)
    fresh = [name for name in child(new, *SHARED) if name not in known and name.removeprefix(ASSUMED) not in known]
    shows = [name for name in fresh if child(new, *SHARED, name, "properties")]
    if open_ := [name for name in shows if child(new, *SHARED, name).get(PRIVATE) is not True]:
        told = "new classes show their fields when printed; mark x-private those that hold words or tokens"
        yield f"{told}: {', '.join(open_)}"
