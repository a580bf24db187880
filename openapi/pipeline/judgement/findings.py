"""What a comparison finds: one plain sentence each, under the method of the facade that feels it."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from attrs import evolve, field, frozen

from pipeline.judgement.uses import Place, Use


class Weight(enum.IntEnum):
    """What a finding means for the facade."""

    KEEPS = 0
    """The facade works as before: something was added, or what changed is not felt."""
    BREAKS = 1
    """The facade does not fit: somebody must edit."""


def _in_order(places: Iterable[Place]) -> tuple[Place, ...]:
    return tuple(sorted(set(places)))


@frozen
class Finding:
    """One thing that changed. `method` is the facade's; `edits` are the lines to look at, empty when none."""

    method: str
    weight: Weight
    text: str
    edits: tuple[Place, ...] = field(default=(), converter=_in_order)


def breaks(method: str, text: str, uses: list[Use] | None = None, *places: Place) -> Finding:
    """Return a finding that somebody must answer, at the lines of those uses and at those places."""
    return Finding(method, Weight.BREAKS, text, (*(use.place for use in uses or ()), *places))


def keeps(method: str, text: str, uses: list[Use] | None = None) -> Finding:
    """Return a finding that the facade does not feel; the lines say where it is met all the same."""
    return Finding(method, Weight.KEEPS, text, tuple(use.place for use in uses or ()))


def is_broken(found: Iterable[Finding]) -> bool:
    """Whether one of the findings must be answered before the facade works again."""
    return any(finding.weight is Weight.BREAKS for finding in found)


def told_once(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings with what is said several times under one method said once, for all its lines."""
    merged: dict[tuple[str, Weight, str], Finding] = {}
    for one in found:
        key = one.method, one.weight, one.text
        merged[key] = evolve(one, edits=(*merged[key].edits, *one.edits)) if key in merged else one
    return list(merged.values())
