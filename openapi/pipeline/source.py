"""Keep SOURCE.toml: where the document came from, and its checksum, so that nobody edits it unseen."""

from __future__ import annotations

import json
import tomllib
from datetime import date
from pathlib import Path

from attrs import frozen

from pipeline.document import read_bytes, sha256
from pipeline.problems import PipelineError

HEAD = "# Where upstream.json came from. The pipeline refuses to run when the checksum is not the file's.\n"
RECONSTRUCTION = "reconstruction"
"""The origin of a document that carries our marks."""


@frozen
class Source:
    """What SOURCE.toml says about the document."""

    origin: str
    sha256: str
    note: str = ""


def read_source(path: Path) -> Source:
    """Read SOURCE.toml. Raises `PipelineError` when it is unreadable or incomplete."""
    try:
        values = tomllib.loads(read_bytes(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path} is not TOML ({error}): correct the file.") from error
    origin, digest = values.get("origin"), values.get("sha256")
    if not isinstance(origin, str) or not isinstance(digest, str):
        raise PipelineError(f"{path} lacks `origin` or `sha256`: write both, each as a string.")
    return Source(origin=origin, sha256=digest, note=str(values.get("note", "")))


def check_source(data: bytes, document: Path, path: Path) -> Source:
    """Return what SOURCE.toml says. Raises `PipelineError` when its checksum is not the document's."""
    source, actual = read_source(path), sha256(data)
    if source.sha256 != actual:
        raise PipelineError(
            f"{document} is not the document that {path} describes: restore it, or, if the change is meant, "
            f"run `make regenerate SPEC={document}`."
        )
    return source


def written(origin: str, data: bytes, today: date, note: str) -> bytes:
    """Return SOURCE.toml for a document; the note is for people."""
    said = (
        f'origin = {_quoted(origin)}\ndate = {today.isoformat()}\nfile = "upstream.json"\nsha256 = "{sha256(data)}"\n'
    )
    return (HEAD + said + (f"note = {_quoted(note)}\n" if note else "")).encode()


def _quoted(value: str) -> str:
    # A string of JSON is a basic string of TOML, but for one character that JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
