"""`puzzel-chat chat`, on a terminal and in a pipe, against a contact centre in the test's own process."""

from __future__ import annotations

import html
import json
import signal
from collections.abc import Iterator
from datetime import datetime

import pytest

from puzzel_chat import (
    AgentJoined,
    AllocationChanged,
    ConversationEnded,
    OptionsMessage,
    TextMessage,
    event_from_dict,
)
from puzzel_chat.sandbox import AgentHandle, Fault, Role, Sandbox, Status
from quick import quick_only

from .conftest import Run, Start, eventually, one_error


@pytest.fixture
def manual() -> Iterator[Sandbox]:
    """A contact centre whose agent the test plays."""
    with Sandbox(script="manual", pace=0) as sandbox:
        yield sandbox


def agent_of(centre: Sandbox) -> AgentHandle:
    """Wait for a chat, and give its agent."""
    eventually(lambda: bool(centre.ledger()))
    handle = centre.agent(next(iter(centre.ledger())))
    eventually(lambda: handle.status is not Status.QUEUED)
    return handle


def said(centre: Sandbox, role: Role) -> list[str]:
    """Return what that side wrote."""
    entries = [entry for chat in centre.ledger().values() for entry in chat]
    return [html.unescape(entry.content or "") for entry in entries if entry.role is role and entry.type == "Text"]


def test_a_conversation_on_a_terminal(on_terminal: Start, manual: Sandbox) -> None:
    """A live line while waiting; incoming lines while a line is being typed; the agent's end ends the program."""
    program = on_terminal("chat", "support", "--name", "Ada", "--variable", "order=7", at=manual)
    program.expect("n agent is being asked")
    program.expect("elapsed")
    agent = agent_of(manual)
    assert (agent.order.customer or {}).get("name") == "Ada"
    assert agent.order.variables[0]["value"] == "7"
    agent.accept()
    program.expect("-- Kari joined")
    program.expect("you:")
    program.write("half a")
    program.expect("half a")
    agent.say("\x1b[31mHello <b>\u202eyou</b>")
    program.expect("Kari: [31mHello <b>you</b>")
    program.expect("half a")
    program.write(" line\r")
    eventually(lambda: said(manual, Role.CUSTOMER) == ["half a line"])
    program.write("   \r")
    program.write("/help\r")
    program.expect("//text  sends a line that begins with a slash")
    agent.end()
    program.expect("-- chat ended by the agent")
    assert program.wait() == 0
    assert said(manual, Role.CUSTOMER) == ["half a line"]


@pytest.mark.parametrize(("key", "code"), quick_only([("\x03", 130)], [("\x03", 130), ("\x04", 0)]))
def test_a_key_while_waiting_leaves_the_queue(on_terminal: Start, centre: Sandbox, key: str, code: int) -> None:
    """Ctrl-C and Ctrl-D leave the queue on the server and say so."""
    program = on_terminal("chat", "silent", at=centre)
    program.expect("position 1")
    program.write(key)
    program.expect("-- you left the queue")
    assert program.wait() == code
    assert (centre.stats().left_queue, "Traceback" in program.seen) == (1, False)


@pytest.mark.parametrize("number", quick_only([signal.SIGTERM], [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]))
@pytest.mark.parametrize("terminal", quick_only([True], [True, False]))
def test_a_signal_while_waiting_leaves_the_queue(
    request: pytest.FixtureRequest, centre: Sandbox, terminal: bool, number: signal.Signals
) -> None:
    """Also from outside, with and without a terminal; so does a terminal that is closed."""
    start: Start = request.getfixturevalue("on_terminal" if terminal else "on_pipe")
    program = start("chat", "silent", at=centre)
    program.expect("position 1")
    program.process.send_signal(number)
    program.expect("-- you left the queue")
    assert program.wait() == 130
    assert (centre.stats().left_queue, "Traceback" in program.seen) == (1, False)


@pytest.mark.parametrize(("keys", "code"), quick_only([("/end\r", 0)], [("\x03", 130), ("\x04", 0), ("/end\r", 0)]))
def test_ending_a_chat_by_hand(on_terminal: Start, centre: Sandbox, keys: str, code: int) -> None:
    """Ctrl-C, Ctrl-D and /end end the chat at the service and say so, once."""
    program = on_terminal("chat", "support", at=centre)
    program.expect("you:")
    program.write(keys)
    program.expect("-- you ended the chat")
    assert program.wait() == code
    assert (centre.stats().ended, centre.stats().left_queue) == (1, 0)
    assert "ended" not in program.seen


def test_an_interrupt_in_a_pipe_ends_the_chat(on_pipe: Start, centre: Sandbox) -> None:
    """Without a terminal Ctrl-C comes as a signal; the chat is ended all the same."""
    program = on_pipe("chat", "support", at=centre)
    program.expect("Kari joined")
    program.process.send_signal(signal.SIGINT)
    program.expect("-- you ended the chat")
    assert (program.wait(), centre.stats().ended) == (130, 1)


def test_lines_of_a_pipe_are_sent_one_after_the_other(cli: Run, centre: Sandbox) -> None:
    """In order, empty ones left out; a slash is doubled; the last line needs no line end; then the chat is ended."""
    ran = cli("chat", "support", "--linger", "0.5", at=centre, typed="first\n\n  \nsecond æøå\n//slash\nlast")
    assert (ran.code, ran.err) == (0, "")
    assert said(centre, Role.CUSTOMER) == ["first", "second æøå", "/slash", "last"]
    assert centre.stats().ended == 1
    lines = ran.out.splitlines()
    assert [text for text in lines if text.startswith("you: ")] == [
        "you: first",
        "you: second æøå",
        "you: /slash",
        "you: last",
    ]
    assert lines[-1] == "-- you ended the chat"


def test_a_chat_for_programs(cli: Run, centre: Sandbox) -> None:
    """With --json every line is an event as data, of this chat, nothing else, and the last one is the end."""
    ran = cli("chat", "support", "--json", at=centre, typed="options\nend chat\n")
    records = [json.loads(text) for text in ran.out.splitlines()]
    events = [event_from_dict(record) for record in records]
    assert [event.to_dict() for event in events] == records
    assert {event.conversation_id for event in events} == set(centre.ledger())
    assert {AllocationChanged, AgentJoined, TextMessage, OptionsMessage} <= set(map(type, events))
    assert (ran.code, type(events[-1])) == (0, ConversationEnded)


def test_an_error_for_programs(cli: Run, centre: Sandbox) -> None:
    """With --json an error is a line as well, with its attributes and the chat's id; people read it on stderr."""
    ran = cli("chat", "closed", "--json", at=centre)
    told = json.loads(ran.out.splitlines()[-1])
    assert (told["type"], told["error"]) == ("error", "QueueClosed")
    assert datetime.fromisoformat(told["opens_at"]).tzinfo is not None
    assert told["conversation_id"]
    assert told["message"]
    assert "queue is closed" in one_error(ran)
    assert ran.code == 3


def test_settings_that_are_wrong_for_programs(cli: Run) -> None:
    """Also what goes wrong before the first request is a line."""
    ran = cli("chat", "support", "--json", env={"PUZZEL_CHAT_SOLUTION_ID": "7", "PUZZEL_CHAT_REGION": "moon"})
    (told,) = map(json.loads, ran.out.splitlines())
    assert (told["error"], told["setting"], ran.code) == ("ConfigurationError", "region", 2)


def test_a_line_that_may_be_lost_is_told_to_programs(
    cli: Run, centre: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chat goes on; the object has the text, so that a program can ask the agent."""
    monkeypatch.setattr("puzzel_chat._conversation.RECONCILE_WITHIN", 0.3)
    centre.faults(Fault.drop("sendMessage", times=1))
    ran = cli("chat", "support", "--json", at=centre, typed="once\n")
    told = [json.loads(text) for text in ran.out.splitlines()]
    (lost,) = [one for one in told if one["type"] == "error"]
    assert (lost["error"], lost["text"]) == ("DeliveryUnknown", "once")
    assert lost["conversation_id"] in centre.ledger()
    assert (told[-1]["type"], ran.code) == ("conversation_ended", 4)
    assert "this line may not have arrived" in ran.err


def test_notices_for_people_are_not_for_programs(cli: Run) -> None:
    """That it is the simulator, and how it ended, goes to standard error."""
    ran = cli("chat", "--sandbox", "--json", typed="hello\n")
    assert all(json.loads(text)["type"] for text in ran.out.splitlines())
    assert "-- you ended the chat" in ran.err.splitlines()
    assert "simulator" in ran.err


def test_a_chat_with_the_sandbox_needs_no_settings(cli: Run) -> None:
    """A newcomer can try at once, also with settings of another service around, and is told that it is a simulator."""
    others = {"CLIENT_ID": "other", "REGION": "uk", "QUEUE_KEY": "q_other", "VISUAL_QUEUE_ID": "99"}
    ran = cli("chat", "--sandbox", typed="hello\n", env={f"PUZZEL_CHAT_{name}": text for name, text in others.items()})
    assert ran.code == 0
    assert "bundled simulator, not Puzzel" in ran.out
    assert "you: hello" in ran.out


def test_the_queue_may_stand_in_the_environment(cli: Run, centre: Sandbox) -> None:
    """Its key and, for the hours, its visual id, which are asked for only then; what is typed wins."""
    keys = {"PUZZEL_CHAT_QUEUE_KEY": "support"}
    assert cli("chat", at=centre, typed="hello\n", env=keys).code == 0
    assert "getQueueInfo" not in centre.stats().requests
    visual = {"PUZZEL_CHAT_VISUAL_QUEUE_ID": centre.queues()["closed"]}
    assert cli("chat", at=centre, env={**keys, **visual}).code == 3
    assert centre.stats().requests["getQueueInfo"] == 1
    assert cli("chat", "--visual-queue-id", centre.visual_queue_id, at=centre, env={**keys, **visual}).code == 0
    assert (centre.stats().routed, said(centre, Role.CUSTOMER)) == (2, ["hello"])


def test_a_line_after_the_end_is_not_lost_silently(on_pipe: Start, manual: Sandbox) -> None:
    """When the agent ends before a line is sent, the line's fate is told and the exit code is 4."""
    program = on_pipe("chat", "support", at=manual, env={"PUZZEL_CHAT_POLL_INTERVAL": "30"})
    agent = agent_of(manual)
    agent.accept()
    program.expect("an agent takes the chat")
    agent.end()
    assert program.process.stdin is not None
    program.process.stdin.write(b"too late\n")
    program.process.stdin.flush()
    assert program.wait() == 4
    assert "error: The conversation has ended." in program.seen
    assert "you ended the chat" not in program.seen
    assert said(manual, Role.CUSTOMER) == []


def test_a_lost_reply_doubles_no_message(cli: Run, centre: Sandbox) -> None:
    """The reply to a send is lost: the message is found in the polls and is there once."""
    centre.faults(Fault.drop("sendMessage", after=True, times=1))
    ran = cli("chat", "support", at=centre, typed="once\n")
    assert (ran.code, said(centre, Role.CUSTOMER)) == (0, ["once"])


def test_a_failed_poll_is_shown_and_ends_nothing(on_pipe: Start, manual: Sandbox) -> None:
    """The person is told of the lost connection and of its return."""
    program = on_pipe("chat", "support", at=manual)
    agent = agent_of(manual)
    agent.accept()
    program.expect("Kari joined")
    manual.faults(Fault.status(503, "pollConversation", retry_after=0, times=1))
    program.expect("-- connection lost for now")
    program.expect("-- connection back after")
    agent.say("still here")
    program.expect("Kari: still here")
    agent.end()
    assert program.wait() == 0


def test_what_the_customer_says_of_herself_goes_along(cli: Run, centre: Sandbox) -> None:
    """Name, addresses, id, subject and variables reach the agent; a value may hold an equals sign."""
    told = (
        "--name",
        "Ada",
        "--email",
        "ada@chat.example",
        "--phone",
        "+47 5",
        "--customer-id",
        "7",
        "--subject",
        "Order",
    )
    variables = ("--variable", "order=1", "--variable", "query=a=b")
    assert cli("chat", "support", *told, *variables, "--linger", "1", at=centre, typed="end chat\n").code == 0
    (order,) = [centre.agent(conversation_id).order for conversation_id in centre.ledger()]
    assert order.customer == {"id": "7", "name": "Ada", "email": "ada@chat.example", "phone": "+47 5"}
    assert order.subject == "Order"
    assert [(one["name"], one["value"]) for one in order.variables] == [("order", "1"), ("query", "a=b")]


def test_a_variable_needs_a_name_and_a_value(cli: Run) -> None:
    """A pair without either is a usage error, which does not repeat what was typed."""
    for wrong in ("order", "=7"):
        ran = cli("chat", "--sandbox", "--variable", wrong)
        assert (ran.code, "--variable: write NAME=VALUE" in one_error(ran)) == (2, True)
