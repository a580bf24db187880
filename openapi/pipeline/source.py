"""Check the document against SOURCE.toml, so that nobody edits it unseen."""

from __future__ import annotations

import tomllib
from pathlib import Path

from attrs import frozen

from pipeline.document import read_bytes, sha256
from pipeline.problems import PipelineError


@frozen
class Source:
    """What SOURCE.toml says about the document."""

    origin: str
    sha256: str


def read_source(path: Path) -> Source:
    """Read SOURCE.toml. Raises `PipelineError` when it is unreadable or incomplete."""
    try:
        values = tomllib.loads(read_bytes(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PipelineError(f"{path} is not TOML ({error}): correct the file.") from error
    origin, digest = values.get("origin"), values.get("sha256")
    if not isinstance(origin, str) or not isinstance(digest, str):
        raise PipelineError(f"{path} lacks `origin` or `sha256`: write both, each as a string.")
    return Source(origin=origin, sha256=digest)


def check_source(data: bytes, document: Path, path: Path) -> Source:
    """Return what SOURCE.toml says. Raises `PipelineError` when its checksum is not the document's."""
    source, actual = read_source(path), sha256(data)
    if source.sha256 != actual:
        raise PipelineError(
            f"{document} is not the document that {path} describes: restore it, or, if the change is meant, "
            f'write sha256 = "{actual}" there.'
        )
    return source
