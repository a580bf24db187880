"""A pytest plugin for tests of programs that use puzzel-chat; pytest loads it by itself.

    @pytest.mark.puzzel_sandbox(script="silent")
    def test_gives_up_when_nobody_answers(puzzel_chat_settings, puzzel_time):
        with PuzzelChat(**puzzel_chat_settings) as chat, pytest.raises(AgentWaitTimeout):
            chat.start("support", wait=30)

Fixtures: `puzzel_sandbox`, a running sandbox (needs the extra `[sandbox]`); `puzzel_chat_settings`, a client's keyword
arguments for it; `puzzel_desk`, an agent's desk that the test drives; `puzzel_time`, virtual time, in which no wait
takes real time; `puzzel_stable_ids`, the same ids in each run. For chats recorded with pytest-recording there are
`cassette_config` and `unplayed`, for a store of your own `StoreContract`. The extra `[testing]` brings all that they
need; only pytest is imported until a fixture or a cassette needs more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import count
from time import sleep
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

if TYPE_CHECKING:
    from puzzel_chat.sandbox import Sandbox
    from puzzel_chat.testing._cassette import cassette_config, unplayed
    from puzzel_chat.testing._desk import Desk
    from puzzel_chat.testing._scrub import HOST, IDENTITY_HOST, Scrubber
    from puzzel_chat.testing._stores import StoreContract
    from puzzel_chat.testing._time import VirtualTime

__all__ = ["HOST", "IDENTITY_HOST", "Desk", "Scrubber", "StoreContract", "VirtualTime", "cassette_config", "unplayed"]

_HOMES = {
    "Desk": "_desk",
    "HOST": "_scrub",
    "IDENTITY_HOST": "_scrub",
    "Scrubber": "_scrub",
    "StoreContract": "_stores",
    "VirtualTime": "_time",
}
_SHELLS = ("_sync", "_async", "_conversation")
_CREDENTIALS = ("grant_type", "client_id", "client_secret")
_PLAYERS = ("pytest_recording", "pytest_vcr")
"""The plugins that play cassettes; pytest imports them by itself."""
_WITH_HEADED = ("pytest_playwright", "seleniumbase")
_PAUSE = 1.0
"""Seconds after each action at a desk that somebody watches."""
_UNPLAYED = """\
@pytest.mark.vcr does nothing without pytest-recording, and this test would reach the real service: \
pip install "puzzel-chat[testing]"
"""
_MARKER = "puzzel_sandbox(script='helpful', **options): the options of puzzel_chat.sandbox.Sandbox for this test"


if not TYPE_CHECKING:  # a type checker that saw it would accept any name

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES.get(name, '_cassette')}"), name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--headed`, unless a plugin that drives browsers brings it."""
    if not any(map(find_spec, _WITH_HEADED)):
        parser.addoption("--headed", action="store_true", help="show the desk of `puzzel_desk` in a browser, slowly")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


@pytest.hookimpl(optionalhook=True)
def pytest_recording_configure(config: pytest.Config, vcr: Any) -> None:
    """Register our cassette format with pytest-recording; only cassettes that name it use it."""
    from puzzel_chat.testing._cassette import prepare

    prepare(vcr)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a test that asks for a cassette where nothing plays one, once a cassette of ours was configured."""
    if item.get_closest_marker("vcr") is None or f"{__name__}._cassette" not in sys.modules:
        return
    if not any(map(sys.modules.get, _PLAYERS)):
        pytest.fail(_UNPLAYED, pytrace=False)


@pytest.fixture
def puzzel_sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Start a sandbox, with options from the marker, such as `@pytest.mark.puzzel_sandbox(script="silent")`.

    With `puzzel_time` it runs in the test's virtual time; otherwise its agents are quick (`pace=0.02` seconds).
    Raises `ImportError`, which says what to install, when the extra is missing.
    """
    from puzzel_chat.sandbox import Sandbox

    args, options = _marked(request)
    if "puzzel_time" in request.fixturenames:
        time: VirtualTime = request.getfixturevalue("puzzel_time")
        options = {"clock": time.seconds, "pace": 1.0, **options}
    with Sandbox(*args, **{"pace": 0.02, **options}) as sandbox:
        yield sandbox


@pytest.fixture
def puzzel_desk(request: pytest.FixtureRequest, puzzel_sandbox: Sandbox) -> Iterator[Desk]:
    """Return the desk of an agent whom the test plays: `accept()`, `say(text)`, `end()`; scripted agents are off.

    With `pytest --headed` the desk is opened in the browser, and each action takes a second.
    """
    from puzzel_chat.testing._desk import Desk, shown

    puzzel_sandbox.set_scripted(False)
    passing: Callable[[float], object] = sleep
    if "puzzel_time" in request.fixturenames:
        passing = request.getfixturevalue("puzzel_time").advance
    if not request.config.getoption("--headed", default=False):
        yield Desk(puzzel_sandbox, passing=passing)
        return
    with shown(puzzel_sandbox, "Kari"):
        yield Desk(puzzel_sandbox, slow_down=lambda: sleep(_PAUSE), passing=passing)


@pytest.fixture
def puzzel_chat_settings(request: pytest.FixtureRequest, puzzel_sandbox: Sandbox) -> dict[str, Any]:
    """Return a client's keyword arguments for the test's sandbox: `PuzzelChat(**puzzel_chat_settings)`."""
    _, options = _marked(request)
    asked = {name: options[name] for name in _CREDENTIALS if options.get(name) is not None}
    interval = 1.0 if "puzzel_time" in request.fixturenames else 0.05
    return {**puzzel_sandbox.settings, "poll_interval": interval, **asked}


@pytest.fixture
def puzzel_time(monkeypatch: pytest.MonkeyPatch) -> VirtualTime:
    """Return the virtual time of all clients made in this test: no wait takes real time. For one chat at a time.

    Each wait of a client moves the time on; `advance(seconds)` does so by hand.
    """
    from puzzel_chat.testing._time import VirtualTime

    return _in_virtual_time(monkeypatch, VirtualTime())


@pytest.fixture
def puzzel_stable_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number the ids that this test's clients choose, so that they match a cassette in each run."""
    _number_ids(monkeypatch)


def _in_virtual_time(monkeypatch: pytest.MonkeyPatch, time: VirtualTime) -> VirtualTime:
    monkeypatch.setattr("puzzel_chat._client.Clock", lambda: time)
    return time


def _number_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = count(1)
    for module in _SHELLS:
        monkeypatch.setattr(f"puzzel_chat.{module}.uuid4", lambda: UUID(int=next(numbers)))


def _marked(request: pytest.FixtureRequest) -> tuple[tuple[Any, ...], dict[str, Any]]:
    marker = request.node.get_closest_marker("puzzel_sandbox")
    return (marker.args, dict(marker.kwargs)) if marker else ((), {})
