"""Where everything is, so that no other module builds a path of its own."""

from __future__ import annotations

from pathlib import Path

PACKAGE = "puzzel_chat_api"


class Layout:
    """The files of one checkout, from its top folder."""

    def __init__(self, root: Path) -> None:
        folder = root / "openapi"
        self.root = root
        self.upstream = folder / "upstream.json"  # the vendor's document, or our reconstruction of it
        self.source = folder / "SOURCE.toml"  # where it came from, and its checksum
        self.overlay = folder / "overlay.yaml"  # our corrections
        self.assumed = folder / "assumed.json"  # operations of ours that the document lacks, when there are any
        self.observed = folder / "observed.json"  # what a probe of a tenant found, when there was one
        self.built = folder / "puzzel-chat.json"  # what all of that comes to
        self.config = folder / "generator.yaml"
        self.templates = folder / "templates"
        self.tools = folder / "tools"  # the versions of the programs that run on Node
        self.readme = folder / "README.md"  # holds the table of operations
        self.package = root / "generated" / PACKAGE
        self.facade = root / "facade"
        self.wire = self.facade / "puzzel_chat" / "_wire"  # the one part of the facade that knows the client
        self.workshop = root / ".regenerate"  # where a run builds; not part of the tree
        self.report = self.workshop / "report.md"

    def short(self, path: Path) -> str:
        """Return the path as a person in the top folder would type it."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
