"""What one Redis carries of our own calls, by `redis-benchmark`, which comes with it.

Each call of a store is made once and its commands are noted; then they are repeated as fast as Redis takes them.
"""

from __future__ import annotations

import ast
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable

from benchmarks.machine import say
from benchmarks.worker import info
from puzzel_chat import Life, RedisStore, Secret, StoredConversation, TokenSet, Unread
from soak.redisd import Redis
from soak.table import table

TIMES, CLIENTS = 60_000, 50
ITEM = {
    "type": "Text", "id": "message-1", "conversationId": "chat", "version": 1, "sentAt": "2026-01-05T09:00:00+00:00",
    "author": {"role": 1, "id": "kari", "displayName": "Kari"}, "content": "Your order left on Monday.",
}  # fmt: skip
_ARGUMENT = re.compile(rb'"((?:[^"\\]|\\.)*)"')


def carried(redis: Redis) -> str:
    """Measure each call that a worker makes of a store."""
    store, owner, lease = RedisStore(redis.url), "worker/1/" + "0" * 32, 12.0
    store.save_tokens("session", TokenSet(access=Secret("a" * 40), refresh=Secret("r" * 40), obtained=time.time()))
    store.save_conversation("session", StoredConversation(id="chat", life=Life.OPEN))
    store.acquire("session", "poll", owner, time.time(), lease)
    unread = [Unread(seq=1, conversation_id="chat", raw=ITEM)]
    calls: dict[str, Callable[[], object]] = {
        "journal, one message": lambda: store.journal("session", owner, "1", unread),
        "acknowledge": lambda: store.acknowledge("session", owner, "chat", 1, "message-1", "mark"),
        "renew": lambda: store.renew("session", "poll", owner, time.time(), lease),
        "unpolled": lambda: store.unpolled(time.time(), lease, 100),
        "find": lambda: store.find("chat"),
        "load": lambda: store.load("session"),
    }
    rows = [_row(redis, name, noted(redis, call)) for name, call in calls.items()]
    store.close()
    return table(("call", "commands", "calls/s", "Redis' CPU a call, µs", "a core's worth, calls/s"), rows)


def _row(redis: Redis, name: str, commands: list[list[bytes]]) -> tuple[object, ...]:
    say(f"redis-benchmark, {name}")
    began, before = time.monotonic(), info(redis.url)["cpu"]
    for command in commands:
        program = shutil.which("redis-benchmark") or "valkey-benchmark"
        options = ["-p", str(redis.port), "-n", str(TIMES), "-c", str(CLIENTS), "-q"]
        subprocess.run([program, *options, *command], check=True, stdout=subprocess.DEVNULL)
    took, cpu = time.monotonic() - began, info(redis.url)["cpu"] - before
    return name, len(commands), f"{TIMES / took:,.0f}", f"{cpu / TIMES * 1e6:.1f}", f"{TIMES / cpu:,.0f}"


def noted(redis: Redis, call: Callable[[], object]) -> list[list[bytes]]:
    """Give the commands that reach Redis from a call, but not those of its scripts."""
    call()
    with socket.create_connection(("127.0.0.1", redis.port), 5.0) as watching:
        watching.sendall(b"MONITOR\r\n")
        lines = watching.makefile("rb")
        lines.readline()
        call()
        info(redis.url)
        found: list[list[bytes]] = []
        for line in lines:
            words = [ast.literal_eval(f'b"{word.decode("latin-1")}"') for word in _ARGUMENT.findall(line)]
            if words[0].upper() == b"INFO":
                break
            if b" lua] " not in line.partition(b'"')[0] and words[0].upper() not in (b"HELLO", b"CLIENT", b"SELECT"):
                found.append(words)
        return found
    return found
