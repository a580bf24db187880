"""The web backend of the docs, as its users meet it: many at once over HTTP, and a stop by SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from ports import free_port
from puzzel_chat.sandbox import Fault, Sandbox
from quick import quick_only
from waiting import until, until_async


@contextmanager
def backend(sandbox: Sandbox, queue: str = "support") -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start the program on a free port; give its address and its process."""
    port = free_port()
    given = {**sandbox.settings, "poll_interval": 0.2, "queue_key": queue, "visual_queue_id": sandbox.queues()[queue]}
    told = {f"PUZZEL_CHAT_{name.upper()}": str(value) for name, value in given.items()}
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "puzzel_chat.pages.customer", str(port)]
    with subprocess.Popen(
        command, env={**os.environ, **told}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            until(lambda: process.poll() is not None or answers(address))
            yield address, process
        finally:
            process.kill()


def answers(address: str) -> bool:
    """Tell whether the backend serves its page."""
    try:
        return "customer.js" in httpx.get(address).text
    except httpx.TransportError:
        return False


async def begin(client: httpx.AsyncClient, name: str = "Ada", queue: str = "support") -> httpx.Response:
    """Ask for a chat as the page does."""
    return await client.post("/chats", json={"name": name, "subject": "Order 7", "queue": queue})


async def events(client: httpx.AsyncClient, chat: str, last: str | None = None) -> AsyncIterator[tuple[str, Any]]:
    """Yield the number and the data of each event of a stream, until it ends."""
    number, headers = "", {} if last is None else {"Last-Event-ID": last}
    async with client.stream("GET", f"{chat}/events", headers=headers) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                number = line.removeprefix("id: ")
            elif line.startswith("data: "):
                yield number, json.loads(line.removeprefix("data: "))


async def customer(client: httpx.AsyncClient, number: int) -> list[str]:
    """Hold a chat as the page does; give the types of what came."""
    chat = f"/chats/{(await begin(client, f'Ada {number}')).json()['id']}"
    heard: list[str] = []
    async for _, event in events(client, chat):
        heard.append(event["type"])
        if event["type"] == "agent_joined":
            await client.post(f"{chat}/message", json={"text": "Hello"})
        if event.get("text", "").startswith("I see"):
            await client.post(f"{chat}/message", json={"text": "end chat"})
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


@pytest.mark.slow
def test_ctrl_c_stops_it_without_a_traceback() -> None:
    """A developer who stops it in a terminal sees no error, and nobody stays in a queue."""
    with Sandbox(script="silent", pace=0) as sandbox, backend(sandbox) as (address, process):
        assert httpx.post(f"{address}/chats", json={"name": "Ada", "queue": "support"}).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert sandbox.stats().left_queue == 1
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_a_page_that_lost_the_line_gets_the_rest() -> None:
    """After a chat's end, all of it can be read again, or what came after an event; and after the last one nothing."""

    async def follow(address: str) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            chat = f"/chats/{(await begin(client)).json()['id']}"
            await until_async(lambda: len(sandbox.chats()) == 1)
            await client.post(f"{chat}/end", json={})
            whole = [one async for one in events(client, chat)]
            assert [number for number, _ in whole] == [str(place) for place in range(len(whole))]
            assert whole[-1][1]["type"] == "conversation_ended"
            assert [one async for one in events(client, chat)] == whole
            assert [one async for one in events(client, chat, "0")] == whole[1:]
            done = await client.get(f"{chat}/events", headers={"Last-Event-ID": whole[-1][0]})
            assert (done.status_code, done.content) == (204, b"")

    with Sandbox(script="silent", pace=0) as sandbox, backend(sandbox) as (address, _):
        asyncio.run(follow(address))


def test_what_goes_wrong_is_data_with_a_status() -> None:
    """A closed queue, a full one, an unknown chat, a file and a body that are no good, a service that is away."""
    opens = datetime(2030, 1, 7, 8, tzinfo=UTC)
    with Sandbox(pace=0) as sandbox, backend(sandbox) as (address, _), httpx.Client(base_url=address) as client:

        def ask(**more: object) -> tuple[int, Any]:
            answer = client.post("/chats", json={"name": "Ada", "queue": "support", **more}, timeout=60)
            return answer.status_code, answer.json().get("error")

        sandbox.set_open("support", False, opens_at=opens)
        status, error = ask()
        assert (status, error["error"]) == (409, "QueueClosed")
        assert datetime.fromisoformat(error["opens_at"]) == opens
        sandbox.set_open("support", True)
        sandbox.set_capacity("support", 0)
        status, error = ask()
        assert (status, error["error"]) == (409, "QueueFull")
        assert ask(queue="none")[0] == 400
        sandbox.faults(Fault.drop("connectToken"))
        status, error = ask()
        assert (status, error["error"]) == (502, "TransportError")
        for method, path in (("GET", "events"), ("POST", "message"), ("POST", "file?name=a.txt"), ("GET", "files/1")):
            answer = client.request(method, f"/chats/unknown/{path}", json={"text": "a"} if method == "POST" else None)
            assert (answer.status_code, answer.json()["error"]["error"]) == (404, "SessionNotFound")
        assert client.post("/chats", content='{"name": "Ada", "queue": "support"}').status_code == 400
        assert client.post("/chats", content="[", headers={"Content-Type": "application/json"}).status_code == 400
        assert client.post("/chats/unknown/dance", json={}).status_code == 404


@pytest.mark.slow
def test_opening_hours_that_cannot_be_asked_for_are_unknown() -> None:
    """The page gets its queues all the same, and the hours as soon as they can be asked for again."""
    with Sandbox(pace=0, faults=(Fault.status(400),)) as sandbox, backend(sandbox) as (address, _):
        assert httpx.get(f"{address}/queues", timeout=60).json()["queues"] == [{"key": "support"}]
        sandbox.faults()
        until(lambda: httpx.get(f"{address}/queues", timeout=60).json()["queues"][0].get("is_open"))
        sandbox.restart(forget=True)  # and the session that asked is no more
        sandbox.set_open("support", False)
        until(lambda: httpx.get(f"{address}/queues", timeout=60).json()["queues"][0].get("is_open") is False)


def test_files_go_through_as_downloads() -> None:
    """What an agent sent is never shown as a page of ours, whatever it claims to be; too large a file is refused."""

    async def exchange(address: str) -> None:
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            chat = f"/chats/{(key := (await begin(client)).json()['id'])}"
            agent = sandbox.agent(key)
            await until_async(lambda: agent.status == "Offered")
            agent.accept()
            sent = agent.send_file(b"<script>1</script>", '../"å".html', "text/html")
            async for _, event in events(client, chat):
                if event["type"] == "file_message":
                    break
            got = await client.get(f"{chat}/files/{sent}")
            assert (got.content, got.headers["content-type"]) == (b"<script>1</script>", "application/octet-stream")
            assert got.headers["content-disposition"] == "attachment; filename*=UTF-8''..%2F%22%C3%A5%22.html"
            assert (await client.get(f"{chat}/files/none")).status_code == 404
            mine = await client.post(f"{chat}/file?name=a.txt", content=b"mine", headers={"Content-Type": "text/plain"})
            assert agent.file(mine.json()["id"]) == b"mine"
            large = await client.post(f"{chat}/file?name=b.txt", content=bytes(20 * 2**20 + 1))
            assert (large.status_code, large.json()["error"]["error"]) == (400, "InvalidArgument")

    with Sandbox(script="manual", pace=0) as sandbox, backend(sandbox) as (address, _):
        asyncio.run(exchange(address))
