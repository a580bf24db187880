"""A store that holds nonsense: damaged rows of a file, and whatever a caller's own store gives.

What can be gone around is; for the rest there is one error, `StoreError`, which says where, what, and what to do.
"""

from __future__ import annotations

import json
import logging
import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st

from puzzel_chat import (
    ConfigurationError,
    InvalidArgument,
    Life,
    MemoryStore,
    PuzzelChat,
    PuzzelChatError,
    SessionNotFound,
    SQLiteStore,
    Store,
    StoredConversation,
    StoredSession,
    StoreError,
    TokenSet,
    UnknownMessage,
    Unread,
)
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Secret
from puzzel_chat._owners import owner_name
from puzzel_chat.testing import VirtualTime
from telling import told_by

Connect = Callable[..., Any]
ACCESS, REFRESH, VISITOR, WORDS = "access-t0k3n", "refresh-t0k3n", "ada-1815", "My order has not arrived"
SECRETS = (ACCESS, REFRESH, VISITOR, WORDS)
NONSENSE = (None, "", "nonsense", -1, 0, 5, 2**62, 2**63 - 1, -(2**63), 1.5, 1e308, -math.inf, math.inf, b"", b"\xff")
NONSENSE_TEXT = ("a/b", "..", "\r\n", "\x00", "æ", "x" * 5000, "{", "[" * 20_000, "null", "5", '"words"', ACCESS, WORDS)
COLUMNS = {
    "session": (
        *("id", "access", "refresh", "generation", "ttl", "obtained", "visitor_id", "cursor"),
        *("refresh_owner", "refresh_until", "poll_owner", "poll_until"),
    ),
    "conversation": ("session_id", "id", "request_id", "life"),
    "unread": ("session_id", "seq", "raw", "conversation_id"),
    "seen": ("session_id", "conversation_id", "item_id", "mark"),
}
PLACES = [(table, column) for table, columns in COLUMNS.items() for column in columns]
OWNER = f"elsewhere:1/7/{'0' * 32}"


def item(number: int, conversation_id: str = "a", **more: Any) -> dict[str, Any]:
    """A line of text as the wire has it."""
    author = {"role": 1, "id": "kari", "displayName": "Kari"}
    known = {"type": "Text", "id": str(number), "conversationId": conversation_id, "version": 1, "author": author}
    return {**known, "sentAt": "2026-01-05T09:00:00Z", "content": WORDS, **more}


class Canned:
    """A service, in place of a transport, that takes everything and whose polls tell the end of both chats."""

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Answer."""
        self.asked.append(request)
        assert len(self.asked) < 5000, "it goes on for ever"
        end = {"type": "Event", "event": "ConversationEnded", "endedBy": 1}
        said: dict[str, Any] = {"id": "7", "isOpen": True, "status": "Assigned", "requestId": "r"}
        match request.operation:
            case "connectToken":
                said = {"access_token": "a2", "refresh_token": "r2", "expires_in": 600}
            case "pollConversation":
                said = {"messages": [item(90), item(91, "a", **end), item(92, "b", **end)], "cursor": 92}
            case "sendMessage":
                said = {**item(50), "author": {"role": 0}}
        assert access is None or access.isascii()
        return Reply(status=200, headers={"content-type": "application/json"}, body=json.dumps(said).encode())

    def close(self) -> None:
        """Do nothing."""


class AsyncCanned(Canned):
    """The same for the awaiting client."""

    async def send(  # type: ignore[override]  # a transport of the other client
        self, request: Request, access: str | None, within: float | None = None
    ) -> Reply:
        """Answer."""
        return super().send(request, access, within)

    async def aclose(self) -> None:
        """Do nothing."""


Make = Callable[[Store], Any]


@pytest.fixture
def client(connect: Connect, puzzel_time: VirtualTime) -> Make:
    """Make a client of either kind, on a store, that talks to such a service in time that passes at once."""

    def made(store: Store) -> Any:
        chat = connect(base_url="https://chat.example", solution_id="7", store=store)
        target: Any = getattr(chat, "_target", chat)
        target._transport = Canned() if target is chat else AsyncCanned()
        return chat

    return made


def filled(store: Store, now: float) -> None:
    """Keep a session of everything: two chats, items to be read, items that were read, and rights that are over."""
    tokens = TokenSet(access=Secret(ACCESS), refresh=Secret(REFRESH), obtained=now, visitor_id=Secret(VISITOR))
    store.save_tokens("s", tokens)
    for right in ("poll", "refresh"):
        store.acquire("s", right, OWNER, now - 1000, 60.0)
    store.save_conversation("s", StoredConversation(id="a", request_id="r1"))
    store.save_conversation("s", StoredConversation(id="b", life=Life.ENDING))
    store.journal("s", OWNER, "3", [Unread(seq=n, raw=item(n)) for n in (1, 2, 3)])
    store.acknowledge("s", OWNER, "a", 1, "1", "1:mark")
    store.acknowledge("s", OWNER, "b", 9, "9", "2:mark")


def spoilt(path: Path, *changes: tuple[str, str, object]) -> None:
    """Write nonsense into columns of a file; what the file itself refuses is left out."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys=OFF")
        for table, column, value in changes:
            try:
                db.execute(f"UPDATE OR IGNORE {table} SET {column}=?", (value,))
            except sqlite3.IntegrityError:
                continue


def tour(chat: Any, session_id: str = "s") -> list[PuzzelChatError]:
    """Do everything that can be done with a stored session; give the errors, all of which must be ours."""
    told: list[PuzzelChatError] = []

    def tried(call: Callable[..., Any], *arguments: Any, **more: Any) -> Any:
        try:
            return call(*arguments, **more)
        except PuzzelChatError as error:
            told.append(error)
            return None

    def events(conversation: Any) -> list[Any]:
        return list(islice(conversation.events(), 20))

    tried(chat.sessions)
    for shared in (True, False):
        session = tried(chat.resume, session_id, shared=shared)
        if session is None:
            continue
        assert repr((session.id, session.visitor_id))
        tried(session.queue_info, "27504")
        for conversation in tried(getattr, session, "conversations") or ():
            tried(conversation.allocation)
            tried(conversation.send, "Hello")
            tried(conversation.typing)
            tried(events, conversation)
            tried(conversation.end)
            tried(events, conversation)
            tried(events, conversation)
        new = session.conversation("new")
        tried(new.route, "q_support")
        for call in (new.end, session.poll, session.poll, session.close):
            tried(call)
    tried(chat.sessions)
    return told


def shown(told: list[PuzzelChatError]) -> str:
    """What tools show of errors."""
    return "\n".join(told_by(error) for error in told)


QUICK = ("session ttl", "session cursor", "session poll_until", "conversation life", "seen mark")
EACH = [(*place.split(), (None, "nonsense", b"\xff")) for place in QUICK]
IDS = ("id", "request_id", "conversation_id", "item_id")
EVERY = [pytest.param(*place, (*NONSENSE, *NONSENSE_TEXT), marks=pytest.mark.slow) for place in PLACES]


@pytest.mark.parametrize(
    ("table", "column", "values"), [*EACH, *EVERY], ids=lambda one: one if isinstance(one, str) else ""
)
def test_nonsense_in_any_column_is_an_error_of_ours(
    client: Make, puzzel_time: VirtualTime, tmp_path: Path, table: str, column: str, values: tuple[object, ...]
) -> None:
    """Whatever stands in a column, each call works or raises our error, which shows no secret."""
    for number, value in enumerate(values):
        path = tmp_path / f"{number}.db"
        with closing(SQLiteStore(path)) as store:
            filled(store, puzzel_time.now().wall)
            spoilt(path, (table, column, value))
            chat = client(store)
            told = shown(tour(chat))
            chat.close()
        # An id is shown, whatever it is.
        assert not [secret for secret in SECRETS if secret in told and (value != secret or column not in IDS)], told


VALUES = st.one_of(
    st.sampled_from([*NONSENSE, *NONSENSE_TEXT]),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.binary(),
).filter(lambda value: not any(secret in str(value) for secret in SECRETS))
"""Hypothesis tries texts of this file, too; a secret in an id's place would be no secret."""


CHANGES = st.lists(st.tuples(st.sampled_from(PLACES), VALUES), min_size=1, max_size=6)


@given(changes=CHANGES)
@example(changes=[(("session", "access"), b"access-t0k3n\xff")])
@settings(max_examples=5)
def test_any_damage_to_a_file_is_an_error_of_ours(changes: list[Any]) -> None:
    """Several columns at once, with anything in them: nothing but our errors, and no secret in them."""
    damage_a_file(changes)


@pytest.mark.slow
@given(changes=CHANGES)
@settings(max_examples=100)
def test_much_damage_to_a_file_is_an_error_of_ours(changes: list[Any]) -> None:
    """The same, in a hundred ways."""
    damage_a_file(changes)


def damage_a_file(changes: list[Any]) -> None:
    """Damage a file, make every call, and look for secrets in what is told."""
    time = VirtualTime()
    with TemporaryDirectory() as folder, closing(SQLiteStore(Path(folder, "chats.db"))) as store:
        filled(store, time.now().wall)
        spoilt(store.path, *((table, column, value) for (table, column), value in changes))
        with PuzzelChat(base_url="https://chat.example", solution_id="7", store=store) as chat:
            chat._parts, chat._transport = evolve(chat._parts, clock=time), Canned()  # type: ignore[assignment]
            told = shown(tour(chat))
    assert not [secret for secret in SECRETS if secret in told], told


DAMAGED: list[tuple[str, Any]] = [
    ("access", ""),
    ("access", "a\x07"),
    ("access", "\u00e6"),
    ("access", b"\xff"),
    ("refresh", b"\xff"),
]
DAMAGED += [("generation", "nonsense"), ("generation", b"\xff"), ("generation", 1.5), ("generation", -5)]
DAMAGED += [(column, value) for column in ("ttl", "obtained") for value in ("nonsense", b"\xff", 1e308, -math.inf)]


@pytest.mark.parametrize(("column", "value"), DAMAGED)
def test_a_damaged_token_is_told(
    client: Make, puzzel_time: VirtualTime, tmp_path: Path, column: str, value: object
) -> None:
    """Without its token there is no session: the error names the file, the session, the column and the next step."""
    with closing(SQLiteStore(tmp_path / "chats.db")) as store:
        filled(store, puzzel_time.now().wall)
        spoilt(store.path, ("session", column, value))
        chat = client(store)
        with pytest.raises(StoreError, match=rf"(?s)Session s is damaged.*chats\.db: {column} is .*delete\('s'\)") as e:
            chat.resume("s")
        assert not e.value.retryable
        (info,) = chat.sessions()
        assert (info.id, info.conversations, str(e.value)) == ("s", (), info.problem)
        assert chat.sessions() == (info,)
        store.delete("s")
        assert chat.sessions() == ()


def resumed(client: Make, time: VirtualTime, store: Store, *changes: Any) -> Any:
    """A session of a file that was damaged in these places."""
    filled(store, time.now().wall)
    spoilt(store.path, *changes)  # type: ignore[attr-defined]  # a file
    return client(store).resume("s")


@pytest.mark.parametrize(
    ("column", "value"),
    [("raw", "{"), ("raw", b"\xff"), ("raw", "5"), ("raw", "[" * 20_000), ("seq", "third")],
    ids=["cut off", "blob", "number", "nested", "no place"],
)
def test_a_damaged_item_is_not_lost(
    client: Make,
    puzzel_time: VirtualTime,
    caplog: pytest.LogCaptureFixture,
    column: str,
    value: object,
) -> None:
    """It comes as it is, in an `UnknownMessage` unless its words are whole, and the session goes on."""
    with TemporaryDirectory() as folder, closing(SQLiteStore(Path(folder, "chats.db"))) as store:
        with closing(sqlite3.connect(store.path)) as db:
            filled(store, puzzel_time.now().wall)
            db.execute(f"UPDATE unread SET {column}=? WHERE seq=2", (value,))
            db.commit()
        session = client(store).resume("s")
        events = list(session.conversation("a").messages())
        assert sum(isinstance(event, UnknownMessage) for event in events) == (column == "raw")
        assert [event.id for event in events if not isinstance(event, UnknownMessage)] == (
            ["3", "90"] if column == "raw" else ["3", "2", "90"]
        )
        assert any("damaged" in record.message for record in caplog.records)
        assert WORDS not in caplog.text
        kept = store.load("s")
        assert kept is not None
        seen = {item_id for item_id, _ in kept.seen["a"]}  # whatever stays in the file does not come again
        assert any(one.startswith("unknown-") for one in seen) if column == "raw" else "2" in seen


def test_a_damaged_life_is_the_most_careful_one(client: Make, puzzel_time: VirtualTime, tmp_path: Path) -> None:
    """A chat of which nobody knows whether it goes on can be ended; so can the one whose routing id is no text."""
    with closing(SQLiteStore(tmp_path / "chats.db")) as store:
        places = (("conversation", "life", b"?"), ("conversation", "request_id", b"?"))
        session = resumed(client, puzzel_time, store, *places)
        assert [(one.id, one.ended) for one in session.conversations] == [("a", False), ("b", False)]
        for one in session.conversations:
            one.end()
            assert one.ended


def test_a_damaged_cursor_and_marks_cost_a_repetition_at_most(
    client: Make, puzzel_time: VirtualTime, tmp_path: Path
) -> None:
    """Without them the service tells all again, and at least once is what was promised."""
    with closing(SQLiteStore(tmp_path / "chats.db")) as store:
        places = (("session", "cursor", b"\xff"), ("seen", "mark", "no version"), ("session", "visitor_id", b"\xff"))
        session = resumed(client, puzzel_time, store, *places)
        assert session.visitor_id is None
        assert [event.id for event in session.conversation("a").events()] == ["2", "3", "90", "91"]


@pytest.mark.parametrize("right", ["poll", "refresh"])
@pytest.mark.parametrize(
    ("holder", "until"),
    [(b"\xff", 1e12), (OWNER, "late"), (f"{owner_name().split('/')[0]}/{'9' * 30}/x", 1e12), ("", b"")],
)
def test_a_damaged_right_is_free(
    client: Make,
    puzzel_time: VirtualTime,
    tmp_path: Path,
    right: str,
    holder: object,
    until: object,
) -> None:
    """Nobody waits for an owner whom nobody can read, or whose process cannot be."""
    with closing(SQLiteStore(tmp_path / "chats.db")) as store:
        places = ((f"{right}_owner", holder), (f"{right}_until", until))
        session = resumed(client, puzzel_time, store, *(("session", *place) for place in places))
        puzzel_time.advance(700)
        assert session.queue_info("27504").is_open


NOTHING: tuple[Any, ...] = (None, [], {}, [None], {None: [()]})
ODD: tuple[Any, ...] = (*NOTHING, True, 7, "text", b"bytes", {"s": 1}, {1: 2}, object(), math.nan)
METHODS = [name for name in vars(Store) if not name.startswith("_")]


class Own(MemoryStore):
    """A caller's own store, one method of which gives what the test says."""

    name = ""
    gives: Any = None

    def __getattribute__(self, name: str) -> Any:
        """Give the method that gives nonsense."""
        if name == type(self).name:
            return lambda *_: type(self).gives
        return super().__getattribute__(name)


def own(name: str, gives: object) -> tuple[Own, type[Own]]:
    """A store that is in order until its class is told otherwise."""
    kind = type("Own", (Own,), {"gives": gives, "name": ""})
    return kind(), kind


@pytest.mark.parametrize("odd", [ODD[:1], pytest.param(ODD, marks=pytest.mark.slow)], ids=["one", "all"])
@pytest.mark.parametrize("name", METHODS)
def test_what_a_callers_own_store_gives_is_checked(
    client: Make, puzzel_time: VirtualTime, name: str, odd: list[object]
) -> None:
    """Whatever a method gives, each call works or raises our error, and none goes on for ever."""
    for value in odd:
        store, kind = own(name, value)
        filled(store, puzzel_time.now().wall)
        kind.name = name
        chat = client(store)
        told = shown(tour(chat))
        kind.name = ""
        chat.close()
        assert not [secret for secret in SECRETS if secret in told], (value, told)


KEPT: Any = StoredConversation
ITEM: Any = Unread


def but(value: Any, **changes: Any) -> Any:
    """A value with fields of any type."""
    return evolve(value, **changes)


TOKENS = TokenSet(access=Secret(ACCESS), refresh=Secret(REFRESH), obtained=1000.0, visitor_id=Secret(VISITOR))
WHOLE = StoredSession(id="s", tokens=TOKENS, cursor="3", unread={1: Unread(seq=1, raw=item(1))})


def each(make: Callable[[Any], Any], *values: Any) -> list[Any]:
    """One of each."""
    return [make(value) for value in values]


ODD_FIELDS: list[Any] = [
    *each(lambda value: but(WHOLE, tokens=but(TOKENS, access=value)), "", "blåbær", "a\r\nb", b"b", 5, None),
    *each(lambda value: but(WHOLE, tokens=but(TOKENS, refresh=value)), "", "\udc80", b"b", 5),
    *each(lambda value: but(WHOLE, tokens=but(TOKENS, generation=value)), 0, -1, 2**70, 1.5, True, "1", None),
    *each(lambda value: but(WHOLE, tokens=but(TOKENS, ttl=value)), math.nan, math.inf, 10**400, True, "600", None),
    *each(lambda value: but(WHOLE, tokens=but(TOKENS, obtained=value)), math.nan, -math.inf, 10**400, "1", None),
    *each(lambda value: but(WHOLE, tokens=value), None, ACCESS, {}),
    *each(lambda value: but(WHOLE, id=value), "t", None, 5),
    *each(lambda value: but(WHOLE, conversations=value), None, [], "x"),
    *each(lambda value: but(WHOLE, unread=value), None, [], "x"),
    *each(lambda value: but(WHOLE, seen=value), None, [], "x"),
]
CIRCLE: dict[str, Any] = {}
CIRCLE["self"] = CIRCLE
GONE_AROUND: list[Any] = [
    *each(lambda value: but(WHOLE, cursor=value), 5, b"c", "\udc80", "x" * 5000),
    *each(lambda value: but(WHOLE, conversations={"a": value}), None, "a", {"id": "a"}),
    *each(lambda value: but(WHOLE, conversations={"a": KEPT(id=value)}), "", "a/b", "..", "\x00", 5, None),
    *each(lambda value: but(WHOLE, conversations={"a": KEPT(id="a", life=value)}), "open", None, 5),
    *each(lambda value: but(WHOLE, conversations={"a": KEPT(id="a", request_id=value)}), 5, "a/b", b""),
    *each(lambda value: but(WHOLE, unread={1: value}), None, item(1), 5),
    *each(lambda value: but(WHOLE, unread={1: ITEM(seq=value, raw=item(1))}), -1, 2**70, "1", None, True, 1.5),
    *each(lambda value: but(WHOLE, unread={1: ITEM(seq=1, raw=value)}), None, [], b"", {1: 2, "a": 3}, CIRCLE),
    *each(lambda value: but(WHOLE, unread={1: ITEM(seq=1, conversation_id=value, raw=item(1))}), 5, b"a", [], "a/b"),
    *each(lambda value: but(WHOLE, seen={value: [("1", "1:m")]}), None, 5),
    *each(lambda value: but(WHOLE, seen={"a": value}), None, 5, [5], [("1",)], [("1", "m")], [("1", "x:m")], [(1, 2)]),
    *each(lambda value: but(WHOLE, tokens=but(TOKENS, visitor_id=value)), 5, b"v"),
    *each(lambda value: but(WHOLE, tokens=but(TOKENS, obtained=value)), 1e11, -1e11),
]


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("usable", [True, False], ids=["gone around", "refused"])
def test_every_field_of_what_a_callers_own_store_gives_is_checked(
    client: Make, puzzel_time: VirtualTime, usable: bool, step: int
) -> None:
    """Each kind of wrong value costs its session, with an error that tells no secret, or only itself."""
    for value in (GONE_AROUND if usable else ODD_FIELDS)[::step]:
        store, kind = own("load", value)
        filled(store, puzzel_time.now().wall)
        chat = client(store)
        kind.name = "load"
        if usable:
            chat.resume("s").close()
        else:
            with pytest.raises(StoreError, match="Session s is damaged in the store Own: ") as raised:
                chat.resume("s")
            assert not [secret for secret in SECRETS if secret in told_by(raised.value)]
            assert raised.value.__context__ is None
        tour(chat)
        kind.name = ""
        chat.close()


@pytest.mark.parametrize("field", ["tokens", "conversations", "unread", "seen"])
def test_tokens_hide_themselves_whatever_they_are(field: str) -> None:
    """A caller's own store that forgets `Secret` shows no token in a repr, and neither does a blob."""
    for tokens in (
        TokenSet(access=ACCESS, refresh=REFRESH, obtained=1.0, visitor_id=VISITOR),
        TokenSet(access=ACCESS.encode(), refresh=REFRESH.encode(), obtained=1.0, visitor_id=VISITOR.encode()),  # type: ignore[arg-type]
    ):
        assert not [secret for secret in SECRETS if secret in repr(evolve(WHOLE, tokens=tokens))]
    assert "visitor_id=None" in repr(TokenSet(access=Secret("a"), obtained=1.0))


@pytest.mark.parametrize("wrong", [None, 5, b"s", ["s"]])
def test_a_session_id_is_a_text(connect: Connect, wrong: object) -> None:
    """Anything else is told as the argument that it is, and an id that is not there as such."""
    chat = connect(base_url="https://chat.example", solution_id="7")
    with pytest.raises(InvalidArgument, match="session_id: must be a string"):
        chat.resume(wrong)
    with pytest.raises(SessionNotFound):
        chat.resume("nobody")


@pytest.mark.parametrize("table", COLUMNS)
def test_a_file_that_lost_a_table_is_told(client: Make, puzzel_time: VirtualTime, tmp_path: Path, table: str) -> None:
    """Every call that needs it says which file is damaged."""
    path = tmp_path / "chats.db"
    with closing(SQLiteStore(path)) as store:
        filled(store, puzzel_time.now().wall)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"DROP TABLE {table}")
        chat = client(store)
        for told in tour(chat):
            assert not isinstance(told, StoreError) or ("chats.db" in str(told) and f"{table}." in str(told)), told
    with closing(SQLiteStore(path)) as again, pytest.raises(StoreError, match=r"chats\.db.*The file is damaged"):
        again.load("s")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_file_that_was_cut_off_is_told(client: Make, puzzel_time: VirtualTime, tmp_path: Path, share: float) -> None:
    """A backup of half a file is an error of ours, when it is opened or when it is read."""
    path = tmp_path / "chats.db"
    with closing(SQLiteStore(path)) as store:
        filled(store, puzzel_time.now().wall)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises((ConfigurationError, StoreError), match=r"chats\.db"), closing(SQLiteStore(path)) as again:
        raise next(told for told in tour(client(again)) if isinstance(told, StoreError))


def test_damage_is_logged_once_and_without_words(
    client: Make, puzzel_time: VirtualTime, caplog: pytest.LogCaptureFixture
) -> None:
    """One line for a session, however many of its rows are damaged, and no value of them in it."""
    with (
        caplog.at_level(logging.WARNING),
        TemporaryDirectory() as folder,
        closing(SQLiteStore(Path(folder, "chats.db"))) as store,
    ):
        places = (("unread", "raw", WORDS), ("conversation", "life", ACCESS), ("seen", "mark", VISITOR))
        resumed(client, puzzel_time, store, *places)
    (told,) = [record.getMessage() for record in caplog.records if "damaged" in record.getMessage()]
    assert "an unread item" in told
    assert not [secret for secret in SECRETS if secret in caplog.text]
