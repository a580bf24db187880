"""Guess which new field took the place of which old one: certain, likely, or only of the same kind."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable

from attrs import frozen

CLOSE = 0.62
"""From this likeness of names on, one is taken for the other."""
LISTED = 6
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")


@frozen
class Guess:
    """What became of a field that is gone: `name` is empty when nothing points to one; `sure` means no other fits."""

    name: str = ""
    sure: bool = False
    others: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the rest of the sentence `the field `x` …`."""
        if self.name:
            return f"is now `{self.name}`" if self.sure else f"is gone; `{self.name}` looks like it"
        shown = ", ".join(f"`{name}`" for name in self.others[:LISTED])
        more = " and more" if len(self.others) > LISTED else ""
        return f"is gone; new beside it: {shown}{more}" if shown else "is gone, and nothing new is beside it"


def guesses(
    gone: Iterable[str],
    fresh: Iterable[str],
    alike: Callable[[str, str], bool],
    in_place: Callable[[str, str], bool],
) -> dict[str, Guess]:
    """Return a guess for each name that is gone; `alike` says whether an old and a new field hold the same kind.

    A name that is close wins, best pair first; what is left over pairs when it is the only one of its kind on both
    sides. Nothing new is given to two. Sure is only what has no rival at all, and either a close name or the old one's
    place, as `in_place` says.
    """
    old, new = list(gone), list(fresh)
    pairs = [(_likeness(one, other), one, other) for one in old for other in new if alike(one, other)]
    found: dict[str, str] = {}
    for score, name, other in sorted(pairs, key=lambda pair: -pair[0]):
        if score >= CLOSE and name not in found and other not in found.values():
            found[name] = other
    for name in old:
        kin = [other for _, one, other in pairs if one == name and other not in found.values()]
        rivals = [one for _, one, other in pairs if other in kin and one not in found and one != name]
        if name not in found and len(kin) == 1 and not rivals:
            found[name] = kin[0]
    rest = tuple(name for name in new if name not in found.values())
    sure = {
        name
        for name, other in found.items()
        if sum(name == one or other == two for _, one, two in pairs) == 1
        and (_likeness(name, other) >= CLOSE or in_place(name, other))
    }
    return {name: Guess(found.get(name, ""), name in sure, rest) for name in old}


def _likeness(one: str, other: str) -> float:
    ratio = difflib.SequenceMatcher(None, one.lower(), other.lower(), autojunk=False).ratio()
    words, others = ([word.lower() for word in WORD.findall(name)] for name in (one, other))
    shorter = min(len(words), len(others))
    if shorter and words[-shorter:] == others[-shorter:]:
        return 0.8 + 0.2 * ratio
    return max(ratio, 0.5 + 0.3 * ratio) if words[-1:] == others[-1:] else ratio
