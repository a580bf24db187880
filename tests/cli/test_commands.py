"""`queue`, `sandbox`, `doctor` and every `--help`."""

from __future__ import annotations

import json
import re
import signal
from typing import get_args

import pytest

from puzzel_chat import PuzzelChat, Settings, TextMessage, operations
from puzzel_chat.cli._options import SERVICE_OPTIONS
from puzzel_chat.cli._output import EXIT_CODES
from puzzel_chat.sandbox import NOTICE, SCRIPTS, Sandbox, Semantics

from .conftest import Run, Start

SERVICE = ("chat", "queue", "doctor", "probe")
SECRET = "s3cret-of-the-tenant"


def client(head: str) -> PuzzelChat:
    """A client with the settings that a sandbox printed."""
    exports = dict(re.findall(r"export PUZZEL_CHAT_(\w+)=(\S+)", head))
    return PuzzelChat(
        exports["BASE_URL"], exports["SOLUTION_ID"], identity_url=exports["IDENTITY_URL"], poll_interval=0.1
    )


@pytest.mark.parametrize("command", ["", "demo", "chat", "queue", "sandbox", "doctor", "probe"])
def test_every_help_is_complete_and_fits(cli: Run, command: str) -> None:
    """What it does, an example, the exit codes; the settings with their variables; no line over 80 columns."""
    ran = cli(*command.split(), "--help", env={"COLUMNS": "80"})
    assert (ran.code, ran.err) == (0, "")
    assert all(len(line) <= 80 for line in ran.out.splitlines())
    assert f"  puzzel-chat {command or 'demo'}" in ran.out
    assert re.sub(r"\s+", " ", EXIT_CODES) in re.sub(r"\s+", " ", ran.out)
    if command in SERVICE:
        for setting, option in SERVICE_OPTIONS.items():
            assert option.flag in ran.out
            assert f"[PUZZEL_CHAT_{setting.upper()}]" in ran.out


def test_the_main_help_names_every_setting(cli: Run) -> None:
    """Every setting of the library has its variable there; the scripts and semantics are in the sandbox's."""
    main = cli("--help").out
    named = (*Settings.__annotations__, "queue_key", "visual_queue_id")
    assert all(f"PUZZEL_CHAT_{name.upper()} " in main for name in named)
    assert "export PUZZEL_CHAT_REGION=uk" in main
    assert "export PUZZEL_CHAT_SOLUTION_ID=12345" in main
    words = cli("sandbox", "--help").out
    assert all(name in words for name in (*SCRIPTS, *get_args(Semantics)))


@pytest.mark.parametrize("args", [("nonsense",), ("queue",), ("queue", "x", "--nonsense"), ("sandbox", "--pace", "x")])
def test_wrong_usage_is_exit_code_2(cli: Run, args: tuple[str, ...]) -> None:
    """Said in words, without a traceback."""
    ran = cli(*args)
    assert ran.code == 2
    assert "Traceback" not in ran.err
    assert ran.err


@pytest.mark.parametrize(("queue", "state"), [("support", "open"), ("closed", "closed"), ("unknown-hours", "unknown")])
def test_the_state_of_a_queue_has_three_values(cli: Run, centre: Sandbox, queue: str, state: str) -> None:
    """Open, closed or unknown, each an answer with exit code 0, and how old it is."""
    visual = centre.queues()[queue]
    ran, programs = cli("queue", visual, at=centre), cli("queue", visual, "--json", at=centre)
    assert (ran.code, programs.code) == (0, 0)
    rows = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in ran.out.splitlines())
    assert rows["state"].split()[0] == state == json.loads(programs.out)["state"]
    assert rows["answer from"].endswith("s ago")


def test_the_queue_to_show_may_stand_in_the_environment(cli: Run, centre: Sandbox) -> None:
    """Its visual id; a key in that place is told apart from it."""
    assert cli("queue", at=centre, env={"PUZZEL_CHAT_VISUAL_QUEUE_ID": centre.visual_queue_id}).code == 0
    ran = cli("queue", centre.queue_key, at=centre)
    assert (ran.code, "check the visual queue id, a number. A queue key is for routing." in ran.err) == (2, True)


def test_the_doctor_reaches_both_hosts_and_shows_no_secret(cli: Run) -> None:
    """Settings with their source, each step at each host, the simulator's mark, every operation; secrets never."""
    fields = {"PUZZEL_CHAT_CLIENT_SECRET": SECRET, "PUZZEL_CHAT_TOKEN_FIELDS": f"key={SECRET}"}
    with Sandbox(pace=0, client_secret=SECRET) as centre:
        ran = cli("doctor", "--queue", centre.visual_queue_id, "--timeout", "5", at=centre, env=fields)
        programs = cli("doctor", "--json", "--client-secret", SECRET, at=centre)
    assert (ran.code, programs.code) == (0, 0)
    assert SECRET not in ran.out + ran.err + programs.out + programs.err
    assert re.search(r"client_secret +set  \(environment PUZZEL_CHAT_CLIENT_SECRET\)", ran.out)
    assert re.search(r"timeout +5.0  \(option --timeout\)", ran.out)
    assert "communication host: 127.0.0.1, set by base_url" in ran.out
    assert "identity host: 127.0.0.1, set by identity_url" in ran.out
    assert f"this is the {NOTICE}" in ran.out
    assert re.search(rf"ok +queue +{centre.visual_queue_id} is open", ran.out)
    records = [json.loads(line) for line in programs.out.splitlines()]
    steps = [(row["host"], row["step"]) for row in records if "host" in row and "step" in row]
    way = ["address", "connection", "TLS", "simulator"]
    both = [(host, step) for host in ("communication", "identity") for step in way]
    assert steps == [*both, ("identity", "token")]


def test_the_doctor_sums_up_how_sure_each_operation_is(cli: Run, centre: Sandbox) -> None:
    """Each with its mark, its host and our method, and how many there are of each mark."""
    ran, programs = cli("doctor", at=centre), cli("doctor", "--json", at=centre)
    records = [json.loads(line) for line in programs.out.splitlines()]
    told = {row["operation"]: row for row in records if "operation" in row}
    assert {row.name: (row.provenance, row.used_by, row.host) for row in operations()} == {
        name: (row["provenance"], row["used_by"], row["host"]) for name, row in told.items()
    }
    marks = [row.provenance for row in operations()]
    counts = [f"{marks.count(mark)} {mark}" for mark in ("documented", "observed", "assumed", "confirmed")]
    assert ran.out.splitlines()[-1] == f"{len(marks)} operations: {', '.join(counts)}"
    assert records[-1]["operations"] == len(marks)


def test_the_doctor_reaches_one_place_once(cli: Run) -> None:
    """Where one address serves both hosts, it is tried once and called both."""
    with Sandbox(pace=0, identity_port=None) as centre:
        records = [json.loads(line) for line in cli("doctor", "--json", at=centre).out.splitlines()]
    steps = [(row["host"], row["step"]) for row in records if "host" in row and "step" in row]
    assert [step for _, step in steps] == ["address", "connection", "TLS", "simulator", "token"]
    assert {host for host, _ in steps} == {"both"}


def test_the_doctor_tells_which_host_is_not_there(cli: Run, centre: Sandbox) -> None:
    """The other one is tried all the same, the token too, and the setting to change is named."""
    ran = cli("doctor", "--json", "--base-url", "http://127.0.0.1:1", at=centre)
    records = [json.loads(line) for line in ran.out.splitlines()]
    (failed,) = [row for row in records if row.get("fine") is False]
    assert (ran.code, failed["step"], failed["host"], failed["setting"]) == (
        1,
        "connection",
        "communication",
        "base_url",
    )
    assert ("token", True) in [(row.get("step"), row.get("fine")) for row in records]


@pytest.mark.parametrize(
    ("options", "environment", "rows"),
    [
        (["--region", "UK"], {"BASE_URL": "https://chat.example"}, {"base_url": ", overruled by --region)"}),
        (["--base-url", "https://chat.example"], {"REGION": "uk"}, {"region": ", overruled by --base-url)"}),
        (["--region", "nowhere"], {}, {"base_url": "the region's", "tenant_id": "the solution id"}),
    ],
)
def test_the_doctor_tells_where_the_hosts_come_from(
    options: list[str], environment: dict[str, str], rows: dict[str, str], cli: Run
) -> None:
    """An option wins over the environment's other way to say it, and that is shown."""
    env = {f"PUZZEL_CHAT_{name}": text for name, text in environment.items()}
    # A solution id that is wrong ends it before anything is asked.
    ran = cli("doctor", *options, "--solution-id", "\n", env=env)
    told = dict(re.findall(r"^  (\w+) +(.*)$", ran.out, re.MULTILINE))
    assert ran.code == 2
    assert all(told[name].endswith(words) for name, words in rows.items())


@pytest.mark.parametrize(
    ("url", "code", "step"),
    [
        ("http://no-such-host.localhost:1", 1, ""),
        ("http://127.0.0.1:1", 1, "connection"),
        ("ftp://chat.example", 2, "settings"),
    ],
)
def test_the_doctor_tells_the_step_that_failed(cli: Run, url: str, code: int, step: str) -> None:
    """It stops there, still lists the operations, and exits with the code of what failed."""
    ran = cli("doctor", "--json", "--base-url", url, "--solution-id", "1")
    records = [json.loads(line) for line in ran.out.splitlines()]
    failed = [record["step"] for record in records if record.get("fine") is False]
    assert (ran.code, len(failed), ran.err) == (code, 1, "")
    assert step in failed[0]
    assert records[-2]["operation"]


def test_the_doctor_tells_a_refused_token(cli: Run) -> None:
    """The network is fine, the credentials are not."""
    with Sandbox(pace=0, client_secret=SECRET) as centre:
        ran = cli("doctor", at=centre)
    assert ran.code == 2
    assert re.search(r"FAILED +token +client_id: ", ran.out)


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


def test_a_port_that_is_taken_is_told(cli: Run, centre: Sandbox) -> None:
    """And so are a script and a fault that do not exist."""
    port = centre.base_url.rpartition(":")[2]
    both = ["--one-port", "--identity-port", "1"]
    for args in (["--port", port], ["--identity-port", port], both, ["--script", "x"], ["--fault", "poll:x"]):
        ran = cli("sandbox", *args)
        assert (ran.code, ran.err.startswith("error: "), ran.err.count("\n")) == (2, True, 1)
