"""Standard output for people or programs, safe text, exit codes, and errors in words."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum

from attrs import frozen
from rich.console import Console
from rich.text import Text

from puzzel_chat import (
    AgentWaitTimeout,
    ConfigurationError,
    ConversationClosed,
    DeliveryUnknown,
    InvalidArgument,
    NotFound,
    PuzzelChatError,
    QueueClosed,
    RoutingError,
    SessionExpired,
    Settings,
    TransportError,
)
from puzzel_chat.cli._options import OPTIONS, PREFIX


@frozen
class Output:
    """Standard output, in one of the two forms. Text is never read as markup."""

    json: bool = False

    def show(self, record: Mapping[str, object], line: str | Text, style: str = "") -> None:
        """Show one thing in the form that was asked for."""
        if self.json:
            self.record(record)
        else:
            self.say(line, style)

    def say(self, line: str | Text = "", style: str = "") -> None:
        """Print a line for people; nothing when JSON was asked for."""
        if not self.json:
            text = Text(printable(line), style=style) if isinstance(line, str) else line
            out = console()
            out.print(text, soft_wrap=not out.is_terminal)

    def record(self, record: Mapping[str, object]) -> None:
        """Print an object for programs; nothing when it was not asked for."""
        if self.json:
            print(_escaped(json.dumps(record, ensure_ascii=False, default=str)), flush=True)


def _escaped(document: str) -> str:
    """Write what could steer a terminal as JSON escapes; such characters stand only within strings."""
    if document.isprintable():
        return document
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in document)


def console() -> Console:
    """Give a console on what standard output is now, which `patch_stdout` may have replaced."""
    return Console(highlight=False, markup=False, emoji=False)


def on_a_terminal() -> bool:
    """Tell whether a person can type here and see a display that moves; a closed stream is None."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


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


class Exit(IntEnum):
    """What `puzzel-chat --help` promises."""

    FINE = 0
    FAILED = 1
    USAGE = 2
    NO_AGENT = 3
    LOST = 4
    DIFFERS = 5
    INTERRUPTED = 130


EXIT_CODES = """\
Exit codes:
  0    fine
  1    the service or the network failed
  2    wrong usage or settings; an unknown queue; an extra not installed
  3    the queue is closed or full, the chat was refused, or no agent came
  4    a message was lost, or it is not known whether it arrived
  5    the service differs from what is assumed of it (probe)
  130  interrupted with Ctrl-C"""


class CliError(Exception):
    """An error of the command line itself; the message says what to do."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code


# The first row that fits decides.
CODES: tuple[tuple[type[PuzzelChatError], Exit], ...] = (
    (ConfigurationError, Exit.USAGE),
    (InvalidArgument, Exit.USAGE),
    (RoutingError, Exit.NO_AGENT),
    (DeliveryUnknown, Exit.LOST),
    (ConversationClosed, Exit.LOST),
    (PuzzelChatError, Exit.FAILED),
)


# What the library says of its arguments, and what the command line calls them.
IN_OPTIONS = (
    ("name a region (", "name a region with --region ("),
    ("base_url (PUZZEL", "--base-url (PUZZEL"),
    ("identity_url (PUZZEL", "--identity-url (PUZZEL"),
    ("set identity_url to", "set --identity-url to"),
    ("set allow_insecure_http=True (PUZZEL_CHAT_ALLOW_INSECURE_HTTP=true)", "pass --allow-insecure-http"),
)


DOCTOR_HINT = " `puzzel-chat doctor` shows how far it gets."


def exit_code(error: BaseException) -> Exit | None:
    """Give the exit code of an error; None for a bug, which is shown as it is."""
    if isinstance(error, CliError):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, NotFound) and error.code == "QueueNotFound":
        return Exit.USAGE
    return next((code for kind, code in CODES if isinstance(error, kind)), None)


def in_words(error: BaseException) -> str:
    """Give an error as a sentence for the one who typed the command: what is wrong, what to do."""
    words = one_line(str(error))
    if isinstance(error, ConfigurationError):
        return _with_option(words, error.setting)
    if isinstance(error, AgentWaitTimeout):
        return words.replace("wait longer,", "wait longer with --wait,")
    if isinstance(error, QueueClosed):
        when = f"; it opens {clock_time(error.opens_at)}" if error.opens_at else ""
        return f"The queue is closed{when}. Start the chat then; `puzzel-chat queue VISUAL_QUEUE_ID` shows the hours."
    if isinstance(error, SessionExpired):
        return "The service no longer takes the session's token. Start again."
    if isinstance(error, TransportError):
        return words + DOCTOR_HINT
    return words


def _with_option(words: str, setting: str) -> str:
    """Tell an error about a setting in the words of the command line."""
    if setting not in Settings.__annotations__:
        return words
    flag, variable = f"--{setting.replace('_', '-')}", f"{PREFIX}{setting.upper()}"
    if setting not in OPTIONS:
        return words if variable in words else f"{words} ({variable})"
    told = words.replace("pass it or", f"pass {flag} or")
    for argument, option in IN_OPTIONS:
        told = told.replace(argument, option)
    return told if told != words else f"{words} ({flag}, {variable})"


def complain(error: BaseException) -> None:
    """Print an error on stderr, in one line and without control characters."""
    words = in_words(error)
    if words:
        print(f"error: {words}", file=sys.stderr, flush=True)
