"""The fault bench in short: every mix once, its table the same each time, and proof that it notices what it is for."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from itertools import cycle, product

import pytest

from puzzel_chat import AuthenticationError, ContractError
from puzzel_chat._http import Reply, Request
from puzzel_chat.sandbox import SEMANTICS, Entry, Role, Semantics
from soak import faults, fleet, guests
from soak.cells import ZEROS, Cell, run
from soak.clients import KINDS, Kind
from soak.compare import Key, Sent, Talk, Truth, judge
from soak.hearing import Ear
from soak.mixes import MIXES

QUICK = ("reset-after", "truncated", "status-503", "revoked", "lost-rotations", "restarts", "suspended", "everything")
MESSAGES: list[Key] = [("m1", 1), ("m2", 1), ("m3", 1), ("m1", 2), ("m4", 1)]


def entry(item: str, version: int = 1, content: str = "Hello", kind: str = "Text") -> Entry:
    """One line of a ledger."""
    return Entry(item, version, "chat", kind, Role.AGENT, "Kari", content, None, datetime(2026, 1, 5, tzinfo=UTC), {})


LEDGER = (
    *(entry(item, version) for item, version in MESSAGES),
    entry("end", content="ConversationEnded", kind="Event"),
)


def found(delivered: list[Key], semantics: Semantics = "cursor", **truth: object) -> dict[str, int]:
    """Judge what was delivered; gives the figures that are not zero."""
    counted = judge(Talk("chat", delivered, ends=1), Truth(LEDGER, semantics, **truth))  # type: ignore[arg-type]
    return {name: number for name, number in counted.items() if number and name not in ("stored", "delivered")}


@pytest.mark.parametrize(
    ("mix", "semantics", "kind"),
    [
        pytest.param(mix.name, *pair, marks=() if mix.name in QUICK else pytest.mark.slow)
        for mix, pair in zip(MIXES, cycle(product(SEMANTICS, KINDS)), strict=False)
    ],
)
def test_a_chat_under_every_mix(mix: str, semantics: Semantics, kind: Kind) -> None:
    """Whatever goes wrong, what the client delivers is what the ledger says, and nothing is left over."""
    figures, problems = run(Cell(mix, semantics, kind, seed=1, number=0, said=8))
    assert problems == []
    assert {name: figures[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    assert figures["stored"] >= 8


@pytest.mark.parametrize("kind", fleet.KINDS)
def test_a_few_chats_at_once_in_one_loop(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing goes wrong and where tokens are revoked, one loop after the other hands out all that is said."""
    monkeypatch.setattr(fleet, "SPEED", 20.0)
    monkeypatch.setattr(fleet, "PERIOD", 0.1)
    monkeypatch.setattr(guests, "SLOWEST", 0.2)
    plan = fleet.Plan(kind, "cursor", chats=2, seed=1, said=4, changes=0.5, names=("none", "revoked"))
    figures, problems = fleet.run(plan)
    assert problems == []
    assert {name: figures[name] for name in fleet.ZERO} == dict.fromkeys(fleet.ZERO, 0)
    assert figures["delivered"] == figures["stored"] > 8
    assert figures["by_design"] == figures["forgotten"] == figures["gone"] == figures["given_up"] == 0
    assert figures["loops"] > 1


def test_only_what_came_explains_why_a_polling_ended() -> None:
    """Two tokens refused for one poll, or three replies in a row that nobody can read, a refresh's among them."""
    poll, refresh = (Request(operation=name, method="GET", path="/") for name in ("pollConversation", "connectToken"))
    none, page, refused = Reply(status=200, body=b'{"messages": []}'), Reply(status=200, body=b"<p>"), Reply(status=401)
    unread, unauthorised = ContractError("pollConversation", "", "no JSON", ""), AuthenticationError("no", status=401)

    def explained(error: Exception, *heard: tuple[Request, str | None, Reply | None]) -> bool:
        ear = Ear()
        for one in heard:
            ear.note(*one)
        return ear.explains(error)

    assert explained(unauthorised, (poll, "a", refused), (poll, "b", refused))
    assert not explained(unauthorised, (poll, "a", refused), (poll, "a", refused))
    assert not explained(unauthorised, (poll, "a", refused), (poll, "b", none), (poll, "b", refused))
    assert explained(unread, (poll, "a", page), (refresh, None, page), (poll, "a", None), (poll, "a", page))
    assert not explained(unread, (poll, "a", page), (poll, "a", none), (poll, "a", page), (poll, "a", page))
    assert not explained(ValueError(), (poll, "a", page), (poll, "a", page), (poll, "a", page))


@pytest.mark.slow
def test_the_same_seed_gives_the_same_table(capsys: pytest.CaptureFixture[str]) -> None:
    """One seed gives one table byte by byte, in this process and in several; another seed gives another."""
    small = ["--mix", "everything", "--mix", "lost-rotations", "--semantics", "drain", "--messages", "100"]
    tables = []
    for more in (["--jobs", "1"], ["--jobs", "2"], ["--jobs", "1", "--seed", "2"]):
        assert faults.main([*small, *more]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1] != tables[2]
    assert "| everything " in tables[0]


def test_there_are_more_than_twenty_mixes_and_each_has_its_name_and_sentence() -> None:
    """At least twenty, no two of one name."""
    assert len({mix.name for mix in MIXES}) == len(MIXES) >= 20
    assert all(mix.told for mix in MIXES)


def test_a_perfect_delivery_has_no_findings() -> None:
    """Everything in order gives zeros, and five of five."""
    counted = judge(Talk("chat", MESSAGES, ends=1), Truth(LEDGER, "cursor"))
    assert found(MESSAGES) == {}
    assert (counted["stored"], counted["delivered"]) == (5, 5)


@pytest.mark.parametrize(
    ("delivered", "figures"),
    [
        ([*MESSAGES[:2], *MESSAGES[3:]], {"lost": 1}),
        ([*MESSAGES, ("m2", 1)], {"doubled": 1}),
        ([MESSAGES[1], MESSAGES[0], *MESSAGES[2:]], {"disordered": 1}),
        ([MESSAGES[3], *MESSAGES[:3], MESSAGES[4]], {"disordered": 3}),
        ([*MESSAGES, ("m9", 1)], {"strangers": 1}),
        ([*MESSAGES, ("m4", 2)], {"strangers": 1}),
    ],
)
def test_the_bench_notices(delivered: list[Key], figures: dict[str, int]) -> None:
    """A lost, a doubled, two swapped, an early edit, and a message that nobody stored are each counted."""
    assert found(delivered) == figures


def test_only_what_nobody_could_have_received_is_excused() -> None:
    """Under drain a lost reply takes its messages along, unless another reply held them or it was no drain."""
    missing = MESSAGES[2]
    rest = [key for key in MESSAGES if key != missing]
    assert found(rest, "drain", spoilt={missing}) == {"lost_replies": 1}
    assert found(rest, "drain", spoilt={missing}, shown={missing}) == {"lost": 1}
    assert found(rest, "drain", spoilt={MESSAGES[0]}) == {"lost": 1}
    assert found(rest, "cursor", spoilt={missing}) == {"lost": 1}


def test_a_history_shows_an_edit_in_the_old_place_and_may_never_show_what_was_edited() -> None:
    """So an edit has an order only within its message, and a version that no reply held is told apart."""
    assert found([MESSAGES[3], *MESSAGES[1:3], MESSAGES[4]], "history") == {"superseded": 1}
    assert found([MESSAGES[3], *MESSAGES[1:3], MESSAGES[4]], "history", shown={MESSAGES[0]}) == {"lost": 1}
    assert found([MESSAGES[0], MESSAGES[3], *MESSAGES[1:3], MESSAGES[4]], "history") == {}
    assert found([MESSAGES[3], *MESSAGES[:3], MESSAGES[4]], "history") == {"disordered": 1}


@pytest.mark.parametrize(
    ("talk", "figures"),
    [
        (Talk("chat", MESSAGES, ends=2), {"ended_twice": 1}),
        (Talk("chat", MESSAGES, ends=0), {"ended_never": 1}),
        (Talk("chat", MESSAGES, ends=1, failure="NotFound"), {"sessions_lost": 1}),
        (
            Talk("chat", MESSAGES, ends=0, failure="SessionExpired", expired=True),
            {"ended_never": 1, "sessions_lost": 1},
        ),
    ],
)
def test_ends_and_sessions_are_counted(talk: Talk, figures: dict[str, int]) -> None:
    """A second end, none at all, and a session that was given up although the server kept it."""
    counted = judge(talk, Truth(LEDGER, "cursor"))
    assert {name: counted[name] for name in ZEROS if counted[name]} == figures


def test_an_end_that_only_the_client_believes_in_is_counted() -> None:
    """Who was told that the chat is ended, while the ledger does not have it, has a chat that never ended."""
    counted = judge(Talk("chat", MESSAGES, ends=1, closed=True), Truth(LEDGER[:-1], "cursor"))
    assert counted["ended_never"] == 1


def test_a_forgotten_session_is_expected_to_expire_and_nothing_else() -> None:
    """What was stored for a session that the server forgot is counted apart, unless a reply had brought it."""
    talk = Talk("chat", MESSAGES[:4], failure="SessionExpired", expired=True)
    expected = judge(talk, Truth(LEDGER, "cursor", forgotten=True, shown=set(MESSAGES[:4])))
    assert (expected["gone"], expected["forgotten"], expected["lost"], expected["sessions_lost"]) == (1, 1, 0, 0)
    assert judge(talk, Truth(LEDGER, "cursor", forgotten=True, shown=set(MESSAGES)))["lost"] == 1


def test_last_words_that_no_poll_could_fetch_are_counted_apart() -> None:
    """Of a chat that the customer ended and the client then gave up on, only what follows all that came is excused."""
    assert found(MESSAGES[:3], given_up=True) == {"given_up": 2}
    assert found([*MESSAGES[:2], MESSAGES[4]], given_up=True) == {"lost": 2}


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        (Sent("once", "returned", "m1"), 0),
        (Sent("once", "returned", "m7"), 1),
        (Sent("never", "returned", "m7"), 1),
        (Sent("twice", "returned", "m2"), 1),
        (Sent("once", "unknown"), 0),
        (Sent("never", "unknown"), 0),
        (Sent("twice", "unknown"), 1),
        (Sent("never", "failed"), 0),
        (Sent("once", "failed"), 1),
    ],
)
def test_every_send_agrees_with_the_ledger(sent: Sent, wrong: int) -> None:
    """Returned is stored once under that id, certainly failed is not stored, and nothing is stored twice."""
    ledger = (entry("m1", content="once"), entry("m2", content="twice"), entry("m3", content="twice"), LEDGER[-1])
    counted: Counter[str] = judge(Talk("chat", ends=1, sends=[sent]), Truth(ledger, "cursor"))
    assert counted["sends_wrong"] == wrong
