"""`SQLiteStore`: sessions in one file, safe for several threads and processes."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import astuple

from puzzel_chat._errors import ConfigurationError, StoreError
from puzzel_chat._secrets import Secret, secret_or_none
from puzzel_chat._store import StoredConversation, StoredSession, StoredTokens, Waiting

_APPLICATION_ID = 0x505A4C43  # "PZLC", so that a foreign database is told from ours
_VERSION = 1
_SCHEMA = """
CREATE TABLE session (
    id TEXT PRIMARY KEY, access TEXT NOT NULL, refresh TEXT, generation INTEGER NOT NULL,
    ttl REAL NOT NULL, obtained REAL NOT NULL, cursor TEXT, lease_owner TEXT, lease_until REAL
);
CREATE TABLE conversation (
    session_id TEXT NOT NULL REFERENCES session ON DELETE CASCADE, id TEXT NOT NULL,
    request_id TEXT, closing INTEGER NOT NULL, finished INTEGER NOT NULL, PRIMARY KEY (session_id, id)
) WITHOUT ROWID;
CREATE TABLE waiting (
    session_id TEXT NOT NULL REFERENCES session ON DELETE CASCADE, seq INTEGER NOT NULL,
    raw TEXT NOT NULL, PRIMARY KEY (session_id, seq)
) WITHOUT ROWID;
CREATE TABLE seen (
    session_id TEXT NOT NULL REFERENCES session ON DELETE CASCADE, conversation_id TEXT NOT NULL,
    item_id TEXT NOT NULL, mark TEXT NOT NULL, UNIQUE (session_id, conversation_id, item_id, mark)
);
"""
_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;"


class SQLiteStore:
    """Keeps sessions in a file at `path`, made with mode 0600.

    Raises `ConfigurationError` when the file cannot be opened or is not ours, `StoreError` when it fails later.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError("store", f"the path must be a string or a path, not {type(path).__name__}")
        self.path = Path(path)
        self._lock = threading.RLock()
        self._db = self._open()

    def _open(self) -> sqlite3.Connection:
        try:
            # The file is made by us first, so that not even its first byte can be read by others.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            db = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
            try:
                self._check_owner(db)
                os.chmod(self.path, 0o600)
                db.executescript(_PRAGMAS)
                self._prepare(db)
            except BaseException:
                db.close()
                raise
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError("store", f"cannot use {self.path} as a session store: {error}") from None
        return db

    def _check_owner(self, db: sqlite3.Connection) -> bool:
        """Tell whether the file is empty; raises when it is not ours, before anything is written to it."""
        (owner,), (version,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version"))
        empty = db.execute("SELECT 1 FROM sqlite_master").fetchone() is None
        if not empty and (owner, version) != (_APPLICATION_ID, _VERSION):
            mine = owner == _APPLICATION_ID
            whose = f"has version {version}, not {_VERSION}" if mine else "belongs to another program"
            raise ConfigurationError("store", f"{self.path} {whose}; name another file")
        return empty

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("BEGIN IMMEDIATE")
        if self._check_owner(db):
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={_VERSION}")
        db.execute("COMMIT")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                try:
                    self._db.execute("BEGIN IMMEDIATE")
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    # An interrupt may strike right after any of the three.
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            except (sqlite3.Error, ValueError) as error:
                told = str(error).rstrip(".")
                raise StoreError(f"The session store {self.path} failed: {told}. {_advice(error)}") from None

    def load(self, session_id: str) -> StoredSession | None:
        """See `Store`."""
        with self._transaction() as db:
            tokens = _tokens(db, session_id)
            if tokens is None:
                return None
            (cursor,) = db.execute("SELECT cursor FROM session WHERE id=?", (session_id,)).fetchone()
            stored = StoredSession(id=session_id, tokens=tokens, cursor=cursor)
            query = "SELECT id, request_id, closing, finished FROM conversation WHERE session_id=?"
            for conversation_id, request_id, closing, finished in db.execute(query, (session_id,)):
                stored.conversations[conversation_id] = StoredConversation(
                    id=conversation_id, request_id=request_id, closing=bool(closing), finished=bool(finished)
                )
            for seq, raw in db.execute("SELECT seq, raw FROM waiting WHERE session_id=? ORDER BY seq", (session_id,)):
                stored.waiting[seq] = Waiting(seq=seq, raw=json.loads(raw))
            query = "SELECT conversation_id, item_id, mark FROM seen WHERE session_id=? ORDER BY rowid"
            for conversation_id, item_id, mark in db.execute(query, (session_id,)):
                stored.seen.setdefault(conversation_id, []).append((item_id, mark))
        return stored

    def tokens(self, session_id: str) -> StoredTokens | None:
        """See `Store`."""
        with self._transaction() as db:
            return _tokens(db, session_id)

    def save_tokens(self, session_id: str, tokens: StoredTokens) -> None:
        """See `Store`."""
        with self._transaction() as db:
            db.execute(
                "INSERT INTO session (id, access, refresh, generation, ttl, obtained)"
                " SELECT ?,?,?,?,?,? WHERE ?=1 OR EXISTS (SELECT 1 FROM session WHERE id=?)"
                " ON CONFLICT (id) DO UPDATE SET access=excluded.access, refresh=excluded.refresh,"
                " generation=excluded.generation, ttl=excluded.ttl, obtained=excluded.obtained"
                " WHERE excluded.generation > generation",
                (session_id, *astuple(tokens), tokens.generation, session_id),
            )

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """See `Store`."""
        with self._transaction() as db:
            db.execute(
                "INSERT OR REPLACE INTO conversation (session_id, id, request_id, closing, finished)"
                " SELECT ?,?,?,?,? WHERE EXISTS (SELECT 1 FROM session WHERE id=?)",
                (session_id, *astuple(conversation), session_id),
            )

    def journal(self, session_id: str, cursor: str | None, waiting: Sequence[Waiting]) -> None:
        """See `Store`."""
        rows = [(session_id, item.seq, json.dumps(item.raw), session_id) for item in waiting]
        with self._transaction() as db:
            db.execute("UPDATE session SET cursor=? WHERE id=?", (cursor, session_id))
            db.executemany(
                "INSERT OR IGNORE INTO waiting (session_id, seq, raw)"
                " SELECT ?,?,? WHERE EXISTS (SELECT 1 FROM session WHERE id=?)",
                rows,
            )

    def acknowledge(self, session_id: str, conversation_id: str, seq: int, item_id: str, mark: str) -> None:
        """See `Store`."""
        with self._transaction() as db:
            db.execute("DELETE FROM waiting WHERE session_id=? AND seq=?", (session_id, seq))
            db.execute(
                "INSERT OR IGNORE INTO seen (session_id, conversation_id, item_id, mark)"
                " SELECT ?,?,?,? WHERE EXISTS (SELECT 1 FROM session WHERE id=?)",
                (session_id, conversation_id, item_id, mark, session_id),
            )

    def delete(self, session_id: str) -> None:
        """See `Store`."""
        with self._transaction() as db:
            db.execute("DELETE FROM session WHERE id=?", (session_id,))
        # The log still holds what was deleted; where another process reads, that process's end clears it.
        with self._lock:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def acquire(self, session_id: str, owner: str, now: float, seconds: float) -> bool:
        """See `Store`."""
        with self._transaction() as db:
            taken = db.execute(
                "UPDATE session SET lease_owner=?, lease_until=? WHERE id=? AND (lease_owner IS NULL OR lease_owner=?"
                " OR lease_until<=? OR lease_until>?)",
                (owner, now + seconds, session_id, owner, now, now + seconds),
            )
            known = db.execute("SELECT 1 FROM session WHERE id=?", (session_id,)).fetchone()
        return taken.rowcount == 1 or known is None

    def release(self, session_id: str, owner: str) -> None:
        """See `Store`."""
        with self._transaction() as db:
            db.execute("UPDATE session SET lease_owner=NULL WHERE id=? AND lease_owner=?", (session_id, owner))

    def close(self) -> None:
        """See `Store`."""
        with self._lock:
            self._db.close()


def _tokens(db: sqlite3.Connection, session_id: str) -> StoredTokens | None:
    query = "SELECT access, refresh, generation, ttl, obtained FROM session WHERE id=?"
    row = db.execute(query, (session_id,)).fetchone()
    if row is None:
        return None
    access, refresh = Secret(row[0]), secret_or_none(row[1])
    return StoredTokens(access=access, refresh=refresh, generation=row[2], ttl=row[3], obtained=row[4])


def _advice(error: Exception) -> str:
    if isinstance(error, sqlite3.ProgrammingError):
        return "It was closed; open a new SQLiteStore."
    if isinstance(error, sqlite3.OperationalError):
        return "Check the disk and its permissions."
    return "The file is damaged; name another one."
