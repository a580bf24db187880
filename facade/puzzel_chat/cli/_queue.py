"""`puzzel-chat queue`: opening hours and load of one queue."""

from __future__ import annotations

from datetime import UTC, datetime

from puzzel_chat import PuzzelChat, QueueInfo
from puzzel_chat.cli._options import Given
from puzzel_chat.cli._output import Output, clock_time, duration, one_line

ANSWERS = {True: "open", False: "closed", None: "unknown (the service does not say)"}


def show_queue(given: Given, visual_queue_id: str, output: Output) -> None:
    """Ask once and print the answer, with its age."""
    with PuzzelChat.from_env(store=None, **given.set_options()) as chat, chat.connect() as session:
        info = session.queue_info(visual_queue_id)
    output.record(_record(info))
    for name, value in rows(info, datetime.now(UTC)):
        output.say(f"{name:15} {value}")


def rows(info: QueueInfo, now: datetime) -> list[tuple[str, str]]:
    """Give the lines of the table, without those of which nothing is known."""
    known = [
        ("queue", one_line(info.id) + (f" ({one_line(info.name)})" if info.name else "")),
        ("state", ANSWERS[info.is_open]),
        ("opens", clock_time(info.opens_at, now) if info.opens_at else None),
        ("closes", clock_time(info.closes_at, now) if info.closes_at else None),
        ("waiting", _number(info.queue_size)),
        ("agents ready", _number(info.agents_ready)),
        ("estimated wait", None if info.estimated_wait is None else duration(info.estimated_wait)),
        ("answer from", f"{info.fetched_at.astimezone():%H:%M:%S %Z}, {_age(info, now):.1f} s ago"),
    ]
    return [(name, value) for name, value in known if value is not None]


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _age(info: QueueInfo, now: datetime) -> float:
    return max(0.0, (now - info.fetched_at).total_seconds())


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
