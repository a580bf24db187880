"""A sandbox and a customer of it, for tests of the sandbox itself; and one for programs, in the environment."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from bare import Customer
from puzzel_chat.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox without delays; the test plays the agent."""
    with Sandbox(script="manual", pace=0) as sandbox:
        yield sandbox


@pytest.fixture
def customer(sandbox: Sandbox) -> Iterator[Customer]:
    """A customer with an open session."""
    customer = Customer(sandbox)
    with closing(customer):
        yield customer


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox with quick agents, whose settings stand in the environment's variables, for clients that poll fast."""
    with Sandbox(pace=0) as sandbox:
        for name, value in {**sandbox.settings, "poll_interval": "0.05"}.items():
            monkeypatch.setenv(f"PUZZEL_CHAT_{name.upper()}", str(value))
        yield sandbox
