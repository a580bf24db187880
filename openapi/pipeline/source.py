"""Keep SOURCE.toml: where the document came from, and its checksum, so that nobody edits it unseen."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from pathlib import Path

from attrs import frozen

from pipeline.document import read_bytes, sha256
from pipeline.problems import PipelineError, brief

HEAD = "# Where upstream.json came from. The pipeline refuses to run when the checksum is not the file's.\n"
RECONSTRUCTION = "reconstruction"
"""The origin of a document that carries our marks."""


@frozen
class Source:
    """What SOURCE.toml says about the document."""

    origin: str
    sha256: str
    note: str


def read_source(path: Path) -> Source:
    """Read SOURCE.toml. Raises `PipelineError` when it is unreadable or incomplete."""
    try:
        values = tomllib.loads(read_bytes(path).decode())
        return Source(str(values["origin"]), str(values["sha256"]), str(values.get("note", "")))
    except (ValueError, KeyError) as error:
        told = f"is not TOML with `origin` and `sha256` ({brief(str(error))}): restore it from version control"
        raise PipelineError(f"{path} {told}.") from error


def check_source(data: bytes, document: Path, path: Path) -> Source:
    """Return what SOURCE.toml says. Raises `PipelineError` when its checksum is not the document's."""
    source = read_source(path)
    if source.sha256 != sha256(data):
        told = f"restore it, or, if the change is meant, run `make regenerate SPEC={document}`"
        raise PipelineError(f"{document} is not the document that {path} describes: {told}.")
    return source


def written(origin: str, data: bytes, today: date, note: str) -> bytes:
    """Return SOURCE.toml for a document; the note is for people."""
    said = f'origin = {_quoted(origin)}\ndate = {today}\nfile = "upstream.json"\nsha256 = "{sha256(data)}"\n'
    return (HEAD + said + (f"note = {_quoted(note)}\n" if note else "")).encode()


def _quoted(value: str) -> str:
    # A string of JSON is a basic string of TOML, but for one character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
