"""All that a run excuses by design, in one list, each with its reason; whatever else is missing counts as wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection

from attrs import frozen

from puzzel_chat.sandbox import Entry
from soak.talks import Key, Talk, Truth, entry_key


@frozen
class Missing:
    """A stored message that was not delivered; `last` says that everything which came is older."""

    key: Key
    truth: Truth
    delivered: Collection[Key]
    last: bool

    @property
    def never_shown(self) -> bool:
        """Whether it was in no reply that went out whole."""
        return self.key not in self.truth.shown

    @property
    def edited(self) -> bool:
        """Whether a later version of it came."""
        return any(other[0] == self.key[0] and other[1] > self.key[1] for other in self.delivered)

    @property
    def alike(self) -> bool:
        """Whether an earlier message came that has the same id, version, author and words."""
        entries = list(self.truth.entries)
        place = next(place for place, entry in enumerate(entries) if entry_key(entry) == self.key)
        return any(entry_key(one) in self.delivered and alike(one, entries[place]) for one in entries[:place])


def alike(one: Entry, other: Entry) -> bool:
    """Tell whether two messages differ in nothing but their times."""
    words = ("id", "version", "type", "role", "content")
    return all(getattr(one, name) == getattr(other, name) for name in words)


@frozen
class Excuse:
    """One excuse: its figure, the column, the reason, and for a message that is missing the rule that it must meet."""

    figure: str
    column: str
    why: str
    of_message: Callable[[Missing], bool] | None = None


EXCUSES = (
    Excuse(
        "too_large", "over the bound",
        "It came only in replies larger than the client reads. A message above the bound can never be read; with cursor"
        " and history neither can what follows it in the same reply.",
        lambda one: one.never_shown and one.key in one.truth.too_large),
    Excuse(
        "lost_replies", "lost replies (drain)",
        "Under drain the service tells a message once, and a fault spoilt that one reply.",
        lambda one: one.never_shown and one.truth.semantics == "drain" and one.key in one.truth.spoilt),
    Excuse(
        "superseded", "edited unseen",
        "Under history it was edited before any whole reply showed it; the edit came.",
        lambda one: one.never_shown and one.truth.semantics == "history" and one.edited),
    Excuse(
        "gone", "gone with them",
        "Its session was forgotten by the service, and no whole reply had shown it.",
        lambda one: one.never_shown and one.truth.forgotten),
    Excuse(
        "alike", "said again",
        "Its id had begun again, and under that id the same author had said the same before: a client takes it for the"
        " message that it has, sent once more.",
        lambda one: one.alike),
    Excuse(
        "given_up", "given up",
        "The customer ended the chat, or was told of its end, and then no poll succeeded for ten seconds: the client"
        " waits no more for last words. Only what is later than all that came.",
        lambda one: one.truth.given_up and one.last),
    Excuse(
        "taken_for_edit", "taken for edits",
        "Its id had begun again, and it was edited before any whole reply showed it: with its higher version it looks"
        " like an edit of the earlier message of that id. The words came."),
    Excuse(
        "unheard", "ends unheard",
        "The only reply that told the end was lost (drain) or larger than the client reads, nothing else tells it, and"
        " the customer only listened: nobody can know. Any call to the service would have told."),
    Excuse(
        "forgotten", "sessions forgotten",
        "The service forgot the session; SessionExpired is the right answer."),
    Excuse(
        "by_design", "refused by design",
        "Only in the fleet, where many chats share the faults: for one poll four tokens were refused in a row, or three"
        " replies in a row were unreadable."),
    Excuse(
        "sends_unknown", "sends unknown",
        "A send without an answer that no poll brought back raised DeliveryUnknown, and is stored once or not at all."),
    Excuse(
        "starts_failed", "starts failed",
        "A chat could not be begun, which was told, and it was tried again; who never begins counts as wrong."),
    Excuse(
        "abandoned", "abandoned",
        "Of the failed starts, those which the service keeps in its queue, for their end did not get through either."),
)  # fmt: skip
"""In the order in which they are tried."""
COLUMNS = {one.figure: one.column for one in EXCUSES}


def why_missing(missing: Missing) -> str:
    """Give the figure of the excuse for a missing message, "lost" when there is none."""
    found = (one.figure for one in EXCUSES if one.of_message is not None and one.of_message(missing))
    return next(found, "lost")


def unheard(talk: Talk, truth: Truth) -> bool:
    """Tell whether the customer could not know of the end."""
    end = truth.end
    if talk.ends or talk.told or talk.closed or not truth.silent or end is None or end in truth.shown:
        return False
    return end in truth.too_large or (truth.semantics == "drain" and end in truth.spoilt)


def told(total: Counter[str]) -> str:
    """List the excuses, how often each was needed, and why it is one."""
    lines = (f"{total[one.figure]:>6} {one.column}: {one.why}" for one in EXCUSES)
    return "\n".join(["Excused by design, and nothing else:", *lines])
