"""Pure: what a client delivered against what the contact centre stored, message by message, in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from puzzel_chat.sandbox import Entry, Semantics
from soak.excuses import Missing, alike, unheard, why_missing
from soak.talks import PLANTED, Key, Sent, Talk, Truth, entry_key, message_id


def judge(talk: Talk, truth: Truth) -> Counter[str]:
    """Count everything about one conversation that the table tells."""
    figures = messages(talk, truth) + sends(talk.sends, truth.entries)
    expected, excused = truth.forgotten and talk.expired, unheard(talk, truth)
    figures["ended_twice"] = max(0, talk.ends - 1)
    figures["ended_never"] = int(talk.ends == 0 and not expected and not excused)
    figures["ended_never"] += int(talk.closed and truth.end is None)
    figures["unheard"] = int(excused)
    figures["open"] = int(talk.open and (talk.ends > 0 or talk.told))
    figures["sessions_lost"] = int(talk.failure is not None and not expected)
    figures["forgotten"] = int(expected)
    figures["refused"], figures["oversized"] = talk.refused, talk.oversized
    return figures


def messages(talk: Talk, truth: Truth) -> Counter[str]:
    """Count what was stored, delivered, lost, delivered twice, out of order, told wrongly, or never stored at all."""
    delivered = talk.delivered
    stored = [entry_key(entry) for entry in truth.entries if entry.type != "Event"]
    events = {entry_key(entry)[0] for entry in truth.entries if entry.type == "Event"}
    # An event that a fault made unreadable comes as an unknown message, and so does an item that one planted.
    ours = [key for key in delivered if key[0] not in events and not (truth.planted and key == PLANTED)]
    figures: Counter[str] = Counter(stored=len(stored), delivered=len(set(ours) & set(stored)))
    figures["strangers"] = len(set(ours) - set(stored))
    figures["doubled"] = len(delivered) - len(set(delivered))
    figures["disordered"] = disordered([key for key in dict.fromkeys(ours) if key in stored], stored, truth.semantics)
    figures += told(talk, set(stored))
    figures["not_kept"] = not_kept(talk, truth)
    last = max((place for place, key in enumerate(stored) if key in ours), default=-1)
    for place, key in enumerate(stored):
        if key not in delivered:
            figures[why_missing(Missing(key, truth, set(ours), place > last))] += 1
    return figures


def told(talk: Talk, stored: set[Key]) -> Counter[str]:
    """Count new messages that were told as edits, and edits that were told as new messages."""
    figures, known = Counter[str](), set[str]()
    for key in dict.fromkeys(talk.delivered):
        if key in stored:
            if (key in talk.edits) != (key[0] in known):
                of_an_old_id = key[1] > 1 and any(message_id(name) == message_id(key[0]) for name in known)
                figures["taken_for_edit" if key in talk.edits and of_an_old_id else "told_wrongly"] += 1
            known.add(key[0])
    return figures


def not_kept(talk: Talk, truth: Truth) -> int:
    """Count the messages whose last version that came is not in the transcript, nor one that is taken for it."""
    if talk.kept is None:
        return 0
    entries = {entry_key(entry): entry for entry in truth.entries if entry.type != "Event"}
    last = {name: (name, version) for name, version in sorted(talk.delivered) if (name, version) in entries}
    kept_keys = set(talk.kept)
    kept = [entries[key] for key in kept_keys if key in entries]

    def is_kept(key: Key) -> bool:
        of_its_id = [one for one in kept if one.id == entries[key].id]
        taken_for_it = any(entry_key(one)[1] > key[1] and entry_key(one) in talk.edits for one in of_its_id)
        return key in kept_keys or taken_for_it or any(alike(one, entries[key]) for one in of_its_id)

    return sum(not is_kept(key) for key in last.values())


def disordered(delivered: Sequence[Key], stored: Sequence[Key], semantics: Semantics) -> int:
    """Count what came after something that was stored later.

    A history shows an edit in the old place of its message, so there only a message's own versions have an order.
    """
    places = {key: place for place, key in enumerate(stored)}
    firsts = {key[0]: place for key, place in reversed(places.items())}
    latest: Counter[str] = Counter()
    highest = wrong = 0
    for key in delivered:
        in_place = semantics != "history" or places[key] == firsts[key[0]]
        wrong += key[1] < latest[key[0]] or (in_place and places[key] < highest)
        latest[key[0]] = max(latest[key[0]], key[1])
        highest = max(highest, places[key]) if in_place else highest
    return wrong


def sends(made: Iterable[Sent], entries: Sequence[Entry]) -> Counter[str]:
    """Count the customer's lines, and those of which the ledger says something else than the client did."""
    figures: Counter[str] = Counter(sends=0)
    for one in made:
        ids = [entry.id for entry in entries if entry.content == one.text]
        allowed: dict[str, list[list[Any]]] = {"returned": [[one.id]], "unknown": [[], ids[:1]], "failed": [[]]}
        figures["sends"] += 1
        figures["sends_unknown"] += one.outcome == "unknown"
        figures["sends_wrong"] += ids not in allowed[one.outcome]
    return figures
