"""What a Swagger UI page shows: the address of a document, a choice of several, or a document of its own.

Everything here is pure: what a page refers to is fetched elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl

from attrs import frozen

from pipeline.intake.address import joined, origin, shown, split
from pipeline.intake.html_page import Script, read_html
from pipeline.intake.javascript import UNKNOWN, Value, read_script
from pipeline.problems import PipelineError, brief

Settings: TypeAlias = "dict[str, Value]"

MENTION = re.compile(r"swagger-?ui", re.IGNORECASE)
CALLED = ("SwaggerUIBundle", "SwaggerUI", "SwaggerUi", "SwaggerUICore")
# What a page loads of Swagger UI itself; it says nothing about the document.
LIBRARY = re.compile(r"swagger-ui[\w.-]*(?:bundle|preset)|swagger-ui(?:\.min)?\.js|jquery", re.IGNORECASE)
# The document that Swagger UI comes with, until somebody names one.
DEMO = re.compile(r"(?:https?:)?//petstore3?\.swagger\.io(?:[:/]|$)", re.IGNORECASE)
FROM_QUERY = ("url", "configUrl", "urls.primaryName")
LONGEST = 5 * 2**20  # characters of a script, and of a document written in one
BY_HAND = "open it in a browser, find the document in its network view, and give that address or a saved file"


@frozen
class SwaggerPage:
    """A Swagger UI page and what it refers to, as whole addresses."""

    address: str
    base: str
    scripts: tuple[Script, ...]

    @property
    def query(self) -> dict[str, str]:
        """What the address itself says to Swagger UI."""
        return {key: value for key, value in parse_qsl(split(self.address).query) if key in FROM_QUERY}

    @property
    def loaded(self) -> tuple[str, ...]:
        """The addresses of the scripts that may say which document is shown, those of the page's own host first."""
        names = [one.source for one in self.scripts if one.source and not LIBRARY.search(one.source.rpartition("/")[2])]
        return tuple(sorted(names, key=lambda name: origin(name) != origin(self.base)))


@frozen
class Taken:
    """The document that was taken: its address, or itself when it is written in the page; and how it was found."""

    address: str
    data: bytes | None
    told: str


def read_swagger_page(text: str, address: str) -> SwaggerPage | None:
    """Return the page, None when the text is no Swagger UI page. Raises `PipelineError` for a broken address in it."""
    html = read_html(text) if MENTION.search(text) else None
    if html is None or html.password:
        return None
    base = joined(address, html.base)
    scripts = [Script(source=joined(base, one.source) if one.source else "", text=one.text) for one in html.scripts]
    return SwaggerPage(address=address, base=base, scripts=tuple(scripts))


def read_settings(page: SwaggerPage, loaded: Mapping[str, str]) -> Settings:
    """Return what Swagger UI is called with, given the texts of the scripts that were loaded, by address.

    Empty when that names no document. Raises `PipelineError` when a script is nested too deeply.
    """
    names: Settings = {}
    calls: list[Value] = []
    texts = [loaded.get(one.source, "") if one.source else one.text for one in page.scripts]
    texts = [text for text in texts if len(text) <= LONGEST]
    try:
        # Twice, for a page calls when all is loaded: a name may get its value in a later script.
        for _ in range(2):
            calls = [call for text in texts for call in read_script(text, names, _location(page.address), CALLED)]
    except RecursionError:
        raise PipelineError(f"{shown(page.address)} has a script that is nested too deeply: {BY_HAND}.") from None
    found = [call for call in calls if isinstance(call, dict)]
    return {**next((call for call in found if names_a_document(call)), next(iter(found), {})), **page.query}


def _location(address: str) -> Settings:
    parts = split(address)
    place: Settings = {
        "origin": f"{parts.scheme}://{parts.netloc}",
        "protocol": f"{parts.scheme}:",
        "host": parts.netloc,
        "hostname": parts.hostname or "",
        "port": str(parts.port or ""),
        "pathname": parts.path or "/",
        "search": f"?{parts.query}" if parts.query else "",
        "hash": "",
        "href": address,
    }
    return {"location": place, "document": {"location": place}}


def names_a_document(settings: Settings) -> bool:
    """Tell whether the settings lead to a document that is not the demo of Swagger UI."""
    return bool(isinstance(settings.get("spec"), dict) or settings.get("configUrl") or _choices(settings))


def is_settled(settings: Settings) -> bool:
    """Tell whether no script that is still to be loaded could lead to another document: inline ones win over `url`."""
    return names_a_document(settings) and UNKNOWN not in (settings.get("spec"), settings.get("urls"))


def _choices(settings: Settings) -> dict[str, str]:
    """Return the addresses on offer by name, the demo left out."""
    several, single = settings.get("urls"), settings.get("url")
    offers = several if isinstance(several, list) else []
    found: dict[str, str] = {}
    for offer in offers:
        if isinstance(offer, dict) and isinstance(url := offer.get("url"), str) and url:
            name = offer.get("name")
            found.setdefault(name if isinstance(name, str) and name else url.partition("?")[0], url)
    if not found and isinstance(single, str) and single:
        found = {"": single}
    return {name: url for name, url in found.items() if not DEMO.match(url)}


def take(page: SwaggerPage, settings: Settings, choice: str | None) -> Taken:
    """Return the document that a page shows. Raises `PipelineError` when there is none, or none of that name."""
    place, inline, offers = shown(page.address), settings.get("spec"), _choices(settings)
    from_query = page.query.get("url", "")
    if from_query and choice is None and not DEMO.match(from_query):
        offers, inline = {"": from_query}, None
    if isinstance(inline, dict):
        _refuse_choice(choice, place)
        told = f"{place} is a Swagger UI page with its document written in it."
        return Taken(address=page.address, data=_dumped(inline, place), told=told)
    if not offers:
        raise PipelineError(_nothing(place, settings))
    if list(offers) == [""]:
        _refuse_choice(choice, place)
        address = joined(page.base, offers[""])
        return Taken(address=address, data=None, told=f"{place} is a Swagger UI page; it shows {shown(address)}.")
    name = _chosen(offers, settings, choice, place)
    return Taken(address=joined(page.base, offers[name]), data=None, told=_told(place, offers, name, choice))


def _refuse_choice(choice: str | None, place: str) -> None:
    if choice is not None:
        raise PipelineError(f"{place} shows one document, which has no name: leave out SPEC_NAME=.")


def _chosen(offers: dict[str, str], settings: Settings, choice: str | None, place: str) -> str:
    wanted = choice if choice is not None else settings.get("urls.primaryName")
    if isinstance(wanted, str):
        for name in offers:
            if name.casefold() == wanted.strip().casefold():
                return name
    if choice is not None:
        raise PipelineError(f"{place} has no document {brief(choice)}: name one of {_list(offers)} with SPEC_NAME=.")
    return next(iter(offers))


def _told(place: str, offers: dict[str, str], name: str, choice: str | None) -> str:
    if len(offers) == 1:
        return f"{place} is a Swagger UI page; it shows {brief(name)}."
    other = ": name another with SPEC_NAME=" if choice is None else ""
    return (
        f"{place} is a Swagger UI page; it shows {len(offers)} documents ({_list(offers)}), took {brief(name)}{other}."
    )


def _list(offers: dict[str, str]) -> str:
    return brief(", ".join(brief(name) for name in offers), 400)


def _nothing(place: str, settings: Settings) -> str:
    if isinstance(url := settings.get("url"), str) and DEMO.match(url):
        return (
            f"{place} is a Swagger UI page that names only the default demo document of Swagger UI, "
            f"not the vendor's: give the document's own address."
        )
    return f"{place} is a Swagger UI page whose document could not be found by reading its scripts: {BY_HAND}."


def _dumped(document: Value, place: str) -> bytes:
    pieces: list[str] = []
    left = LONGEST
    try:
        # Piece by piece, for names that stand for one another many times over could make it endless.
        for piece in json.JSONEncoder(indent=2, allow_nan=False).iterencode(document):
            pieces.append(piece)
            left -= len(piece)
            if left < 0:
                raise PipelineError(f"{place} holds a document that is too big: {BY_HAND}.")
    except (TypeError, ValueError, RecursionError):
        raise PipelineError(f"{place} puts its document together by program code: {BY_HAND}.") from None
    return "".join(pieces).encode()
