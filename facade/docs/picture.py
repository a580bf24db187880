"""`make picture`: the desk as it is, for the README. It needs Chromium on this machine."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page, ViewportSize, sync_playwright

from puzzel_chat import Conversation, PuzzelChat, Turn
from puzzel_chat.pages import Pages
from puzzel_chat.sandbox import Sandbox

OUT = Path(__file__).with_name("desk.png")
SIZE: ViewportSize = {"width": 1000, "height": 680}
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC).timestamp()
"""The time in the picture, so that two pictures differ by what the page shows."""
CUSTOMERS = (("Ada", "Order 7"), ("Nils", "Invoice"), ("Ingrid", "Delivery"), ("Olav", "A damaged parcel"))
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def ask(chat: PuzzelChat, number: int) -> Conversation:
    """Let a customer ask for an agent."""
    name, subject = CUSTOMERS[number]
    said = [Turn("customer", "Where is it?"), Turn("bot", "I will ask a person.")]
    order = {"order": f"1037{number}"}
    return chat.start("support", customer={"name": name}, subject=subject, variables=order, history=said, wait=0)


def play(page: Page, chat: PuzzelChat, passes: Callable[[float], None]) -> list[Conversation]:
    """Bring two chats, an offer and somebody who waits onto the desk; return the chats."""
    talks: list[Conversation] = []
    for number in range(2):
        talks.append(ask(chat, number))
        page.get_by_role("button", name="Accept").click()
        page.get_by_role("textbox", name=f"{CUSTOMERS[number][0]}").wait_for()
        passes(20)
    for number in (2, 3):
        talks.append(ask(chat, number))
        passes(15)
    first, second = talks[:2]
    first.send("My order has not arrived.")
    page.get_by_role("textbox", name="Ada").fill("It left on Monday, and comes tomorrow.")
    page.get_by_role("textbox", name="Ada").press("Enter")
    passes(10)
    second.send("Is this the right invoice?")
    second.send_file(b"%PDF" * 600, name="invoice.pdf")
    passes(10)
    first.send("Thank you!")
    page.get_by_text("Thank you!").wait_for()
    page.get_by_text("invoice.pdf").wait_for()
    second.typing()
    page.get_by_text("Nils is typing").wait_for()
    return talks


def draw(to: Path) -> None:
    """Draw the picture into a file."""
    now = NOON

    def passes(seconds: float) -> None:
        nonlocal now
        now += seconds
        page.clock.set_fixed_time(datetime.fromtimestamp(now, UTC))

    with (
        Sandbox(pace=0, clock=lambda: now) as sandbox,
        Pages(sandbox) as pages,
        PuzzelChat(**sandbox.settings) as chat,
        sync_playwright() as playwright,
    ):
        sandbox.set_scripted(False)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, locale="en-GB", timezone_id="UTC")
        passes(0)
        page.goto(f"{pages.desk_url}&agent=Kari")
        talks = play(page, chat, passes)
        page.screenshot(path=to, animations="disabled", caret="hide")
        browser.close()
        for talk in talks:
            talk.end()


def main() -> int:
    """Draw it where the README shows it."""
    if CHROMIUM is None:
        print("There is no Chromium on this machine: install it, for example with apt-get install chromium.")
        return 1
    draw(OUT)
    print(f"{OUT.name}: {OUT.stat().st_size // 1024} KiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
