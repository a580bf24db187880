"""What a Swagger UI page shows: the address of a document, a choice of several, or a document of its own.

No script is run. What it writes down is read: literals, the names given to them, and strings put together from both,
which is how the makers of such pages say it: Swashbuckle, NSwag, springdoc, swagger-ui-express, FastAPI and others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Final, TypeAlias, TypeVar
from urllib.parse import parse_qsl

from attrs import frozen

from pipeline.address import joined, origin, shown, split
from pipeline.decode import Tag, asks_for_password, read_html, read_value, text_of
from pipeline.document import Json, Object, text
from pipeline.problems import PipelineError, brief

MENTION = re.compile(r"swagger-?ui", re.IGNORECASE)
CALLED = ("SwaggerUIBundle", "SwaggerUI", "SwaggerUi", "SwaggerUICore")
# What a page loads of Swagger UI itself; it says nothing about the document.
LIBRARY = re.compile(r"swagger-ui[\w.-]*(?:bundle|preset)|swagger-ui(?:\.min)?\.js|jquery", re.IGNORECASE)
# The document that Swagger UI comes with, until somebody names one.
DEMO = re.compile(r"(?:https?:)?//petstore3?\.swagger\.io(?:[:/]|$)", re.IGNORECASE)
# What runs; data in a page has another type.
SCRIPT = re.compile(r"^$|script|module", re.IGNORECASE)
FROM_QUERY = ("url", "configUrl", "urls.primaryName")
LONGEST = 5 * 2**20  # characters of a script, and of a document written in one
LONGEST_SUM = 10_000  # a page that doubles a string again and again would otherwise fill the memory
BY_HAND = "open it in a browser, find the document in its network view, and give that address or a saved file"

# An unclosed string or pattern ends with its line, so that every character is looked at once.
WORD = re.compile(
    r"""(?P<gap>\s++|//[^\n\r]*+|<!--[^\n\r]*+|/\*(?>.*?(?:\*/|\Z)))
    |(?:(?<=[(=:,])|(?<=[(=:,]\s))/(?:[^/\\\[\n\r]|\\.|\[(?:[^\]\\\n\r]|\\.)*+\]?)++/?
    |"(?:[^"\\\n\r]|\\.)*+"?|'(?:[^'\\\n\r]|\\.)*+'?|`(?:[^`\\]|\\.)*+`?
    |-?\d[\w.]*(?:(?<=[eE])[+-]\d+)?|[\w$]+(?:\.[\w$]+)*+|=>|===?|\|\||\?\?|\.\.\.|!\d|.""",
    re.VERBOSE | re.DOTALL,
)
NAME = re.compile(r"(?!\d|(?:true|false|null)$)[\w$][\w$.]*")
PLACEHOLDER = re.compile(r"\$\{\s*([\w$.]+)\s*\}")
ESCAPE = re.compile(r"\\(?:u([\da-fA-F]{4})|x([\da-fA-F]{2})|(\r\n|.))", re.DOTALL)
LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0", "\n": "", "\r\n": ""}
# What only a browser could work out. JSON has no such number: a document that holds it cannot be written.
UNKNOWN: Final = float("nan")

Get: TypeAlias = Callable[[str], bytes]
Part = TypeVar("Part")


@frozen
class Found:
    """The document that a page shows: its address, or itself when it is written in the page; and how it was found."""

    address: str
    data: bytes | None
    told: str


def read_page(html: str) -> list[Tag] | None:
    """Return the tags of a Swagger UI page, None for any other text."""
    tags = read_html(html) if MENTION.search(html) else None
    return None if tags is None or asks_for_password(tags) else tags


def follow(page: list[Tag], address: str, choice: str | None, get: Get, told: list[str]) -> Found:
    """Return the document that a page shows, by name if it shows several; what was left out is told.

    `get` fetches the scripts that may say it, those of the page's own host first, and the settings at `configUrl`.
    Raises `PipelineError` when there is no document, or none of that name.
    """
    bases = [tag.attributes.get("href", "") for tag in page if tag.name == "base"]
    base = joined(address, next(filter(None, bases), ""))
    query: Object = {key: value for key, value in parse_qsl(split(address).query) if key in FROM_QUERY}
    if choice is None and "url" in query:
        return _found(query, address, base, choice)
    settings = {**_called_with(page, address, base, get, told), **query}
    if reference := text(settings, "configUrl"):
        place = joined(base, reference)
        value, _ = read_value(text_of(get(place)), shown(place))
        if not isinstance(value, dict):
            raise PipelineError(f"{shown(place)} is no configuration of Swagger UI: give the document's address.")
        settings = {**settings, **value, **query}
    return _found(settings, address, base, choice)


def _called_with(page: list[Tag], address: str, base: str, get: Get, told: list[str]) -> Object:
    """Return what Swagger UI is called with; no more scripts are fetched than it takes to know that."""
    tags = [tag for tag in page if tag.name == "script" and SCRIPT.search(tag.attributes.get("type", ""))]
    sources = [joined(base, source) if (source := tag.attributes.get("src", "").strip()) else "" for tag in tags]
    texts = ["" if source else tag.text for tag, source in zip(tags, sources, strict=True)]
    wanted = [at for at, source in enumerate(sources) if source and not LIBRARY.search(source.rpartition("/")[2])]
    settings = _settings(texts, address)
    for at in sorted(wanted, key=lambda at: origin(sources[at]) != origin(base)):
        # Another script may hold what has a name here, and a document written down wins over an address.
        if _names_a_document(settings) and UNKNOWN not in (settings.get("spec"), settings.get("urls")):
            break
        try:
            texts[at] = text_of(get(sources[at]))
        except PipelineError as error:  # It may be none of those that count.
            told.append(f"A script of the page was left out: {error}")
        settings = _settings(texts, address)
    return settings


def _settings(texts: list[str], address: str) -> Object:
    place = split(address)
    location: Object = {"origin": f"{place.scheme}://{place.netloc}", "protocol": f"{place.scheme}:"}
    names: Object = {"location": {**location, "host": place.netloc, "hostname": place.hostname or ""}}
    scripts = [_Script(one, names) for one in texts if len(one) <= LONGEST]
    try:
        # Twice, for a page calls when all is loaded: a name may get its value in a later script.
        calls = [[call for script in scripts for call in script.calls()] for _ in range(2)][1]
    except RecursionError:
        raise PipelineError(f"{shown(address)} has a script that is nested too deeply: {BY_HAND}.") from None
    return next(filter(_names_a_document, calls), next(iter(calls), {}))


def _names_a_document(settings: Object) -> bool:
    return bool(isinstance(settings.get("spec"), dict) or text(settings, "configUrl") or _offers(settings))


def _offers(settings: Object) -> dict[str, str]:
    """Return the addresses on offer by name, the demo left out."""
    several = settings.get("urls")
    found: dict[str, str] = {}
    for offer in several if isinstance(several, list) else []:
        if isinstance(offer, dict) and (url := text(offer, "url")):
            found.setdefault(text(offer, "name") or url.partition("?")[0], url)
    found = found or {"": text(settings, "url")}
    return {name: url for name, url in found.items() if url and not DEMO.match(url)}


def _found(settings: Object, address: str, base: str, choice: str | None) -> Found:
    page, inline, offers = f"{shown(address)} is a Swagger UI page", settings.get("spec"), _offers(settings)
    if not offers and not isinstance(inline, dict):
        raise PipelineError(f"{page} {_nothing(settings)}.")
    if choice is not None and (isinstance(inline, dict) or [*offers] == [""]):
        raise PipelineError(f"{shown(address)} shows one document, which has no name: leave out SPEC_NAME=.")
    if isinstance(inline, dict):
        return Found(address, _written(inline, shown(address)), f"{page} with its document written in it.")
    wanted = (text(settings, "urls.primaryName") if choice is None else choice).strip().casefold()
    names = brief(", ".join(brief(name) for name in offers), 400)
    fitting = [name for name in offers if name.casefold() == wanted]
    if not fitting and choice is not None:
        raise PipelineError(f"{shown(address)} has no document {brief(choice)}: name one of {names} with SPEC_NAME=.")
    name = [*fitting, *offers][0]
    target = joined(base, offers[name])
    told = brief(name) or shown(target)
    if len(offers) > 1:
        other = ": name another with SPEC_NAME=" if choice is None else ""
        told = f"{len(offers)} documents ({names}), took {told}{other}"
    return Found(target, None, f"{page}; it shows {told}.")


def _nothing(settings: Object) -> str:
    if DEMO.match(text(settings, "url")):
        return "with only the default demo document of Swagger UI, not the vendor's: give the document's own address"
    return f"whose document could not be found by reading its scripts: {BY_HAND}"


def _written(document: Object, place: str) -> bytes:
    written = ""
    try:
        # Piece by piece, for names that stand for one another many times over could make it endless.
        for piece in json.JSONEncoder(indent=2, allow_nan=False).iterencode(document):
            written += piece
            if len(written) > LONGEST:
                raise PipelineError(f"{place} holds a document that is too big: {BY_HAND}.")
    except (ValueError, RecursionError):
        raise PipelineError(f"{place} puts its document together by program code: {BY_HAND}.") from None
    return written.encode()


class _Script:
    """One script, read from a place on; whatever reads a part leaves the place behind it."""

    def __init__(self, script: str, names: Object) -> None:
        self._words = [found[0] for found in WORD.finditer(script) if found["gap"] is None]
        self._names = names
        self._at = 0
        opened: list[int] = []
        self._ends: dict[int, int] = {}
        for at, word in enumerate(self._words):
            if word in ("(", "[", "{"):
                opened.append(at)
            elif word in (")", "]", "}") and opened:
                self._ends[opened.pop()] = at
        self._ends |= dict.fromkeys(opened, len(self._words))

    def calls(self) -> list[Object]:
        """Note every name that gets a value, and return what Swagger UI is called with."""
        settings: list[Object] = []
        for at, (word, after) in enumerate(pairwise(self._words)):
            if after not in ("=", "(") or not NAME.fullmatch(word) or (at and self._words[at - 1] == "."):
                continue
            path, self._at = _path(word), at + 2
            if after == "=":
                self._assign(path, self._expression())
            elif path[-1] in CALLED and isinstance(value := self._expression(), dict):
                settings.append(value)
        return settings

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._words[at] if at < len(self._words) else ""

    def _taken(self, *words: str) -> bool:
        taken = self._peek() in words
        self._at += taken
        return taken

    def _assign(self, path: list[str], value: Json) -> None:
        holder: Json = self._names
        for key in path[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        # What is known stays: the unknown is mostly a branch that asks the browser.
        if isinstance(holder, dict) and path[0] != "location":
            holder[path[-1]] = holder.get(path[-1], UNKNOWN) if value is UNKNOWN else value

    def _named(self, name: str) -> Json:
        value: Json = self._names
        for key in _path(name):
            value = value.get(key, UNKNOWN) if isinstance(value, dict) else UNKNOWN
        return value

    def _expression(self) -> Json:
        value = self._sum()
        while self._taken("||", "??"):
            other = self._sum()
            value = other if value is UNKNOWN else value or other
        word = self._peek()
        return value if word in ("", ",", ";", ")", "]", "}") or NAME.fullmatch(word) else UNKNOWN

    def _sum(self) -> Json:
        pieces = [self._operand()]
        while self._taken("+"):
            pieces.append(self._operand())
        return _added(pieces)

    def _operand(self) -> Json:
        word = self._peek()
        if word == "{":
            return {key: value for part in self._each(self._property) for key, value in part.items()}
        if word == "[":
            return self._each(self._expression)
        if word == "JSON.parse" and self._peek(1) == "(":
            self._at += 1
            return _parsed([*self._each(self._expression), UNKNOWN][0])
        self._at += word != "("
        value = self._scalar(word)
        while self._peek() in ("(", "["):  # a call or a member, which only a browser works out
            value, self._at = UNKNOWN, self._ends[self._at] + 1
        return value

    def _scalar(self, word: str) -> Json:
        if word[:1] in ('"', "'"):
            return _unescaped(word[1:-1]) if word[-1] == word[0] else UNKNOWN
        if word[:1] == "`":
            pieces = PLACEHOLDER.split(word[1:-1])
            if "${" in "".join(pieces[::2]):
                return UNKNOWN
            return _added([self._named(one) if at % 2 else _unescaped(one) for at, one in enumerate(pieces)])
        return self._named(word) if NAME.fullmatch(word) else _parsed({"!0": "true", "!1": "false"}.get(word, word))

    def _each(self, read: Callable[[], Part]) -> list[Part]:
        found: list[Part] = []
        end = self._ends[self._at]
        self._at += 1
        while self._at < end:
            found.append(read())
            while self._at < end and self._peek() != ",":  # the rest of what was not understood
                self._at = self._ends.get(self._at, self._at) + 1
            self._at += 1
        self._at = end + 1
        return found

    def _property(self) -> Object:
        word, after = self._peek(), self._peek(1)
        if after == ":":
            self._at += 2
            return {_unescaped(word[1:-1]) if word[0] in "\"'" else word: self._expression()}
        more = self._named(after) if word == "..." else None
        if isinstance(more, dict):
            return more
        # Else a method, a computed key, or more of what is unknown, when it is no name alone.
        return {word: self._named(word) if after in (",", "}") else UNKNOWN}


def _path(name: str) -> list[str]:
    path = name.split(".")
    return path[1:] if path[0] in ("window", "self", "globalThis") and len(path) > 1 else path


def _added(pieces: list[Json]) -> Json:
    if len(pieces) == 1:
        return pieces[0]
    texts = [piece for piece in pieces if isinstance(piece, str)]
    return "".join(texts) if len(texts) == len(pieces) and sum(map(len, texts)) <= LONGEST_SUM else UNKNOWN


def _parsed(written: Json) -> Json:
    try:
        value: Json = json.loads(written) if isinstance(written, str) else UNKNOWN
    except ValueError:
        return UNKNOWN
    return value


def _unescaped(written: str) -> str:
    # A letter beyond the first plane is written as two escapes, which are one letter together.
    return ESCAPE.sub(_letter, written).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _letter(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else LETTERS.get(match[3], match[3])
