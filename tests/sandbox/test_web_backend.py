"""The web backend of the examples, as its users meet it: many at once over HTTP, and a stop by SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from puzzel_chat.sandbox import Sandbox
from quick import quick_only
from waiting import until, until_async

EXAMPLES = Path(__file__).parents[2] / "facade" / "docs" / "examples"
START = "import sys, web_backend; web_backend.server.config.port = int(sys.argv[1]); web_backend.server.run()"


@contextmanager
def backend(sandbox: Sandbox) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the example on a free port; give its address and its process."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    given = {**sandbox.settings, "poll_interval": 0.2}
    told = {f"PUZZEL_CHAT_{name.upper()}": str(value) for name, value in given.items()}
    command = [sys.executable, "-c", START, str(port)]
    with subprocess.Popen(
        command, cwd=EXAMPLES, env={**os.environ, **told}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: answers(address))
            yield address, process
        finally:
            process.kill()


def answers(address: str) -> bool:
    """Tell whether the backend serves its page."""
    try:
        return "EventSource" in httpx.get(address).text
    except httpx.TransportError:
        return False


async def customer(client: httpx.AsyncClient, number: int) -> list[str]:
    """Hold a chat as the page does; give the types of what came."""
    chat = f"/chats/{(await client.post('/chats', json=f'Ada {number}')).json()}"
    heard: list[str] = []
    async with client.stream("GET", chat) as stream:
        async for line in stream.aiter_lines():
            if not line.startswith("data:"):
                continue
            event = json.loads(line.removeprefix("data:"))
            heard.append(event["type"])
            if event["type"] == "agent_joined":
                await client.post(chat, json="Hello")
            if event.get("text", "").startswith("I see"):
                await client.post(chat, json="end chat")
    return heard


@pytest.mark.parametrize("customers", quick_only([5], [5, 100]))
def test_many_customers_at_once(customers: int) -> None:
    """Each customer sees the search first, then the chat, then its end, which is the last line of the stream."""

    async def all_of_them(address: str) -> list[list[str]]:
        limits = httpx.Limits(max_connections=2 * customers)
        async with httpx.AsyncClient(base_url=address, limits=limits, timeout=60) as client:
            return list(await asyncio.gather(*(customer(client, number) for number in range(customers))))

    with Sandbox(pace=0.02, capacity=2 * customers) as sandbox, backend(sandbox) as (address, _):
        for heard in asyncio.run(all_of_them(address)):
            assert heard[0] == "allocation_changed"
            assert heard[-1] == "conversation_ended"
            assert heard.count("conversation_ended") == 1
            assert "allocation_changed" not in heard[heard.index("agent_joined") :]
        assert sandbox.stats().routed == sandbox.stats().ended == customers


def test_nobody_stays_in_a_queue_after_sigterm() -> None:
    """SIGTERM ends the streams and leaves the queue for each customer; the server says nothing of trouble."""

    async def stop(address: str, process: subprocess.Popen[str]) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            streams = [asyncio.create_task(customer(client, number)) for number in range(5)]
            await until_async(lambda: sandbox.stats().requests.get("getRequestStatus", 0) >= 5)
            process.send_signal(signal.SIGTERM)
            for heard in await asyncio.gather(*streams):
                assert set(heard) <= {"allocation_changed"}

    with Sandbox(script="silent", pace=0) as sandbox, backend(sandbox) as (address, process):
        asyncio.run(stop(address, process))
        assert process.wait(60) in (0, -signal.SIGTERM)
        assert sandbox.stats().left_queue == 5
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()
