"""The sandbox over real HTTP on loopback: the contract's statuses, its faults, its life cycle."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.machinery import ModuleSpec

import httpx
import pytest

from puzzel_chat.sandbox import NOTICE, Fault, Happening, Sandbox, Semantics, Status
from puzzel_chat.sandbox._app import ROUTES
from puzzel_chat.sandbox._desk import _HANDLERS
from puzzel_chat.sandbox._values import OPERATIONS


class Customer:
    """A bare HTTP client with one session."""

    def __init__(self, sandbox: Sandbox) -> None:
        """Fetch a token."""
        self.http = httpx.Client(base_url=sandbox.base_url, timeout=5, trust_env=False)
        form = {"grant_type": "client_credentials", "client_id": sandbox.solution_id}
        self.tokens = self.http.post("/connect/token", data=form).json()
        self.bear(self.tokens)

    def bear(self, tokens: dict[str, str]) -> None:
        """Use another access token."""
        self.http.headers["Authorization"] = f"Bearer {tokens['access_token']}"

    def refresh(self) -> httpx.Response:
        """Spend the refresh token."""
        form = {"grant_type": "refresh_token", "refresh_token": self.tokens["refresh_token"]}
        return self.http.post("/connect/token", data=form)

    def route(self, key: str = "chat", queue: str = "support") -> httpx.Response:
        """Ask for an agent."""
        return self.http.post(f"/api/conversation/{key}/route/", json={"queueId": queue})

    def status(self, key: str = "chat") -> httpx.Response:
        """Ask how the search goes."""
        return self.http.get(f"/api/allocation/requestStatus/{key}")

    def say(self, text: str, key: str = "chat") -> httpx.Response:
        """Write to the agent."""
        return self.http.post(f"/api/conversation/{key}/message", json={"content": text})

    def end(self, key: str = "chat") -> httpx.Response:
        """End the chat."""
        return self.http.post(f"/api/conversation/{key}/end")

    def poll(self, after: str | None = None) -> httpx.Response:
        """Poll."""
        return self.http.get("/api/conversation", params={"after": after} if after else {})


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A sandbox in which everything takes place at the next request and a test plays the agent."""
    with Sandbox(script="manual", pace=0) as sandbox:
        yield sandbox


@pytest.fixture
def customer(sandbox: Sandbox) -> Iterator[Customer]:
    """A customer with an open session."""
    customer = Customer(sandbox)
    with closing(customer.http):
        yield customer


def texts(response: httpx.Response) -> list[str]:
    """Return the texts of a poll."""
    return [message["content"] for message in response.json()["messages"] if message["type"] == "Text"]


def test_a_whole_chat_over_http(sandbox: Sandbox, customer: Customer) -> None:
    """Token, route, status, poll, send, typing, end: each answers as in the contract, and the ledger agrees."""
    assert (customer.route().status_code, customer.status().json()["status"]) == (202, "Offered")
    agent = sandbox.agent("chat")
    agent.accept()
    assert customer.status().json()["agent"]["displayName"] == agent.name == "Kari"
    message_id = agent.say("1 < 2")
    agent.edit(message_id, "2 > 1")
    assert customer.say("thanks").status_code == 200
    assert customer.http.post("/api/conversation/chat/typing", json={"isTyping": True}).status_code == 204
    assert agent.customer_typing
    assert texts(customer.poll()) == ["1 &lt; 2", "2 &gt; 1", "thanks"]
    assert customer.end().status_code == 204
    assert customer.end().status_code == 410
    wires = [dict(entry.wire) for entry in sandbox.ledger()["chat"]]
    assert wires == customer.poll().json()["messages"]
    assert wires[-1]["endedBy"] == 0


def test_declining_by_hand_offers_to_another(sandbox: Sandbox, customer: Customer) -> None:
    """A person who declines passes the chat to the next agent; without an offer there is nothing to accept."""
    customer.route()
    agent = sandbox.agent("chat")
    first = agent.name
    agent.decline()
    assert agent.status is Status.OFFERED
    assert agent.name not in (None, first)
    agent.accept()
    with pytest.raises(RuntimeError, match="Assigned"):
        agent.accept()
    agent.leave()
    with pytest.raises(RuntimeError, match="no agent"):
        agent.say("x")
    agent.accept()
    agent.end()
    with pytest.raises(RuntimeError, match="ended"):
        agent.end()


def test_agent_can_send_anything(sandbox: Sandbox, customer: Customer) -> None:
    """A raw message goes out as it is, with only what it lacks filled in."""
    customer.route()
    agent = sandbox.agent("chat")
    with pytest.raises(LookupError):
        _ = sandbox.agent("other").status
    agent.accept()
    agent.typing(False)
    message_id = agent.send_raw({"type": "Poll", "version": "two", "author": None, "choices": [1, None]})
    event, raw = customer.poll().json()["messages"][-2:]
    assert (event["event"], event["isTyping"]) == ("AgentTyping", False)
    assert raw["id"] == message_id
    assert (raw["type"], raw["version"], raw["author"], raw["choices"]) == ("Poll", "two", None, [1, None])


def test_agent_sees_what_the_customer_brought(sandbox: Sandbox, customer: Customer) -> None:
    """Customer, variables and subject of the route request reach the agent and no repr."""
    body = {
        "queueId": "support",
        "subject": "Parcel",
        "customer": {"name": "Ada"},
        "variables": [{"name": "pin", "value": "4711", "secret": True}],
    }
    assert customer.http.post("/api/conversation/chat/route/", json=body).status_code == 202
    order = sandbox.agent("chat").order
    assert (order.subject, order.customer, order.variables) == ("Parcel", {"name": "Ada"}, tuple(body["variables"]))
    assert "4711" not in repr(order)
    assert "Ada" not in repr(order)


def test_every_reply_says_it_is_a_simulator(sandbox: Sandbox, customer: Customer) -> None:
    """Every reply has the header, the scope names it, and so do banner and repr."""
    replies = [
        customer.poll(),
        customer.status("none"),
        customer.http.get("/nowhere"),
        customer.http.put("/connect/token"),
    ]
    replies.append(httpx.get(f"{sandbox.base_url}/api/conversation", trust_env=False))
    sandbox.faults(Fault.status(502, times=1), Fault.html_page(times=1))
    replies += [customer.poll(), customer.poll()]
    assert {reply.headers["X-Simulator"] for reply in replies} == {NOTICE}
    assert [reply.status_code for reply in replies] == [200, 404, 404, 405, 401, 502, 200]
    assert "not-puzzel" in customer.tokens["scope"]
    assert NOTICE in sandbox.banner
    assert NOTICE in repr(sandbox)


def test_routes_handlers_and_names_agree() -> None:
    """Each operation of the contract has one route and one handler, and nothing else has."""
    assert [row[0] for row in ROUTES] == list(OPERATIONS) == list(_HANDLERS)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer unknown", "Digest unknown", "Basic dXNlcg=="])
def test_401_without_a_living_token(customer: Customer, authorization: str | None) -> None:
    """Every operation but the token's wants a living bearer token and says so as RFC 6750 does."""
    headers = {} if authorization is None else {"Authorization": authorization}
    base = str(customer.http.base_url)
    for _name, method, path in ROUTES[1:]:
        url = base.rstrip("/") + path.replace("{id}", "chat")
        reply = httpx.request(method, url, headers=headers, trust_env=False)
        assert reply.status_code == 401
        assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
        assert reply.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("path", "body"), [
    ("route/", b""), ("route/", b"{"), ("route/", b"[]"), ("route/", b"{}"), ("route/", b'{"queueId":7}'),
    ("route/", b'{"queueId":null}'), ("route/", b'{"queueId":"support","customer":"Ada"}'),
    ("route/", b'{"queueId":"support","customer":{"name":1}}'), ("route/", b'{"queueId":"support","variables":{}}'),
    ("route/", b'{"queueId":"support","variables":[{"name":"a"}]}'), ("route/", b'{"queueId":"support","subject":[]}'),
    ("route/", b'{"queueId":"support","variables":[{"name":"a","value":"b","secret":1}]}'),
    ("route/", b'{"queueId":NaN}'), ("route/", b'\xff{"queueId":"support"}'), ("route/", b"[" * 100_000),
    ("route/", b'{"queueId":"support","queue":"x"}'),
        ("route/", b'{"queueId":"support","customer":{"nick":"Ada"}}'),
        ("message", b'{"content":"x","text":"y"}'),
        ("message", b"{}"), ("message", b'{"content":1}'), ("message", b'{"content":"x","clientMessageId":5}'),
    ("typing", b"{}"), ("typing", b'{"isTyping":"yes"}'), ("typing", b'{"isTyping":1}'),
])  # fmt: skip
def test_bad_bodies_are_400_and_change_nothing(sandbox: Sandbox, customer: Customer, path: str, body: bytes) -> None:
    """A body that is not as the contract says is a 400 problem that repeats nothing of what came."""
    reply = customer.http.post(
        f"/api/conversation/chat/{path}", content=body, headers={"Content-Type": "application/json"}
    )
    assert reply.status_code == 400
    assert reply.json()["code"] == "BadRequest"
    assert sandbox.stats().routed == 0


def test_json_wants_its_content_type(customer: Customer) -> None:
    """JSON under another content type is refused; parameters of the content type are not minded."""
    body = b'{"queueId":"support"}'
    for kind, status in (("text/plain", 400), ("", 400), ("application/json; charset=utf-8", 202)):
        reply = customer.http.post("/api/conversation/chat/route/", content=body, headers={"Content-Type": kind})
        assert reply.status_code == status


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(("kind", "body", "status", "error"), [
    ("application/json", b"{}", 400, "invalid_request"),
    (FORM, b"", 400, "invalid_request"),
    (FORM, b"grant_type=client_credentials", 400, "invalid_request"),
    (FORM, b"grant_type=client_credentials&client_id=12345&client_id=12345", 400, "invalid_request"),
    (FORM, b"grant_type=client_credentials&client_id=%ff", 400, "invalid_request"),
    (FORM, b"grant_type=client_credentials&client_id=\xff", 400, "invalid_request"),
    (FORM, b"grant_type=password&client_id=12345", 400, "unsupported_grant_type"),
    (FORM, b"grant_type=client_credentials&client_id=other", 401, "invalid_client"),
    (FORM, b"grant_type=refresh_token&client_id=12345&refresh_token=x", 400, "invalid_grant"),
])  # fmt: skip
def test_token_form_errors(sandbox: Sandbox, kind: str, body: bytes, status: int, error: str) -> None:
    """The token endpoint answers bad forms with an OAuth error body, never a problem."""
    url = f"{sandbox.base_url}/connect/token"
    reply = httpx.post(url, content=body, headers={"Content-Type": kind}, trust_env=False)
    assert (reply.status_code, reply.json()["error"]) == (status, error)
    assert reply.headers["Content-Type"] == "application/json"


def test_token_form_takes_more_fields(sandbox: Sandbox) -> None:
    """Fields that the contract does not name are allowed and ignored."""
    form = {"grant_type": "client_credentials", "client_id": "12345", "scope": "chat", "acr_values": "tenant:1"}
    assert httpx.post(f"{sandbox.base_url}/connect/token", data=form, trust_env=False).status_code == 200


def test_secret_when_one_is_configured() -> None:
    """With a client secret the right one is needed, and it shows in no repr."""
    form = {"grant_type": "client_credentials", "client_id": "bot"}
    with Sandbox(client_id="bot", client_secret="s3cret-word") as sandbox:
        url = f"{sandbox.base_url}/connect/token"
        replies = [httpx.post(url, data={**form, "client_secret": word}) for word in ("", "wrong", "s3cret-word")]
        assert [reply.status_code for reply in replies] == [401, 401, 200]
        assert "s3cret-word" not in repr(sandbox) + repr(vars(sandbox))


def test_unknown_ids(customer: Customer) -> None:
    """Unknown queues, time modules and requests are 404 with their code."""
    paths = {"queue/info": "QueueNotFound", "time": "TimeNotFound", "allocation/requestStatus": "RequestNotFound"}
    for path, code in paths.items():
        reply = customer.http.get(f"/api/{path}/none%2Fsuch%0A")
        assert (reply.status_code, reply.headers["Content-Type"]) == (404, "application/problem+json")
        assert customer.http.get(f"/api/{path}/none").json()["code"] == code


def test_wrong_method_names_the_right_one(customer: Customer) -> None:
    """A known path under another method is 405 with Allow, HEAD and a missing slash get no special treatment."""
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        reply = customer.http.request(method, "/api/conversation/chat/route/")
        assert (reply.status_code, reply.headers["Allow"]) == (405, "POST")
    assert customer.http.head("/api/conversation").status_code == 405
    assert customer.http.post("/api/conversation/chat/route", json={"queueId": "support"}).status_code == 404


def test_hours_change_while_it_runs(sandbox: Sandbox, customer: Customer) -> None:
    """Opening hours set from Python show in queue and time information and in routing."""
    opens = datetime(2100, 1, 1, 8, tzinfo=UTC)
    sandbox.set_open("support", False, opens_at=opens)
    refusal = customer.route()
    assert (refusal.status_code, refusal.json()["code"]) == (422, "QueueClosed")
    assert datetime.fromisoformat(refusal.json()["opensAt"]) == opens
    assert customer.http.get("/api/time/support-hours").json()["nextChange"] == refusal.json()["opensAt"]
    sandbox.set_open("support", None)
    assert customer.http.get("/api/queue/info/support").json()["isOpen"] is None
    with pytest.raises(KeyError):
        sandbox.set_open("nowhere", True)


def test_times_have_seven_digits(customer: Customer) -> None:
    """Times are written as .NET services write them."""
    opens = customer.http.get("/api/queue/info/closed").json()["opensAt"]
    assert opens.endswith("T08:00:00.0000000Z")


@pytest.mark.parametrize("semantics", ["history", "cursor", "drain"])
def test_semantics_over_http(customer: Customer, sandbox: Sandbox, semantics: Semantics) -> None:
    """Each semantics can be chosen while the sandbox runs."""
    sandbox.set_semantics(semantics)
    customer.route()
    customer.say("one")
    first = customer.poll()
    assert texts(first) == ["one"]
    assert (first.json()["cursor"] is not None) == (semantics == "cursor")
    customer.say("two")
    expected = {"history": ["one", "two"], "cursor": ["two"], "drain": ["two"]}[semantics]
    assert texts(customer.poll(first.json()["cursor"])) == expected


def test_a_lost_reply_under_drain_loses_messages(sandbox: Sandbox, customer: Customer) -> None:
    """Under "drain" a reply dropped after the effect is gone; under "cursor" it comes again."""
    customer.route()
    for semantics, left in (("drain", []), ("cursor", ["one"])):
        sandbox.set_semantics("drain" if semantics == "drain" else "cursor")
        if semantics == "drain":
            customer.say("one")
        sandbox.faults(Fault.drop("pollConversation", after=True, times=1))
        with pytest.raises(httpx.RemoteProtocolError):
            customer.poll()
        assert texts(customer.poll()) == left


def test_latency(sandbox: Sandbox, customer: Customer) -> None:
    """Latency delays the reply, and nothing else is different."""
    sandbox.faults(Fault.latency(0.15, "pollConversation"))
    start = time.monotonic()
    assert customer.poll().status_code == 200
    assert time.monotonic() - start >= 0.15
    customer.status()
    assert sandbox.stats().faults == 1


def test_latency_before_and_after_the_effect(sandbox: Sandbox, customer: Customer) -> None:
    """A client that gives up on a slow reply has sent its message with `after`, and has not before that."""
    customer.route()
    for after, stored in ((False, 0), (True, 1)):
        sandbox.faults(Fault.latency(30, "sendMessage", after=after))
        with pytest.raises(httpx.ReadTimeout):
            customer.http.post("/api/conversation/chat/message", json={"content": "x"}, timeout=0.1)
        assert len(sandbox.ledger()["chat"]) == stored


def test_slow_body(sandbox: Sandbox, customer: Customer) -> None:
    """A slow body arrives whole, and not before its time."""
    sandbox.faults(Fault.slow_body(0.2, "pollConversation"))
    start = time.monotonic()
    assert customer.poll().json()["messages"] == []
    assert time.monotonic() - start >= 0.2


@pytest.mark.parametrize("status", [500, 502, 503, 429, 403, 520])
def test_error_statuses_come_before_the_effect(sandbox: Sandbox, customer: Customer, status: int) -> None:
    """An error status swallows the request; 502 is a web page, the others are problems."""
    sandbox.faults(Fault.status(status, "routeConversation", times=1))
    reply = customer.route()
    kind = "text/html; charset=utf-8" if status == 502 else "application/problem+json"
    assert (reply.status_code, reply.headers["Content-Type"]) == (status, kind)
    assert "Retry-After" not in reply.headers
    assert customer.route().status_code == 202


def test_error_status_after_the_effect(sandbox: Sandbox, customer: Customer) -> None:
    """With `after` the client is told of an error although the request took effect."""
    sandbox.faults(Fault.status(500, "routeConversation", after=True, times=1))
    assert customer.route().status_code == 500
    assert customer.route().status_code == 409


def test_retry_after_in_both_forms(sandbox: Sandbox, customer: Customer) -> None:
    """Retry-After comes as whole seconds or as an HTTP date."""
    date = datetime(2026, 11, 23, 8, 0, 0, tzinfo=UTC)
    sandbox.faults(Fault.status(429, retry_after=1.2, times=1), Fault.status(503, retry_after=date, times=1))
    assert customer.poll().headers["Retry-After"] == "2"
    assert parsedate_to_datetime(customer.poll().headers["Retry-After"]) == date


def test_html_page(sandbox: Sandbox, customer: Customer) -> None:
    """A proxy's page is 200, HTML, and swallows the request."""
    sandbox.faults(Fault.html_page("routeConversation", times=1))
    reply = customer.route()
    assert (reply.status_code, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert sandbox.stats().routed == 0


@pytest.mark.parametrize("after", [False, True])
def test_drop(sandbox: Sandbox, customer: Customer, after: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A dropped connection gives no reply, before or after the effect, and nothing is logged of it."""
    sandbox.faults(Fault.drop("routeConversation", after=after, times=1))
    with caplog.at_level(logging.DEBUG), pytest.raises(httpx.RemoteProtocolError):
        customer.route()
    assert customer.route().status_code == (409 if after else 202)
    assert [record.name for record in caplog.records if record.name.startswith(("uvicorn", "puzzel"))] == []


def test_truncate(sandbox: Sandbox, customer: Customer) -> None:
    """A truncated reply declares more than it sends, after the effect; where there is no body the reply is lost."""
    sandbox.faults(Fault.truncate("*", times=2))
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        customer.route()
    with pytest.raises(httpx.RemoteProtocolError):
        customer.end()
    assert customer.status().json()["status"] == "Cancelled"


def test_bad_json(sandbox: Sandbox, customer: Customer) -> None:
    """A reply that is no JSON says that it is, after the effect."""
    sandbox.faults(Fault.bad_json("routeConversation", times=1))
    reply = customer.route()
    assert (reply.status_code, reply.headers["Content-Type"]) == (202, "application/json")
    with pytest.raises(ValueError, match="Expecting"):
        reply.json()
    assert sandbox.stats().routed == 1


def test_wrong_types_and_nulls(sandbox: Sandbox, customer: Customer) -> None:
    """Fields of wrong types, or null where none should be, under a good status."""
    customer.route()
    sandbox.faults(Fault.wrong_types(times=1), Fault.nulls(times=1))
    good = {"requestId", "conversationId", "status", "queuePosition", "estimatedWaitSeconds", "agent", "reason"}
    wrong, nulls = customer.status().json(), customer.status().json()
    assert set(wrong) == set(nulls) == good
    assert not isinstance(wrong["status"], str)
    assert set(nulls.values()) == {None}


def test_unknown_enum(sandbox: Sandbox, customer: Customer) -> None:
    """Enum values that nobody knows, at the top and deep inside."""
    customer.route()
    customer.say("x")
    sandbox.faults(Fault.unknown_enum())
    assert customer.status().json()["status"] == "Teleported"
    assert customer.poll().json()["messages"][0]["author"]["role"] == 9


def test_bad_item_among_good_ones(sandbox: Sandbox, customer: Customer) -> None:
    """One item of no known shape stands between the good ones, which are untouched."""
    customer.route()
    customer.say("one")
    customer.say("two")
    good = customer.poll().json()["messages"]
    sandbox.faults(Fault.bad_item())
    spoilt = customer.poll().json()["messages"]
    assert [spoilt[0], spoilt[2]] == good
    assert spoilt[1]["id"] == 17


def test_no_client_id(sandbox: Sandbox, customer: Customer) -> None:
    """The customer's own id is left out of what a poll tells, and the ledger has it all the same."""
    customer.route()
    customer.say("one")
    told = customer.poll().json()["messages"]
    sandbox.faults(Fault.no_client_id())
    assert customer.poll().json()["messages"] == [{**message, "clientMessageId": None} for message in told]


def test_revoked_once(sandbox: Sandbox, customer: Customer) -> None:
    """An access token revoked early is 401 for good, while the refresh token still works."""
    sandbox.faults(Fault.revoked("pollConversation", times=1))
    assert [customer.poll().status_code, customer.poll().status_code] == [401, 401]
    customer.bear(customer.refresh().json())
    assert customer.poll().status_code == 200


@pytest.mark.parametrize(("when", "expected"), [
    ({"times": 2}, "xx......"), ({"every": 3}, "..x..x.."), ({"skip": 2, "times": 1}, "..x....."),
    ({"skip": 1, "every": 2, "times": 2}, "..x.x..."), ({"rate": 0.0}, "........"), ({"rate": 1.0}, "xxxxxxxx"),
])  # fmt: skip
def test_how_often(sandbox: Sandbox, customer: Customer, when: dict[str, int], expected: str) -> None:
    """Times, every, skip and rate say which requests a fault strikes."""
    sandbox.faults(Fault.status(500, "pollConversation", **when))  # type: ignore[arg-type]
    seen = "".join("x" if customer.poll().status_code == 500 else "." for _ in range(8))
    assert seen == expected
    assert sandbox.stats().faults == expected.count("x")


def test_a_rate_is_seeded() -> None:
    """The same seed strikes the same requests; another strikes others; about the rate are struck."""

    def struck(seed: int) -> list[int]:
        with Sandbox(pace=0, seed=seed, faults=(Fault.status(503, "pollConversation", rate=0.4),)) as sandbox:
            customer = Customer(sandbox)
            with closing(customer.http):
                return [customer.poll().status_code for _ in range(50)]

    assert struck(1) == struck(1) != struck(2)
    assert 10 <= struck(1).count(503) <= 30


def test_delays_combine_and_of_the_rest_the_first_wins(sandbox: Sandbox, customer: Customer) -> None:
    """A later rule is not used up by a request that an earlier one has spoilt."""
    sandbox.faults(Fault.latency(0.05), Fault.status(500, times=1), Fault.status(503, times=1))
    start = time.monotonic()
    assert [customer.poll().status_code for _ in range(3)] == [500, 503, 200]
    assert time.monotonic() - start >= 0.15
    sandbox.faults()
    struck = sandbox.stats().faults
    assert customer.poll().status_code == 200
    assert sandbox.stats().faults == struck


def test_faults_check_their_arguments() -> None:
    """A misspelt operation or an impossible rate is an error, not a fault that never strikes."""
    with pytest.raises(ValueError, match="operation"):
        Fault.drop("polConversation")
    with pytest.raises(ValueError, match="rate"):
        Fault.drop(rate=1.5)


def test_keep_alive(sandbox: Sandbox) -> None:
    """Many requests share one connection, refusals and error faults included, and none waits for Nagle."""
    sandbox.faults(Fault.status(500, every=4))
    made: list[str] = []
    start = time.monotonic()
    with httpx.Client(base_url=sandbox.base_url, trust_env=False) as http:
        for _ in range(20):
            trace = {"trace": lambda name, info: made.append(name)}
            http.get("/api/conversation", extensions=trace)
    assert made.count("connection.connect_tcp.complete") == 1
    assert time.monotonic() - start < 0.5


def test_restart_on_the_same_port(sandbox: Sandbox, customer: Customer) -> None:
    """A restart keeps address and sessions, or drops the sessions when it forgets."""
    customer.route()
    before = sandbox.base_url
    sandbox.restart()
    assert (sandbox.base_url, customer.status().json()["status"]) == (before, "Offered")
    sandbox.restart(forget=True)
    customer.http.close()
    with httpx.Client(base_url=before, headers=customer.http.headers, trust_env=False) as http:
        assert http.get("/api/conversation").status_code == 401


def poll_in_vain(customer: Customer) -> None:
    """Poll a sandbox that goes down meanwhile."""
    with pytest.raises(httpx.TransportError):
        customer.poll()


def test_closing_leaves_nothing_behind() -> None:
    """After the block there is no thread, nobody listens, and the ledger can still be read."""
    threads = set(threading.enumerate())
    with Sandbox(script="manual", pace=0, faults=(Fault.latency(30, "pollConversation"),)) as sandbox:
        customer = Customer(sandbox)
        customer.route()
        customer.say("hello")
        waiting = threading.Thread(target=poll_in_vain, args=(customer,))
        waiting.start()
        while not sandbox.stats().requests.get("pollConversation"):
            time.sleep(0.005)
        start = time.monotonic()
    assert time.monotonic() - start < 20
    waiting.join(20)
    customer.http.close()
    assert set(threading.enumerate()) == threads
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(sandbox.base_url.rpartition(":")[2])), 1)
    assert [entry.content for entry in sandbox.ledger()["chat"]] == ["hello"]


def test_start_up_is_quick_and_many_can_run() -> None:
    """Ten sandboxes side by side are up and down in a moment, each on its own port with its own world."""
    start = time.monotonic()
    boxes = [Sandbox().start() for _ in range(10)]
    assert len({box.base_url for box in boxes}) == 10
    Customer(boxes[0]).http.close()
    assert [box.stats().tokens_issued for box in boxes] == [1] + [0] * 9
    for box in boxes:
        box.close()
        box.close()
    assert time.monotonic() - start < 60


def test_a_taken_port_is_the_callers_error(sandbox: Sandbox) -> None:
    """Starting on a port that is in use raises in the caller, at once."""
    with pytest.raises(OSError, match="in use"):
        Sandbox(port=int(sandbox.base_url.rpartition(":")[2])).start()


def test_not_started_has_no_address() -> None:
    """An address before the start is an error that says so."""
    with pytest.raises(RuntimeError, match="not started"):
        _ = Sandbox().base_url


def test_a_forgotten_sandbox_does_not_hang_the_interpreter() -> None:
    """A program that never closes its sandbox still ends, and prints nothing of it."""
    code = "from puzzel_chat.sandbox import Sandbox; print(Sandbox().start().banner)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(NOTICE)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without starlette or uvicorn the error names what to install."""
    from puzzel_chat.sandbox import _sandbox

    def find(name: str) -> ModuleSpec | None:
        return None if name == "uvicorn" else ModuleSpec(name, None)

    monkeypatch.setattr(_sandbox, "find_spec", find)
    with pytest.raises(ImportError, match=r'pip install "puzzel-chat\[sandbox\]"'):
        Sandbox()


def test_watching_and_playing_from_the_callback() -> None:
    """`on_event` hears everything in order, may play the agent from within, and its own bugs stop nothing."""
    seen: list[Happening] = []

    def watch(happening: Happening) -> None:
        seen.append(happening)
        if happening.kind == "offered":
            centre.agent("chat").accept()
        if happening.kind == "joined":
            centre.agent("chat").say("Hello")
            raise RuntimeError("a bug of the watcher")

    with Sandbox(script="manual", pace=0, on_event=watch) as centre:
        customer = Customer(centre)
        with closing(customer.http):
            customer.route()
            assert customer.status().json()["status"] in ("Offered", "Assigned")
            assert texts(customer.poll()) == ["Hello"]
            customer.say("my words")
            customer.end()
    kinds = ["session-opened", "routed", "offered", "joined", "message", "message", "ended"]
    assert [happening.kind for happening in seen] == kinds
    assert [happening.text for happening in seen if happening.kind == "message"] == ["Hello", "my words"]
    assert "my words" not in repr(seen)


def test_many_threads_one_world(sandbox: Sandbox) -> None:
    """Requests and Python calls from many threads at once lose and double nothing."""

    def chat(number: int) -> None:
        customer = Customer(sandbox)
        with closing(customer.http):
            customer.route(f"chat-{number}")
            for text in range(5):
                customer.say(str(text), f"chat-{number}")
                sandbox.stats()

    workers = [threading.Thread(target=chat, args=(number,)) for number in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    ledger = sandbox.ledger()
    assert [[entry.content for entry in ledger[f"chat-{n}"]] for n in range(8)] == [list("01234")] * 8
    assert sandbox.stats().requests == {"connectToken": 8, "routeConversation": 8, "sendMessage": 40}


def test_the_clock_can_be_the_callers() -> None:
    """With an injected clock tokens expire when the test says so."""
    now = [1_790_000_000.0]
    clock: Callable[[], float] = lambda: now[0]  # noqa: E731
    with Sandbox(clock=clock, token_life=900) as sandbox:
        customer = Customer(sandbox)
        with closing(customer.http):
            assert customer.poll().status_code == 200
            now[0] += 900
            assert customer.poll().status_code == 401
            renewed = customer.refresh()
            assert renewed.json()["expires_in"] == 900
            customer.bear(renewed.json())
            assert customer.poll().status_code == 200
            assert customer.refresh().json()["error"] == "invalid_grant"
            assert sandbox.stats().reuse_detected == 1
            assert customer.poll().status_code == 401
