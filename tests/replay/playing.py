"""How a scenario is played: by a client of either kind, on a new sandbox, a tenant, or a cassette alone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, cast
from uuid import uuid4

import pytest
import vcr  # type: ignore[import-untyped]  # vcrpy has no types
from attrs import asdict

from blocking import Blocking, Loop
from puzzel_chat import AsyncPuzzelChat, PuzzelChat, Settings
from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import HOST, IDENTITY_HOST, VirtualTime, cassette_config
from puzzel_chat.testing._cassette import prepare
from replay.scenarios import CHAT, Scenario, Stage

CASSETTES = Path(__file__).parent / "cassettes"
KINDS = ("sync", "async")
QUEUE, VISUAL_QUEUE = "support", "27501"
RECORDED: Mapping[str, Any] = {"base_url": HOST, "identity_url": IDENTITY_HOST, "solution_id": "12345"}
"""The settings of a client that plays against a cassette."""
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


def play(
    scenario: Scenario,
    kind: str,
    time: VirtualTime,
    settings: Mapping[str, Any] = RECORDED,
    visitor_token: str = "a token that nobody reads",
) -> None:
    """Play a scenario against a recording, or against what those settings lead to."""
    with client(kind, **{**settings, **scenario.settings}) as chat:
        scenario.play(Stage(chat, time, QUEUE, VISUAL_QUEUE, visitor_token=visitor_token))


def play_on_sandbox(scenario: Scenario, time: VirtualTime) -> None:
    """Play a scenario against a sandbox that lives in the same time as the client."""
    with Sandbox(**{"pace": 1, "clock": time.seconds, **scenario.sandbox}) as sandbox:
        play(scenario, "sync", time, sandbox.settings, sandbox.visitor_token())


def tenant() -> Settings | None:
    """Give the settings of the tenant in `PUZZEL_CHAT_*`, if there is one."""
    named = any(os.environ.get(f"PUZZEL_CHAT_{name}") for name in ("REGION", "BASE_URL"))
    return Settings.from_env() if named else None


def tenant_ids(scenario: Scenario) -> tuple[str, str, str]:
    """Give a tenant's queue key and visual queue id, and a conversation id that it has not met yet."""
    queue = [os.environ.get(f"PUZZEL_CHAT_{name}", "") for name in ("QUEUE_KEY", "VISUAL_QUEUE_ID")]
    if not all(queue):
        pytest.fail("a tenant's queue is named by PUZZEL_CHAT_QUEUE_KEY and PUZZEL_CHAT_VISUAL_QUEUE_ID", pytrace=False)
    if queue[0] == queue[1]:
        pytest.fail(
            "record from a queue whose key and visual queue id differ: the cassettes tell them apart", pytrace=False
        )
    return queue[0], queue[1], f"{scenario.name}-{RUN}"


def tenant_config(scenario: Scenario, settings: Settings) -> dict[str, Any]:
    """Give the settings of a cassette that is recorded from a tenant."""
    ids = dict(zip(tenant_ids(scenario), (QUEUE, VISUAL_QUEUE, CHAT), strict=True))
    return cassette_config(base_url=settings.base_url, identity_url=settings.identity_url, replace=ids)


def play_on_tenant(scenario: Scenario, settings: Settings, time: VirtualTime, patch: Any) -> None:
    """Play a scenario against a real contact centre, which takes its time: every wait is really waited."""

    def wait(wake: Event, seconds: float) -> None:
        wake.wait(max(0.0, seconds))
        time.advance(seconds)

    patch.setattr(time, "wait", wait)
    with client("sync", **asdict(settings)) as chat:
        scenario.play(Stage(chat, time, *tenant_ids(scenario)))


@contextmanager
def cassette(path: Path, mode: str = "none", **changes: Any) -> Iterator[Any]:
    """Replay a cassette without pytest-recording, or record one with `mode="all"`; `changes` are to its settings."""
    recorder = vcr.VCR()
    prepare(recorder)
    config = {**cassette_config(), "record_mode": vcr.mode(mode), **changes}
    with recorder.use_cassette(str(path), **config) as tape:
        yield tape
