"""Every scenario under both clients from one cassette, without network and without waiting.

`--record-mode=rewrite` records anew with the blocking client: from an embedded sandbox, or from the tenant named in
`PUZZEL_CHAT_*`, in its queue `PUZZEL_CHAT_QUEUE_KEY` and `PUZZEL_CHAT_VISUAL_QUEUE_ID`. Without that option a request
that is not in the cassette fails.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from vcr.errors import CannotOverwriteExistingCassetteException  # type: ignore[import-untyped]  # vcrpy has no types

from puzzel_chat.testing import HOST, VirtualTime, cassette_config, unplayed
from puzzel_chat.testing._cassette import ReadableYaml
from quick import quick_only
from replay.playing import (
    CASSETTES,
    KINDS,
    RECORDED,
    cassette,
    play,
    play_on_sandbox,
    play_on_tenant,
    tenant,
    tenant_config,
)
from replay.scenarios import SCENARIOS, Scenario

pytestmark = pytest.mark.usefixtures("puzzel_stable_ids")
Interactions = list[dict[str, Any]]
Changed = Callable[[Callable[[Interactions], object]], Path]


@pytest.fixture
def vcr_cassette_dir() -> str:
    """Keep the cassettes of all scenarios together."""
    return str(CASSETTES)


@pytest.fixture
def default_cassette_name(scenario: Scenario) -> str:
    """Give both clients the same cassette."""
    return scenario.name


@pytest.fixture
def records(kind: str, record_mode: str) -> bool:
    """Tell whether this test records; the asyncio client only ever replays what the blocking one has recorded."""
    return kind == "sync" and record_mode != "none"


@pytest.fixture
def vcr_config(scenario: Scenario, records: bool) -> dict[str, Any]:
    """Scrub, and skip what cannot be recorded before its old cassette is removed."""
    settings = tenant() if records else None
    if settings and scenario.needs:
        pytest.skip(f"needs {scenario.needs}, which a tenant does not give")
    if settings:
        return tenant_config(scenario, settings)
    return cassette_config() if records else {**cassette_config(), "record_mode": "none"}


@pytest.mark.vcr
@pytest.mark.block_network
@pytest.mark.parametrize(
    ("scenario", "kind"),
    [
        pytest.param(row, kind, id=f"{row.name}-{kind}", marks=[pytest.mark.slow] if kind == "async" else [])
        for row, kind in product(SCENARIOS.values(), KINDS)
    ],
)
def test_scenario(
    scenario: Scenario,
    kind: str,
    records: bool,
    record_mode: str,
    vcr: Any,
    puzzel_time: VirtualTime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A scenario goes the same way under both clients, with exactly the recorded requests and no other."""
    settings = tenant() if records else None
    if settings:
        play_on_tenant(scenario, settings, puzzel_time, monkeypatch)
    elif records:
        play_on_sandbox(scenario, puzzel_time)
    else:
        assert record_mode != "none" or network_is_blocked()
        play(scenario, kind, puzzel_time)
    assert not unplayed(vcr)


def network_is_blocked() -> bool:
    """Tell whether this test can reach nothing at all, not even this machine."""
    with socket.socket() as probe, pytest.raises(RuntimeError, match="Network is disabled"):
        probe.connect(("127.0.0.1", 9))
    return True


@pytest.fixture
def changed(tmp_path: Path) -> Changed:
    """Give a copy of a cassette, with a change to its interactions."""

    def make(change: Callable[[Interactions], object]) -> Path:
        tape = ReadableYaml.deserialize((CASSETTES / "token_refresh.puzzel.yaml").read_text())
        change(tape["interactions"])
        path = tmp_path / "changed.puzzel.yaml"
        path.write_text(ReadableYaml.serialize(tape))
        return path

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_an_unrecorded_request_fails(kind: str, changed: Changed, puzzel_time: VirtualTime) -> None:
    """A request that the cassette lacks is an error, not a call to the network."""
    with cassette(changed(list.pop)), pytest.raises(CannotOverwriteExistingCassetteException):
        play(SCENARIOS["token_refresh"], kind, puzzel_time)


def test_an_unplayed_interaction_is_told(changed: Changed, puzzel_time: VirtualTime) -> None:
    """A recorded request that is no longer made is named."""
    with cassette(changed(lambda tape: tape.append(tape[-1]))) as tape:
        play(SCENARIOS["token_refresh"], "sync", puzzel_time)
    assert unplayed(tape) == ["5: GET https://puzzel.example/api/queue/info/27501"]


def test_another_token_is_another_request(changed: Changed, puzzel_time: VirtualTime) -> None:
    """A cassette tells the refreshed token from the old one, so a client that went on with the old one would fail."""

    def with_the_old_token(tape: Interactions) -> None:
        tape[-1]["request"]["headers"] = tape[1]["request"]["headers"]

    with cassette(changed(with_the_old_token)), pytest.raises(CannotOverwriteExistingCassetteException):
        play(SCENARIOS["token_refresh"], "sync", puzzel_time)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_request_to_the_wrong_host_is_another_request(kind: str, puzzel_time: VirtualTime) -> None:
    """A client that asks the communication host for a token finds nothing to replay."""
    path = CASSETTES / "token_refresh.puzzel.yaml"
    with cassette(path), pytest.raises(CannotOverwriteExistingCassetteException):
        play(SCENARIOS["token_refresh"], kind, puzzel_time, {**RECORDED, "identity_url": HOST})


def test_several_polls_in_a_row_have_no_content() -> None:
    """The chat of `poll_no_content` goes on after more empty polls in a row than a chat survives unreadable ones."""
    tape = ReadableYaml.deserialize((CASSETTES / "poll_no_content.puzzel.yaml").read_text())["interactions"]
    polls = [one["response"]["status"]["code"] for one in tape if "/api/conversation?" in one["request"]["uri"]]
    assert "204 204 204 200" in " ".join(map(str, polls))


@pytest.mark.parametrize("name", quick_only(list(SCENARIOS)[::3], SCENARIOS))
def test_the_sandbox_still_says_the_same(name: str, tmp_path: Path, puzzel_time: VirtualTime) -> None:
    """What the sandbox answers today is what was recorded from it; if not: make record."""
    scenario = SCENARIOS[name]
    committed = ReadableYaml.deserialize((CASSETTES / f"{scenario.name}.puzzel.yaml").read_text())
    if "x-simulator" not in committed["interactions"][0]["response"]["headers"]:
        pytest.skip("recorded from a tenant")
    path = tmp_path / "today.yaml"
    with cassette(path, "all"):
        play_on_sandbox(scenario, puzzel_time)
    assert without_phrases(ReadableYaml.deserialize(path.read_text())) == without_phrases(committed)


def without_phrases(tape: dict[str, Any]) -> dict[str, Any]:
    """Take away the words beside each status, which differ from one Python to another (422)."""
    for one in tape["interactions"]:
        del one["response"]["status"]["message"]
    return tape
