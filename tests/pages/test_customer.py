"""The customer's page in a real browser: the search, the chat, trouble and its end, against an agent played by hand."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Page

from puzzel_chat.pages import Pages, customer
from puzzel_chat.sandbox import AgentHandle, Fault, Sandbox
from quick import quick_only
from waiting import until

if TYPE_CHECKING:
    from pages.conftest import Open

JOINED = "\u2068Kari\u2069 has joined"
"""A name is kept apart from the words around it."""
HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>",
    "[a](javascript:alert(1)) &lt;b&gt; {{7*7}} ${7*7}",
    "\u202egnp.exe\u202c and \u2067right to left",
    "zalgo " + "e" + "\u0301" * 400,
    "x" * 100_000,
    "👩‍👩‍👧‍👦" * 500,
)


def start(page: Page, name: str = "Ada", subject: str = "") -> None:
    """Ask for a chat, as a customer does."""
    page.locator("[name=name]").fill(name)
    page.locator("[name=subject]").fill(subject)
    page.locator("#ask button").click()


def say(page: Page, text: str) -> None:
    """Write a message and press Enter."""
    page.locator("#say textarea").fill(text)
    page.keyboard.press("Enter")


def agent_of(centre: Sandbox) -> AgentHandle:
    """Return the agent of the only chat, who has got the offer."""
    centre.person("Kari")
    until(lambda: len(centre.chats()) == 1)
    agent = centre.agent(centre.chats()[0].id)
    until(lambda: agent.status == "Offered")
    return agent


def talking(centre: Sandbox, page: Page) -> AgentHandle:
    """Begin a chat, and return its agent, who has taken it."""
    start(page)
    agent = agent_of(centre)
    agent.accept()
    page.get_by_text(JOINED).wait_for()
    return agent


def texts(agent: AgentHandle) -> list[str | None]:
    """Return what the contact centre has of the customer's words."""
    return [entry.content for entry in agent.transcript() if entry.role.name == "CUSTOMER" and entry.type == "Text"]


def test_a_whole_chat(browse: Open, tmp_path: Path) -> None:
    """Position, offer, decline, offer; both write; an edit, a choice, files, typing, a fault; and who ended it."""
    now = [time.time()]
    with Sandbox(script="manual", pace=1, ahead=2, clock=lambda: now[0]) as centre, Pages(centre) as pages:
        page = browse(pages.url)
        start(page, subject="Order 7")
        until(lambda: centre.chats())
        agent = centre.agent(centre.chats()[0].id)
        page.get_by_text("You are number 3 in the queue. It takes 3 s or so.").wait_for()
        page.get_by_text(re.compile("You have waited 0:0[1-9]")).wait_for()
        now[0] += 1
        page.get_by_text("You are number 2 in the queue.").wait_for()
        until(lambda: _moved(now) and agent.status == "Offered")
        page.get_by_text("An agent is being asked.").wait_for()
        agent.decline()
        page.get_by_text("The agent could not take it. Another one is asked.").wait_for()
        until(lambda: _moved(now) and agent.status == "Offered")
        page.get_by_text("An agent is being asked.").wait_for()
        assert agent.order.subject == "Order 7"
        agent.accept()
        page.get_by_role("heading", name=f"Chat with \u2068{agent.name}\u2069").wait_for()

        say(page, "Where is my order?\nIt is late.")
        page.locator(".line.mine", has_text="It is late.").get_by_role("img", name="Sent").wait_for()
        assert texts(agent) == ["Where is my order?\nIt is late."]
        agent.typing()
        page.get_by_text("is typing").wait_for()
        message = agent.say("It left on Munday.")
        page.get_by_text("It left on Munday.").wait_for()
        assert page.get_by_text("is typing").count() == 0
        agent.edit(message, "It left on Monday.")
        page.locator(".line", has_text="edited").get_by_text("It left on Monday.").wait_for()
        assert page.get_by_text("It left on Munday.").count() == 0

        agent.ask("Where shall it go?", ["Home", "Work"])
        page.get_by_role("button", name="Home").click()
        page.locator(".line.mine", has_text="Home").get_by_role("img", name="Sent").wait_for()
        assert page.get_by_role("button", name="Work").count() == 0
        assert texts(agent)[-1] == "Home"

        agent.send_file(b"One order", "receipt.txt", "text/plain")
        with page.expect_download() as download:
            page.get_by_role("link", name="receipt.txt").click()
        assert download.value.suggested_filename == "receipt.txt"
        assert download.value.path().read_bytes() == b"One order"
        photo = tmp_path / "damage.png"
        photo.write_bytes(b"a small picture")
        page.locator("#file").set_input_files(photo)
        mine = page.locator(".line.mine", has_text="damage.png")
        mine.get_by_role("img", name="Sent").wait_for()
        files = [entry.id for entry in agent.transcript() if entry.type == "File"]
        assert agent.file(files[-1]) == b"a small picture"
        page.locator("#say textarea").press_sequentially("Thank")
        until(lambda: agent.customer_typing)
        page.locator("#say textarea").fill("")
        until(lambda: not agent.customer_typing)

        centre.add_fault(Fault.status(503, "pollConversation", times=3))
        page.get_by_text("The connection to the agent is lost for now").get_by_text("503").wait_for()
        page.locator("#degraded").wait_for(state="hidden")
        agent.say("Are you there?")
        page.get_by_text("Are you there?").wait_for()
        agent.end()
        page.get_by_text("The agent has ended the chat.").wait_for()
        assert not page.locator("#say").is_visible()
        assert not page.get_by_role("button", name="End the chat").is_visible()
        page.get_by_role("button", name="New chat").click()
        page.get_by_role("button", name="Start the chat").wait_for()
        assert page.locator("[name=name]").input_value() == "Ada"


def _moved(now: list[float]) -> bool:
    """Let a moment pass at the contact centre."""
    now[0] += 0.1
    return True


def test_the_queue_can_be_left(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """The contact centre knows of it at once, and the page says so."""
    page = browse(pages.url)
    start(page)
    page.get_by_role("button", name="Leave the queue").click()
    page.get_by_text("You have left the queue.").wait_for()
    assert centre.stats().left_queue == 1


def test_nobody_stays_in_a_queue_when_the_pages_close(centre: Sandbox, browse: Open) -> None:
    """Also while a page follows its chat."""
    with Pages(centre) as pages:
        page = browse(pages.url)
        start(page)
        until(lambda: centre.chats())
    assert centre.stats().left_queue == 1


def test_when_nobody_comes_the_page_says_so(
    centre: Sandbox, pages: Pages, browse: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the chat has left the queue."""
    monkeypatch.setattr(customer, "WAIT", 0.5)
    page = browse(pages.url)
    start(page)
    page.get_by_text("Nobody could take the chat in time.").wait_for()
    assert centre.stats().left_queue == 1


def test_a_closed_queue_says_when_it_opens(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """Hours are shown as they change; a chat that is asked for all the same is refused, with the time."""
    page = browse(pages.url)
    page.locator("#hours", has_text="Open").wait_for()
    opens = (datetime.now(UTC) + timedelta(days=2)).replace(hour=8, minute=30)
    centre.set_open("support", False, opens_at=opens)
    page.locator("#hours", has_text="Closed until").wait_for()
    assert ":30" in page.locator("#hours").inner_text()
    start(page)
    opening = page.locator("#hours").inner_text().removeprefix("Closed until ")
    page.get_by_role("alert").get_by_text(f"The queue is closed. It opens {opening}.").wait_for()
    centre.set_open("support", None)
    page.locator("#hours", has_text="Opening hours are not known").wait_for()
    centre.set_open("support", True)
    centre.set_capacity("support", 0)
    start(page)
    page.get_by_text("Too many are waiting. Please try again later.").wait_for()
    assert centre.chats() == ()


def test_a_reload_takes_the_chat_up_again(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """While waiting, in the chat, and after its end: everything is there again, once."""
    page = browse(pages.url)
    start(page)
    page.get_by_role("button", name="Leave the queue").wait_for()
    page.reload()
    page.get_by_role("button", name="Leave the queue").wait_for()
    agent = agent_of(centre)
    agent.accept()
    page.get_by_text(JOINED).wait_for()
    say(page, "Hello")
    page.locator(".line.mine").get_by_role("img", name="Sent").wait_for()
    agent.edit(agent.say("Good moaning"), "Good morning")
    page.get_by_text("Good morning").wait_for()
    before = page.locator(".line").all_inner_texts()
    page.reload()
    page.get_by_text("Good morning").wait_for()
    assert page.locator(".line").all_inner_texts() == before
    agent.end()
    page.get_by_text("The agent has ended the chat.").wait_for()
    page.reload()
    page.get_by_text("The agent has ended the chat.").wait_for()
    assert page.locator(".line").all_inner_texts() == before


def test_a_tab_that_nobody_sees_gets_the_rest_later(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """It holds none of the six connections that a browser has to a host; nothing is lost, and nothing comes twice."""
    page = browse(pages.url)
    agent = talking(centre, page)
    other = copy(page)
    agent.say("Before")
    page.get_by_text("Before").wait_for()
    hide(page, True)
    agent.say("Meanwhile")
    other.get_by_text("Meanwhile").wait_for()
    assert page.get_by_text("Meanwhile").count() == 0
    hide(page, False)
    page.get_by_text("Meanwhile").wait_for()
    agent.say("After")
    page.get_by_text("After").wait_for()
    assert page.locator(".line.theirs p").all_inner_texts()[-3:] == ["Before", "Meanwhile", "After"]
    assert page.get_by_text(JOINED).count() == 1


def hide(page: Page, hidden: bool) -> None:
    """Let a tab believe that it is behind others, which a browser without windows has none of."""
    page.evaluate(f"Object.defineProperty(document, 'hidden', {{value: {str(hidden).lower()}, configurable: true}})")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def copy(page: Page) -> Page:
    """Return a second tab, which knows what the first one kept."""
    with page.context.expect_page() as opened:
        page.evaluate("void open(location)")
    return opened.value


def test_two_tabs_are_one_chat(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """A copy of the tab shows what was said before; each shows what is said in the other, once."""
    page = browse(pages.url)
    agent = talking(centre, page)
    say(page, "From the first")
    page.locator(".line.mine").get_by_role("img", name="Sent").wait_for()
    other = copy(page)
    other.locator(".line.mine", has_text="From the first").wait_for()
    say(other, "From the second")
    page.locator(".line.mine", has_text="From the second").wait_for()
    agent.say("To both")
    for tab in (page, other):
        tab.get_by_text("To both").wait_for()
        lines = tab.locator(".line:is(.mine, :last-child)").all_inner_texts()
        assert [line.splitlines()[-1] for line in lines] == ["From the first", "From the second", "To both"]
    page.get_by_role("button", name="End the chat").click()
    for tab in (page, other):
        tab.get_by_text("You have ended the chat.").wait_for()


def test_a_send_is_offered_again_only_where_that_is_safe(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """A refused one is, and arrives once; one that may have arrived is not, and is shown as sent when it had."""
    page = browse(pages.url)
    agent = talking(centre, page)
    centre.add_fault(Fault.status(429, "sendMessage", times=3))
    say(page, "Refused at first")
    page.get_by_role("button", name="Send again").click()
    page.locator(".line.mine", has_text="Refused at first").get_by_role("img", name="Sent").wait_for()
    assert texts(agent) == ["Refused at first"]
    centre.faults(Fault.status(503, "pollConversation", retry_after=1), Fault.drop("sendMessage", after=True))
    say(page, "No answer")
    page.get_by_text("We do not know whether this has arrived.").wait_for()
    assert page.get_by_role("button", name="Send again").count() == 0
    centre.faults()
    page.locator(".line.mine", has_text="No answer").get_by_role("img", name="Sent").wait_for()
    assert texts(agent) == ["Refused at first", "No answer"]
    page.route("**/message", lambda route: route.abort())
    say(page, "Lost on the way")
    page.get_by_text("We do not know whether this has arrived.").wait_for()


def test_what_the_library_refuses_is_said_below_the_line(
    centre: Sandbox, pages: Pages, browse: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too long a text, control characters, too large a file; nothing of it reaches the agent."""
    monkeypatch.setattr(customer, "LARGEST", 2**20)
    page = browse(pages.url)
    agent = talking(centre, page)
    say(page, "x" * 100_000)
    page.get_by_text("Not sent: text: takes 100,").wait_for()
    say(page, "a\u0007b")
    page.get_by_text("U+0007").wait_for()
    page.get_by_text("a\u2407b").wait_for()
    large = FilePayload(name="large.bin", mimeType="application/octet-stream", buffer=bytes(2**20 + 1))
    page.locator("#file").set_input_files(large)
    page.get_by_text("Not sent: the file is larger than 1 MB").wait_for()
    assert page.get_by_role("button", name="Send again").count() == 0
    assert texts(agent) == []


@pytest.mark.parametrize("width", quick_only([360], [360, 1280]))
def test_what_anybody_writes_is_text(width: int, centre: Sandbox, pages: Pages, browse: Open) -> None:
    """Markup, script, control characters, other directions, very long words: shown as they are, and nothing breaks."""
    name = "<b onclick=alert(1)>Kari\u202e" + "W" * 300
    page = browse(pages.url, width=width, height=640)
    centre.person(name)
    start(page, name="<i>Ada</i>\u202e", subject="<script>document.title='owned'</script>")
    until(lambda: centre.chats() and centre.chats()[0].status == "Offered")
    agent = centre.agent(centre.chats()[0].id)
    agent.accept()
    say(page, HOSTILE[0])
    page.locator(".line.mine", has_text=HOSTILE[0]).get_by_role("img", name="Sent").wait_for()
    for text in HOSTILE:
        agent.say(text)
    agent.ask(HOSTILE[0], [HOSTILE[0], HOSTILE[2], "W" * 500, "constructor"])
    agent.send_file(b"x", HOSTILE[0] + "W" * 500 + "\u202egpj.exe", "text/html")
    agent.send_raw({"type": "<b>Carousel</b>", "content": HOSTILE[0]})
    agent.say("a\u0000b\u0007c\u001b[31md", html=True)
    agent.typing()
    page.get_by_text("A message that this page cannot show").wait_for()
    page.get_by_text("abc[31md").wait_for()
    page.get_by_text("is typing").wait_for()
    for text in HOSTILE:
        shown = re.sub("[\u202a-\u202e\u2066-\u2069]", "", text)  # the library takes these out of what it receives
        assert page.locator(".line.theirs").get_by_text(shown, exact=True).count() >= 1, text[:20]
    assert page.title() == "Customer · puzzel-chat"
    assert page.locator("main :is(img, script, b, i, iframe)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.scrollHeight") <= 640
    assert page.evaluate("document.querySelector('.log').scrollWidth <= document.querySelector('.log').clientWidth")
    assert page.locator("#say textarea").bounding_box()["width"] > 150  # type: ignore[index]
    agent.end()
    page.get_by_text("The agent has ended the chat.").wait_for()


def test_it_speaks_norwegian(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """As the browser asks, or as chosen; also what the library tells, as far as the page knows it."""
    page = browse(pages.url, language="nb-NO")
    page.get_by_role("button", name="Start chatten").wait_for()
    centre.set_open("support", False)
    start(page)
    page.get_by_role("alert").get_by_text("Køen er stengt.").wait_for()
    centre.set_open("support", True)
    start(page)
    agent = agent_of(centre)
    agent.accept()
    page.get_by_text("\u2068Kari\u2069 er med").wait_for()
    agent.end()
    page.get_by_text("Agenten har avsluttet chatten.").wait_for()
    page.locator("#language").select_option("en")
    page.get_by_text("The agent has ended the chat.").wait_for()
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("dark", quick_only([False], [False, True]))
def test_a_screen_reader_finds_its_way(dark: bool, centre: Sandbox, pages: Pages, browse: Open) -> None:
    """In no step axe finds anything serious, and the notice of the simulator is there."""
    page = browse(pages.url, dark=dark)
    page.emulate_media(reduced_motion="reduce")  # what is still fading in has no contrast yet
    page.get_by_text("Bundled simulator of puzzel-chat, not Puzzel").wait_for()
    page.locator("#hours", has_text="Open").wait_for()
    assert_accessible(page)
    start(page)
    page.get_by_role("button", name="Leave the queue").wait_for()
    assert_accessible(page)
    agent = agent_of(centre)
    agent.accept()
    agent.say("Hello")
    agent.ask("What is it about?", ["Delivery", "Invoice"])
    agent.send_file(b"x", "receipt.txt", "text/plain")
    page.get_by_text("receipt.txt").wait_for()
    page.route("**/message", lambda route: route.abort())
    say(page, "Lost on the way")
    page.get_by_text("We do not know whether this has arrived.").wait_for()
    assert_accessible(page)
    agent.end()
    page.get_by_text("The agent has ended the chat.").wait_for()
    assert_accessible(page)


def assert_accessible(page: Page) -> None:
    """Nothing that axe calls serious, or worse."""
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_the_program_that_developers_copy_does_not_claim_to_be_the_simulator() -> None:
    """Only the sandbox's pages say so, and lead to the desk and the control room."""
    assert "simulator" not in customer.PAGE


def test_with_the_keyboard_alone(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """Enter starts the chat; then the message is in focus, Shift+Enter makes a line, and Enter sends."""
    page = browse(pages.url)
    page.locator("[name=name]").fill("Ada")
    page.locator("#start:enabled").wait_for()
    page.keyboard.press("Enter")
    agent = agent_of(centre)
    agent.accept()
    page.locator("#say textarea:focus").wait_for()
    page.keyboard.type("One")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Two")
    page.keyboard.press("Enter")
    until(lambda: texts(agent) == ["One\nTwo"])
