"""`puzzel-chat doctor`: settings and their sources, the way to both hosts, the operations."""

from __future__ import annotations

import json
import re

import pytest

from puzzel_chat import operations
from puzzel_chat._clock import Clock
from puzzel_chat.cli._doctor import shown_settings
from puzzel_chat.sandbox import NOTICE, Sandbox

from .conftest import Run

SECRET = "s3cret-of-the-tenant"


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
    assert re.search(r"FAILED +token +solution_id: ", ran.out)


@pytest.mark.parametrize(
    "address", ["https://user:pa55word@chat.example/x", "https://chat.example/?key=pa55word", "chat.example#pa55word"]
)
def test_the_doctor_hides_what_an_address_should_not_hold(cli: Run, address: str) -> None:
    """Credentials in the base URL are refused, and are not shown while that is told."""
    ran = cli("doctor", env={"PUZZEL_CHAT_BASE_URL": address, "PUZZEL_CHAT_SOLUTION_ID": "7"})
    assert ran.code == 2
    assert "pa55word" not in ran.out + ran.err
    assert "chat.example" in ran.out


def test_an_ordinary_address_is_shown_as_it_is() -> None:
    """Masking changes nothing of an address that holds no secret."""
    rows = {
        row.name: row.value
        for row in shown_settings({"base_url": "https://chat.example:8443/eu", "client_secret": "x"}, {})
    }
    assert rows["base_url"] == "https://chat.example:8443/eu"
    assert rows["client_secret"] == "set"


WRONG = {
    "ALL_PROXY": ("socks://ada:pa55word@p.example:1", "ALL_PROXY: 'socks://***@p.example:1'"),
    "SSL_CERT_FILE": ("nowhere.pem", "SSL_CERT_FILE: 'nowhere.pem' cannot be used"),
    "SSLKEYLOGFILE": ("/nowhere/keys", "SSLKEYLOGFILE: '/nowhere/keys' cannot be used"),
    "https_proxy": ("http://[::1", "https_proxy: 'http://[::1' is no address"),
}


@pytest.mark.parametrize("variable", WRONG)
@pytest.mark.parametrize("command", [["doctor"], ["queue", "1"], ["chat", "q_support"], ["probe"]])
def test_a_variable_that_cannot_be_used_is_told_without_a_traceback(
    cli: Run, monkeypatch: pytest.MonkeyPatch, command: list[str], variable: str
) -> None:
    """Every command names it, as a wrong setting."""
    bare(monkeypatch)
    monkeypatch.setenv(variable, WRONG[variable][0])
    ran = cli(*command, "--region", "uk", "--solution-id", "7")
    told = " ".join((ran.out + ran.err).split())
    assert ran.code == 2
    assert WRONG[variable][1] in told
    assert "Traceback" not in told
    assert "pa55word" not in told


def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the proxies and certificates of this machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize("variable", WRONG)
def test_a_contact_centre_of_this_machine_does_not_mind(
    cli: Run, centre: Sandbox, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """What is not used on the way there cannot hurt."""
    monkeypatch.setenv(variable, WRONG[variable][0])
    assert cli("doctor", at=centre).code == 0


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY", "https_proxy"])
def test_the_doctor_goes_through_the_proxy_that_the_client_uses(
    cli: Run, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """It names the proxy and its variable, and tries nothing past it."""
    monkeypatch.setattr(Clock, "uniform", lambda self, low, high: low)
    bare(monkeypatch)
    monkeypatch.setenv(variable, "http://ada:pa55word@127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "::1/128")
    ran = cli("doctor", "--json", "--base-url", "https://chat.example", "--solution-id", "7")
    records = [json.loads(line) for line in ran.out.splitlines()]
    steps = {row["step"]: row["told"] for row in records if "step" in row and "told" in row}
    assert (ran.code, list(steps)) == (1, ["network", "token"])
    assert steps["network"] == f"goes through the proxy 127.0.0.1:1 ({variable})"
    assert f"could not connect to the proxy 127.0.0.1:1 ({variable}) on the way to chat.example:443" in steps["token"]
    assert "pa55word" not in ran.out + ran.err
