"""The compose file and the deployment of the docs, tried with processes in place of containers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from ruamel.yaml import YAML

from ports import free_port
from puzzel_chat import RedisStore, WorkerInfo
from puzzel_chat._fleet._worker import DRAIN
from puzzel_chat.sandbox import Sandbox
from redis_server import RedisServer
from waiting import until_async

DOCS = Path(__file__).parents[2] / "facade" / "docs"
SECRETS = {"REDIS_PASSWORD": "open0sesame0f1e", "STORE_KEYS": Fernet.generate_key().decode()}
PROGRAMS = {"python": [], "uvicorn": ["-m", "uvicorn"], "puzzel-chat": ["-m", "puzzel_chat"]}
CHATS = 6


def read(name: str) -> Any:
    """Read one of the files."""
    return YAML(typ="safe").load((DOCS / "deploy" / name).read_text(encoding="utf-8"))


def filled(text: str, given: dict[str, str]) -> str:
    """Put the environment's values where the file names them, as compose does."""
    return re.sub(r"\$\{(\w+)(:\?[^}]*)?\}", lambda found: given[found[1]], text)


class Composed:
    """The services of the compose file, each a process."""

    def __init__(self, sandbox: Sandbox, folder: Path, stack: ExitStack) -> None:
        self._services, self._stack = read("compose.yaml")["services"], stack
        solution = {"PUZZEL_CHAT_SOLUTION_ID": sandbox.solution_id, "PUZZEL_CHAT_REGION": "uk"}
        self._given = {**SECRETS, **solution}
        self.redis = RedisServer(folder, *self._command("redis")[1:])
        stack.callback(self.redis.close)
        self.port = free_port()
        self._here = {
            "PUZZEL_CHAT_BASE_URL": sandbox.base_url,
            "PUZZEL_CHAT_IDENTITY_URL": sandbox.identity_url,
            "PUZZEL_CHAT_POLL_INTERVAL": "0.1",
        }
        self.store = RedisStore(self._environment("worker")["PUZZEL_CHAT_STORE"])
        stack.callback(self.store.close)

    def start(self, service: str) -> subprocess.Popen[bytes]:
        """Start a service as the file says."""
        command = [{"0.0.0.0": "127.0.0.1", "8000": str(self.port)}.get(one, one) for one in self._command(service)]
        process = self._stack.enter_context(
            subprocess.Popen(self._program(command), cwd=DOCS / "examples", env=self._environment(service))
        )
        self._stack.callback(process.kill)
        return process

    async def healthcheck(self, *more: str) -> int:
        """Run the health check of the workers, and return its exit code."""
        kind, *command = self._services["worker"]["healthcheck"]["test"]
        assert kind == "CMD"
        process = await asyncio.create_subprocess_exec(
            *self._program([*command, *more]), env=self._environment("worker"), stdout=asyncio.subprocess.DEVNULL
        )
        return await process.wait()

    def workers(self) -> list[WorkerInfo]:
        """Return what the workers say of themselves, who polls the most first."""
        return sorted(self.store.workers(time.time()), key=lambda one: -one.sessions)

    def _command(self, service: str) -> list[str]:
        return [filled(part, self._given) for part in self._services[service]["command"]]

    def _program(self, command: list[str]) -> list[str]:
        return [sys.executable, *PROGRAMS[command[0]], *command[1:]]

    def _environment(self, service: str) -> dict[str, str]:
        told = {name: filled(value, self._given) for name, value in self._services[service]["environment"].items()}
        told["PUZZEL_CHAT_STORE"] = told["PUZZEL_CHAT_STORE"].replace("@redis:6379", f"@127.0.0.1:{self.redis.port}")
        # The sandbox has addresses, and no region.
        del told["PUZZEL_CHAT_REGION"]
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PUZZEL_CHAT_")}
        return {**ours, **told, **self._here}


@pytest.fixture
def composed(tmp_path: Path) -> Iterator[tuple[Composed, Sandbox]]:
    """A contact centre, and the file's services before any but Redis is started."""
    with Sandbox(pace=0.02) as sandbox, ExitStack() as stack:
        yield Composed(sandbox, tmp_path, stack), sandbox


class Customers:
    """Browsers that chat until they may end, and what came to each."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.may_end = asyncio.Event()
        self.answered: set[str] = set()
        self.heard: dict[str, list[dict[str, Any]]] = defaultdict(list)

    async def chat(self) -> None:
        """Hold a chat as the page does."""
        chat_id = (await self._client.post("/chats", json="Ada")).json()
        async with self._client.stream("GET", f"/chats/{chat_id}") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data:"):
                    event = json.loads(line.removeprefix("data:"))
                    self.heard[chat_id].append(event)
                    if event["type"] == "conversation_ended":
                        return
                    await self._answer(chat_id, event)

    async def _answer(self, chat_id: str, event: dict[str, Any]) -> None:
        if event["type"] == "agent_joined":
            await self._client.post(f"/chats/{chat_id}", json="Hello")
        elif event.get("text", "").startswith("I see"):
            self.answered.add(chat_id)
            await self.may_end.wait()
            await self._client.post(f"/chats/{chat_id}", json="end chat")


@asynccontextmanager
async def browsing(port: int) -> AsyncIterator[Customers]:
    """Give browsers, once the web backend answers."""
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        while not await _answers(client):
            await asyncio.sleep(0.05)
        yield Customers(client)


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return "EventSource" in (await client.get("/")).text
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_chats_through_the_compose_file_outlive_a_worker(composed: tuple[Composed, Sandbox]) -> None:
    """SIGTERM ends a worker with exit code 0; its chats go on at the other, and each event comes once, in order."""
    here, sandbox = composed

    async def scenario() -> None:
        assert await here.healthcheck() == 1
        here.start("web")
        workers = {process.pid: process for process in (here.start("worker"), here.start("worker"))}
        await until_async(lambda: len(here.workers()) == 2)
        assert await here.healthcheck() == 0
        async with browsing(here.port) as customers, asyncio.TaskGroup() as group:
            for _ in range(CHATS):
                group.create_task(customers.chat())
            await until_async(lambda: len(customers.answered) == CHATS)
            await until_async(lambda: sum(one.sessions for one in here.workers()) == CHATS)
            busiest, other = (one.name for one in here.workers())
            process = workers[int(busiest.split(":")[-2])]
            process.send_signal(signal.SIGTERM)
            await until_async(lambda: process.poll() is not None)
            assert process.returncode == 0
            assert [await here.healthcheck(busiest), await here.healthcheck(other)] == [1, 0]
            customers.may_end.set()
        for chat_id, heard in customers.heard.items():
            said = [entry.id for entry in sandbox.ledger()[chat_id] if entry.type == "Text"]
            assert [event["id"] for event in heard if event["type"] == "text_message"] == said
            assert [event["type"] for event in heard].count("conversation_ended") == 1
        assert sandbox.stats().routed == sandbox.stats().ended == CHATS

    asyncio.run(scenario())


def test_containers_get_the_time_that_a_worker_takes() -> None:
    """Both files wait longer after SIGTERM than a worker drains, and ask the same question of its health."""
    worker = read("compose.yaml")["services"]["worker"]
    pod = read("kubernetes.yaml")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert worker["stop_grace_period"] == f"{pod['terminationGracePeriodSeconds']}s"
    assert pod["terminationGracePeriodSeconds"] > DRAIN
    assert container["command"] == worker["command"]
    assert container["livenessProbe"]["exec"]["command"] == worker["healthcheck"]["test"][1:]
