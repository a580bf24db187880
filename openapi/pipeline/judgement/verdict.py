"""Say what a new document does to the facade: which operations went, moved or changed, and what to edit."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from pipeline.document import Object, child, text
from pipeline.judgement.bindings import compare_operations, new_operations
from pipeline.judgement.fields import Fields
from pipeline.judgement.findings import Finding, breaks, keeps
from pipeline.judgement.moved import moved
from pipeline.judgement.shapes import Call, calls, calls_by_place
from pipeline.judgement.uses import Place, Row, Uses
from pipeline.naming import NAMES
from pipeline.overlay import Missed
from pipeline.private import MARK as PRIVATE
from pipeline.provenance import MARK
from pipeline.servers import common_hosts, hosts

CORRECTIONS = "corrections that do not fit"
COMMAND = "KEEP_ASSUMED=1"


@frozen
class Absent:
    """The operations of the facade that a document does not have under their names.

    `moved` are those that another call is taken for, `lacking` the others.
    """

    moved: dict[str, Call]
    lacking: tuple[Call, ...]


def absent(old: Object, new: Object, uses: Uses) -> Absent:
    """Return what became of the operations that the facade uses and the new document does not have."""
    before, after = calls(old), calls(new)
    used = {row.operation for row in uses.rows}
    gone = [call for name, call in before.items() if name in used and name not in after]
    taken = moved(gone, [call for name, call in after.items() if name not in used])
    return Absent(taken, tuple(call for call in gone if call.name not in taken))


def findings(
    old: Object, new: Object, uses: Uses, gone: Absent, kept: frozenset[str], missed: tuple[Missed, ...], overlay: str
) -> list[Finding]:
    """Return everything that the facade feels, and what it does not; `kept` are the operations carried over."""
    rows = {row.operation: row for row in uses.rows}
    pins = {text(child(miss.action.update), "operationId"): Place(overlay, miss.action.line) for miss in missed}
    before = calls(old)
    found = [_moved(before[name], call, rows[name], pins) for name, call in gone.moved.items()]
    found += [_lacking(call, rows[call.name]) for call in gone.lacking if call.name not in kept]
    found += [_kept(before[name], rows[name]) for name in before if name in kept]
    fields = Fields(old, new, uses)
    found += compare_operations(fields, uses, gone.moved)
    found += new_operations(old, new, [str(call) for call in gone.moved.values()])
    found += _hosts(new, uses)
    found += _missed(missed, before, gone, fields.replaced, overlay)
    return found


def _moved(old: Call, new: Call, row: Row, pins: dict[str, Place]) -> Finding:
    where = f"`{old.name}` was {old}"
    if old.path == new.path:
        told = f"{where}, and its method is {new.method.upper()} now"
    elif old.path.lower() == new.path.lower():
        told = f"{where}, and its path is now written {new.path}, which differs in case"
    else:
        told = f"{where}, which is gone; {new} looks like it"
    place = pins.get(old.name, row.place)
    return breaks(row.used_by, f"{told}: pin it to {_target(new)}", None, place)


def _target(call: Call) -> str:
    return f"$.paths['{call.path}'].{call.method}"


def _lacking(old: Call, row: Row) -> Finding:
    sure = text(old.operation, MARK)
    told = f"the document has no {old}, our `{old.name}` ({sure}), and nothing like it"
    return breaks(row.used_by, f"{told}: {COMMAND} carries ours over, or take it out of the facade", None, row.place)


def _kept(old: Call, row: Row) -> Finding:
    sure = text(old.operation, MARK)
    return keeps(row.used_by, f"the document has no {old}; our `{old.name}` is carried over, still {sure}")


def _hosts(document: Object, uses: Uses) -> Iterator[Finding]:
    """Yield the operations whose row names another of the two hosts than the document, which may know of one only."""
    common = common_hosts(document)
    for name, call in calls(document).items():
        own = hosts(call.operation)
        row = next((row for row in uses.rows if row.operation == name), None)
        if row is None or not (own or common):
            continue
        apart = bool(own) and not own & common
        if apart and row.host == "communication":
            told = f"{call} is answered elsewhere, at {', '.join(sorted(own))}: say in its row which host it is sent to"
            yield breaks(row.used_by, told, None, row.place)
        if not apart and row.host == "identity":
            yield keeps(
                row.used_by, f"{call} has no host of its own in the document; it is still sent to the identity host"
            )


def _missed(
    missed: tuple[Missed, ...], before: dict[str, Call], gone: Absent, replaced: dict[str, str], overlay: str
) -> Iterator[Finding]:
    told_already = {*gone.moved, *(call.name for call in gone.lacking)}
    for miss in missed:
        if text(child(miss.action.update), "operationId") in told_already:
            continue
        told = _unfit(miss, _retargeted(miss.action.target, before, gone.moved, replaced), replaced)
        yield breaks(CORRECTIONS, told, None, Place(overlay, miss.action.line))


def _unfit(miss: Missed, target: str, replaced: dict[str, str]) -> str:
    if miss.reference:
        name = miss.reference.rpartition("/")[2]
        instead = f"; `{replaced[name]}` takes its place" if name in replaced else ""
        return f"what is written to {miss.action.target} refers to `{name}`, which is gone{instead}: correct it"
    if target:
        return f"{miss.action.target} becomes {target}"
    near = f"nearest is {miss.nearest}" if miss.nearest != "$" else "nothing resembles it"
    return f"there is no {miss.action.target}; {near}: correct the target or drop the action"


def _retargeted(target: str, before: dict[str, Call], taken: dict[str, Call], replaced: dict[str, str]) -> str:
    places = [(_target(before[name]), _target(call)) for name, call in taken.items()]
    places += [(f"$.components.schemas.{old}", f"$.components.schemas.{new}") for old, new in replaced.items()]
    for start, fresh in places:
        if target == start or target.startswith((f"{start}.", f"{start}[")):
            return fresh + target.removeprefix(start)
    return ""


def named_otherwise(old: Object, new: Object, document: Object, uses: Uses) -> list[Finding]:
    """Return the used operations to which the document as it came gives another name than before."""
    before = {(call.path, call.method): call.name for call in calls_by_place(old)}
    here = {name: (call.path, call.method) for name, call in calls(document).items()}
    named = {(call.path, call.method): call.name for call in calls_by_place(new)}
    return [
        keeps(row.used_by, f"the document calls this operation `{theirs}`; it stays `{row.operation}` here")
        for row in uses.rows
        if row.operation in here
        and (theirs := named.get(here[row.operation], ""))
        and theirs != before.get(here[row.operation], "")
        and theirs != row.operation
    ]


def kinds(old: Object, new: Object, uses: Uses) -> Iterator[Finding]:
    """Yield the kinds of a discriminator that the facade knows by their value and the new document does not have.

    The documents are those without the overlay, which takes the discriminators out.
    """
    for name, schema in child(old, "components", "schemas").items():
        before = child(schema, "discriminator", "mapping")
        after = child(new, "components", "schemas", name, "discriminator", "mapping")
        fresh = [f"`{value}`" for value in after if value not in before]
        for value in [value for value in before if after and value not in after]:
            told = f"the kind `{value}` of `{name}` is gone" + (f"; new is {', '.join(fresh)}" if fresh else "")
            for row in uses.rows:
                places = [one for one in uses.strings.get(value, ()) if row.operation in uses.scopes.get(one, ())]
                if places:
                    yield breaks(row.used_by, told, None, *places)


def readable_classes(old: Object, new: Object) -> Iterator[str]:
    """Yield the new schemas whose class will show its fields in its `repr`: somebody must say if that is right."""
    known, schemas = (child(document, "components", "schemas") for document in (old, new))
    for name, schema in schemas.items():
        if name not in known and child(schema, "properties") and child(schema).get(PRIVATE) is not True:
            yield f"the class {name} is new and shows its fields when printed: mark it x-private if that must not be"


def nameless_values(document: Object) -> Iterator[str]:
    """Yield the enumerations of bare integers, with what their description says of the values: nothing else does."""
    for name, schema in child(document, "components", "schemas").items():
        one = child(schema)
        if one.get("type") == "integer" and "enum" in one and NAMES not in one:
            words = " ".join(text(one, "description").split())
            described = f", described as “{words}”" if words else ", which nothing describes"
            yield f"the values of {name} are bare integers{described}: name them with {NAMES} in the overlay"
