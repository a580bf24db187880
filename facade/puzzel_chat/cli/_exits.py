"""The one place where an error becomes an exit code and a sentence on stderr."""

from __future__ import annotations

import sys
from enum import IntEnum

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
from puzzel_chat.cli._settings import OPTIONS, PREFIX
from puzzel_chat.cli._words import clock_time, one_line


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
