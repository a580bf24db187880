"""The blocking shell: loops, sleeps and locks around the pure cores. `_async` has the same names in the same order."""

from __future__ import annotations

from puzzel_chat._sync._client import PuzzelChat
from puzzel_chat._sync._conversation import Conversation
from puzzel_chat._sync._session import Session

__all__ = ["Conversation", "PuzzelChat", "Session"]
