"""`puzzel-chat sandbox`: a simulated contact centre that stays until Ctrl-C."""

from __future__ import annotations

import html
import signal
import threading
from collections.abc import Mapping
from datetime import UTC, datetime

from attrs import define, field, frozen

from puzzel_chat.cli._embedded import started
from puzzel_chat.cli._exits import Exit
from puzzel_chat.cli._faults import parse_fault
from puzzel_chat.cli._output import Output, on_a_terminal
from puzzel_chat.cli._person import Person
from puzzel_chat.cli._words import one_line
from puzzel_chat.sandbox import NOTICE, Happening, Sandbox, Semantics

TICK = 0.2
QUEUES: Mapping[str, str] = {
    "support": "open",
    "closed": "opens at 08:00 UTC",
    "full": "takes nobody more",
    "nobody": "no agent at work",
    "unknown-hours": "does not say whether it is open",
    "silent": "open, but no agent ever answers",
}


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
