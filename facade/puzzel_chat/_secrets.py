"""Strings and bytes that hide themselves where tools print values: reprs, logs with %r, locals in tracebacks."""

from __future__ import annotations

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


def secret_or_none(value: str | None) -> Secret | None:
    """Wrap a value when there is one."""
    return Secret(value) if isinstance(value, str) else value
