"""From what a generated builder gives to a request: every part of it is sent as HTTP writes it, or refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from puzzel_chat._config import HostName
from puzzel_chat._http import Request
from puzzel_chat._secrets import SecretBytes

_KNOWN = {"method", "url", "params", "headers", "cookies", "json", "data", "content"}


def encoded(operation: str, host: HostName, built: Mapping[str, Any]) -> Request:
    """Give the request; raises `NotImplementedError` for a part that is not sent from here, such as files."""
    if unknown := sorted(built.keys() - _KNOWN):
        raise NotImplementedError(f"{operation}: the request has {unknown[0]}, which is not sent from here")
    headers = {name: _spelled(operation, value) for name, value in built.get("headers", {}).items()}
    if cookies := built.get("cookies"):
        headers["Cookie"] = "; ".join(f"{name}={quote(_spelled(operation, one))}" for name, one in cookies.items())
    return Request(
        operation=operation,
        host=host,
        method=built["method"].upper(),
        path=built["url"],
        query=_pairs(operation, built.get("params", {})),
        headers=headers,
        body=_body(operation, built),
    )


def _body(operation: str, built: Mapping[str, Any]) -> SecretBytes | None:
    if "json" in built:
        return SecretBytes(json.dumps(built["json"]).encode())
    if "data" in built:
        return SecretBytes(_pairs(operation, built["data"]).encode())
    if "content" in built:
        content = built["content"]
        return SecretBytes(content if isinstance(content, bytes) else content.read())
    return None


def _pairs(operation: str, members: Mapping[str, Any]) -> str:
    """Write members as `name=value` pairs; a list repeats its name, which is the default of OpenAPI and of forms."""
    listed = ((name, value if isinstance(value, list | tuple) else [value]) for name, value in members.items())
    return urlencode([(name, _spelled(operation, one)) for name, several in listed for one in several])


def _spelled(operation: str, value: object) -> str:
    """Write a value as JSON would, without quotes; None is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        return ""
    raise NotImplementedError(f"{operation}: a {type(value).__name__} has no form in a query, a form or a header")
