"""The two journeys of the map, counted by a profiler: how many calls lie on the way, and how many files of the facade.

Call-backs of the HTTP library count, too.
"""

from __future__ import annotations

import asyncio
import sys
from _socket import SocketType
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from attrs import define, field

import puzzel_chat
import puzzel_chat_api
from hostile import Asked, Said, Service
from puzzel_chat import AsyncPuzzelChat, PuzzelChat, SQLiteStore
from puzzel_chat.testing import VirtualTime

OURS = tuple(str(Path(str(package.__file__)).parent) for package in (puzzel_chat, puzzel_chat_api))
TOKENS = {"access_token": "a1", "refresh_token": "r1", "expires_in": 600, "token_type": "Bearer"}
QUEUE = {"id": 27504, "isOpen": True}


@define
class Walk:
    """What a profiler sees of our own code, generated code included, before a request is sent and after that."""

    before: list[str] = field(factory=list)
    after: list[str] = field(factory=list)
    seen: set[FrameType] = field(factory=set)

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        """Note a call, or that the request goes into its socket."""
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(OURS) and "testing" not in name and frame not in self.seen:
            self.seen.add(frame)  # a workflow that goes on after a step is no new call
            self.after.append(f"{name}:{frame.f_code.co_qualname}")
        elif event == "c_call" and getattr(argument, "__name__", "") in ("send", "sendall") and is_socket(argument):
            self.before += self.after
            self.after.clear()

    def during(self, work: Callable[[], Any]) -> Any:
        """Do the work and count."""
        sys.setprofile(self)
        try:
            return work()
        finally:
            sys.setprofile(None)


def is_socket(function: Any) -> bool:
    """Whether a built-in method is that of a socket."""
    return isinstance(getattr(function, "__self__", None), SocketType)


def written(calls: list[str]) -> list[str]:
    """The calls of code that a person wrote."""
    return [call for call in calls if call.startswith(OURS[0] + "/")]


def files(calls: list[str]) -> set[str]:
    """The files of the facade that were passed."""
    return {call.partition(".py:")[0].rpartition("/")[2] for call in written(calls)}


def answer(asked: Asked) -> Said:
    """A service whose poll brings one line of text each time."""
    if "token" in asked.path:
        return Said(TOKENS)
    if "queue" in asked.path:
        return Said(QUEUE)
    number = int(asked.path.rpartition("=")[2]) + 1 if "=" in asked.path else 1
    author = {"role": 1, "id": "ada", "displayName": "Ada"}
    line = {
        "type": "Text",
        "id": str(number),
        "conversationId": "a",
        "version": 1,
        "content": "Hello",
        "author": author,
    }
    return Said({"messages": [line | {"sentAt": "2026-11-23T12:00:00Z"}], "cursor": number})


@pytest.fixture
def settings(puzzel_time: VirtualTime) -> Any:
    """A client's settings for the service, in time that passes at once."""
    with Service(answer) as service:
        yield {"base_url": service.base_url, "solution_id": "7"}


def test_a_poll_reply_reaches_the_caller_on_a_short_way(settings: dict[str, Any]) -> None:
    """From the socket to the caller: read, judged, parsed, shared out, written down, handed out."""
    walk = Walk()
    with PuzzelChat(**settings) as chat, chat.connect() as session:
        messages = session.conversation("a").messages()
        assert [next(messages).id for _ in range(2)] == ["1", "2"]
        assert walk.during(lambda: next(messages)).id == "3"
    assert len(walk.after) < 90, walk.after
    assert len(files(walk.after)) < 12, sorted(files(walk.after))


def test_a_poll_reply_reaches_an_awaiting_caller_on_a_short_way(settings: dict[str, Any]) -> None:
    """The same for the other shell, which reaches a store in a way of its own."""
    walk = Walk()

    async def scenario() -> str:
        async with AsyncPuzzelChat(**settings) as chat, await chat.connect() as session:
            messages = session.conversation("a").messages()
            assert [(await anext(messages)).id for _ in range(2)] == ["1", "2"]
            sys.setprofile(walk)
            try:
                return (await anext(messages)).id
            finally:
                sys.setprofile(None)

    assert asyncio.run(scenario()) == "3"
    assert len(walk.after) < 100, walk.after
    assert len(written(walk.after)) < 85, written(walk.after)
    assert len(files(walk.after)) < 13, sorted(files(walk.after))


def test_a_stored_token_reaches_the_header_on_a_short_way(settings: dict[str, Any], tmp_path: Path) -> None:
    """From the file to the Authorization header: a resume, each look into the store a step of its own; and a call."""
    walk, path = Walk(), tmp_path / "chats.db"
    with (
        PuzzelChat(**settings, store=SQLiteStore(path)) as first,
        PuzzelChat(**settings, store=SQLiteStore(path)) as chat,
    ):
        kept = first.connect()
        chat.connect().queue_info("27504")
        assert walk.during(lambda: chat.resume(kept.id, shared=True).queue_info("27504")).is_open
    assert len(walk.before) < 80, walk.before
    assert len(files(walk.before)) < 11, sorted(files(walk.before))
