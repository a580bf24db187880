"""Programs that end in the middle of a chat: by Ctrl-C, by SIGTERM, by an exception, by coming to their end.

Real processes and real signals; the sandbox is here, and its ledger tells what the contact centre heard of it.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import define

from blocking import settings
from puzzel_chat import SQLiteStore
from puzzel_chat._retry import LEAVE_WITHIN
from puzzel_chat.sandbox import Fault, Sandbox
from quick import quick_only
from waiting import until

WORKER = Path(__file__).with_name("exit_worker.py")
SOON = 30.0
"""Seconds in which a slow machine has ended a program; what must not happen takes longer, by far."""
LONG, SHORT = 600.0, 1.5
"""Seconds in place of the five of `LEAVE_WITHIN`: a program that ends soon did not use them up; or did not go on."""
SLOW_END = Fault.latency(600, "endConversation")
NOISE = ("destroyed", "never awaited", "at interpreter shutdown")


@define
class Program:
    """A worker that is ready."""

    process: subprocess.Popen[str]

    def strike(self, number: signal.Signals) -> Program:
        """Send a signal."""
        self.process.send_signal(number)
        return self

    def tell(self) -> None:
        """Let a program go on that waits for its input."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def ends(self) -> int:
        """Wait for its end, which must be soon and silent, and give its exit code."""
        try:
            _, errors = self.process.communicate(timeout=SOON)
        finally:
            self.process.kill()
        assert not [word for word in NOISE if word in errors], errors
        return self.process.returncode


Run = Callable[..., Program]


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """A contact centre whose agents answer at once, but in the queue `silent`."""
    # An exit uses the token at hand, which must live as long as a slow machine takes to get there.
    with Sandbox(script="helpful", pace=0, token_life=getattr(request, "param", 900)) as sandbox:
        yield sandbox


refreshing = pytest.mark.parametrize("sandbox", [2], indirect=True)
"""Tokens are refreshed meanwhile."""


@pytest.fixture
def run(sandbox: Sandbox, tmp_path: Path) -> Iterator[Run]:
    """Start a program and wait until it is ready; warnings are errors in it."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, leave_within: float = LONG, lines: int = 1) -> Program:
        command = [sys.executable, "-W", "error", str(WORKER), name, json.dumps(settings(sandbox))]
        command += [str(tmp_path / "chats.db"), str(leave_within)]
        pipe = subprocess.PIPE
        process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        started.append(process)
        assert process.stdout is not None
        for _ in range(lines):
            assert process.stdout.readline() == "ready\n", process.communicate(timeout=5)
        return Program(process)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("name", quick_only(["block"], ["wait", "block", "bare", "async_wait", "async_block"]))
def test_ctrl_c(name: str, run: Run, sandbox: Sandbox) -> None:
    """Wherever Ctrl-C strikes, the program ends with it at once, and nobody stays in the queue or with an agent."""
    assert run(name).strike(signal.SIGINT).ends() == -signal.SIGINT
    assert (sandbox.stats().routed, sandbox.stats().ended) == (1, 1)


@pytest.mark.parametrize("name", quick_only(["async_bare"], ["bare_exit", "generator", "closed", "async_bare"]))
def test_a_program_that_simply_ends(name: str, run: Run, sandbox: Sandbox) -> None:
    """A chat that nobody can take up again is ended when the program exits, however it was left."""
    assert run(name).ends() == (3 if name == "bare_exit" else 0)
    assert (sandbox.stats().routed, sandbox.stats().ended) == (1, 1)


def test_a_daemon_thread_does_not_hold_up_the_exit(run: Run, sandbox: Sandbox) -> None:
    """A program may end while a daemon thread of it waits for an agent; the queue is left."""
    program = run("daemon")
    program.tell()
    assert program.ends() == 0
    assert sandbox.stats().left_queue == 1


def test_a_stored_chat_stays_for_resume(run: Run, sandbox: Sandbox) -> None:
    """A chat in a file is not ended by the program's end."""
    assert run("stored").ends() == 0
    assert (sandbox.stats().routed, sandbox.stats().ended) == (1, 0)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs fork")
def test_the_exit_of_a_forked_child_ends_nothing(run: Run, sandbox: Sandbox) -> None:
    """Only the process that opened a session ends its chats."""
    program = run("forked")
    assert sandbox.stats().ended == 0
    program.tell()
    assert program.ends() == 0
    assert sandbox.stats().ended == 1


@pytest.mark.slow
@refreshing
def test_an_exit_in_the_middle_of_a_refresh(run: Run, sandbox: Sandbox) -> None:
    """A token endpoint that hangs holds up the exit for no more than five seconds."""
    sandbox.faults(Fault.latency(600, "connectToken", skip=1))
    assert run("refresh", SHORT).ends() == 0


@refreshing
def test_a_refresh_lands_before_the_exit(sandbox: Sandbox, tmp_path: Path) -> None:
    """A token that the service has replaced while the program ends is written for the next one."""
    sandbox.faults(Fault.latency(0.7, "connectToken", skip=1))
    arguments = ["stored_refresh", json.dumps(settings(sandbox)), str(tmp_path / "chats.db"), str(SOON)]
    ran = subprocess.run([sys.executable, str(WORKER), *arguments], capture_output=True, text=True, timeout=30)
    stored = SQLiteStore(tmp_path / "chats.db").tokens(ran.stdout.strip())
    assert stored is not None, ran.stderr
    assert (stored.generation, sandbox.stats().refreshes) == (2, 1)


@pytest.mark.parametrize("name", quick_only(["wait"], ["wait", "block", "bare", "async_block"]))
def test_ctrl_c_when_the_service_hangs(name: str, run: Run, sandbox: Sandbox) -> None:
    """An end that gets no answer holds up Ctrl-C for five seconds in all, however many blocks are left."""
    program = run(name, SHORT)
    sandbox.faults(SLOW_END)
    assert program.strike(signal.SIGINT).ends() == -signal.SIGINT
    assert sandbox.stats().requests["endConversation"] == 1, "one interruption tries once"


@pytest.mark.parametrize("name", quick_only(["bare"], ["block", "bare", "async_wait"]))
def test_ctrl_c_when_the_service_is_gone(name: str, run: Run, sandbox: Sandbox) -> None:
    """A service that is down is given up within the same time."""
    program = run(name, SHORT)
    sandbox.close()
    assert program.strike(signal.SIGINT).ends() == -signal.SIGINT


@pytest.mark.parametrize("name", quick_only(["async_wait"], ["wait", "block", "async_wait", "async_block"]))
def test_a_second_ctrl_c_does_not_wait(name: str, run: Run, sandbox: Sandbox) -> None:
    """Ctrl-C while the program leaves ends it at once."""
    program = run(name)
    sandbox.faults(SLOW_END)
    program.strike(signal.SIGINT)
    until(lambda: sandbox.stats().requests.get("endConversation"))
    assert program.strike(signal.SIGINT).ends() in (-signal.SIGINT, 1)


@pytest.mark.slow
def test_ten_searches_are_left_side_by_side(run: Run, sandbox: Sandbox) -> None:
    """Closing beside ten searches takes no longer than beside one, though each end takes a second."""
    program = run("many", 8.0, lines=10)
    sandbox.faults(Fault.latency(1.0, "endConversation"))
    program.tell()
    assert program.ends() == 0
    assert sandbox.stats().left_queue == 10


@pytest.mark.slow
def test_ten_searches_are_given_up_together(run: Run, sandbox: Sandbox) -> None:
    """When the service hangs, closing beside ten searches takes five seconds, not fifty."""
    program = run("many", SHORT, lines=10)
    sandbox.faults(SLOW_END)
    program.tell()
    assert program.ends() == 0


@pytest.mark.parametrize("name", quick_only(["terminated"], ["terminated", "handler"]))
def test_sigterm_with_a_handler(name: str, run: Run, sandbox: Sandbox) -> None:
    """A handler that exits, or closes the client, lets the queue be left."""
    assert run(name).strike(signal.SIGTERM).ends() == (143 if name == "terminated" else 0)
    assert sandbox.stats().left_queue == 1


def test_sigterm_without_a_handler(run: Run, sandbox: Sandbox) -> None:
    """SIGTERM as it comes kills the process at once; nobody can be told, as after SIGKILL."""
    assert run("wait").strike(signal.SIGTERM).ends() == -signal.SIGTERM
    assert sandbox.stats().ended == 0


def test_leaving_takes_five_seconds_at_most() -> None:
    """The bound of all this, which the programs here are given a longer or a shorter one for."""
    assert LEAVE_WITHIN == 5.0
