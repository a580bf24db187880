"""Tests of one's own bot, with pytest: a contact centre on this machine, agents by script or by hand, no waiting."""

from typing import Any

import pytest

from puzzel_chat import AgentWaitTimeout, Conversation, PuzzelChat, TextMessage
from puzzel_chat.sandbox import Fault, Sandbox
from puzzel_chat.testing import Desk, VirtualTime


def bot(conversation: Conversation) -> list[str]:
    """The bot under test: asks, and thanks at the first answer. Yours comes from your own module."""
    heard: list[str] = []
    conversation.send("Where is my order?")
    for message in conversation.messages():
        if isinstance(message, TextMessage) and message.author.is_agent:
            heard.append(message.text)
            if len(heard) == 2:
                conversation.send("Thank you")
                break
    return heard


def test_a_whole_chat(puzzel_chat_settings: dict[str, Any]) -> None:
    """The agents of the sandbox greet and answer."""
    with PuzzelChat(**puzzel_chat_settings) as chat, chat.start("support", wait=60) as conversation:
        assert len(bot(conversation)) == 2


def test_an_agent_played_by_hand(puzzel_desk: Desk, puzzel_chat_settings: dict[str, Any]) -> None:
    """The test is the agent, and sees what came with the chat; `pytest --headed` shows the desk in a browser."""
    with PuzzelChat(**puzzel_chat_settings) as chat, chat.start("support", subject="Order 7", wait=0) as conversation:
        agent = puzzel_desk.accept()
        puzzel_desk.say("Hello")
        puzzel_desk.say("It arrives tomorrow.")
        assert bot(conversation) == ["Hello", "It arrives tomorrow."]
        assert agent.order.subject == "Order 7"


def test_a_service_in_trouble(puzzel_sandbox: Sandbox, puzzel_chat_settings: dict[str, Any]) -> None:
    """Faults come on demand; the bot notices nothing of them."""
    puzzel_sandbox.faults(
        Fault.status(503, "pollConversation", times=2), Fault.drop("sendMessage", after=True, times=1)
    )
    with PuzzelChat(**puzzel_chat_settings) as chat, chat.start("support", wait=60) as conversation:
        assert len(bot(conversation)) == 2


@pytest.mark.puzzel_sandbox(script="silent")
def test_ten_minutes_of_waiting(puzzel_time: VirtualTime, puzzel_chat_settings: dict[str, Any]) -> None:
    """With `puzzel_time` no wait takes real time."""
    with PuzzelChat(**puzzel_chat_settings) as chat, pytest.raises(AgentWaitTimeout):
        chat.start("support", wait=600)
