"""A customer at a terminal and an agent at the desk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from cli.conftest import Program, Start, on_terminal
from waiting import until

if TYPE_CHECKING:
    from pages.conftest import Open
    from puzzel_chat.pages import Pages
    from puzzel_chat.sandbox import Sandbox

__all__ = ["on_terminal"]  # a fixture

AGENT_TYPES = "the agent is typing ..."

expect.set_options(timeout=60_000)


def drawn(customer: Program) -> str:
    """Return a screen as it is: a prompt sends only what differs, unless it is told to draw anew (Ctrl-L)."""
    customer.write("\x0c")
    return customer.look()


def test_both_see_each_other_type(on_terminal: Start, centre: Sandbox, pages: Pages, browse: Open) -> None:
    """`puzzel-chat chat` and the desk: each shows that the other one types, then what was written."""
    desk = browse(f"{pages.desk_url}&agent=Kari")
    customer = on_terminal("chat", "support", "--name", "Ada", at=centre, answers=True)
    desk.get_by_role("button", name="Accept").click()
    box = desk.get_by_role("textbox", name="Message to")
    customer.expect("Kari joined")
    box.press_sequentially("Hel")
    until(lambda: AGENT_TYPES in drawn(customer))
    box.press_sequentially("lo Ada")
    box.press("Enter")
    until(lambda: "Hello Ada" in customer.look())
    expect(desk.get_by_text("is typing")).to_be_hidden()
    customer.write("Good da")
    until(lambda: customer.look() and desk.get_by_text("is typing").is_visible())
    customer.write("y\r")
    until(lambda: customer.look() and desk.get_by_text("Good day", exact=True).is_visible())
    expect(desk.get_by_text("is typing")).to_be_hidden()
    customer.write("/end\r")
    until(lambda: centre.stats().ended == 1)
