"""Compare what the facade uses of an operation with what the new document has of it.

Old and new are normalised documents with the overlay applied, so a difference is one that the generated client has.
Nothing here reads a file; what the facade uses comes from `uses`, and how schemas become classes from `shapes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.document import Json, Object, child, items, text
from pipeline.judgement.fields import Fields
from pipeline.judgement.findings import Finding, breaks, keeps
from pipeline.judgement.renames import Guess, guesses
from pipeline.judgement.shapes import Call, body_of, calls, reply_of, shape
from pipeline.judgement.uses import Row, Uses
from pipeline.layout import PACKAGE
from pipeline.naming import class_name, identifier, operation_module

ERRORS = "every call, when it is refused"


def compare_operations(fields: Fields, uses: Uses, moved: dict[str, Call]) -> list[Finding]:
    """Return what changed for each operation that the facade uses.

    `moved` says for operations that the new document has no longer which of its calls is taken for them.
    """
    before, after = calls(fields.old), {**calls(fields.new), **moved}
    found: list[Finding] = []
    for row in uses.rows:
        if row.operation in before and row.operation in after:
            found += _operation(before[row.operation], after[row.operation], row, fields)
    found += fields.errors(ERRORS, before, after, {row.operation for row in uses.rows})
    return list(dict.fromkeys(found))


def new_operations(old: Object, new: Object, taken: Iterable[str]) -> list[Finding]:
    """Return the operations that the facade does not know yet; before the first build none is told as new."""
    known = calls(old) or calls(new)
    return [
        keeps("not in the facade yet", f"the API has a new operation, {call}, called `{name}` here")
        for name, call in calls(new).items()
        if name not in known and str(call) not in set(taken)
    ]


def _operation(old: Call, new: Call, row: Row, fields: Fields) -> Iterator[Finding]:
    if new.name == row.operation and str(old) != str(new):
        yield keeps(row.used_by, f"`{row.operation}` is {new} now, no longer {old}; the generated client follows")
    yield from _module(old, new, row, fields.uses)
    yield from _parameters(old, new, row, fields)
    yield from _body(old, new, row, fields)
    yield from _replies(old, new, row, fields)


def _module(old: Call, new: Call, row: Row, uses: Uses) -> Iterator[Finding]:
    before, after = operation_module(old.operation), operation_module({**new.operation, "operationId": row.operation})
    if before == after:
        return
    told = f"`{row.operation}` has another tag: it is api/{after}.py in the client now, no longer api/{before}.py"
    if _imported(after) in uses.imports:
        yield keeps(row.used_by, told)
    else:
        yield breaks(row.used_by, told, None, uses.imports.get(_imported(before), row.place))


def _imported(module: str) -> str:
    return f"{PACKAGE}.api.{module.replace('/', '.')}"


def _parameters(old: Call, new: Call, row: Row, fields: Fields) -> Iterator[Finding]:
    before, after = _declared(old), _declared(new)
    here = {place for place, name in before if place == "path"}
    if here and _count(before) != _count(after):
        told = f"`{row.operation}` takes {_count(after)} ids in its path now, no longer {_count(before)}"
        yield breaks(row.used_by, told, None, row.place)
    for (place, name), parameter in after.items():
        earlier = before.get((place, name))
        if place == "path":
            continue
        if earlier is None:
            yield _added(place, name, parameter, row)
        elif parameter.get("required") is True and earlier.get("required") is not True:
            yield _now_required(place, name, row)
    gone, fresh = (
        [name for place, name in one if place != "path" and (place, name) not in other]
        for one, other in ((before, after), (after, before))
    )
    became = guesses(gone, fresh, lambda *_: True, lambda *_: True)
    for (place, name), parameter in before.items():
        if (place, name) not in after and place != "path":
            yield _dropped(place, name, became[name], row)
        elif (place, name) in after:
            yield from fields.parameter(f"the {place} parameter `{name}`", parameter, after[place, name], row)


def _declared(call: Call) -> dict[tuple[str, str], Object]:
    listed = [child(one) for one in items(call.operation.get("parameters"))]
    return {(text(one, "in"), text(one, "name")): one for one in listed}


def _count(parameters: Iterable[tuple[str, str]]) -> int:
    return sum(place == "path" for place, _ in parameters)


def _added(place: str, name: str, parameter: Object, row: Row) -> Finding:
    if parameter.get("required") is True and identifier(name) not in row.parameters:
        told = f"the {place} parameter `{name}` is new and required"
        if "default" in child(parameter, "schema"):
            return keeps(row.used_by, f"{told}; the client sends its default")
        return breaks(row.used_by, told, None, row.place)
    sends = "sends" if identifier(name) in row.parameters else "does not send"
    return keeps(row.used_by, f"the {place} parameter `{name}` is new and optional; the facade {sends} it")


def _now_required(place: str, name: str, row: Row) -> Finding:
    return breaks(row.used_by, f"the {place} parameter `{name}` is required now", None, row.place)


def _dropped(place: str, name: str, guess: Guess, row: Row) -> Finding:
    if identifier(name) in row.parameters:
        return breaks(row.used_by, f"the {place} parameter `{name}` {guess}", None, row.place)
    return keeps(row.used_by, f"the {place} parameter `{name}`, which the facade never sends, {guess}")


def _body(old: Call, new: Call, row: Row, fields: Fields) -> Iterator[Finding]:
    (media, schema), (new_media, new_schema) = body_of(old), body_of(new)
    if not media and not new_media:
        return
    if not new_media:
        yield breaks(row.used_by, f"`{row.operation}` takes no body any more", None, row.place)
    elif not media:
        required = child(new.operation, "requestBody").get("required") is True
        told = f"`{row.operation}` takes a body now"
        yield breaks(row.used_by, f"{told}, and requires it", None, row.place) if required else keeps(row.used_by, told)
    else:
        if media != new_media:
            yield breaks(row.used_by, f"the body is sent as {new_media} now, no longer as {media}", None, row.place)
        yield from fields.compare(schema, new_schema, row, writing=True, name=class_name(f"{row.operation}_body"))


def _replies(old: Call, new: Call, row: Row, fields: Fields) -> Iterator[Finding]:
    before, after = dict(reply_of(old, True)), dict(reply_of(new, True))
    yield from _statuses(dict(reply_of(old)), dict(reply_of(new)), row)
    schema, new_schema = _first(before.values()), _first(after.values())
    if schema and not new_schema:
        told, seen = "the reply has no schema any more", shape(fields.old, schema)
        named = fields.uses_of_class(seen)
        reads = f"{told}, so there is no class for it, where the facade reads {seen.told()}"
        yield (
            breaks(row.used_by, reads, named) if named else keeps(row.used_by, f"{told}; the facade reads it as before")
        )
    elif schema:
        yield from fields.compare(schema, new_schema, row, writing=False)


def _statuses(before: Iterable[str], after: Iterable[str], row: Row) -> Iterator[Finding]:
    gone, fresh = [one for one in before if one not in after], [one for one in after if one not in before]
    if gone:
        one = "is not documented any more; when it comes, it is judged as before"
        many = "are not documented any more; when they come, they are judged as before"
        yield keeps(row.used_by, _of_statuses(gone, one, many))
    if fresh:
        one = "is documented now; the facade judges it by its kind"
        many = "are documented now; the facade judges them by their kind"
        yield keeps(row.used_by, _of_statuses(fresh, one, many))


def _of_statuses(statuses: list[str], one: str, many: str) -> str:
    return f"the status {statuses[0]} {one}" if len(statuses) == 1 else f"the statuses {', '.join(statuses)} {many}"


def _first(schemas: Iterable[Json]) -> Json:
    return next((schema for schema in schemas if schema), None)
