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
    def assumed(self) -> Path:
        """What is carried over from our reconstruction, when the document lacks it; often there is no such file."""
        return self.root / "openapi" / "assumed.json"

    @property
    def observed(self) -> Path:
        """What a probe of a tenant found, when there is such a file."""
        return self.root / "openapi" / "observed.json"

    @property
    def tools(self) -> Path:
        """The versions of the programs that run on Node."""
        return self.root / "openapi" / "tools"

    @property
    def readme(self) -> Path:
        """The page that holds the table of operations."""
        return self.root / "openapi" / "README.md"

    @property
    def package(self) -> Path:
        """The generated client."""
        return self.root / "generated" / PACKAGE

    @property
    def facade(self) -> Path:
        """The folder that holds the facade's package."""
        return self.root / "facade"

    @property
    def wire(self) -> Path:
        """The one part of the facade that knows the generated client."""
        return self.facade / "puzzel_chat" / "_wire"

    @property
    def workshop(self) -> Path:
        """Where a run builds before it swaps, and leaves its report; not part of the tree."""
        return self.root / ".regenerate"

    @property
    def decided(self) -> Path:
        """A change of the tree that was decided; it is only there while it is made, or after a kill in the middle."""
        return self.workshop / "decided"

    @property
    def report(self) -> Path:
        """The full report of the last run."""
        return self.workshop / "report.md"

    def short(self, path: Path) -> str:
        """Return the path as a person in the top folder would type it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
