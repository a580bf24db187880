"""The fixture `puzzel_desk`: a test is the agent, and with `--headed` somebody can watch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from puzzel_chat import PuzzelChat
from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import Desk, VirtualTime

if TYPE_CHECKING:
    from pages.conftest import Open


def hold(desk: Desk, settings: dict[str, Any]) -> list[str]:
    """Hold a chat with the agent of a desk; give what the customer saw."""
    with PuzzelChat(**settings) as chat, chat.start("support", subject="Order 7", wait=0) as conversation:
        desk.decline()
        agent = desk.accept()
        assert agent.order.subject == "Order 7"
        desk.say("Hello <Ada>")
        agent.ask("Which?", ["This", "That"])
        desk.end()
        return [str(event) for event in conversation.events()]


def test_a_test_is_the_agent(puzzel_desk: Desk, puzzel_chat_settings: dict[str, Any]) -> None:
    """It declines, accepts, says, asks, ends; the customer sees all of it."""
    seen = "\n".join(hold(puzzel_desk, puzzel_chat_settings))
    for words in ("Kari", "Hello <Ada>", "Which?", "That"):
        assert words in seen


def test_in_virtual_time_too(puzzel_time: VirtualTime, puzzel_desk: Desk, puzzel_chat_settings: dict[str, Any]) -> None:
    """The offer comes after a pace of that time."""
    assert "Hello <Ada>" in "\n".join(hold(puzzel_desk, puzzel_chat_settings))


def test_an_offer_that_does_not_come_is_told(puzzel_time: VirtualTime, puzzel_desk: Desk) -> None:
    """With the agent's name and the time."""
    with pytest.raises(TimeoutError, match="no chat was offered to Kari within 10 s"):
        puzzel_desk.accept()
    with pytest.raises(RuntimeError, match="accept a chat first"):
        puzzel_desk.say("Hello")


def test_two_desks_share_the_work(
    puzzel_sandbox: Sandbox, puzzel_desk: Desk, puzzel_chat_settings: dict[str, Any]
) -> None:
    """Who has fewer chats is asked."""
    nils = Desk(puzzel_sandbox, "Nils")
    with PuzzelChat(**puzzel_chat_settings) as chat:
        for _ in range(2):
            chat.start("support", wait=0)
        agents = {puzzel_desk.accept().name, nils.accept().name}
    assert agents == {"Kari", "Nils"}


def test_a_browser_shows_what_the_test_does(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, browse: Open, puzzel_chat_settings: dict[str, Any]
) -> None:
    """With `--headed` the desk is open before the first action, and what is said stands there."""
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(browse(address)))
    monkeypatch.setattr("puzzel_chat.testing._PAUSE", 0)
    monkeypatch.setattr(request.config.option, "headed", True)
    desk: Desk = request.getfixturevalue("puzzel_desk")
    assert request.getfixturevalue("puzzel_sandbox").persons() == ("Kari",)
    with PuzzelChat(**puzzel_chat_settings) as chat, chat.start("support", customer={"name": "Ada"}, wait=0):
        desk.accept()
        desk.say("Hello from the test")
        opened[0].get_by_text("Hello from the test").first.wait_for()
