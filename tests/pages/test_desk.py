"""The agent's desk in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from puzzel_chat import PuzzelChat

if TYPE_CHECKING:
    from pages.conftest import Open
    from puzzel_chat.pages import Pages
    from puzzel_chat.sandbox import Sandbox


def test_the_desk_shows_who_waits(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """The customer's name is on the agent's screen."""
    with PuzzelChat(**centre.settings) as chat, chat.start("support", customer={"name": "Ada"}, wait=0):
        page = browse(pages.desk_url)
        page.get_by_text("Ada").first.wait_for()
