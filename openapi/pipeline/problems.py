"""The one error of the pipeline: a sentence for a person, and an exit code for a program."""

from __future__ import annotations

NOTHING_CHANGED = 0
DIFFERS = 1
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
