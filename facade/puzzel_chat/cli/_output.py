"""What a command prints: lines or JSON, safe text, errors; and its exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import IntEnum
from shutil import get_terminal_size
from unicodedata import category

from attrs import frozen
from rich.console import Console
from rich.padding import Padding
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
    TransportError,
)
from puzzel_chat.cli._fold import folded
from puzzel_chat.cli._options import PREFIX, SERVICE_OPTIONS

_KEPT = frozenset("\n\t\u200c\u200d")


@frozen
class Output:
    """Standard output, as lines for people or as one JSON object a line for programs."""

    json: bool = False

    def show(self, record: Mapping[str, object], line: str | Text, style: str = "") -> None:
        """Print the record for programs, or the line for people."""
        if self.json:
            self.record(record)
        else:
            self.say(line, style)

    def say(self, line: str | Text = "", style: str = "", indent: int = 0) -> None:
        """Print a line for people, so many columns from the left; nothing with `--json`."""
        if not self.json:
            text = Text(printable(line), style=style) if isinstance(line, str) else line
            # Made anew each time: `patch_stdout` replaces standard output for a while.
            console = Console(highlight=False, markup=False, emoji=False)
            console.print(Padding.indent(text, indent) if indent else text, soft_wrap=not console.is_terminal)

    def notice(self, line: str) -> None:
        """Print a line of the command itself for people; with `--json` on standard error."""
        if self.json:
            print(printable(line), file=sys.stderr, flush=True)
        else:
            self.say(line, "dim")

    def record(self, record: Mapping[str, object]) -> None:
        """Print an object for programs; nothing without `--json`."""
        if self.json:
            print(_escaped(json.dumps(record, ensure_ascii=False, default=str)), flush=True)


def _escaped(document: str) -> str:
    """Escape control characters, which a terminal would obey; JSON has them only within strings."""
    if document.isprintable():
        return document
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in document)


def on_a_terminal() -> bool:
    """Return whether a person types and reads here."""
    # A closed stream is None.
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def printable(text: str) -> str:
    """Drop control and format characters, which a terminal would obey; keep line breaks, tabs and joiners."""
    if text.isprintable():
        return text
    # Letters that this Python does not know yet, or nobody but their font, are letters; a wide space is a space.
    return "".join(one for one in text if one.isprintable() or one in _KEPT or category(one) in ("Zs", "Cn", "Co"))


def one_line(text: str | None, default: str = "") -> str:
    """Return a text on one line, safe to print; if nothing is left, the default as it is."""
    return " ".join(filter(None, map(printable, (text or "").split()))) or default


def duration(seconds: float) -> str:
    """Return a time span as people say it: 45 s, 2 min 5 s, 1 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def clock_time(moment: datetime, now: datetime | None = None) -> str:
    """Return a moment in local time, with the date unless it is today; as it is, where that has no local time."""
    try:
        local, today = moment.astimezone(), (now or datetime.now(UTC)).astimezone()
    except (OverflowError, OSError, ValueError):
        return moment.isoformat()
    return f"{local:%H:%M %Z}" if local.date() == today.date() else f"{local:%a %d %b %Y, %H:%M %Z}"


class Exit(IntEnum):
    """The exit codes; `EXIT_CODES` explains them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_AGENT = 3
    LOST = 4
    DIFFERS = 5
    INTERRUPTED = 130


EXIT_CODES = """\
Exit codes:
  0    success
  1    the service, the network or the store failed; no such worker is well
  2    wrong usage or settings; an unknown queue; an extra not installed
  3    the queue is closed or full, the chat was refused, or no agent came
  4    a message was lost, or it is not known whether it arrived
  5    the service differs from what is assumed of it (probe)
  130  interrupted with Ctrl-C"""


class CliError(Exception):
    """An error that the command line finds by itself; the message says what to do."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.code = code

    def to_dict(self) -> dict[str, object]:
        """Return it as an error of the library does."""
        return {"type": "error", "error": type(self).__name__, "message": str(self)}


# The first match decides, so a subclass stands before its base.
CODES: tuple[tuple[type[PuzzelChatError], Exit], ...] = (
    (ConfigurationError, Exit.USAGE),
    (InvalidArgument, Exit.USAGE),
    (RoutingError, Exit.NO_AGENT),
    (DeliveryUnknown, Exit.LOST),
    (ConversationClosed, Exit.LOST),
    (PuzzelChatError, Exit.FAILED),
)
# What an error of the library says, and what it says on the command line.
REWORDED = (
    ("name a region (", "name a region with --region ("),
    ("base_url (PUZZEL", "--base-url (PUZZEL"),
    ("identity_url (PUZZEL", "--identity-url (PUZZEL"),
    ("set identity_url to", "set --identity-url to"),
    ("set allow_insecure_http=True (PUZZEL_CHAT_ALLOW_INSECURE_HTTP=true)", "pass --allow-insecure-http"),
)
DOCTOR_HINT = " `puzzel-chat doctor` shows how far it gets."


def exit_code(error: BaseException) -> Exit | None:
    """Return the exit code of an error; None for a bug, which deserves its traceback."""
    if isinstance(error, CliError):
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return Exit.INTERRUPTED
    if isinstance(error, NotFound) and error.code == "QueueNotFound":
        return Exit.USAGE
    return next((code for kind, code in CODES if isinstance(error, kind)), None)


def error_text(error: BaseException) -> str:
    """Return an error as one sentence that says what is wrong and what to do."""
    text = one_line(str(error))
    if isinstance(error, ConfigurationError):
        return _with_option(text, error.setting)
    if isinstance(error, AgentWaitTimeout):
        return text.replace("wait longer,", "wait longer with --wait,")
    if isinstance(error, QueueClosed):
        opens = f"; it opens {clock_time(error.opens_at)}" if error.opens_at else ""
        return f"The queue is closed{opens}. Start the chat then; `puzzel-chat queue VISUAL_QUEUE_ID` shows the hours."
    if isinstance(error, SessionExpired):
        return "The service no longer takes the session's token. Start again."
    if isinstance(error, TransportError):
        return text + DOCTOR_HINT
    return text


def _with_option(text: str, setting: str) -> str:
    """Name the option and the environment variable of a setting."""
    if setting not in SERVICE_OPTIONS:
        return text
    variable, flag = f"{PREFIX}{setting.upper()}", SERVICE_OPTIONS[setting].flag
    reworded = text.replace("pass it or", f"pass {flag} or")
    for argument, option in REWORDED:
        reworded = reworded.replace(argument, option)
    return reworded if reworded != text else f"{text} ({flag}, {variable})"


def print_error(error: BaseException) -> None:
    """Print an error on stderr, on one line, which a terminal gets folded; nothing for Ctrl-C."""
    if text := error_text(error):
        lines = folded(f"error: {text}", get_terminal_size().columns) if sys.stderr.isatty() else [f"error: {text}"]
        print("\n".join(lines), file=sys.stderr, flush=True)
