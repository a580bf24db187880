"""Values that hide themselves where tools print them: reprs, logs with %r, locals in tracebacks."""

from __future__ import annotations

from typing import Any

MASK = "'***'"


class Secret(str):
    """A string whose repr is masked; it goes into a request like any other."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


class SecretBytes(bytes):
    """Bytes whose repr is masked."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK


class SecretDict(dict[str, Any]):
    """A decoded document whose repr is masked."""

    def __repr__(self) -> str:
        return "{…}"


def secret_or_none(value: str | None) -> Secret | None:
    """Wrap a value when there is one."""
    return Secret(value) if isinstance(value, str) else value
