"""`puzzel-chat chat`: one conversation, from the queue to its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack, aclosing, suppress

from attrs import define, field, frozen

from puzzel_chat import (
    Allocation,
    AsyncConversation,
    AsyncPuzzelChat,
    ConversationClosed,
    ConversationEnded,
    DeliveryUnknown,
    PuzzelChatError,
    Role,
)
from puzzel_chat.cli._options import Given
from puzzel_chat.cli._output import CliError, Exit, Output, exit_code, in_words, on_a_terminal
from puzzel_chat.cli._sandbox import started
from puzzel_chat.cli._ui import Face, GivenUp, Interrupted, PlainFace, TerminalFace, Waiting
from puzzel_chat.sandbox import NOTICE, Sandbox

LAST_WORDS = 3.0
"""Seconds to wait, after the end, for what the service still has to tell."""
HELP = """\
What you write goes to the agent when you press Enter.
   /end    ends the chat (so does Ctrl-D; Ctrl-C too, with exit code 130)
   /help   shows this
   //text  sends a line that begins with a slash"""


def run_chat(given: Given | None, wish: Wish, output: Output) -> Exit:
    """Hold a chat at the service of these settings; without any, in a simulated contact centre."""
    face: Face = TerminalFace(output) if on_a_terminal() and not output.json else PlainFace(output)
    try:
        return asyncio.run(_held(given, wish, face, output))
    except asyncio.CancelledError:
        return Exit.INTERRUPTED


async def _held(given: Given | None, wish: Wish, face: Face, output: Output) -> Exit:
    _stop_on_signals()
    async with AsyncExitStack() as stack:
        if given is not None:
            chat = AsyncPuzzelChat.from_env(store=None, **given.set_options())
        else:
            sandbox = stack.enter_context(started(Sandbox))
            face.say(f'{NOTICE}; write "help" to the agent')
            chat = AsyncPuzzelChat(**sandbox.settings, poll_interval=0.5)
        await stack.enter_async_context(chat)
        return await hold(chat, wish, face, output)


def _stop_on_signals() -> None:
    """Let a closed terminal or a plain `kill` leave the queue as Ctrl-C does."""
    task = asyncio.current_task()
    for name in ("SIGTERM", "SIGHUP"):
        if task is not None and hasattr(signal, name):
            with suppress(NotImplementedError):  # on Windows a loop has no signals
                asyncio.get_running_loop().add_signal_handler(getattr(signal, name), task.cancel)


def pairs(given: list[str]) -> dict[str, str]:
    """Read name=value options."""
    parts = [text.partition("=") for text in given]
    for text, (name, separator, _) in zip(given, parts, strict=True):
        if not separator or not name.strip():
            raise CliError(f"--variable {text}: write name=value")
    return {name.strip(): value for name, _, value in parts}


@frozen
class Wish:
    """What the customer wants; times in seconds."""

    queue_key: str
    visual_queue_id: str | None = None
    wait: float = 120.0
    linger: float = 0.0
    customer: Mapping[str, str] = field(factory=dict[str, str], repr=False)
    variables: Mapping[str, str] = field(factory=dict[str, str], repr=False)


async def hold(chat: AsyncPuzzelChat, wish: Wish, face: Face, output: Output) -> Exit:
    """Hold the chat and give the exit code; whatever happens, the queue is left or the chat ended first."""
    conversation = await chat.start(
        wish.queue_key, wish.visual_queue_id, customer=wish.customer, variables=wish.variables, wait=0
    )
    talking = False
    try:
        async with conversation:
            await _wait(conversation, wish, face, output)
            talking = True
            return await Talk(conversation, face, wish.linger).hold()
    except asyncio.CancelledError:
        face.say(_farewell(conversation, talking))
        raise
    except (Interrupted, GivenUp) as error:
        if not talking:
            face.say(_farewell(conversation, talking))
        return Exit.INTERRUPTED if isinstance(error, Interrupted) else Exit.FINE


async def _wait(conversation: AsyncConversation, wish: Wish, face: Face, output: Output) -> Allocation:
    waiting = Waiting(output, face.live)
    task = asyncio.create_task(conversation.wait_for_agent(wish.wait, waiting.changed))
    try:
        await face.watch(waiting, task)
    finally:
        # A wait that is cancelled leaves the queue before it ends.
        task.cancel()
        await asyncio.wait([task])
    return task.result()


def _farewell(conversation: AsyncConversation, talking: bool) -> str:
    if not conversation.ended:
        return "the service could not be told; it may keep your place for a while"
    return "you ended the chat" if talking else "you left the queue"


@define
class Talk:
    """The conversation with an agent: one task reads, one writes, whichever ends first ends the other."""

    conversation: AsyncConversation
    face: Face
    linger: float = 0.0
    worst: Exit = Exit.FINE
    ending: bool = False
    ended_by: Role | None = None

    async def hold(self) -> Exit:
        """Talk until either side ends it, and give the exit code."""
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        try:
            await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                await self._finish(reading, writing)
        finally:
            reading.cancel()
            writing.cancel()
            await asyncio.wait([reading, writing])
        for task in (reading, writing):
            if not task.cancelled() and (error := task.exception()):
                raise error
        return self.worst

    async def _finish(self, reading: asyncio.Task[None], writing: asyncio.Task[None]) -> None:
        """End the chat after the last line, and show what the service still has."""
        if writing.exception() is None and self.linger:
            await asyncio.wait([reading], timeout=self.linger)
        self.ending = not reading.done()
        await self.conversation.end()
        await asyncio.wait([reading], timeout=LAST_WORDS)
        theirs = isinstance(writing.exception(), ConversationClosed) or self.ended_by not in (None, Role.CUSTOMER)
        if self.ending and not theirs:
            self.face.say("you ended the chat")

    async def _read(self) -> None:
        async with aclosing(self.conversation.events()) as events:
            async for event in events:
                self.face.show(event)
                if isinstance(event, ConversationEnded):
                    self.ended_by = event.by
        if self.ended_by is Role.CUSTOMER and not self.ending:
            self.face.say("the chat was ended from your side")

    async def _write(self) -> None:
        async with aclosing(self.face.lines()) as lines:
            async for text in lines:
                if text.strip() == "/end":
                    return
                if text.strip():
                    await self._obey(text)

    async def _obey(self, text: str) -> None:
        if text.strip() == "/help":
            self.face.say(HELP)
        elif text.startswith("/") and not text.startswith("//"):
            self.face.say(f"there is no {text.split()[0]}; /help tells what there is")
        else:
            await self._send(text.removeprefix("/"))

    async def _send(self, text: str) -> None:
        """Send a line; a person is told what went wrong and may go on, a program is stopped."""
        try:
            await self.conversation.send(text)
        except ConversationClosed:
            raise
        except PuzzelChatError as error:
            if not (self.face.live or isinstance(error, DeliveryUnknown)):
                raise
            self.worst = exit_code(error) or Exit.FAILED
            self.face.say(f"this line may not have arrived: {in_words(error)}")
