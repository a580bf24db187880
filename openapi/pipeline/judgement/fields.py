"""Compare two schemas field by field, and judge each difference by what the facade does with the field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import evolve

from pipeline.document import Json, Object, child, items, text
from pipeline.judgement.findings import Finding, breaks, keeps
from pipeline.judgement.readers import reads, takes
from pipeline.judgement.renames import LISTED, Guess, guesses
from pipeline.judgement.shapes import Call, Shape, became, members_of, reply_of, shape
from pipeline.judgement.uses import Place, Row, Use, Uses
from pipeline.naming import class_name, identifier

FEW = 2
"""Values of an enumeration that are told one by one when they are gone."""


class Fields:
    """One comparison of two documents; remembers the pairs of schemas that it has been through."""

    def __init__(self, old: Object, new: Object, uses: Uses) -> None:
        self.old, self.new, self.uses = old, new, uses
        self.replaced: dict[str, str] = {}
        self._done: set[tuple[str, str, str, bool]] = set()

    def uses_of_class(self, seen: Shape) -> list[Use]:
        """Return where the facade names the class of a schema, or of what it holds."""
        return [use for name in _names(seen) for use in self.uses.of(class_name(name)) if use.how == "class"]

    def parameter(self, what: str, old: Object, new: Object, row: Row) -> Iterator[Finding]:
        """Yield what changed about a parameter that both have."""
        before, after = shape(self.old, old.get("schema")), shape(self.new, new.get("schema"))
        if before.kinds != after.kinds or before.is_listed != after.is_listed:
            told = f"{what} {became(before, after)}"
            yield keeps(row.used_by, told) if takes(after, before) else breaks(row.used_by, told, None, row.place)

    def errors(self, method: str, old: dict[str, Call], new: dict[str, Call], used: set[str]) -> Iterator[Finding]:
        """Yield what changed about the bodies of refusals, once for all operations that the facade uses."""
        row = Row("", method, Place("", 0))
        for name in sorted(used & old.keys() & new.keys()):
            before, after = (dict(reply_of(one[name], success=False)) for one in (old, new))
            for status in sorted(before.keys() & after.keys()):
                if before[status] and after[status]:
                    yield from self.compare(before[status], after[status], row, writing=False)

    def compare(
        self, old: Json, new: Json, row: Row, writing: bool, name: str = "", what: str = ""
    ) -> Iterator[Finding]:
        """Yield what changed between two schemas and all that they hold; `name` is for those that have none."""
        before, after = shape(self.old, old), shape(self.new, new)
        before, after = (evolve(one, name=one.name or name) for one in (before, after))
        what = what or f"the {_part(writing)}"
        if before.kinds != after.kinds and not (before.branches or after.branches):
            yield self._other_kind(before, after, row, writing, what)
        elif after.nullable and not before.nullable and not writing:
            yield keeps(row.used_by, f"{what} may be null now")
        yield from self._shapes(before, after, row, writing)

    def _other_kind(self, old: Shape, new: Shape, row: Row, writing: bool, what: str) -> Finding:
        told = f"{what} {became(old, new)}"
        felt = self._felt(old, row, writing)
        if writing and not takes(new, old):
            return breaks(row.used_by, told, felt, row.place)
        return breaks(row.used_by, told, felt) if felt and not writing else keeps(row.used_by, told)

    def _felt(self, old: Shape, row: Row, writing: bool) -> list[Use]:
        """Return where the facade names the class of a schema, or a field of it."""
        return self.uses_of_class(old) + [use for name in old.fields for use in self._used(old, name, row, writing)]

    def _shapes(self, old: Shape, new: Shape, row: Row, writing: bool) -> Iterator[Finding]:
        key = (row.used_by, old.name, new.name, writing)
        if old.name and key in self._done:
            return
        self._done.add(key)
        if old.branches or new.branches:
            yield from self._unions(old, new, row, writing)
        elif old.is_listed and new.is_listed:
            yield from self._renamed(old, new, row)
            yield from self._members(old, new, row)
        elif old.kinds == new.kinds == {"array"}:
            held = old.schema.get("items"), new.schema.get("items")
            yield from self.compare(*held, row, writing, what=f"what a list of the {_part(writing)} holds")
        elif old.kinds == new.kinds == {"object"}:
            yield from self._renamed(old, new, row)
            yield from self._properties(old, new, row, writing)

    def _renamed(self, old: Shape, new: Shape, row: Row) -> Iterator[Finding]:
        named = [use for use in self.uses.of(class_name(old.name)) if use.how in ("class", "member")]
        if old.name and new.name and old.name != new.name:
            self.replaced[old.name] = new.name
        if old.name and class_name(old.name) != class_name(new.name) and named:
            told = f"`{new.name}` takes the place of `{old.name}`"
            written_out = f"the document writes `{old.name}` out where it is used: its class is another one"
            yield breaks(row.used_by, told if new.name else written_out, named)

    def _unions(self, old: Shape, new: Shape, row: Row, writing: bool) -> Iterator[Finding]:
        before, after = (one.branches or (one,) for one in (old, new))
        by_name = {one.name: one for one in after}
        for branch in before:
            if branch.name in by_name:
                yield from self._shapes(branch, by_name[branch.name], row, writing)
            else:
                yield from self._kind_gone(branch, after, row, writing)
        known = {one.name for one in before}
        for branch in after if new.branches else ():
            if branch.name not in known:
                yield self._new_kind(old, branch, row, writing)

    def _kind_gone(self, old: Shape, after: tuple[Shape, ...], row: Row, writing: bool) -> Iterator[Finding]:
        named = [use for use in self.uses.of(class_name(old.name)) if use.how == "class"]
        felt = named or (self._felt(old, row, writing) if len(after) > 1 else [])
        if felt:
            told = f"{old.told()} is not among the kinds any more; there is {_listed(after)}"
            yield breaks(row.used_by, told, felt)
        if len(after) == 1 and after[0].fields:
            yield from self._properties(old, after[0], row, writing)

    def _new_kind(self, old: Shape, branch: Shape, row: Row, writing: bool) -> Finding:
        felt = [] if writing or old.branches else self._felt(old, row, writing)
        if felt:
            told = f"{branch.told()} may come too now, where the facade reads only {old.told()}"
            return breaks(row.used_by, told, felt)
        how = "the facade does not send it" if writing else "it comes through as an unknown one"
        return keeps(row.used_by, f"{branch.told()} is a new kind; {how}")

    def _members(self, old: Shape, new: Shape, row: Row) -> Iterator[Finding]:
        before, after = members_of(old.schema), members_of(new.schema)
        name = old.name or new.name
        lost = [member for member in before if member not in after]
        fresh = [member for member in after if member not in before]
        if len(lost) > FEW:
            told = f"the values of `{name}` are {_values(after.values())} now, no longer {_values(before.values())}"
            named = self.uses.of(class_name(name))
            told += _described(new)
            yield breaks(row.used_by, told, named) if named else keeps(row.used_by, told)
            return
        for member in lost:
            named = self.uses.of(class_name(name), member)
            told = f"the value `{before[member]}` of `{name}` is gone"
            told += f"; new is {_values(after[one] for one in fresh)}" if fresh else ""
            yield breaks(row.used_by, told, named) if named else keeps(row.used_by, told)
        for member in fresh:
            told = f"`{name}` has the new value `{after[member]}`; it comes through as unknown until somebody names it"
            yield keeps(row.used_by, told, self.uses.of(class_name(name))[:1])
        for member in before:
            if member in after and before[member] != after[member]:
                told = f"the value `{before[member]}` of `{name}` is written `{after[member]}` now, under the same name"
                named = self.uses.of(class_name(name), member)
                taken = after[member] in before.values()
                yield (breaks if named and taken else keeps)(row.used_by, told + _described(new), named)

    def _properties(self, old: Shape, new: Shape, row: Row, writing: bool) -> Iterator[Finding]:
        gone, fresh = ([name for name in one.fields if name not in two.fields] for one, two in ((old, new), (new, old)))
        renamed = guesses(
            gone, fresh, lambda *pair: self._alike(old, new, *pair), lambda *pair: _in_place(old, new, *pair)
        )
        for name, schema in old.fields.items():
            used, other = self._used(old, name, row, writing), name
            if name in renamed:
                yield self._gone(old, new, name, renamed[name], used, row, writing)
                other = renamed[name].name
            else:
                yield from self._presence(old, new, name, used, row, writing)
            if other:
                before, after = shape(self.old, schema), shape(self.new, new.fields[other])
                same = identifier(other) == identifier(name)
                yield from self._kinds(name, before, after, used, row, writing) if same else ()
                deeper = evolve(row, levels=row.levels - 1 if "array" in before.kinds else 0)
                yield from self._shapes(before, after, deeper, writing)
        taken = {guess.name for guess in renamed.values()}
        for name in fresh:
            if name not in taken:
                yield self._fresh(new, name, row, writing)

    def _alike(self, old: Shape, new: Shape, name: str, other: str) -> bool:
        before, after = shape(self.old, old.fields[name]), shape(self.new, new.fields[other])
        return before.kinds == after.kinds or (before.is_listed and after.is_listed)

    def _used(self, owner: Shape, name: str, row: Row, writing: bool) -> list[Use]:
        """Return the uses of a field; what the facade reads by its name on the wire counts where no class is named."""
        if not owner.name or not self.uses.of(class_name(owner.name)):
            return [] if writing else self._read_by_name(owner.name, name, row)
        every = self.uses.of(class_name(owner.name))
        if writing and not any(use.how == "write" for use in every):
            return every  # It is filled from a mapping, whose keys nobody sees here.
        how, attribute = "write" if writing else "read", identifier(name)
        return [use for use in every if use.how == how and use.name == attribute]

    def _read_by_name(self, owner: str, name: str, row: Row) -> list[Use]:
        # Where requests are built nothing of a reply is looked up.
        places = [place for place in self.uses.keys.get(name, ()) if row.levels > 0 and place.file != row.place.file]
        serves = self.uses.scopes
        return [
            Use(owner, name, "read", place)
            for place in places
            if not row.operation or row.operation in serves.get(place, frozenset())
        ]

    def _gone(
        self, old: Shape, new: Shape, name: str, guess: Guess, used: list[Use], row: Row, writing: bool
    ) -> Finding:
        what = f"the {_part(writing)} field `{name}`{_of(old)}"
        if not used:
            return keeps(row.used_by, f"{what}, which the facade does not use, {guess}")
        follows = self.uses.of(class_name(old.name)) and all(use.name == identifier(name) for use in used)
        if follows and identifier(guess.name) == identifier(name):
            return keeps(row.used_by, f"{what} is written `{guess.name}` now; the generated client follows", used)
        if not row.operation and new.is_open:
            return keeps(row.used_by, f"{what} is not documented any more; the facade reads it when it comes", used)
        return breaks(row.used_by, f"{what} {guess}", used)

    def _presence(
        self, old: Shape, new: Shape, name: str, used: list[Use], row: Row, writing: bool
    ) -> Iterator[Finding]:
        was, now = name in old.required, name in new.required
        what = f"the {_part(writing)} field `{name}`{_of(old)}"
        if writing and now and not was:
            missing = not used or any(not use.always for use in used)
            told = f"{what} is required now"
            yield (
                breaks(row.used_by, f"{told}, and the facade may leave it out", used, row.place)
                if missing
                else keeps(row.used_by, f"{told}; the facade always sends it", used)
            )
        elif writing and was and not now:
            yield keeps(row.used_by, f"{what} may be left out now; the facade sends it", used)
        elif was != now:
            yield keeps(row.used_by, f"{what} {'is always there' if now else 'may be missing'} now", used)

    def _kinds(self, name: str, old: Shape, new: Shape, used: list[Use], row: Row, writing: bool) -> Iterator[Finding]:
        what = f"the {_part(writing)} field `{name}`"
        if old.nullable != new.nullable and old.kinds == new.kinds:
            told = "may be null now" if new.nullable else "is never null now"
            yield keeps(row.used_by, f"{what} {told}", used)
        const, values = old.schema.get("const"), _said(new)
        if const is not None and const not in values:
            told = f"{what} is {_values(values) or 'any value'} now, no longer `{const}`"
            yield breaks(row.used_by, told, used, *self.uses.strings.get(str(const), ()))
        if (old.kinds == new.kinds and old.is_listed == new.is_listed) or (old.is_listed and new.is_listed):
            return
        told = f"{what} {became(old, new)}"
        lost = [use for use in used if not (takes(new, old) if writing else reads(use.reader, old, new))]
        yield breaks(row.used_by, told, lost) if lost else keeps(row.used_by, told, used)

    def _fresh(self, new: Shape, name: str, row: Row, writing: bool) -> Finding:
        what = f"the {_part(writing)} field `{name}`{_of(new)}"
        if writing and name in new.required:
            return breaks(row.used_by, f"{what} is new and required", None, row.place)
        return keeps(row.used_by, f"{what} is new{'' if writing else '; it is in `raw`'}")


def _said(one: Shape) -> list[Json]:
    """Return the only values that a schema admits, none when it admits others too."""
    return items(one.schema.get("enum")) or ([one.schema["const"]] if "const" in one.schema else [])


def _in_place(old: Shape, new: Shape, name: str, other: str) -> bool:
    """Whether a field may well be another one by where it stands, or by being as needed."""
    before, after = list(old.fields), list(new.fields)
    return before.index(name) == after.index(other) or (name in old.required and other in new.required)


def _part(writing: bool) -> str:
    return "body" if writing else "reply"


def _of(owner: Shape) -> str:
    return f" of `{owner.name}`" if owner.name else ""


def _names(seen: Shape) -> list[str]:
    inner = [name for branch in seen.branches for name in _names(branch)]
    held = child(seen.schema, "items").get("$ref")
    return [name for name in (seen.name, *inner, str(held or "").rpartition("/")[2]) if name]


def _listed(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(one.told() for one in shapes)


def _values(values: Iterable[Json]) -> str:
    listed = [f"`{value}`" for value in values]
    return ", ".join(listed[:LISTED]) + (" and more" if len(listed) > LISTED else "")


def _described(enumeration: Shape) -> str:
    """Return what the document says of the values: of bare integers nothing else tells their meaning."""
    words = " ".join(text(enumeration.schema, "description").split())
    return f"; it is described as “{words}”" if words else ""
