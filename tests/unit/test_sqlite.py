"""The file of `SQLiteStore`: permissions, version, damage, interrupts, and other processes that have it open."""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from puzzel_chat import _sqlite
from puzzel_chat._errors import ConfigurationError, StoreError
from puzzel_chat._models import Life, Secret
from puzzel_chat._sqlite import SQLiteStore
from puzzel_chat._store import MemoryStore, StoredConversation, StoredSession, Unread, WorkerInfo
from puzzel_chat._tokens import TokenSet

TOKENS = TokenSet(access=Secret("acc-1"), refresh=Secret("ref-1"), generation=1, ttl=600.0, obtained=1000.0)
SECRET = "s3cr3t-" * 5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a file is to be."""
    return tmp_path / "sessions.db"


def begun(path: Path) -> SQLiteStore:
    """A store with one session that "me" may poll."""
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)
    store.acquire("s", "poll", "me", 100.0, 60.0)
    return store


def mode(path: Path) -> int:
    """The permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


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


@pytest.mark.parametrize("version", [-1, 0, 3, 9])
def test_a_file_of_another_version_is_refused_and_left_alone(path: Path, version: int) -> None:
    """It is not guessed at: the message names both versions, and not one byte changes."""
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)
    store.close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version={version}")
    db.close()
    before = path.read_bytes()
    told = rf"sessions\.db has version {version}, and this puzzel-chat reads versions 1 to 2 only; name another file"
    with pytest.raises(ConfigurationError, match=told) as raised:
        SQLiteStore(path)
    assert raised.value.setting == "store"
    assert path.read_bytes() == before


def killed_before_the_version_is_written(path: Path) -> int:
    """Open a store in a process that is killed in the middle of that; give its exit code."""

    class Killed(sqlite3.Connection):
        def execute(self, statement: str, *args: object) -> sqlite3.Cursor:
            if "user_version=" in statement:
                os.kill(os.getpid(), 9)
            return super().execute(statement, *args)  # type: ignore[arg-type]  # passed through

    real = sqlite3.connect

    def work() -> None:
        _sqlite.sqlite3.connect = lambda *args, **more: real(*args, factory=Killed, **more)  # type: ignore
        SQLiteStore(path)

    return child(work)


def test_a_process_that_is_killed_while_it_creates_the_tables_leaves_none(path: Path) -> None:
    """SIGKILL between two statements is undone by the next one that opens the file."""
    assert killed_before_the_version_is_written(path) == -9
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == []
    db.close()
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)
    assert store.tokens("s") == TOKENS
    store.close()


def test_a_file_that_another_process_creates_meanwhile_is_ours(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables that appear between two looks at an empty file are no other program's.

    A look at the marks before the tables took such a file for a foreign one.
    """
    real, opened = sqlite3.connect, list[SQLiteStore]()

    class Meanwhile(sqlite3.Connection):
        def execute(self, statement: str, *args: object) -> sqlite3.Cursor:
            found = super().execute(statement, *args)  # type: ignore[arg-type]  # passed through
            if not opened:
                row = found.fetchone()
                monkeypatch.undo()
                opened.append(SQLiteStore(path))
                return super().execute("SELECT ? WHERE ?", (*(row or (0,)), row is not None))
            return found

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: real(*args, factory=Meanwhile, **more))
    store = SQLiteStore(path)
    opened[0].save_tokens("s", TOKENS)
    assert store.tokens("s") == TOKENS
    for one in (store, *opened):
        one.close()


VERSION_1 = """
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
    raw TEXT NOT NULL, PRIMARY KEY (session_id, seq)
) WITHOUT ROWID;
CREATE TABLE seen (
    session_id TEXT NOT NULL REFERENCES session ON DELETE CASCADE, conversation_id TEXT NOT NULL,
    item_id TEXT NOT NULL, mark TEXT NOT NULL, UNIQUE (session_id, conversation_id, item_id, mark)
);
PRAGMA application_id=0x505A4C43;
PRAGMA user_version=1;
PRAGMA journal_mode=WAL;
INSERT INTO session VALUES ('s','acc-1','ref-1',1,600.0,1000.0,NULL,'cur',NULL,NULL,'me',160.0);
INSERT INTO session VALUES ('t','acc-1','ref-1',1,600.0,1000.0,NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO conversation VALUES ('s','c','r','open'), ('s','d',NULL,'ending'), ('t','c',NULL,'read');
INSERT INTO unread VALUES ('s',4,'{"id": "4"}'), ('s',5,'{"content": "Hei"}'), ('s',6,'{"content": "Hei"}');
INSERT INTO seen VALUES ('s','c','1','1:mark'), ('s','c','2','1:mark');
"""
"""A file as 0.1.0 wrote it before sessions were shared between workers."""
FOUND = StoredSession(
    id="s",
    tokens=TOKENS,
    cursor="cur",
    conversations={
        "c": StoredConversation(id="c", request_id="r"),
        "d": StoredConversation(id="d", life=Life.ENDING),
    },
    unread={seq: Unread(seq=seq, raw={"id": "4"} if seq == 4 else {"content": "Hei"}) for seq in (4, 5, 6)},
    seen={"c": [("1", "1:mark"), ("2", "1:mark")]},
)
"""What is in it."""


@pytest.fixture
def old(path: Path) -> Iterator[sqlite3.Connection]:
    """A file of version 1, which an earlier version has open."""
    db = sqlite3.connect(path, isolation_level=None)
    db.executescript(VERSION_1)
    yield db
    db.close()


def tables(path: Path) -> dict[str, object]:
    """The version of a file, and the columns of its tables and indexes."""
    with closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE sql IS NOT NULL")]
        columns = {
            f"{what} {name}": db.execute(f"PRAGMA {what}({name})").fetchall()
            for name in names
            for what in ("table_info", "index_info", "foreign_key_list")
        }
        return {"version": db.execute("PRAGMA user_version").fetchone(), **columns}


@pytest.mark.usefixtures("old")
def test_an_older_file_is_brought_up_to_date(path: Path, tmp_path: Path) -> None:
    """Nothing in it is lost, its rows of the journal name no conversation, and it has all that a new file has."""
    store = SQLiteStore(path)
    assert store.load("s") == FOUND
    assert store.sessions(101.0, 60.0) == {"s": True, "t": False}
    assert (store.find("c"), store.find("d"), store.unpolled(161.0, 60.0, 9)) == ("t", "s", ["s"])
    new = Unread(seq=7, conversation_id="d", raw={"id": "7"})
    assert store.journal("s", "me", "next", [new])
    store.report(WorkerInfo(name="one", started_at=1.0, reported_at=2.0), 100.0, 15.0)
    store.close()
    again = SQLiteStore(path)
    assert again.load("s") == evolve(FOUND, cursor="next", unread={**FOUND.unread, 7: new})
    assert [worker.name for worker in again.workers(100.0)] == ["one"]
    again.close()
    SQLiteStore(tmp_path / "new.db").close()
    assert tables(path) == tables(tmp_path / "new.db")


def test_an_earlier_version_that_has_the_file_open_goes_on(path: Path, old: sqlite3.Connection) -> None:
    """While programs are replaced one by one, the older ones still write and read as they did."""
    store = SQLiteStore(path)
    old.execute("INSERT OR IGNORE INTO unread (session_id, seq, raw) VALUES ('s',7,'{}')")
    old.execute("INSERT OR REPLACE INTO conversation (session_id, id, request_id, life) VALUES ('t','e',NULL,'open')")
    assert old.execute("SELECT seq, raw FROM unread WHERE session_id='s'").fetchall()[-1] == (7, "{}")
    assert store.load("s") == evolve(FOUND, unread={**FOUND.unread, 7: Unread(seq=7, raw={})})
    assert store.find("e") == "t"
    store.close()


@pytest.mark.usefixtures("old")
def test_an_older_file_survives_a_kill_while_it_is_brought_up_to_date(path: Path) -> None:
    """All of it is of version 1 still, and the next one that opens it brings it up."""
    before = tables(path)
    assert killed_before_the_version_is_written(path) == -9
    assert tables(path) == before
    store = SQLiteStore(path)
    assert store.load("s") == FOUND
    store.close()


@pytest.mark.usefixtures("old")
def test_processes_that_open_an_older_file_at_once_bring_it_up_once(path: Path) -> None:
    """One of them does it, the others wait for that and find everything."""
    code = (
        "from puzzel_chat import SQLiteStore",
        "print('ready', flush=True)",
        "input()",
        f"store = SQLiteStore({str(path)!r})",
        "print(sorted(store.load('s').unread), store.find('d'), store.unpolled(161.0, 60.0, 9))",
    )
    command = [sys.executable, "-c", "\n".join(code)]
    started = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate()[0] for process in started] == ["[4, 5, 6] s ['s']\n"] * 4


@pytest.mark.usefixtures("old")
def test_an_older_file_that_another_process_brings_up_meanwhile_is_ours(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its version is looked at again under the lock, or the column would be added twice."""
    real, opened = sqlite3.connect, list[SQLiteStore]()

    class Meanwhile(sqlite3.Connection):
        def execute(self, statement: str, *args: object) -> sqlite3.Cursor:
            if statement == "BEGIN IMMEDIATE" and not opened:
                monkeypatch.undo()
                opened.append(SQLiteStore(path))
            return super().execute(statement, *args)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: real(*args, factory=Meanwhile, **more))
    store = SQLiteStore(path)
    assert opened
    assert store.load("s") == FOUND
    for one in (store, *opened):
        one.close()


def test_what_a_worker_says_is_left_out_when_it_is_damaged(path: Path) -> None:
    """The others are told, and its next word is."""
    store = SQLiteStore(path)
    one, two = (WorkerInfo(name=name, started_at=1.0, reported_at=2.0) for name in ("one", "two"))
    for damage in ("nonsense", b"\xff", "5", "[]", '{"name": 5}'):
        for worker in (one, two):
            store.report(worker, 100.0, 15.0)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("UPDATE worker SET told=? WHERE name='one'", (damage,))
        assert store.workers(101.0) == [two]
    store.report(one, 101.0, 15.0)
    assert store.workers(101.0) == [one, two]
    store.close()


def damaged(path: Path, how: str) -> None:
    """Spoil a good file of some pages."""
    store = begun(path)
    store.journal("s", "me", "cur", [Unread(seq=n, raw={"content": "x" * 500}) for n in range(100)])
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
    assert store._db is not None
    store._db.execute("PRAGMA query_only=ON")
    with pytest.raises(StoreError, match=r"readonly database\. Check the disk and its permissions"):
        store.save_tokens("s", TOKENS)
    store.close()


def test_a_locked_file_is_an_error_of_ours(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program that never lets go of the file is told as such after a while, also by `delete`."""
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)
    assert store._db is not None
    monkeypatch.setattr(_sqlite, "PATIENCE", 0.05)
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
    assert elsewhere(path, "t").startswith("TokenSet")
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
        for _ in range(10):
            assert child(use) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        store.close()


def test_the_garbage_collector_may_close_a_session_in_a_transaction(path: Path) -> None:
    """A write in the middle of another one of this thread, as a finalizer makes, ends neither."""
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)

    def work(db: sqlite3.Connection) -> None:
        db.execute("UPDATE session SET cursor='new' WHERE id='s'")
        store.save_conversation("s", StoredConversation(id="c"))
        store.delete("nobody")

    store._run(work)
    found = store.load("s")
    assert found is not None
    assert (found.cursor, list(found.conversations)) == ("new", ["c"])
    store.close()


def test_the_file_and_its_neighbours_are_for_the_owner_only(path: Path) -> None:
    """The database, its log and its index have mode 0600, also under an open umask."""
    before = os.umask(0)
    try:
        store = SQLiteStore(path)
        store.save_tokens("s", TOKENS)
        files = sorted(path.parent.iterdir())
        assert [file.name for file in files] == ["sessions.db", "sessions.db-shm", "sessions.db-wal"]
        assert [oct(mode(file)) for file in files] == ["0o600"] * 3
        store.close()
    finally:
        os.umask(before)


def test_a_file_that_others_can_read_is_closed_to_them(path: Path) -> None:
    """An empty file that was made before, or one whose mode was loosened, gets mode 0600 or is refused."""
    path.touch(mode=0o644)
    os.chmod(path, 0o644)
    store = SQLiteStore(path)
    store.save_tokens("s", TOKENS)
    files = {file.name: oct(mode(file)) for file in path.parent.iterdir()}
    store.close()
    assert set(files.values()) == {"0o600"}


def test_a_deleted_session_leaves_nothing_in_the_files(path: Path) -> None:
    """Right after `delete`, neither token nor message stands in the database or in its log."""
    store = begun(path)
    store.save_tokens("s", evolve(TOKENS, generation=2, access=Secret(f"a{SECRET}"), refresh=Secret(f"r{SECRET}")))
    store.journal("s", "me", None, [Unread(seq=n, raw={"content": f"words {SECRET}"}) for n in range(50)])
    assert any(SECRET.encode() in file.read_bytes() for file in path.parent.iterdir())
    store.delete("s")
    left = [file.name for file in path.parent.iterdir() if SECRET.encode() in file.read_bytes()]
    store.close()
    assert left == []


def test_a_closed_store_leaves_nothing_of_a_deleted_session(path: Path) -> None:
    """After `close` there is one file, and a rotated or deleted token is not in it."""
    store = SQLiteStore(path)
    store.save_tokens("s", evolve(TOKENS, access=Secret(f"a{SECRET}"), refresh=Secret(f"r{SECRET}")))
    store.save_tokens("t", evolve(TOKENS, access=Secret(f"a{SECRET}")))
    store.save_tokens("t", evolve(TOKENS, generation=2))
    store.delete("s")
    store.close()
    assert [file.name for file in path.parent.iterdir()] == ["sessions.db"]
    assert SECRET.encode() not in path.read_bytes()


def test_a_foreign_database_is_refused_and_left_alone(path: Path) -> None:
    """Another program's file is told as such, and not one byte of it changes."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="belongs to another program") as raised:
        SQLiteStore(path)
    assert raised.value.setting == "store"
    assert path.read_bytes() == before


def test_what_is_no_database_is_refused(path: Path, tmp_path: Path) -> None:
    """Text, a folder and a path that does not exist are told as the store's setting."""
    path.write_text("This is a letter to Kari, not a database.\n" * 100)
    for wrong in (path, tmp_path, tmp_path / "missing" / "sessions.db"):
        with pytest.raises(ConfigurationError, match=r"^store: "):
            SQLiteStore(wrong)
    assert path.read_text().startswith("This is a letter")


def test_a_store_that_fails_later_raises_our_error(path: Path) -> None:
    """A closed or broken database raises StoreError, which names the file and no secret."""
    store = SQLiteStore(path)
    store.close()
    with pytest.raises(StoreError, match=r"sessions\.db") as raised:
        store.save_tokens("s", evolve(TOKENS, access=Secret(SECRET)))
    assert SECRET not in str(raised.value)
    with pytest.raises(StoreError):
        store.load("s")


def test_an_interrupted_transaction_does_not_stop_the_next(path: Path) -> None:
    """Ctrl-C between a transaction's body and its end keeps neither the lock nor the file from other threads."""
    store = SQLiteStore(path)
    assert store._db is not None
    store._db.execute("BEGIN IMMEDIATE")
    store._db.execute("CREATE TABLE ours (id TEXT)")
    other = threading.Thread(target=store.save_tokens, args=("s", TOKENS))
    other.start()
    other.join(timeout=5)
    assert store.tokens("s") == TOKENS
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT 1 FROM sqlite_master WHERE name='ours'").fetchone() is None
    db.close()
    store.close()


@pytest.mark.parametrize("raw", [{"a": {1}}, {"a": object()}, {(1, 2): 3}, "nested"], ids=["set", "object", "key", ""])
def test_an_item_that_cannot_be_written_costs_no_other_its_place(path: Path, raw: Any) -> None:
    """What JSON cannot hold, or holds too deep, is written as that; the items beside it are as they were."""
    if raw == "nested":
        raw = {}
        for _ in range(100_000):
            raw = {"a": raw}
    store = begun(path)
    assert store.journal("s", "me", "3", [Unread(seq=1, raw={"a": 1}), Unread(seq=2, raw=raw), Unread(seq=3, raw={})])
    found = store.load("s")
    store.close()
    assert found is not None
    assert [found.unread[seq].raw for seq in (1, 2, 3)] == [{"a": 1}, "an item that could not be written down", {}]
    while isinstance(raw, dict) and "a" in raw:
        raw = raw["a"]  # taken apart from outside, for its end nests as deep


def test_a_lost_table_and_a_closed_store_say_what_to_do(path: Path) -> None:
    """Each failure of a store is a `StoreError` with advice that fits it."""
    store = begun(path)
    store.journal("s", "me", None, [Unread(seq=1, raw={"a": 1})])
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE unread")
    db.close()
    with pytest.raises(StoreError, match=r"no such table: unread\. The file is damaged; name another one\."):
        store.load("s")
    store.close()
    with pytest.raises(StoreError, match=r"closed database\. It was closed; open a new SQLiteStore\."):
        store.load("s")


def test_an_interrupt_leaves_no_transaction_open(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C right after a transaction began, as while waiting for another process, does not lock the file."""
    store, other = SQLiteStore(path), SQLiteStore(path)
    store.save_tokens("s", TOKENS)

    class Interrupted:
        in_transaction = property(lambda _: real.in_transaction)

        def execute(self, statement: str, *args: object) -> object:
            found = real.execute(statement, *args)  # type: ignore[arg-type]  # passed through
            if statement.startswith("BEGIN"):
                raise KeyboardInterrupt
            return found

    assert store._db is not None
    real = store._db
    monkeypatch.setattr(store, "_db", Interrupted())
    with pytest.raises(KeyboardInterrupt):
        store.load("s")
    monkeypatch.undo()
    other.save_tokens("s", evolve(TOKENS, generation=TOKENS.generation + 1))
    assert store.tokens("s") == evolve(TOKENS, generation=TOKENS.generation + 1)
    store.close()
    other.close()


def test_a_session_that_is_deleted_while_it_is_loaded_is_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process may forget the session between two looks at the file."""
    store, other = SQLiteStore(path), SQLiteStore(path)
    store.save_tokens("s", TOKENS)
    read = store.tokens

    def read_then_deleted(session_id: str) -> TokenSet | None:
        found = read(session_id)
        other.delete(session_id)
        return found

    monkeypatch.setattr(store, "tokens", read_then_deleted)
    found = store.load("s")
    store.close()
    other.close()
    assert found is None or found.tokens == TOKENS


@pytest.mark.parametrize("left_open", [False, True], ids=["closed", "killed"])
def test_a_store_whose_files_were_opened_to_others_is_closed_again(path: Path, left_open: bool) -> None:
    """The log and its index take their mode from the database when it is opened, and are closed before a write."""
    first = SQLiteStore(path)
    first.save_tokens("s", TOKENS)
    if not left_open:
        first.close()
    for file in path.parent.iterdir():
        os.chmod(file, 0o644)
    store = SQLiteStore(path)
    assert {file.name: oct(mode(file)) for file in path.parent.iterdir() if mode(file) != 0o600} == {}
    store.save_tokens("s", evolve(TOKENS, generation=2))
    assert {oct(mode(file)) for file in path.parent.iterdir()} == {"0o600"}
    for one in (store, first):
        one.close()


@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777], ids=oct)
def test_no_umask_opens_or_locks_the_files(path: Path, umask: int) -> None:
    """Whatever the process takes away from new files, its owner reads and writes the store, and nobody else."""
    before = os.umask(umask)
    try:
        store = SQLiteStore(path)
        store.save_tokens("s", TOKENS)
        assert {oct(mode(file)) for file in path.parent.iterdir()} == {"0o600"}
        store.close()
    finally:
        os.umask(before)


def test_a_link_leads_to_a_file_for_the_owner_only(path: Path, tmp_path: Path) -> None:
    """A symbolic link to a file that is not there yet makes that file, with mode 0600; a foreign one is left alone."""
    target, foreign = tmp_path / "target.db", tmp_path / "foreign"
    path.symlink_to(target)
    SQLiteStore(path).close()
    assert oct(mode(target)) == "0o600"
    foreign.write_text("somebody's own words, longer than a page of a database would be " * 99)
    os.chmod(foreign, 0o644)
    link = tmp_path / "link.db"
    link.symlink_to(foreign)
    with pytest.raises(ConfigurationError):
        SQLiteStore(link)
    assert oct(mode(foreign)) == "0o644"


@pytest.mark.parametrize("wrong", [None, 5, b"chats.db"])
def test_a_path_must_be_a_path(wrong: object) -> None:
    """Anything else is told as a setting."""
    with pytest.raises(ConfigurationError, match=r"^store: the path must be"):
        SQLiteStore(wrong)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize("how", ["dropped", "in a cycle", "opened anew"])
def test_a_store_that_nobody_closed_closes_its_connection(path: Path, how: str) -> None:
    """Python 3.13 warns of an open connection that is dropped; a program need not close its store."""
    store = SQLiteStore(path)
    if how == "opened anew":
        store.before_fork()
        store.after_fork(in_child=False)
        store.tokens("nobody")
    db = store._db
    assert db is not None
    if how == "in a cycle":
        store.me = store  # type: ignore[attr-defined]
    del store
    gc.collect()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")
