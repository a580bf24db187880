"""`python -m puzzel_chat` does what `puzzel-chat` does."""

from __future__ import annotations

from puzzel_chat.cli import main

main()
