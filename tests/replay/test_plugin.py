"""The pytest plugin as a user's tests meet it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from puzzel_chat import AgentWaitTimeout, ConfigurationError, ConversationEnded, PuzzelChat
from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import VirtualTime
from replay.playing import KINDS, client
from replay.scenarios import talk

HEAVY = ("starlette", "uvicorn", "vcr", "yaml", "pytest_recording")


@pytest.mark.parametrize("kind", KINDS)
def test_a_chat_on_the_sandbox(kind: str, puzzel_chat_settings: dict[str, Any], puzzel_sandbox: Sandbox) -> None:
    """The fixtures give a contact centre that answers, and what a client needs to reach it."""
    with (
        client(kind, **puzzel_chat_settings) as chat,
        chat.start(
            puzzel_sandbox.queue_key, puzzel_sandbox.visual_queue_id, wait=10, conversation_id="chat"
        ) as conversation,
    ):
        assert isinstance(talk(conversation, "end chat")[-1], ConversationEnded)
    assert puzzel_sandbox.stats().ended == 1


@pytest.mark.puzzel_sandbox(script="silent")
@pytest.mark.parametrize("kind", KINDS)
def test_two_minutes_pass_at_once(kind: str, puzzel_chat_settings: dict[str, Any], puzzel_time: VirtualTime) -> None:
    """With `puzzel_time`, waiting takes no time, and the marker chooses how the agents behave."""
    began = puzzel_time.seconds()
    really = time.monotonic()
    with client(kind, **puzzel_chat_settings) as chat, pytest.raises(AgentWaitTimeout):
        chat.start("support", wait=120)
    assert 120 <= puzzel_time.seconds() - began < 130
    assert time.monotonic() - really < 60


@pytest.mark.puzzel_sandbox(client_id="ada", client_secret="open sesame", grant_type="client_credentials")
def test_the_settings_fit_the_marker(puzzel_chat_settings: dict[str, Any]) -> None:
    """Credentials given to the sandbox are given to the client, and are asked for."""
    with PuzzelChat(**puzzel_chat_settings) as chat:
        chat.connect()
    with PuzzelChat(**{**puzzel_chat_settings, "client_secret": "wrong"}) as chat, pytest.raises(ConfigurationError):
        chat.connect()


@pytest.mark.puzzel_sandbox(identity_port=None)
def test_one_address_is_enough(puzzel_chat_settings: dict[str, Any], puzzel_sandbox: Sandbox) -> None:
    """The marker may ask for a sandbox with both services at one address."""
    assert puzzel_chat_settings["base_url"] == puzzel_chat_settings["identity_url"]
    with PuzzelChat(**puzzel_chat_settings) as chat:
        assert chat.connect().queue_info(puzzel_sandbox.visual_queue_id).is_open


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_the_same_in_each_run(
    kind: str,
    puzzel_stable_ids: None,
    puzzel_time: VirtualTime,
    puzzel_chat_settings: dict[str, Any],
    puzzel_sandbox: Sandbox,
) -> None:
    """A conversation and a message get the numbers one and two for an id."""
    with client(kind, **puzzel_chat_settings) as chat, chat.start("support", wait=10) as conversation:
        conversation.send("hello")
    said = [entry.client_message_id for entry in puzzel_sandbox.ledger()[conversation.id] if entry.client_message_id]
    assert (conversation.id[-3:], [client_id[-3:] for client_id in said]) == ("001", ["002"])


def test_the_plugin_imports_nothing_heavy() -> None:
    """Starting pytest with the plugin installed costs no web server and no recorder."""
    code = f"import sys, puzzel_chat.testing; print([name for name in {HEAVY!r} if name in sys.modules])"
    assert _python("-c", code).stdout.strip() == "[]"


WITHOUT_EXTRAS = f"""
import sys
sys.modules.update(dict.fromkeys({HEAVY!r}))  # as if they were not installed
import pytest
sys.exit(pytest.main(["-q", "-p", "puzzel_chat.testing", "-p", "no:cacheprovider", *sys.argv[1:]]))
"""
A_USERS_TESTS = """
import pytest
from puzzel_chat.testing import HOST, IDENTITY_HOST, Scrubber, VirtualTime, cassette_config, unplayed

def test_plain():
    assert cassette_config()["before_record_request"]

@pytest.mark.puzzel_sandbox(script="silent")
def test_sandbox(puzzel_sandbox):
    pass
"""


def test_without_the_extras_only_the_sandbox_is_missing(tmp_path: Path) -> None:
    """A user with plain pytest can run tests; one that asks for the sandbox is told what to install."""
    (tmp_path / "test_user.py").write_text(A_USERS_TESTS)
    told = _python("-c", WITHOUT_EXTRAS, "--strict-markers", "-W", "error", "test_user.py", cwd=tmp_path).stdout
    assert "1 passed, 1 error" in told
    assert 'pip install "puzzel-chat[sandbox]"' in told


WITH_A_CASSETTE = """
import pytest
from puzzel_chat.testing import cassette_config

@pytest.fixture
def vcr_config():
    return cassette_config()

@pytest.mark.vcr
def test_chat():
    pass

def test_plain():
    pass
"""
WITHOUT_OURS = """
import pytest

@pytest.mark.vcr
def test_other():
    pass
"""


def test_a_cassette_that_nothing_plays_fails_its_test(tmp_path: Path) -> None:
    """Without pytest-recording the mark would do nothing, and the test would pass without its cassette."""
    (tmp_path / "test_user.py").write_text(WITH_A_CASSETTE)
    plugins = ("-p", "puzzel_chat.testing", "-p", "no:cacheprovider")
    told = _python("-m", "pytest", "-q", *plugins, "test_user.py", cwd=tmp_path).stdout
    assert "1 passed, 1 warning, 1 error" in told
    assert 'pip install "puzzel-chat[testing]"' in told
    assert "pytest_recording" not in told
    recording = ("-p", "pytest_recording.plugin")
    assert "2 passed" in _python("-m", "pytest", "-q", *recording, *plugins, "test_user.py", cwd=tmp_path).stdout


def test_the_mark_of_somebody_else_is_theirs(tmp_path: Path) -> None:
    """Where no cassette of ours was configured, a mark of that name is none of our business."""
    (tmp_path / "test_user.py").write_text(WITHOUT_OURS)
    told = _python("-m", "pytest", "-q", "-p", "puzzel_chat.testing", "-p", "no:cacheprovider", cwd=tmp_path).stdout
    assert "1 passed" in told


def _python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a new interpreter that loads no plugin by itself."""
    env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=60)
