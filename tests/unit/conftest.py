"""What the unit tests share: hypothesis without a stopwatch, for the machine may be busy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("puzzel-chat", deadline=None)
settings.load_profile("puzzel-chat")
