"""Removes secrets and people's words from recordings, in requests and in replies.

It lists what is kept and removes everything else, so that an unexpected field cannot leak.

    removed always       tokens, secrets, the visitor's identity, client ids, the solution id in a request for a token,
                         cookies, other form fields and headers, the hosts
    removed unless from  every string of a reply, except ids, times and values of the contract, and except what the
    the simulator        test itself wrote

A value becomes `scrubbed-FIELD-NUMBER`, the same wherever it appears, so a cassette still shows which token was used.
A value of eight characters or more is also replaced inside longer texts. Scrubbing twice changes nothing.

Requests for a token go to `IDENTITY_HOST` in the cassette even if the service has one address for everything, so that
`base_url=HOST, identity_url=IDENTITY_HOST` replays every cassette.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

HOST = "https://puzzel.example"
"""The address of the communication service in a cassette."""
IDENTITY_HOST = "https://identity.puzzel.example"
"""The address of the identity service in a cassette."""
SIMULATOR = "x-simulator"
_FORM = "application/x-www-form-urlencoded"
_PLACEHOLDER = re.compile(r"scrubbed-[a-zA-Z_-]+-\d+")
_SECRET = re.compile(
    r"(?i)token|secret|passw|api_?key|credential|assertion|cookie|authori[sz]ation|client_?id|tenant_?id|^scope$"
    r"|visitor_?id|user_?info_?id|code_?verifier|code_?challenge"
)
# Other form fields are left out, so that a replay matches without credentials.
_FORM_FIELDS = frozenset({"grant_type", "client_id", "tenant_id", "refresh_token", "user_info_id", "code_verifier"})
_HARMLESS = frozenset({"grant_type", "token_type", "expires_in"})
_REQUEST_HEADERS = ("content-type", "authorization")
_REPLY_HEADERS = ("content-type", "retry-after", "x-request-id", SIMULATOR)
_CONTRACT = frozenset(
    {"id", "requestId", "conversationId", "eventId", "timeId", "clientMessageId", "cursor"}
    | {"type", "status", "event", "contentType", "code", "error", "token_type", "item_name"}
    | {"sentAt", "opensAt", "closesAt", "nextChange"}
)
_OAUTH_ERRORS = frozenset(
    {"invalid_request", "invalid_client", "invalid_grant", "invalid_scope"}
    | {"unauthorized_client", "unsupported_grant_type"}
)
_SIGN_IN = "/api/authenticate/"
_IDENTITY_PATH = re.compile(rf"/connect/token$|{_SIGN_IN}[^/]+$")
_IN_BROKEN_JSON = re.compile(r'"([^"]*)"(\s*:\s*)"((?:[^"\\]|\\.)*)')
_LONG = 8


class Scrubber:
    """Scrubs one recording; pass `request` and `response` to vcrpy as `before_record_request` and `..._response`.

    `base_url` and `identity_url` are the client's settings; without them, a request's path decides which service it
    is for. `replace` maps further values, such as a tenant's queue key, to their placeholders. These are replaced
    where they are a whole value or path segment, and long ones inside texts too.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        identity_url: str | None = None,
        replace: Mapping[str, str] | None = None,
    ) -> None:
        self._addresses = _addresses(base_url, identity_url)
        self._known: dict[str, str] = dict(replace or {})
        self._own: set[str] = set()

    def request(self, request: Any) -> Any:
        """Scrub vcrpy's request in place, and return it."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        request.body = self._request_body(headers.get("content-type", ""), request.body)
        request.headers = {name: self._header(name, headers[name]) for name in _REQUEST_HEADERS if name in headers}
        request.uri = self._uri(request.uri)
        return request

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        """Return vcrpy's response, scrubbed. Raise `ValueError` for a compressed body."""
        headers = {name.lower(): values for name, values in response["headers"].items()}
        if "content-encoding" in headers:
            raise ValueError("a compressed body cannot be scrubbed: set decode_compressed_response, or record plain")
        # A Retry-After with a date is relative to the reply's own Date.
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
        host, path = self._place(uri)
        before, sign_in, customer = path.rpartition(_SIGN_IN)
        if sign_in:
            path = f"{before}{sign_in}{self._secret('tenant_id', unquote(customer))}"
        segments = "/".join(quote(self._text(unquote(segment)), safe="") for segment in path.split("/"))
        pairs = [(name, self._named(name, value)) for name, value in parse_qsl(parts.query, keep_blank_values=True)]
        return urlunsplit((*urlsplit(host)[:2], segments, urlencode(pairs), ""))

    def _place(self, uri: str) -> tuple[str, str]:
        """Return the cassette's address for a request, and the path below the real one."""
        path = urlsplit(uri).path
        by_path = IDENTITY_HOST if _IDENTITY_PATH.search(path) else HOST
        for address, host in self._addresses.items():
            if uri.startswith(f"{address}/"):
                return host or by_path, path.removeprefix(urlsplit(address).path)
        return by_path, path

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
        plain = keep or name in _CONTRACT or value in self._own or value in _OAUTH_ERRORS or _is_secret(name)
        return self._named(name, value) if plain else self._secret("words", value)

    def _number(self, name: str, value: Any) -> Any:
        """Return a number unchanged, unless its name says that it is secret."""
        plain = value is None or isinstance(value, bool) or not _is_secret(name)
        return value if plain else self._secret(name, str(value))

    def _named(self, name: str, value: str) -> str:
        return self._secret(name, value) if _is_secret(name) else self._text(value)

    def _secret(self, field: str, value: str) -> str:
        """Return the value's placeholder, a new one for a new value."""
        if not value or _PLACEHOLDER.fullmatch(value):
            return value
        if value not in self._known:
            begin = f"scrubbed-{re.sub('[^a-zA-Z_]', '_', field)}-"
            number = 1 + sum(placeholder.startswith(begin) for placeholder in self._known.values())
            self._known[value] = f"{begin}{number}"
        return self._known[value]

    def _text(self, text: str) -> str:
        """Replace known values: the whole text, or a long value inside it."""
        return self._known[text] if text in self._known else self._within(text)

    def _within(self, text: str) -> str:
        for value in sorted(self._known, key=len, reverse=True):
            if len(value) >= _LONG:
                text = text.replace(value, self._known[value])
        return text

    def _broken(self, text: str) -> str:
        """Scrub a text that is no JSON, or damaged JSON."""
        return self._text(
            _IN_BROKEN_JSON.sub(lambda found: f'"{found[1]}"{found[2]}"{self._named(found[1], found[3])}', text)
        )

    def _learn(self, value: Any) -> None:
        """Remember the strings that the test itself sent."""
        if isinstance(value, str):
            self._own.add(value)
        for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            self._learn(item)


def _is_secret(name: str) -> bool:
    return name not in _HARMLESS and _SECRET.search(name) is not None


def _addresses(base_url: str | None, identity_url: str | None) -> dict[str, str | None]:
    """Return the cassette's address for each known one, None if the path decides; the longest first."""
    own, identity = ((url or "").rstrip("/") for url in (base_url, identity_url))
    given = {own: HOST, identity: IDENTITY_HOST} if identity not in ("", own) else {own: None}
    # Scrubbed addresses stay, so that a token request to the wrong host finds nothing to replay.
    known = {HOST: HOST, IDENTITY_HOST: IDENTITY_HOST, **given}
    return {url: known[url] for url in sorted(known, key=len, reverse=True) if url}


def _told(document: Mapping[str, Any]) -> dict[str, str]:
    """Return names for fields that only their neighbours explain: a person's id, an item's name and value."""
    told = {"id": "person"} if "displayName" in document else {}
    if {"name", "value"} <= document.keys():
        told["name"] = "item_name"
        if document.get("secret") is True or _is_secret(str(document["name"])):
            told["value"] = "secret_value"
    return told


def _dumped(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _shape(text: str) -> bytes:
    """Return a stand-in for an unreadable body: empty, an OAuth error, a page, or broken JSON."""
    error = dict(parse_qsl(text)).get("error", text.strip())
    if error in _OAUTH_ERRORS:
        return f"error={error}".encode()
    begin = text.lstrip()[:1]
    if begin == "<":
        return b"<!doctype html><title>scrubbed</title>"
    return b'{"scrubbed' if begin else b""
