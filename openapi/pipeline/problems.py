"""The one error of the pipeline: a sentence for a person, and an exit code for a program."""

from __future__ import annotations

import shutil

NOTHING_CHANGED = 0
DIFFERS = 1
ADDITIONS = 10
BREAKS = 20
UNUSABLE = 30
STOPPED = 130


class PipelineError(Exception):
    """A step cannot go on; the message names the file or path and the next step.

    `exit_code` is what the process ends with: 1 when `--check` finds a difference, 30 for unusable inputs.
    `details` are printed before the message, one a line, when there is more than one thing wrong.
    """

    def __init__(self, message: str, details: tuple[str, ...] = (), exit_code: int = UNUSABLE) -> None:
        """Keep the message, and what goes with it."""
        super().__init__(message)
        self.details = details
        self.exit_code = exit_code


def brief(text: str, longest: int = 80) -> str:
    """Return foreign text as one short line without control characters, fit for a sentence."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: longest * 4]).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def reason(error: OSError) -> str:
    """Return why the disk refused; of a folder that could not be copied, why its first file could not."""
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return str(error.args[0][0][-1]).partition(":")[0]
    return error.strerror or str(error)
