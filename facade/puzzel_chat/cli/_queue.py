"""`puzzel-chat queue`: opening hours and load of one queue."""

from __future__ import annotations

from datetime import UTC, datetime

from puzzel_chat import PuzzelChat, QueueInfo
from puzzel_chat.cli._options import ServiceOptions
from puzzel_chat.cli._output import Output, clock_time, duration, one_line

STATES = {True: "open", False: "closed", None: "unknown (the service does not say)"}


def show_queue(service: ServiceOptions, visual_queue_id: str, output: Output) -> None:
    """Ask once and print the answer with its age."""
    with PuzzelChat.from_env(store=None, **service) as chat, chat.connect() as session:
        info = session.queue_info(visual_queue_id)
    output.record(_record(info))
    for name, value in _rows(info, datetime.now(UTC)):
        if value is not None:
            output.say(f"{name:15} {value}")


def _rows(info: QueueInfo, now: datetime) -> list[tuple[str, object]]:
    age = max(0.0, (now - info.fetched_at).total_seconds())
    return [
        ("queue", one_line(info.id) + (f" ({one_line(info.name)})" if info.name else "")),
        ("state", STATES[info.is_open]),
        ("opens", clock_time(info.opens_at, now) if info.opens_at else None),
        ("closes", clock_time(info.closes_at, now) if info.closes_at else None),
        ("waiting", info.queue_size),
        ("agents ready", info.agents_ready),
        ("estimated wait", None if info.estimated_wait is None else duration(info.estimated_wait)),
        ("answer from", f"{info.fetched_at.astimezone():%H:%M:%S %Z}, {age:.1f} s ago"),
    ]


def _record(info: QueueInfo) -> dict[str, object]:
    return {
        "id": info.id,
        "name": info.name,
        "state": {True: "open", False: "closed", None: "unknown"}[info.is_open],
        "opens_at": info.opens_at.isoformat() if info.opens_at else None,
        "closes_at": info.closes_at.isoformat() if info.closes_at else None,
        "waiting": info.queue_size,
        "agents_ready": info.agents_ready,
        "estimated_wait": info.estimated_wait,
        "fetched_at": info.fetched_at.isoformat(),
    }
