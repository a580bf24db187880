"""Say which kinds of values the facade takes where it had another kind before."""

from __future__ import annotations

from pipeline.judgement.shapes import Shape

# What the readers in the facade's `_wire/values.py` take without losing anything; a test asks them.
READERS = {
    "text": {"string"},
    "text_or_empty": {"string"},
    "identity": {"string", "integer"},
    "whole": {"integer"},
    "seconds": {"integer", "number"},
    "flag": {"boolean"},
    "when": {"date-time", "string"},
}


PLAIN = {"string", "integer", "number", "boolean"}
"""What the generated client sends as it is, also where anything may be sent; of a class it makes JSON only itself."""


def takes(new: Shape, old: Shape) -> bool:
    """Whether what was good to send still is."""
    if not new.kinds:
        return old.kinds <= PLAIN
    return old.kinds <= new.kinds and (old.is_listed or not new.is_listed)


def reads(reader: str, old: Shape, new: Shape) -> bool:
    """Whether a reader of the facade makes something of every kind of value that there may be now."""
    return old.kinds == new.kinds or (reader in READERS and new.kinds <= READERS[reader])
