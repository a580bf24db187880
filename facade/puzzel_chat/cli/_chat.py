"""`puzzel-chat chat`: one conversation, from the queue to its end."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from uuid import uuid4

from attrs import Factory, define, field, frozen

from puzzel_chat import (
    AsyncConversation,
    AsyncPuzzelChat,
    ConversationClosed,
    ConversationEnded,
    Customer,
    DeliveryUnknown,
    InvalidArgument,
    PuzzelChatError,
    Role,
)
from puzzel_chat.cli._options import ServiceOptions
from puzzel_chat.cli._output import CliError, Exit, Output, error_text, exit_code, on_a_terminal
from puzzel_chat.cli._sandbox import start_sandbox
from puzzel_chat.cli._typing import PAUSE, Typing, is_command
from puzzel_chat.cli._ui import UI, InputClosed, Interrupted, PlainUI, TerminalUI
from puzzel_chat.sandbox import NOTICE, Sandbox

LAST_POLLS = 3.0
"""Seconds to wait for the last events after the end of the chat."""
HELP = """\
What you write goes to the agent when you press Enter.
   /end    ends the chat (so does Ctrl-D; Ctrl-C too, with exit code 130)
   /help   shows this
   //text  sends a line that begins with a slash"""


@frozen
class ChatOptions:
    """The options of `chat`; times in seconds."""

    queue_key: str
    visual_queue_id: str | None
    wait: float
    linger: float
    customer: Customer = field(repr=False)
    variables: Mapping[str, str] = field(repr=False)
    subject: str | None = field(repr=False)


def run_chat(service: ServiceOptions | None, options: ChatOptions, output: Output) -> Exit:
    """Chat with an agent of the service; of a simulated contact centre when `service` is None."""
    chosen = str(uuid4())
    ui: UI = TerminalUI(output) if on_a_terminal() and not output.json else PlainUI(output, chosen)
    try:
        return asyncio.run(_run(service, options, chosen, ui))
    except asyncio.CancelledError:
        return Exit.INTERRUPTED
    except (PuzzelChatError, CliError) as error:
        ui.show_error(error)
        raise


async def _run(service: ServiceOptions | None, options: ChatOptions, conversation_id: str, ui: UI) -> Exit:
    _cancel_on_signals()
    async with AsyncExitStack() as stack:
        if service is not None:
            chat = AsyncPuzzelChat.from_env(store=None, **service)
        else:
            sandbox = stack.enter_context(start_sandbox(Sandbox))
            ui.say(f'{NOTICE}; write "help" to the agent')
            chat = AsyncPuzzelChat(**sandbox.settings, poll_interval=0.5)
        await stack.enter_async_context(chat)
        return await _converse(chat, options, conversation_id, ui)


def _cancel_on_signals() -> None:
    """Make a closed terminal or a `kill` leave the queue as Ctrl-C does."""
    task = asyncio.current_task()
    for name in ("SIGTERM", "SIGHUP"):
        if task is not None and hasattr(signal, name):
            with suppress(NotImplementedError):  # on Windows a loop has no signals
                asyncio.get_running_loop().add_signal_handler(getattr(signal, name), task.cancel)


async def _converse(chat: AsyncPuzzelChat, options: ChatOptions, conversation_id: str, ui: UI) -> Exit:
    """Wait for an agent and chat; whatever happens, the queue is left or the chat is ended."""
    conversation = await chat.start(
        options.queue_key,
        options.visual_queue_id,
        customer=options.customer,
        variables=options.variables,
        subject=options.subject,
        wait=0,
        conversation_id=conversation_id,
    )
    assigned = False
    try:
        async with conversation:
            await _wait_for_agent(conversation, options.wait, ui)
            assigned = True
            return await ChatLoop(conversation, ui, options.linger).run()
    except asyncio.CancelledError:
        ui.say(_farewell(conversation, assigned))
        raise
    except (Interrupted, InputClosed) as error:
        # An assigned chat was ended by the loop, which said so.
        if not assigned:
            ui.say(_farewell(conversation, assigned))
        return Exit.INTERRUPTED if isinstance(error, Interrupted) else Exit.OK


async def _wait_for_agent(conversation: AsyncConversation, seconds: float, ui: UI) -> None:
    search = asyncio.create_task(conversation.wait_for_agent(seconds, ui.show_allocation))
    try:
        await ui.wait(search)
    finally:
        # A cancelled search leaves the queue before it ends.
        search.cancel()
        await asyncio.wait([search])
    search.result()


def _farewell(conversation: AsyncConversation, assigned: bool) -> str:
    if not conversation.ended:
        return "the service could not be told; it may keep your place for a while"
    return "you ended the chat" if assigned else "you left the queue"


@define
class TypingCalls:
    """Tell the agent of the typing, beside the prompt: one call at a time, and the newest wish wins.

    A call that fails or takes long is given up: typing is a courtesy.
    """

    tell: Callable[[bool], Awaitable[None]]
    _typing: Typing = field(factory=Typing, init=False)
    _news: asyncio.Event = field(factory=asyncio.Event, init=False)
    _call: asyncio.Timeout | None = field(default=None, init=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make the calls while the block runs; none is left at its end."""
        telling = asyncio.create_task(self._run())
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.wait([telling])

    def changed(self, text: str) -> None:
        """Note the text that the customer has written so far."""
        self._typing.changed(text, asyncio.get_running_loop().time())
        self._news.set()

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Tell nothing from now until the next change; a call under way is given up, lest it arrive after the line."""
        self._typing.entered()
        if self._call is not None and not self._call.expired():
            self._call.reschedule(0)
        yield
        self._typing.sent()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            if (is_typing := self._typing.next(loop.time())) is not None:
                await self._tell(is_typing)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._typing.until()):
                    await self._news.wait()

    async def _tell(self, is_typing: bool) -> None:
        try:
            async with asyncio.timeout(PAUSE) as self._call:
                await self.tell(is_typing)
        except (PuzzelChatError, TimeoutError):
            pass
        finally:
            self._call = None


@define
class ChatLoop:
    """Send what the customer writes and show what comes in, until either side ends the chat."""

    conversation: AsyncConversation
    ui: UI
    linger: float
    worst: Exit = Exit.OK
    ending: bool = False
    ended_by: Role | None = None
    typing: TypingCalls = Factory(lambda self: TypingCalls(self.conversation.typing), takes_self=True)

    async def run(self) -> Exit:
        """Return the exit code at the end of the chat."""
        reading = asyncio.create_task(self._read())
        writing = asyncio.create_task(self._write())
        try:
            await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                await self._end(reading, writing)
        finally:
            reading.cancel()
            writing.cancel()
            await asyncio.wait([reading, writing])
        for task in (reading, writing):
            if not task.cancelled() and (error := task.exception()):
                raise error
        return self.worst

    async def _end(self, reading: asyncio.Task[None], writing: asyncio.Task[None]) -> None:
        """End the chat after the customer's last line, and show the last events."""
        if writing.exception() is None and self.linger:
            await asyncio.wait([reading], timeout=self.linger)
        self.ending = not reading.done()
        await self.conversation.end()
        await asyncio.wait([reading], timeout=LAST_POLLS)
        theirs = isinstance(writing.exception(), ConversationClosed) or self.ended_by not in (None, Role.CUSTOMER)
        if self.ending and not theirs:
            self.ui.say("you ended the chat")

    async def _read(self) -> None:
        async with aclosing(self.conversation.events()) as events:
            async for event in events:
                self.ui.show(event)
                if isinstance(event, ConversationEnded):
                    self.ended_by = event.by
        if self.ended_by is Role.CUSTOMER and not self.ending:
            self.ui.say("the chat was ended from your side")

    async def _write(self) -> None:
        async with self.typing.running(), aclosing(self.ui.lines(self.typing.changed)) as lines:
            async for line in lines:
                if line.strip() == "/end":
                    return
                if line.strip():
                    await self._handle(line)

    async def _handle(self, line: str) -> None:
        if line.strip() == "/help":
            self.ui.say(HELP)
        elif is_command(line):
            self.ui.say(f"there is no {line.split()[0]}; /help lists the commands")
        else:
            await self._send(line.removeprefix("/"))

    async def _send(self, text: str) -> None:
        try:
            with self.typing.sending():
                await self.conversation.send(text)
        except ConversationClosed:
            raise
        except PuzzelChatError as error:
            # A person reads the message and can write again; a program is stopped.
            if not (self.ui.interactive or isinstance(error, DeliveryUnknown)):
                raise
            self.worst = exit_code(error) or Exit.FAILED
            self.ui.show_error(error)
            failed = "was not sent" if isinstance(error, InvalidArgument) else "may not have arrived"
            self.ui.say(f"this line {failed}: {error_text(error)}")
