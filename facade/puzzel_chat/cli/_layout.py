"""Help that fits the terminal: Typer's commands, with their text folded by us."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from puzzel_chat.cli._fold import filled, folded

WIDEST = 80
READABLE = 36
"""Columns that the second column of a table needs."""
# Typer has a copy of Click, or imports it, which depends on its version.
_Formatter: Any = typer.Context.formatter_class


class Formatter(_Formatter):  # type: ignore[misc]
    """Writes help as wide as the terminal, up to 80 columns; options below each other where two columns do not fit."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__(width=min(shutil.get_terminal_size().columns, WIDEST) - 2)

    def write_text(self, text: str) -> None:
        """Fill paragraphs; of one that is marked with a backspace, keep the lines."""
        margin = " " * self.current_indent
        paragraphs = []
        for paragraph in text.strip().split("\n\n"):
            if paragraph.startswith("\b\n"):
                lines = [line for kept in paragraph[2:].splitlines() for line in folded(margin + kept, self.width)]
            else:
                lines = filled(paragraph, self.width, margin)
            paragraphs.append("\n".join(lines))
        self.write("\n\n".join(paragraphs) + "\n")

    def write_dl(self, rows: Sequence[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write a table of options or commands."""
        first = min(max(len(term) for term, _ in rows), col_max) + col_spacing
        if self.width - self.current_indent - first >= READABLE:
            super().write_dl(rows, col_max, col_spacing)
            return
        margin = " " * self.current_indent
        for term, text in rows:
            self.write("\n".join([margin + term, *filled(text, self.width, margin + "    ")]) + "\n")


class Context(typer.Context):
    """Where help is written."""

    formatter_class = Formatter


class Command(TyperCommand):
    """A command."""

    context_class = Context


class Group(TyperGroup):
    """The command that has the others."""

    context_class = Context
