"""Guess which existing path somebody meant whose JSONPath matches nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import cast

from pipeline.document import Json, Object

STEP = re.compile(
    r"""\.(?P<plain>[\w$-]+)                 # .name
    |\[\s*'(?P<single>(?:[^'\\]|\\.)*)'\s*\]  # ['name']
    |\[\s*"(?P<double>(?:[^"\\]|\\.)*)"\s*\]  # ["name"]
    |\[\s*(?P<index>\d+)\s*\]                 # [0]
    """,
    re.VERBOSE,
)


def nearest(document: Object, target: str) -> str:
    """Return the existing path closest to the target, `$` when not even its first name resembles anything.

    Follows the target from the top, takes the most similar name where its own does not exist, and stops at
    whatever is more than a name or an index.
    """
    node: Json = document
    location: list[int | str] = []
    for step in _steps(target):
        key = _closest(node, step)
        if key is None:
            break
        node = cast("dict[int | str, Json]", node)[key]
        location.append(key)
    return normalised_path(location)


def _steps(target: str) -> Iterator[int | str]:
    position = 1
    while match := STEP.match(target, position):
        position = match.end()
        if match["index"] is not None:
            yield int(match["index"])
        else:
            quoted = next(text for text in (match["plain"], match["single"], match["double"]) if text is not None)
            yield re.sub(r"\\(.)", r"\1", quoted)


def _closest(node: Json, step: int | str) -> int | str | None:
    if isinstance(node, list) and isinstance(step, int):
        return min(step, len(node) - 1) if node else None
    if not isinstance(node, dict) or not isinstance(step, str):
        return None
    close = [step] if step in node else difflib.get_close_matches(step, list(node), n=1, cutoff=0.5)
    return close[0] if close else None


def normalised_path(location: Iterable[int | str]) -> str:
    """Return a location as a normalised path writes it (RFC 9535 section 2.7)."""
    return "$" + "".join(f"[{key}]" if isinstance(key, int) else f"[{_quoted(key)}]" for key in location)


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
