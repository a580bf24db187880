"""Keeps what the HTTP library logs of our requests short.

At INFO it writes full addresses (encode/httpx#2760), and at DEBUG the headers of replies, where a service may set its
refresh token as a cookie (related: `pzl.rid`) or name a token in a redirect. Of our requests only the steps are left;
whoever else uses that library in the process keeps its records as they are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_OURS: ContextVar[bool] = ContextVar("puzzel_chat_request", default=False)
_STEPS = ("connection", "http11", "http2", "proxy", "socks")


@contextmanager
def shortened_logs() -> Iterator[None]:
    """Shorten the records of the HTTP library within this block, in this thread or task."""
    before = _OURS.set(True)
    try:
        yield
    finally:
        _OURS.reset(before)


def _short(record: logging.LogRecord) -> bool:
    """Leave of a step its name, such as `receive_response_headers.complete`, and of a whole request nothing."""
    if not _OURS.get():
        return True
    record.msg, record.args = record.getMessage().partition(" ")[0], ()
    return record.name != "httpx"


for _name in ("httpx", *(f"httpcore.{step}" for step in _STEPS)):
    logging.getLogger(_name).addFilter(_short)
