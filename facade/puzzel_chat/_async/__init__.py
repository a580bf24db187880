"""The awaiting shell, for one event loop. `_sync` has the same names in the same order."""

from __future__ import annotations

from puzzel_chat._async._client import AsyncPuzzelChat
from puzzel_chat._async._conversation import AsyncConversation
from puzzel_chat._async._session import AsyncSession

__all__ = ["AsyncConversation", "AsyncPuzzelChat", "AsyncSession"]
