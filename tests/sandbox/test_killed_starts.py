"""A process that is killed with SIGKILL during `start()`: whatever it left, the next one finds and ends.

The kill comes when the service has received a certain request, which the service tells; the reply is held back.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from blocking import settings
from puzzel_chat import Conflict, ConversationClosed, Life, NotFound, SQLiteStore
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing import VirtualTime
from quick import quick_only
from waiting import Held, until

Connect = Callable[..., Any]
WORKER = Path(__file__).with_name("chat_worker.py")
QUICK = [("routeConversation", False, "sync"), ("routeConversation", True, "async")]
OPERATIONS = [
    ("connectToken", True),
    ("getQueueInfo", False),
    ("routeConversation", False),
    ("routeConversation", True),
]
OPERATIONS += [("routeConversation", True), ("getRequestStatus", False)]
MOMENTS = [(*operation, kind) for operation in OPERATIONS for kind in ("sync", "async")]


LONG = 600.0


class Holding(Held):
    """Tells when the service has read a whole request, or made its effect, and holds it back."""

    holds = False

    async def sleep(self, seconds: float) -> None:
        """Wait until the test lets go."""
        self.holds = self.holds or seconds == LONG
        await super().sleep(seconds)


@contextmanager
def killed(kind: str, store: Path, operation: str, after: bool, held: Holding) -> Iterator[Sandbox]:
    """A contact centre, some customer of which was killed while it started a chat, before or after an effect."""
    fault = Fault.latency(LONG, operation, after=after, times=1)
    with Sandbox(script="silent", pace=0, faults=(fault,), sleep=held.sleep) as sandbox:
        told = json.dumps(settings(sandbox))
        command = [sys.executable, str(WORKER), told, str(store), f"start {kind} {sandbox.visual_queue_id}"]
        with subprocess.Popen(command) as process:
            until(lambda: held.holds or process.poll() is not None)
            assert process.poll() is None
            process.kill()
        try:
            yield sandbox
        finally:
            held.let_go()


@pytest.mark.parametrize(("operation", "after", "kind"), quick_only(QUICK, MOMENTS))
def test_what_a_killed_start_left_is_found_and_ended(
    connect: Connect, tmp_path: Path, kind: str, operation: str, after: bool
) -> None:
    """Another process lists it, takes it up and leaves the queue, whichever request was the last one."""
    held = Holding()
    with killed(kind, tmp_path / "chats.db", operation, after, held) as sandbox:
        store = SQLiteStore(tmp_path / "chats.db")
        chat = connect(**settings(sandbox), store=store)
        held.let_go()
        found = chat.sessions()
        assert len(found) == (operation != "connectToken")
        for info in found:
            assert not info.in_use
            talks = {"getQueueInfo": [], "getRequestStatus": [("mine", Life.OPEN)]}
            wanted: Any = talks.get(operation, [("mine", Life.ASKED)])
            assert [(one.id, one.life) for one in info.conversations] == wanted
            if operation == "routeConversation":
                until(lambda: sandbox.stats().routed)
            session = chat.resume(info.id)
            for conversation in session.conversations:
                conversation.end()
            session.close()
        assert chat.sessions() == ()
        assert sandbox.stats().routed == sandbox.stats().left_queue
        store.close()


@pytest.mark.parametrize("kind", quick_only(["async"], ["sync", "async"]))
def test_a_request_that_arrives_after_its_process_died_is_ended_too(
    connect: Connect, tmp_path: Path, kind: str
) -> None:
    """The service does not know the chat yet when it is to be ended: the end waits for it, for five seconds at most."""
    held = Holding()
    with (
        killed(kind, tmp_path / "chats.db", "routeConversation", False, held) as sandbox,
        ThreadPoolExecutor(1) as pool,
    ):
        store = SQLiteStore(tmp_path / "chats.db")
        chat = connect(**settings(sandbox), store=store)
        (info,) = chat.sessions()
        (conversation,) = chat.resume(info.id).conversations
        ending = pool.submit(conversation.end)
        until(lambda: sandbox.stats().requests.get("endConversation"))
        held.let_go()
        ending.result(timeout=60)
        until(lambda: sandbox.stats().routed == sandbox.stats().left_queue == 1)
        store.close()


@pytest.mark.slow
def test_a_killed_start_can_be_gone_on_with(connect: Connect, tmp_path: Path) -> None:
    """Asking again is safe: what was taken is found, and what was not is asked for."""
    for number, after in enumerate((False, True)):
        held, path = Holding(), tmp_path / f"{number}.db"
        with killed("sync", path, "routeConversation", after, held) as sandbox:
            store = SQLiteStore(path)
            chat = connect(**settings(sandbox), store=store)
            (conversation,) = chat.resume(chat.sessions()[0].id).conversations
            if not after:
                with pytest.raises(NotFound):
                    conversation.allocation()
            conversation.route("support")
            held.let_go()
            assert [one.life for one in chat.sessions()[0].conversations] == [Life.OPEN]
            conversation.end()
            assert sandbox.stats().left_queue == 1
            store.close()


def test_reading_a_chat_that_was_never_routed_says_so(
    connect: Connect, tmp_path: Path, puzzel_time: VirtualTime
) -> None:
    """After a crash nobody waits for ever for the events of a chat that the service has never heard of."""
    path = tmp_path / "chats.db"
    store = SQLiteStore(path)
    with Sandbox(script="silent", pace=0, clock=puzzel_time.seconds) as sandbox:
        session = connect(**settings(sandbox), store=store).connect()
        sandbox.faults(Fault.drop("routeConversation"), Fault.status(500, "getRequestStatus"))
        with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it is
            session.conversation("mine").route("support")
        sandbox.faults()
        session.close()
        chat = connect(**settings(sandbox), store=store)
        (conversation,) = chat.resume(session.id).conversations
        with pytest.raises(NotFound):
            list(conversation.events())
    store.close()


@pytest.mark.parametrize("life", ["closed queue", "unknown queue", "refused"])
def test_a_refused_request_leaves_nothing_to_be_found(connect: Connect, tmp_path: Path, life: str) -> None:
    """What the service has certainly not taken is no chat that goes on, and may be asked for again."""
    store = SQLiteStore(tmp_path / "chats.db")
    with Sandbox(script="silent", pace=0) as sandbox:
        session = connect(**settings(sandbox), store=store).connect()
        conversation = session.conversation("mine")
        if life == "closed queue":
            sandbox.set_open("support", False)
        elif life == "refused":
            sandbox.faults(Fault.status(403, "routeConversation", times=1))
        with pytest.raises(Exception) as raised:  # noqa: PT011  # one of several
            conversation.route("nowhere" if life == "unknown queue" else "support")
        assert not isinstance(raised.value, Conflict | ConversationClosed)
        assert store.conversations(session.id) == {}
        assert list(session.conversations) == []
        conversation.end()
        assert "endConversation" not in sandbox.stats().requests
        sandbox.set_open("support", True)
        conversation.route("support")
        assert [one.life for one in store.conversations(session.id).values()] == [Life.OPEN]
        conversation.end()
        session.close()
        assert store.load(session.id) is None
    store.close()


def test_a_refused_request_does_not_take_back_the_one_of_another_object(connect: Connect, tmp_path: Path) -> None:
    """Two objects ask for the same chat: when the second is refused, the first one's chat stays in the store."""
    store = SQLiteStore(tmp_path / "chats.db")
    with Sandbox(script="silent", pace=0) as sandbox:
        owner = connect(**settings(sandbox), store=store).connect()
        shared = connect(**settings(sandbox), store=store).resume(owner.id, shared=True)
        owner.conversation("mine").route("support")
        sandbox.set_open("support", False)
        sandbox.faults(Fault.status(403, "routeConversation", times=1))
        with pytest.raises(Exception):  # noqa: B017, PT011  # whatever it is
            shared.conversation("mine").route("support")
        assert [one.life for one in store.conversations(owner.id).values()] == [Life.OPEN]
    store.close()
