"""The demo's judgement of a chat notices what it is for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from puzzel_chat.cli._demo import compare
from puzzel_chat.sandbox import Entry, Role


def entry(key: str, version: int = 1, client_id: str | None = None) -> Entry:
    """A message in the ledger, the agent's unless it has a client id."""
    role = Role.AGENT if client_id is None else Role.CUSTOMER
    return Entry(key, version, "c", "Text", role, None, "", client_id, datetime(2026, 1, 5, tzinfo=UTC), {})


def keys(ledger: list[Entry]) -> list[tuple[str, int]]:
    """Everything in the ledger, as it is delivered."""
    return [(one.id, one.version) for one in ledger]


LEDGER = [entry("1"), entry("2", client_id="a"), entry("3"), entry("3", 2), entry("4", client_id="b")]
KEYS = keys(LEDGER)


def test_a_chat_without_a_fault_is_clean() -> None:
    """Everything once and in order: messages and edits are counted, nothing else."""
    verdict = compare(["a", "b"], KEYS, LEDGER)
    assert (verdict.sent, verdict.received, verdict.edits, verdict.clean) == (2, 3, 1, True)
    assert str(verdict) == ("messages: 2 sent, 3 received (1 edited), 0 lost, 0 duplicated, 0 out of order")


@pytest.mark.parametrize("gone", range(len(KEYS)))
def test_what_was_not_delivered_is_lost(gone: int) -> None:
    """Each line of the ledger that did not come counts, an edit and an echo too."""
    verdict = compare(["a", "b"], KEYS[:gone] + KEYS[gone + 1 :], LEDGER)
    assert (verdict.lost, verdict.clean) == (1, False)


def test_what_was_sent_and_never_stored_is_lost() -> None:
    """The other direction: a message of ours that the ledger does not have."""
    verdict = compare(["a", "b", "c"], KEYS, LEDGER)
    assert (verdict.lost, verdict.clean) == (1, False)


def test_what_came_twice_is_duplicated() -> None:
    """The same id and version twice is a duplicate; a new version is not."""
    verdict = compare(["a", "b"], [*KEYS, KEYS[0], KEYS[0]], LEDGER)
    assert (verdict.duplicated, verdict.clean) == (2, False)


def test_what_was_stored_twice_is_duplicated() -> None:
    """The other direction: one send that the ledger has two of."""
    ledger = [*LEDGER, entry("5", client_id="b")]
    verdict = compare(["a", "b"], keys(ledger), ledger)
    assert (verdict.duplicated, verdict.clean) == (1, False)


def test_what_came_after_its_successor_is_out_of_order() -> None:
    """The order is the ledger's, judged by the first delivery of each."""
    verdict = compare(["a", "b"], [KEYS[1], KEYS[0], *KEYS[2:]], LEDGER)
    assert (verdict.out_of_order, verdict.lost, verdict.duplicated, verdict.clean) == (1, 0, 0, False)
    again = compare(["a", "b"], [*KEYS, KEYS[0]], LEDGER)
    assert (again.out_of_order, again.duplicated) == (0, 1)


def test_what_was_stored_in_another_order_is_out_of_order() -> None:
    """The other direction: two sends that the ledger has the other way round."""
    verdict = compare(["b", "a"], KEYS, LEDGER)
    assert (verdict.out_of_order, verdict.clean) == (1, False)
