"""Replies and items as the service sends them, whole or damaged, for the tests of `_wire`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import example, settings
from hypothesis import strategies as st

from puzzel_chat._http import Reply

JSON = {"content-type": "application/json; charset=utf-8"}
PROBLEM = {"content-type": "application/problem+json"}

fixed = settings(derandomize=True, deadline=None, max_examples=50)
"""The same examples in each run."""
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
"""Any JSON value."""


def also(**several: Iterable[object]) -> Callable[[Any], Any]:
    """Try each of these values of one argument as well, whatever is drawn."""
    ((name, these),) = several.items()

    def tried(test: Any) -> Any:
        for one in these:
            test = example(**{name: one})(test)
        return test

    return tried


def reply(document: object, status: int = 200, **headers: str) -> Reply:
    """Make a JSON reply."""
    return Reply(status=status, headers={**JSON, **headers}, body=json.dumps(document).encode())


def problem(status: int, code: str | None = None, **more: object) -> Reply:
    """Make a problem document (RFC 9457)."""
    document = {"title": "T", "status": status, "detail": "D", "code": code, **more}
    return Reply(status=status, headers=PROBLEM, body=json.dumps(document).encode())


def line(**changed: object) -> dict[str, Any]:
    """Make a good text item with some members changed; one that is changed to `...` is left out."""
    item = {
        "type": "Text",
        "id": "1",
        "conversationId": "c",
        "version": 2,
        "sentAt": "2026-11-23T12:00:00.1234567Z",
        "author": {"role": 1, "id": "k", "displayName": "Kari"},
        "clientMessageId": "m",
        "content": "Hello <b>Ada</b>",
        **changed,
    }
    return {name: value for name, value in item.items() if value is not ...}
