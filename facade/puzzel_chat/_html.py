"""Pure: message HTML to plain text and back. A received message may hold HTML (related: the v1 chat API)."""

from __future__ import annotations

import html
from html.parser import HTMLParser
from unicodedata import category

_BREAKS = frozenset({"br", "p", "div", "li", "tr", "h1", "h2", "h3", "blockquote"})
_KEPT = frozenset("\n\t\u200c\u200d")
_SILENT = frozenset({"script", "style", "head", "template"})


class _PlainText(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.silent = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # The end tags of a head may be left out (HTML, section 13.1.2.4).
        self.silent = 0 if tag == "body" else self.silent + (tag in _SILENT)
        if tag in _BREAKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.silent = max(0, self.silent - (tag in _SILENT))
        if tag in _BREAKS and tag != "br":
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.parts.append(data)


def to_text(markup: str) -> str:
    """Give the plain text of received HTML: no tags, no scripts, no control characters but line breaks."""
    if "<" not in markup:
        return printable(html.unescape(markup))
    parser = _PlainText()
    parser.feed(markup)
    parser.close()
    lines = "".join(parser.parts).strip("\n").split("\n")
    kept = [line for number, line in enumerate(lines) if line.strip() or (number and lines[number - 1].strip())]
    return printable("\n".join(kept))


def printable(text: str) -> str:
    """Drop what could steer a terminal (control and format characters), keep spaces, line breaks, tabs and joiners."""
    return "".join(one for one in text if one.isprintable() or one in _KEPT or category(one) == "Zs")


def from_text(text: str) -> str:
    """Give the HTML that shows exactly this text (related: the v1 API HTML-encoded what was posted)."""
    return html.escape(text, quote=False)
