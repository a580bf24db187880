"""One file of SQLite: made and brought up to date, opened for each process, one transaction at a time."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from puzzel_chat._errors import ConfigurationError, StoreError
from puzzel_chat._owners import mind_forks

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
