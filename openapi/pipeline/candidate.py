"""Propose a new document: corrected, with what is carried over of ours, and with what it does to the facade."""

from __future__ import annotations

from attrs import field, frozen

from pipeline.assumed import CONNECT, missing, put_under, select
from pipeline.build import Corrected, correct
from pipeline.document import Object, parse, read_bytes
from pipeline.inputs import Given, Old
from pipeline.judgement.findings import Finding
from pipeline.judgement.uses import Uses
from pipeline.judgement.verdict import Absent, absent, findings, kinds, named_otherwise
from pipeline.judgement.wire_types import read_uses
from pipeline.layout import Layout
from pipeline.observed import Observed

NOBODY = Uses((), ())


@frozen
class New:
    """The new document; `carried` is what of ours was put under it, `kept` the operations that this run added there.

    `uses` is what the facade takes of the present client; it is only looked for where something is different.
    """

    corrected: Corrected
    carried: Object = field(repr=False)
    gone: Absent = field(factory=lambda: Absent({}, ()))
    kept: frozenset[str] = frozenset()
    uses: Uses = field(default=NOBODY, repr=False)


def propose(layout: Layout, document: Given, old: Old | None, keep: bool, observed: Observed | None = None) -> New:
    """Return the new document.

    With `keep`, the operations of the facade that it lacks are carried over of ours; the token endpoint is in any case.
    """
    normal = document.read.normal
    before = parse(read_bytes(layout.assumed), layout.assumed) if layout.assumed.is_file() else {}
    carried = select(before, missing(before, normal))
    corrected = correct(layout, normal, carried, observed)
    if old is None:
        return New(corrected, carried)
    if document.read.data == old.read.data and corrected.document == old.built:
        return New(corrected, carried)
    uses = read_uses(layout, layout.package.parent)
    gone = absent(old.built, corrected.document, uses)
    kept = [call for call in gone.lacking if keep or call.path == CONNECT]
    if kept:
        ours, _ = put_under(old.read.normal, before)
        carried = select(ours, [*missing(carried, normal), *((call.path, call.method) for call in kept)])
        corrected = correct(layout, normal, carried, observed)
    return New(corrected, carried, gone, frozenset(call.name for call in kept), uses)


def felt(layout: Layout, document: Given, old: Old | None, new: New) -> list[Finding]:
    """Return what the document does to the facade, as far as the documents tell; the type checker comes after that."""
    before, built = old.built if old else {}, new.corrected.document
    overlay = layout.short(layout.overlay)
    found = findings(before, built, new.uses, new.gone, new.kept, new.corrected.missed, overlay)
    if old:
        found += kinds(old.read.normal, document.read.normal, new.uses)
        found += named_otherwise(old.read.raw, document.read.raw, built, new.uses)
    return found
