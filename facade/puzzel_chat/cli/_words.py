"""Small pure helpers for what people read: safe text, times, durations."""

from __future__ import annotations

from datetime import UTC, datetime


def printable(text: str) -> str:
    """Drop what could steer a terminal (control and format characters), keep line breaks and tabs."""
    return "".join(letter for letter in text if letter in "\n\t" or letter.isprintable())


def one_line(text: str | None, otherwise: str = "") -> str:
    """Give a text on one line, safe to print."""
    return " ".join(printable(text or "").split()) or otherwise


def duration(seconds: float) -> str:
    """Give a time span as people say it: 45 s, 2 min 5 s, 1 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def clock_time(moment: datetime, now: datetime | None = None) -> str:
    """Give a moment in this machine's time zone; the date only when it is not today's."""
    local, today = moment.astimezone(), (now or datetime.now(UTC)).astimezone()
    return f"{local:%H:%M %Z}" if local.date() == today.date() else f"{local:%a %d %b %Y, %H:%M %Z}"
