"""The workers' soak in short, and proof that its verdict finds each promise that is broken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest
from attrs import evolve

import redis_server
from puzzel_chat import PuzzelChat
from puzzel_chat.sandbox import Entry, Role
from soak.cables import Cable, Cut
from soak.redisd import Redis
from soak.turnstile import WHO, Poll, Presented, Turnstile
from soak.verdict import MUST_BE_ZERO, REDIS, Evidence, Handled, Kind, Trouble, gaps, judged
from soak.workers import Plan, run, scheduled


def entry(number: int, text: str = "Hello", kind: str = "Text") -> Entry:
    """One line of the ledger of the only chat."""
    return Entry(f"m{number}", 1, "chat", kind, Role.AGENT, "Kari", text, None, datetime(2026, 1, 5, tzinfo=UTC), {})


LEDGER = {
    "chat": (
        entry(1),
        entry(2, "line-1"),
        entry(3),
        entry(4, "AgentLeft", "Event"),
        entry(5, "ConversationEnded", "Event"),
    )
}


def handled(*numbers: int, by: str = "ada", at: float = 100.0) -> list[Handled]:
    """Lines of one worker, all written at one time."""
    return [Handled(by, "chat", f"m{number}", at) for number in numbers]


def in_turn(*workers: str) -> list[Poll]:
    """Polls a second apart."""
    return [Poll(worker, 90.0 + number, 90.1 + number) for number, worker in enumerate(workers)]


KILL = Trouble("kill", "ada", 100.5, 100.6)
KEPT = Evidence(
    LEDGER,
    handled(1, 2, 3, 5),
    {
        "visitor": [
            Poll("ada", 90.0, 90.1),
            Poll("ada", 95.0, 95.1),
            Poll("kari", 108.0, 108.1),
            Poll("kari", 113.0, 113.1),
        ]
    },
    [Presented("first", "ada", 90.0), Presented("second", "kari", 110.0)],
    [KILL],
    lease=12.0,
    sent=["line-1"],
)


def broken(found: Evidence) -> dict[str, int]:
    """Give the promises that the verdict finds broken."""
    figures = judged(found)
    return {name: figures[name] for name in MUST_BE_ZERO if figures[name]}


def test_what_was_kept_is_found_kept() -> None:
    """Nothing is wrong with a chat that was taken over after a kill, and all of it is counted."""
    figures = judged(KEPT)
    assert broken(KEPT) == {}
    assert (figures["chats"], figures["messages"], figures["handled"], figures["polls"]) == (1, 4, 4, 4)


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ({"handled": handled(1, 3, 5)}, {"lost": 1}),
        ({"handled": handled(1, 2, 3)}, {"lost": 1}),
        ({"handled": handled(1, 3, 2, 5)}, {"out of order": 1}),
        ({"handled": handled(1, 2, 2, 3, 5, at=50.0)}, {"doubled": 1}),
        ({"handled": handled(1, 2, 2, 3, 3, 5)}, {"doubled": 1}),
        ({"handled": handled(1, 2, 2, 2, 3, 5)}, {"doubled": 1}),
        ({"handled": [*handled(1, 2, 3, by="kari"), *handled(3, 5, by="kari")]}, {"doubled": 1}),
        ({"troubles": [evolve(KILL, kind="term")], "handled": handled(1, 2, 3, 3, 5)}, {"doubled": 1}),
        ({"presented": [Presented("first", "ada", 50.0), Presented("first", "kari", 110.0)]}, {"tokens twice": 1}),
        ({"presented": [Presented("first", "kari", 100.5)] * 3}, {"tokens twice": 2}),
        ({"polls": {"visitor": [Poll("ada", 90.0, 90.1), Poll("kari", 90.05, 90.15)]}}, {"polled at once": 1}),
        ({"sent": ["line-1", "line-2"]}, {"sends wrong": 1}),
        ({"failures": ["worker-1 left with 1"]}, {"failed": 1}),
    ],
)  # fmt: skip
def test_each_promise_that_is_broken_is_found(planted: dict[str, Any], found: dict[str, int]) -> None:
    """Lost, out of order, doubled, presented twice, polled by two: each is told by its own figure, and no other is."""
    assert broken(evolve(KEPT, **planted)) == found


@pytest.mark.parametrize("kind", ["kill", "stop", "cut"])
def test_what_a_trouble_explains_is_counted_apart(kind: Kind) -> None:
    """One event in a chat for each, and a refresh whose reply may have died with its worker."""
    again = [*handled(1, 2, 3), *handled(3, 5, by="kari", at=113.0)]
    presented = [Presented("first", "ada", 100.4), Presented("first", "kari", 114.0)]
    figures = judged(evolve(KEPT, troubles=[evolve(KILL, kind=kind)], handled=again, presented=presented))
    assert (figures[f"again after {kind}"], figures["doubled"]) == (1, 0)
    assert (figures["tokens again after trouble"], figures["tokens twice"]) == (1, 0)


def test_a_crash_of_redis_may_strike_every_worker() -> None:
    """What was written last may be gone, whoever wrote it."""
    crash = Trouble("crash", REDIS, 100.5, 101.0)
    assert judged(evolve(KEPT, troubles=[crash], handled=handled(1, 2, 3, 3, 5)))["again after crash"] == 1


def test_a_poll_that_was_on_its_way_at_a_suspension_is_excused_once() -> None:
    """It comes when the process goes on, beside the poll of whoever has the chat by then; a second one is a fault."""
    stop = Trouble("stop", "ada", 100.0, 106.0)
    polls = [Poll("ada", 99.5, 99.6), Poll("kari", 105.9, 106.4), Poll("ada", 106.1, 106.2)]
    figures = judged(evolve(KEPT, troubles=[stop], polls={"visitor": polls}))
    assert (figures["polled after a suspension"], figures["polled at once"]) == (1, 0)
    figures = judged(evolve(KEPT, troubles=[stop], polls={"visitor": [*polls, Poll("ada", 106.3, 106.35)]}))
    assert figures["polled at once"] == 1
    assert judged(evolve(KEPT, troubles=[], polls={"visitor": polls}))["polled at once"] == 1


def test_a_chat_may_be_given_back_and_forth() -> None:
    """That is counted, and no two workers believe that they have it; later, each may have it again."""
    figures = judged(evolve(KEPT, polls={"visitor": in_turn("ada", "ada", "kari", "kari", "ada", "ada")}))
    assert (figures["turns"], figures["back within a lease"], figures["interleaved"]) == (3, 1, 0)
    figures = judged(evolve(KEPT, polls={"visitor": in_turn("ada", "kari", "ada", "kari")}))
    assert (figures["interleaved"], figures["polled at once"]) == (1, 0)
    polls = [Poll("ada", 90.0, 90.1), Poll("kari", 103.0, 103.1), Poll("ada", 106.0, 106.1), Poll("kari", 109.0, 109.1)]
    figures = judged(evolve(KEPT, polls={"visitor": polls}))
    assert (figures["back within a lease"], figures["interleaved"]) == (1, 0)


def test_the_gap_is_between_the_last_poll_before_a_take_over_and_the_first_one_after() -> None:
    """Also where the first worker went on for a while; a chat that nobody took over has none."""
    assert gaps(KEPT, 30.0) == {"kill": [13.0]}
    cut = Trouble("cut", "ada", 92.0, 112.0)
    assert gaps(evolve(KEPT, troubles=[cut]), 30.0) == {"cut": [13.0]}
    assert gaps(evolve(KEPT, troubles=[evolve(cut, who="kari")]), 30.0) == {"cut": []}
    assert gaps(KEPT, 5.0) == {"kill": []}


def test_something_happens_to_a_worker_each_minute_and_twice_to_redis() -> None:
    """Twenty minutes: 19 times something to a worker, of each kind as often, and Redis ended in both ways."""
    kinds = [kind for _, kind in scheduled(1200.0, 60.0, Random(1))]
    assert kinds.count("kill") + kinds.count("stop") + kinds.count("cut") == 19
    assert min(kinds.count(kind) for kind in ("kill", "stop", "cut", "term")) >= 6
    assert (kinds.count("restart"), kinds.count("crash")) == (1, 1)


def test_the_turnstile_notes_who_polled_and_who_presented_what() -> None:
    """By the worker's header, session by session, and each refresh token each time."""
    with Turnstile() as centre:
        for name in ("ada", "kari"):
            with (
                PuzzelChat(**centre.settings, poll_interval=0.05, headers={WHO: name}) as chat,
                chat.connect() as session,
            ):
                session.poll()
                centre.expire_tokens()
                session.poll()
    assert [{poll.worker for poll in polls} for polls in centre.polls.values() if len(polls) > 1] == [{"ada"}, {"kari"}]
    assert [one.worker for one in centre.presented] == ["ada", "kari"]
    assert len({one.token for one in centre.presented}) == 2


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    """A server of this test's own."""
    with Redis(tmp_path) as server:
        yield server


def asked(port: int, words: bytes) -> bytes:
    """Ask Redis for something, and give its one-line answer."""
    with socket.create_connection(("127.0.0.1", port), 5.0) as connection:
        connection.sendall(words + b"\r\n")
        return connection.makefile("rb").readline()


@pytest.mark.parametrize("how", ["leave", "kill"])
def test_redis_comes_back_with_what_it_had(redis: Redis, how: str) -> None:
    """On the same port, whichever way it was ended."""
    assert asked(redis.port, b"SET name Ada") == b"+OK\r\n"
    getattr(redis, how)()
    redis.start()
    assert asked(redis.port, b"STRLEN name") == b":3\r\n"


def test_a_crash_loses_what_was_written_last(redis: Redis) -> None:
    """What came in the last seconds is gone, the rest is there."""
    asked(redis.port, b"SET name Ada")
    redis.crash(1.0, wait=lambda _: asked(redis.port, b"SET late Kari"))
    redis.start()
    assert [asked(redis.port, words) for words in (b"EXISTS name", b"EXISTS late")] == [b":1\r\n", b":0\r\n"]


@pytest.mark.parametrize("how", ["reset", "silent"])
def test_a_cable_can_be_cut_and_mended(redis: Redis, how: Cut) -> None:
    """Cut, nothing comes through; mended, it carries again, and what waited in a silent one arrives."""

    async def main() -> list[bytes]:
        cable, answers = Cable(redis.port), list[bytes]()
        await cable.lay()
        reader, writer = await asyncio.open_connection("127.0.0.1", cable.port)
        writer.write(b"PING\r\n")
        answers.append(await reader.readline())
        cable.cut(how)
        writer.write(b"SET name Ada\r\n")
        answers.append(await asyncio.to_thread(asked, redis.port, b"EXISTS name"))
        cable.mend()
        try:
            answers.append(await reader.readline())
        except OSError:
            answers.append(b"")
        writer.transport.abort()
        answers.append(await asyncio.to_thread(asked, cable.port, b"PING"))
        await cable.close()
        return answers

    waited = {"reset": b"", "silent": b"+OK\r\n"}[how]
    assert asyncio.run(main()) == [b"+PONG\r\n", b":0\r\n", waited, b"+PONG\r\n"]


def short(*troubles: tuple[float, Kind]) -> Plan:
    """Two workers and twenty chats, each of a few seconds and with refreshes; a lease is over in three."""
    often: dict[str, Any] = {"interval": 0.5, "said_every": 0.5, "life": 8.0, "token_life": 6.0}
    return Plan(20, 2, troubles[-1][0] + 1.0, troubles, **often, hold=6.0, lease=3.0, fronts=1)


@pytest.mark.parametrize(
    "plan",
    [
        short((0.5, "kill"), (4.0, "term")),
        pytest.param(
            short((1.0, "kill"), (6.0, "stop"), (16.0, "cut"), (26.0, "restart"), (30.0, "crash"), (34.0, "term")),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_few_workers_keep_every_promise(plan: Plan) -> None:
    """Whatever happens to one of them, the service's ledger and what it saw say that all is well."""
    redis_server.found()
    found, _ = run(plan)
    assert broken(found) == {}, found.failures
    assert [trouble.kind for trouble in found.troubles] == [kind for _, kind in plan.troubles]
    assert judged(found)["messages"] > 100
