"""Message HTML to plain text and back."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from unicodedata import normalize

# Elements that browsers show as blocks, and those that stand in a line but do not run into the words beside them.
_BLOCKS = """
address article aside blockquote body br caption center dd details dialog dir div dl dt fieldset figcaption figure
footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p plaintext pre
search section summary table tbody tfoot thead tr ul xmp
"""
_BOXES = "audio button canvas iframe img input meter object progress rt select svg text textarea video"
_BREAKS, _APART = frozenset(_BLOCKS.split()), frozenset(_BOXES.split())
_CELLS, _ROWS = frozenset({"td", "th"}), frozenset({"caption", "table", "tbody", "tfoot", "thead", "tr"})
_SILENT = frozenset({"iframe", "noembed", "noframes", "template", "title"})
_LABELS = {"img": "alt", "input": "value", "optgroup": "label"}
_BUTTONS = frozenset({"button", "reset", "submit"})
_EDGE = "\0"
"""Marks the edge of an element that stands apart, until it is known what is beside it."""
_EDGES = re.compile(r"(?<=\w)\0+(?=\w)")
# A script with its content, a comment, a declaration, or a tag. It takes linear time and accepts any text; the
# standard library's parser takes 12 s for 48 kB of "<a " and fails on some.
_MARKUP = re.compile(
    r"<(?P<raw>script|style)\b[^<>]*>.*?(?:</(?P=raw)\b[^<>]*>|\Z)"
    r"|<!--.*?(?:-->|\Z)|<[!?][^>]*(?:>|\Z)"
    r"""|<(?P<end>/?)(?P<tag>[a-z][^\s/<>"']*)(?>(?:[^<>"']|"[^"]*"|'[^']*')*)>""",
    re.IGNORECASE | re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""(?<=[\s/"'])([^\s/>="']++)\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]*))""")
# Python reads no number of more than 4300 digits; no letter has a number of nine.
_NO_LETTER = re.compile(r"&#[0-9]{9,};?")
_LINE_ENDS = re.compile(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# Written out, because Python's own table differs from one version to the next. A flag of a country's part is a black
# flag with tags behind it; tags that stand elsewhere are dropped.
_STEERING = re.compile(
    "(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)|["
    r"\0-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufdd0-\ufdef"
    r"\ufeff\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e007f"
    + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
    + "]"
)


def to_text(markup: str) -> str:
    """Return the plain text of received HTML: no tags, no scripts, no control characters but line breaks and tabs."""
    if "<" not in markup:
        return printable(_unescaped(markup) if "&" in markup else markup)
    pieces = "".join(_visible(markup.replace(_EDGE, ""))).split(_EDGE)
    text = _EDGES.sub(" ", _EDGE.join(map(printable, pieces))).replace(_EDGE, "")
    lines = text.strip("\n").split("\n")
    return "\n".join(
        line for number, line in enumerate(lines) if line.strip() or (number and lines[number - 1].strip())
    )


def _visible(markup: str) -> Iterator[str]:
    """Yield the text between the tags; a "<" that begins no tag is text, too."""
    silent, at, row_begins = 0, 0, False
    for found in _MARKUP.finditer(markup):
        yield "" if silent else _unescaped(markup[at : found.start()])
        at, tag, ends = found.end(), (found["tag"] or "").lower(), bool(found["end"])
        # The end tag of a title may be missing.
        silent = 0 if tag == "body" else max(0, silent + (-1 if ends else 1) * (tag in _SILENT))
        if tag in _BREAKS:
            row_begins = tag in _ROWS
            yield "\n"
        elif tag in _APART:
            yield _EDGE
        if not silent and not ends:
            yield _unescaped(_label(tag, found[0]))
            if tag in _CELLS:
                yield "" if row_begins else "\t"
                row_begins = False
            yield _EDGE if tag in _APART else ""
    yield "" if silent else _unescaped(markup[at:])


def _label(tag: str, written: str) -> str:
    """Return the attribute that is shown in an element's place: a picture's text, the words on a button."""
    if tag not in _LABELS:
        return ""
    given: dict[str, str] = {}
    for name, *values in _ATTRIBUTE.findall(written):
        given.setdefault(name.lower(), "".join(values))
    kind = given.get("type", "").lower()
    shown = "alt" if tag == "input" and kind == "image" else _LABELS[tag]
    return given.get(shown, "") if tag != "input" or shown == "alt" or kind in _BUTTONS else ""


def _unescaped(text: str) -> str:
    return html.unescape(_NO_LETTER.sub("\ufffd", text))


def printable(text: str) -> str:
    """Drop what could steer a terminal (control and format characters); each kind of line end becomes a line break.

    What Unicode adds later is kept, whatever Python this is, and so are private letters and what joins letters.
    """
    if text.isprintable() or text.replace("\n", "").isprintable():
        return text
    return _STEERING.sub(r"\1", _LINE_ENDS.sub("\n", text))


def in_one_line(text: str) -> str:
    """Return a text on one line; line ends and what could steer a terminal are written as escapes."""
    if text.isprintable():
        return text
    written = _STEERING.sub(lambda found: found[1] or found[0].encode("unicode_escape").decode(), text)
    return written.replace("\n", r"\n").replace("\t", r"\t")


def from_text(text: str) -> str:
    """Return the HTML that shows exactly this text."""
    return html.escape(text, quote=False)


def bare(text: str) -> str:
    """Return the words alone, for comparing: unescaped up to three times, with spaces and accents normalised."""
    for _ in range(3):
        text = _unescaped(text)
    return " ".join(printable(normalize("NFKC", text)).split())
