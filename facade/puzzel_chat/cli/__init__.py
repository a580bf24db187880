"""The command line, `puzzel-chat`. It needs the extra `[cli]`; this module imports nothing of it."""

from __future__ import annotations

import sys

EXTRA = frozenset({"prompt_toolkit", "rich", "typer"})
MISSING = 'error: the command line needs typer, rich and prompt-toolkit: pip install "puzzel-chat[cli]"'


def main() -> None:
    """Run the command line and exit with its status; with 2 when the extra is not installed."""
    try:
        from puzzel_chat.cli._app import run

        code = run()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in EXTRA:
            raise
        print(MISSING, file=sys.stderr)
        sys.exit(2)
    sys.exit(code)
