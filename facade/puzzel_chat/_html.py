"""Message HTML to plain text and back."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from unicodedata import category, normalize

_BREAKS = frozenset({"br", "p", "div", "li", "tr", "h1", "h2", "h3", "blockquote"})
_KEPT = frozenset("\n\t\u200c\u200d")
_SILENT = frozenset({"head", "template"})
# A script with its content, a comment, a declaration, or a tag. It takes linear time and accepts any text; the
# standard library's parser takes 12 s for 48 kB of "<a " and fails on some.
_MARKUP = re.compile(
    r"<(?P<raw>script|style)\b[^<>]*>.*?(?:</(?P=raw)\b[^<>]*>|\Z)"
    r"|<!--.*?(?:-->|\Z)|<[!?][^>]*(?:>|\Z)"
    r"""|<(?P<end>/?)(?P<tag>[a-z][^\s/<>"']*)(?>(?:[^<>"']|"[^"]*"|'[^']*')*)>""",
    re.IGNORECASE | re.DOTALL,
)
# Python reads no number of more than 4300 digits; no letter has a number of nine.
_NO_LETTER = re.compile(r"&#[0-9]{9,};?")


def to_text(markup: str) -> str:
    """Return the plain text of received HTML: no tags, no scripts, no control characters but line breaks."""
    if "<" not in markup:
        return printable(_unescaped(markup) if "&" in markup else markup)
    lines = "".join(_visible(markup)).strip("\n").split("\n")
    kept = [line for number, line in enumerate(lines) if line.strip() or (number and lines[number - 1].strip())]
    return printable("\n".join(kept))


def _visible(markup: str) -> Iterator[str]:
    """Yield the text between the tags; a "<" that begins no tag is text, too."""
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
    """Drop what could steer a terminal (control and format characters); keep spaces, line breaks, tabs and joiners."""
    if text.isprintable():
        return text
    return "".join(one for one in text if one.isprintable() or one in _KEPT or category(one) == "Zs")


def from_text(text: str) -> str:
    """Return the HTML that shows exactly this text."""
    return html.escape(text, quote=False)


def bare(text: str) -> str:
    """Return the words alone, for comparing: unescaped up to three times, with spaces and accents normalised."""
    for _ in range(3):
        text = _unescaped(text)
    return " ".join(printable(normalize("NFKC", text)).split())
