"""What all tests share: a client of either kind, behind one set of names."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import httpx
import pytest
from hypothesis import settings

from blocking import clients
from puzzel_chat import _exit

Connect = Callable[..., Any]

# A shell starts what runs in its background deaf to Ctrl-C, and so would be each program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Reading whom this machine trusts takes longer than most tests: it is read once, and not for each client of a test.
for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
    os.environ.pop(name, None)
read_trust = httpx.create_ssl_context
usual_trust = cache(lambda: read_trust(trust_env=False))
httpx.create_ssl_context = lambda **how: usual_trust() if how == {"trust_env": False} else read_trust(**how)

# A machine that only says yes or no must say the same twice; a person's runs look in new places each time.
settings.register_profile("ci", derandomize=True, deadline=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_xdist_auto_num_workers() -> int:
    """Three processes for two cores: a good part of its time a test waits for a socket or another process."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_sessionfinish() -> None:
    """Let nobody be told of chats that were left: their contact centres are gone."""
    _exit.SESSIONS.clear()


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make clients of one kind; they are closed after the test, and no task may be left behind."""
    yield from clients(request.param)
