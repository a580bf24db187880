"""Pure: the compact syntax of `puzzel-chat sandbox --fault`, such as poll:503:0.05 or send:lost:x1."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import evolve

from puzzel_chat.cli._exits import CliError
from puzzel_chat.sandbox import Fault

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
