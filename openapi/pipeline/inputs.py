"""What a run starts from: the document that was asked for, and what the tree holds now."""

from __future__ import annotations

import contextlib
from datetime import date
from pathlib import Path

from attrs import field, frozen

from pipeline.build import Read, Say, read
from pipeline.document import Object, operations, parse, read_bytes, sha256
from pipeline.intake import Fetched, address_of, fetch, shown
from pipeline.layout import Layout
from pipeline.observed import Observed, read_observed
from pipeline.problems import PipelineError
from pipeline.provenance import is_marked
from pipeline.source import RECONSTRUCTION, check_source, read_source, written


@frozen
class Wish:
    """What the person asked for: which document, and what to do with it; `limit` is in seconds."""

    spec: str | None = None
    choice: str | None = None
    header: str | None = field(default=None, repr=False)
    limit: float = 30.0
    accept: bool = False
    keep_assumed: bool = False
    observed: Path | None = None


@frozen
class Given:
    """The document that a run starts from, SOURCE.toml for it, and sentences about how it was come by."""

    read: Read
    source: bytes
    told: tuple[str, ...]


@frozen
class Old:
    """What the tree holds: the document as it came, and as the generator got it."""

    read: Read
    built: Object = field(repr=False)


def given(layout: Layout, wish: Wish, say: Say) -> Given:
    """Return the document that was asked for, by default the one in the tree.

    Raises `PipelineError` when there is none, or when the one in the tree is not the one that SOURCE.toml describes.
    """
    if wish.spec is None:
        name, data = layout.short(layout.upstream), read_bytes(layout.upstream)
        source = check_source(data, layout.upstream, layout.source)
        found = Given(read(layout, data, name), read_bytes(layout.source), (f"{name}, origin: {source.origin}.",))
    else:
        address = address_of(wish.spec)
        if not address.startswith("file:"):
            say(f"Fetching {shown(address)}")
        fetched = fetch(wish.spec, choice=wish.choice, header=wish.header, limit=wish.limit)
        document = read(layout, fetched.data, fetched.origin)
        found = Given(document, _source(layout, document, fetched), (*fetched.told, f"{fetched.origin}."))
    raw = found.read.raw
    count = len(list(operations(raw)))
    say(" ".join([*found.told[:-1], f"Read {found.told[-1]}"]) + f" OpenAPI {raw['openapi']}, {count} operations.")
    return found


def observed(layout: Layout, wish: Wish) -> Observed | None:
    """Return what a probe found: the file that was given, else the one that is kept in the tree."""
    if wish.observed is not None:
        return read_observed(wish.observed, str(wish.observed))
    return read_observed(layout.observed, layout.short(layout.observed)) if layout.observed.is_file() else None


def _source(layout: Layout, document: Read, fetched: Fetched) -> bytes:
    # Of a file only the name is kept, and nothing of how it was found: its folder is that of one machine.
    web = "://" in fetched.origin
    origin, note = (fetched.origin, " ".join(fetched.told)) if web else (Path(fetched.origin).name, "")
    with contextlib.suppress(PipelineError):
        source = read_source(layout.source)
        if source.sha256 == sha256(document.data):
            return read_bytes(layout.source)
        note = source.note if is_marked(document.raw) else note
    return written(RECONSTRUCTION if is_marked(document.raw) else origin, document.data, date.today(), note)


def present(layout: Layout, document: Read) -> Old | None:
    """Return what the tree holds, or None before the first build, when there is nothing to compare with.

    `document` is the one that the run starts from; often it is the tree's own, and need not be read twice.
    """
    if not (layout.built.is_file() and layout.package.is_dir() and layout.upstream.is_file()):
        return None
    data = read_bytes(layout.upstream)
    before = document if data == document.data else read(layout, data, layout.short(layout.upstream))
    return Old(before, parse(read_bytes(layout.built), layout.built))
