"""Many sessions on one event loop: `PollingLoop`; and in several processes: `Worker`.

    Timetable ── due ──► Service ── when its host allows ──► the session polls ──► Subscription ──► handler

One task waits for the next due time of all; each poll under way is a task, and so is each handler at work.
"""

from __future__ import annotations

from puzzel_chat._fleet._handlers import AfterError, OnFailure, OnHandlerError
from puzzel_chat._fleet._loop import PollingLoop
from puzzel_chat._fleet._polled import Handler, LoopStats
from puzzel_chat._fleet._worker import Worker

__all__ = ["AfterError", "Handler", "LoopStats", "OnFailure", "OnHandlerError", "PollingLoop", "Worker"]
