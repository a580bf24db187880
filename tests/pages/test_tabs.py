"""Many tabs of one browser, which opens six HTTP connections to a host and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from puzzel_chat import PuzzelChat

if TYPE_CHECKING:
    from pages.conftest import Open
    from puzzel_chat.pages import Pages
    from puzzel_chat.sandbox import Sandbox


def test_eight_desks_and_two_control_rooms_in_one_browser(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """Each tab gets its news, and can still act."""
    first = browse(pages.control_url)
    others = [f"{pages.desk_url}&agent=Kari%20{number}" for number in range(8)]
    tabs = [first.context.new_page() for _ in range(9)]
    for tab, address in zip(tabs, [pages.control_url, *others], strict=True):
        tab.goto(address)
    with PuzzelChat(**centre.settings) as chat:
        for number in range(8):
            chat.start("support", customer={"name": f"Ada {number}"}, wait=0)
        for tab in tabs[1:]:
            tab.get_by_role("button", name="Accept").click()
        for tab in tabs[1:]:
            tab.get_by_role("button", name="Send").wait_for()
        assert {one.agent_name for one in centre.chats()} == {f"Kari {number}" for number in range(8)}
