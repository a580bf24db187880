"""Where everything is, so that no other module builds a path of its own."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

PACKAGE = "puzzel_chat_api"


@frozen
class Layout:
    """The files of one checkout, from its top folder."""

    root: Path

    @property
    def upstream(self) -> Path:
        """The vendor's document, or our reconstruction of it."""
        return self.root / "openapi" / "upstream.json"

    @property
    def source(self) -> Path:
        """Where the document came from, and its checksum."""
        return self.root / "openapi" / "SOURCE.toml"

    @property
    def overlay(self) -> Path:
        """Our corrections."""
        return self.root / "openapi" / "overlay.yaml"

    @property
    def built(self) -> Path:
        """What the generator is given."""
        return self.root / "openapi" / "puzzel-chat.json"

    @property
    def config(self) -> Path:
        """The generator's configuration."""
        return self.root / "openapi" / "generator.yaml"

    @property
    def templates(self) -> Path:
        """The templates of the generator that we change."""
        return self.root / "openapi" / "templates"

    @property
    def package(self) -> Path:
        """The generated client."""
        return self.root / "generated" / PACKAGE

    @property
    def workshop(self) -> Path:
        """Where a run builds before it swaps; emptied at the start, so that a killed run leaves nothing for long."""
        return self.root / ".regenerate"

    def short(self, path: Path) -> str:
        """Return the path as a person in the top folder would type it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
