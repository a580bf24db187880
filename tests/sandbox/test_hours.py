"""A chat that lasts: nothing is lost, and memory grows by what the transcript keeps, not by how long it takes."""

from __future__ import annotations

import sys
import tracemalloc

import pytest

from soak import hours

A_MESSAGE = 5_000
"""Bytes; a message costs about 2 600, with its raw form and the marks that know it again."""
SLACK = 65_536
"""Bytes for caches of the standard library that fill meanwhile."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_memory_grows_with_messages_and_not_with_polls(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty minutes of 1200 polls and a refresh; `make soak RUN=hours` is the same for eight hours."""
    # httpcore looks for it in each request; pytest's import hook makes that slow, and keeps the names it has seen.
    monkeypatch.setitem(sys.modules, "sniffio", None)
    tracemalloc.start()
    try:
        figures = hours.run(kind, 1 / 3, quiet=True)
    finally:
        tracemalloc.stop()
    assert figures.wrong == figures.reuse == 0
    assert (figures.polls >= 1200, figures.refreshes >= 1) == (True, True)
    more = figures.messages[-1] - figures.messages[0]
    assert figures.traced[-1] - figures.traced[0] < more * A_MESSAGE + SLACK
