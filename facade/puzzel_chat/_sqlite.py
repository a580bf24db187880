"""One file of SQLite: made and brought up to date, opened for each process, one transaction at a time.

`SQLiteStore`: sessions in one file, safe for several threads and processes.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from attrs import astuple

from puzzel_chat._errors import ConfigurationError, StoreError
from puzzel_chat._models import Secret, secret_or_none
from puzzel_chat._store import (
    SEEN,
    Right,
    StoredConversation,
    StoredSession,
    StoredTokens,
    Waiting,
    is_free,
    mind_forks,
)

_Result = TypeVar("_Result")
_APPLICATION_ID = 0x505A4C43  # "PZLC", so that a foreign database is told from ours
_VERSION = 3
_SCHEMA = """
CREATE TABLE session (
    id TEXT PRIMARY KEY, access TEXT NOT NULL, refresh TEXT, generation INTEGER NOT NULL,
    ttl REAL NOT NULL, obtained REAL NOT NULL, cursor TEXT, lease_owner TEXT, lease_until REAL,
    mail_owner TEXT, mail_until REAL, visitor_id TEXT
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
# Columns are only added, so that a process of the older version that has the file open goes on.
_ADDED = {
    1: ("mail_owner TEXT", "mail_until REAL", "visitor_id TEXT"),
    2: ("visitor_id TEXT",),
}
_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;"


class Database:
    """The file at `path`; raises `ConfigurationError` when it cannot be opened or is not ours."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._busy = False
        self._closed = False
        try:
            self._db = self._open()
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError("store", f"cannot use {self.path} as a session store: {error}") from None
        mind_forks(self)

    def run(self, work: Callable[[sqlite3.Connection], _Result], *, lasting: bool = False) -> _Result:
        """Do all of the work or nothing of it; raises `StoreError` for whatever goes wrong.

        `lasting` writes to the disk itself, which is 15 times slower: for tokens, since a lost one loses the session.
        """
        # No generator takes the lock or begins the transaction: an interrupt can keep one from being resumed.
        with self._lock:
            try:
                db = self._connected()
                if self._busy and db.in_transaction:
                    # The garbage collector, or a signal's handler, closes a session in the middle of another's work.
                    return work(db)
                return self._in_transaction(db, work, "FULL" if lasting else "NORMAL")
            except (sqlite3.Error, ValueError, OSError, ConfigurationError) as error:
                told = str(error).rstrip(".")
                raise StoreError(f"The session store {self.path} failed: {told}. {_advice(error)}") from None

    def checkpoint(self) -> None:
        """Clear the log, which still holds what was deleted; where another process reads, that one's end clears it."""
        with self._lock, suppress(sqlite3.OperationalError):
            if self._db is not None and not self._db.in_transaction:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Close the connection; what is asked for later raises `StoreError`."""
        with self._lock:
            self._closed = True
            if self._db is not None:
                self._db.close()

    def _in_transaction(
        self, db: sqlite3.Connection, work: Callable[[sqlite3.Connection], _Result], synchronous: str
    ) -> _Result:
        if db.in_transaction:
            db.execute("ROLLBACK")  # what an interrupt has left
        db.execute(f"PRAGMA synchronous={synchronous}")
        self._busy = True
        try:
            db.execute("BEGIN IMMEDIATE")
            result = work(db)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        finally:
            self._busy = False
        return result

    def _connected(self) -> sqlite3.Connection:
        """Give the connection, opened again after a fork."""
        if self._closed:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database")
        if self._db is None:
            self._db = self._open()
        return self._db

    def _open(self) -> sqlite3.Connection:
        # A new file is made by us first, so that not even its first byte can be read by others. One that is there is
        # never opened beside SQLite: closing it would drop the locks that this process has on it (fcntl(2)).
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            os.chmod(self.path, 0o600)  # a strict umask may have taken it from ourselves
        db = sqlite3.connect(self.path, timeout=10, isolation_level=None, check_same_thread=False)
        try:
            self._check_owner(db)
            _close_to_others(self.path)
            db.executescript(_PRAGMAS)
            self._prepare(db)
        except BaseException:
            db.close()
            raise
        return db

    def _check_owner(self, db: sqlite3.Connection) -> int:
        """Give the file's version, 0 when it is empty; raises when it is not ours, before anything is written to it."""
        (owner,), (version,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version"))
        if db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            return 0
        if owner != _APPLICATION_ID:
            raise ConfigurationError("store", f"{self.path} belongs to another program; name another file")
        if not 1 <= version <= _VERSION:
            told = f"{self.path} has version {version}, and this puzzel-chat knows 1 to {_VERSION}"
            raise ConfigurationError("store", f"{told}; use the newer one or name another file")
        return int(version)

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Make what is missing, all at once or not at all."""
        db.execute("BEGIN IMMEDIATE")
        version = self._check_owner(db)
        if version < _VERSION:
            added = [f"ALTER TABLE session ADD COLUMN {column}" for column in _ADDED.get(version, ())]
            for statement in added or _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id={_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={_VERSION}")
        db.execute("COMMIT")

    def _before_fork(self) -> None:
        # No connection crosses a fork: SQLite would take the parent's locks for the child's, and commits get lost.
        self._lock.acquire()
        if self._db is not None:
            self._db.close()
            self._db = None

    def _after_fork(self, in_child: bool) -> None:
        self._lock.release()


def _close_to_others(path: Path) -> None:
    # The log and its index took over what the database's mode was when it was opened.
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.chmod(f"{path}{end}", 0o600)


def _advice(error: Exception) -> str:
    if isinstance(error, sqlite3.ProgrammingError):
        return "It was closed; open a new SQLiteStore."
    if isinstance(error, sqlite3.OperationalError):
        return "Check the disk and its permissions."
    return "The file is damaged; name another one."


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
