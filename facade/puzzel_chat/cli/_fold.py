"""How text fits a terminal: lines are folded between words, never within one."""

from __future__ import annotations

import re
import textwrap

_ROW = re.compile(r"(\s*\S.*?\s{2,})(\S.*)")


def folded(line: str, width: int) -> list[str]:
    """Fold one line; what follows stands below its second column, where that leaves half of the width."""
    if len(line) <= width:
        return [line]
    margin = " " * (len(line) - len(line.lstrip()))
    row = _ROW.fullmatch(line)
    if row is None:
        return _wrapped(line.strip(), width, margin, margin + "  ")
    if len(row[1]) <= width // 2:
        return _wrapped(row[2], width, row[1], " " * len(row[1]))
    return [row[1].rstrip(), *_wrapped(row[2], width, margin + "    ", margin + "    ")]


def filled(text: str, width: int, margin: str = "") -> list[str]:
    """Fill lines with the words of a paragraph."""
    return _wrapped(" ".join(text.split()), width, margin, margin)


def _wrapped(text: str, width: int, first: str, other: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=other, break_long_words=False, break_on_hyphens=False
    )
