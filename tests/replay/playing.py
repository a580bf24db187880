"""How a scenario is played: by a client of either kind, on a new sandbox, a tenant, or a cassette alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, cast
from uuid import uuid4

import vcr  # type: ignore[import-untyped]  # vcrpy has no types
from attrs import asdict

from blocking import Blocking, Loop
from puzzel_chat import AsyncPuzzelChat, PuzzelChat, Settings
from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import HOST, VirtualTime, cassette_config
from puzzel_chat.testing._cassette import prepare
from replay.scenarios import Scenario, Stage

CASSETTES = Path(__file__).parent / "cassettes"
KINDS = ("sync", "async")
QUEUE = "support"
QUEUE_VARIABLE = "PUZZEL_CHAT_QUEUE_ID"
RUN = uuid4().hex


@contextmanager
def client(kind: str, **settings: Any) -> Iterator[PuzzelChat]:
    """Make a client of that kind, behind the blocking one's names."""
    loop = Loop() if kind == "async" else None
    made = Blocking(loop, AsyncPuzzelChat(**settings)) if loop else PuzzelChat(**settings)
    chat = cast(PuzzelChat, made)
    try:
        yield chat
    finally:
        chat.close()
        if loop:
            loop.stop()


def play(scenario: Scenario, kind: str, time: VirtualTime, base_url: str = HOST) -> None:
    """Play a scenario against a recording, or against what listens at `base_url`."""
    with client(kind, **{"base_url": base_url, "solution_id": "12345", **scenario.settings}) as chat:
        scenario.play(Stage(chat, time, QUEUE))


def play_on_sandbox(scenario: Scenario, time: VirtualTime) -> None:
    """Play a scenario against a sandbox that lives in the same time as the client."""
    with Sandbox(**{"pace": 1, "clock": time.seconds, **scenario.sandbox}) as sandbox:
        play(scenario, "sync", time, sandbox.base_url)


def tenant() -> Settings | None:
    """Give the settings of the tenant in `PUZZEL_CHAT_*`, if there is one."""
    return Settings.from_env() if os.environ.get("PUZZEL_CHAT_BASE_URL") else None


def tenant_queue() -> str:
    """Give the id of the tenant's queue to ask in."""
    return os.environ.get(QUEUE_VARIABLE, QUEUE)


def tenant_chat(scenario: Scenario) -> str:
    """Give a conversation id that the tenant has not met yet."""
    return f"{scenario.name}-{RUN}"


def play_on_tenant(scenario: Scenario, settings: Settings, time: VirtualTime, patch: Any) -> None:
    """Play a scenario against a real contact centre, which takes its time: every wait is really waited."""

    def wait(wake: Event, seconds: float) -> None:
        wake.wait(max(0.0, seconds))
        time.advance(seconds)

    patch.setattr(time, "wait", wait)
    with client("sync", **asdict(settings)) as chat:
        scenario.play(Stage(chat, time, tenant_queue(), tenant_chat(scenario)))


@contextmanager
def cassette(path: Path, mode: str = "none", **changes: Any) -> Iterator[Any]:
    """Replay a cassette without pytest-recording, or record one with `mode="all"`; `changes` are to its settings."""
    recorder = vcr.VCR()
    prepare(recorder)
    config = {**cassette_config(), "record_mode": vcr.mode(mode), **changes}
    with recorder.use_cassette(str(path), **config) as tape:
        yield tape
