"""`SQLiteStore`: sessions in one file, safe for several threads and processes."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from attrs import astuple

from puzzel_chat._database import Database
from puzzel_chat._errors import ConfigurationError
from puzzel_chat._owners import Right, is_free
from puzzel_chat._secrets import Secret, secret_or_none
from puzzel_chat._store import SEEN, StoredConversation, StoredSession, StoredTokens, Waiting

_COLUMNS: dict[Right, str] = {"refresh": "lease", "mail": "mail"}
_FORGET_OLDEST = """DELETE FROM seen WHERE rowid IN (SELECT item FROM (SELECT rowid AS item, row_number() OVER
(PARTITION BY conversation_id ORDER BY rowid DESC) AS place FROM seen WHERE session_id=?) WHERE place>?)"""
_SAVE_TOKENS = """INSERT INTO session (id, access, refresh, generation, ttl, obtained, visitor_id)
SELECT ?,?,?,?,?,?,? WHERE ?=1 OR EXISTS (SELECT 1 FROM session WHERE id=?)
ON CONFLICT (id) DO UPDATE SET access=excluded.access, refresh=excluded.refresh, generation=excluded.generation,
ttl=excluded.ttl, obtained=excluded.obtained, visitor_id=excluded.visitor_id WHERE excluded.generation > generation"""


class SQLiteStore:
    """Keeps sessions in a file at `path`, made with mode 0600; one of an older version is brought up to date.

    A killed process loses nothing that was written. When the machine loses power, the last writes may be lost, except
    those of tokens. A forked process opens the file for itself. Raises `ConfigurationError` when the file cannot be
    opened or is not ours, `StoreError` when it fails later.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError("store", f"the path must be a string or a path, not {type(path).__name__}")
        self.path = Path(path)
        self._file = Database(self.path)

    def load(self, session_id: str) -> StoredSession | None:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> StoredSession | None:
            tokens = _tokens(db, session_id)
            if tokens is None:
                return None
            (cursor,) = db.execute("SELECT cursor FROM session WHERE id=?", (session_id,)).fetchone()
            known = _conversations(db, session_id)
            stored = StoredSession(id=session_id, tokens=tokens, cursor=cursor, conversations=known)
            for seq, raw in db.execute("SELECT seq, raw FROM waiting WHERE session_id=? ORDER BY seq", (session_id,)):
                stored.waiting[seq] = Waiting(seq=seq, raw=json.loads(raw))
            query = "SELECT conversation_id, item_id, mark FROM seen WHERE session_id=? ORDER BY rowid"
            for conversation_id, item_id, mark in db.execute(query, (session_id,)):
                stored.seen.setdefault(conversation_id, []).append((item_id, mark))
            return stored

        return self._file.run(work)

    def tokens(self, session_id: str) -> StoredTokens | None:
        """See `Store`."""
        return self._file.run(lambda db: _tokens(db, session_id))

    def save_tokens(self, session_id: str, tokens: StoredTokens) -> None:
        """See `Store`."""
        row = (session_id, *astuple(tokens), tokens.generation, session_id)
        self._file.run(lambda db: db.execute(_SAVE_TOKENS, row), lasting=True)

    def conversations(self, session_id: str) -> dict[str, StoredConversation]:
        """See `Store`."""
        return self._file.run(lambda db: _conversations(db, session_id))

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT OR REPLACE INTO conversation (session_id, id, request_id, closing, finished)"
                " SELECT ?,?,?,?,? WHERE EXISTS (SELECT 1 FROM session WHERE id=?)",
                (session_id, *astuple(conversation), session_id),
            )

        self._file.run(work)

    def journal(self, session_id: str, owner: str, cursor: str | None, waiting: Sequence[Waiting]) -> bool:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> bool:
            rows = [(session_id, item.seq, json.dumps(item.raw)) for item in waiting]
            if _holder(db, session_id, "mail")[0] != owner:
                return False
            db.execute("UPDATE session SET cursor=? WHERE id=?", (cursor, session_id))
            # A write that is tried again, after an error that came too late, finds its rows there.
            db.executemany("INSERT OR IGNORE INTO waiting (session_id, seq, raw) VALUES (?,?,?)", rows)
            return True

        return self._file.run(work)

    def acknowledge(self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str) -> bool:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> bool:
            if _holder(db, session_id, "mail")[0] != owner:
                return False
            db.execute("DELETE FROM waiting WHERE session_id=? AND seq=?", (session_id, seq))
            added = db.execute(
                "INSERT OR IGNORE INTO seen (session_id, conversation_id, item_id, mark) VALUES (?,?,?,?)",
                (session_id, conversation_id, item_id, mark),
            )
            # Now and then, for it looks at every item of the session.
            if (added.lastrowid or 0) % 256 == 0:
                db.execute(_FORGET_OLDEST, (session_id, SEEN))
            return True

        return self._file.run(work)

    def delete(self, session_id: str) -> None:
        """See `Store`."""
        self._file.run(lambda db: db.execute("DELETE FROM session WHERE id=?", (session_id,)))
        self._file.checkpoint()

    def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> str:
            holder, until = _holder(db, session_id, right)
            if holder is not None and not is_free(holder, until, owner, now, seconds):
                return holder
            _give(db, session_id, right, owner, now + seconds)
            return owner

        return self._file.run(work)

    def renew(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> bool:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> bool:
            mine = _holder(db, session_id, right)[0] == owner
            if mine:
                _give(db, session_id, right, owner, now + seconds)
            return mine

        return self._file.run(work)

    def release(self, session_id: str, right: Right, owner: str) -> None:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> None:
            if _holder(db, session_id, right)[0] == owner:
                _give(db, session_id, right, None, 0.0)

        self._file.run(work)

    def close(self) -> None:
        """See `Store`."""
        self._file.close()


def _holder(db: sqlite3.Connection, session_id: str, right: Right) -> tuple[str | None, float]:
    column = _COLUMNS[right]
    query = f"SELECT {column}_owner, {column}_until FROM session WHERE id=?"  # noqa: S608  # a name of our own
    return db.execute(query, (session_id,)).fetchone() or (None, 0.0)


def _give(db: sqlite3.Connection, session_id: str, right: Right, owner: str | None, until: float) -> None:
    column = _COLUMNS[right]
    query = f"UPDATE session SET {column}_owner=?, {column}_until=? WHERE id=?"  # noqa: S608  # a name of our own
    db.execute(query, (owner, until, session_id))


def _tokens(db: sqlite3.Connection, session_id: str) -> StoredTokens | None:
    query = "SELECT access, refresh, generation, ttl, obtained, visitor_id FROM session WHERE id=?"
    row = db.execute(query, (session_id,)).fetchone()
    if row is None:
        return None
    access, refresh = Secret(row[0]), secret_or_none(row[1])
    return StoredTokens(
        access=access,
        refresh=refresh,
        generation=row[2],
        ttl=row[3],
        obtained=row[4],
        visitor_id=secret_or_none(row[5]),
    )


def _conversations(db: sqlite3.Connection, session_id: str) -> dict[str, StoredConversation]:
    query = "SELECT id, request_id, closing, finished FROM conversation WHERE session_id=?"
    return {
        row[0]: StoredConversation(id=row[0], request_id=row[1], closing=bool(row[2]), finished=bool(row[3]))
        for row in db.execute(query, (session_id,))
    }
