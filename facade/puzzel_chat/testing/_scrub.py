"""Removes secrets and people's words from recordings, in requests and in replies.

It lists what is kept and removes everything else, so that an unexpected field cannot leak.

    removed always       tokens, secrets, the visitor's identity, client ids, the solution id in a request for a token,
                         cookies, other form fields and headers, the hosts
    removed unless from  every string and number of a reply, and every name in it that looks like data; except, at their
    the simulator        places in the API's document: ids, figures, times and words in letters such as a status or a
                         type; and except what the test itself wrote, where the service gives it back as the customer's
    kept                 what the test itself wrote: ids in paths, variables, messages; see `replace`

Ids of people and of options count as words, and so does everything in a message of an unknown type but what all
messages have. A value's place alone decides whether it is removed, never what came before.

A value becomes `scrubbed-FIELD-NUMBER`, or a number from 990000000000001 on, the same wherever it appears. The numbers
count, so nothing can be guessed from them. Two things keep a recording playable:

- What a request brings by itself, such as a client id or a token from a store, is numbered within that request: a
  replay with other credentials comes to the same. Tokens that a reply brought are known by their number.
- The address of a file leads to where everything is in the cassette, or to `ELSEWHERE`, and so does the request for it.
- A text belongs to who said it first. A request that repeats the service's words, such as `send(option.label)`, has
  their stand-ins, and in a replay the client says these; any text fits a stand-in in a body (`same_body`).

What was scrubbed is not scrubbed again. Requests for a token go to `IDENTITY_HOST` in the cassette even if the service
has one address for everything, so that `base_url=HOST, identity_url=IDENTITY_HOST` replays every cassette.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from puzzel_chat.testing._places import (
    DOCUMENTED,
    HARMLESS,
    KINDS,
    MEDIA,
    NAME,
    OAUTH_ERRORS,
    OTHER,
    PLACES,
    is_figure,
    is_id,
    is_secret,
    known_path,
)
from puzzel_chat.testing._texts import LONG, Inside, key_of

HOST = "https://puzzel.example"
"""The address of the communication service in a cassette."""
IDENTITY_HOST = "https://identity.puzzel.example"
"""The address of the identity service in a cassette."""
ELSEWHERE = "https://elsewhere.example"
"""The address of everybody else in a cassette."""
SIMULATOR = "x-simulator"
PLACEHOLDER = re.compile(r"scrubbed-([a-zA-Z_-]+)-(\d+)")
FIRST_FIGURE = 990_000_000_000_000
_FIGURE = re.compile(r"\b990000000(\d{6})\b")
_FIGURES = 10**6
_FORM = "application/x-www-form-urlencoded"
# Other form fields are left out, so that a replay matches without credentials.
_FORM_FIELDS = frozenset({"grant_type", "client_id", "tenant_id", "refresh_token", "user_info_id", "code_verifier"})
_GIVEN_BACK = frozenset({"access_token", "refresh_token", "user_info_id", "cursor"})
"""Fields of a request whose values come from a reply."""
_REQUEST_HEADERS = ("content-type", "authorization")
_REPLY_HEADERS = ("content-type", "retry-after", "x-request-id", SIMULATOR, "location", "date")
_IN_BROKEN_JSON = re.compile(r'"([^"]*)"(\s*:\s*)"((?:[^"\\]|\\.)*)')
_DEEPEST = 32


class Scrubber:
    """Scrubs one recording; pass `request` and `response` to vcrpy as `before_record_request` and `..._response`.

    `base_url` and `identity_url` are the client's settings; without them, a request's path decides which service it
    is for. `replace` maps further values, such as a tenant's queue key, to their placeholders. These are replaced
    where they are a whole value, an id or a path segment, and long ones inside texts too.
    """

    def __init__(
        self,
        *,
        base_url: str | None = None,
        identity_url: str | None = None,
        replace: Mapping[str, str] | None = None,
    ) -> None:
        self._addresses = _addresses(base_url, identity_url)
        self._servers: set[str] = set()
        self._files: dict[str, str] = {}
        self._replace = dict(replace or {})
        self._secrets: dict[str, str] = {}
        self._given: set[str] = set()
        self._words: dict[str, str] = {}
        self._said_first: dict[str, str] = {}
        self._figures: dict[str, int] = {}
        self._own: dict[str, str] = {}
        self._count: Counter[str] = Counter()
        self._played = False
        self._inside = Inside()
        for value, placeholder in self._replace.items():
            self._inside.add(value, placeholder)
            # A placeholder stays, also where it contains what it replaces.
            self._inside.add(placeholder, placeholder)

    def request(self, request: Any) -> Any:
        """Scrub vcrpy's request in place, and return it."""
        # vcrpy passes each reply after its request, also when it loads a cassette.
        self._played = request.uri.startswith((f"{HOST}/", f"{IDENTITY_HOST}/"))
        brought = _Brought()
        headers = {name.lower(): value for name, value in request.headers.items()}
        request.body = self._request_body(headers.get("content-type", ""), request.body, brought)
        kept = {name: headers[name] for name in _REQUEST_HEADERS if name in headers}
        request.headers = {name: self._header(name, value, brought) for name, value in kept.items()}
        request.uri = self._uri(request.uri, brought, stranger="authorization" not in headers)
        return request

    def response(self, response: dict[str, Any]) -> dict[str, Any]:
        """Return vcrpy's response, scrubbed. Raise `ValueError` for a body in another encoding than gzip."""
        if self._played:
            self._count_on(f"{response['headers']} {response['body']['string']!r}")
            return response
        headers = {name.lower(): values for name, values in response["headers"].items()}
        ours, status = SIMULATOR in headers, response["status"]
        kept = {name: values for name, values in self._kept(headers, status["code"], ours=ours) if values}
        try:
            body = self._reply_body(_unpacked(headers, response["body"]["string"] or b""), ours=ours)
        except zlib.error:
            # It fails in the same way in a replay.
            kept, body = {**kept, "content-encoding": ["gzip"]}, b"scrubbed"
        message = status["message"] if ours else _phrase(status["code"])
        return {"status": {"code": status["code"], "message": message}, "headers": kept, "body": {"string": body}}

    # Requests.

    def _header(self, name: str, value: str, brought: _Brought) -> str:
        if name != "authorization":
            return _media(value)
        scheme, _, credentials = value.partition(" ")
        hidden = self._sent_secret("access_token", credentials or value, brought)
        return f"{scheme} {hidden}" if credentials else hidden

    def _uri(self, uri: str, brought: _Brought, *, stranger: bool) -> str:
        parts = urlsplit(uri)
        if uri in self._files:
            return self._files[uri]
        known = {*self._servers, *(urlsplit(one).netloc for one in self._addresses)}
        if stranger and known_path(parts.path) is None and parts.netloc not in known:
            return f"{ELSEWHERE}/scrubbed"  # a file's, whose address may hold its name, or the right to fetch it
        if not self._played:
            self._servers.add(parts.netloc)
        host, path = self._place(uri)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = urlencode([(name, self._parameter(name, value, brought)) for name, value in pairs])
        return urlunsplit((*urlsplit(host)[:2], self._path(path, brought), query, ""))

    def _place(self, uri: str) -> tuple[str, str]:
        """Return the cassette's address for a request, and the path below the real one."""
        path = urlsplit(uri).path
        found = known_path(path)
        by_path = IDENTITY_HOST if found and found[1].host == "identity" else HOST
        for address, host in self._addresses.items():
            if uri.startswith(f"{address}/"):
                return host or by_path, path.removeprefix(urlsplit(address).path)
        return by_path, path

    def _path(self, path: str, brought: _Brought) -> str:
        """Scrub a path: of the API's document its ids, without what stands before it; of another whole segments."""
        found = known_path(path)
        if found is None:
            return "/".join(quote(self._replaced(unquote(one)), safe="") for one in path.split("/"))
        match, operation = found
        shown, end = "", match.start()
        for number, written in enumerate(match.groups(), 1):
            value = unquote(written)
            tenant = "{customerId}" in operation.path
            value = self._sent_secret("tenant_id", value, brought) if tenant else self._replaced(value)
            shown += path[end : match.start(number)] + quote(value, safe="")
            end = match.end(number)
        return shown + path[end:]

    def _parameter(self, name: str, value: str, brought: _Brought) -> str:
        if name == "after":
            return value if is_figure(value) else self._sent_secret("cursor", value, brought)
        return self._sent_secret(name, value, brought) if is_secret(name) else self._text(value)

    def _request_body(self, content_type: str, body: bytes | None, brought: _Brought) -> bytes:
        text = (body or b"").decode("utf-8", "replace")
        if not text:
            return b""
        if content_type.startswith(_FORM):
            pairs = parse_qsl(text, keep_blank_values=True)
            shown = [(name, self._field(name, value, brought)) for name, value in pairs]
            return urlencode([pair for pair in shown if pair[0] in _FORM_FIELDS]).encode()
        try:
            return _dumped(self._sent("", json.loads(text), brought))
        except (ValueError, RecursionError):
            return self._broken(text).encode()

    def _field(self, name: str, value: str, brought: _Brought) -> str:
        return value if name in HARMLESS else self._sent_secret(name, value, brought)

    def _sent(self, name: str, value: Any, brought: _Brought) -> Any:
        """Scrub what a test sent: all but secrets, and the words of others, is its own."""
        if isinstance(value, dict):
            told = _told(value)
            return {key: self._sent(told.get(key) or key, item, brought) for key, item in value.items()}
        if isinstance(value, list):
            return [self._sent(name, item, brought) for item in value]
        if value is None or isinstance(value, bool):
            return value
        if is_secret(name):
            return self._sent_secret(name, str(value), brought)
        return self._said(value) if isinstance(value, str) and name != "item_name" else value

    def _said(self, text: str) -> str:
        """Return a text of the test's own; the words of others in it are replaced, unless it had said them first."""
        if text not in self._own:
            self._own[text] = self._said_first.get(key_of(text)) or self._text(text)
        return self._own[text]

    def _sent_secret(self, field: str, value: str, brought: _Brought) -> str:
        """Return the placeholder of what a reply gave, else one that follows from this request alone."""
        if not value or PLACEHOLDER.fullmatch(value):
            return value
        if field in _GIVEN_BACK and value in self._given:
            return self._secrets[value]
        number = brought.number(_label(field), value)
        self._count[_label(field)] = max(self._count[_label(field)], number)
        hidden = f"scrubbed-{_label(field)}-{number}"
        self._inside.add(value, self._secrets.setdefault(value, hidden))
        return hidden

    # Replies.

    def _kept(self, headers: Mapping[str, list[str]], status: int, *, ours: bool) -> Iterator[tuple[str, list[str]]]:
        """Yield the headers that a client reads."""
        # A Retry-After with a date is relative to the reply's own Date.
        dated = not "".join(headers.get("retry-after", ["0"])).strip().isdigit()
        for name in _REPLY_HEADERS:
            values = headers.get(name, [])
            if name == "content-type":
                yield name, list(map(_media, values))
            elif name == "retry-after" or (name == "date" and dated):
                yield name, [value for value in values if _is_date(value) or is_figure(value.strip())]
            elif name == "x-request-id" and not ours:
                yield name, [self._given_secret("request_id", value) for value in values]
            elif name == "location" and 300 <= status < 400:
                yield name, list(map(self._location, values))
            elif name in ("x-request-id", SIMULATOR):
                yield name, list(map(self._text, values))

    def _location(self, location: str) -> str:
        """Return where a redirect leads: to a path of the document, here or elsewhere, or to no path that is told."""
        try:
            parts = urlsplit(location)
        except ValueError:
            return ELSEWHERE
        path = self._path(parts.path, _Brought()) if known_path(parts.path) else "/scrubbed"
        if not parts.netloc:
            return path
        known = parts.netloc in self._servers or any(location.startswith(f"{one}/") for one in self._addresses)
        self._files[location] = f"{self._place(location)[0] if known else ELSEWHERE}{path}"
        return self._files[location]

    def _reply_body(self, body: bytes, *, ours: bool) -> bytes:
        try:
            document = json.loads(body)
            return _dumped(self._kept_value("", document) if ours else self._value("", "", document))
        except (ValueError, RecursionError):
            text = body.decode("utf-8", "replace")
            return self._broken(text).encode() if ours else _shape(text)

    def _value(self, place: str, name: str, value: Any, own: bool = False) -> Any:
        """Scrub a part of a stranger's reply. In `own` parts the test's own texts stay."""
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, dict | list) and place.count("/") > _DEEPEST:
            return self._word("deep")
        if isinstance(value, dict):
            return self._members(place, value, own)
        if isinstance(value, list):
            return [self._value(f"{place}/*", name, item, own) for item in value]
        keeps = PLACES.get(place)
        if keeps is not None and keeps(value):
            return self._replaced_id(value) if keeps is is_id else value
        if place == "/cursor" or (is_secret(name) and (isinstance(value, str) or place in DOCUMENTED)):
            return self._given_secret(name, str(value))
        if isinstance(value, str) and place in ("/url", "/messages/*/url"):
            return self._location(value)
        if isinstance(value, str):
            return self._own[value] if own and value in self._own else self._word(value, is_choice=name == "label")
        return self._figure(value)

    def _members(self, place: str, document: dict[str, Any], own: bool) -> dict[str, Any]:
        told: dict[str, str] = {}
        if place == "/messages/*":
            place = place if document.get("type") in KINDS else OTHER
            own = self._is_own(document)
        elif place == "/*" and {"name", "value"} <= document.keys():
            told, own = _told(document), True
        shown = {}
        for key, item in document.items():
            # A name that looks like data is no place of the document, even if it reads like one ("messages/*/id").
            known = NAME.fullmatch(key) is not None
            inner = f"{place}/{key if known else ''}"
            shown[key if known else self._word(key)] = self._value(inner, told.get(key) or key, item, own)
        return shown

    def _is_own(self, item: Mapping[str, Any]) -> bool:
        """Tell whether a message is the customer's, who is the test."""
        author, number = item.get("author"), item.get("clientMessageId")
        by_customer = isinstance(author, dict) and author.get("role") == 0
        return by_customer or (isinstance(number, str) and number in self._own)

    def _word(self, text: str, *, is_choice: bool = False) -> str:
        """Return the stand-in for words of others."""
        if text in self._replace or not text.strip() or PLACEHOLDER.fullmatch(text):
            return self._replaced(text)
        if text not in self._words:
            self._words[text] = self._next("words")
        if key := key_of(text):
            # Somebody else may say "Hello", too; a choice is there to be repeated.
            if is_choice or len(key) >= LONG:
                self._said_first.setdefault(key, self._words[text])
            self._inside.add_words(text, self._words[text])
        return self._words[text]

    def _figure(self, value: float) -> float:
        """Return the stand-in for a number that nobody knows."""
        if FIRST_FIGURE < value < FIRST_FIGURE + _FIGURES:
            return value
        if (found := self._replace.get(str(value), "")).isdecimal():
            return int(found)
        if (written := repr(value)) not in self._figures:
            self._count["figures"] += 1
            self._figures[written] = FIRST_FIGURE + self._count["figures"]
        return int(self._figures[written]) if isinstance(value, int) else float(self._figures[written])

    def _given_secret(self, field: str, value: str) -> str:
        """Return the placeholder of a secret that the service gave, a new one for a new value."""
        if not value or PLACEHOLDER.fullmatch(value):
            return value
        if value not in self._secrets:
            self._secrets[value] = self._next(_label(field))
        self._given.add(value)
        self._inside.add(value, self._secrets[value])
        return self._secrets[value]

    def _next(self, field: str) -> str:
        self._count[field] += 1
        return f"scrubbed-{field}-{self._count[field]}"

    def _count_on(self, written: str) -> None:
        """Number what is new after what a cassette has already."""
        for field, number in PLACEHOLDER.findall(written):
            self._count[field] = max(self._count[field], int(number))
        for number in _FIGURE.findall(written):
            self._count["figures"] = max(self._count["figures"], int(number))

    # What the simulator said, and texts.

    def _kept_value(self, name: str, value: Any) -> Any:
        """Scrub a part of the simulator's reply: secrets only."""
        if isinstance(value, dict):
            told = _told(value)
            return {self._text(key): self._kept_value(told.get(key) or key, item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._kept_value(name, item) for item in value]
        if value is None or isinstance(value, bool):
            return value
        if is_secret(name) or (name == "cursor" and not is_figure(value)):
            return self._given_secret(name, str(value))
        if PLACES.get(f"/{name}") is is_id:
            return self._replaced_id(value)
        if name == "url" and isinstance(value, str):
            return self._location(value)
        return self._text(value) if isinstance(value, str) else value

    def _replaced(self, value: str) -> str:
        return self._replace.get(value, value)

    def _replaced_id(self, value: Any) -> Any:
        """Return an id, or its placeholder, as a number if it is one."""
        found = self._replace.get(str(value))
        return value if found is None else type(value)(found) if is_figure(found) else found

    def _text(self, text: str) -> str:
        """Replace what `replace` names as a whole, and long known values inside it."""
        return self._replace[text] if text in self._replace else self._inside.sub(text)

    def _broken(self, text: str) -> str:
        """Scrub a text that is no JSON, or damaged JSON."""
        return self._text(
            _IN_BROKEN_JSON.sub(lambda found: f'"{found[1]}"{found[2]}"{self._broken_value(found[1], found[3])}', text)
        )

    def _broken_value(self, name: str, value: str) -> str:
        return self._given_secret(name, value) if is_secret(name) else self._text(value)


class _Brought:
    """The secrets of one request that no reply gave, numbered."""

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}

    def number(self, field: str, value: str) -> int:
        values = self._values.setdefault(field, [])
        if value not in values:
            values.append(value)
        return values.index(value) + 1


def _label(field: str) -> str:
    """Return a secret's name in its placeholder."""
    return re.sub("[^a-zA-Z_]", "_", field) if NAME.fullmatch(field) else "secret"


def _is_date(value: str) -> bool:
    try:
        return bool(parsedate_to_datetime(value))
    except (ValueError, TypeError, IndexError, OverflowError):
        return False


def _media(content_type: str) -> str:
    """Return a content type with its charset and no other parameter."""
    found = MEDIA.match(content_type)
    return found[0] if found else ""


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _unpacked(headers: Mapping[str, list[str]], body: bytes) -> bytes:
    """Return a body without its content encoding; raise `zlib.error` if it does not have it."""
    named = (one.strip() for one in ",".join(headers.get("content-encoding", [])).lower().split(","))
    codings = [one for one in named if one not in ("", "identity")]
    if codings in ([], ["gzip"], ["x-gzip"]):
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body) if codings else body
    raise ValueError("a compressed body can be scrubbed only if it is gzip, which is all that the client asks for")


def _addresses(base_url: str | None, identity_url: str | None) -> dict[str, str | None]:
    """Return the cassette's address for each known one, None if the path decides; the longest first."""
    own, identity = ((url or "").rstrip("/") for url in (base_url, identity_url))
    given = {own: HOST, identity: IDENTITY_HOST} if identity not in ("", own) else {own: None}
    # Scrubbed addresses stay, so that a token request to the wrong host finds nothing to replay.
    known = {HOST: HOST, IDENTITY_HOST: IDENTITY_HOST, **given}
    return {url: known[url] for url in sorted(known, key=len, reverse=True) if url}


def _told(document: Mapping[str, Any]) -> dict[str, str]:
    """Return names for the fields of a named value, which only their neighbours explain."""
    if not {"name", "value"} <= document.keys():
        return {}
    secret = document.get("secret") is True or is_secret(str(document["name"]))
    return {"name": "item_name", **({"value": "secret_value"} if secret else {})}


def _dumped(document: Any) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _shape(text: str) -> bytes:
    """Return a stand-in for an unreadable body: empty, an OAuth error, a page, or broken JSON."""
    error = dict(parse_qsl(text)).get("error", text.strip())
    if error in OAUTH_ERRORS:
        return f"error={error}".encode()
    begin = text.lstrip()[:1]
    if begin == "<":
        return b"<!doctype html><title>scrubbed</title>"
    return b'{"scrubbed' if begin else b""
