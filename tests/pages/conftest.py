"""The pages in a real browser: Chromium of the machine, driven by playwright, and skipped where there is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from puzzel_chat.pages import Pages
from puzzel_chat.sandbox import Sandbox

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000
"""Milliseconds to wait for what must come; a slow machine needs some."""

QUICK = {
    "test_an_offer_is_told_declined_and_accepted",
    "test_choices_are_asked_and_answered",
    "test_it_speaks_norwegian",
    "test_the_next_poll_fails",
    "test_a_page_of_another_origin_can_neither_read_nor_act",
    "test_a_browser_shows_what_the_test_does",
}
"""Tests in a browser that `make test` runs; the others are slow."""

Open = Callable[..., Page]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what opens a browser as slow, but for one or two tests of each page."""
    for item in items:
        if isinstance(item, pytest.Function) and "chromium" in item.fixturenames:
            item.add_marker(pytest.mark.browser)
            if item.originalname not in QUICK:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the tests of a file; required where TEST_BROWSER says so, as in CI.

    While it is there, an event loop runs in this thread, which other tests would stumble over.
    """
    if CHROMIUM is None:
        (pytest.fail if os.environ.get("TEST_BROWSER") == "required" else pytest.skip)(
            "no Chromium on this machine: apt-get install chromium"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def centre() -> Iterator[Sandbox]:
    """A sandbox whose scripted agents take no offers, so that a person must."""
    with Sandbox(pace=0.05) as sandbox:
        sandbox.set_scripted(False)
        yield sandbox


@pytest.fixture
def pages(centre: Sandbox) -> Iterator[Pages]:
    """Its pages."""
    with Pages(centre) as served:
        yield served


@pytest.fixture
def browse(chromium: Browser) -> Iterator[Open]:
    """Open a page in a context of its own: `browse(address, width=, height=, dark=, language=)`.

    No script may fail, nothing may offend the page's policy, and no request may go to another host.
    """
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def listen(page: Page, address: str) -> None:
        host = urlsplit(address).netloc
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda said: errors.append(said.text) if "Content Security Policy" in said.text else None)
        page.on("request", lambda asked: errors.append(asked.url) if urlsplit(asked.url).netloc != host else None)

    def open_page(
        address: str, *, width: int = 1280, height: int = 800, dark: bool = False, language: str = "en-GB"
    ) -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            locale=language,
            accept_downloads=True,
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        listen(page, address)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
