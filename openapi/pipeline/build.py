"""From the document as it came to the new document and package, in a folder of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from attrs import field, frozen

from pipeline.assumed import put_under
from pipeline.document import Object, child, dump, operations, text
from pipeline.generate import Generated, generate
from pipeline.intake.convert import is_swagger_2, to_openapi
from pipeline.intake.decode import decode
from pipeline.layout import Layout
from pipeline.normalise import finish, give_up_names, normalise
from pipeline.observed import Observed, confirm_observed
from pipeline.overlay import Missed, apply_overlay, read_overlay
from pipeline.provenance import confirm
from pipeline.validate import check_document, check_input

Say = Callable[[str], None]


@frozen
class Read:
    """A document as it came, as OpenAPI 3, and marked and with the traps taken out; `notes` say what that did."""

    data: bytes = field(repr=False)
    raw: Object = field(repr=False)
    normal: Object = field(repr=False)
    notes: tuple[str, ...]


@frozen
class Corrected:
    """The document as the generator gets it, and the corrections that found nothing."""

    document: Object = field(repr=False)
    missed: tuple[Missed, ...]
    notes: tuple[str, ...]


def read(layout: Layout, data: bytes, name: str) -> Read:
    """Read a document and take out its traps. Raises `PipelineError` when it is none, or of a kind not read here."""
    document, language = decode(data, name)
    if language == "yaml":
        data = dump(document)
    raw = to_openapi(layout, document) if is_swagger_2(document) else document
    check_input(raw, name)
    notes: list[str] = []
    normal = normalise(confirm(raw), notes.append)
    return Read(data, raw, normal, tuple(notes))


def correct(layout: Layout, normal: Object, carried: Object, observed: Observed | None = None) -> Corrected:
    """Put what is carried over under a document, apply our corrections, and mark what a probe has confirmed."""
    document, renamed = put_under(normal, carried)
    actions = read_overlay(layout.overlay)
    ours = {name for action in actions if (name := text(child(action.update), "operationId"))}
    document, missed = apply_overlay(give_up_names(document, ours), actions)
    notes = [
        f"our schema {name} is carried over as Assumed{name}: the document has another one of that name"
        for name in renamed
    ]
    document = confirm_observed(finish(document, notes.append), observed)
    return Corrected(document, missed, tuple(notes))


def package(layout: Layout, document: Object, folder: Path, say: Say) -> Generated:
    """Check the document and generate the package. Raises `PipelineError` when it cannot be used."""
    check_document(document, layout.short(layout.built))
    built = folder / layout.built.name
    built.write_bytes(dump(document))
    made = generate(document, built, layout, folder)
    count = len(list(made.package.rglob("*.py")))
    say(f"Generated {count} modules for {len(list(operations(document)))} operations.")
    return made
