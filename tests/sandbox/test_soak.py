"""The fault bench in short: every mix once, its table the same each time, and proof that it notices what it is for."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from datetime import UTC, datetime
from itertools import cycle, product
from random import Random
from typing import Any

import pytest

from puzzel_chat import AuthenticationError, ContractError
from puzzel_chat._http import Reply, Request
from puzzel_chat.sandbox import SEMANTICS, Entry, Role, Semantics
from quick import quick_only
from soak import excuses, faults, fleet, guests
from soak.cells import ZEROS, Cell, run
from soak.clients import KINDS, Kind
from soak.clock import SoakTime
from soak.compare import judge
from soak.customer import Way
from soak.hearing import Ear
from soak.mixes import MIXES
from soak.talks import Key, Sent, Talk, Truth, entry_key, named

QUICK = (
    "reset-after", "truncated", "status-503", "revoked", "lost-rotations", "restarts", "suspended", "everything",
    "forced-expiry", "status-204", "status-304", "new-ids", "huge-replies", "huge-lines",
)  # fmt: skip
LOST_ENDS: list[tuple[str, Way]] = [
    ("lost-ends", "send"), ("lost-ends", "type"), ("lost-ends", "end"), ("lost-ends-cancelled", "ask"),
    ("lost-ends-410", "listen"),
]  # fmt: skip
MESSAGES: list[Key] = [("m1", 1), ("m2", 1), ("m3", 1), ("m1", 2), ("m4", 1)]


def entry(item: str, version: int = 1, content: str = "Hello", kind: str = "Text", **wire: object) -> Entry:
    """One line of a ledger."""
    return Entry(item, version, "chat", kind, Role.AGENT, "Kari", content, None, datetime(2026, 1, 5, tzinfo=UTC), wire)


LEDGER = (
    *(entry(item, version) for item, version in MESSAGES),
    entry("end", content="ConversationEnded", kind="Event"),
)


def found(delivered: list[Key], semantics: Semantics = "cursor", **truth: Any) -> dict[str, int]:
    """Judge what was delivered, each edit told as one; gives the figures that are not zero."""
    return figures(told(delivered), semantics, **truth)


def told(delivered: list[Key], **talk: Any) -> Talk:
    """Say how a customer was told these, with an edit wherever a message came before."""
    once = list(dict.fromkeys(delivered))
    edits = {key for place, key in enumerate(once) if key[0] in {other[0] for other in once[:place]}}
    return Talk("chat", delivered, **{"ends": 1, "edits": edits, **talk})


def figures(
    talk: Talk, semantics: Semantics = "cursor", ledger: tuple[Entry, ...] = LEDGER, **truth: Any
) -> dict[str, int]:
    """Judge a talk; gives the figures that are not zero."""
    counted = judge(talk, Truth(ledger, semantics, **truth))
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


@pytest.mark.parametrize("kind", quick_only(["sync", "loop"], KINDS))
@pytest.mark.parametrize(("mix", "way"), LOST_ENDS)
def test_an_end_in_the_only_reply_that_told_it(mix: str, way: Way, kind: Kind) -> None:
    """Where no poll tells it again, the customer's next call does, or a poll that the service refuses."""
    figures, problems = run(Cell(mix, "drain", kind, seed=1, number=0, said=4, way=way))
    assert problems == []
    assert {name: figures[name] for name in ZEROS} == dict.fromkeys(ZEROS, 0)
    assert figures["faults"] >= 1
    assert figures["unheard"] == 0


def test_who_only_listens_cannot_hear_an_end_that_was_lost() -> None:
    """Under drain the service tells it once and then says nothing for ever, so the excuse is taken, and no other."""
    figures, problems = run(Cell("lost-ends", "drain", "sync", seed=1, number=0, said=4, way="listen"))
    assert problems == []
    assert figures["unheard"] == 1


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("silence", [61.0, 59.0])
def test_the_application_acts_while_a_call_waits(kind: Kind, silence: float) -> None:
    """It acts once a wait begins after it is due, not in the waits of the action itself, and not before its time."""
    time, acts = SoakTime(Random(1)), list[float]()

    def act() -> None:
        acts.append(time.seconds())
        time.wait(threading.Event(), 100.0)

    def is_due() -> bool:
        return time.seconds() - began > 60.0

    async def sleep(seconds: float) -> None:
        await time.sleep(asyncio.Event(), seconds)

    began = time.seconds()
    with time.meanwhile(is_due, act):
        for seconds in (silence, 1.0):
            asyncio.run(sleep(seconds)) if kind == "async" else time.wait(threading.Event(), seconds)
    time.wait(threading.Event(), 100.0)
    assert acts == ([began + silence] if silence > 60.0 else [])


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
    """Four tokens refused for one poll, or three replies in a row that nobody can read, a refresh's among them."""
    poll, refresh = (Request(operation=name, method="GET", path="/") for name in ("pollConversation", "connectToken"))
    none, page, refused = Reply(status=200, body=b'{"messages": []}'), Reply(status=200, body=b"<p>"), Reply(status=401)
    unread, unauthorised = ContractError("pollConversation", "", "no JSON", ""), AuthenticationError("no", status=401)

    def explained(error: Exception, *heard: tuple[Request, str | None, Reply | None]) -> bool:
        ear = Ear()
        for one in heard:
            ear.note(*one)
        return ear.explains(error)

    four = [(poll, access, refused) for access in "abcd"]
    assert explained(unauthorised, *four)
    assert not explained(unauthorised, *four[:3], *four[:3])
    assert not explained(unauthorised, *four[:2], (poll, "b", none), *four[2:])
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
    counted = judge(told(MESSAGES), Truth(LEDGER, "cursor"))
    assert found(MESSAGES) == {}
    assert (counted["stored"], counted["delivered"]) == (5, 5)


@pytest.mark.parametrize(
    ("delivered", "wrong"),
    [
        ([*MESSAGES[:2], *MESSAGES[3:]], {"lost": 1}),
        ([*MESSAGES, ("m2", 1)], {"doubled": 1}),
        ([MESSAGES[1], MESSAGES[0], *MESSAGES[2:]], {"disordered": 1}),
        ([MESSAGES[3], *MESSAGES[:3], MESSAGES[4]], {"disordered": 3}),
        ([*MESSAGES, ("m9", 1)], {"strangers": 1}),
        ([*MESSAGES, ("m4", 2)], {"strangers": 1}),
    ],
)
def test_the_bench_notices(delivered: list[Key], wrong: dict[str, int]) -> None:
    """A lost, a doubled, two swapped, an early edit, and a message that nobody stored are each counted."""
    assert found(delivered) == wrong


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
    ("talk", "wrong"),
    [
        (told(MESSAGES, ends=2), {"ended_twice": 1}),
        (told(MESSAGES, ends=0), {"ended_never": 1}),
        (told(MESSAGES, failure="NotFound"), {"sessions_lost": 1}),
        (told(MESSAGES, ends=0, failure="SessionExpired", expired=True), {"ended_never": 1, "sessions_lost": 1}),
        (told(MESSAGES, open=True), {"open": 1}),
        (told(MESSAGES, ends=0, told=True, open=True), {"ended_never": 1, "open": 1}),
        (told(MESSAGES, refused=3), {"refused": 3}),
        (told(MESSAGES, oversized=2), {"oversized": 2}),
    ],
)
def test_ends_and_sessions_are_counted(talk: Talk, wrong: dict[str, int]) -> None:
    """A second end, none at all, a chat open for ever, a session or a call refused while it lives, a huge line."""
    counted = judge(talk, Truth(LEDGER, "cursor"))
    assert {name: counted[name] for name in ZEROS if counted[name]} == wrong


@pytest.mark.parametrize(
    ("semantics", "truth", "unheard"),
    [
        ("drain", {"spoilt": {("end", 1)}}, 1),
        ("drain", {"spoilt": {("end", 1)}, "shown": {("end", 1)}}, 0),
        ("drain", {"spoilt": {("end", 1)}, "silent": False}, 0),
        ("drain", {"spoilt": {("m4", 1)}}, 0),
        ("cursor", {"spoilt": {("end", 1)}}, 0),
        ("cursor", {"too_large": {("end", 1)}}, 1),
        ("history", {"too_large": {("end", 1)}}, 1),
    ],
)
def test_only_who_listens_may_miss_an_end(semantics: Semantics, truth: dict[str, Any], unheard: int) -> None:
    """An end in the only reply that told it is excused; not when another one showed it, or any call told of it."""
    expected = {"unheard": 1} if unheard else {"ended_never": 1}
    assert figures(told(MESSAGES, ends=0), semantics, **truth) == expected
    assert figures(told(MESSAGES, ends=0, told=True), semantics, **truth) == {"ended_never": 1}
    assert figures(told(MESSAGES, ends=0, closed=True), semantics, **truth) == {"ended_never": 1}


def test_what_was_only_in_replies_over_the_bound_is_excused() -> None:
    """Nobody reads those, whatever a poll means; what another reply held is not excused, nor what was in none."""
    rest = [key for key in MESSAGES if key != ("m3", 1)]
    for semantics in SEMANTICS:
        assert found(rest, semantics, too_large={("m3", 1)}) == {"too_large": 1}
        assert found(rest, semantics, too_large={("m3", 1)}, shown={("m3", 1)}) == {"lost": 1}
        assert found(rest, semantics, too_large={("m2", 1)}) == {"lost": 1}


def test_a_message_of_an_old_id_is_another_message() -> None:
    """Told as an edit or told twice, it is counted; not told at all is excused where the words had come before."""
    early, late = "2026-01-05T09:00:01.5000000Z", "2026-01-05T09:00:09.0000000Z"
    first, edit, again = (
        entry("m1", sentAt=early), entry("m1", 2, "Hello!", sentAt=early), entry("m1", sentAt=late),
    )  # fmt: skip
    ledger = (first, edit, again, LEDGER[-1])
    keys = [entry_key(one) for one in ledger[:3]]
    assert figures(told(keys), ledger=ledger) == {}
    assert figures(told(keys, edits=set(keys[1:])), ledger=ledger) == {"told_wrongly": 1}
    assert figures(told(keys, edits=set()), ledger=ledger) == {"told_wrongly": 1}
    assert figures(told(keys[:2]), ledger=ledger) == {"alike": 1}
    assert figures(told(keys[1:2]), ledger=ledger) == {"lost": 2}
    assert figures(told([*keys, keys[2]]), ledger=ledger) == {"doubled": 1}
    assert figures(told(keys[1:], edits=set()), "history", ledger=ledger) == {"superseded": 1}


@pytest.mark.parametrize("other", [{"content": "Bye"}, {"version": 2}, {"kind": "File"}])
def test_other_words_under_an_old_id_are_never_excused(other: dict[str, Any]) -> None:
    """Nor is another version, or another kind of message."""
    early, late = "2026-01-05T09:00:01.5000000Z", "2026-01-05T09:00:09.0000000Z"
    ledger = (entry("m1", sentAt=early), entry("m1", **other, sentAt=late), LEDGER[-1])
    assert figures(told([entry_key(ledger[0])]), ledger=ledger) == {"lost": 1}


def test_an_edit_of_a_message_that_nobody_saw_may_be_taken_for_one_of_an_older_message() -> None:
    """Its id had begun again; under an id that nobody knew, what is told as an edit is told wrongly."""
    early, late = "2026-01-05T09:00:01.5000000Z", "2026-01-05T09:00:09.0000000Z"
    ledger = (
        entry("m1", sentAt=early),
        entry("m1", 1, "So", sentAt=late),
        entry("m1", 2, "So!", sentAt=late),
        LEDGER[-1],
    )
    first, unseen, edited = (entry_key(one) for one in ledger[:3])
    talk = told([first, edited], edits={edited}, kept={edited})
    assert figures(talk, "history", ledger=ledger) == {"superseded": 1, "taken_for_edit": 1}
    talk = told([edited], edits={edited}, kept={edited})
    assert figures(talk, "history", ledger=ledger[1:]) == {"superseded": 1, "told_wrongly": 1}
    assert unseen not in talk.delivered


def test_a_message_has_one_name_at_both_sides() -> None:
    """The wire's text and the client's time name the same; without a time the id is all there is."""
    at = datetime(2026, 1, 5, 9, 0, 1, 500_000, UTC)
    assert named("m1", "2026-01-05T09:00:01.5000000Z") == named("m1", at) != named("m1", None) == "m1"


@pytest.mark.parametrize(
    ("kept", "missing"),
    [
        ({("m1", 2), ("m2", 1), ("m3", 1), ("m4", 1)}, 0),
        ({("m1", 2), ("m2", 1), ("m3", 1), ("m4", 1), ("m5", 1)}, 0),
        ({("m1", 1), ("m2", 1), ("m3", 1), ("m4", 1)}, 1),
        (set(), 4),
        (None, 0),
    ],
)
def test_the_transcript_holds_what_came(kept: set[Key] | None, missing: int) -> None:
    """Each message that came, in its last version; more is no fault, and nothing is asked where nobody looked."""
    assert figures(told(MESSAGES, kept=kept)) == ({"not_kept": missing} if missing else {})


def test_every_excuse_is_listed_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a column for each, the list beneath it says why, and a figure that must be zero is none."""
    one_chat = ["--mix", "none", "--semantics", "drain", "--kind", "sync", "--messages", "1", "--jobs", "1"]
    assert faults.main(one_chat) == 0
    printed = capsys.readouterr().out
    for one in excuses.EXCUSES:
        assert f"| {one.column} " in printed
        assert f"{one.column}: {one.why}" in printed
        assert one.figure not in ZEROS
    counted = set(ZEROS) | set(excuses.COLUMNS)
    plain = {"chats", "stored", "delivered", "sends", "faults", "requests", "refreshes"}
    assert set(faults.COLUMNS) == counted | plain


def test_an_end_that_only_the_client_believes_in_is_counted() -> None:
    """Who was told that the chat is ended, while the ledger does not have it, has a chat that never ended."""
    counted = judge(told(MESSAGES, closed=True), Truth(LEDGER[:-1], "cursor"))
    assert counted["ended_never"] == 1


def test_a_forgotten_session_is_expected_to_expire_and_nothing_else() -> None:
    """What was stored for a session that the server forgot is counted apart, unless a reply had brought it."""
    talk = told(MESSAGES[:4], ends=0, failure="SessionExpired", expired=True)
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
