"""The blocking transport."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from queue import Empty
from weakref import finalize

import httpx

from puzzel_chat._config import Address, Settings
from puzzel_chat._errors import CLIENT_CLOSED, SessionError
from puzzel_chat._http import Reply, Request
from puzzel_chat._transport.messages import body_of, built, limits, reply_of
from puzzel_chat._transport.outcomes import mapped_errors, overdue
from puzzel_chat._transport.pools import Pool, reachable
from puzzel_chat._transport.timed import lasting


def _close_here(pools: Mapping[int, Pool]) -> None:
    """Close this process's connections; those of a parent are the parent's."""
    if pool := pools.get(os.getpid()):
        pool.client.close()


class Transport:
    """Sends requests of one application over one pool for each process; usable from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._hosts = reachable(settings)
        self._closed = False
        self._pools: dict[int, Pool] = {}
        # A client that nobody closed and nobody holds any more leaves no socket behind.
        # At the exit they close by themselves, after a refresh that is under way has landed.
        finalize(self, _close_here, self._pools).atexit = False

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send with that access token and give the whole reply.

        Raises `TransportError`, also when all of it takes longer than three times the timeout or than `within` seconds,
        and `ContractError` for a reply that is larger than 8 MiB or packed in a way that was not asked for.
        """
        timeout, whole = limits(self._settings, within)
        pool, address = self._pool(), self._hosts[request.host]
        with mapped_errors(address, timeout), lasting(whole):
            try:
                pool.slots.get(timeout=timeout)
            except Empty:
                raise httpx.PoolTimeout("") from None
            try:
                return self._exchange(pool.client, address, request, access, timeout)
            except TimeoutError:
                raise overdue(address, whole, "maybe") from None
            except Exception:
                raise
            except BaseException:
                # Ctrl-C between two steps of the library can leave its locks held and a connection half used, so that
                # the next request hangs: it makes a new pool. What other threads have under way goes on where it is.
                self._pools.pop(os.getpid(), None)
                raise
            finally:
                pool.slots.put(None)

    def close(self) -> None:
        """Close every connection of this process."""
        self._closed = True
        _close_here(self._pools)

    def _pool(self) -> Pool:
        if self._closed:
            raise SessionError(CLIENT_CLOSED)
        # No lock, which a fork could leave locked; of two pools made at once one is dropped before it connects.
        return self._pools.get(os.getpid()) or self._pools.setdefault(os.getpid(), Pool(self._settings))

    def _exchange(
        self, client: httpx.Client, address: Address, request: Request, access: str | None, timeout: float
    ) -> Reply:
        with closing(client.send(built(address, request, access, timeout), stream=True)) as response:
            body = body_of(request, response)
            for piece in response.iter_raw():
                body.take(piece)
        return reply_of(address, response, body)
