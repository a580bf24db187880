"""Pure: message HTML to plain text and back. A received message may hold HTML (related: the v1 chat API)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from unicodedata import category, normalize

_BREAKS = frozenset({"br", "p", "div", "li", "tr", "h1", "h2", "h3", "blockquote"})
_KEPT = frozenset("\n\t\u200c\u200d")
_SILENT = frozenset({"head", "template"})
# A script with all that is in it, a comment, a declaration, or a tag. Linear in the length of any text, which the
# standard library's parser is not (it takes 12 s for 48 kB of "<a "), and it fails on none, which that one does.
_MARKUP = re.compile(
    r"<(?P<raw>script|style)\b[^<>]*>.*?(?:</(?P=raw)\b[^<>]*>|\Z)"
    r"|<!--.*?(?:-->|\Z)|<[!?][^>]*(?:>|\Z)"
    r"""|<(?P<end>/?)(?P<tag>[a-z][^\s/<>"']*)(?>(?:[^<>"']|"[^"]*"|'[^']*')*)>""",
    re.IGNORECASE | re.DOTALL,
)
# Python reads no number of more than 4300 digits, and there is no letter of that many.
_NO_LETTER = re.compile(r"&#[0-9]{9,};?")


def to_text(markup: str) -> str:
    """Give the plain text of received HTML: no tags, no scripts, no control characters but line breaks."""
    if "<" not in markup:
        return printable(_unescaped(markup))
    lines = "".join(_visible(markup)).strip("\n").split("\n")
    kept = [line for number, line in enumerate(lines) if line.strip() or (number and lines[number - 1].strip())]
    return printable("\n".join(kept))


def _visible(markup: str) -> Iterator[str]:
    """Give the pieces between the tags; a "<" that begins none is a letter like any other."""
    silent, at = 0, 0
    for found in _MARKUP.finditer(markup):
        yield "" if silent else _unescaped(markup[at : found.start()])
        at, tag, ends = found.end(), (found["tag"] or "").lower(), bool(found["end"])
        # The end tags of a head may be left out (HTML, section 13.1.2.4).
        silent = 0 if tag == "body" else max(0, silent + (-1 if ends else 1) * (tag in _SILENT))
        if tag in _BREAKS and not (ends and tag == "br"):
            yield "\n"
    yield "" if silent else _unescaped(markup[at:])


def _unescaped(text: str) -> str:
    return html.unescape(_NO_LETTER.sub("\ufffd", text))


def printable(text: str) -> str:
    """Drop what could steer a terminal (control and format characters), keep spaces, line breaks, tabs and joiners."""
    return "".join(one for one in text if one.isprintable() or one in _KEPT or category(one) == "Zs")


def from_text(text: str) -> str:
    """Give the HTML that shows exactly this text (related: the v1 API HTML-encoded what was posted)."""
    return html.escape(text, quote=False)


def bare(text: str) -> str:
    """Give the words alone, encoded up to three times over, whatever became of spaces and accents on the way."""
    for _ in range(3):
        text = _unescaped(text)
    return " ".join(printable(normalize("NFKC", text)).split())
