"""Fetch the vendor's document from an address or a file, through the Swagger UI page that shows it if need be."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from attrs import frozen

from pipeline.intake.address import address_of, joined, path_of, shown, split
from pipeline.intake.decode import read_value
from pipeline.intake.html_page import lenient_text
from pipeline.intake.swagger_page import (
    Settings,
    SwaggerPage,
    Taken,
    is_settled,
    read_settings,
    read_swagger_page,
    take,
)
from pipeline.intake.web import LARGEST, Answer, Web
from pipeline.problems import PipelineError

Get = Callable[[str], Answer]


@frozen
class Fetched:
    """A document's bytes as they came, where from, and sentences about how it was found."""

    data: bytes
    origin: str
    told: tuple[str, ...]


def fetch(spec: str, *, choice: str | None = None, header: str | None = None, limit: float = 30.0) -> Fetched:
    """Return the document at an http, https or file address or a path, or the one that a Swagger UI page there shows.

    `choice` is the name of one of several documents of a page, `header` the value of `PUZZEL_CHAT_SPEC_HEADER`, and
    `limit` the seconds that everything over the network may take together. Raises `PipelineError` when nothing usable
    came, with `details` on the way there; whether it is an OpenAPI document is for `decode` to say.
    """
    address, choice = address_of(spec), choice or None
    get = _getter(address, header, limit)
    answer = get(address)
    told = [] if answer.address == address else [f"Redirected to {shown(answer.address)}."]
    page = read_swagger_page(lenient_text(answer.data), answer.address)
    if page is None:
        told += ["SPEC_NAME= was not needed: this is no page with a choice of documents."] if choice is not None else []
        return Fetched(data=answer.data, origin=shown(answer.address), told=tuple(told))
    try:
        taken = _through(page, choice, get, told)
        told.append(taken.told)
        return _document(taken, get, told)
    except PipelineError as error:
        raise PipelineError(str(error), details=(*told, *error.details)) from None


def _getter(asked: str, header: str | None, limit: float) -> Get:
    web = Web(asked, header, limit)
    if split(asked).scheme != "file":
        return web.get  # a page of the web does not get at files
    return lambda address: read_file(address) if split(address).scheme == "file" else web.get(address)


def read_file(address: str) -> Answer:
    """Return what is in the file of a file address. Raises `PipelineError` when it cannot be read or is too big."""
    path, place = path_of(address), shown(address)
    if path.is_dir():
        raise PipelineError(f"{place} is a folder: name the document in it.")
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except FileNotFoundError:
        raise PipelineError(f"{place} does not exist: check the path, or write https:// before an address.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PipelineError(f"{place} cannot be read ({reason}): give a file that can.") from None
    if len(data) > LARGEST:
        raise PipelineError(f"{place} is larger than {LARGEST // 2**20} MiB: give the document itself.")
    return Answer(data=data, address=address)


def _through(page: SwaggerPage, choice: str | None, get: Get, told: list[str]) -> Taken:
    settings = read_settings(page, {})
    texts: dict[str, str] = {}
    for address in page.loaded:
        if is_settled(settings):
            break
        try:
            texts[address] = lenient_text(get(address).data)
        except PipelineError as error:  # It may be none of those that count.
            told.append(f"A script of the page was left out: {error}")
        settings = read_settings(page, texts)
    return take(page, _with_configuration(page, settings, get), choice)


def _with_configuration(page: SwaggerPage, settings: Settings, get: Get) -> Settings:
    """Return the settings with those of the document at `configUrl` over them, and the address's own over both."""
    reference = settings.get("configUrl")
    if not isinstance(reference, str) or not reference:
        return settings
    answer = get(joined(page.base, reference))
    value, _ = read_value(lenient_text(answer.data), shown(answer.address))
    if not isinstance(value, dict):
        raise PipelineError(f"{shown(answer.address)} is no configuration of Swagger UI: give the document's address.")
    return {**settings, **cast("Settings", value), **page.query}


def _document(taken: Taken, get: Get, told: list[str]) -> Fetched:
    if taken.data is not None:
        return Fetched(data=taken.data, origin=shown(taken.address), told=tuple(told))
    answer = get(taken.address)
    if read_swagger_page(lenient_text(answer.data), answer.address) is not None:
        raise PipelineError(f"{shown(answer.address)} is a Swagger UI page again: give the document's own address.")
    return Fetched(data=answer.data, origin=shown(answer.address), told=tuple(told))
