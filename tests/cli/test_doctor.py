"""`puzzel-chat doctor`: settings and their sources, the way to both hosts, the operations."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from answering import talking
from puzzel_chat import operations
from puzzel_chat._clock import Clock
from puzzel_chat.cli._doctor import shown_settings
from puzzel_chat.sandbox import NOTICE, Sandbox

from .conftest import Run

SECRET = "s3cret-of-the-tenant"
AUTHORITY = str(Path(__file__).parents[1] / "unit" / "certificates" / "authority.pem")


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
    way = ["network", "address", "connection", "TLS", "simulator"]
    both = [(host, step) for host in ("communication", "identity") for step in way]
    assert steps == [*both, ("identity", "token")]


def test_the_doctor_sums_up_how_sure_each_operation_is(cli: Run, centre: Sandbox) -> None:
    """Each with its mark, its host and our method, and how many there are of each mark."""
    ran, programs = cli("doctor", at=centre), cli("doctor", "--json", at=centre)
    verbose = cli("doctor", "--verbose", at=centre)
    records = [json.loads(line) for line in programs.out.splitlines()]
    told = {row["operation"]: row for row in records if "operation" in row}
    assert {row.name: (row.provenance, row.used_by, row.host) for row in operations()} == {
        name: (row["provenance"], row["used_by"], row["host"]) for name, row in told.items()
    }
    marks = [row.provenance for row in operations()]
    counts = [f"{marks.count(mark)} {mark}" for mark in ("documented", "observed", "assumed", "confirmed")]
    summary = f"{len(marks)} operations: {', '.join(counts)}"
    assert (ran.out.partition("; why: --verbose")[0], verbose.out.splitlines()[0]) == (summary, summary)
    assert records[0]["operations"] == len(marks)
    shown = " ".join(ran.out.split())
    for row in operations():
        assert row.name in shown.partition(f"{row.provenance} ")[2]
        assert " ".join(row.note.split()) in " ".join(verbose.out.split())
        assert row.note not in shown


def test_the_doctors_findings_come_last_and_on_a_line_each(cli: Run, centre: Sandbox) -> None:
    """All that it says fits a terminal of 40 rows, and the last line sums up."""
    ran = cli("doctor", "--queue", centre.visual_queue_id, "--timeout", "5", at=centre)
    lines = ran.out.splitlines()
    assert len(lines) < 40
    findings = lines[lines.index("Findings") + 1 :]
    assert [line.split()[1] for line in findings if line.startswith(("  ok", "  --"))] == [
        "certificates",
        *["network", "address", "connection", "TLS"] * 2,
        "token",
        "queue",
    ]
    assert lines[-1] == "Nothing failed."
    failing = cli("doctor", "--base-url", "http://127.0.0.1:1", at=centre)
    assert failing.out.splitlines()[-1] == "Failed: connection."


def test_the_doctor_shows_every_setting(cli: Run, centre: Sandbox) -> None:
    """Those that are set have a line of their own, and the others come together, or with `--verbose` in a line too."""
    ran, verbose = cli("doctor", at=centre), cli("doctor", "--verbose", at=centre)
    shown = " ".join(ran.out.split())
    rest = shown.partition("the rest ")[2].partition(" Findings")[0]
    for row in shown_settings({}, {}):
        assert re.search(rf"^  {row.name} ", ran.out, re.MULTILINE) or f"{row.name}: {row.value}" in rest
        assert re.search(rf"^  {row.name} ", verbose.out, re.MULTILINE)
    assert re.search(r"^  proxy +not set$", verbose.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("variables", "options", "told"),
    [
        ({}, [], "directly: no proxy is named"),
        ({"HTTPS_PROXY": "http://p.example", "NO_PROXY": "*"}, [], "directly: NO_PROXY names it"),
        ({"ALL_PROXY": "http://p.example"}, ["--base-url", "http://127.0.0.1:1"], "directly: it is on this machine"),
        ({"HTTPS_PROXY": "http://p.example:3"}, [], "through the proxy p.example:3 (HTTPS_PROXY)"),
        (
            {"HTTPS_PROXY": "http://p.example:3", "PUZZEL_CHAT_PROXY": "http://ada:pa55word@q.example:4"},
            ["--base-url", "http://127.0.0.1:1"],
            "through the proxy q.example:4 (proxy)",
        ),
    ],
)
def test_the_doctor_tells_the_truth_about_the_proxy(
    variables: dict[str, str], options: list[str], told: str, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one is used and what names it, or why there is none; its password is never shown."""
    monkeypatch.setattr(Clock, "uniform", lambda self, low, high: low)
    bare(monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    base = {"PUZZEL_CHAT_BASE_URL": "https://chat.invalid", "PUZZEL_CHAT_IDENTITY_URL": "http://127.0.0.1:1"}
    ran = cli("doctor", "--solution-id", "7", *options, env={**base, **variables})
    network = re.findall(r"--      network +(.*)", ran.out)
    assert network[0] == told
    assert "pa55word" not in ran.out + ran.err


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({}, "the authorities that httpx brings; verify or SSL_CERT_FILE would name others"),
        ({"SSL_CERT_FILE": AUTHORITY}, f"those of {AUTHORITY} (SSL_CERT_FILE)"),
        ({"SSL_CERT_FILE": "nowhere.pem", "PUZZEL_CHAT_VERIFY": AUTHORITY}, f"those of {AUTHORITY} (verify)"),
    ],
)
def test_the_doctor_trusts_whom_the_client_trusts(
    variables: dict[str, str], told: str, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says who names the certificates, and its own handshake uses them."""
    bare(monkeypatch)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Clock, "uniform", lambda self, low, high: low)
    with talking(Path(AUTHORITY).with_name("chat.pem")) as address:
        env = {"PUZZEL_CHAT_BASE_URL": address, "PUZZEL_CHAT_SOLUTION_ID": "7"}
        ran = cli("doctor", env={**env, **variables})
    assert f"certificates {told}\n" in ran.out
    good = bool(variables)
    assert bool(re.search(r"ok +TLS +TLSv1\.\d, the certificate is good", ran.out)) == good
    assert bool(re.search(r"FAILED +TLS", ran.out)) != good


def test_the_doctor_reaches_one_place_once(cli: Run) -> None:
    """Where one address serves both hosts, it is tried once and called both."""
    with Sandbox(pace=0, identity_port=None) as centre:
        records = [json.loads(line) for line in cli("doctor", "--json", at=centre).out.splitlines()]
    steps = [(row["host"], row["step"]) for row in records if "host" in row and "step" in row]
    assert [step for _, step in steps] == ["network", "address", "connection", "TLS", "simulator", "token"]
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
    ran = cli("doctor", "--verbose", *options, "--solution-id", "\n", env=env)
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
    assert [record for record in records if "operation" in record]
    assert records[-1]["failed"] == [record["step"] for record in records if record.get("fine") is False][:1]


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
    given = {"base_url": "https://chat.example:8443/eu", "client_secret": "x"}
    rows = {row.name: row.value for row in shown_settings(given, {"PUZZEL_CHAT_HEADERS": "a=b"})}
    assert rows["base_url"] == "https://chat.example:8443/eu"
    assert (rows["client_secret"], rows["headers"]) == ("set", "set")


@pytest.mark.parametrize(
    ("proxy", "shown"),
    [
        ("http://p.example:3128", "http://p.example:3128"),
        ("p.example:3128", "p.example:3128"),
        ("socks5://[::1]:1", "socks5://[::1]:1"),
        ("http://ada:pa55word@p.example:1/x", "http://p.example:1"),
        ("http://ada:p@/#?pa55word@p.example", "http://p.example"),
        ("ada:pa55word@p.example", "p.example"),
        ("http://p.example:pa55word", "http://p.example"),
        ("http://", "http://"),
    ],
)
def test_a_proxy_is_shown_without_its_password(proxy: str, shown: str) -> None:
    """However it is written."""
    assert {row.name: row.value for row in shown_settings({}, {"PUZZEL_CHAT_PROXY": proxy})}["proxy"] == shown


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
    assert (ran.code, list(steps)) == (1, ["certificates", "network", "token"])
    assert steps["network"] == f"through the proxy 127.0.0.1:1 ({variable})"
    assert f"could not connect to the proxy 127.0.0.1:1 ({variable}) on the way to chat.example:443" in steps["token"]
    assert "pa55word" not in ran.out + ran.err
