"""Which of a family of tests is quick: one that stands for the others runs in `make test`, all of them with `ALL=1`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def quick_only(quick: Collection[object], values: Iterable[Any]) -> list[Any]:
    """Return the values as parameters of a test, and mark as slow all but these."""
    return [value if value in quick else pytest.param(*_several(value), marks=pytest.mark.slow) for value in values]


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)
