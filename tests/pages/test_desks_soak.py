"""The soak of desks, in short: `make soak RUN=desks` is the long one, with figures."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from soak.desks import Plan, described, run

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.slow
def test_every_message_is_on_one_desk_once(chromium: Browser) -> None:
    """Whatever customers say is shown, once, while chats come and go at two desks."""
    with ThreadPoolExecutor() as apart:  # playwright has an event loop in this thread
        figures = apart.submit(run, Plan(chats=6, agents=2, seconds=15, every=0.5, life=4)).result()
    assert (figures.lost, figures.doubled) == (0, 0)
    assert figures.said
    assert figures.offers
    assert figures.lines
    assert "an offer" in described(figures)
