"""Lines from standard input when it is no terminal to edit in: a pipe, a file, or a program's output."""

from __future__ import annotations

import asyncio
import codecs
import os
import sys
import threading
from collections.abc import AsyncGenerator

CHUNK = 65536


async def piped_lines() -> AsyncGenerator[str]:
    """Give the lines of standard input as they come, until its end."""
    if sys.stdin is None:  # the input was closed before we began
        return
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_feed, args=(sys.stdin.fileno(), loop, queue), daemon=True).start()
    decoder, rest = codecs.getincrementaldecoder("utf-8")("replace"), ""
    while chunk := await queue.get():
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in lines:
            yield line.rstrip("\r")
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest.rstrip("\r")


def _feed(descriptor: int, loop: asyncio.AbstractEventLoop, queue: asyncio.Queue[bytes]) -> None:
    """Read on a thread of its own: a read that never returns must not hold up the end of the process.

    It reads the descriptor itself, since a buffered reader's lock would be held at the interpreter's end.
    """
    while True:
        try:
            chunk = os.read(descriptor, CHUNK)
        except OSError:
            chunk = b""
        try:
            loop.call_soon_threadsafe(queue.put_nowait, chunk)
        except RuntimeError:  # the loop is closed: nobody listens any more
            return
        if not chunk:
            return
