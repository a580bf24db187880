"""`puzzel-chat sandbox`: a simulated contact centre that stays until Ctrl-C."""

from __future__ import annotations

import html
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import ParamSpec

from attrs import define, evolve, field, frozen

from puzzel_chat.cli._output import CliError, Exit, Output, on_a_terminal, one_line
from puzzel_chat.sandbox import NOTICE, AgentHandle, Fault, Happening, Sandbox, Semantics

TICK = 0.2
QUEUES: Mapping[str, str] = {
    "support": "open",
    "closed": "opens at 08:00 UTC",
    "full": "takes nobody more",
    "nobody": "no agent at work",
    "unknown-hours": "does not say whether it is open",
    "silent": "open, but no agent ever answers",
}
HELP = """\
You are the agent. What you write goes to the chat in hand.
   /accept      take the chat           /decline     pass it to another agent
   /edit TEXT   change your last line   /typing      show that you type
   /leave       put the customer back   /end         end the chat
   /use N       take chat N in hand     /help        show this
   Ctrl-C       stop the contact centre"""
OPERATIONS: Mapping[str, str] = {
    "any": "*",
    "token": "connectToken",
    "visitor": "authenticateVisitor",
    "queue": "getQueueInfo",
    "route": "routeConversation",
    "status": "getRequestStatus",
    "poll": "pollConversation",
    "send": "sendMessage",
    "typing": "sendTyping",
    "end": "endConversation",
    "time": "getTimeInfo",
}
PLAIN: Mapping[str, Callable[[str], Fault]] = {
    "drop": Fault.drop,
    "lost": lambda operation: Fault.drop(operation, after=True),
    "reset": Fault.reset,
    "reset-late": lambda operation: Fault.reset(operation, after=True),
    "half-read": Fault.half_read,
    "half-sent": Fault.half_sent,
    "head-only": Fault.head_only,
    "truncate": Fault.truncate,
    "hang": Fault.hang,
    "big": Fault.big,
    "bomb": Fault.bomb,
    "html": Fault.html_page,
    "bad-json": Fault.bad_json,
    "wrong-types": Fault.wrong_types,
    "unknown-enum": Fault.unknown_enum,
    "bad-item": Fault.bad_item,
    "nulls": Fault.nulls,
    "no-client-id": Fault.no_client_id,
    "revoked": Fault.revoked,
}
TIMED: Mapping[str, Callable[[float, str], Fault]] = {
    "latency": Fault.latency,
    "slow": Fault.slow_body,
    "endless": Fault.endless,
}
P = ParamSpec("P")


@frozen
class Centre:
    """How the contact centre is to be; times in seconds."""

    script: str = "helpful"
    semantics: Semantics = "cursor"
    no_content: bool = False
    port: int = 0
    identity_port: int | None = 0
    token_life: float = 900.0
    pace: float = 0.3
    ahead: int = 0
    faults: tuple[str, ...] = ()
    person: bool = False


@define
class Chronicle:
    """Prints happenings as they come; conversations get short numbers."""

    output: Output
    numbers: dict[str, int] = field(factory=dict[str, int])

    def number(self, conversation_id: str) -> int:
        """Give the short number of a conversation."""
        return self.numbers.setdefault(conversation_id, len(self.numbers) + 1)

    def tell(self, happening: Happening) -> None:
        """Print one."""
        at = datetime.fromtimestamp(happening.at, UTC)
        self.output.show(_record(happening, at), self._line(happening, at))

    def _line(self, happening: Happening, at: datetime) -> str:
        key = happening.conversation_id
        where = f"chat {self.number(key)}" if key else "service"
        return f"{at.astimezone():%H:%M:%S}  {where:8} {_words(happening)}"


def _words(happening: Happening) -> str:
    role = happening.role.name.lower() if happening.role is not None else ""
    who = one_line(happening.agent, role)
    text = one_line(html.unescape(happening.text or ""))
    by = {"message": f"{who}: {text}", "edited": f"{who} (edited): {text}", "ended": f"ended by the {role}"}
    return by.get(happening.kind, f"{happening.kind} {who}".rstrip())


def run_sandbox(centre: Centre, output: Output) -> Exit:
    """Serve until Ctrl-C or a termination signal; both are the way to stop it, so the code is 0."""
    chronicle = Chronicle(output)
    person = Person(output, chronicle.number) if centre.person else None

    def watch(happening: Happening) -> None:
        chronicle.tell(happening)
        if person is not None:
            person.notice(happening)

    sandbox = started(
        Sandbox,
        "manual" if centre.person else centre.script,
        semantics=centre.semantics,
        no_content=centre.no_content,
        port=centre.port,
        identity_port=centre.identity_port,
        token_life=centre.token_life,
        pace=centre.pace,
        ahead=centre.ahead,
        faults=tuple(map(parse_fault, centre.faults)),
        on_event=watch,
    )
    try:
        _introduce(sandbox, output)
        _until_stopped(sandbox, person)
    finally:
        sandbox.close()
        _sum_up(sandbox, output)
    return Exit.FINE


def _until_stopped(sandbox: Sandbox, person: Person | None) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stop = threading.Event()
    threading.Thread(target=_tick, args=(sandbox, stop), daemon=True).start()
    try:
        if person is not None:
            person.play(sandbox, on_a_terminal())
        threading.Event().wait()
    except KeyboardInterrupt:
        pass  # the way to stop it
    finally:
        stop.set()


def _tick(sandbox: Sandbox, stop: threading.Event) -> None:
    """Let things happen on time: the simulator itself moves only when it is asked something."""
    while not stop.wait(TICK):
        sandbox.stats()


def _introduce(sandbox: Sandbox, output: Output) -> None:
    queues = dict(sandbox.queues())
    exports = {
        "PUZZEL_CHAT_BASE_URL": sandbox.base_url,
        "PUZZEL_CHAT_IDENTITY_URL": sandbox.identity_url,
        "PUZZEL_CHAT_SOLUTION_ID": sandbox.solution_id,
        "PUZZEL_CHAT_QUEUE_KEY": sandbox.queue_key,
        "PUZZEL_CHAT_VISUAL_QUEUE_ID": sandbox.visual_queue_id,
    }
    output.record(
        {"event": "listening", "notice": NOTICE, **sandbox.settings, "queues": queues, "environment": exports}
    )
    output.say(f"This is the {NOTICE}.\n", "bold")
    output.say(f"Communication  {sandbox.base_url}")
    output.say(f"Identity       {sandbox.identity_url}")
    output.say(f"Solution id    {sandbox.solution_id}")
    output.say(f"\n{'Queue key':14} {'visual id':10}")
    for key, visual_id in queues.items():
        output.say(f"{key:14} {visual_id:10} {QUEUES.get(key, '')}".rstrip())
    output.say("\nIn the shell of the client:\n")
    for name, value in exports.items():
        output.say(f"  export {name}={value}")
    output.say(f"\nThen, for example: puzzel-chat chat {sandbox.queue_key}\nCtrl-C stops it.\n")


def _sum_up(sandbox: Sandbox, output: Output) -> None:
    stats = sandbox.stats()
    counts = {"requests": stats.total_requests, "chats": stats.routed, "messages": stats.messages}
    words = ", ".join(f"{name}: {number}" for name, number in counts.items())
    output.show({"event": "stopped", **counts}, f"\nStopped. {words}.")


def _record(happening: Happening, at: datetime) -> dict[str, object]:
    return {
        "event": happening.kind,
        "at": at.isoformat(),
        "conversation_id": happening.conversation_id,
        "agent": happening.agent,
        "role": happening.role.name.lower() if happening.role is not None else None,
        "text": happening.text,
    }


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
    from prompt_toolkit import PromptSession
    from prompt_toolkit.patch_stdout import patch_stdout

    prompt: PromptSession[str] = PromptSession("agent: ")
    with patch_stdout(raw=True):
        while True:
            try:
                yield prompt.prompt()
            except EOFError:
                return


def parse_fault(rule: str) -> Fault:
    """Read OPERATION:WHAT[=SECONDS][:RATE][:xTIMES]; raises `CliError` saying what is possible."""
    operation, _, rest = rule.partition(":")
    what, *limits = rest.split(":")
    if operation not in OPERATIONS:
        raise CliError(f"--fault {rule}: no operation {operation!r}; there are {', '.join(OPERATIONS)}")
    fault = _fault(rule, what, OPERATIONS[operation])
    for limit in limits:
        fault = _limited(rule, fault, limit)
    return fault


def _fault(rule: str, what: str, operation: str) -> Fault:
    name, given, number = what.partition("=")
    seconds = _number(rule, number, 3600) if given else None
    if name in TIMED and seconds is not None:
        return TIMED[name](seconds, operation)
    if name.isdecimal() and 300 <= int(name) <= 599:
        return Fault.status(int(name), operation, retry_after=seconds)
    if name in PLAIN and not given:
        return PLAIN[name](operation)
    names = ", ".join([*(f"{timed}=SECONDS" for timed in TIMED), *PLAIN])
    possible = f"an HTTP status (429=3 asks to retry after 3 s), {names}"
    raise CliError(f"--fault {rule}: no fault {what!r}; there are {possible}")


def _limited(rule: str, fault: Fault, limit: str) -> Fault:
    if limit.startswith("x") and limit[1:].isdecimal():
        return evolve(fault, times=int(limit[1:]))
    return evolve(fault, rate=_number(rule, limit, 1))


def _number(rule: str, text: str, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= most:
        raise CliError(f"--fault {rule}: {text!r} is not a number from 0 to {most:g}")
    return number


def started(make: Callable[P, Sandbox], *args: P.args, **kwargs: P.kwargs) -> Sandbox:
    """Make a sandbox and start it; a missing extra, a wrong setting or a taken port is a usage error."""
    try:
        return make(*args, **kwargs).start()
    except (ImportError, ValueError) as error:
        raise CliError(str(error)) from None
    except OSError as error:
        told = f"the sandbox cannot listen there ({error.strerror}); choose another --port or --identity-port, or 0"
        raise CliError(told) from None
