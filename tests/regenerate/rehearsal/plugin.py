"""A pytest plugin that lets every sandbox of a run speak the rehearsed contract: `-p regenerate.rehearsal.plugin`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from puzzel_chat.sandbox import _app
from regenerate.rehearsal.contract import Contract

TOKENS = "`connect/token` is the same in both contracts"
TIME = "one of each kind is enough, for the minute that all of them take"
LEFT_OUT = {
    "test_killed_and_resumed": "its sandbox runs in a process of its own",
    "test_options_change_without_new_connections": "the contract has no time module",
    "test_an_unreachable_host": "no request arrives",
    "test_one_refresh_per_token_life": TOKENS,
    "test_closing_lets_a_refresh_land": TOKENS,
    "test_closing_during_a_refresh_stops_the_polls": TOKENS,
    "test_a_refresh_slower_than_a_token_lives_hangs_nobody": TOKENS,
    "test_200_messages_through_failing_polls[sync-history]": TIME,
    "test_200_messages_through_failing_polls[sync-drain]": TIME,
    "test_200_messages_through_failing_polls[async-history]": TIME,
    "test_200_messages_through_failing_polls[async-cursor]": TIME,
    "test_a_request_for_an_agent_that_was_cut_off_is_left_too[async]": TIME,
}
"""Scenarios that are skipped, by name or by name and parameters, each with its reason."""


def pytest_configure() -> None:
    """Put the middleware in front of the sandbox's application."""
    make: Callable[..., Any] = _app.make_app
    _app.make_app = lambda *arguments: Contract(make(*arguments))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what says nothing about the contract."""
    for item in items:
        reason = LEFT_OUT.get(item.name) or LEFT_OUT.get(item.name.partition("[")[0])
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))
