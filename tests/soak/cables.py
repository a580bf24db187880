"""A way to a server that can be cut: a TCP proxy on loopback."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Literal

Cut = Literal["reset", "silent"]
"""Connections are reset, new ones too; or nothing comes through, and what is under way arrives once it is mended."""


class Cable:
    """Carries bytes between its own `port` and the server's."""

    def __init__(self, to: int) -> None:
        self.port, self._to = 0, to
        self._whole, self._resets = asyncio.Event(), False
        self._whole.set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def lay(self) -> None:
        """Take connections."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self, how: Cut) -> None:
        """Let nothing through any more."""
        if how == "silent":
            self._whole.clear()
        else:
            self._resets = True
            self._abort()

    def mend(self) -> None:
        """Carry on."""
        self._resets = False
        self._whole.set()

    async def close(self) -> None:
        """End every connection, and take no more."""
        if self._server is not None:
            self._server.close()
        self.mend()
        while self._ends:
            self._abort()
            await asyncio.sleep(0.01)

    def _abort(self) -> None:
        for end in self._ends:
            end.transport.abort()

    async def _connected(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self._ends.add(back)
        forth: asyncio.StreamWriter | None = None
        try:
            await self._whole.wait()
            if not self._resets:
                far, forth = await asyncio.open_connection("127.0.0.1", self._to)
                self._ends.add(forth)
                await asyncio.gather(self._carry(near, forth), self._carry(far, back))
        except OSError:
            pass
        finally:
            for end in (back, forth):
                if end is not None:
                    end.transport.abort()
                    self._ends.discard(end)

    async def _carry(self, source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self._whole.wait()
                to.write(data)
                await to.drain()
        to.transport.abort()
