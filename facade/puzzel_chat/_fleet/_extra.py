"""The extra `[fleet]`: whether it is installed, and the import of the fast transport, which needs it."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from puzzel_chat._errors import ConfigurationError
from puzzel_chat._settings import Settings

if TYPE_CHECKING:
    from puzzel_chat._fleet._transport import FleetTransport


def fleet_installed() -> bool:
    """Whether the `[fleet]` extra is installed."""
    return find_spec("pyreqwest") is not None


def check_fleet() -> None:
    """Raise `ConfigurationError` naming what to install when the `[fleet]` extra is missing."""
    if not fleet_installed():
        raise ConfigurationError("fast", "needs the extra [fleet]: pip install 'puzzel-chat[fleet]'")


def fleet_transport(settings: Settings, connections: int) -> FleetTransport:
    """Return a new fast transport; raise as `check_fleet`."""
    check_fleet()
    _import_library()
    from puzzel_chat._fleet._transport import FleetTransport

    return FleetTransport(settings, connections)


def _import_library() -> None:
    # In a thread that does not end before the process: the library's allocator belongs to the thread that imported it,
    # and once that has ended the next use crashes the process (0.15.1).
    if "pyreqwest" in sys.modules or threading.current_thread() is threading.main_thread():
        return
    imported = threading.Event()

    def stay() -> None:
        try:
            import_module("pyreqwest.client")
        finally:
            imported.set()
        threading.Event().wait()

    threading.Thread(target=stay, name="puzzel-chat-fleet", daemon=True).start()
    imported.wait()
