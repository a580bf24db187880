"""Where output goes: lines for people, or one JSON object a line for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

from attrs import frozen
from rich.console import Console
from rich.text import Text

from puzzel_chat.cli._words import printable


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
