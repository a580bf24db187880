"""`SQLiteStore`: sessions in one file, safe for several threads and processes.

Every method is one transaction on the connection of this process.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from time import monotonic, sleep
from typing import Any, TypeVar
from weakref import finalize

from puzzel_chat._errors import ConfigurationError, InvalidArgument, StoreError
from puzzel_chat._fork import mind_forks
from puzzel_chat._models import Life
from puzzel_chat._owners import lease_is_free
from puzzel_chat._store import PATIENCE, SEEN, Right, StoredConversation, StoredSession, Unread, WorkerInfo
from puzzel_chat._tokens import TokenSet

_Result = TypeVar("_Result")
_APPLICATION_ID = 0x505A4C43
"""Mark of our files ("PZLC")."""
_VERSION = 2
"""Version of the tables below."""
PAUSE = 0.001
"""Seconds between two tries to get at a file that another process has just now."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_LIVES: dict[object, Any] = {life.value: life for life in Life}
# A text that is no UTF-8 would be an error whose message shows it.
_AS_TEXT = partial(str, encoding="utf-8", errors="replace")
_ADDED_IN_2 = """
CREATE INDEX conversation_by_id ON conversation (id);
CREATE TABLE worker (name TEXT PRIMARY KEY, told TEXT NOT NULL, until REAL NOT NULL) WITHOUT ROWID;
"""
_SCHEMA = f"""
CREATE TABLE session (
    id TEXT PRIMARY KEY, access TEXT NOT NULL, refresh TEXT, generation INTEGER NOT NULL,
    ttl REAL NOT NULL, obtained REAL NOT NULL, visitor_id TEXT, cursor TEXT,
    refresh_owner TEXT, refresh_until REAL, poll_owner TEXT, poll_until REAL
);
CREATE TABLE conversation (
    session_id TEXT NOT NULL REFERENCES session ON DELETE CASCADE, id TEXT NOT NULL,
    request_id TEXT, life TEXT NOT NULL, PRIMARY KEY (session_id, id)
) WITHOUT ROWID;
CREATE TABLE unread (
    session_id TEXT NOT NULL REFERENCES session ON DELETE CASCADE, seq INTEGER NOT NULL,
    raw TEXT NOT NULL, conversation_id TEXT, PRIMARY KEY (session_id, seq)
) WITHOUT ROWID;
CREATE TABLE seen (
    session_id TEXT NOT NULL REFERENCES session ON DELETE CASCADE, conversation_id TEXT NOT NULL,
    item_id TEXT NOT NULL, mark TEXT NOT NULL, UNIQUE (session_id, conversation_id, item_id, mark)
);
{_ADDED_IN_2}
PRAGMA application_id={_APPLICATION_ID};
PRAGMA user_version={_VERSION};
"""
_FROM_1 = f"""
ALTER TABLE unread ADD COLUMN conversation_id TEXT;
{_ADDED_IN_2}
PRAGMA user_version={_VERSION};
"""
_STEPS: dict[int | None, str] = {None: _SCHEMA, 1: _FROM_1, _VERSION: ""}
"""What makes the tables of this version, from those of each that is read; None when there are none yet."""
_PRAGMAS = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON;"
_SAVE_TOKENS = """INSERT INTO session (id, access, refresh, generation, ttl, obtained, visitor_id)
SELECT ?,?,?,?,?,?,? WHERE ?=1 OR EXISTS (SELECT 1 FROM session WHERE id=?)
ON CONFLICT (id) DO UPDATE SET access=excluded.access, refresh=excluded.refresh, generation=excluded.generation,
ttl=excluded.ttl, obtained=excluded.obtained, visitor_id=excluded.visitor_id
WHERE excluded.generation > generation OR typeof(generation) <> 'integer'"""
_FORGET_OLDEST = """DELETE FROM seen WHERE rowid IN (SELECT item FROM (SELECT rowid AS item, row_number() OVER
(PARTITION BY conversation_id ORDER BY rowid DESC) AS place FROM seen WHERE session_id=?) WHERE place>?)"""


class SQLiteStore:
    """A store in the file at `path`, which is created with mode 0600.

    A killed process loses nothing that was written. When the machine loses power, the last writes may be lost, except
    those of tokens. A forked process opens the file for itself. While another process holds the file, a call waits for
    ten seconds. Raises `ConfigurationError` when the file cannot be opened, is
    not ours or has another version, and `StoreError` when it fails later.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not isinstance(path, str | os.PathLike):
            raise ConfigurationError("store", f"the path must be a string or a path, not {type(path).__name__}")
        self.path = Path(path)
        """Where the file is."""
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._busy = False
        self._closed = False
        self._held = False
        try:
            self._db = self._patiently(self._open)
        except (OSError, sqlite3.Error) as error:
            raise ConfigurationError("store", f"cannot use {self.path} as a session store: {error}") from None
        mind_forks(self)

    def sessions(self, now: float, seconds: float) -> dict[str, bool]:
        """See `Store`."""
        query = "SELECT id, poll_owner, poll_until FROM session ORDER BY rowid"
        rows = self._run(lambda db: db.execute(query).fetchall(), reads=True)
        return {one: not lease_is_free(*_usable(holder, until), "", now, seconds) for one, holder, until in rows}

    def load(self, session_id: str) -> StoredSession | None:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> StoredSession | None:
            tokens = _tokens(db, session_id)
            if tokens is None:
                return None
            (cursor,) = db.execute("SELECT cursor FROM session WHERE id=?", (session_id,)).fetchone()
            known = _conversations(db, session_id)
            stored = StoredSession(id=session_id, tokens=tokens, cursor=cursor, conversations=known)
            query = "SELECT seq, conversation_id, raw FROM unread WHERE session_id=? ORDER BY seq"
            for seq, conversation_id, raw in db.execute(query, (session_id,)):
                stored.unread[seq] = Unread(seq=seq, conversation_id=conversation_id, raw=_decoded(raw))
            query = "SELECT conversation_id, item_id, mark FROM seen WHERE session_id=? ORDER BY rowid"
            for conversation_id, item_id, mark in db.execute(query, (session_id,)):
                stored.seen.setdefault(conversation_id, []).append((item_id, mark))
            return stored

        return self._run(work, reads=True)

    def save_tokens(self, session_id: str, tokens: TokenSet) -> None:
        """See `Store`."""
        kept = (tokens.access, tokens.refresh, tokens.generation, tokens.ttl, tokens.obtained, tokens.visitor_id)
        values = (session_id, *kept, tokens.generation, session_id)
        self._run(lambda db: db.execute(_SAVE_TOKENS, values), lasting=True)

    def tokens(self, session_id: str) -> TokenSet | None:
        """See `Store`."""
        return self._run(lambda db: _tokens(db, session_id), reads=True)

    def conversations(self, session_id: str) -> dict[str, StoredConversation]:
        """See `Store`."""
        return self._run(lambda db: _conversations(db, session_id), reads=True)

    def save_conversation(self, session_id: str, conversation: StoredConversation) -> None:
        """See `Store`."""
        query = (
            "INSERT OR REPLACE INTO conversation (session_id, id, request_id, life)"
            " SELECT ?,?,?,? WHERE EXISTS (SELECT 1 FROM session WHERE id=?)"
        )

        def work(db: sqlite3.Connection) -> None:
            kept = conversation.after(_conversations(db, session_id).get(conversation.id))
            db.execute(query, (session_id, kept.id, kept.request_id, kept.life.value, session_id))

        self._run(work)

    def find(self, conversation_id: str) -> str | None:
        """See `Store`."""
        query = (
            "SELECT session.id FROM conversation JOIN session ON session.id=session_id"
            " WHERE conversation.id=? ORDER BY session.rowid DESC LIMIT 1"
        )
        row = self._run(lambda db: db.execute(query, (conversation_id,)).fetchone(), reads=True)
        return row[0] if row else None

    def unpolled(self, now: float, seconds: float, most: int) -> list[str]:
        """See `Store`."""
        query = (
            "SELECT id, poll_owner, poll_until FROM session WHERE EXISTS"
            " (SELECT 1 FROM conversation WHERE session_id=session.id AND life<>?) ORDER BY rowid"
        )

        def work(db: sqlite3.Connection) -> list[str]:
            rows = db.execute(query, (Life.READ.value,))
            free = (one for one, *poll in rows if lease_is_free(*_usable(*poll), "", now, seconds))
            return list(islice(free, most))

        return self._run(work, reads=True)

    def report(self, worker: WorkerInfo, now: float, seconds: float) -> None:
        """See `Store`."""
        values = (worker.name, json.dumps(worker.to_dict()), now + seconds)

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT OR REPLACE INTO worker (name, told, until) VALUES (?,?,?)", values)
            db.execute("DELETE FROM worker WHERE until<=?", (now,))

        self._run(work)

    def workers(self, now: float) -> list[WorkerInfo]:
        """See `Store`."""
        query = "SELECT told FROM worker WHERE until>? ORDER BY name"
        rows = self._run(lambda db: db.execute(query, (now,)).fetchall(), reads=True)
        found: list[WorkerInfo] = []
        for (told,) in rows:
            # One that is damaged is left out: it lasts for seconds, and the others are as good as before.
            with suppress(InvalidArgument):
                found.append(WorkerInfo.from_dict(_decoded(told)))
        return found

    def withdraw(self, session_id: str, conversation_id: str) -> None:
        """See `Store`."""
        query = "DELETE FROM conversation WHERE session_id=? AND id=? AND life=?"
        self._run(lambda db: db.execute(query, (session_id, conversation_id, Life.ASKED.value)))

    def journal(self, session_id: str, owner: str, cursor: str | None, unread: Sequence[Unread]) -> bool:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> bool:
            rows = [(session_id, item.seq, _encoded(item.raw), item.conversation_id) for item in unread]
            if _holder(db, session_id, "poll")[0] != owner:
                return False
            db.execute("UPDATE session SET cursor=? WHERE id=?", (cursor, session_id))
            # A commit may succeed and still raise; when the write is then repeated, its rows are there.
            db.executemany(
                "INSERT OR IGNORE INTO unread (session_id, seq, raw, conversation_id) VALUES (?,?,?,?)", rows
            )
            return True

        return self._run(work)

    def acknowledge(self, session_id: str, owner: str, conversation_id: str, seq: int, item_id: str, mark: str) -> bool:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> bool:
            if _holder(db, session_id, "poll")[0] != owner:
                return False
            db.execute("DELETE FROM unread WHERE session_id=? AND seq=?", (session_id, seq))
            added = db.execute(
                "INSERT OR IGNORE INTO seen (session_id, conversation_id, item_id, mark) VALUES (?,?,?,?)",
                (session_id, conversation_id, item_id, mark),
            )
            # Only now and then, for it reads every item of the session.
            if (added.lastrowid or 0) % 256 == 0:
                db.execute(_FORGET_OLDEST, (session_id, SEEN))
            return True

        return self._run(work)

    def delete(self, session_id: str) -> None:
        """See `Store`."""
        self._run(lambda db: db.execute("DELETE FROM session WHERE id=?", (session_id,)))
        self._clear_log()

    def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> str:
            holder, until = _holder(db, session_id, right)
            if holder is not None and not lease_is_free(holder, until, owner, now, seconds):
                return holder
            _give(db, session_id, right, owner, now + seconds)
            return owner

        return self._run(work)

    def renew(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> bool:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> bool:
            mine = _holder(db, session_id, right)[0] == owner
            if mine:
                _give(db, session_id, right, owner, now + seconds)
            return mine

        return self._run(work)

    def release(self, session_id: str, right: Right, owner: str) -> None:
        """See `Store`."""

        def work(db: sqlite3.Connection) -> None:
            if _holder(db, session_id, right)[0] == owner:
                _give(db, session_id, right, None, 0.0)

        self._run(work)

    def close(self) -> None:
        """Close the connection; a later call raises `StoreError`."""
        with self._lock:
            self._closed = True
            if self._db is not None:
                self._close_db()
                self._db = None

    def before_fork(self) -> None:
        """Close the connection; SQLite would take the parent's locks for the child's, and commits would get lost."""
        self._lock.acquire()
        if self._db is not None:
            self._close_db()
            self._db = None

    def after_fork(self, in_child: bool) -> None:
        """Let parent and child open the file again, each for itself."""
        self._lock.release()

    def _run(
        self, work: Callable[[sqlite3.Connection], _Result], *, lasting: bool = False, reads: bool = False
    ) -> _Result:
        """Do all of the work or nothing of it; raises `StoreError` for whatever goes wrong.

        `lasting` waits for the disk, which is 15 times slower: for tokens, since a lost one loses the session. `reads`
        says that nothing is written, and does not wait for other processes that write.
        """
        begin = "BEGIN" if reads else "BEGIN IMMEDIATE"
        try:
            return self._patiently(partial(self._in_transaction, work, begin, "FULL" if lasting else "NORMAL"))
        except (sqlite3.Error, ValueError, OSError, OverflowError, ConfigurationError) as error:
            told = f"The session store {self.path} failed: {str(error).rstrip('.')}. {_advice(error)}"
            failure = StoreError(told)
            failure.retryable = _is_busy(error)
        raise failure

    def _in_transaction(self, work: Callable[[sqlite3.Connection], _Result], begin: str, synchronous: str) -> _Result:
        # No context manager of ours begins the transaction: an interrupt could keep its generator from being resumed.
        with self._lock:
            db = self._db or self._connected()
            if self._busy and db.in_transaction:
                # The garbage collector or a signal handler closes a session in the middle of other work.
                return work(db)
            if db.in_transaction:
                db.execute("ROLLBACK")  # left over from an interrupt
            db.execute(f"PRAGMA synchronous={synchronous}")
            self._busy = True
            try:
                db.execute(begin)
                result = work(db)
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            finally:
                self._busy = False
            if begin != "BEGIN":
                self._held = False
            return result

    def _patiently(self, work: Callable[[], _Result]) -> _Result:
        """Do the work, again while another process has the file; nobody else waits for our lock meanwhile.

        Once that was in vain, nobody waits until the file is free again: on an event loop the calls queue up.
        """
        until: float | None = None
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if not _is_busy(error):
                    raise
                if until is None:
                    until = monotonic() + (0.0 if self._held else PATIENCE)
                if monotonic() >= until:
                    self._held = True
                    raise
            sleep(PAUSE)

    def _clear_log(self) -> None:
        # The log still holds what was deleted. While another process reads, that one's end clears it.
        with self._lock, suppress(sqlite3.OperationalError):
            if self._db is not None and not self._db.in_transaction:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connected(self) -> sqlite3.Connection:
        if self._closed:
            raise sqlite3.ProgrammingError("Cannot operate on a closed database")
        if self._db is None:
            self._db = self._open()
        return self._db

    def _open(self) -> sqlite3.Connection:
        # A new file is created before SQLite opens it, so that not even its first byte can be read by others. An
        # existing one is never opened beside SQLite: closing it would drop this process's locks on it (fcntl(2)).
        with suppress(FileExistsError):
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            os.chmod(self.path, 0o600)  # a strict umask may have taken it from ourselves
        # SQLite itself does not wait: it would do so under our lock, and not in every case.
        db = sqlite3.connect(self.path, timeout=0, isolation_level=None, check_same_thread=False)
        db.text_factory = _AS_TEXT
        try:
            self._version(db)
            _close_to_others(self.path)
            db.executescript(_PRAGMAS)
            self._bring_up(db)
        except BaseException:
            db.close()
            raise
        # Since 3.13 Python warns of a connection that is dropped open. Not at exit: a refresh is still written then.
        self._close_db = finalize(self, db.close)
        self._close_db.atexit = False
        return db

    def _version(self, db: sqlite3.Connection) -> int | None:
        """Return the version of the file, None when it has no tables yet; raises when nobody here reads it."""
        # First: another process may create the tables, together with the marks, between two looks at the file.
        if db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            return None
        marks = ("application_id", "user_version")
        owner, version = (int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in marks)
        if owner != _APPLICATION_ID:
            raise ConfigurationError("store", f"{self.path} belongs to another program; name another file")
        if version not in _STEPS:
            told = f"{self.path} has version {version}, and this puzzel-chat reads versions 1 to {_VERSION} only"
            raise ConfigurationError("store", f"{told}; name another file")
        return version

    def _bring_up(self, db: sqlite3.Connection) -> None:
        """Make all tables of this version or change nothing, unless another process was faster."""
        db.execute("BEGIN IMMEDIATE")
        for statement in _STEPS[self._version(db)].split(";"):
            db.execute(statement)
        db.execute("COMMIT")


def _holder(db: sqlite3.Connection, session_id: str, right: Right) -> tuple[str | None, float]:
    query = f"SELECT {right}_owner, {right}_until FROM session WHERE id=?"  # noqa: S608  # a name of our own
    return _usable(*(db.execute(query, (session_id,)).fetchone() or (None, 0.0)))


def _usable(holder: object, until: object) -> tuple[str | None, float]:
    """Return the owner of a right; nobody's is one that cannot be read."""
    if isinstance(holder, str) and isinstance(until, int | float):
        return holder, until
    return None, 0.0


def _give(db: sqlite3.Connection, session_id: str, right: Right, owner: str | None, until: float) -> None:
    query = f"UPDATE session SET {right}_owner=?, {right}_until=? WHERE id=?"  # noqa: S608  # a name of our own
    db.execute(query, (owner, until, session_id))


def _tokens(db: sqlite3.Connection, session_id: str) -> TokenSet | None:
    query = "SELECT access, refresh, generation, ttl, obtained, visitor_id FROM session WHERE id=?"
    row = db.execute(query, (session_id,)).fetchone()
    if row is None:
        return None
    access, refresh, generation, ttl, obtained, visitor_id = row
    return TokenSet(
        access=access,
        refresh=refresh,
        generation=generation,
        ttl=ttl,
        obtained=obtained,
        visitor_id=visitor_id,
    )


def _conversations(db: sqlite3.Connection, session_id: str) -> dict[str, StoredConversation]:
    rows = db.execute("SELECT id, request_id, life FROM conversation WHERE session_id=?", (session_id,))
    return {one: StoredConversation(id=one, request_id=asked, life=_LIVES.get(life, life)) for one, asked, life in rows}


def _encoded(raw: object) -> str:
    try:
        return json.dumps(raw)
    except (TypeError, ValueError, RecursionError):
        # One item that was nested until it could only just be read must not cost the others their journal.
        return '"an item that could not be written down"'


def _decoded(raw: Any) -> Any:
    """Return an item as it was journaled, or what stands in its place; who reads it judges that."""
    try:
        return json.loads(raw)
    except (TypeError, ValueError, RecursionError):
        return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw


def _is_busy(error: BaseException) -> bool:
    """Return whether another connection has the file just now."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY


def _close_to_others(path: Path) -> None:
    # The log and its index have the mode that the database had when they were created.
    for end in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.chmod(f"{path}{end}", 0o600)


def _advice(error: Exception) -> str:
    if isinstance(error, sqlite3.ProgrammingError):
        return "It was closed; open a new SQLiteStore."
    if _is_busy(error):
        return "Another process has it; try again."
    if isinstance(error, sqlite3.OperationalError) and getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_ERROR:
        return "Check the disk and its permissions."
    return "The file is damaged; name another one."
