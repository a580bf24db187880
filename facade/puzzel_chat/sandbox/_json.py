"""Type guards for decoded JSON, so that the checks that are made are the checks that are typed."""

from __future__ import annotations

from typing import TypeGuard


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a decoded value is a JSON object; its keys are strings by the grammar."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[object]]:
    """Whether a decoded value is a JSON array."""
    return isinstance(value, list)
