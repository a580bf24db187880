"""The command line under test: in this process, as a process of its own, and on a terminal of its own."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from unicodedata import category

import pytest
from attrs import define, frozen

from puzzel_chat._probe import Probe
from puzzel_chat.cli import _probe, main
from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import VirtualTime

PROGRAM = [sys.executable, "-m", "puzzel_chat"]
OWN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
WHERE, TOP_LEFT = b"\x1b[6n", b"\x1b[1;1R"
"""Where the cursor is, and the answer of a terminal; before it there is no line below the prompt."""
ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][A-Z0-9]|[=>78])|\r")


STEERING, JOINERS = ("Cc", "Cf", "Cs", "Zl", "Zp"), "\u200c\u200d"


def safe(text: str, kept: str = "\n" + JOINERS) -> bool:
    """Whether a terminal shows this and does nothing else."""
    return all(one in kept or category(one) not in STEERING for one in text)


@frozen
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the settings of this machine."""
    for name in [name for name in os.environ if name.startswith("PUZZEL_CHAT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def centre() -> Iterator[Sandbox]:
    """A contact centre in the test's own process, where everything takes place at the next request."""
    with Sandbox(pace=0) as sandbox:
        yield sandbox


def settings_for(sandbox: Sandbox) -> dict[str, str]:
    """Return the environment of a client of this contact centre, which polls fast."""
    return {
        "PUZZEL_CHAT_BASE_URL": sandbox.base_url,
        "PUZZEL_CHAT_IDENTITY_URL": sandbox.identity_url,
        "PUZZEL_CHAT_SOLUTION_ID": sandbox.solution_id,
        "PUZZEL_CHAT_POLL_INTERVAL": "0.1",
    }


def one_error(ran: Ran) -> str:
    """Return the error line, after checking that it is the only thing on stderr and no traceback."""
    lines = ran.err.splitlines()
    assert len(lines) == 1, ran.err
    assert lines[0].startswith("error: ")
    return lines[0]


def eventually(condition: Callable[[], bool], within: float = 15.0) -> None:
    """Wait until it is so."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)


@pytest.fixture
def no_waits(puzzel_time: VirtualTime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a command in this process try again at once, in virtual time, which `probe` has to be given."""
    monkeypatch.setattr(_probe, "Probe", partial(Probe, clock=puzzel_time))


Run = Callable[..., Ran]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run a command in this process, with a file as its standard input."""

    def run(*args: str, at: Sandbox | None = None, typed: str = "", env: dict[str, str] | None = None) -> Ran:
        for name, value in {**(settings_for(at) if at else {}), **(env or {})}.items():
            monkeypatch.setenv(name, value)
        given = tmp_path / "typed"
        given.write_text(typed)
        monkeypatch.setattr(sys, "argv", ["puzzel-chat", *args])
        with given.open() as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            with pytest.raises(SystemExit) as left:
                main()
        seen = capfd.readouterr()
        return Ran(int(left.value.code or 0), seen.out, seen.err)

    return run


@define
class Program:
    """The command as a process of its own, on a terminal when it was started on one."""

    process: subprocess.Popen[bytes]
    descriptor: int
    seen: str = ""

    def expect(self, words: str, within: float = 15.0) -> str:
        """Wait until these words are on the screen. Return what was shown before."""
        deadline = time.monotonic() + within
        while words not in self.seen:
            if not self._read(deadline):
                pytest.fail(f"no {words!r} within {within:g} s in:\n{self.seen}")
        before, _, self.seen = self.seen.partition(words)
        return before

    def look(self) -> str:
        """Return what was shown since the words that were expected last."""
        while self._read(0.0):
            pass
        return self.seen

    def write(self, text: str) -> None:
        """Type; for a pipe, see `process.stdin`."""
        os.write(self.descriptor, text.encode())

    def wait(self, within: float = 15.0) -> int:
        """Wait for the end and return the exit code; what was shown last is in `seen`."""
        deadline = time.monotonic() + within
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(time.monotonic() + 0.05)
        while self._read(time.monotonic() + 0.05):
            pass
        return self.process.wait(timeout=0.1)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.descriptor], [], [], max(0.0, deadline - time.monotonic()))
        try:
            chunk = os.read(self.descriptor, 65536) if ready else b""
        except OSError:  # a terminal whose other side is closed
            chunk = b""
        if WHERE in chunk:
            os.write(self.descriptor, TOP_LEFT)
        self.seen += ESCAPES.sub("", chunk.decode("utf-8", "replace"))
        return bool(chunk)


Start = Callable[..., Program]


@pytest.fixture
def on_terminal() -> Iterator[Start]:
    """Start a command on a pseudo-terminal, of 80 columns unless told otherwise.

    One that `answers` is asked where the cursor is: the test must read on, and then there is a line below the prompt.
    """
    started: list[Program] = []

    def start(*args: str, at: Sandbox | None = None, columns: int = 80, answers: bool = False) -> Program:
        ours, theirs = pty.openpty()
        env = {
            "COLUMNS": str(columns),
            "LINES": "24",
            "TERM": "xterm",
            "PROMPT_TOOLKIT_NO_CPR": "0" if answers else "1",
        }
        process = _popen(args, at, env, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        started.append(Program(process, ours))
        return started[-1]

    yield start
    for program in started:
        program.process.kill()
        program.process.wait()
        os.close(program.descriptor)


@pytest.fixture
def on_pipe() -> Iterator[Start]:
    """Start a command that reads a pipe and writes to one."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*args: str, at: Sandbox | None = None, env: dict[str, str] | None = None) -> Program:
        process = _popen(args, at, env or {}, subprocess.PIPE, subprocess.PIPE, subprocess.STDOUT)
        started.append(process)
        assert process.stdout is not None
        return Program(process, process.stdout.fileno())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _popen(
    args: tuple[str, ...], at: Sandbox | None, env: dict[str, str], stdin: int, stdout: int, stderr: int
) -> subprocess.Popen[bytes]:
    environment = {**os.environ, **(settings_for(at) if at else {}), **env}
    command = [*PROGRAM, *args]
    if stdin >= 0 and os.isatty(stdin):
        # Its own terminal, so that Ctrl-C reaches it between two prompts too, as it does for a person.
        command = [sys.executable, "-c", OWN_TERMINAL, *command]
    return subprocess.Popen(command, env=environment, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)
