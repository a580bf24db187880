"""Takes secrets and people's words out of what is recorded, on the way there and on the way back.

What is kept is named here and everything else goes, so that a field nobody has thought of does not leak.

    always       tokens, secrets, client ids, cookies, other form fields and headers, the host
    also, when   every string of a reply that is not an id, a time or a word of the contract,
    not ours     unless the test itself wrote it (replies that say they come from the simulator keep theirs)

A value is replaced by `scrubbed-FIELD-NUMBER`, the same one wherever it comes again: a cassette still shows which
token was used. A value of eight letters and more is also replaced inside longer texts. Scrubbing twice changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

HOST = "https://puzzel.example"
SIMULATOR = "x-simulator"
_FORM = "application/x-www-form-urlencoded"
_PLACEHOLDER = re.compile(r"scrubbed-[a-zA-Z_-]+-\d+")
_SECRET = re.compile(r"(?i)token|secret|passw|api_?key|credential|assertion|cookie|authori[sz]ation|client_?id|^scope$")
# What a form may show. Further fields are left out, so that a replay needs no credentials to look the same.
_FORM_FIELDS = frozenset({"grant_type", "client_id", "refresh_token"})
_HARMLESS = frozenset({"grant_type", "token_type", "expires_in"})
_REQUEST_HEADERS = ("content-type", "authorization")
_REPLY_HEADERS = ("content-type", "retry-after", "x-request-id", SIMULATOR)
_CONTRACT = frozenset(
    {"id", "requestId", "conversationId", "queueId", "timeId", "clientMessageId", "cursor"}
    | {"type", "status", "event", "contentType", "code", "error", "token_type"}
    | {"sentAt", "opensAt", "closesAt", "nextChange"}
)
_IN_BROKEN_JSON = re.compile(r'"([^"]*)"(\s*:\s*)"((?:[^"\\]|\\.)*)')
_LONG = 8


class Scrubber:
    """Scrubs one recording; give its two methods to vcrpy as `before_record_request` and `before_record_response`.

    `base_url` is what the recorded requests begin with (their host unless given). `replace` names further values and
    what stands for them, such as a tenant's queue id: they are replaced where they are a whole value or path segment.
    """

    def __init__(self, *, base_url: str | None = None, replace: Mapping[str, str] | None = None) -> None:
        self._base_url = base_url
        self._known: dict[str, str] = dict(replace or {})
        self._own: set[str] = set()

    def request(self, request: Any) -> Any:
        """Scrub a request of vcrpy's."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        request.body = self._request_body(headers.get("content-type", ""), request.body)
        request.headers = {name: self._header(name, headers[name]) for name in _REQUEST_HEADERS if name in headers}
        request.uri = self._uri(request.uri)
        return request

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        """Scrub a response of vcrpy's."""
        headers = {name.lower(): values for name, values in response["headers"].items()}
        if "content-encoding" in headers:
            raise ValueError("a packed body cannot be scrubbed: set decode_compressed_response, or record without it")
        # A Retry-After that is a date is judged by the reply's own clock.
        dated = ("date",) if not "".join(headers.get("retry-after", ["0"])).isdigit() else ()
        names = [name for name in (*_REPLY_HEADERS, *dated) if name in headers]
        kept = {name: [self._text(value) for value in headers[name]] for name in names}
        body = self._reply_body(response["body"]["string"], ours=SIMULATOR in headers)
        return {"status": response["status"], "headers": kept, "body": {"string": body}}

    def _header(self, name: str, value: str) -> str:
        if name != "authorization":
            return self._text(value)
        scheme, _, credentials = value.partition(" ")
        hidden = self._secret("access_token", credentials or value)
        return f"{scheme} {hidden}" if credentials else hidden

    def _uri(self, uri: str) -> str:
        parts = urlsplit(uri)
        path = parts.path
        if self._base_url and uri.startswith(self._base_url):
            path = path.removeprefix(urlsplit(self._base_url).path.rstrip("/"))
        segments = "/".join(quote(self._text(unquote(segment)), safe="") for segment in path.split("/"))
        pairs = [(name, self._named(name, value)) for name, value in parse_qsl(parts.query, keep_blank_values=True)]
        host = urlsplit(HOST)
        return urlunsplit((host.scheme, host.netloc, segments, urlencode(pairs), ""))

    def _request_body(self, content_type: str, body: bytes | None) -> bytes:
        text = (body or b"").decode("utf-8", "replace")
        if not text:
            return b""
        if content_type.startswith(_FORM):
            pairs = [(name, self._field(name, value)) for name, value in parse_qsl(text, keep_blank_values=True)]
            return urlencode([pair for pair in pairs if pair[0] in _FORM_FIELDS]).encode()
        try:
            document = json.loads(text)
        except ValueError:
            return self._broken(text).encode()
        self._learn(document)
        return _dumped(self._value("", document, keep=True))

    def _reply_body(self, body: bytes, *, ours: bool) -> bytes:
        text = body.decode("utf-8", "replace")
        try:
            return _dumped(self._value("", json.loads(text), keep=ours))
        except ValueError:
            return self._broken(text).encode() if ours else _shape(text)

    def _field(self, name: str, value: str) -> str:
        return value if name in _HARMLESS else self._secret(name, value)

    def _value(self, name: str, value: Any, *, keep: bool) -> Any:
        if isinstance(value, dict):
            told = _told(value)
            return {
                self._within(key): self._value(told.get(key) or key, item, keep=keep) for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._value(name, item, keep=keep) for item in value]
        if not isinstance(value, str):
            return self._number(name, value)
        plain = keep or name in _CONTRACT or value in self._own or _is_secret(name)
        return self._named(name, value) if plain else self._secret("words", value)

    def _number(self, name: str, value: Any) -> Any:
        """Leave a number alone, unless it is a secret by its name."""
        plain = value is None or isinstance(value, bool) or not _is_secret(name)
        return value if plain else self._secret(name, str(value))

    def _named(self, name: str, value: str) -> str:
        return self._secret(name, value) if _is_secret(name) else self._text(value)

    def _secret(self, field: str, value: str) -> str:
        """Give the value's placeholder, a new one when it was not met before."""
        if not value or _PLACEHOLDER.fullmatch(value):
            return value
        if value not in self._known:
            begin = f"scrubbed-{re.sub('[^a-zA-Z_]', '_', field)}-"
            number = 1 + sum(placeholder.startswith(begin) for placeholder in self._known.values())
            self._known[value] = f"{begin}{number}"
        return self._known[value]

    def _text(self, text: str) -> str:
        """Replace what is known: the whole text, or a long value within it."""
        return self._known[text] if text in self._known else self._within(text)

    def _within(self, text: str) -> str:
        for value in sorted(self._known, key=len, reverse=True):
            if len(value) >= _LONG:
                text = text.replace(value, self._known[value])
        return text

    def _broken(self, text: str) -> str:
        """Scrub what is not JSON, or only nearly."""
        return self._text(
            _IN_BROKEN_JSON.sub(lambda found: f'"{found[1]}"{found[2]}"{self._named(found[1], found[3])}', text)
        )

    def _learn(self, value: Any) -> None:
        """Remember what the test itself writes."""
        if isinstance(value, str):
            self._own.add(value)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self._learn(item)


def _is_secret(name: str) -> bool:
    return name not in _HARMLESS and _SECRET.search(name) is not None


def _told(document: Mapping[str, Any]) -> dict[str, str]:
    """Give the fields that their neighbours make private: the id of a person, the value of a secret variable."""
    person = {"id": "person"} if "displayName" in document else {}
    return {**person, "value": "secret_value"} if document.get("secret") is True else person


def _dumped(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _shape(text: str) -> bytes:
    """Keep of an unreadable body only what it was: nothing, a page, or broken JSON."""
    begin = text.lstrip()[:1]
    if begin == "<":
        return b"<!doctype html><title>scrubbed</title>"
    return b'{"scrubbed' if begin else b""
