"""Nothing that a service says can steer the terminal of the one who reads it, nor tell secrets, in any command."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bare import Customer
from hostile import Asked, Said, Service
from puzzel_chat._wire.replies import event
from puzzel_chat.cli._output import Output, one_line, printable
from puzzel_chat.cli._sandbox import HappeningPrinter
from puzzel_chat.cli._ui import event_text
from puzzel_chat.sandbox import Happening, Sandbox

from .conftest import JOINERS, Run, safe

# Clear the screen, set the title, a link, the clipboard, a C1 escape, BiDi overrides, back to the line's begin, bell.
EVIL = "\x1b[2J\x1b]0;t\x07\x1b]8;;x\x1b\\l\x1b]52;c;eA==\x07\x9b31m\u202e\u2066\u200f\rX\x08\x7f\x85\u2028\u2029\x00"


SECRET, ACCESS, REFRESH = "open sesame 0f1e", "access-9c1f7a22e0b84d55", "refresh-5d1e0c77aa3141f2"


TOKENS = {"access_token": ACCESS, "refresh_token": REFRESH, "expires_in": 600}


AUTHOR = {"role": 1, "id": EVIL, "displayName": f"Ada{EVIL}"}


ITEM = {"conversationId": "?", "version": 1, "sentAt": "2026-01-05T09:00:00Z", "author": AUTHOR}


ITEMS: list[dict[str, Any]] = [
    {**ITEM, "id": f"1{EVIL}", "type": "Text", "content": f"Hi{EVIL}&#27;[2J&#x9b;"},
    {**ITEM, "id": "2", "type": "Options", "content": EVIL, "options": [{"id": EVIL, "label": f"l{EVIL}"}]},
    {**ITEM, "id": "3", "type": "File", "fileName": f"f{EVIL}", "url": f"https://x.example/{EVIL}"},
    {**ITEM, "id": "4", "type": "Event", "event": "AgentJoined", "agent": AUTHOR},
    {**ITEM, "id": "5", "type": f"Odd{EVIL}"},
    {**ITEM, "id": f"1{EVIL}", "version": 2, "type": "Text", "content": f"Edited{EVIL}"},
    {**ITEM, "id": "6", "type": "Event", "event": "ConversationEnded", "endedBy": 1, "reason": EVIL},
]


ROUTED: list[str] = []
"""The conversation that was routed last."""


def evil(asked: Asked) -> Said:
    """A service all of whose words are hostile."""
    if asked.path.startswith("/connect"):
        return Said(TOKENS)
    if "/queue/" in asked.path:
        return Said({"id": f"q{EVIL}", "name": f"Support{EVIL}", "isOpen": True, "waitTimeAverageSeconds": 7})
    if "requestStatus" in asked.path:
        return Said({"status": "Assigned", "agent": AUTHOR, "queuePosition": 1})
    if "/api/conversation?" in asked.path or asked.path.endswith("/api/conversation"):
        return Said({"messages": [{**item, "conversationId": ROUTED[0]} for item in ITEMS]})
    if "/route/" in asked.path:
        ROUTED[:] = [asked.path.split("/")[3]]
    return Said({"id": "m", "sentAt": "2026-01-05T09:00:00Z", "requestId": EVIL, "status": EVIL})


def refusing(asked: Asked) -> Said:
    """A service that repeats the request in hostile words."""
    echo = f"{asked.headers.get('authorization', '')} {asked.body} {EVIL}"
    headers = {"X-Simulator": f"{EVIL}sim".replace("\r", "").replace("\n", "")}
    if asked.path.startswith("/connect") and "refusing-token" not in asked.body:
        return Said(TOKENS)
    return Said({"title": f"{echo}{EVIL}", "code": f"c{EVIL}", "detail": echo}, 400, headers)


COMMANDS = (
    ["queue", "27504"],
    ["chat", "q_support", "--wait", "5", "--name", "Kari"],
    ["doctor", "--queue", "27504"],
    ["probe", "--visual-queue-id", "27504", "--route", "q_support", "--yes"],
)


@pytest.mark.usefixtures("no_waits")
@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("answer", [evil, refusing])
def test_no_command_lets_a_service_steer_the_terminal(
    cli: Run, command: list[str], as_json: list[str], answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a control character of messages, names, queues, files, reasons, errors or ids is printed, nor a secret."""
    monkeypatch.setattr("puzzel_chat._probe.MESSAGE_WITHIN", 0.2)
    with Service(answer) as service:
        env = {
            "PUZZEL_CHAT_BASE_URL": service.base_url,
            "PUZZEL_CHAT_SOLUTION_ID": "7",
            "PUZZEL_CHAT_CLIENT_SECRET": SECRET,
            "PUZZEL_CHAT_TOKEN_FIELDS": f"api_key={SECRET}",
            "PUZZEL_CHAT_POLL_INTERVAL": "0.05",
        }
        ran = cli(*command, *as_json, env=env, typed="")
    assert ran.out + ran.err
    assert safe(ran.out + ran.err), ascii(ran.out + ran.err)
    assert [one for one in (SECRET, ACCESS, REFRESH) if one in ran.out + ran.err] == []
    for row in ran.out.splitlines() if as_json else ():
        json.loads(row)
    assert "Kari" not in ran.err


def test_what_a_client_writes_does_not_steer_the_simulators_terminal() -> None:
    """What is printed of the simulated contact centre shows the customer's words as text."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        first, second = (HappeningPrinter(Output(as_json)) for as_json in (True, False))

        def watch(happening: Happening) -> None:
            first.print(happening)
            second.print(happening)

        with Sandbox(pace=0, on_event=watch) as sandbox:
            client = Customer(sandbox)  # ours sends no control characters
            client.route(items=[{"name": "customerName", "value": EVIL, "secret": False}])
            client.say(f"Hi{EVIL}")
            client.close()
    assert "Hi" in out.getvalue()
    assert safe(out.getvalue()), ascii(out.getvalue())


words = st.text(st.characters(codec="utf-8") | st.sampled_from(sorted(set(EVIL))), max_size=40)


@given(words, st.dictionaries(words, words, max_size=3))
def test_no_text_steers_a_terminal(text: str, document: dict[str, str]) -> None:
    """Whatever is printed, as a line or as JSON, is text; and the JSON says the same when it is read."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        Output().say(text)
        Output(json=True).record({"text": text, "raw": document})
    told = out.getvalue()
    assert safe(told, "\n\t" + JOINERS)
    assert json.loads(told.rstrip("\n").rpartition("\n")[2]) == {"text": text, "raw": document}
    assert safe(one_line(text), JOINERS)


@pytest.mark.parametrize(
    "text",
    ["10\u00a0000 \u202f", "\U0001faea \U0001fac8", "\U0001f469\u200d\U0001f4bb", "\ue0b0", "\u0645\u06cc\u200c\u062e"],
    ids=ascii,
)
def test_what_people_write_is_printed(text: str) -> None:
    """Wide spaces, joiners, letters of a font and emoji newer than this Python: lines have them, and so has JSON."""
    assert printable(text) == text
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        Output().say(text)
        Output(json=True).record({"text": text})
    line, record = out.getvalue().splitlines()
    assert (line, json.loads(record)) == (text, {"text": text})


def test_one_line_keeps_words_apart() -> None:
    """Whatever ends a line in what the service says is a space."""
    assert one_line("a\rb\x0bc\u2028d\x85e\r\n\x1b f") == "a b c d e f"


@given(words, words, words)
def test_no_event_steers_a_terminal(name: str, content: str, kind: str) -> None:
    """Items of any content are lines of text."""
    author = {"role": 1, "displayName": name}
    for item in (
        {**ITEM, "id": "1", "author": author, "type": "Text", "content": content},
        {**ITEM, "id": "1", "author": author, "type": kind, "content": content},
        {**ITEM, "id": "1", "author": author, "type": "Options", "content": content, "options": [{"id": name}]},
        {**ITEM, "id": "1", "author": author, "type": "File", "fileName": name, "url": content},
    ):
        found = event(item)
        text = event_text(found)
        assert text is not None or item["type"] == kind
        assert safe(text.plain if text else "", "\n\t" + JOINERS)
        assert safe(str(found), JOINERS)
