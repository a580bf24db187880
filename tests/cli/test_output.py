"""Every error has its exit code and says what to do; times read well."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from ports import dead_port
from puzzel_chat import DeliveryUnknown, InvalidArgument, ServerError, SessionExpired
from puzzel_chat.cli._output import Exit, clock_time, duration, exit_code
from puzzel_chat.sandbox import Fault, Sandbox

from .conftest import Run, Start, one_error


@pytest.mark.parametrize(
    ("queue", "code", "advice"),
    [
        ("closed", 3, "it opens"),
        ("full", 3, "Try again later"),
        ("nobody", 3, "No agent serves the queue"),
        ("nonsense", 2, "check the queue key"),
        ("27501", 2, "A number is a visual queue id"),
        ("a/b", 2, "queue_key: must not hold '/'"),
        ("", 2, "queue_key: must have 1 to 256"),
    ],
)
def test_a_chat_that_cannot_start_says_why(cli: Run, centre: Sandbox, queue: str, code: int, advice: str) -> None:
    """Closed, full, refused, unknown and impossible queues."""
    ran = cli("chat", queue, at=centre)
    assert (ran.code, advice in one_error(ran)) == (code, True)


def test_no_agent_in_time_leaves_the_queue(cli: Run, centre: Sandbox) -> None:
    """The wait ends, the queue is left at the service, and the advice names the option."""
    ran = cli("chat", "silent", "--wait", "0.3", at=centre)
    assert ran.code == 3
    assert "--wait" in one_error(ran)
    assert centre.stats().left_queue == 1


def test_a_wrong_secret_is_named_and_never_shown(cli: Run) -> None:
    """The setting, its option and its variable, but not its value."""
    with Sandbox(pace=0, client_secret="right") as centre:
        ran = cli("queue", "27501", at=centre, env={"PUZZEL_CHAT_CLIENT_SECRET": "wr0ng-s3cret"})
    assert ran.code == 2
    assert "client_secret" in one_error(ran)
    assert "--client-secret, PUZZEL_CHAT_CLIENT_SECRET" in one_error(ran)
    assert "wr0ng-s3cret" not in ran.out + ran.err


@pytest.mark.usefixtures("no_waits")
def test_a_service_that_is_not_there(cli: Run) -> None:
    """A refused connection is exit code 1 and points to the doctor."""
    with dead_port() as port:
        ran = cli("queue", "27501", "--base-url", f"http://127.0.0.1:{port}", "--solution-id", "1")
    assert ran.code == 1
    assert "puzzel-chat doctor" in one_error(ran)


def test_plain_http_to_another_machine_is_refused(cli: Run) -> None:
    """Nothing is sent, and the option that allows it is named."""
    ran = cli("queue", "27501", "--base-url", "http://chat.example", "--solution-id", "1")
    assert ran.code == 2
    assert "--allow-insecure-http" in one_error(ran)


@pytest.mark.parametrize("args", [("queue", "27501", "--solution-id", "1"), ("queue", "27501", "--wait", "5")])
def test_no_word_of_an_error_is_broken_on_a_narrow_terminal(
    on_terminal: Start, cli: Run, args: tuple[str, ...]
) -> None:
    """Settings and usage: what is one line for a program is folded between words for a person."""
    program = on_terminal(*args, columns=40)
    assert program.wait() == 2
    assert max(map(len, program.seen.splitlines())) <= 40
    assert program.seen.split() == cli(*args).err.split()


def test_a_missing_setting_names_option_and_variable(cli: Run) -> None:
    """Both ways to set it, once."""
    ran = cli("queue", "27501", env={"PUZZEL_CHAT_BASE_URL": "https://chat.example"})
    assert ran.code == 2
    assert one_error(ran) == "error: solution_id: is missing; pass --solution-id or set PUZZEL_CHAT_SOLUTION_ID"


def test_a_missing_address_names_every_way_to_give_it(cli: Run) -> None:
    """A region is enough; the options and the variables of all three settings are told."""
    ran = cli("queue", "27501", "--solution-id", "1")
    told = one_error(ran)
    assert ran.code == 2
    for name in ("region", "base_url", "identity_url"):
        assert f"--{name.replace('_', '-')} (" in told
        assert f"PUZZEL_CHAT_{name.upper()}" in told


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"REGION": "mars"}, "must be one of opo, uk, not 'mars' (--region, PUZZEL_CHAT_REGION)"),
        ({"REGION": "uk", "BASE_URL": "https://chat.example"}, "names both hosts"),
        ({"REGION": "uk", "GRANT_TYPE": " "}, "(--grant-type, PUZZEL_CHAT_GRANT_TYPE)"),
        ({"BASE_URL": "https://chat.example", "IDENTITY_URL": "http://id.example"}, "pass --allow-insecure-http"),
    ],
)
def test_a_wrong_setting_is_told_in_words_of_the_command_line(cli: Run, env: dict[str, str], words: str) -> None:
    """The option and the variable."""
    env = {"PUZZEL_CHAT_SOLUTION_ID": "1", **{f"PUZZEL_CHAT_{name}": text for name, text in env.items()}}
    ran = cli("queue", "27501", env=env)
    assert (ran.code, words in one_error(ran)) == (2, True)


@pytest.mark.usefixtures("no_waits")
def test_a_failing_service_is_exit_code_1(cli: Run, centre: Sandbox) -> None:
    """A gateway's error page instead of an answer."""
    centre.faults(Fault.status(500, "getQueueInfo", html=True))
    ran = cli("queue", "27501", at=centre)
    assert (ran.code, "status 500" in one_error(ran)) == (1, True)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DeliveryUnknown("m", text="t", client_id="c"), Exit.LOST),
        (InvalidArgument("a", "m"), Exit.USAGE),
        (SessionExpired("m"), Exit.FAILED),
        (ServerError("m", status=503), Exit.FAILED),
        (KeyboardInterrupt(), Exit.INTERRUPTED),
        (ZeroDivisionError(), None),
    ],
)
def test_errors_map_to_the_promised_codes(error: BaseException, code: Exit | None) -> None:
    """The rest of the table; a bug has no code and is not hidden."""
    assert exit_code(error) is code


def test_durations_and_times_read_well() -> None:
    """Seconds, minutes and hours, and the date only when it is another day's."""
    assert [duration(s) for s in (0.4, 59, 60, 125, 3600, 4200)] == [
        "0 s",
        "59 s",
        "1 min",
        "2 min 5 s",
        "1 h",
        "1 h 10 min",
    ]
    now = datetime(2026, 11, 23, 12, tzinfo=UTC).astimezone()
    assert "2026" not in clock_time(now + timedelta(minutes=5), now)
    assert "2026" in clock_time(now + timedelta(days=1), now)


@pytest.mark.parametrize("zone", ["UTC-14", "UTC+12", "UTC"])
@pytest.mark.parametrize("moment", [datetime.min, datetime.max])
def test_a_moment_without_a_local_time_is_told_all_the_same(
    moment: datetime, zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither end of Python's calendar breaks a command, east or west of Greenwich."""
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        assert str(moment.year) in clock_time(moment.replace(tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC))
    time.tzset()
