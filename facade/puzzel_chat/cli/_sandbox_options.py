"""What the contact centre of `puzzel-chat sandbox` can be told: its options, what goes wrong, how it differs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from puzzel_chat.cli._options import Option
from puzzel_chat.cli._output import CliError
from puzzel_chat.sandbox import Differences, Fault, Sandbox, Semantics

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
    "upload": "uploadFile",
    "download": "downloadFile",
}
TIMED: Mapping[str, tuple[Callable[[float, str], Fault], str]] = {
    "latency": (Fault.latency, "answers late"),
    "slow": (Fault.slow_body, "sends the body in small pieces"),
    "endless": (Fault.endless, "answers, and then sends blanks"),
}
PLAIN: Mapping[str, tuple[Callable[[str], Fault], str]] = {
    "drop": (Fault.drop, "closes the connection, nothing is done"),
    "lost": (lambda operation: Fault.drop(operation, after=True), "closes it once it is done, without a reply"),
    "reset": (Fault.reset, "resets the connection, nothing is done"),
    "reset-late": (lambda operation: Fault.reset(operation, after=True), "resets it once it is done"),
    "half-read": (Fault.half_read, "resets it within the request"),
    "half-sent": (Fault.half_sent, "resets it within the reply"),
    "head-only": (Fault.head_only, "closes it after the reply's head"),
    "truncate": (Fault.truncate, "closes it within the reply"),
    "hang": (Fault.hang, "never answers"),
    "big": (Fault.big, "sends 10 MiB of blanks after the reply"),
    "bomb": (Fault.bomb, "sends a little gzip that unpacks to 64 MiB"),
    "html": (Fault.html_page, "sends a web page"),
    "bad-json": (Fault.bad_json, "sends what is not JSON"),
    "wrong-types": (Fault.wrong_types, "sends fields of other types"),
    "unknown-enum": (Fault.unknown_enum, "sends values that nobody knows"),
    "bad-item": (Fault.bad_item, "puts an unreadable item into a list"),
    "nulls": (Fault.nulls, "sends null in every field"),
    "no-client-id": (Fault.no_client_id, "leaves out the client's ids"),
    "lost-end": (lambda _: Fault.lost_end(), "loses the poll that tells the end"),
    "revoked": (Fault.revoked, "revokes the access token"),
}
ABOUT: Mapping[str, tuple[str | None, float | None, str]] = {
    "script": ("NAME", None, "How the agents behave; see above."),
    "semantics": ("NAME", None, "What a poll returns: history (all), cursor (what follows it) or drain (the unread)."),
    "no_content": (None, None, "Answer a poll that has nothing new with 204, without a body."),
    "port": ("NUMBER", 0, "Port on loopback; 0 takes a free one."),
    "identity_port": ("NUMBER", 0, "Port of the identity host; 0 takes a free one."),
    "solution_id": ("ID", None, "The tenant that tokens are for."),
    "grant_type": ("NAME", None, "The grant that opens a session."),
    "client_id": ("ID", None, "The client that may ask for tokens."),
    "client_secret": ("SECRET", None, "The client's secret; without it none is asked for."),
    "visitor_fields": ("NAME NAME", None, "The fields of a signed-in visitor's token request."),
    "token_life": ("SECONDS", 0.1, "How long an access token lives."),
    "token_promise": ("SECONDS", 0, "What a token reply says of that, if another thing."),
    "refresh_life": ("SECONDS", 0.1, "How long a refresh token lives; without it, for ever."),
    "rotation": (None, None, "Whether a refresh spends its token. Who uses a spent one loses the session."),
    "reuse_grace": ("SECONDS", 0, "How long the last spent refresh token still gets its reply."),
    "pace": ("SECONDS", 0, "Time between the steps of the simulation."),
    "ahead": ("NUMBER", 0, "Simulated customers before each caller."),
    "waiting": ("NUMBER", 0, "More customers, who only add to the queue's size."),
    "capacity": ("NUMBER", 0, "How many requests a queue holds."),
    "agents": ("NUMBER", 0, "Agents of each queue."),
    "chats_per_agent": ("NUMBER", 1, "Chats that one agent takes at once; without it, any number."),
    "offer_timeout": ("SECONDS", 0, "How long an offer waits for its agent; without it, four paces."),
    "max_wait": ("SECONDS", 0, "How long a request waits in the queue; without it, for ever."),
    "messages": ("NUMBER", 0, "How many messages the script chatty sends."),
    "interval": ("SECONDS", 0, "The time between two of them."),
    "seed": ("NUMBER", None, "Seed of tokens, and of faults with a rate."),
    "faults": ("RULE", None, "What goes wrong; see above; may be repeated."),
    "differs": ("RULE", None, "What is not as assumed; see above; may be repeated."),
}
"""What stands for an argument's value, its least one, and what it is."""
FOR_PYTHON = frozenset({"clock", "sleep", "on_event"})
"""The arguments that are no words."""


def parse_faults(_: str, rules: list[str]) -> tuple[Fault, ...]:
    """Read all rules."""
    return tuple(map(parse_fault, rules))


def parse_fault(rule: str) -> Fault:
    """Read OPERATION:WHAT[=SECONDS][:RATE][:xTIMES]. Raise `CliError`, which lists what is possible."""
    operation, _, rest = rule.partition(":")
    what, *limits = rest.split(":")
    if operation not in OPERATIONS:
        raise CliError(f"--fault {rule}: no operation {operation!r}; there are {', '.join(OPERATIONS)}")
    fault = _fault(rule, what, OPERATIONS[operation])
    for limit in limits:
        fault = _limited(rule, fault, limit)
    return fault


def _fault(rule: str, what: str, operation: str) -> Fault:
    name, separator, number = what.partition("=")
    seconds = _number(rule, number, 3600) if separator else None
    if name in TIMED and seconds is not None:
        return TIMED[name][0](seconds, operation)
    if name.isdecimal() and 300 <= int(name) <= 599:
        return Fault.status(int(name), operation, retry_after=seconds)
    if name in PLAIN and not separator:
        return PLAIN[name][0](operation)
    names = ", ".join([*(f"{timed}=SECONDS" for timed in TIMED), *PLAIN])
    possible = f"an HTTP status (429=3 asks to retry after 3 s), {names}"
    raise CliError(f"--fault {rule}: no fault {what!r}; there are {possible}")


def _limited(rule: str, fault: Fault, limit: str) -> Fault:
    if limit.startswith("x") and limit[1:].isdecimal():
        return evolve(fault, times=int(limit[1:]))
    return evolve(fault, rate=_number(rule, limit, 1))


def _number(rule: str, text: str, maximum: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= maximum:
        raise CliError(f"--fault {rule}: {text!r} is not a number from 0 to {maximum:g}")
    return number


def parse_differences(flag: str, rules: list[str]) -> Differences:
    """Read cursor=WHAT, drop=NAME, name=OURS:THEIRS and path=OPERATION:METHOD PATH. Raise `CliError` for others."""
    cursor: Any = "integer"
    drop = set[str]()
    pairs: dict[str, dict[str, str]] = {"name": {}, "path": {}}
    for rule in rules:
        what, _, value = rule.partition("=")
        ours, _, theirs = value.partition(":")
        if what == "cursor":
            cursor = value
        elif what == "drop" and value:
            drop.add(value)
        elif what in pairs and ours and theirs:
            pairs[what][ours] = theirs
        else:
            raise CliError(
                f"{flag} {rule}: there are cursor=WHAT, drop=NAME, name=OURS:THEIRS, path=OPERATION:METHOD PATH"
            )
    try:
        return Differences(paths=pairs["path"], names=pairs["name"], cursor=cursor, drop=frozenset(drop))
    except ValueError as error:
        raise CliError(f"{flag}: {error.args[0]}") from None


_READERS = {"faults": parse_faults, "differs": parse_differences}
_CHOICES = {"semantics": Semantics, "visitor_fields": tuple[str, str]}


def _of_argument(name: str, default: object) -> Option:
    metavar, least, text = ABOUT.get(name, ("VALUE", None, "An argument of the sandbox."))
    most = 65535 if name.endswith("port") else None
    read = _READERS.get(name)
    return Option(name, metavar, text, None if read else default, least, most, _CHOICES.get(name), read)


SANDBOX_OPTIONS = {
    name: _of_argument(name, parameter.default)
    for name, parameter in inspect.signature(Sandbox).parameters.items()
    if name not in FOR_PYTHON
}
