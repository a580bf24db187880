"""What an HTML page says of itself: its title, whether it asks for a password, its scripts, its base."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

from attrs import frozen

START = re.compile(
    r"(?>\s*(?:<!--(?>.*?-->)|<\?xml[^>]*>))*+\s*"
    r"<(?:!doctype\s+html|html|head|body|title|meta|link|style|script|div|center|p|h[1-6])\b",
    re.IGNORECASE | re.DOTALL,
)
# Data in a page has another type.
SCRIPT = re.compile(r"^$|script|module", re.IGNORECASE)
LOGIN = re.compile(r"\b(?:sign|log)[ -]?in\b|\blogg inn\b|\bpassword\b", re.I)


@frozen
class Script:
    """A script of a page: either its reference or its text."""

    source: str
    text: str


@frozen
class HtmlPage:
    """The parts of a page that matter here."""

    title: str
    base: str
    scripts: tuple[Script, ...]
    password: bool
    is_login: bool


def lenient_text(data: bytes) -> str:
    """Return the text of bytes in the encoding that they seem to have, with a mark for what it does not have."""
    return data.decode(json.detect_encoding(data), "replace")


def read_html(text: str) -> HtmlPage | None:
    """Return what a page says of itself, None for what is no HTML."""
    if not START.match(text):
        return None
    reader = _Reader()
    try:
        reader.feed(text)
        reader.close()
    except AssertionError:  # How the library says that it gives up on a declaration; what it has read stays.
        pass
    title = " ".join("".join(reader.title).split())
    is_login = reader.password or LOGIN.search(" ".join([title, *reader.headings])) is not None
    return HtmlPage(title, reader.base, tuple(reader.scripts), password=reader.password, is_login=is_login)


class _Reader(HTMLParser):
    """Collects the parts while the library walks through the page."""

    def __init__(self) -> None:
        super().__init__()
        self.title: list[str] = []
        self.headings: list[str] = []
        self.scripts: list[Script] = []
        self.base = ""
        self.password = False
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._inside = tag
        if tag == "base":
            self.base = self.base or values.get("href", "")
        elif tag == "input":
            self.password = self.password or values.get("type", "").lower() == "password"
        elif tag == "script" and SCRIPT.search(values.get("type", "")):
            self.scripts.append(Script(source=values.get("src", "").strip(), text=""))
        elif tag == "script":
            self._inside = ""

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "title":
            self.title.append(data)
        elif self._inside == "h1":
            self.headings.append(data)
        elif self._inside == "script":
            last = self.scripts.pop()
            self.scripts.append(Script(source=last.source, text=last.text + data))
