"""The control room in a real browser, and its requests and stream without one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from bare import Customer
from page_stream import listening
from puzzel_chat import PuzzelChat, QueueClosed, QueueFull
from puzzel_chat.pages import Pages
from puzzel_chat.pages._beside import beside
from puzzel_chat.pages._catalogue import MAKERS, OPERATIONS
from puzzel_chat.pages._recorder import NEWEST, Recorder
from puzzel_chat.sandbox import AFTER_END, SCRIPTS, SEMANTICS, Fault, Sandbox
from quick import quick_only
from waiting import until

if TYPE_CHECKING:
    from pages.conftest import Open

PATIENCE = 60.0
POLL = "pollConversation"
HOSTILE = "<img src=x onerror=alert(1)><script>document.title='x'</script>\x07\x1b[31m\u202eevil " + "W" * 3000
State = dict[str, Any]

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture
def room(pages: Pages) -> Iterator[httpx.Client]:
    """A client that is let in, and says that it comes from the page."""
    base = pages.address("")[: pages.address("").index("?")]
    with httpx.Client(base_url=base, headers={"Origin": base}, trust_env=False, timeout=PATIENCE) as client:
        assert client.get(pages.control_url).status_code == 303
        yield client


@pytest.fixture
def customer(centre: Sandbox, pages: Pages) -> Iterator[Customer]:
    """A client that shares nothing with the library; the test plays its agent."""
    centre.set_script("manual")
    centre.set_scripted(True)
    with closing(Customer(centre)) as customer:
        yield customer


@pytest.fixture
def open_room(pages: Pages, browse: Open) -> Callable[..., Page]:
    """Open the control room: `open_room(width=..., language=...)`."""

    def one(**how: Any) -> Page:
        page = browse(pages.control_url, **how)
        expect(page.locator("[data-queue=support] select")).not_to_have_value("")
        return page

    return one


def told(room: httpx.Client, ready: Callable[[State], object], chat: str = "") -> State:
    """Read the stream until what it has told so far is what is wanted."""
    state: State = {"requests": []}
    with listening(room, "/control/stream", chat=chat) as stream:
        for text in stream:
            news = json.loads(text)
            state.update(news.get("set", {}))
            for name in news.get("gone", []):
                state.pop(name, None)
            state["requests"] += news["requests"]
            if ready(state):
                return state
    raise AssertionError("the stream has ended")


def queue(page: Page, key: str = "support") -> Locator:
    """The fields of a queue."""
    return page.locator(f"[data-queue={key}]")


def rules(page: Page) -> Locator:
    """The faults in force."""
    return page.locator("#faults .rule")


def row_of(page: Page, operation: str) -> Locator:
    """The row of an operation in the table of statuses."""
    return page.locator("#statuses tr", has_text=operation)


def taken(sandbox: Sandbox, customer: Customer, key: str = "chat") -> Any:
    """Route a chat and take it by hand."""
    assert customer.route(key).status_code == 202
    until(lambda: sandbox.chat(key).offered_to)
    sandbox.agent(key).accept()
    return sandbox.agent(key)


@pytest.fixture
def scripted(centre: Sandbox) -> Sandbox:
    """The contact centre with its scripted agents at work."""
    centre.set_scripted(True)
    return centre


def test_a_queue_that_is_closed_here_turns_customers_away(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """The client hears that it is closed, and when it opens, as the page says."""
    page = open_room()
    queue(page).get_by_label("Hours").select_option("closed")
    until(lambda: centre.queue("support").is_open is False)
    opens = queue(page).get_by_label("Opens at")
    opens.fill("2030-05-17T09:30")
    opens.blur()
    until(lambda: centre.queue("support").opens_at)
    with PuzzelChat(**centre.settings) as chat, pytest.raises(QueueClosed) as caught:
        chat.start("support", wait=0)
    assert caught.value.opens_at is not None
    assert f"{caught.value.opens_at:%Y-%m-%d}" == "2030-05-17"


def test_a_queue_without_room_is_full(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """A capacity of nothing lets nobody in; what is out of bounds is not sent, and the field shows what holds."""
    page = open_room()
    capacity = queue(page).get_by_label("Capacity")
    capacity.fill("0")
    capacity.press("Enter")
    until(lambda: centre.queue("support").capacity == 0)
    with PuzzelChat(**centre.settings) as chat, pytest.raises(QueueFull):
        chat.start("support", wait=0)
    capacity.fill("-1")
    capacity.blur()
    expect(capacity).to_have_value("0")


def test_hours_that_are_unknown(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """The opening hours of a queue can be what a service does not tell."""
    queue(open_room()).get_by_label("Hours").select_option("unknownHours")
    until(lambda: centre.queue("support").is_open is None)


def test_scripts_and_scripted_agents(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """Which script they follow, what it does, and whether they take chats at all."""
    page = open_room()
    page.get_by_label("Their script").select_option("leaves")
    until(lambda: centre.conduct().script.name == "leaves")
    expect(page.get_by_text(SCRIPTS["leaves"].about)).to_be_visible()
    page.get_by_label("Scripted agents take chats").check()
    until(lambda: centre.scripted)


def test_the_life_of_tokens(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """Tokens that are issued from now on live as long as the page says."""
    page = open_room()
    life = page.get_by_label("Life of new tokens")
    life.fill("7.5")
    life.blur()
    until(lambda: centre.conduct().token_life == 7.5)
    with closing(Customer(centre)) as customer:
        assert customer.tokens["expires_in"] == 8


def test_tokens_that_expire_at_once(customer: Customer, open_room: Callable[..., Page]) -> None:
    """The client's next call is refused; a refresh works, and is counted."""
    page = open_room()
    page.get_by_role("button", name="Expire all tokens now").click()
    expect(page.get_by_text("All access tokens have expired")).to_be_visible()
    assert customer.poll().status_code == 401
    customer.refresh().raise_for_status()
    expect(page.locator("#figures")).to_contain_text("refreshes: 1")
    customer.refresh()
    expect(page.locator("#figures")).to_contain_text("reuse detected: 1")


def test_what_a_poll_returns_and_what_a_chat_is_after_its_end(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """Each choice holds at once."""
    page = open_room()
    for semantics in SEMANTICS:
        page.get_by_label("What a poll returns").select_option(semantics)
        until(lambda: centre.conduct().semantics == semantics)  # noqa: B023
    page.get_by_label("Seconds from the end").fill("2.5")
    for after_end in reversed(AFTER_END):
        page.get_by_label("What a chat is after its end").select_option(after_end)
        until(lambda: (centre.conduct().after_end, centre.conduct().linger) == (after_end, 2.5))  # noqa: B023


def test_the_next_poll_fails(customer: Customer, open_room: Callable[..., Page]) -> None:
    """By a button that the keyboard reaches: one poll is answered with 503, and the fault has struck once."""
    page = open_room()
    button = page.get_by_role("button", name="The next poll fails (503)")
    button.focus()
    page.keyboard.press("Enter")
    expect(rules(page)).to_have_count(1)
    expect(rules(page)).to_contain_text("struck 0 ×")
    expect(row_of(page, POLL).locator("select").first).to_have_value("503")
    assert [customer.poll().status_code for _ in range(2)] == [503, 200]
    expect(rules(page)).to_contain_text("struck 1 ×")
    expect(rules(page)).to_contain_text("spent")
    expect(row_of(page, POLL).locator("select").first).to_have_value("")


def test_the_next_sends_reply_is_lost(scripted: Sandbox, open_room: Callable[..., Page]) -> None:
    """The message is stored once all the same, and the client finds that out."""
    page = open_room()
    page.get_by_role("button", name="Lose the next send's reply").click()
    expect(rules(page)).to_have_count(1)
    with PuzzelChat(**scripted.settings, poll_interval=0.05) as chat, chat.start("support") as conversation:
        conversation.send("only once")
        assert [one.content for one in scripted.ledger()[conversation.id]].count("only once") == 1
    expect(rules(page)).to_contain_text("struck 1 ×")
    assert scripted.rules()[0].fault == Fault.drop("sendMessage", after=True, times=1)


def test_every_frequent_fault_can_be_put_in_force_and_removed(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """Each button adds one; one can be removed, and all."""
    page = open_room()
    buttons = page.locator("#faults h3 + .row button")
    assert buttons.count() >= 6
    for place in range(buttons.count()):
        buttons.nth(place).click()
        expect(rules(page)).to_have_count(place + 1)
    assert len({rule.fault for rule in centre.rules()}) == buttons.count()
    gone = centre.rules()[1].number
    rules(page).nth(1).get_by_role("button", name="Remove").click()
    expect(rules(page)).to_have_count(buttons.count() - 1)
    assert gone not in {rule.number for rule in centre.rules()}
    page.get_by_role("button", name="Remove all").click()
    expect(page.get_by_text("No faults are in force.")).to_be_visible()
    expect(page.get_by_role("heading", name="In force")).to_be_focused()
    assert centre.rules() == ()


def test_the_form_makes_any_fault(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """With its own parameters, for one operation, as often as asked for."""
    page = open_room()
    page.locator("summary").click()
    form = page.locator("#any-fault")
    form.locator("[name=fault]").select_option("status")
    form.locator("[name=operation]").select_option("sendMessage")
    form.get_by_role("spinbutton", name="Status").fill("429")
    form.get_by_label("Retry-After in seconds").fill("3")
    form.get_by_label("Only the reply suffers").check()
    form.locator("[name=often]").select_option("rate")
    form.get_by_role("spinbutton", name="Share").fill("0.25")
    form.get_by_role("button").click()
    expect(rules(page)).to_contain_text("25 % of the requests")
    assert centre.rules()[0].fault == Fault.status(429, "sendMessage", retry_after=3.0, after=True, rate=0.25)


def test_the_form_offers_every_fault_of_the_class(open_room: Callable[..., Page]) -> None:
    """In both languages each has a name of its own and says what it does."""
    for language in ("en-GB", "nb-NO"):
        page = open_room(language=language)
        page.locator("summary").click()
        options = page.locator("#any-fault select[name=fault] option")
        assert [one.get_attribute("value") for one in options.all()] == list(MAKERS)
        names = options.all_text_contents()
        assert len(set(names)) == len(MAKERS)
        assert not set(names) & set(MAKERS)
        for maker in MAKERS.values() if language == "nb-NO" else ():
            page.locator("select[name=fault]").select_option(maker.name)
            expect(page.locator("#about-fault")).not_to_have_text(maker.about)


def test_every_script_has_norwegian_words(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """What it does is said in the language of the page."""
    page = open_room(language="nb-NO")
    for script in SCRIPTS.values():
        centre.set_script(script)
        expect(page.locator("#service select").first).to_have_value(script.name)
        assert page.get_by_text(script.about).count() == 0


def test_no_kind_of_fault_is_forgotten() -> None:
    """The constructors that the form is made of make every kind that there is."""
    assert {maker.kind for maker in MAKERS.values()} == set(get_args(get_type_hints(Fault)["kind"]))


def test_every_fault_can_be_put_in_force(centre: Sandbox, room: httpx.Client) -> None:
    """With the parameters that its form has at first, for each operation, and as often as asked for."""
    for name, maker in MAKERS.items():
        parameters: dict[str, Any] = {one.name: one.default for one in maker.parameters}
        operations = ("*", *OPERATIONS) if maker.operation is not None else (None,)
        centre.faults()
        for place, operation in enumerate(operations):
            when: Any = [{}, {"times": 1}, {"times": 3}, {"every": 2}, {"rate": 0.5}][place % 5]
            where: dict[str, Any] = {} if operation is None else {"operation": operation}
            reply = room.post("/control/fault", json={"fault": name, "parameters": parameters, "when": when, **where})
            assert (reply.status_code, reply.json()) == (200, {})
            assert centre.rules()[-1].fault == maker.make(**parameters, **where, **when)
        assert len(centre.rules()) == len(operations)


NONSENSE: list[tuple[str, Any, str]] = [
    ("fault", {"fault": "gremlins"}, "fault must be one of"),
    ("fault", {"fault": "status", "parameters": {"code": 42}}, "code must be at least 200"),
    ("fault", {"fault": "status"}, "code must be a number"),
    ("fault", {"fault": "latency", "parameters": {"seconds": "1"}}, "seconds must be a number"),
    ("fault", {"fault": "drop", "parameters": {"seconds": 1}}, "drop has no seconds"),
    ("fault", {"fault": "drop", "parameters": {"after": 1}}, "after must be true or false"),
    ("fault", {"fault": "drop", "operation": "sing"}, "operation must be one of"),
    ("fault", {"fault": "drop", "when": {"every": 0}}, "every must be at least 1"),
    ("fault", {"fault": "drop", "when": {"times": 1.5}}, "times must be a whole number"),
    ("fault", {"fault": "drop", "when": []}, "when must be an object"),
    ("open", {"queue": "support"}, "open must be true or false"),
    ("open", {"queue": "nowhere", "open": True}, "queue must be one of"),
    ("capacity", {"queue": "support", "capacity": True}, "capacity must be a number"),
    ("token-life", {"seconds": -1}, "seconds must be at least 0"),
    ("status", {"operation": POLL, "status": 99, "once": True}, "status must be at least 200"),
    ("semantics", {"semantics": "guess"}, "semantics must be one of"),
    ("after-end", {"afterEnd": "same"}, "linger must be a number"),
    ("scripted", {}, "on must be true or false"),
    ("script", {"script": ["helpful"]}, "script must be one of"),
    ("expire", [], "the body must be an object"),
]


def test_nonsense_is_refused_in_words(centre: Sandbox, room: httpx.Client) -> None:
    """It says what is wrong, and changes nothing."""
    before = (centre.conduct(), centre.rules(), centre.queue("support"))
    for act, body, why in NONSENSE:
        reply = room.post(f"/control/{act}", json=body)
        assert reply.status_code == 400
        assert why in reply.json()["error"]
        assert (centre.conduct(), centre.rules(), centre.queue("support")) == before


def test_what_is_not_there_is_refused(room: httpx.Client) -> None:
    """A body that is no JSON, a number that is none, an act that nobody knows, a fault that is gone."""
    assert room.post("/control/expire", content=b"{").json() == {"error": "the body is not JSON"}
    nan = room.post("/control/token-life", content=b'{"seconds": NaN}')
    assert (nan.status_code, nan.json()) == (400, {"error": "seconds must be a number"})
    assert room.post("/control/explode", json={}).status_code == 404
    gone = room.post("/control/remove-fault", json={"number": 7})
    assert (gone.status_code, gone.json()) == (409, {"error": "no fault has the number 7"})


@pytest.mark.slow
def test_faults_are_bounded(centre: Sandbox, room: httpx.Client) -> None:
    """So many may be in force; of those that are spent only the newest stay."""
    for _ in range(100):
        assert room.post("/control/fault", json={"fault": "drop", "when": {"times": 1}}).status_code == 200
    full = room.post("/control/fault", json={"fault": "drop"})
    assert (full.status_code, len(centre.rules())) == (400, 100)
    centre.faults(*(Fault.status(503, POLL, times=0) for _ in range(50)))
    assert room.post("/control/fault", json={"fault": "drop"}).status_code == 200
    assert len(centre.rules()) == 21


def test_an_operation_answers_with_a_status(customer: Customer, open_room: Callable[..., Page]) -> None:
    """Once, or until it is changed; a new choice takes the old one's place, and the others stay as they are."""
    page = open_room()
    status, often = (row_of(page, POLL).locator("select").nth(place) for place in (0, 1))
    for code in (400, 401, 403, 404, 409, 410, 429, 500, 502, 503, 504):
        often.select_option("once")
        status.select_option(str(code))
        expect(rules(page).first).to_contain_text(f"Status {code}")
        assert [customer.poll().status_code for _ in range(2)] == [code, 200]
        expect(status).to_have_value("")
    often.select_option("until")
    status.select_option("503")
    expect(rules(page).first).to_contain_text("always")
    assert [customer.poll().status_code for _ in range(2)] == [503, 503]
    assert customer.route().status_code == 202
    status.select_option("")
    expect(rules(page)).to_have_count(0)
    assert customer.poll().status_code == 200
    expect(row_of(page, POLL).locator("td").first).to_have_text("25")


def test_a_status_of_the_table_leaves_other_faults_alone(centre: Sandbox, room: httpx.Client) -> None:
    """Only plain ones of the same operation are replaced."""
    others = (Fault.status(503, POLL, every=2), Fault.status(503, "sendMessage"), Fault.drop(POLL))
    centre.faults(*others, Fault.status(500, POLL))
    assert room.post("/control/status", json={"operation": POLL, "status": 404, "once": False}).status_code == 200
    assert [rule.fault for rule in centre.rules()] == [*others, Fault.status(404, POLL)]
    assert room.post("/control/status", json={"operation": POLL, "status": None, "once": False}).status_code == 200
    assert tuple(rule.fault for rule in centre.rules()) == others


def test_two_control_rooms_show_the_same(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """Also what a program does."""
    one, other = open_room(), open_room(language="nb-NO")
    queue(one).get_by_label("Hours").select_option("closed")
    expect(queue(other).locator("select")).to_have_value("closed")
    centre.set_semantics("history")
    centre.set_token_life(11)
    centre.add_fault(Fault.hang("sendTyping"))
    for page in (one, other):
        expect(page.locator("#service select").nth(1)).to_have_value("history")
        expect(page.locator("#service input[type=number]").first).to_have_value("11")
        expect(rules(page)).to_contain_text("sendTyping")
    rules(other).get_by_role("button").click()
    expect(rules(one)).to_have_count(0)


def test_the_state_does_not_disturb_who_is_typing(centre: Sandbox, open_room: Callable[..., Page]) -> None:
    """A field that is being edited keeps what was typed; left as it was, it shows what holds."""
    page = open_room()
    capacity = queue(page).get_by_label("Capacity")
    capacity.press_sequentially("7")
    typed = capacity.input_value()
    centre.set_capacity("support", 55)
    expect(queue(page)).to_contain_text("of 55 wait")
    expect(capacity).to_have_value(typed)
    capacity.blur()
    until(lambda: centre.queue("support").capacity == int(typed))
    centre.set_capacity("support", 56)
    expect(capacity).to_have_value("56")


def test_requests_as_they_come(centre: Sandbox, customer: Customer, open_room: Callable[..., Page]) -> None:
    """With their operation, status, faults and the end of their token; by operation, and not while it is paused."""
    page = open_room()
    table = page.locator("#requests tbody tr")
    customer.route()
    centre.add_fault(Fault.drop(POLL, times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        customer.poll()
    newest = table.first
    for text in (POLL, "no reply", "drop", f"…{customer.tokens['access_token'][-4:]}"):
        expect(newest).to_contain_text(text)
    page.get_by_label("Show").select_option("routeConversation")
    expect(table).to_have_count(1)
    expect(table).to_contain_text("202")
    page.get_by_role("button", name="Pause").click()
    assert customer.route("second").status_code == 202
    expect(row_of(page, "routeConversation").locator("td").first).to_have_text("2")
    expect(table).to_have_count(1)
    page.get_by_role("button", name="Go on").click()
    expect(table).to_have_count(2)


def test_requests_are_bounded(centre: Sandbox, customer: Customer, open_room: Callable[..., Page]) -> None:
    """The newest are kept and shown, whoever comes when."""
    page = open_room()
    for _ in range(NEWEST + 30):
        customer.poll()
    for one in (page, open_room()):
        expect(row_of(one, POLL).locator("td").first).to_have_text(str(NEWEST + 30))
        expect(one.locator("#requests tbody tr")).to_have_count(NEWEST)


def test_what_comes_first_over_a_new_stream_takes_the_place_of_all_before(
    centre: Sandbox, pages: Pages, customer: Customer, open_room: Callable[..., Page]
) -> None:
    """After a connection that broke, nothing stands there twice, nor what is gone."""
    page = open_room()
    table = page.locator("#requests tbody tr")
    customer.route()
    customer.poll()
    expect(table).to_have_count(3)  # the first was for the token
    port, token = re.findall(r":(\d+)/control\?token=(.*)", pages.control_url)[0]
    pages.close()
    expect(page.get_by_text("No connection to the sandbox")).to_be_visible()
    with Pages(centre, port=int(port), token=token):
        expect(page.get_by_text("No connection to the sandbox")).to_be_hidden()
        expect(table).to_have_count(0)  # these pages have noted none so far
        customer.poll()
        expect(table).to_have_count(1)
        page.close()


def test_no_token_is_ever_shown(
    scripted: Sandbox, pages: Pages, room: httpx.Client, open_room: Callable[..., Page]
) -> None:
    """Neither in the page nor in its stream: access and refresh tokens, also refreshed ones, and the page's own."""
    with closing(Customer(scripted)) as customer:
        customer.route()
        fresh = customer.refresh().raise_for_status().json()
        customer.bear(fresh)
        customer.poll()
        customer.refresh()
        page = open_room()
        page.locator("[data-chat=chat] button").click()
        expect(page.locator("#requests tbody")).to_contain_text(f"…{fresh['access_token'][-4:]}")
        shown = page.content() + json.dumps(told(room, lambda state: "row:0" in state, "chat"))
    secrets = {*customer.tokens.values(), *fresh.values()} & {
        one[name] for one in (customer.tokens, fresh) for name in ("access_token", "refresh_token")
    }
    assert len(secrets) == 4
    assert [secret for secret in secrets if secret in shown or secret[-8:] in shown] == []
    assert pages.control_url.partition("token=")[2] not in shown


def test_a_message_that_is_lost_with_a_reply(
    centre: Sandbox, customer: Customer, open_room: Callable[..., Page]
) -> None:
    """Where polls drain it is missing at the client, and that is the one difference."""
    centre.set_semantics("drain")
    agent = taken(centre, customer)
    page = open_room()
    page.locator("[data-chat=chat] button").click()
    agent.say("the first")
    expect(page.locator("tr[data-verdict=waiting]")).to_have_count(2)
    assert customer.poll().status_code == 200
    expect(page.locator("#summary")).to_have_text("same")
    page.get_by_role("button", name="Lose the next poll's reply").click()
    expect(rules(page)).to_have_count(1)
    agent.say("the lost one")
    with pytest.raises(httpx.RemoteProtocolError):
        customer.poll()
    agent.say("the last")
    customer.poll()
    missing = page.locator("tr[data-verdict=missing]")
    expect(missing).to_have_count(1)
    expect(missing.locator("td").nth(0)).to_contain_text("the lost one")
    expect(missing.locator("td").nth(1)).to_have_text("missing at the client")
    expect(page.locator("#summary")).to_have_text("1 difference")
    expect(page.locator("#source")).to_contain_text("went out whole in replies to polls")
    page.reload()
    expect(missing).to_have_count(1)


def test_a_cursor_brings_a_lost_message_back(centre: Sandbox, customer: Customer, room: httpx.Client) -> None:
    """The difference goes when the message comes with the next poll."""
    agent = taken(centre, customer)
    agent.say("soon back")
    centre.add_fault(Fault.drop(POLL, after=True, times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        customer.poll()
    state = told(room, lambda state: state.get("beside"), "chat")
    assert (state["beside"]["differences"], state["beside"]["waiting"]) == (2, 0)
    customer.poll()
    state = told(room, lambda state: state.get("beside"), "chat")
    assert (state["beside"]["differences"], state["beside"]["rows"]) == (0, 2)


@pytest.mark.parametrize("semantics", quick_only({"cursor"}, SEMANTICS))
def test_a_library_without_trouble_has_what_the_ledger_has(scripted: Sandbox, semantics: Any) -> None:
    """Messages, edits, choices, files, agents and the end, under every meaning of a poll; so do the replies."""
    scripted.set_semantics(semantics)
    recorder = Recorder(scripted)
    with PuzzelChat(**scripted.settings, poll_interval=0.05) as chat, chat.start("support") as conversation:
        received = []
        for word in ("edit", "options", "file", "unknown", "typing", "someone else"):
            conversation.send(word)
        for event in conversation.events(timeout=PATIENCE):
            received.append(event.to_dict())
            if [one["type"] for one in received].count("agent_joined") == 2:
                conversation.send("end chat")
                break
        received += [event.to_dict() for event in conversation.events(timeout=PATIENCE)]
    assert_same(beside(scripted, recorder, lambda _id: received, conversation.id))
    assert_same(beside(scripted, recorder, lambda _id: None, conversation.id))
    types = {one["type"] for one in received}
    assert {"options_message", "file_message", "agent_left", "conversation_ended"} <= types
    # With history, a message that is edited before it was fetched is only there as edited.
    assert semantics == "history" or "message_edited" in types


def assert_same(state: Mapping[str, Any]) -> None:
    """No row says anything but that both sides have it, or that nobody could have."""
    wrong = [value for name, value in state.items() if name.startswith("row:") and value["verdict"] != "same"]
    assert [one for one in wrong if one["verdict"] != "replaced"] == []
    assert (state["beside"]["differences"], state["beside"]["waiting"]) == (0, 0)


def test_an_end_that_the_library_tells_by_itself(scripted: Sandbox) -> None:
    """The service's end is missing, and the library's own is said to be that."""
    scripted.set_semantics("drain")
    scripted.watch(lambda news: scripted.set_after_end("gone") if "lost_end" in getattr(news, "faults", ()) else None)
    recorder = Recorder(scripted)
    with PuzzelChat(**scripted.settings, poll_interval=0.05) as chat, chat.start("support") as conversation:
        scripted.add_fault(Fault.lost_end())
        conversation.send("end chat")
        received = [event.to_dict() for event in conversation.events(timeout=PATIENCE)]
    state: Any = beside(scripted, recorder, lambda _id: received, conversation.id)
    rows = [value for name, value in state.items() if name.startswith("row:") and value["verdict"] != "same"]
    assert [one["client"]["byItself"] for one in rows if one["verdict"] == "extra"] == [True]
    assert [one["ledger"]["event"] for one in rows if one["verdict"] == "missing"][-1] == "ConversationEnded"
    assert scripted.rules()[0].struck == 1


def test_what_was_there_before_the_pages_is_no_difference(centre: Sandbox) -> None:
    """Nobody has watched who got it, so nothing is said of it."""
    centre.set_script("manual")
    centre.set_scripted(True)
    with closing(Customer(centre)) as customer:
        agent = taken(centre, customer)
        agent.say("early")
        customer.poll()
        recorder = Recorder(centre)
        agent.say("late")
        state: Any = beside(centre, recorder, lambda _id: None, "chat")
        assert [state[f"row:{place}"]["verdict"] for place in range(3)] == ["before", "before", "waiting"]
        assert (state["beside"]["differences"], state["beside"]["before"]) == (0, 2)


def test_a_chat_that_is_routed_again_under_old_ids(centre: Sandbox, customer: Customer, room: httpx.Client) -> None:
    """Messages of one id, of which the second one is another message, are told apart."""
    taken(centre, customer).say("one")
    centre.restart(renumber=True)
    centre.agent("chat").say("two")
    customer.poll()
    state = told(room, lambda state: state.get("beside"), "chat")
    assert [state[f"row:{place}"]["verdict"] for place in range(3)] == ["same"] * 3


def test_long_ledgers_are_bounded(centre: Sandbox, customer: Customer, room: httpx.Client) -> None:
    """The newest rows are shown; of the older ones it is told how many there are, and how many are differences."""
    agent = taken(centre, customer)
    for place in range(350):
        agent.say(f"message {place} " + "x" * 3000)
    centre.add_fault(Fault.drop(POLL, after=True, times=1))
    with pytest.raises(httpx.RemoteProtocolError):
        customer.poll()
    state = told(room, lambda state: state.get("beside"), "chat")
    assert (state["beside"]["hidden"], state["beside"]["hiddenDifferences"]) == (51, 51)
    assert len([name for name in state if name.startswith("row:")]) == 300
    assert len(state["row:350"]["ledger"]["text"]) < 1100


def test_chats_are_listed_newest_first(centre: Sandbox, customer: Customer, open_room: Callable[..., Page]) -> None:
    """Also those that have ended; and a chat that nobody knows is no error."""
    for key in ("one", "two", "three"):
        customer.route(key)
    customer.end("two")
    page = open_room()
    chats = page.locator("#ledger [data-chat]")
    expect(chats).to_have_count(3)
    assert [one.get_attribute("data-chat") for one in chats.all()] == ["three", "two", "one"]
    expect(chats.nth(1)).to_contain_text("ended")
    expect(page.get_by_text("Choose a chat")).to_be_visible()
    customer.route("four")
    expect(chats.first).to_have_attribute("data-chat", "four")


@pytest.mark.parametrize("width", [360, 1600])
def test_hostile_text_is_text(centre: Sandbox, customer: Customer, open_room: Callable[..., Page], width: int) -> None:
    """Markup, control characters, overrides and words without end: nothing runs, and nothing is wider than the page."""
    name = {"name": "customerName", "value": HOSTILE}
    assert customer.route("chat", items=[name]).status_code == 202
    until(lambda: centre.chat("chat").offered_to)
    agent = centre.agent("chat")
    agent.accept()
    agent.say(HOSTILE)
    agent.send_raw({"type": HOSTILE, "id": HOSTILE, "author": {"displayName": HOSTILE, "role": HOSTILE}})
    agent.send_raw({"type": "Event", "event": HOSTILE, "agent": HOSTILE, "content": ["x"], "version": "x"})
    customer.say(HOSTILE)
    customer.poll()
    page = open_room(width=width)
    page.locator("[data-chat=chat] button").click()
    expect(page.locator("#ledger tbody tr")).to_have_count(5)
    expect(page.locator("#summary")).to_have_text("same")
    expect(page.locator("#ledger")).to_contain_text("<script>document.title='x'</script>␇␛[31m")
    assert page.locator("#ledger img, #ledger script").count() == 0
    assert page.title() == "Control room · puzzel-chat"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    cut = "e => [...e.querySelectorAll('td *')].some(one => one.getBoundingClientRect().right > innerWidth)"
    assert page.locator("#ledger table").evaluate(cut) is False
    tallest = "e => Math.max(...[...e.querySelectorAll('tr')].map(row => row.offsetHeight))"
    assert page.locator("#ledger table").evaluate(tallest) < 400


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_serious_for_a_screen_reader(
    centre: Sandbox, pages: Pages, chromium: Browser, customer: Customer, width: int, dark: bool
) -> None:
    """By axe there is no violation, with faults in force, every verdict's colours, and the form open."""
    agent = taken(centre, customer)
    centre.set_semantics("drain")
    agent.say("seen")
    customer.poll()
    agent.say("lost")
    centre.faults(Fault.drop(POLL, after=True, times=1), Fault.status(503, "sendMessage"))
    with pytest.raises(httpx.RemoteProtocolError):
        customer.poll()
    agent.say("not fetched")
    scheme: Any = "dark" if dark else "light"
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    with closing(context):
        page = context.new_page()
        page.goto(f"{pages.control_url}&chat=chat")
        expect(page.locator("tr[data-verdict=missing]")).to_have_count(1)
        page.locator("summary").click()
        found = Axe().run(page).response["violations"]
        serious = [(one["id"], one["nodes"][0]["target"]) for one in found if one["impact"] in ("serious", "critical")]
        assert serious == []


def test_every_field_has_a_label_and_a_place_in_the_order(open_room: Callable[..., Page]) -> None:
    """The keyboard reaches every control of a closed form, in the order of the page."""
    page = open_room()
    reach = page.locator("main :is(button, select, input, summary, a, [tabindex='0']):visible").count()
    page.locator("main a").first.focus()
    seen = set()
    for _ in range(reach + 20):
        seen.add(page.evaluate("[...document.querySelectorAll('main *')].indexOf(document.activeElement)"))
        page.keyboard.press("Tab")
    assert len(seen - {-1}) >= reach


def test_it_says_that_it_is_not_puzzel(open_room: Callable[..., Page]) -> None:
    """In both languages, on the page itself."""
    expect(open_room().locator("header")).to_contain_text("not Puzzel")
    expect(open_room(language="nb-NO").locator("header")).to_contain_text("ikke Puzzel")


def test_every_word_exists_in_both_languages(open_room: Callable[..., Page]) -> None:
    """Each word that the scripts ask for by name, in English and in Norwegian."""
    page = open_room()
    found = page.evaluate("""async () => {
        const {WORDS} = await import("/static/control-words.js")
        const names = ["centre", "faults", "ledger", "requests"].map((name) => `/static/control-${name}.js`)
        const scripts = await Promise.all(names.map(async (name) => (await fetch(name)).text()))
        const asked = scripts.flatMap((text) => [...text.matchAll(/\\bt\\("(\\w+)"/g)].map((one) => one[1]))
        return {en: Object.keys(WORDS.en), nb: Object.keys(WORDS.nb), asked}
    }""")
    english, norwegian, asked = (set(found[name]) for name in ("en", "nb", "asked"))
    assert len(asked) > 30
    assert (asked - english, english - norwegian) == (set(), set())
    assert {name.partition("_")[0] for name in norwegian - english} <= {"about", "script"}
