"""From what a generated builder gives to a request: each part is sent as HTTP writes it, or refused loudly."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest

from puzzel_chat._http import Request
from puzzel_chat._transport import headers
from puzzel_chat._wire.operations import encoded


def built(**parts: Any) -> Request:
    """Encode a request with those parts."""
    return encoded("getThings", "communication", {"method": "post", "url": "/api/things", **parts})


@pytest.mark.parametrize(
    ("params", "query"),
    [
        ({"after": "a b&c"}, "after=a+b%26c"),
        ({"n": 7, "ratio": 0.5}, "n=7&ratio=0.5"),
        ({"open": True, "closed": False}, "open=true&closed=false"),
        ({"id": ["x", "y"], "n": [1, True]}, "id=x&id=y&n=1&n=true"),
        ({"none": []}, ""),
        ({"at": "2026-11-29T12:00:00+01:00"}, "at=2026-11-29T12%3A00%3A00%2B01%3A00"),
    ],
)
def test_a_query_is_spelled_as_json_spells_its_values(params: dict[str, Any], query: str) -> None:
    """Truths are lower case, a list repeats its name, and a time keeps its zone: nothing is in Python's spelling."""
    assert built(params=params).query == query


def test_headers_and_cookies_are_sent() -> None:
    """What the document demands in a header or a cookie goes out, beside the common headers and the token."""
    request = built(headers={"X-Channel": "web", "X-Trace": True}, cookies={"lang": "nb no", "n": 1})
    sent = headers(request, "t0k3n")
    assert (sent["x-channel"], sent["x-trace"]) == ("web", "true")
    assert sent["cookie"] == "lang=nb%20no; n=1"
    assert sent["authorization"] == "Bearer t0k3n"
    assert "application/json" in sent["accept"]


@pytest.mark.parametrize(
    ("part", "body"),
    [
        ({"json": {"a": [None, True]}}, b'{"a": [null, true]}'),
        ({"json": None}, b"null"),
        ({"data": {"a": "b c", "on": True, "none": None}}, b"a=b+c&on=true&none="),
        ({"content": b"\x00\xff"}, b"\x00\xff"),
        ({"content": BytesIO(b"raw")}, b"raw"),
        ({}, None),
    ],
)
def test_every_kind_of_body_is_sent(part: dict[str, Any], body: bytes | None) -> None:
    """JSON, a form and raw bytes go out as they are, and where there is no body none is sent."""
    assert built(**part).body == body


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"files": [("a", ("a.txt", b"x", "text/plain"))]}, "getThings: the request has files, which is not sent"),
        ({"params": {"deep": {"a": 1}}}, "getThings: a dict has no form in a query, a form or a header"),
        ({"headers": {"X": [1]}}, "getThings: a list has no form in a query, a form or a header"),
        ({"data": {"a": [{"b": 1}]}}, "getThings: a dict has no form"),
    ],
)
def test_what_is_not_sent_is_refused(part: dict[str, Any], told: str) -> None:
    """No part of a request is left out in silence: whoever edits the wire layer is told at the first call."""
    with pytest.raises(NotImplementedError, match=told):
        built(**part)


def test_nothing_of_a_request_shows_in_its_repr() -> None:
    """Headers, cookies and body may hold secrets."""
    request = built(headers={"X-Key": "s3cr3t"}, cookies={"s": "s3cr3t"}, json={"a": "s3cr3t"})
    assert "s3cr3t" not in repr(request)
