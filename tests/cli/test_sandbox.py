"""`puzzel-chat sandbox`, its agent played by a person, and its fault rules."""

from __future__ import annotations

import inspect
import json
import re
import signal
import socket
from typing import Any, get_args

import httpx
import pytest

from ports import free_port
from puzzel_chat import PuzzelChat, TextMessage, Turn, Variable
from puzzel_chat.cli._output import CliError
from puzzel_chat.cli._sandbox import order_lines
from puzzel_chat.cli._sandbox_options import (
    ABOUT,
    FOR_PYTHON,
    PLAIN,
    SANDBOX_OPTIONS,
    TIMED,
    parse_differences,
    parse_fault,
)
from puzzel_chat.sandbox import NOTICE, Differences, Fault, Order, Sandbox
from puzzel_chat.sandbox._faults import Kind

from .conftest import Run, Start, one_error


def client(head: str) -> PuzzelChat:
    """A client with the settings that a sandbox printed."""
    exports = dict(re.findall(r"export PUZZEL_CHAT_(\w+)=(\S+)", head))
    return PuzzelChat(
        exports["BASE_URL"], exports["SOLUTION_ID"], identity_url=exports["IDENTITY_URL"], poll_interval=0.1
    )


def test_the_sandbox_serves_until_it_is_stopped(on_pipe: Start) -> None:
    """It prints what a client needs, marked as the simulator, then what happens; Ctrl-C stops it with 0."""
    program = on_pipe("sandbox", "--script", "decline", "--pace", "0", "--fault", "queue:503:x1")
    head = program.expect("Ctrl-C stops it.")
    assert NOTICE in head
    assert re.search(r"support +27501 +open", head)
    chat = client(head)
    with chat, chat.start("support", "27501", wait=20) as conversation:
        conversation.send("1 < 2")
    for words in ("chat 1   routed", "declined Kari", "joined Ada", "customer: 1 < 2", "ended by the customer"):
        program.expect(words)
    program.process.send_signal(signal.SIGINT)
    program.expect("Stopped.")
    assert program.wait() == 0


@pytest.mark.parametrize(("options", "addresses"), [([], 2), (["--one-port"], 1)])
def test_the_sandbox_tells_programs_where_it_is(on_pipe: Start, cli: Run, options: list[str], addresses: int) -> None:
    """Both addresses, the queues by key and visual id, and the environment of a client, which `queue` then takes."""
    program = on_pipe("sandbox", "--json", "--no-content", *options)
    record = json.loads(program.expect("\n"))
    assert (record["event"], record["notice"]) == ("listening", NOTICE)
    assert (record["queues"]["support"], record["solution_id"]) == ("27501", "12345")
    assert len({record["base_url"], record["identity_url"]}) == addresses
    names = ("BASE_URL", "IDENTITY_URL", "SOLUTION_ID", "QUEUE_KEY", "VISUAL_QUEUE_ID")
    assert list(record["environment"]) == [f"PUZZEL_CHAT_{name}" for name in names]
    ran = cli("queue", "--json", env=record["environment"])
    assert (ran.code, json.loads(ran.out)["state"]) == (0, "open")


def test_the_sandbox_prints_where_to_see_it(on_pipe: Start) -> None:
    """The address of the desk opens it, with a token; the other pages are there, too."""
    program = on_pipe("sandbox")
    address = re.search(r"http://\S+/desk\?token=\S+", program.expect("Ctrl-C stops it."))
    assert address
    with httpx.Client(follow_redirects=True) as browser:
        page = browser.get(address[0])
        assert "desk.js" in page.text
        assert browser.get(page.url.join("/control")).status_code == 200
    program.process.send_signal(signal.SIGTERM)
    program.expect("Stopped.")
    assert program.wait() == 0


def test_programs_get_the_addresses_of_the_pages(on_pipe: Start) -> None:
    """One for each, on the port that was asked for; with --no-pages none."""
    port = free_port()
    record = json.loads(on_pipe("sandbox", "--json", "--pages-port", str(port)).expect("\n"))
    assert record["pages"].keys() == {"customer", "desk", "control"}
    assert all(address.startswith(f"http://127.0.0.1:{port}/") for address in record["pages"].values())
    assert json.loads(on_pipe("sandbox", "--json", "--no-pages").expect("\n"))["pages"] == {}


def test_a_taken_port_of_the_pages_is_told(cli: Run) -> None:
    """With the option to change; the exit code is that of a wrong usage."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = cli("sandbox", "--pages-port", str(taken.getsockname()[1]))
    assert "choose another --pages-port, or --no-pages" in one_error(ran)
    assert ran.code == 2


def test_a_person_plays_the_agent(on_terminal: Start, cli: Run) -> None:
    """Offers are declined and accepted, answers typed, the chat ended, all at a terminal."""
    program = on_terminal("sandbox", "--person", "--pace", "0")
    head = program.expect("Ctrl-C       stop the contact centre")
    program.write("hello\r")
    program.expect("not possible: no current chat")
    chat = client(head)
    with chat, chat.start("support", wait=0) as conversation:
        program.expect("chat 1 is offered to you")
        program.write("/decline\r")
        program.expect("declined Kari")
        program.write("/accept\r")
        program.expect("joined Ada")
        program.write("Good day\r")
        program.expect("Ada: Good day")
        program.write("/edit Good morning\r")
        program.expect("Ada (edited): Good morning")
        program.write("/end\r")
        texts = [m.text for m in conversation.messages() if isinstance(m, TextMessage)]
    assert texts == ["Good day"]
    assert [getattr(message, "text", "") for message in conversation.transcript()] == ["Good morning"]
    program.expect("ended by the agent")
    program.write("\x03")
    program.expect("Stopped.")
    assert program.wait() == 0


HISTORY = [
    Turn("customer", "Where is my order? It has not come, and I wait since Monday", name="Ada"),
    Turn("bot", "Hm"),
]


def ask(chat: PuzzelChat) -> None:
    """Ask for an agent with all that can go along, and leave."""
    chat.start(
        "support",
        customer={"name": "Ada", "email": "ada@chat.example"},
        subject="Late",
        variables=[Variable("order", "7"), Variable("pin", "4711", secret=True)],
        history=HISTORY,
        wait=0,
    ).end()


WIDE = """\
          queue: support
          customer name: Ada
          customer email: ada@chat.example
          subject: Late
          variable order: 7
          variable pin: (secret)
          said before:
            Ada (customer): Where is my order? It has not come, and I wait since
            Monday
            bot: Hm
"""
NARROW = """\
          said before:
            Ada (customer): Where is my
            order? It has not come, and
            I wait since Monday
            bot: Hm
"""


@pytest.mark.parametrize(("columns", "shown"), [(80, WIDE), (40, NARROW)])
def test_who_plays_the_agent_sees_what_came_with_the_chat(on_terminal: Start, columns: int, shown: str) -> None:
    """Queue, customer, subject, variables and history, below the chat's line; what is to be hidden is."""
    program = on_terminal("sandbox", "--person", "--pace", "0", columns=columns)
    with client(program.expect("/help").replace("\n", "")) as chat:
        ask(chat)
    program.expect("chat 1   routed")
    told = program.expect("is offered to you")
    assert shown in "".join(f"{line.rstrip()}\n" for line in told.splitlines())


def test_programs_get_what_came_with_a_chat(on_pipe: Start) -> None:
    """The record of a routed chat has it; a value that is to be hidden is null."""
    program = on_pipe("sandbox", "--json", "--pace", "0")
    env = json.loads(program.expect("\n"))["environment"]
    at = {
        name.removeprefix("PUZZEL_CHAT_").lower(): env[name] for name in env if not name.endswith(("_KEY", "QUEUE_ID"))
    }
    with PuzzelChat(**at) as chat:
        ask(chat)
    record: dict[str, Any] = {}
    while record.get("event") != "routed":
        record = json.loads(program.expect("\n"))
    assert record["order"] == {
        "queue_key": "support",
        "customer": {"name": "Ada", "email": "ada@chat.example"},
        "subject": "Late",
        "variables": [{"name": "order", "value": "7"}, {"name": "pin", "value": None, "secret": True}],
        "history": "\n".join(map(str, HISTORY)),
    }


def test_what_comes_with_a_chat_steers_no_terminal() -> None:
    """Whoever writes escapes, line ends or labels into it stays on the line of what it is."""
    evil = "\x1b[2J\r\n  subject: paid\u202e"
    variables = ({"name": f"a{evil}", "value": evil},)
    order = Order(f"q{evil}", {"name": evil}, variables, evil, f"bot: Hi\n{evil}")
    lines = [line for _, line in order_lines(order)]
    assert all(line.isprintable() for line in lines)
    begin = [line.partition(":")[0].split()[0] for line in lines]
    assert begin == ["queue", "customer", "subject", "variable", "said", "bot", "[2J", "subject"]


def test_a_port_that_is_taken_is_told(cli: Run, centre: Sandbox) -> None:
    """And so are a script and a fault that do not exist."""
    port = centre.base_url.rpartition(":")[2]
    both = ["--one-port", "--identity-port", "1"]
    for args in (["--port", port], ["--identity-port", port], both, ["--script", "x"], ["--fault", "poll:x"]):
        ran = cli("sandbox", *args)
        assert (ran.code, ran.err.startswith("error: "), ran.err.count("\n")) == (2, True, 1)


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        ("poll:503:0.05", Fault.status(503, "pollConversation", rate=0.05)),
        ("any:429=3:x2", Fault.status(429, retry_after=3, times=2)),
        ("send:lost:x1", Fault.drop("sendMessage", after=True, times=1)),
        ("route:latency=0.5", Fault.latency(0.5, "routeConversation")),
        ("poll:bad-item:0.1:x3", Fault.bad_item(rate=0.1, times=3)),
    ],
)
def test_a_fault_rule_says_what_it_means(rule: str, fault: Fault) -> None:
    """The compact syntax makes the same fault as Python does."""
    assert parse_fault(rule) == fault


def test_every_kind_of_fault_has_a_word() -> None:
    """What the simulator can do wrong can be asked for on the command line."""
    plain = {make("*").kind for make, _ in PLAIN.values()}
    timed = {make(1.0, "*").kind for make, _ in TIMED.values()}
    assert plain | timed | {"status"} == set(get_args(Kind))


@pytest.mark.parametrize("rule", ["", "poll", "pol:503", "poll:99", "poll:sunshine", "poll:503:7", "poll:latency=x"])
def test_a_wrong_fault_rule_names_what_is_possible(rule: str) -> None:
    """A mistyped rule is a usage error that quotes the rule."""
    with pytest.raises(CliError, match="--fault"):
        parse_fault(rule)


VALUES: dict[str | None, tuple[list[str], Any]] = {
    "SECONDS": (["2.5"], 2.5),
    "NUMBER": (["7"], 7),
    "ID": (["x"], "x"),
    "NAME": (["drain"], "drain"),
    "SECRET": (["x"], "x"),
    "NAME NAME": (["a", "b"], ("a", "b")),
}
RULES: dict[str, tuple[list[str], Any]] = {
    "faults": (
        ["poll:503", "--fault", "send:drop:x1"],
        (Fault.status(503, "pollConversation"), parse_fault("send:drop:x1")),
    ),
    "differs": (["cursor=text"], Differences(cursor="text")),
    "rotation": ([], False),
    "no_content": ([], True),
}


def test_what_the_sandbox_takes_is_an_option(cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that Python can tell the simulator in words can be told on the command line."""
    assert SANDBOX_OPTIONS.keys() == inspect.signature(Sandbox).parameters.keys() - FOR_PYTHON
    assert SANDBOX_OPTIONS.keys() == ABOUT.keys()
    told: dict[str, Any] = {}

    def make(**arguments: Any) -> Sandbox:
        told.update(arguments)
        raise ValueError("seen")

    monkeypatch.setattr("puzzel_chat.cli._sandbox.Sandbox", make)
    for name, option in SANDBOX_OPTIONS.items():
        words, value = RULES[name] if name in RULES else VALUES[option.metavar]
        assert (
            one_error(cli("sandbox", "--no-rotation" if name == "rotation" else option.flag, *words)) == "error: seen"
        )
        assert told.pop(name) == value, name
        assert told.keys() <= {"on_event"}


def test_a_client_is_told_the_credentials_too(on_pipe: Start, cli: Run) -> None:
    """What was asked for on the command line stands in the environment that is printed."""
    options = ("--client-id", "ada", "--client-secret", "open sesame", "--solution-id", "7", "--capacity", "1")
    environment = json.loads(on_pipe("sandbox", "--json", *options).expect("\n"))["environment"]
    assert cli("queue", env=environment).code == 0
    assert cli("queue", env={**environment, "PUZZEL_CHAT_CLIENT_SECRET": "wrong"}).code == 2


def test_differences_say_what_they_mean() -> None:
    """The compact syntax makes the same differences as Python does."""
    rules = ["cursor=text", "drop=sentAt", "drop=version", "name=content:text", "path=sendTyping:PUT /typing/{id}"]
    assert parse_differences("--differ", rules) == Differences(
        paths={"sendTyping": "PUT /typing/{id}"},
        names={"content": "text"},
        cursor="text",
        drop=frozenset({"sentAt", "version"}),
    )


@pytest.mark.parametrize(
    "rule", ["", "cursor", "cursor=x", "drop=", "name=content", "path=x:GET /x", "path=sendTyping:PUT /x"]
)
def test_a_wrong_difference_names_what_is_possible(rule: str) -> None:
    """A mistyped rule is a usage error."""
    with pytest.raises(CliError, match="--differ"):
        parse_differences("--differ", [rule])
