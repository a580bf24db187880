"""An agent's desk that a test drives; with `--headed` a browser shows what happens there."""

from __future__ import annotations

import time
import webbrowser
from collections.abc import Callable, Generator
from contextlib import contextmanager

from puzzel_chat.pages import Pages
from puzzel_chat.sandbox import AgentHandle, Sandbox

LOOK = 0.01
"""Seconds between two looks for an offer."""
BROWSER = 15.0
"""Seconds that a browser has to open the desk; without one the test goes on."""


class Desk:
    """The desk of one agent, who takes the chats that customers ask for.

    `accept` gives an `AgentHandle`, which can do everything in that chat; `say` and `end` go to the last one accepted.

    Args:
        sandbox: the contact centre.
        name: the agent's name.
        patience: how long to wait for an offer, in seconds.
        slow_down: called after each action, so that a person can follow it.
        passing: waits that many seconds.

    """

    def __init__(
        self,
        sandbox: Sandbox,
        name: str = "Kari",
        *,
        patience: float = 10.0,
        slow_down: Callable[[], object] = lambda: None,
        passing: Callable[[float], object] = time.sleep,
    ) -> None:
        self._sandbox, self._patience, self._slow_down, self._passing = sandbox, patience, slow_down, passing
        self.name, self._person = name, sandbox.person(name)
        self._current: AgentHandle | None = None

    def accept(self) -> AgentHandle:
        """Wait for an offer and accept it; return the agent of that chat.

        Raises:
            TimeoutError: no offer came.

        """
        self._current = self._offered()
        self._current.accept()
        self._slow_down()
        return self._current

    def decline(self) -> None:
        """Wait for an offer and decline it; it comes again if nobody else takes it.

        Raises:
            TimeoutError: no offer came.

        """
        self._offered().decline()
        self._slow_down()

    def say(self, text: str) -> str:
        """Write to the customer and return the id of the message.

        Raises:
            RuntimeError: no chat was accepted, or it is over.

        """
        said = self.chat.say(text)
        self._slow_down()
        return said

    def end(self) -> None:
        """End the chat.

        Raises:
            RuntimeError: no chat was accepted, or it is over.

        """
        self.chat.end()
        self._slow_down()

    @property
    def chat(self) -> AgentHandle:
        """The agent of the chat that was accepted last.

        Raises:
            RuntimeError: none was.

        """
        if self._current is None:
            raise RuntimeError("accept a chat first")
        return self._current

    def _offered(self) -> AgentHandle:
        self._person.set_ready(True)  # the browser's tab may have been closed
        waited = 0.0
        while (offer := self._person.offer) is None:
            if waited >= self._patience:
                raise TimeoutError(f"no chat was offered to {self.name} within {self._patience:g} s")
            self._passing(LOOK)
            waited += LOOK
        return self._sandbox.agent(offer)


@contextmanager
def shown(sandbox: Sandbox, name: str) -> Generator[Pages]:
    """Open the desk in the browser of this machine, and wait until it is there."""
    with Pages(sandbox) as pages:
        webbrowser.open(f"{pages.desk_url}&agent={name}")
        deadline = time.monotonic() + BROWSER
        while not pages.tabs(name) and time.monotonic() < deadline:
            time.sleep(LOOK)
        yield pages
