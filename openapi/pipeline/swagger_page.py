"""Which document a Swagger UI page shows: no script is run, but its literals and the names given to them are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final, TypeAlias, TypeGuard, cast
from urllib.parse import parse_qsl

from pipeline.address import joined, origin, shown, split
from pipeline.decode import Tag, read_html, read_value, text_of
from pipeline.document import Json, Object, child, items, text
from pipeline.problems import PipelineError, brief

MENTION = re.compile(r"swagger-?ui", re.IGNORECASE)
CALLED = ("SwaggerUIBundle", "SwaggerUI", "SwaggerUi", "SwaggerUICore")
# What a page loads of Swagger UI itself; it says nothing about the document.
LIBRARY = re.compile(r"swagger-ui[\w.-]*(?:bundle|preset)|swagger-ui(?:\.min)?\.js|jquery", re.IGNORECASE)
# The document that Swagger UI comes with, until somebody names one.
DEMO = re.compile(r"(?:https?:)?//petstore3?\.swagger\.io(?:[:/]|$)", re.IGNORECASE)
FROM_QUERY = ("url", "configUrl", "urls.primaryName")
LONGEST = 5 * 2**20  # characters of a script, and of a document written in one
LONGEST_SUM = 10_000  # a page that doubles a string again and again would otherwise fill the memory
BY_HAND = "open it in a browser, find the document in its network view, and give that address or a saved file"

# An unclosed string or pattern ends with its line, so that every character is looked at once.
WORD = re.compile(
    r"""(?P<gap>\s++|//[^\n\r]*+|<!--[^\n\r]*+|/\*(?>.*?(?:\*/|\Z)))
    |(?:(?<=[(=:,])|(?<=[(=:,]\s))/(?:[^/\\\[\n\r]|\\.|\[(?:[^\]\\\n\r]|\\.)*+\]?)++/?
    |"(?:[^"\\\n\r]|\\.)*+"?|'(?:[^'\\\n\r]|\\.)*+'?|`(?:[^`\\]|\\.)*+`?
    |-?\d[\w.]*(?:(?<=[eE])[+-]\d+)?|[\w$]+(?:\.[\w$]+)*+|=>|===?|\|\||\?\?|\.\.\.|.""",
    re.VERBOSE | re.DOTALL,
)
NAME = re.compile(r"(?!\d|(?:true|false|null)$)[\w$][\w$.]*")
OPENING, CLOSING = ("(", "[", "{"), (")", "]", "}")
QUOTED = re.compile(r'\\.|"', re.DOTALL)
QUOTES = {'"': '\\"', "'": "'", "`": "`", "\\'": "'", "\\`": "`"}
# What only a browser could work out. JSON has no such number: a document that holds it cannot be written.
UNKNOWN: Final = float("nan")

Get: TypeAlias = Callable[[str], bytes]
# A word of a script, or what stands in a bracket, which is its first word.
Part: TypeAlias = "str | list[Part]"


def read_page(html: str) -> list[Tag] | None:
    """Return the tags of a Swagger UI page, None for any other text and for a page that wants a password first."""
    tags = (read_html(html) or []) if MENTION.search(html) else []
    login = any(tag.name == "input" and tag.attributes.get("type", "").lower() == "password" for tag in tags)
    return tags if tags and not login else None


def follow(page: list[Tag], address: str, choice: str | None, get: Get, told: list[str]) -> str | bytes:
    """Return the address of the document that a page shows, or the document itself; how it was found is told."""
    bases = [tag.attributes.get("href", "") for tag in page if tag.name == "base"]
    base = joined(address, next(filter(None, bases), ""))
    query: Object = {key: value for key, value in parse_qsl(split(address).query) if key in FROM_QUERY}
    settings = {**_called_with(page, address, base, get, told), **query}
    if reference := text(settings, "configUrl"):
        place = joined(base, reference)
        settings = {**settings, **child(read_value(text_of(get(place)), shown(place))), **query}
    offers = _offers(settings)
    if not offers:
        none = "whose scripts, as far as they can be read, name no document but the demo of Swagger UI"
        raise PipelineError(f"{shown(address)} is a Swagger UI page {none}: {BY_HAND}.")
    name, how = _chosen(offers, choice, text(settings, "urls.primaryName"), shown(address))
    found = offers[name]
    if isinstance(found, dict):
        told.append(f"{shown(address)} is a Swagger UI page with its document written in it.")
        return _written(found, shown(address))
    target = joined(base, found)
    told.append(f"{shown(address)} is a Swagger UI page; it shows {how or shown(target)}.")
    return target


def _chosen(offers: dict[str, str | Object], choice: str | None, primary: str, place: str) -> tuple[str, str]:
    """Return the name of a document, and of several how it was chosen: by the person, else by the page."""
    names = brief(", ".join(map(brief, offers)), 400)
    fitting = [name for name in offers if name.casefold() == (choice or primary).strip().casefold()]
    if choice and not fitting:
        raise PipelineError(f"{place} has no document {brief(choice)}: name one of {names} with SPEC_NAME=.")
    name = [*fitting, *offers][0]
    other = "" if choice else ": name another with SPEC_NAME="
    return name, f"{len(offers)} documents ({names}), took {brief(name)}{other}" if len(offers) > 1 else ""


def _called_with(page: list[Tag], address: str, base: str, get: Get, told: list[str]) -> Object:
    """Return what Swagger UI is called with; no more scripts are fetched than it takes to know that."""
    scripts = [(tag.attributes.get("src", "").strip(), tag.text) for tag in page if tag.name == "script"]
    texts = [inline for source, inline in scripts if not source]
    sources = [joined(base, one) for one, _ in scripts if one and not LIBRARY.search(one.rpartition("/")[2])]
    for source in sorted(sources, key=lambda source: origin(source) != origin(base)):
        settings = _settings(texts, address)
        # Another script may hold what has a name here, and a document written down wins over an address.
        if settings and UNKNOWN not in (settings.get("spec"), settings.get("urls")):
            break
        try:
            texts.append(text_of(get(source)))
        except PipelineError as error:  # It may be none of those that count.
            told.append(f"A script of the page was left out: {error}")
    return _settings(texts, address)


def _settings(texts: list[str], address: str) -> Object:
    place = split(address)
    location: Object = {"origin": f"{place.scheme}://{place.netloc}", "protocol": f"{place.scheme}:"}
    names: Object = {"location": {**location, "host": place.netloc, "hostname": place.hostname or ""}}
    scripts = [_Script(one, names) for one in texts if len(one) <= LONGEST]
    try:
        # Twice, for a page calls when all is loaded: a name may get its value in a later script.
        calls = [[call for script in scripts for call in script.calls()] for _ in range(2)][1]
    except RecursionError:  # No maker of such pages nests as deeply.
        calls = []
    return next((call for call in calls if text(call, "configUrl") or _offers(call)), {})


def _offers(settings: Object) -> dict[str, str | Object]:
    """Return the addresses on offer by name, the demo left out, or the document itself."""
    inline = settings.get("spec")
    if isinstance(inline, dict):
        return {"spec": inline}
    several = [one for one in map(child, items(settings.get("urls"))) if text(one, "url")] or [{**settings, "name": ""}]
    offers = [(text(one, "name"), text(one, "url")) for one in several]
    return {name or url.partition("?")[0]: url for name, url in offers if url and not DEMO.match(url)}


def _written(document: Object, place: str) -> bytes:
    written = ""
    try:
        # Piece by piece, for names that stand for one another many times over could make it endless.
        for piece in json.JSONEncoder(indent=2, allow_nan=False).iterencode(document):
            written += piece
            if len(written) > LONGEST:
                raise ValueError
    except (ValueError, RecursionError):
        told = "puts its document together by program code, or holds one that is too big"
        raise PipelineError(f"{place} {told}: {BY_HAND}.") from None
    return written.encode()


class _Script:
    """A script as words and brackets, a bracket being the list of what is in it, and what its names stand for."""

    def __init__(self, script: str, names: Object) -> None:
        self._names = names
        self._places: list[tuple[list[Part], int]] = []
        nested: list[list[Part]] = [[""]]
        for word in [found[0].removeprefix("window.") for found in WORD.finditer(script) if found["gap"] is None]:
            if word in CLOSING:
                del nested[max(1, len(nested) - 1) :]
                continue
            self._places.append((nested[-1], len(nested[-1])))
            bracket: list[Part] = [word]
            nested[-1].append(bracket if word in OPENING else word)
            nested += [bracket] if word in OPENING else []

    def calls(self) -> list[Object]:
        """Note every name that gets a value, and return what Swagger UI is called with."""
        settings: list[Object] = []
        for parts, at in self._places:
            word, after = parts[at], _at(parts, at + 1)
            if not _is_name(word) or parts[at - 1] == ".":
                continue
            if after == "=":
                self._assign(word.split("."), self._value(parts, at + 2))
            elif word in CALLED and _is(after, "(") and isinstance(value := self._value(after), dict):
                settings.append(value)
        return settings

    def _assign(self, path: list[str], value: Json) -> None:
        holder = self._named(path[:-1])
        # What is known stays: the unknown is mostly a branch that asks the browser.
        if isinstance(holder, dict) and path[0] != "location":
            holder[path[-1]] = holder.get(path[-1], UNKNOWN) if value is UNKNOWN else value

    def _named(self, path: list[str]) -> Json:
        value: Json = self._names
        for key in path:
            value = value.get(key, UNKNOWN) if isinstance(value, dict) else UNKNOWN
        return value

    def _value(self, parts: list[Part], at: int = 1) -> Json:
        """Read the expression there: of several after `||` the first that is known and something."""
        values, after = list[Json](), cast("Part", "||")
        while after in ("||", "??"):
            value, at = self._sum(parts, at)
            values.append(value)
            after, at = _at(parts, at), at + 1
        value = next((one for one in values if one is not UNKNOWN and one), values[-1])
        return value if after in ("", ",", ";") or _is_name(after) else UNKNOWN

    def _sum(self, parts: list[Part], at: int) -> tuple[Json, int]:
        value, at = self._operand(parts, at)
        while _at(parts, at) == "+":
            more, at = self._operand(parts, at + 1)
            whole = value + more if isinstance(value, str) and isinstance(more, str) else ""
            value = whole if 0 < len(whole) <= LONGEST_SUM else UNKNOWN
        return value, at

    def _operand(self, parts: list[Part], at: int) -> tuple[Json, int]:
        word, after = _at(parts, at), _at(parts, at + 1)
        if word == "JSON.parse" and _is(after, "("):
            return _parsed(self._value(after)), at + 2
        value, at = self._bracket(word) if isinstance(word, list) else self._scalar(word), at + 1
        while _is(_at(parts, at), "(", "["):  # a call or a member, which only a browser works out
            value, at = UNKNOWN, at + 1
        return value, at

    def _scalar(self, word: str) -> Json:
        if _is_name(word):
            return self._named(word.split("."))
        return _unquoted(word) if word[:1] in QUOTES else _parsed(word)

    def _bracket(self, parts: list[Part]) -> Json:
        starts = [at for at, before in enumerate(parts[:-1], 1) if at == 1 or before == ","]
        if parts[0] == "[":
            return [self._value(parts, at) for at in starts]
        found: Object = {}
        for at in starts:
            found |= self._property(parts, at)
        return found if parts[0] == "{" else UNKNOWN

    def _property(self, parts: list[Part], at: int) -> Object:
        word, after = parts[at], _at(parts, at + 1)
        key = _unquoted(word) if isinstance(word, str) and word[0] in QUOTES else word
        if after == ":" and isinstance(key, str):
            return {key: self._value(parts, at + 2)}
        more = self._named(str(after).split(".")) if word == "..." else UNKNOWN
        if isinstance(more, dict):
            return more
        # Else a method, a computed key, or more of what is unknown, when it is no name alone.
        return {str(word): self._named([str(word)]) if after in ("", ",") else UNKNOWN}


def _at(parts: list[Part], at: int) -> Part:
    return parts[at] if at < len(parts) else ""


def _is(part: Part, *brackets: str) -> TypeGuard[list[Part]]:
    return isinstance(part, list) and part[0] in brackets


def _is_name(part: Part) -> TypeGuard[str]:
    return isinstance(part, str) and NAME.fullmatch(part) is not None


def _unquoted(word: str) -> Json:
    # A string of JavaScript is one of JSON but for its quotes; one with `${}` is a matter for a browser.
    inside = QUOTED.sub(lambda found: QUOTES.get(found[0], found[0]), word[1:-1])
    return UNKNOWN if word[-1] != word[0] or (word[0] == "`" and "${" in word) else _parsed(f'"{inside}"')


def _parsed(written: Json) -> Json:
    try:
        return cast("Json", json.loads(written, strict=False)) if isinstance(written, str) else UNKNOWN
    except ValueError:
        return UNKNOWN
