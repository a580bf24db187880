"""Every Python block of the guides, and every example program, runs against the sandbox."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from programs import blocks, run
from puzzel_chat import PuzzelChat, RedisStore
from puzzel_chat._fleet._worker import DRAIN
from puzzel_chat._lease import MARGIN
from puzzel_chat.sandbox import Sandbox
from quick import quick_only
from redis_server import RedisServer

DOCS = Path(__file__).parents[2] / "facade" / "docs"
EXAMPLES = {path.stem: path for path in (DOCS / "examples").glob("*.py")}
BLOCKS = {
    f"{path.stem}-{number}": code
    for path in sorted((DOCS / "guides").glob("*.py"))
    for number, code in enumerate(blocks(ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""))
}
SERVERS = {"web_with_workers", "worker"}
"""Programs that end when they are told to; see `workers/test_deploy.py`."""
WORKER = "workers-1"
"""The block that is a worker, which ends when it is told to."""
STORE = "PUZZEL_CHAT_STORE"


@pytest.fixture
def redis(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server whose address stands in the environment."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    monkeypatch.setenv(STORE, server.url)
    yield server
    server.close()


@pytest.mark.parametrize("name", quick_only({"errors-0", "the_document-0"}, sorted(BLOCKS.keys() - {WORKER})))
def test_each_block_of_a_guide_runs(
    name: str, published: Sandbox, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """As it stands; it prints something, or asks the service."""
    if STORE in BLOCKS[name]:
        request.getfixturevalue("redis")
    assert run("-c", BLOCKS[name], folder=tmp_path).strip() or published.stats().total_requests


@pytest.mark.usefixtures("published")
def test_the_worker_of_the_guide_serves_until_sigterm(redis: RedisServer) -> None:
    """It takes up a chat that was opened elsewhere, holds it to its end, and leaves with exit code 0."""
    store = RedisStore(redis.url)
    with PuzzelChat.from_env(store=store) as chat, chat.connect() as session:
        session.conversation("c").route("support")
    store.close()
    command = [sys.executable, "-c", BLOCKS[WORKER]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout is not None
            heard = list(iter(worker.stdout.readline, "c conversation_ended\n"))
            assert heard[0] == "c allocation_changed\n"
            assert "c agent_joined\n" in heard
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0
        finally:
            worker.kill()


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize("name", quick_only({"surviving_kills"}, sorted(EXAMPLES.keys() - SERVERS)))
def test_each_example_runs_and_ends_by_itself(name: str, tmp_path: Path) -> None:
    """What is typed, if it asks, is one line; a test file is run by pytest."""
    path = EXAMPLES[name]
    start = ["-m", "pytest", "-q", "-p", "no:cacheprovider", path] if path.stem.startswith("test_") else [path]
    assert run(*start, folder=tmp_path, typed="end chat\n").strip()


def test_the_guide_to_workers_has_the_bounds_that_hold() -> None:
    """How long a lease lasts, how long a worker polls without its store, and how long it drains."""
    text = " ".join((DOCS / "guides" / "workers.py").read_text(encoding="utf-8").split())
    assert f"leases end {RedisStore.lease:.0f} seconds after their last renewal" in text
    assert f"which is {RedisStore.lease - MARGIN:.0f} seconds after their last renewal" in text
    assert f"within {RedisStore.lease - MARGIN:.0f} seconds" in text
    assert f"within {DRAIN:.0f} seconds" in text


def test_examples_are_short() -> None:
    """Under sixty lines each, and the first one says what it is."""
    for path in EXAMPLES.values():
        source = path.read_text(encoding="utf-8")
        assert len(source.splitlines()) < 60, path
        assert ast.get_docstring(ast.parse(source)), path
