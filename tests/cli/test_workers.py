"""`puzzel-chat workers`, on a file and on a real Redis server."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from puzzel_chat import RedisStore, SQLiteStore, WorkerInfo
from redis_server import RedisServer

from .conftest import Run, Start, one_error, safe
from .test_terminal import EVIL

SECRET = "open-sesame-0f1e"
HERE = f"{socket.gethostname()}:1:a"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that wants a password."""
    running = RedisServer(tmp_path, f"--requirepass {SECRET}")
    yield running
    running.close()


@pytest.fixture(params=["file", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Any]]:
    """A store of each kind, and its address."""
    opened: RedisStore | SQLiteStore
    if request.param == "file":
        address = str(tmp_path / "chats.db")
        opened = SQLiteStore(address)
    else:
        address = request.getfixturevalue("server").url.replace("//", f"//:{SECRET}@")
        opened = RedisStore(address)
    yield address, opened
    opened.close()


def report(store: Any, name: str, ago: float = 0.0, **more: Any) -> WorkerInfo:
    """Say what a worker would say, for a minute from then on."""
    now = time.time()
    told = {"sessions": 412, "conversations": 413, "most": 5000, "polls_per_second": 411.84, **more}
    info = WorkerInfo(name=name, **{"started_at": now - 3600.0, "reported_at": now - ago, **told})
    store.report(info, now, 60.0)
    return info


def test_a_table_of_all_workers(cli: Run, store: tuple[str, Any]) -> None:
    """A row each, by name, a line about all, and no word of the password."""
    report(store[1], "two", late_p50=0.0123, late_p99=0.5, failing=3, leaving=True)
    report(store[1], "one")
    ran = cli("workers", env={"PUZZEL_CHAT_STORE": store[0]})
    assert (ran.code, ran.err) == (0, "")
    headings, *rows, summary = (re.split(r"\s{2,}", line) for line in ran.out.splitlines())
    assert [row[:8] for row in rows] == [
        ["one", "412", "5000", "413", "411.8", "0.000 s", "0.000 s", "0"],
        ["two", "412", "5000", "413", "411.8", "0.012 s", "0.500 s", "3"],
    ]
    assert len(headings) == len(rows[0]) == 9
    assert rows[1][9] == "leaving"
    assert summary == ["2 workers, 824 sessions, 823.7 polls/s, 3 failing"]
    assert SECRET not in ran.out


def test_an_object_for_each_worker(cli: Run, store: tuple[str, Any]) -> None:
    """With `--json`, as `WorkerInfo.from_dict` reads it; a name asks for one only."""
    infos = [report(store[1], name) for name in ("one", "two")]
    ran = cli("workers", "--store", store[0], "--json")
    assert [WorkerInfo.from_dict(json.loads(line)) for line in ran.out.splitlines()] == infos
    ran = cli("workers", "two", "--store", store[0], "--json")
    assert [WorkerInfo.from_dict(json.loads(line)) for line in ran.out.splitlines()] == infos[1:]


def test_no_worker_is_an_answer(cli: Run, store: tuple[str, Any]) -> None:
    """As with other commands, the exit code is 0; for programs there is nothing."""
    ran = cli("workers", "--store", store[0])
    assert (ran.code, ran.out, ran.err) == (0, "No worker reports to this store.\n", "")
    assert cli("workers", "--store", store[0], "--json").out == ""


def test_workers_under_another_prefix(cli: Run, server: RedisServer) -> None:
    """The prefix is an option, or stands in the environment."""
    address = server.url.replace("//", f"//:{SECRET}@")
    store = RedisStore(address, prefix="mine")
    report(store, "one")
    store.close()
    assert "one" not in cli("workers", "--store", address).out
    assert "one" in cli("workers", "--store", address, "--prefix", "mine").out
    assert "one" in cli("workers", "--store", address, env={"PUZZEL_CHAT_STORE_PREFIX": "mine"}).out


@pytest.mark.parametrize(
    ("name", "ago", "asked", "code"),
    [
        (HERE, 0.0, [], 0),
        (HERE, 30.0, [], 1),
        (f"x{HERE}", 0.0, [], 1),
        (HERE.replace(":", "0:"), 0.0, [], 1),
        ("seven", 0.0, ["seven"], 0),
        ("seven", 30.0, ["seven"], 1),
        ("seven", 0.0, ["eight"], 1),
        ("seven", 0.0, [], 1),
    ],
)
def test_a_health_check(cli: Run, store: tuple[str, Any], name: str, ago: float, asked: list[str], code: int) -> None:
    """0 when the worker of that name, or one of this machine, has reported lately; else 1 and one line why."""
    report(store[1], name, ago)
    ran = cli("workers", "--check", *asked, "--store", store[0])
    assert ran.code == code
    if code:
        assert "has not reported within 10 s" in one_error(ran)
        assert ran.out == ""
    else:
        assert name in ran.out


def test_before_any_worker_a_health_check_fails(cli: Run, store: tuple[str, Any]) -> None:
    """The store is there, and nobody has reported to it."""
    assert cli("workers", "--check", "--store", store[0]).code == 1


@pytest.mark.parametrize(
    ("address", "code", "told"),
    [
        (None, 2, "puzzel-chat workers --store redis://redis.example:6379/0"),
        ("", 2, "PUZZEL_CHAT_STORE"),
        ("missing.db", 2, "there is no file missing.db"),
        (f"http://ada:{SECRET}@redis.example", 2, "must look like redis://"),
        (f"redis://ada:{SECRET}@127.0.0.1:1", 1, "127.0.0.1:1 could not be reached. Check its address"),
    ],
)
def test_a_store_that_is_not_there(cli: Run, address: str | None, code: int, told: str) -> None:
    """One line that says what to do, without the password; nothing is created."""
    for more in ([], ["--check"]):
        ran = cli("workers", *more, env={} if address is None else {"PUZZEL_CHAT_STORE": address})
        assert (ran.code, ran.out) == (code, "")
        assert told in one_error(ran)
        assert SECRET not in ran.err
    assert not Path("missing.db").exists()


def test_a_wrong_password(cli: Run, server: RedisServer) -> None:
    """It is refused, and not shown."""
    ran = cli("workers", "--store", server.url.replace("//", "//ada:wrong-7c1@"))
    assert (ran.code, "refused us. Check user, password" in one_error(ran)) == (1, True)
    assert "wrong-7c1" not in ran.err


def test_a_name_does_not_steer_the_terminal(cli: Run, store: tuple[str, Any]) -> None:
    """Whoever can write to the store can name a worker, and put any time there."""
    report(store[1], f"one{EVIL}", started_at=1e300)
    for more in ([], ["--json"]):
        ran = cli("workers", *more, "--store", store[0])
        assert ran.code == 0
        assert safe(ran.out), ascii(ran.out)


def test_on_a_terminal_it_goes_on_until_ctrl_c(on_terminal: Start, tmp_path: Path) -> None:
    """The table is renewed, wherever Ctrl-C comes it ends quietly, and the last table stays."""
    store = SQLiteStore(tmp_path / "chats.db")
    report(store, "one", sessions=412)
    program = on_terminal("workers", "--store", str(tmp_path / "chats.db"))
    program.expect("412")
    report(store, "one", sessions=777)
    program.expect("777")
    report(store, "two")
    program.expect("2 workers")
    program.process.send_signal(signal.SIGINT)
    assert program.wait() == 0
    assert "Traceback" not in program.seen
    store.close()


def test_a_store_that_goes_away_while_one_looks_on(on_terminal: Start, tmp_path: Path) -> None:
    """It is told, and the table comes back with the store."""
    server = RedisServer(tmp_path)
    try:
        store = RedisStore(server.url)
        report(store, "one")
        program = on_terminal("workers", "--store", server.url)
        program.expect("1 worker,")
        server.kill()
        program.expect("could not be reached")
        server.start()
        program.expect("No worker reports")
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 0
        store.close()
    finally:
        server.close()


def test_on_a_terminal_once_is_once(on_terminal: Start, tmp_path: Path) -> None:
    """With `--once` or `--json` it ends by itself."""
    store = SQLiteStore(tmp_path / "chats.db")
    report(store, "one")
    for once in ("--once", "--json"):
        program = on_terminal("workers", "--store", str(tmp_path / "chats.db"), once)
        assert program.wait() == 0
        assert "one" in program.seen
    store.close()
