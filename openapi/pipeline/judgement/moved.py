"""Guess which call of a new document is the one that is not where it was."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from pipeline.judgement.shapes import Call

# From this likeness on, a call is taken for the one that went; below it lie other endpoints of the same controller.
CONVINCING = 0.72
# What some call `POST …/end` is `DELETE …` for others.
ENDINGS = ("end", "close", "cancel", "delete", "remove", "leave", "terminate")


def moved(missing: Iterable[Call], there: Iterable[Call]) -> dict[str, Call]:
    """Return for operations that are gone the call that looks most like each, every call at most once."""
    free, found = list(there), dict[str, Call]()
    pairs = [(likeness(old, new), number, old, new) for number, old in enumerate(missing) for new in free]
    for score, _, old, new in sorted(pairs, key=lambda pair: (-pair[0], pair[1])):
        if score >= CONVINCING and old.name not in found and new not in found.values():
            found[old.name] = new
    return found


def likeness(one: Call, other: Call) -> float:
    """Return from 0 to 1 how alike two calls are by path and method; versions, case and names of ids do not count.

    What reads never becomes what writes.
    """
    if (one.method == "get") != (other.method == "get"):
        return 0.0
    here, there = _bare(one), _bare(other)
    path = _ratio("/".join(here), "/".join(there))
    words = [word for word in here if word != "{}"], [word for word in there if word != "{}"]
    return 0.4 * path + 0.5 * min(_covered(*words), _covered(*reversed(words))) + 0.1 * (one.method == other.method)


def _bare(call: Call) -> list[str]:
    path = re.sub(r"\{[^}]*\}", "{}", re.sub(r"/v\d+(\.\d+)*(?=/)", "", call.path.lower())).strip("/")
    parts = [part for part in path.split("/") if part != "api"]
    if parts[-1:] and parts[-1] in ENDINGS:
        return [*parts[:-1], "end"]
    return [*parts, "end"] if call.method == "delete" else parts


def _covered(words: list[str], others: list[str]) -> float:
    best = [max((_ratio(word, other) for other in others), default=0.0) for word in words]
    return sum(best) / len(best) if best else 0.0


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
