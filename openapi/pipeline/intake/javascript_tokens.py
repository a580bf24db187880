"""Cut a script into its pieces, so that strings, comments and patterns are told apart."""

from __future__ import annotations

import re
from typing import NamedTuple

# An unclosed string ends with its line, so that every character is looked at once.
TOKEN = re.compile(
    r"""(?P<gap>\s++|//[^\n\r]*+|<!--[^\n\r]*+|/\*(?>.*?(?:\*/|\Z)))
    |(?P<string>"(?:[^"\\\n\r]|\\.)*+"?|'(?:[^'\\\n\r]|\\.)*+'?)
    |(?P<template>`(?:[^`\\]|\\.)*+`?)
    |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\d][\w$]*|\$[\w$]*)
    |(?P<mark>=>|===?|\|\||\?\?|\?\.|\.\.\.|.)""",
    re.VERBOSE | re.DOTALL,
)
PATTERN = re.compile(r"/(?![*/])(?:[^/\\\[\n\r]|\\.|\[(?:[^\]\\\n\r]|\\.)*+\])++/\w*+")
BEFORE_A_PATTERN = ("return", "typeof", "case")


class Token(NamedTuple):
    """A piece of a script, and whether it is the first on its line."""

    kind: str
    text: str
    fresh: bool


END = Token("end", "", True)


def tokens(script: str) -> list[Token]:
    """Cut a script into its pieces, without blanks and comments."""
    found: list[Token] = []
    at, fresh = 0, True
    while at < len(script):
        pattern = PATTERN.match(script, at) if script[at] == "/" and _operand_is_next(found) else None
        match = pattern or TOKEN.match(script, at)
        assert match is not None  # a mark is any character
        at = match.end()
        if pattern:
            found.append(Token("pattern", match[0], fresh))
        elif match.lastgroup == "gap":
            fresh = fresh or "\n" in match[0]
            continue
        else:
            found.append(Token(match.lastgroup or "mark", match[0], fresh))
        fresh = False
    return found


def _operand_is_next(found: list[Token]) -> bool:
    last = found[-1] if found else END
    if last.kind == "mark":
        return last.text not in (")", "]", "}")
    return last is END or last.text in BEFORE_A_PATTERN
