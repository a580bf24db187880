"""A person at this terminal who plays the agent in the simulated contact centre."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from attrs import define, field
from prompt_toolkit import PromptSession
from prompt_toolkit.patch_stdout import patch_stdout

from puzzel_chat.cli._output import Output
from puzzel_chat.sandbox import AgentHandle, Happening, Sandbox

HELP = """\
You are the agent. What you write goes to the chat in hand.
   /accept      take the chat           /decline     pass it to another agent
   /edit TEXT   change your last line   /typing      show that you type
   /leave       put the customer back   /end         end the chat
   /use N       take chat N in hand     /help        show this
   Ctrl-C       stop the contact centre"""


@define
class Person:
    """Turns lines into what an agent does."""

    output: Output
    number: Callable[[str], int]
    chats: dict[int, str] = field(factory=dict[int, str])
    in_hand: int | None = None
    said: dict[str, str] = field(factory=dict[str, str])

    def notice(self, happening: Happening) -> None:
        """Follow what is offered: into the hand when that is free, else by its number."""
        if not happening.conversation_id:
            return
        number = self.number(happening.conversation_id)
        if happening.kind == "offered":
            self.chats[number] = happening.conversation_id
            self.in_hand = self.in_hand or number
            first = "" if self.in_hand == number else f"/use {number}, then "
            self.output.say(f"          chat {number} is offered to you: {first}/accept or /decline")
        elif happening.kind in ("ended", "cancelled", "expired") and number == self.in_hand:
            self.in_hand = None

    def play(self, sandbox: Sandbox, terminal: bool) -> None:
        """Read lines and obey them until the input ends."""
        self.output.say(HELP + "\n")
        for line in _prompted() if terminal else map(str.rstrip, sys.stdin):
            try:
                self.obey(sandbox, line.strip())
            except (LookupError, RuntimeError) as error:
                self.output.say(f"          not possible: {error.args[0] if error.args else error}")

    def obey(self, sandbox: Sandbox, line: str) -> None:
        """Do what one line says. Raises LookupError or RuntimeError when that is not possible now."""
        command, _, text = line.partition(" ")
        if command == "/help":
            self.output.say(HELP)
        elif command == "/use":
            self._use(text)
        elif line:
            self._act(self._handle(sandbox), command, text, line)

    def _act(self, agent: AgentHandle, command: str, text: str, line: str) -> None:
        deeds: dict[str, Callable[[], None]] = {
            "/accept": agent.accept,
            "/decline": agent.decline,
            "/typing": agent.typing,
            "/leave": agent.leave,
            "/end": agent.end,
            "/edit": lambda: self._edit(agent, text),
        }
        if command in deeds:
            deeds[command]()
        elif command.startswith("/"):
            raise LookupError(f"there is no {command}; /help tells what there is")
        else:
            self.said[agent.conversation_id] = agent.say(line)

    def _edit(self, agent: AgentHandle, text: str) -> None:
        if not text or agent.conversation_id not in self.said:
            raise LookupError("write a line first, then /edit TEXT")
        agent.edit(self.said[agent.conversation_id], text)

    def _use(self, text: str) -> None:
        if not text.isdecimal() or int(text) not in self.chats:
            raise LookupError(f"no chat {text!r}; there are {', '.join(map(str, self.chats)) or 'none yet'}")
        self.in_hand = int(text)

    def _handle(self, sandbox: Sandbox) -> AgentHandle:
        if self.in_hand is None:
            raise LookupError("no chat in hand; start one with `puzzel-chat chat support` elsewhere, or /use N")
        return sandbox.agent(self.chats[self.in_hand])


def _prompted() -> Iterator[str]:
    prompt: PromptSession[str] = PromptSession("agent: ")
    with patch_stdout(raw=True):
        while True:
            try:
                yield prompt.prompt()
            except EOFError:
                return
