"""The face on a terminal: a live line while waiting, and a prompt above which incoming lines appear."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from attrs import define
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.patch_stdout import patch_stdout

from puzzel_chat import AgentTyping, Allocation, ConnectionDegraded, ConnectionRecovered, Event
from puzzel_chat.cli._faces import GivenUp, Interrupted, Waiting, own
from puzzel_chat.cli._output import Output
from puzzel_chat.cli._render import allocation_line, line
from puzzel_chat.cli._words import duration

REFRESH = 0.5
BARE = "/end ends the chat, /help tells more"


@define
class TerminalFace:
    """A person at a terminal."""

    output: Output
    live: bool = True
    toolbar: str = BARE

    async def watch(self, waiting: Waiting, task: asyncio.Task[Allocation]) -> None:
        """Show position, estimated wait and elapsed time until the task is done or a key ends the wait."""
        display = asyncio.create_task(_live_line(waiting).run_async())
        try:
            await asyncio.wait([display, task], return_when=asyncio.FIRST_COMPLETED)
        finally:
            display.cancel()
            await asyncio.wait([display])
        if not display.cancelled():
            raise display.result()

    async def lines(self) -> AsyncGenerator[str]:
        """Prompt for lines; what comes in meanwhile appears above."""
        prompt: PromptSession[str] = PromptSession(
            "you: ", bottom_toolbar=lambda: self.toolbar, refresh_interval=REFRESH
        )
        while True:
            try:
                with patch_stdout(raw=True):
                    text = await prompt.prompt_async()
            except KeyboardInterrupt:
                raise Interrupted from None
            except EOFError:
                return
            yield text

    def show(self, event: Event) -> None:
        """Print an event above the prompt; what the person wrote stands there already."""
        self._note(event)
        text = line(event)
        if text is not None and not own(event):
            self.output.say(text)

    def say(self, words: str) -> None:
        """Print a line of our own."""
        self.output.say(f"-- {words}", "dim")

    def _note(self, event: Event) -> None:
        if isinstance(event, AgentTyping):
            self.toolbar = "the agent is typing ..." if event.is_typing else BARE
        elif isinstance(event, ConnectionDegraded):
            self.toolbar = "no connection for now; trying again"
        elif isinstance(event, ConnectionRecovered) or event.author.is_agent:
            self.toolbar = BARE


def _live_line(waiting: Waiting) -> Application[Exception]:
    def words() -> str:
        told = allocation_line(waiting.last) if waiting.last else "asking for an agent"
        return f"{told}; {duration(waiting.elapsed)} elapsed (Ctrl-C leaves)"

    keys = KeyBindings()

    @keys.add("c-c")
    @keys.add("<sigint>")
    def _interrupt(event: KeyPressEvent) -> None:
        event.app.exit(result=Interrupted())

    @keys.add("c-d")
    def _give_up(event: KeyPressEvent) -> None:
        event.app.exit(result=GivenUp())

    window = Window(FormattedTextControl(words, show_cursor=False), height=1)
    return Application(Layout(window), key_bindings=keys, refresh_interval=REFRESH, erase_when_done=True)
