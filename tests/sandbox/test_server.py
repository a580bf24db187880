"""The sandbox over real HTTP on loopback: the statuses of the contract, and starting and closing."""

from __future__ import annotations

import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from importlib.machinery import ModuleSpec
from urllib.parse import urlsplit

import httpx
import pytest

from bare import Customer, texts
from puzzel_chat.sandbox import NOTICE, AfterEnd, Answer, Fault, Happening, Sandbox, Semantics, Status
from puzzel_chat.sandbox._centre import HANDLERS
from puzzel_chat.sandbox._contract import IDENTITY, ROUTES
from waiting import until


def test_a_whole_chat_over_http(sandbox: Sandbox, customer: Customer) -> None:
    """Token, route, status, poll, send, typing, end: each answers as in the contract, and the ledger agrees."""
    assert (customer.route().status_code, customer.status().json()["status"]) == (202, "Offered")
    agent = sandbox.agent("chat")
    agent.accept()
    assert customer.status().json()["agent"]["displayName"] == agent.name == "Kari"
    message_id = agent.say("1 < 2")
    agent.edit(message_id, "2 > 1")
    assert customer.http.post("/api/conversation/chat/typing", json={"isTyping": True}).status_code == 204
    assert agent.customer_typing
    assert customer.say("thanks").status_code == 200
    assert not agent.customer_typing
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
    """Customer and subject are items of the route like the variables; all of it reaches the agent and no repr."""
    named = {
        "customerId": "17",
        "customerName": "Ada",
        "customerEmail": "ada@mail.example",
        "customerPhone": "004711",
        "subject": "Parcel",
    }
    variables = ({"name": "pin", "value": "4711", "secret": True}, {"name": "pin", "value": "again", "secret": False})
    items = [{"name": name, "value": value} for name, value in named.items()]
    assert customer.route(items=[variables[0], *items, variables[1]]).status_code == 202
    order = sandbox.agent("chat").order
    assert (order.queue_key, order.subject, order.variables) == ("support", "Parcel", variables)
    assert order.customer == {"id": "17", "name": "Ada", "email": "ada@mail.example", "phone": "004711"}
    assert "4711" not in repr(order)
    assert "Ada" not in repr(order)


def test_every_reply_says_it_is_a_simulator(sandbox: Sandbox, customer: Customer) -> None:
    """Every reply has the header, the scope names it, and so do banner and repr."""
    replies = [
        customer.poll(),
        customer.status("none"),
        customer.http.get("/nowhere"),
        customer.identity.get("/nowhere"),
        customer.identity.put("/connect/token"),
    ]
    replies.append(httpx.get(f"{sandbox.base_url}/api/conversation", trust_env=False, verify=False))
    sandbox.faults(Fault.status(502, times=1), Fault.html_page(times=1))
    replies += [customer.poll(), customer.poll()]
    assert {reply.headers["X-Simulator"] for reply in replies} == {NOTICE}
    assert [reply.status_code for reply in replies] == [200, 404, 404, 404, 405, 401, 502, 200]
    assert "not-puzzel" in customer.tokens["scope"]
    assert NOTICE in sandbox.banner
    assert NOTICE in repr(sandbox)


def test_routes_and_handlers_agree() -> None:
    """Each operation of the contract has one route and one handler, and nothing else has."""
    assert list(ROUTES) == list(HANDLERS)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer unknown", "Digest unknown", "Basic dXNlcg=="])
def test_401_without_a_living_token(customer: Customer, authorization: str | None) -> None:
    """Every operation of the communication host wants a living bearer token and says so as RFC 6750 does."""
    headers = {} if authorization is None else {"Authorization": authorization}
    with httpx.Client(base_url=customer.http.base_url, headers=headers, trust_env=False, verify=False) as stranger:
        for called in (called for name, called in ROUTES.items() if name not in IDENTITY):
            method, path = called.split()
            reply = stranger.request(method, path.replace("{id}", "chat").replace("{queueKey}", "support"))
            assert reply.status_code == 401
            assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
            assert reply.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(("path", "body"), [
    ("route/support", b""), ("route/support", b"["), ("route/support", b"{}"), ("route/support", b"null"),
    ("route/support", b'"name"'), ("route/support", b'{"queueId":"support"}'), ("route/support", b"[[]]"),
    ("route/support", b"[null]"), ("route/support", b"[{}]"), ("route/support", b'[{"name":"a"}]'),
    ("route/support", b'[{"value":"b"}]'), ("route/support", b'[{"name":"a","value":1}]'),
    ("route/support", b'[{"name":1,"value":"b"}]'), ("route/support", b'[{"name":"a","value":null}]'),
    ("route/support", b'[{"name":"customerName","value":{"first":"Ada"}}]'),
    ("route/support", b'[{"name":"a","value":"b","secret":1}]'), ("route/support", b'[{"name":"a","value":NaN}]'),
    ("route/support", b'[{"name":"a","value":"b","label":"c"}]'), ("route/support", b'[{"name":"a","value":"b"},7]'),
    ("route/support", b'\xff[]'), ("route/support", b"[" * 100_000),
    ("message", b'{"content":"x","text":"y"}'), ("message", b"[]"),
    ("message", b"{}"), ("message", b'{"content":1}'), ("message", b'{"content":"x","clientMessageId":5}'),
    ("typing", b"{}"), ("typing", b'{"isTyping":"yes"}'), ("typing", b'{"isTyping":1}'),
])  # fmt: skip
def test_bad_bodies_are_400_and_change_nothing(sandbox: Sandbox, customer: Customer, path: str, body: bytes) -> None:
    """A body that is not as the contract says is a 400 problem that repeats nothing of what came."""
    url, headers = f"/api/conversation/chat/{path}", {"Content-Type": "application/json"}
    reply = customer.http.request("PUT" if "route" in path else "POST", url, content=body, headers=headers)
    assert reply.status_code == 400
    assert reply.json()["code"] == "BadRequest"
    assert sandbox.stats().routed == 0


def test_json_wants_its_content_type(customer: Customer) -> None:
    """JSON under another content type is refused; parameters of the content type are not minded."""
    for kind, status in (("text/plain", 400), ("", 400), ("application/json; charset=utf-8", 202)):
        reply = customer.http.put("/api/conversation/chat/route/support", content=b"[]", headers={"Content-Type": kind})
        assert reply.status_code == status


def test_unknown_ids(customer: Customer) -> None:
    """Unknown queues, time modules and requests are 404 with their code."""
    paths = {"queue/info": "QueueNotFound", "time": "TimeNotFound", "allocation/requestStatus": "RequestNotFound"}
    for path, code in paths.items():
        reply = customer.http.get(f"/api/{path}/none%2Fsuch%0A")
        assert (reply.status_code, reply.headers["Content-Type"]) == (404, "application/problem+json")
        assert customer.http.get(f"/api/{path}/none").json()["code"] == code


def test_a_queue_has_a_key_and_a_visual_id(sandbox: Sandbox, customer: Customer) -> None:
    """The hours are asked for by the visual queue id alone, and a chat is routed to the key alone."""
    assert list(sandbox.queues().values()) == ["27501", "27502", "27503", "27504", "27505", "27506"]
    assert sandbox.queues()[sandbox.queue_key] == sandbox.visual_queue_id
    for number, (key, visual_id) in enumerate(sandbox.queues().items()):
        info = customer.http.get(f"/api/queue/info/{visual_id}").json()
        assert (info["id"], info["timeId"]) == (visual_id, f"{key}-hours")
        assert customer.http.get(f"/api/queue/info/{key}").json()["code"] == "QueueNotFound"
        assert customer.route(f"chat-{number}", visual_id).json()["code"] == "QueueNotFound"


def test_a_route_names_its_queue_in_the_path(customer: Customer) -> None:
    """Without a key there is no such path, and an id or a key with quoted slashes is one that nobody knows."""
    for path in ("/api/conversation/chat/route", "/api/conversation/chat/route/"):
        assert customer.http.put(path, json=[]).status_code == 404
    for key, queue in (("a/b", "support"), ("chat", "a/b"), ("chat", "../support"), ("chat", "Support"), ("a\n", "x")):
        assert customer.route(key, queue).status_code == 404
    assert customer.route("Ådas chat?#", "support").status_code == 202


def test_wrong_method_names_the_right_one(customer: Customer) -> None:
    """A known path under another method is 405 with Allow, HEAD and a slash too many get no special treatment."""
    for method in ("GET", "POST", "DELETE", "HEAD", "OPTIONS"):
        reply = customer.http.request(method, "/api/conversation/chat/route/support")
        assert (reply.status_code, reply.headers["Allow"]) == (405, "PUT")
    assert customer.http.head("/api/conversation").status_code == 405
    assert customer.http.put("/api/conversation/chat/route/support/", json=[]).status_code == 404


def test_hours_change_while_it_runs(sandbox: Sandbox, customer: Customer) -> None:
    """Opening hours set from Python show in queue and time information and in routing."""
    opens = datetime(2100, 1, 1, 8, tzinfo=UTC)
    sandbox.set_open("support", False, opens_at=opens)
    refusal = customer.route()
    assert (refusal.status_code, refusal.json()["code"]) == (422, "QueueClosed")
    assert datetime.fromisoformat(refusal.json()["opensAt"]) == opens
    assert customer.http.get("/api/time/support-hours").json()["nextChange"] == refusal.json()["opensAt"]
    sandbox.set_open("support", None)
    assert customer.http.get("/api/queue/info/27501").json()["isOpen"] is None
    with pytest.raises(KeyError):
        sandbox.set_open("nowhere", True)


def test_times_have_seven_digits(customer: Customer) -> None:
    """Times are written as .NET services write them."""
    opens = customer.http.get("/api/queue/info/27502").json()["opensAt"]
    assert opens.endswith("T08:00:00.0000000Z")


@pytest.mark.parametrize("semantics", ["history", "cursor", "drain"])
def test_semantics_over_http(customer: Customer, sandbox: Sandbox, semantics: Semantics) -> None:
    """Each semantics can be chosen while the sandbox runs; only "cursor" has one."""
    sandbox.set_semantics(semantics)
    customer.route()
    customer.say("one")
    first = customer.poll()
    assert texts(first) == ["one"]
    assert (first.json()["cursor"] is not None) == (semantics == "cursor")
    customer.say("two")
    expected = {"history": ["one", "two"], "cursor": ["two"], "drain": ["two"]}[semantics]
    assert texts(customer.poll(first.json()["cursor"])) == expected


def test_events_are_numbered_from_one_and_the_cursor_is_the_last(sandbox: Sandbox, customer: Customer) -> None:
    """Across all conversations of a session the numbers have no gaps, edits take one, and the cursor starts at 0."""
    assert customer.poll().json() == {"messages": [], "cursor": 0}
    for key in ("a", "b"):
        customer.route(key)
        sandbox.agent(key).accept()
    first = sandbox.agent("a").say("one")
    sandbox.agent("b").say("two")
    sandbox.agent("a").edit(first, "three")
    sandbox.agent("b").send_raw({"type": "Carousel", "version": None})
    reply = customer.poll().json()
    assert [message["eventId"] for message in reply["messages"]] == [1, 2, 3, 4, 5, 6]
    assert reply["cursor"] == 6
    assert texts(customer.poll(3)) == ["two", "three"]
    assert customer.poll(6).json() == {"messages": [], "cursor": 6}


@pytest.mark.parametrize("semantics", ["history", "cursor", "drain"])
def test_nothing_new_can_be_no_content(semantics: Semantics) -> None:
    """When asked to, a poll that has nothing new to tell is 204 without a body, and one that has is as ever."""
    with Sandbox(script="manual", pace=0, semantics=semantics, no_content=True) as sandbox:
        customer = Customer(sandbox)
        with closing(customer):
            nothing = customer.poll()
            assert (nothing.status_code, nothing.content) == (204, b"")
            assert "Content-Type" not in nothing.headers
            customer.route()
            customer.say("one")
            first = customer.poll()
            assert texts(first) == ["one"]
            assert customer.poll(first.json()["cursor"]).status_code == 204
            customer.say("two")
            second = customer.poll(first.json()["cursor"])
            assert texts(second) == (["one", "two"] if semantics == "history" else ["two"])
            assert customer.poll(second.json()["cursor"]).status_code == 204


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


def test_keep_alive(sandbox: Sandbox) -> None:
    """Many requests share one connection, refusals and error faults included, and none waits for Nagle."""
    sandbox.faults(Fault.status(500, every=4))
    made: list[str] = []
    trace = {"trace": lambda name, info: made.append(name)}
    with httpx.Client(base_url=sandbox.base_url, trust_env=False, verify=False) as http:

        def are_quick() -> bool:
            start = time.monotonic()
            for _ in range(20):
                http.get("/api/conversation", extensions=trace)
            return time.monotonic() - start < 0.5

        until(are_quick)  # a busy machine is slow now and then, Nagle always
    assert made.count("connection.connect_tcp.complete") == 1


@pytest.mark.parametrize("way", ["closes", "resets"])
@pytest.mark.parametrize(
    "cut",
    [
        "Content-Length: 90\r\n\r\n",
        "Content-Length: 90\r\n\r\ngrant_type=visi",
        "Transfer-Encoding: chunked\r\n\r\n5\r\ngrant\r\n",
    ],
    ids=["before its body", "in its body", "between two chunks"],
)
def test_a_client_that_leaves_is_no_error(
    sandbox: Sandbox, customer: Customer, caplog: pytest.LogCaptureFixture, cut: str, way: str
) -> None:
    """Who goes away in the middle of a request has asked for nothing: nothing is logged, and the others go on."""
    issued = sandbox.stats().tokens_issued
    address = urlsplit(sandbox.identity_url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as leaving:
        if way == "resets":
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        form = "Content-Type: application/x-www-form-urlencoded\r\n"
        leaving.sendall(f"POST /connect/token HTTP/1.1\r\nHost: x\r\n{form}{cut}".encode())
        assert customer.route().status_code == 202  # by then the server waits for the rest
    assert [customer.refresh().status_code, customer.status().status_code] == [200, 200]
    assert sandbox.stats().tokens_issued == issued + 1
    assert not caplog.records


def test_restart_on_the_same_port(sandbox: Sandbox, customer: Customer) -> None:
    """A restart keeps both addresses and the sessions, or drops the sessions when it forgets."""
    customer.route()
    before = sandbox.settings
    sandbox.restart()
    assert (sandbox.settings, customer.status().json()["status"]) == (before, "Offered")
    assert customer.refresh().status_code == 200
    sandbox.restart(forget=True)
    customer.close()
    with httpx.Client(base_url=sandbox.base_url, headers=customer.http.headers, trust_env=False, verify=False) as http:
        assert http.get("/api/conversation").status_code == 401


def port_of(url: str) -> int:
    """Return the port of an address."""
    return int(url.rpartition(":")[2])


def poll_in_vain(customer: Customer) -> None:
    """Poll a sandbox that goes down meanwhile."""
    with pytest.raises(httpx.TransportError):
        customer.poll()


@pytest.mark.parametrize("semantics", ["history", "cursor", "drain"])
def test_ids_that_begin_again(semantics: Semantics) -> None:
    """After a restart that numbers anew an old id comes again for a later message; an edit is of the later one."""
    with Sandbox(script="manual", pace=0, semantics=semantics) as sandbox, closing(Customer(sandbox)) as customer:
        customer.route()
        sandbox.agent("chat").accept()
        first = sandbox.agent("chat").say("one")
        seen = customer.poll().json()
        sandbox.restart(renumber=True)
        sandbox.agent("chat").typing()
        again = sandbox.agent("chat").say("two")
        assert again == first
        known = ["one"] if semantics == "history" else []
        seen = customer.poll(seen["cursor"])
        assert texts(seen) == [*known, "two"]
        sandbox.agent("chat").edit(again, "three")
        assert texts(customer.poll(seen.json()["cursor"])) == [*known, "three"]
    stored = [(entry.id, entry.version, entry.life) for entry in sandbox.ledger()["chat"] if entry.type == "Text"]
    assert stored == [(first, 1, 0), (first, 1, 1), (first, 2, 1)]


def test_an_edit_after_the_ids_began_again_may_be_of_an_old_message(sandbox: Sandbox, customer: Customer) -> None:
    """What was said before stays what it is, with its id, its time and its place in the history."""
    sandbox.set_semantics("history")
    customer.route()
    sandbox.agent("chat").accept()
    first = sandbox.agent("chat").say("one")
    sandbox.restart(renumber=True)
    sandbox.agent("chat").edit(first, "one, put better")
    sandbox.agent("chat").say("two")
    assert texts(customer.poll()) == ["one, put better", "two"]


def test_all_access_tokens_expire_at_once(sandbox: Sandbox, customer: Customer) -> None:
    """Every session's access token is refused from then on, and each goes on with its refresh token."""
    with closing(Customer(sandbox)) as other:
        sandbox.expire_tokens()
        for one in (customer, other):
            assert one.poll().status_code == 401
            one.bear(one.refresh().json())
            assert one.poll().status_code == 200
    assert sandbox.stats().reuse_detected == 0


@pytest.mark.parametrize(("after_end", "status", "code"), [
    ("same", 200, None), ("cancelled", 200, None), ("not-found", 404, "ConversationNotFound"),
    ("gone", 410, "ConversationEnded"),
])  # fmt: skip
def test_what_becomes_of_a_chat_that_has_ended(after_end: AfterEnd, status: int, code: str | None) -> None:
    """Some services still answer as before, some say Cancelled, and some no longer know it, after a while."""
    clock = [1_790_000_000.0]
    with Sandbox(script="manual", pace=0, clock=lambda: clock[0]) as sandbox, closing(Customer(sandbox)) as customer:
        sandbox.set_after_end(after_end, linger=20.0)
        customer.route()
        sandbox.agent("chat").accept()
        sandbox.agent("chat").end()
        clock[0] += 19.0
        assert customer.poll().json()["messages"][-1]["event"] == "ConversationEnded"
        assert customer.status().json()["status"] == "Assigned"
        clock[0] += 1.0
        for reply in (customer.poll(), customer.status()):
            assert (reply.status_code, reply.json().get("code")) == (status, code)
        if status == 200:
            assert customer.status().json()["status"] == ("Cancelled" if after_end == "cancelled" else "Assigned")
        assert customer.say("x").status_code == 410
        customer.route("another")
        assert customer.poll().status_code == 200


def test_a_misspelt_after_end_is_an_error(sandbox: Sandbox) -> None:
    """It is told at once, with the words that there are."""
    with pytest.raises(ValueError, match="not-found"):
        sandbox.set_after_end("lost")  # type: ignore[arg-type]


def test_answers_are_told_as_they_leave() -> None:
    """Who listens hears each answer whole, with the faults that it suffers; what a fault swallows has none."""
    answers: list[Answer] = []
    faults = (Fault.latency(0.0), Fault.truncate("pollConversation", times=1), Fault.status(503, "sendMessage"))
    with Sandbox(pace=0, faults=faults) as centre, closing(Customer(centre)) as one:
        centre.listen(answers.append)
        with pytest.raises(httpx.RemoteProtocolError):
            one.poll()
        assert one.say("my words").status_code == 503
        whole = one.poll()
    assert [(answer.operation, answer.status) for answer in answers] == [
        ("pollConversation", 200), ("pollConversation", 200),
    ]  # fmt: skip
    assert [set(answer.faults) for answer in answers] == [{"latency", "truncate"}, {"latency"}]
    assert answers[-1].body == whole.json()
    assert answers[-1].size == len(whole.content)
    assert "messages" not in repr(answers)


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
    customer.close()
    assert set(threading.enumerate()) == threads
    for url in (sandbox.base_url, sandbox.identity_url):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port_of(url)), 1)
    assert [entry.content for entry in sandbox.ledger()["chat"]] == ["hello"]


def test_start_up_is_quick_and_many_can_run() -> None:
    """Ten sandboxes side by side are up and down in a moment, each on its own two ports with its own world."""
    start = time.monotonic()
    boxes = [Sandbox().start() for _ in range(10)]
    assert len({url for box in boxes for url in (box.base_url, box.identity_url)}) == 20
    Customer(boxes[0]).close()
    assert [box.stats().tokens_issued for box in boxes] == [1] + [0] * 9
    for box in boxes:
        box.close()
        box.close()
    assert time.monotonic() - start < 60


def test_a_taken_port_is_the_callers_error(sandbox: Sandbox) -> None:
    """Starting on a port that is in use, of either host, raises in the caller, at once, and binds nothing."""
    for url in (sandbox.base_url, sandbox.identity_url):
        with pytest.raises(OSError, match="in use"):
            Sandbox(port=port_of(url)).start()
        with pytest.raises(OSError, match="in use"):
            Sandbox(identity_port=port_of(url)).start()


def test_not_started_has_no_address() -> None:
    """An address before the start is an error that says so, for both hosts."""
    with pytest.raises(RuntimeError, match="not started"):
        _ = Sandbox().base_url
    with pytest.raises(RuntimeError, match="not started"):
        _ = Sandbox(identity_port=None).identity_url
    with pytest.raises(RuntimeError, match="not started"):
        _ = Sandbox().settings


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
        with closing(customer):
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
        with closing(customer):
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
        with closing(customer):
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
