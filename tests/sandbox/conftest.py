"""A sandbox and a customer of it, for tests of the sandbox itself."""

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
