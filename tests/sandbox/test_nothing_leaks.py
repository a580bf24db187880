"""Secrets and people's words stay out of logs, reprs and errors, through a whole chat with faults."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from puzzel_chat import MemoryStore, PuzzelChatError
from puzzel_chat.sandbox import Fault, Sandbox

SECRET, NAME, WORDS = "marked-client-secret", "marked-customer-name", "marked words of a customer"


def test_a_chat_at_debug_level_tells_no_secret(
    connect: Callable[..., Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """With every logger at DEBUG, neither logs nor reprs nor errors hold a token, a secret or what anybody wrote."""
    caplog.set_level(logging.DEBUG)
    shown: list[object] = []
    store = MemoryStore()
    faults = (
        Fault.revoked("getQueueInfo", times=1),
        Fault.truncate("pollConversation", times=1, skip=1),
        Fault.bad_item(times=1, skip=3),
        Fault.status(500, "sendMessage", after=True, times=1),
    )
    with Sandbox(client_secret=SECRET, script="helpful", pace=0.02, faults=faults) as sandbox:
        chat = connect(
            base_url=sandbox.base_url,
            solution_id=sandbox.solution_id,
            client_secret=SECRET,
            poll_interval=0.05,
            store=store,
        )
        conversation = chat.start("support", customer={"name": NAME}, variables={"note": WORDS}, wait=20)
        tokens = store._sessions[conversation.session.id].tokens
        shown += [chat, conversation, conversation.session, store._sessions]
        with conversation:
            shown.append(conversation.send(WORDS))
            conversation.send("end chat")
            shown += conversation.events()
        with pytest.raises(PuzzelChatError) as caught:
            conversation.send(WORDS)
        shown += [caught.value, str(caught.value)]
    told = caplog.text + repr(shown) + "".join(capfd.readouterr())
    assert tokens.refresh
    for hidden in (SECRET, NAME, WORDS, str(tokens.access), str(tokens.refresh), "How can I help"):
        assert hidden not in told
    assert "token generation 2" in caplog.text
