"""A whole chat between two persons: one at the customer's page, one at the desk, with trouble from the control room."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

from waiting import until

if TYPE_CHECKING:
    from pages.conftest import Open
    from puzzel_chat.pages import Pages
    from puzzel_chat.sandbox import Sandbox

SHOTS = os.environ.get("TEST_SHOTS")
"""A folder for screenshots of each step; without it none are made."""

expect.set_options(timeout=60_000)


def shot(step: str, **pages: Page) -> None:
    """Keep what the pages show."""
    for name, page in pages.items() if SHOTS else ():
        page.screenshot(path=Path(str(SHOTS)) / f"{step}-{name}.png")


def write(page: Page, place: str, text: str) -> None:
    """Write a message and press Enter."""
    box = page.get_by_role("textbox", name=place)
    box.fill(text)
    box.press("Enter")


def test_two_persons_hold_a_whole_chat(centre: Sandbox, pages: Pages, browse: Open, tmp_path: Path) -> None:
    """They wait, decline, accept, write ten messages each, edit, choose, send a file, meet a fault, and end."""
    customer = browse(pages.url, width=420, height=800)
    desk = browse(f"{pages.desk_url}&agent=Kari", width=1280)

    customer.get_by_label("Your name").fill("Ada")
    customer.get_by_label("What is it about?").fill("Order 7")
    customer.get_by_role("button", name="Start the chat").click()
    expect(desk.get_by_role("region", name="Offer")).to_contain_text("Ada")
    expect(customer.get_by_text("is being asked").first).to_be_visible()
    shot("1-offer", customer=customer, desk=desk)
    desk.get_by_role("button", name="Decline").click()
    until(lambda: centre.stats().offered == 2)
    desk.get_by_role("button", name="Accept").click()
    expect(customer.get_by_role("heading")).to_contain_text("Kari")

    for number in range(1, 11):
        write(customer, "Your message", f"Question {number}")
        expect(desk.get_by_text(f"Question {number}", exact=True)).to_be_visible()
        write(desk, "Message to", f"Answer {number}")
        expect(customer.get_by_text(f"Answer {number}", exact=True)).to_be_visible()
    desk.get_by_role("textbox", name="Message to").press_sequentially("On Munday")
    expect(customer.get_by_text("is typing")).to_be_visible()
    desk.get_by_role("textbox", name="Message to").press("Enter")
    customer.get_by_role("textbox", name="Your message").press_sequentially("Thank")
    expect(desk.get_by_text("is typing")).to_be_visible()
    customer.get_by_role("textbox", name="Your message").fill("")
    shot("2-talk", customer=customer, desk=desk)

    desk.locator(".line", has_text="On Munday").get_by_role("button", name="Edit").click()
    desk.locator(".line textarea").fill("On Monday")
    desk.locator(".line textarea").press("Enter")
    expect(customer.locator(".line", has_text="edited")).to_contain_text("On Monday")
    desk.get_by_role("button", name="Choices").click()
    desk.get_by_label("Question").fill("Where to?")
    desk.get_by_label("Choices, one a line").fill("Home\nWork")
    desk.get_by_role("button", name="Ask").click()
    customer.get_by_role("button", name="Work").click()
    expect(desk.locator(".line.theirs", has_text="Work")).to_be_visible()

    photo = tmp_path / "damage.png"
    photo.write_bytes(b"a small picture")
    customer.locator("input[type=file]").set_input_files(photo)
    with desk.expect_download() as download:
        desk.get_by_role("link", name="damage.png").click()
    assert download.value.path().read_bytes() == b"a small picture"
    shot("3-file", customer=customer, desk=desk)

    control = desk.context.new_page()
    control.goto(pages.control_url)
    control.get_by_role("button", name="The next three polls fail").click()
    expect(customer.get_by_text("is lost for now")).to_be_visible()
    shot("4-fault", customer=customer, control=control)
    write(desk, "Message to", "Still here")
    expect(customer.get_by_text("Still here")).to_be_visible()
    expect(customer.get_by_text("is lost for now")).to_be_hidden()

    desk.get_by_role("button", name="End", exact=True).click()
    desk.get_by_role("button", name="Yes, end it").click()
    expect(customer.get_by_text("The agent has ended the chat.")).to_be_visible()
    shot("5-end", customer=customer, desk=desk)
    control.get_by_role("button", name="Ada").click()
    expect(control.get_by_role("region", name="Ledger and client")).to_contain_text("same")
    shot("6-ledger", control=control)
    until(lambda: centre.stats().ended == 1)
    texts = [entry.content for entry in centre.ledger()[centre.chats(ended=True)[0].id] if entry.type == "Text"]
    assert [text for text in texts if text and text.split()[0] in ("Question", "Answer")] == [
        f"{kind} {number}" for number in range(1, 11) for kind in ("Question", "Answer")
    ]
