"""`puzzel-chat chat`: where the chat is held, and for whom it looks how."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, suppress

from puzzel_chat import AsyncPuzzelChat
from puzzel_chat.cli._chat import Wish, hold
from puzzel_chat.cli._embedded import started
from puzzel_chat.cli._exits import CliError, Exit
from puzzel_chat.cli._faces import Face, PlainFace
from puzzel_chat.cli._output import Output, on_a_terminal
from puzzel_chat.cli._settings import Given
from puzzel_chat.cli._terminal import TerminalFace
from puzzel_chat.sandbox import NOTICE, Sandbox


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
