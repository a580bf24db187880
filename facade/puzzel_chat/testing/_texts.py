"""Finds known texts in others, whether they are written as text or as HTML, on one line or on several."""

from __future__ import annotations

import re
from html import escape, unescape

from puzzel_chat._html import printable

LONG = 8
"""Characters from which on a value is also replaced inside longer texts."""
_TAG = re.compile(r"<[^<>]*>")


class Inside:
    """Long values that are replaced inside texts, all in one pass, the longest first."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._spelled: dict[str, str] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str, placeholder: str) -> None:
        """Replace a value wherever it stands."""
        if len(value) >= LONG and value not in self._known:
            self._known[value], self._spelled[value], self._pattern = placeholder, re.escape(value), None

    def add_words(self, text: str, placeholder: str) -> None:
        """Replace a text where it stands as words, also written as HTML or on several lines."""
        if len(key := key_of(text)) >= LONG and key not in self._known:
            words = (f"(?:{re.escape(one)}|{re.escape(escape(one, quote=False))})" for one in _plain(text).split())
            self._known[key], self._pattern = placeholder, None
            self._spelled[key] = r"(?<!\w)" + r"\s*".join(words) + r"(?!\w)"

    def sub(self, text: str) -> str:
        """Return the text with placeholders."""
        if len(text) < LONG or not self._known:
            return text
        if self._pattern is None:
            longest = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(self._spelled[value] for value in longest))
        return self._pattern.sub(lambda found: self._known.get(found[0]) or self._known[key_of(found[0])], text)


def _plain(text: str) -> str:
    """Return a text without markup and what cannot be seen."""
    return printable(unescape(_TAG.sub(" ", text)))


def key_of(text: str) -> str:
    """Return the letters of a text, for comparing."""
    return "".join(_plain(text).split())
