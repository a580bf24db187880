"""What a probe of a tenant found: marks become confirmed, and what contradicts the document is named with its lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from attrs import asdict, evolve, field, frozen
from attrs.validators import deep_mapping, in_, instance_of, matches_re

from pipeline.document import Object, child, dump, edit_operations, operations, read_bytes, text
from pipeline.expected import expected
from pipeline.judge import Edit, Row, reads
from pipeline.layout import Layout
from pipeline.naming import identifier
from pipeline.overlay import read_overlay
from pipeline.problems import PipelineError
from pipeline.provenance import MARK, NOTE

KEPT = {"format": "puzzel-chat-probe", "version": 1}
ANSWERS = ("confirmed", "differs", "unclear", "not asked")
SEMANTICS = ("history", "cursor", "drain", None)
ROTATIONS = ("no_refresh_token", "kept", "same_reply", "new_reply", "refused", "revoked", None)
# What may stand in the file: calls, names of members and types, statuses, content types. Never a value.
DATE = matches_re(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
METHOD = matches_re(r"[A-Z]{3,7}")
OPERATION = matches_re(r"[A-Za-z_]{1,60}[0-9]{0,2}")
PATH = matches_re(r"(/([A-Za-z_.-]{1,40}[0-9]{0,2}|\{[A-Za-z0-9_]{1,40}\}))+/?")
POINTER = matches_re(r"(/([A-Za-z_$@][A-Za-z_.]{0,38}[0-9]{0,2}|\*))*")
KIND = r"(object|array|string|integer|number|boolean|null|any|[1-5][0-9]{2})"
KINDS = matches_re(rf"({KIND}( or {KIND})*|missing|new|unreadable|not json|of no type|[a-z]+/[a-z0-9.+-]{{1,60}})?")
SIMULATED = "a probe of the bundled simulator, which confirms nothing of Puzzel"


@frozen
class Difference:
    """What is not as expected: of the whole answer, or of the member at `pointer`."""

    pointer: str = field(validator=POINTER)
    expected: str = field(validator=KINDS)
    came: str = field(validator=KINDS)


@frozen
class Answer:
    """How one operation answered, asked in this way."""

    method: str = field(validator=METHOD)
    path: str = field(validator=PATH)
    answer: str = field(validator=in_(ANSWERS))
    differences: tuple[Difference, ...] = field()


@frozen
class Observed:
    """What a probe found."""

    date: str = field(validator=DATE)
    simulator: bool = field(validator=instance_of(bool))
    semantics: str | None = field(validator=in_(SEMANTICS))
    rotation: str | None = field(validator=in_(ROTATIONS))
    answers: dict[str, Answer] = field(validator=deep_mapping(OPERATION, instance_of(Answer)))

    @property
    def data(self) -> bytes:
        """The file as it is kept: the known members only, so that nothing else of a tenant gets into the tree."""
        facts = asdict(self)
        answers = facts.pop("answers")
        return dump(cast("Object", {**KEPT, **facts, "operations": answers}))


def read_observed(path: Path, name: str) -> Observed:
    """Read what a probe saved. Raises `PipelineError` when it is something else."""
    data = read_bytes(path)
    try:
        document = json.loads(data)
        if {key: document[key] for key in KEPT} != KEPT:
            raise ValueError
        answers = {operation: _answer(answer) for operation, answer in sorted(document["operations"].items())}
        date, simulator = document["date"], document["simulator"]
        return Observed(date, simulator, document.get("semantics"), document.get("rotation"), answers)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise PipelineError(f"{name} is not what `puzzel-chat probe --save FILE` writes: give that file.") from None


def _answer(found: Any) -> Answer:
    differences = [[one[key] for key in ("pointer", "expected", "came")] for one in found.get("differences", ())]
    return Answer(found["method"], found["path"], found["answer"], tuple(Difference(*one) for one in differences))


def confirm_observed(document: Object, observed: Observed | None) -> Object:
    """Mark the operations that answered as the document says."""
    if observed is None:
        return document
    by = "only by the bundled simulator, not Puzzel," if observed.simulator else "by a probe of a tenant"

    def change(label: str, operation: Object) -> Object:
        answer = observed.answers.get(text(operation, "operationId"))
        if answer is None or answer.answer != "confirmed" or label != f"{answer.method} {answer.path}":
            return operation
        note = f"Confirmed {by} on {observed.date}. {text(operation, NOTE)}".rstrip()
        return {**operation, MARK: "confirmed", NOTE: note}

    return edit_operations(document, change)


def contradictions(layout: Layout, document: Object, observed: Observed, table: Iterable[Row]) -> Iterator[Edit]:
    """Yield what the service answered otherwise than the document says, at the lines to edit."""
    used = {row.operation: row for row in table}
    pins = {text(child(one.update), "operationId"): one.line for one in read_overlay(layout.overlay)}
    for path, method, operation in operations(document):
        name = text(operation, "operationId")
        answer = observed.answers.get(name)
        if answer is None or (answer.method, answer.path) != (method.upper(), path) or name not in used:
            continue
        expects = expected(document, operation).reply
        for one in answer.differences if answer.answer == "differs" else ():
            if not one.pointer and name in pins:
                yield Edit(layout.short(layout.overlay), pins[name], _told(name, one))
            if not one.pointer or not _agrees(one, expects):
                member = identifier(one.pointer.rpartition("/")[2]) if one.pointer else ""
                lines = list(reads(layout, used[name], member)) or [Edit(used[name].file, used[name].line, "")]
                yield from (evolve(line, text=_told(name, one)) for line in lines)


def _agrees(one: Difference, expects: dict[str, str]) -> bool:
    """Whether the document says by now what the probe met."""
    known = expects.get(one.pointer)
    if one.came == "missing" or known is None:
        return known is None and one.came == "missing"
    kinds = set(known.split(" or "))
    if "number" in kinds:
        kinds.add("integer")
    return one.came == "new" or kinds.issuperset(one.came.split(" or "))


def _told(name: str, one: Difference) -> str:
    if not one.pointer:
        return f"`{name}` answered {one.came} to the probe, where {one.expected} was expected"
    other = f", not {one.expected}" if one.expected else ""
    return f"`{one.pointer}` in the reply of `{name}` is {one.came} to the probe{other}"


def observed_notes(document: Object, observed: Observed | None) -> Iterator[str]:
    """Yield what else a probe tells, and what of it does not speak of this document."""
    if observed is None:
        return
    if observed.simulator:
        yield f"openapi/observed.json is {SIMULATED}: it is for a rehearsal, and `make check` refuses it"
    if observed.semantics:
        yield f"to the probe a poll gave what `{observed.semantics}` means"
    if observed.rotation:
        yield f"to the probe a used refresh token was `{observed.rotation}`"
    here = {text(one, "operationId"): f"{method.upper()} {path}" for path, method, one in operations(document)}
    for name, answer in observed.answers.items():
        asked = f"{answer.method} {answer.path}"
        if name in here and here[name] != asked:
            yield f"the probe asked `{name}` as {asked}, and it is {here[name]} here: probe again"
