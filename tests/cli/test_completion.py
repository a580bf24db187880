"""Shell completion, as the shells ask for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

START = f"eval \"$('{sys.executable}' -m puzzel_chat --show-completion)\""
PRESS_TAB = """
tab() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _puzzel_chat_completion puzzel-chat; echo "${COMPREPLY[@]}"; }
tab puzzel-chat sa
tab puzzel-chat chat --vis
tab puzzel-chat sandbox --semantics ""
"""
ASKED = {
    "bash": {"COMP_WORDS": "puzzel-chat sa", "COMP_CWORD": "1"},
    "zsh": {"_TYPER_COMPLETE_ARGS": "puzzel-chat sa"},
    "fish": {"_TYPER_COMPLETE_ARGS": "puzzel-chat sa", "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder of the test's own, with the command of this environment on the path."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def typed(shell: str, program: str) -> str:
    """Let a real shell run these lines, and return what it prints."""
    if shutil.which(shell) is None:
        pytest.skip(f"this machine has no {shell}")
    # With something after it, the program is not put in the place of the shell.
    done = subprocess.run([shell, "-c", f"{program}\n:\n"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("shell", ASKED)
def test_each_shell_is_answered(shell: str) -> None:
    """What a shell asks at the tab key is answered with the command that fits."""
    env = {**os.environ, **ASKED[shell], "_PUZZEL_CHAT_COMPLETE": f"complete_{shell}"}
    done = subprocess.run([sys.executable, "-m", "puzzel_chat"], env=env, capture_output=True, text=True, timeout=60)
    assert "sandbox" in done.stdout
    assert "demo" not in done.stdout


@pytest.mark.usefixtures("home")
def test_bash_completes_commands_options_and_values() -> None:
    """The function that `--show-completion` prints, also by `python -m`, completes `puzzel-chat`."""
    assert typed("bash", START + PRESS_TAB).splitlines() == ["sandbox", "--visual-queue-id", "history cursor drain"]


@pytest.mark.parametrize(
    ("shell", "file"),
    [
        ("bash", ".bash_completions/puzzel-chat.sh"),
        ("zsh", ".zfunc/_puzzel-chat"),
        ("fish", ".config/fish/completions/puzzel-chat.fish"),
    ],
)
def test_completion_installs_itself(shell: str, file: str, home: Path) -> None:
    """`--install-completion` finds the shell that it was typed in, and puts its file where that shell looks."""
    assert file in typed(shell, "puzzel-chat --install-completion").replace("\n", "")
    assert "_PUZZEL_CHAT_COMPLETE" in (home / file).read_text()
