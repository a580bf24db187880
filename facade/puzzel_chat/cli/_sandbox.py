"""`puzzel-chat sandbox`: a simulated contact centre that runs until Ctrl-C."""

from __future__ import annotations

import html
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import define, field

from puzzel_chat.cli._options import PREFIX
from puzzel_chat.cli._output import CliError, Exit, Output, on_a_terminal, one_line
from puzzel_chat.sandbox import NOTICE, AgentHandle, Happening, Order, Sandbox

if TYPE_CHECKING:
    from puzzel_chat.pages import Pages

TICK = 0.2
MARGIN = 10
"""Columns before what belongs to the line above."""
QUEUES: Mapping[str, str] = {
    "support": "open",
    "closed": "opens at 08:00 UTC",
    "full": "takes no more chats",
    "nobody": "no agent at work",
    "unknown-hours": "does not say whether it is open",
    "silent": "open, but no agent ever answers",
}
HELP = """\
You are the agent. What you write goes to the current chat.
   /accept      take the chat           /decline     pass it to another agent
   /edit TEXT   change your last line   /typing      show that you type
   /leave       put the customer back   /end         end the chat
   /use N       switch to chat N        /help        show this
   Ctrl-C       stop the contact centre"""
CREDENTIALS = ("grant_type", "client_id", "client_secret")
"""What a client must be told, too, where the sandbox is."""


def run_sandbox(arguments: Mapping[str, Any], pages_port: int | None, person: bool, output: Output) -> Exit:
    """Serve until Ctrl-C or SIGTERM, the usual ways to stop it; without a `pages_port` there are no pages."""
    printer = HappeningPrinter(output)
    agent = ManualAgent(output, printer.number) if person else None

    def watch(happening: Happening) -> None:
        printer.print(happening)
        if agent is not None:
            agent.follow(happening)

    if person:
        arguments = {**arguments, "script": "manual"}
    sandbox = start_sandbox(lambda: Sandbox(**arguments, on_event=watch))
    try:
        with nullcontext() if pages_port is None else start_pages(sandbox, pages_port) as pages:
            _print_introduction(sandbox, pages, arguments, output)
            _serve_until_stopped(sandbox, agent)
    finally:
        sandbox.close()
        _print_summary(sandbox, output)
    return Exit.OK


def start_sandbox(make: Callable[[], Sandbox]) -> Sandbox:
    """Make and start a sandbox. Raise `CliError` for a missing extra, a wrong option or a taken port."""
    try:
        return make().start()
    except (ImportError, ValueError) as error:
        raise CliError(str(error)) from None
    except OSError as error:
        text = f"the sandbox cannot listen there ({error.strerror}); choose another --port or --identity-port, or 0"
        raise CliError(text) from None


def start_pages(sandbox: Sandbox, port: int) -> Pages:
    """Start the pages of a sandbox. Raise `CliError` for a missing extra or a taken port."""
    try:
        from puzzel_chat.pages import Pages

        return Pages(sandbox, port=port).start()
    except ImportError as error:
        raise CliError(f"{error}; or use --no-pages") from None
    except OSError as error:
        text = f"the pages cannot be served there ({error.strerror}); choose another --pages-port, or --no-pages"
        raise CliError(text) from None


def _serve_until_stopped(sandbox: Sandbox, agent: ManualAgent | None) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stop = threading.Event()
    threading.Thread(target=_tick, args=(sandbox, stop), daemon=True).start()
    try:
        if agent is not None:
            agent.play(sandbox)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        stop.set()


def _tick(sandbox: Sandbox, stop: threading.Event) -> None:
    # The simulator moves on only when it is asked something.
    while not stop.wait(TICK):
        sandbox.stats()


def _print_introduction(sandbox: Sandbox, pages: Pages | None, arguments: Mapping[str, Any], output: Output) -> None:
    queues = dict(sandbox.queues())
    exports = {
        "PUZZEL_CHAT_BASE_URL": sandbox.base_url,
        "PUZZEL_CHAT_IDENTITY_URL": sandbox.identity_url,
        "PUZZEL_CHAT_SOLUTION_ID": sandbox.solution_id,
        "PUZZEL_CHAT_QUEUE_KEY": sandbox.queue_key,
        "PUZZEL_CHAT_VISUAL_QUEUE_ID": sandbox.visual_queue_id,
        **{f"{PREFIX}{name.upper()}": arguments[name] for name in CREDENTIALS if name in arguments},
    }
    addresses = {} if pages is None else {"customer": pages.url, "desk": pages.desk_url, "control": pages.control_url}
    listening = {"event": "listening", "notice": NOTICE, **sandbox.settings, "pages": addresses}
    output.record({**listening, "queues": queues, "environment": exports})
    output.say(f"This is the {NOTICE}.\n", "bold")
    output.say(f"Communication  {sandbox.base_url}")
    output.say(f"Identity       {sandbox.identity_url}")
    output.say(f"Solution id    {sandbox.solution_id}")
    if pages is not None:
        output.say("\nTo see it, open the agent's desk; the customer's page and the control room are linked there:")
        output.say(pages.desk_url, "bold")
    output.say(f"\n{'Queue key':14} {'visual id':10}")
    for key, visual_id in queues.items():
        output.say(f"{key:14} {visual_id:10} {QUEUES.get(key, '')}".rstrip())
    output.say("\nIn the shell of the client:\n")
    for name, value in exports.items():
        output.say(f"  export {name}={value}")
    output.say(f"\nThen, for example: puzzel-chat chat {sandbox.queue_key}\nCtrl-C stops it.\n")


def _print_summary(sandbox: Sandbox, output: Output) -> None:
    stats = sandbox.stats()
    counts = {"requests": stats.total_requests, "chats": stats.routed, "messages": stats.messages}
    text = ", ".join(f"{name}: {number}" for name, number in counts.items())
    output.show({"event": "stopped", **counts}, f"\nStopped. {text}.")


@define
class HappeningPrinter:
    """Print what happens in the contact centre; conversations get short numbers."""

    output: Output
    numbers: dict[str, int] = field(factory=dict[str, int])

    def number(self, conversation_id: str) -> int:
        """Return the short number of a conversation."""
        return self.numbers.setdefault(conversation_id, len(self.numbers) + 1)

    def print(self, happening: Happening) -> None:
        """Print a happening."""
        at = datetime.fromtimestamp(happening.at, UTC)
        role = happening.role.name.lower() if happening.role is not None else None
        record: dict[str, object] = {
            "event": happening.kind,
            "at": at.isoformat(),
            "conversation_id": happening.conversation_id,
            "agent": happening.agent,
            "role": role,
            "text": happening.text,
        }
        order = happening.order
        if order is not None:
            record["order"] = order_record(order)
        key = happening.conversation_id
        place = f"chat {self.number(key)}" if key else "service"
        self.output.show(record, f"{at.astimezone():%H:%M:%S}  {place:8} {_text(happening, role or '')}")
        for depth, line in () if order is None else order_lines(order):
            self.output.say(line, indent=MARGIN + depth)


def order_record(order: Order) -> dict[str, object]:
    """Return what came with a chat, for programs; a value that is to be hidden is null."""
    return {
        "queue_key": order.queue_key,
        "customer": order.customer,
        "subject": order.subject,
        "variables": [{**one, "value": None} if one.get("secret") else one for one in order.variables],
        "history": order.history,
    }


def order_lines(order: Order) -> Iterator[tuple[int, str]]:
    """Yield what came with a chat as lines that are safe to print, each with the columns that it stands further in."""
    yield 0, f"queue: {one_line(order.queue_key)}"
    for name, value in (order.customer or {}).items():
        yield 0, f"customer {name}: {one_line(value)}"
    if order.subject is not None:
        yield 0, f"subject: {one_line(order.subject)}"
    for variable in order.variables:
        value = "(secret)" if variable.get("secret") else one_line(str(variable["value"]))
        yield 0, f"variable {one_line(str(variable['name']))}: {value}"
    if order.history is not None:
        yield 0, "said before:"
        yield from ((2, one_line(line)) for line in order.history.splitlines())


def _text(happening: Happening, role: str) -> str:
    name = one_line(happening.agent, role)
    text = one_line(html.unescape(happening.text or ""))
    texts = {"message": f"{name}: {text}", "edited": f"{name} (edited): {text}", "ended": f"ended by the {role}"}
    return texts.get(happening.kind, f"{happening.kind} {name}".rstrip())


@define
class ManualAgent:
    """An agent, played by a person at this terminal."""

    output: Output
    number: Callable[[str], int]
    chats: dict[int, str] = field(factory=dict[int, str])
    current: int | None = None
    last_message: dict[str, str] = field(factory=dict[str, str])

    def follow(self, happening: Happening) -> None:
        """Make an offered chat the current one if there is none; forget the current one when it is over."""
        if not happening.conversation_id:
            return
        number = self.number(happening.conversation_id)
        if happening.kind == "offered":
            self.chats[number] = happening.conversation_id
            self.current = self.current or number
            first = "" if self.current == number else f"/use {number}, then "
            self.output.say(f"          chat {number} is offered to you: {first}/accept or /decline")
        elif happening.kind in ("ended", "cancelled", "expired") and number == self.current:
            self.current = None

    def play(self, sandbox: Sandbox) -> None:
        """Read lines and carry them out until the input ends."""
        self.output.say(HELP + "\n")
        for line in _prompted_lines() if on_a_terminal() else map(str.rstrip, sys.stdin):
            try:
                self._handle(sandbox, line.strip())
            except (LookupError, RuntimeError) as error:
                self.output.say(f"          not possible: {error.args[0] if error.args else error}")

    def _handle(self, sandbox: Sandbox, line: str) -> None:
        command, _, text = line.partition(" ")
        if command == "/help":
            self.output.say(HELP)
        elif command == "/use":
            self._use(text)
        elif line:
            self._act(self._current_agent(sandbox), command, text, line)

    def _act(self, agent: AgentHandle, command: str, text: str, line: str) -> None:
        actions: dict[str, Callable[[], None]] = {
            "/accept": agent.accept,
            "/decline": agent.decline,
            "/typing": agent.typing,
            "/leave": agent.leave,
            "/end": agent.end,
            "/edit": lambda: self._edit(agent, text),
        }
        if command in actions:
            actions[command]()
        elif command.startswith("/"):
            raise LookupError(f"there is no {command}; /help lists the commands")
        else:
            self.last_message[agent.conversation_id] = agent.say(line)

    def _edit(self, agent: AgentHandle, text: str) -> None:
        if not text or agent.conversation_id not in self.last_message:
            raise LookupError("write a line first, then /edit TEXT")
        agent.edit(self.last_message[agent.conversation_id], text)

    def _use(self, text: str) -> None:
        if not text.isdecimal() or int(text) not in self.chats:
            raise LookupError(f"no chat {text!r}; there are {', '.join(map(str, self.chats)) or 'none yet'}")
        self.current = int(text)

    def _current_agent(self, sandbox: Sandbox) -> AgentHandle:
        if self.current is None:
            raise LookupError("no current chat; start one with `puzzel-chat chat support` elsewhere, or /use N")
        return sandbox.agent(self.chats[self.current])


def _prompted_lines() -> Iterator[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.patch_stdout import patch_stdout

    prompt: PromptSession[str] = PromptSession("agent: ")
    with patch_stdout(raw=True):
        while True:
            try:
                yield prompt.prompt()
            except EOFError:
                return
