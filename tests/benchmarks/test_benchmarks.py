"""The bench in small: it runs, it counts rightly, and it notices what it is for. No speed is asserted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from benchmarks import __main__ as bench
from benchmarks import outage
from benchmarks.book import lateness
from benchmarks.fleet import compared
from benchmarks.speed import facade, measured, peer
from benchmarks.subject import ask, centre, measure

COUNT = 20
FORM = {"grant_type": "visitor", "client_id": "oneplatform_engage", "tenant_id": "bench"}


@pytest.fixture
def port() -> Iterator[int]:
    """A contact centre that answers at once."""
    with centre(latency=0.0) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client


def test_the_centre_speaks_the_contract(port: int, client: httpx.Client) -> None:
    """A token opens a session, a poll gives what is behind its cursor, and both sides count the same."""
    began = time.monotonic()
    tokens = client.post("/connect/token", data=FORM).json()
    client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    assert client.put("/api/conversation/c1/route/support", json=[]).status_code == 202
    ask(port, "bulk", conversation="c1", size=10, messages=2)
    first = client.get("/api/conversation").json()
    assert ([item["id"] for item in first["messages"]], first["cursor"]) == (["c1-1", "c1-2"], 2)
    assert client.get("/api/conversation", params={"after": 1}).json()["messages"] == first["messages"][1:]
    assert client.get("/api/conversation", params={"after": 2}).json() == {"messages": [], "cursor": 2}
    assert ask(port, "ledger") == {"c1": 2}
    seen = ask(port, "report", since=began, until=time.monotonic())
    assert seen["polls"] == sum(seen["seconds"]["polls"]) == 3
    assert sum(seen["seconds"]["PUT route"]) == sum(seen["seconds"]["grants"]) == 1


def test_a_refresh_token_is_good_for_one_refresh(port: int, client: httpx.Client) -> None:
    """The second use is refused and counted, and so is a call with a token that nobody gave."""
    began = time.monotonic()
    refresh = client.post("/connect/token", data=FORM).json()["refresh_token"]
    form = {**FORM, "grant_type": "refresh_token", "refresh_token": refresh}
    assert [client.post("/connect/token", data=form).status_code for _ in range(2)] == [200, 400]
    assert client.get("/api/conversation", headers={"Authorization": "Bearer none"}).status_code == 401
    seconds = ask(port, "report", since=began, until=time.monotonic())["seconds"]
    assert {name: sum(seconds[name]) for name in ("refreshes", "reuse", "refused")} == {
        "refreshes": 2, "reuse": 1, "refused": 1,
    }  # fmt: skip


def test_the_centre_knows_who_polled_last_and_how_long_nobody_did(client: httpx.Client, port: int) -> None:
    """By the worker's header; the gap begins with the last poll before the moment that is asked about."""
    tokens = client.post("/connect/token", data=FORM).json()
    client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    client.put("/api/conversation/c1/route/support", json=[])
    first = time.monotonic()
    client.get("/api/conversation", headers={"X-Worker": "ada"})
    assert ask(port, "held", worker="ada") == ["c1"]
    began = time.monotonic()
    client.get("/api/conversation", headers={"X-Worker": "kari"})
    assert (ask(port, "held", worker="ada"), ask(port, "held", worker="kari")) == ([], ["c1"])
    (gap,) = ask(port, "gaps", since=began, among=["c1"])
    assert 0.0 < gap < time.monotonic() - first


@pytest.mark.slow
@pytest.mark.parametrize("how", outage.KINDS)
def test_the_centre_is_out_and_comes_back(how: str, port: int, client: httpx.Client) -> None:
    """Whatever kind of outage it is: nothing is answered as usual meanwhile, and everything after."""
    token = ask(port, "sessions", count=1)[0]
    client.headers["Authorization"] = f"Bearer {token}"
    ask(port, "outage", how=how, seconds=0.4)
    time.sleep(0.05)
    answered: list[int] = []
    while answered[-1:] != [200]:
        try:
            answered.append(client.get("/api/conversation", timeout=0.1).status_code)
        except httpx.TransportError:
            answered.append(0)
    assert set(answered[:-1]) == ({503} if how == "503" else {0})


@pytest.mark.slow
def test_the_facade_beside_a_bare_client() -> None:
    """Each row is measured in a process of its own, and every poll that the centre saw is in it."""
    rows = [facade(False, COUNT, warm=0.2), peer("raw", "grid", COUNT, warm=0.2), peer("raw", "tasks", COUNT, warm=0.2)]
    told = measured(rows, rounds=1, seconds=1.0).splitlines()
    assert len(told) == 2 + len(rows)
    assert all(row.name in line for row, line in zip(rows, told[2:], strict=True))


@pytest.mark.slow
def test_every_message_reaches_its_handler_once() -> None:
    """The whole way, from the centre's store to the handler."""
    more = {"fast": False}
    found = measure("benchmarks.delivery", {"latency": 0.05}, count=COUNT, seconds=1.0, warm=0.2, more=more)
    assert found["stored"] > 0
    assert [found[name] for name in ("lost", "doubled", "disordered")] == [0, 0, 0]
    assert 0.0 < found["p50"] <= found["p99"]


@pytest.mark.parametrize(
    ("got", "figures"),
    [
        ([1, 2, 3], (0, 0, 0)),
        ([1, 3], (1, 0, 0)),
        ([1, 2, 2, 3], (0, 1, 0)),
        ([2, 1, 3], (0, 0, 1)),
        ([], (3, 0, 0)),
    ],
)
def test_what_was_lost_doubled_or_out_of_order_is_noticed(got: list[int], figures: tuple[int, int, int]) -> None:
    """By the numbers that the messages carry."""
    found = compared({"c1": 3}, {"c1": got, "c2": [1]})
    assert (found["lost"], found["doubled"], found["disordered"]) == figures


def test_lateness_is_told_from_the_arrivals_alone() -> None:
    """Polls a period apart were all punctual, also when one was left out; the latest is told against the earliest."""
    assert lateness([10.25, 11.25, 14.25]) == [0.0, 0.0, 0.0]
    assert lateness([10.0, 11.125, 12.0]) == [0.0, 0.125, 0.0]
    assert lateness([10.25, 11.0, 12.0]) == [0.25, 0.0, 0.0]


def test_an_outage_is_told_by_its_seconds() -> None:
    """What was offered while it lasted, and what came after, each by the second."""
    polls = [10, 10, 10, *[0] * 10, 5, 14, 10, 10]
    offered = [0, 0, 0, 9, 7, 5, 3, 2, 2, 1, 1, 2, 0, 0, 0, 0, 0]
    found = {"since": 100.0, "out": 103.0, "back": 113.0, "owed": 1.5, "stopped": 0}
    counted = {"stored": 3, "lost": 0, "doubled": 0, "disordered": 0}
    seconds = {"polls": polls, "offered": offered, "refused connections": [0] * len(polls)}
    row = outage.row("503", 10, {**found, **counted, "centre": {"seconds": seconds}})
    told = dict(zip(outage.COLUMNS, row, strict=True))
    assert told["steady, polls/s"] == "10"
    assert (told["offered in the first 5 s, /s at most"], told["at most"]) == (9, 2)
    assert (told["after it, polls/s at most"], told["of steady"]) == (14, "1.40")


def test_the_runs_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """`RUN=--help` names each of them."""
    with pytest.raises(SystemExit):
        bench.main(["--help"])
    told = capsys.readouterr().out
    assert all(name in told for name in bench.RUNS)
