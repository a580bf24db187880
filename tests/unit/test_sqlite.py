"""The file of `SQLiteStore`: its versions, what is wrong with some files, and who else has it open."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import evolve

from puzzel_chat import _sqlite as _database
from puzzel_chat._errors import ConfigurationError, StoreError
from puzzel_chat._models import Secret
from puzzel_chat._sqlite import SQLiteStore
from puzzel_chat._store import MemoryStore, StoredConversation, StoredTokens, Waiting, described, is_gone, owner_name

TOKENS = StoredTokens(access=Secret("acc-1"), refresh=Secret("ref-1"), generation=1, ttl=600.0, obtained=1000.0)
# As the first version made it; never to be brought up to date.
VERSION_1 = """
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
PRAGMA application_id=0x505A4C43;
PRAGMA user_version=1;
INSERT INTO session VALUES ('s', 'acc-1', 'ref-1', 1, 600.0, 1000.0, 'cur', 'somebody', 150.0);
INSERT INTO conversation VALUES ('s', 'c', 'r', 0, 1);
INSERT INTO waiting VALUES ('s', 7, '{"id": "7"}');
INSERT INTO seen VALUES ('s', 'c', '6', '1:mark');
"""
# What the second version had beside that.
VERSION_2 = f"""
{VERSION_1}
ALTER TABLE session ADD COLUMN mail_owner TEXT;
ALTER TABLE session ADD COLUMN mail_until REAL;
UPDATE session SET mail_owner='somebody', mail_until=150.0;
PRAGMA user_version=2;
"""
VERSIONS = {1: VERSION_1, 2: VERSION_2}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file is to be."""
    return tmp_path / "sessions.db"


@pytest.fixture(params=VERSIONS)
def older(request: pytest.FixtureRequest) -> int:
    """Each version before the present one."""
    return int(request.param)


@pytest.fixture
def old(path: Path, older: int) -> Path:
    """A file of that version with one session."""
    db = sqlite3.connect(path)
    db.executescript("PRAGMA journal_mode=WAL;" + VERSIONS[older])
    db.close()
    return path


def schema(path: Path) -> list[tuple[str, list[str]]]:
    """The tables of a file and the names and types of their columns."""
    db = sqlite3.connect(path)
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type='table' ORDER BY name")]
    found = [(name, [str(row[1:]) for row in db.execute(f"PRAGMA table_info({name})")]) for name in names]
    db.close()
    return found


def version(path: Path) -> int:
    """The version that a file says it has."""
    db = sqlite3.connect(path)
    (found,) = db.execute("PRAGMA user_version").fetchone()
    db.close()
    return int(found)


def child(work: Callable[[], object]) -> int:
    """Do something in a forked process and give its exit code: 0, or 1 after an error, which it prints."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException as error:
            print(f"in the child: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_file_of_an_older_version_is_brought_up_to_date(old: Path, older: int, tmp_path: Path) -> None:
    """Everything in it stays, each right too, and its tables are then those of a new file."""
    store = SQLiteStore(old)
    found = store.load("s")
    assert found is not None
    assert (found.tokens, found.cursor) == (TOKENS, "cur")
    assert found.conversations == {"c": StoredConversation(id="c", request_id="r", finished=True)}
    assert found.waiting == {7: Waiting(seq=7, raw={"id": "7"})}
    assert found.seen == {"c": [("6", "1:mark")]}
    assert store.acquire("s", "refresh", "me", 149.0, 60.0) == "somebody"
    assert store.acquire("s", "mail", "me", 149.0, 60.0) == ("me" if older == 1 else "somebody")
    named = evolve(TOKENS, generation=2, visitor_id=Secret("ada"))
    store.save_tokens("s", named)
    assert store.tokens("s") == named
    store.close()
    SQLiteStore(tmp_path / "new.db").close()
    assert version(old) == version(tmp_path / "new.db") == 3
    assert schema(old) == schema(tmp_path / "new.db")


def test_a_migration_is_done_wholly_or_not_at_all(old: Path, older: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails in the middle leaves a file of the older version, which the next process brings up to date."""
    before = schema(old)
    with monkeypatch.context() as broken:
        # A column that is there already fails, after those before it were added.
        broken.setitem(_database._ADDED, older, (*_database._ADDED[older], "cursor TEXT"))
        with pytest.raises(ConfigurationError):
            SQLiteStore(old)
    assert (version(old), schema(old)) == (older, before)
    SQLiteStore(old).close()
    assert version(old) == 3


def test_a_process_that_is_killed_while_migrating_leaves_the_older_version(old: Path, older: int) -> None:
    """SIGKILL between two statements of the migration is undone by whoever opens the file next."""

    class Killed(sqlite3.Connection):
        def execute(self, statement: str, *args: object) -> sqlite3.Cursor:
            if "user_version=" in statement:
                os.kill(os.getpid(), 9)
            return super().execute(statement, *args)  # type: ignore[arg-type]  # passed through

    real = sqlite3.connect

    def work() -> None:
        _database.sqlite3.connect = lambda *args, **more: real(*args, factory=Killed, **more)  # type: ignore
        SQLiteStore(old)

    assert child(work) == -9
    assert version(old) == older
    SQLiteStore(old).close()
    assert version(old) == 3


def test_a_process_of_the_older_version_goes_on(old: Path) -> None:
    """A statement of an older version still fits the file that a newer process has brought up to date under it."""
    db = sqlite3.connect(old, isolation_level=None)
    SQLiteStore(old).close()
    db.execute("INSERT INTO session (id, access, generation, ttl, obtained) VALUES ('t', 'a', 1, 1.0, 1.0)")
    db.execute("UPDATE session SET lease_owner='me', lease_until=1.0 WHERE id='t'")
    db.close()


def damaged(path: Path, how: str) -> None:
    """Spoil a good file of some pages."""
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)
    store.acquire("s", "mail", "me", 100.0, 60.0)
    store.journal("s", "me", "cur", [Waiting(seq=n, raw={"content": "x" * 500}) for n in range(100)])
    store.close()
    whole = path.read_bytes()
    spoilt = {
        "header": b"\x00" * 100 + whole[100:],
        "truncated": whole[: len(whole) // 2],
        "cut in its first page": whole[:1000],
        "middle": whole[:4096] + b"\xff" * (len(whole) - 4096),
    }
    path.write_bytes(spoilt[how])


@pytest.mark.parametrize("how", ["header", "truncated", "cut in its first page", "middle"])
def test_a_damaged_file_is_told(path: Path, how: str) -> None:
    """Whether it is seen when the file is opened or when it is read, the error is ours and names the file."""
    damaged(path, how)
    with pytest.raises((ConfigurationError, StoreError), match=r"sessions\.db"):
        SQLiteStore(path).load("s")


def test_an_empty_file_becomes_a_store(path: Path) -> None:
    """Zero bytes are nobody's."""
    path.touch()
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)
    assert store.tokens("s") == TOKENS
    store.close()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_what_may_not_be_written_is_told(tmp_path: Path, path: Path, what: str) -> None:
    """A read-only file and a file in a read-only folder are a wrong setting, told when the store is made."""
    SQLiteStore(path).close()
    tmp_path.chmod(0o555 if what == "folder" else 0o755)
    path.chmod(0o444 if what == "file" else 0o644)

    def work() -> None:
        # Permissions do not bind root, so the child is nobody in particular; its way to the file must be open.
        if os.geteuid() == 0:
            os.chdir(tmp_path)
            os.setuid(65534)
        with pytest.raises(ConfigurationError, match=r"cannot use sessions\.db as a session store"):
            SQLiteStore(path.name if os.getcwd() == str(tmp_path) else "sessions.db")

    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        assert child(work) == 0
    finally:
        os.chdir(before)
        tmp_path.chmod(0o755)


def test_a_file_that_may_no_longer_be_written_is_told(path: Path) -> None:
    """A store that becomes read-only while it is open raises `StoreError` with advice."""
    store = SQLiteStore(path)
    assert store._file._db is not None
    store._file._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StoreError, match=r"readonly database\. Check the disk and its permissions"):
        store.save_tokens("s", TOKENS)
    store.close()


def test_a_locked_file_is_an_error_of_ours(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that never lets go of the file is told as such after a while, also by `delete`."""
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)
    assert store._file._db is not None
    store._file._db.execute("PRAGMA busy_timeout=50")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked"):
        store.save_tokens("t", TOKENS)
    with pytest.raises(StoreError, match="locked"):
        store.delete("s")
    other.execute("ROLLBACK")
    other.close()
    store.close()


def elsewhere(path: Path, session_id: str) -> str:
    """What another process finds in the file; when it closes it as the last one, that clears the log."""
    lines = (f"store = SQLiteStore({str(path)!r})", f"print(store.tokens({session_id!r}))", "store.close()")
    code = "\n".join(("from puzzel_chat import SQLiteStore", *lines))
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_a_second_store_on_one_file_drops_no_lock(path: Path) -> None:
    """Opening the file again in this process does not make others believe that nobody has it open.

    Closing any descriptor of a file drops the process's locks on it (fcntl(2)); what was committed then got lost.
    """
    first = SQLiteStore(path)
    first.save_tokens("s", TOKENS)
    SQLiteStore(path).close()
    elsewhere(path, "s")
    first.save_tokens("t", TOKENS)
    # Not in a fork, before which the first store would close its connection and so save what it has.
    assert elsewhere(path, "t").startswith("StoredTokens")
    first.close()


def test_a_forked_process_opens_the_file_for_itself(path: Path) -> None:
    """What parent and child write after a fork all arrives, whoever closes first.

    SQLite takes locks that the parent has for the child's own, so no connection may cross a fork.
    """
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)
    down, up = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            store.save_tokens("child-1", TOKENS)
            os.write(up[1], b"x")
            os.read(down[0], 1)
            store.save_tokens("child-2", TOKENS)
        finally:
            os._exit(0)
    os.read(up[0], 1)
    store.save_tokens("parent", TOKENS)
    store.close()
    os.write(down[1], b"x")
    os.waitpid(pid, 0)
    for end in (*down, *up):
        os.close(end)
    after = SQLiteStore(path)
    assert [after.tokens(name) for name in ("s", "parent", "child-1", "child-2")] == [TOKENS] * 4
    after.close()


def test_a_lock_held_by_another_thread_does_not_hang_a_child(path: Path) -> None:
    """A fork waits for the other threads' transactions, so that a child can use both kinds of store."""
    store, memory = SQLiteStore(path), MemoryStore()
    store.save_tokens("s", TOKENS)
    stop = threading.Event()

    def write() -> None:
        for number in range(1_000_000):
            if stop.is_set():
                return
            for one in (store, memory):
                one.save_tokens("s", evolve(TOKENS, generation=number + 1))

    def use() -> None:
        store.tokens("s")
        memory.save_tokens("t", TOKENS)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert child(use) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        store.close()


def test_a_childs_memory_is_its_own() -> None:
    """The sessions of a `MemoryStore` are not in a forked child, which could not share their tokens."""
    store = MemoryStore()
    store.save_tokens("s", TOKENS)

    def work() -> None:
        assert store.load("s") is None
        store.save_tokens("t", TOKENS)

    assert child(work) == 0
    assert store.tokens("s") == TOKENS
    assert store.tokens("t") is None


def test_the_garbage_collector_may_close_a_session_in_a_transaction(path: Path) -> None:
    """A write in the middle of another one of this thread, as a finalizer makes, ends neither."""
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)

    def work(db: sqlite3.Connection) -> None:
        db.execute("UPDATE session SET cursor='new' WHERE id='s'")
        store.save_conversation("s", StoredConversation(id="c"))
        store.delete("nobody")

    store._file.run(work)
    found = store.load("s")
    assert found is not None
    assert (found.cursor, list(found.conversations)) == ("new", ["c"])
    store.close()


def test_an_owner_says_where_it_lives() -> None:
    """Names tell processes apart, and people are told them in words."""
    one, two = owner_name(), owner_name()
    assert one != two
    assert not is_gone(one)
    assert described(one) == "another session object of this process"
    assert described("web-1:4026531836/17/abc") == "process 17 on web-1"
    assert described("somebody") == "another owner"
    assert not is_gone("somebody")
    assert not is_gone("web-1:4026531836/99999999/abc")
