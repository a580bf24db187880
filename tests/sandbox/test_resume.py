"""A chat survives its process: killed with SIGKILL at any moment, another process goes on; two at once do not meet."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from blocking import settings
from puzzel_chat import ConversationEnded, DeliveryUnknown, SessionInUse, SQLiteStore
from puzzel_chat.sandbox import SEMANTICS, Fault, Sandbox, Semantics
from soak import kills

Connect = Callable[..., Any]
WORKER = Path(__file__).with_name("chat_worker.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize(
    ("rounds", "semantics"), [(2, "cursor"), *(pytest.param(40, one, marks=pytest.mark.slow) for one in SEMANTICS)]
)
def test_killed_and_resumed(rounds: int, semantics: Semantics) -> None:
    """Killed again and again, in each client and a loop: nothing lost or doubled, in order, one message in hand again.

    Where a poll takes messages away (drain), the reply to one that is under way when the process dies is lost, which
    no client can mend; there the kill waits until it is written down. `make soak RUN=kills` is the long form.
    """
    rows = kills.run(rounds, 7, semantics)
    assert [row.why for row in rows if row.bad] == []
    assert sum(row.kills for row in rows)
    assert sum(row.messages for row in rows)


def born(sandbox: Sandbox, store: Path, session_id: str = "") -> subprocess.Popen[str]:
    """Start a process that wants the session."""
    command = [sys.executable, str(WORKER), json.dumps(settings(sandbox)), str(store), session_id]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    """What it prints next."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_two_processes_do_not_get_one_session(tmp_path: Path) -> None:
    """One has it, the other is told who; the next one gets it when the first is killed, or when it is done."""
    store = tmp_path / "sessions.db"
    with Sandbox(script="helpful", pace=0.02) as sandbox:
        first = born(sandbox, store)
        session_id = said(first)
        with born(sandbox, store, session_id) as second:
            assert said(second).startswith(f"in use: Session {session_id} is in use by process {first.pid} on ")
        first.kill()
        first.communicate()
        third = born(sandbox, store, session_id)
        assert said(third) == session_id
        third.communicate("done\n")
        with born(sandbox, store, session_id) as fourth:
            assert said(fourth) == session_id
            fourth.communicate("done\n")
        assert third.returncode == fourth.returncode == 0
        assert sandbox.stats().ended == 0


def test_a_shared_session_does_all_but_take_the_mail(connect: Connect, tmp_path: Path) -> None:
    """Beside the owner another object asks, routes, waits, writes and ends; what comes of it comes to the owner."""
    store = SQLiteStore(tmp_path / "sessions.db")
    with Sandbox(script="helpful", pace=0.02) as sandbox:
        owner = connect(**settings(sandbox), store=store).connect()
        shared = connect(**settings(sandbox), store=store).resume(owner.id, shared=True)
        assert shared.queue_info(sandbox.visual_queue_id).is_open
        conversation = shared.conversation("both")
        conversation.route("support")
        conversation.wait_for_agent(20)
        conversation.typing()
        sent = conversation.send("Hello")
        for call in (
            shared.poll,
            lambda: next(iter(conversation.events())),
            lambda: next(iter(conversation.messages())),
        ):
            with pytest.raises(SessionInUse, match="shared=True"):
                call()
        shared.close()
        mine = owner.conversation("both")
        mine.end()
        told = list(mine.events())
        assert sent.id in {event.id for event in told}
        assert isinstance(told[-1], ConversationEnded)
        assert sandbox.stats().ended == 1
    store.close()


@pytest.mark.slow
def test_a_shared_session_does_not_hear_what_became_of_a_lost_message(connect: Connect, tmp_path: Path) -> None:
    """The echo of a message comes to the owner; an object beside it cannot tell whether the message arrived."""
    store = SQLiteStore(tmp_path / "sessions.db")
    with Sandbox(script="helpful", pace=0.02) as sandbox:
        owner = connect(**settings(sandbox), store=store).start("support", wait=20).session
        shared = connect(**settings(sandbox), store=store).resume(owner.id, shared=True)
        (conversation,) = shared.conversations
        sandbox.faults(Fault.drop("sendMessage", after=True, times=1))
        with pytest.raises(DeliveryUnknown):
            conversation.send("Hello")
    store.close()


@pytest.mark.parametrize("semantics", SEMANTICS)
def test_killed_between_the_two_writes_of_an_end(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, semantics: Semantics
) -> None:
    """That the end was seen is written before it is crossed out, so that the next process knows it in any case."""
    store = SQLiteStore(tmp_path / "sessions.db")
    with Sandbox(script="helpful", pace=0, semantics=semantics) as sandbox:
        conversation = connect(**settings(sandbox), store=store).start("support", wait=20)
        conversation.send("end chat")
        order: list[str] = []

        def noted(name: str, write: Callable[..., Any]) -> Callable[..., Any]:
            def noting(*args: Any) -> Any:
                order.append(name)
                return write(*args)

            return noting

        for name in ("acknowledge", "save_conversation"):
            monkeypatch.setattr(store, name, noted(name, getattr(store, name)))
        list(conversation.events())
    assert order[-2:] == ["save_conversation", "acknowledge"]
    store.close()
