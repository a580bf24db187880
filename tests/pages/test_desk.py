"""The agent's desk in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from puzzel_chat import (
    AgentJoined,
    AgentTyping,
    Conversation,
    ConversationEnded,
    Event,
    FileMessage,
    MessageEdited,
    OptionsMessage,
    PuzzelChat,
    TextMessage,
    Variable,
)
from puzzel_chat.pages import Pages
from waiting import until

if TYPE_CHECKING:
    from pages.conftest import Open
    from puzzel_chat.sandbox import Sandbox

PATIENCE = 60.0
HOSTILE = "<img src=x onerror=alert(1)><script>document.title='x'</script>&lt;b&gt; \x07\x1b[31m\u202eevil\u2066 &#0; "
Ask = Callable[..., "Customer"]

expect.set_options(timeout=PATIENCE * 1000)


class Customer:
    """A customer's chat, which hears what comes."""

    def __init__(self, conversation: Conversation) -> None:
        self.chat = conversation
        self._events = conversation.events(timeout=PATIENCE)

    def hears(self, kind: type[Event], **fields: object) -> Any:
        """Read on until an event of this kind with these fields comes."""
        for event in self._events:
            if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items()):
                return event
        raise AssertionError(f"no {kind.__name__} with {fields}")


@pytest.fixture
def ask(centre: Sandbox) -> Iterator[Ask]:
    """Ask for an agent: `ask("Ada", subject=...)`."""
    with PuzzelChat(**centre.settings, poll_interval=0.05, max_message_bytes=2**20) as chat:

        def one(name: str = "Ada", *, queue: str = "support", **what: Any) -> Customer:
            return Customer(chat.start(queue, customer={"name": name}, wait=0, **what))

        yield one


@pytest.fixture
def sit(pages: Pages, browse: Open) -> Callable[..., Page]:
    """Open the desk of an agent: `sit("Kari", width=...)`."""

    def one(name: str = "Kari", **how: Any) -> Page:
        page = browse(f"{pages.desk_url}&agent={name}", **how)
        expect(page.get_by_role("heading", level=1)).to_contain_text(name)  # the stream has begun
        return page

    return one


def card(page: Page, name: str = "Ada") -> Locator:
    """The card of a customer's chat."""
    return page.get_by_role("article", name=name, exact=True)


def box(page: Page, name: str = "Ada") -> Locator:
    """Where the agent writes to a customer."""
    return page.get_by_role("textbox", name=f"Message to {name}")


def take(page: Page, name: str = "Ada") -> Locator:
    """Accept the offer of a customer's chat and return its card."""
    offer = page.get_by_role("region", name="Offer")
    expect(offer).to_contain_text(name)
    offer.get_by_role("button", name="Accept").click()
    expect(card(page, name)).to_be_visible()
    return card(page, name)


def say(page: Page, text: str, name: str = "Ada") -> None:
    """Write to a customer."""
    box(page, name).fill(text)
    box(page, name).press("Enter")


def focused(page: Page) -> str:
    """What has the focus: its label, or its text."""
    return str(page.evaluate("(e => e.getAttribute('aria-label') ?? e.innerText.trim())(document.activeElement)"))


def no_wider_than_the_screen(page: Page) -> bool:
    """Whether nothing needs scrolling to the side: not the page, and no part of it but the buttons for the chats."""
    wide = "e => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== 'hidden'"
    parts = "[document.documentElement, ...document.querySelectorAll('.side, .offered, .chats, .log, details, .said')]"
    blocks = "e => getComputedStyle(e).display !== 'inline'"
    return not page.evaluate(f"{parts}.filter({blocks}).filter({wide}).map(e => e.className)")


def test_an_agent_signs_in_under_a_free_name(centre: Sandbox, pages: Pages, browse: Open) -> None:
    """The page proposes one, and the address holds it from then on, so that each tab can be somebody else."""
    centre.person("Kari")
    page = browse(pages.desk_url)
    expect(page.get_by_label("Who are you?")).to_have_value("Nils")
    expect(page.get_by_text("At work now: Kari")).to_be_visible()
    page.get_by_label("Who are you?").fill(" Ingrid & Olav ")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="Ingrid & Olav's desk")).to_be_visible()
    assert "agent=Ingrid+%26+Olav" in page.url
    assert centre.persons() == ("Kari", "Ingrid & Olav")
    expect(page.get_by_text("simulator of puzzel-chat, not Puzzel")).to_be_visible()


def test_who_waits_is_shown_with_all_that_came(centre: Sandbox, ask: Ask, sit: Callable[..., Page]) -> None:
    """In every queue, with place and time; a secret value stays secret."""
    history = [{"role": "customer", "text": "Where is it?"}, {"role": "bot", "text": "I will ask."}]
    ask(
        subject="Order 7",
        variables=[Variable("order", "7"), Variable("pin", "1234", secret=True)],
        history=history,
        queue="silent",
    )
    ask("Nils", queue="silent")
    page = sit()
    centre.person("Kari").set_ready(False)
    waiting = page.get_by_role("region", name="Waiting (2)")
    ada, nils = waiting.locator("li").nth(0), waiting.locator("li").nth(1)
    expect(ada).to_contain_text("Nobody answers")
    expect(ada).to_contain_text("No. 1")
    expect(ada.locator(".clock")).to_have_text(re.compile(r"^\d+:\d\d$"))
    expect(ada).to_contain_text("Order 7")
    ada.get_by_text("What came with it").click()
    expect(ada.locator("dl")).to_contain_text("order7pinsecret")
    ada.get_by_text("What was said before").click()
    expect(ada.get_by_text("Where is it?")).to_be_visible()
    expect(ada.get_by_text("I will ask.")).to_be_visible()
    expect(nils).to_contain_text("No. 2")
    assert "1234" not in page.content()
    queues = page.get_by_role("region", name="Queues")
    expect(queues.locator("li").filter(has_text="Nobody answers")).to_contain_text("2 waiting")
    expect(queues.locator("li").filter(has_text="Closed")).to_contain_text("closed")


def test_an_offer_is_told_declined_and_accepted(centre: Sandbox, ask: Ask, sit: Callable[..., Page]) -> None:
    """A screen reader hears of it, the tab's title counts it, and a declined one comes again."""
    page = sit()
    customer = ask(subject="Order 7")
    offer = page.get_by_role("region", name="Offer")
    expect(offer).to_contain_text("Order 7")
    expect(page.locator("[role=alert]").filter(has_text="Offered to you: Ada, queue Support")).to_have_count(1)
    expect(page).to_have_title(re.compile(r"^\(1\) Kari"))
    offer.get_by_role("button", name="Decline").click()
    take(page)  # what was declined is gone at once, so this is the next offer
    assert customer.hears(AgentJoined).agent.name == "Kari"
    assert centre.stats().declined == 1
    expect(offer).to_be_hidden()
    expect(box(page)).to_be_focused()
    expect(page).to_have_title(re.compile(r"^Kari"))


def test_both_sides_write_and_see_each_other_typing(centre: Sandbox, ask: Ask, sit: Callable[..., Page]) -> None:
    """Enter sends, Shift+Enter does not; what the customer sends ends the typing."""
    page, customer = sit(), ask()
    chat = take(page)
    box(page).press_sequentially("Hello")
    customer.hears(AgentTyping, is_typing=True)
    box(page).press("Shift+Enter")
    box(page).press_sequentially("Ada <b>")
    box(page).press("Enter")
    customer.hears(TextMessage, text="Hello\nAda <b>")
    expect(chat.locator(".line.mine")).to_contain_text("Hello\nAda <b>")
    expect(box(page)).to_have_value("")
    customer.chat.typing()
    expect(chat.get_by_text("Ada is typing")).to_be_visible()
    customer.chat.send("1 < 2 & 3")
    expect(chat.locator(".line.theirs")).to_contain_text("1 < 2 & 3")
    expect(chat.get_by_text("Ada is typing")).to_be_hidden()


def test_any_line_of_the_agent_can_be_edited_in_its_place(ask: Ask, sit: Callable[..., Page]) -> None:
    """Escape cancels; the customer gets the edit, and lines of others have no such button."""
    page, customer = sit(), ask()
    chat = take(page)
    say(page, "It left on Munday.")
    say(page, "Anything else?")
    customer.hears(TextMessage, text="Anything else?")
    customer.chat.send("No")
    expect(chat.locator(".line.theirs")).to_have_count(1)
    expect(chat.get_by_role("button", name="Edit")).to_have_count(2)
    first = chat.locator(".line.mine").first
    first.get_by_role("button", name="Edit").click()
    first.get_by_label("New text").fill("Nothing")
    page.keyboard.press("Escape")
    expect(first).to_contain_text("It left on Munday.")
    page.keyboard.press("Enter")  # the focus is on the button again
    first.get_by_label("New text").fill("It left on Monday.")
    page.keyboard.press("Enter")
    assert customer.hears(MessageEdited).message.text == "It left on Monday."
    expect(first).to_contain_text("It left on Monday.")
    expect(first).to_contain_text("edited")
    expect(chat.locator(".line.mine")).to_have_count(2)


def test_an_edit_that_comes_meanwhile_waits_for_the_editor(centre: Sandbox, ask: Ask, sit: Callable[..., Page]) -> None:
    """What is being written stays; after Escape the newer text is there."""
    page, customer = sit(), ask()
    chat = take(page)
    say(page, "One")
    chat.get_by_role("button", name="Edit").click()
    chat.get_by_label("New text").fill("Mine")
    agent = centre.agent(customer.chat.id)
    agent.edit(centre.ledger()[customer.chat.id][-1].id, "Theirs")
    agent.say("A line after it")
    expect(chat.get_by_text("A line after it")).to_be_visible()
    expect(chat.get_by_label("New text")).to_have_value("Mine")
    page.keyboard.press("Escape")
    expect(chat.get_by_text("Theirs")).to_be_visible()


def test_choices_are_asked_and_answered(ask: Ask, sit: Callable[..., Page]) -> None:
    """A line for each choice."""
    page, customer = sit(), ask()
    chat = take(page)
    chat.get_by_role("button", name="Choices").click()
    chat.get_by_label("Question").fill("What is it about?")
    chat.get_by_label("Choices, one a line").fill("Delivery\n\n  Invoice \n")
    chat.get_by_role("button", name="Ask").click()
    asked = customer.hears(OptionsMessage, text="What is it about?")
    assert [one.label for one in asked.options] == ["Delivery", "Invoice"]
    expect(chat.get_by_role("group", name="Choices")).to_contain_text("Invoice")
    expect(chat.get_by_label("Question")).to_have_count(0)
    customer.chat.choose("Invoice")
    expect(chat.locator(".line.theirs")).to_contain_text("Invoice")


def test_files_go_both_ways(ask: Ask, sit: Callable[..., Page], tmp_path: Path) -> None:
    """Under their names, byte by byte."""
    page, customer = sit(), ask()
    chat = take(page)
    own = tmp_path / "vilkår & mer.txt"
    own.write_bytes(b"terms")
    chat.get_by_label("File").set_input_files(own)
    got = customer.hears(FileMessage)
    assert got.file_name == own.name
    customer.chat.download(got, tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == b"terms"
    customer.chat.send_file(b"<script>", name="kvittering 1.html")
    with page.expect_download() as download:
        chat.get_by_role("link", name="kvittering 1.html").click()
    assert download.value.suggested_filename == "kvittering 1.html"
    assert Path(download.value.path()).read_bytes() == b"<script>"


def test_a_file_that_is_too_large_is_refused_in_words(ask: Ask, sit: Callable[..., Page], tmp_path: Path) -> None:
    """Nothing is sent, and the next file goes."""
    page, customer = sit(), ask()
    chat = take(page)
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(20 * 2**20 + 1))
    chat.get_by_label("File").set_input_files(large)
    expect(page.get_by_role("alert").filter(has_text="20 MiB")).to_be_visible()
    small = tmp_path / "small.bin"
    small.write_bytes(b"1")
    chat.get_by_label("File").set_input_files(small)
    assert customer.hears(FileMessage).file_name == "small.bin"


def test_a_chat_is_transferred_to_the_agent_in_another_tab(centre: Sandbox, ask: Ask, sit: Callable[..., Page]) -> None:
    """The first keeps a card that says so, and reads no further; the second sees what was said, and ends it."""
    kari, customer = sit("Kari"), ask()
    first = take(kari)
    say(kari, "I put you through.")
    nils = sit("Nils")
    first.get_by_role("button", name="Transfer").click()
    first.get_by_label("To the queue").select_option("Hours not known")
    first.get_by_role("button", name="Transfer").last.click()
    expect(first.locator(".over")).to_contain_text("Transferred to the queue Hours not known.")
    second = take(nils)
    expect(second).to_contain_text("I put you through.")
    expect(second.locator(".line.mine")).to_contain_text("Kari")
    expect(second.get_by_role("button", name="Edit")).to_have_count(0)
    say(nils, "Now it is me.")
    customer.hears(TextMessage, text="Now it is me.")
    expect(first).not_to_contain_text("Now it is me.")
    second.get_by_role("button", name="End", exact=True).click()
    second.get_by_role("button", name="Cancel").click()
    assert not centre.chat(customer.chat.id).ended
    second.get_by_role("button", name="End", exact=True).click()
    second.get_by_role("button", name="Yes, end it").click()
    expect(second.locator(".over")).to_contain_text("You ended the chat.")
    customer.hears(ConversationEnded)
    expect(first.locator(".over")).to_contain_text("Transferred")
    for page, closed in ((kari, first), (nils, second)):
        closed.get_by_role("button", name="Close").click()
        expect(page.get_by_text("No chats.")).to_be_visible()


def test_an_agent_who_leaves_may_get_the_chat_again(ask: Ask, sit: Callable[..., Page]) -> None:
    """It goes back to its queue; accepted again, the same card goes on where it was."""
    page, customer = sit(), ask()
    chat = take(page)
    say(page, "One moment")
    chat.get_by_role("button", name="Leave").click()
    chat.get_by_role("button", name="Yes, leave").click()
    expect(chat.locator(".over")).to_contain_text("went back to the queue Support")
    customer.chat.send("Are you there?")
    expect(page.get_by_role("region", name="Offer")).to_be_visible()
    expect(chat).not_to_contain_text("Are you there?")
    take(page)
    expect(chat.get_by_text("Are you there?")).to_be_visible()
    expect(chat.get_by_text("One moment")).to_have_count(1)
    expect(box(page)).to_be_editable()


def test_a_chat_that_the_customer_ends_leaves_the_draft_alone(ask: Ask, sit: Callable[..., Page]) -> None:
    """The card says who ended it; what was being written stays, cannot be sent, and no key closes the card."""
    page, customer = sit(), ask()
    chat = take(page)
    box(page).press_sequentially("I was about to")
    customer.chat.end()
    expect(chat.locator(".over")).to_contain_text("The customer ended the chat.")
    page.keyboard.press("Enter")
    expect(box(page)).to_have_value("I was about to")
    expect(chat.get_by_role("button", name="Send")).to_be_hidden()
    chat.get_by_role("button", name="Close").click()
    expect(chat).to_have_count(0)


def test_the_end_of_a_chat_takes_the_focus_to_its_reason(ask: Ask, sit: Callable[..., Page]) -> None:
    """Not to a button, which the next key would press."""
    page, customer = sit(), ask()
    chat = take(page)
    expect(box(page)).to_be_focused()
    customer.chat.end()
    expect(chat.locator(".over")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    expect(chat).to_be_visible()


def test_several_that_are_over_are_closed_at_once(ask: Ask, sit: Callable[..., Page]) -> None:
    """And those that go on stay."""
    page = sit()
    for name in ("Ada", "Per", "Nils"):
        customer = ask(name)
        take(page, name)
        if name != "Per":
            customer.chat.end()
            expect(card(page, name).locator(".over")).to_be_visible()
    page.get_by_role("button", name="Close 2 that are over").click()
    expect(page.get_by_role("article")).to_have_count(1)
    expect(card(page, "Per")).to_be_visible()


def test_scripted_agents_are_switched_on_and_off(centre: Sandbox, ask: Ask, sit: Callable[..., Page]) -> None:
    """On, they take what a paused person does not; all desks show the switch as it stands."""
    page, other = sit("Kari"), sit("Nils")
    for one in (page, other):
        one.get_by_role("switch", name="Ready for offers").uncheck()
    expect(page.get_by_role("region", name="Agents").locator("li").filter(has_text="Nils")).to_contain_text("paused")
    customer = ask()
    until(lambda: centre.chat(customer.chat.id).position == 1)
    page.get_by_role("switch", name="Scripted agents").check()
    assert customer.hears(AgentJoined).agent.id.startswith("support-")
    expect(other.get_by_role("switch", name="Scripted agents")).to_be_checked()
    other.get_by_role("switch", name="Scripted agents").uncheck()
    until(lambda: not centre.scripted)
    expect(page.get_by_role("switch", name="Scripted agents")).not_to_be_checked()
    page.get_by_role("switch", name="Ready for offers").check()
    ask("Per")
    take(page, "Per")


def test_a_pause_outlasts_a_reload(centre: Sandbox, sit: Callable[..., Page]) -> None:
    """Whoever wants no offers gets none by reloading the page."""
    page = sit()
    page.get_by_role("switch", name="Ready for offers").uncheck()
    until(lambda: not centre.person("Kari").ready)
    page.reload()
    expect(page.get_by_role("heading", name="Kari's desk")).to_be_visible()
    expect(page.get_by_role("switch", name="Ready for offers")).not_to_be_checked()
    assert not centre.person("Kari").ready


def test_whose_last_tab_is_closed_gets_no_offers(
    centre: Sandbox, pages: Pages, ask: Ask, sit: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one tab of two left offers come; an open one goes to somebody else at the end."""
    monkeypatch.setattr("puzzel_chat.pages._desk.GRACE", 0)
    first, second = sit("Kari"), sit("Kari")
    until(lambda: pages.tabs("Kari") == 2)
    first.close()
    until(lambda: pages.tabs("Kari") == 1)
    ask()
    expect(second.get_by_role("region", name="Offer")).to_contain_text("Ada")
    nils = sit("Nils")
    second.close()
    until(lambda: not centre.person("Kari").ready)
    take(nils)


def test_a_reload_keeps_the_chats(ask: Ask, sit: Callable[..., Page]) -> None:
    """Those that go on with their lines, and those that are over with their reason."""
    page, ada = sit(), ask()
    take(page)
    say(page, "Hello Ada")
    ada.hears(TextMessage, text="Hello Ada")
    per = ask("Per")
    take(page, "Per")
    per.chat.end()
    expect(card(page, "Per").locator(".over")).to_be_visible()
    page.reload()
    expect(card(page).locator(".line.mine")).to_contain_text("Hello Ada")
    expect(card(page, "Per").locator(".over")).to_contain_text("The customer ended the chat.")
    say(page, "Still here")
    ada.hears(TextMessage, text="Still here")


def test_a_stream_that_breaks_doubles_no_line_and_keeps_what_is_typed(
    centre: Sandbox, pages: Pages, ask: Ask, sit: Callable[..., Page]
) -> None:
    """What happened meanwhile is there when it is back: lines, edits, ends."""
    page, ada, per = sit(), ask(), ask("Per")
    chat, other = take(page), take(page, "Per")
    say(page, "One")
    ada.hears(TextMessage, text="One")
    ada.chat.send("Two")
    expect(chat.locator(".line.theirs")).to_have_count(1)
    box(page).fill("I am writing")
    chat.locator(".line.theirs").evaluate("element => { element.title = 'the same' }")
    lines = chat.locator(".line").count()
    port, token = re.findall(r":(\d+)/desk\?token=(.*)", pages.desk_url)[0]
    pages.close()
    expect(page.get_by_text("No connection to the sandbox")).to_be_visible()
    agent = centre.agent(ada.chat.id)
    agent.edit(next(one.id for one in centre.ledger()[ada.chat.id] if one.content == "One"), "First")
    ada.chat.send("Three")
    per.chat.end()
    with Pages(centre, port=int(port), token=token):
        expect(page.get_by_text("No connection to the sandbox")).to_be_hidden()
        expect(chat.get_by_text("Three")).to_be_visible()
        expect(chat.locator(".line")).to_have_count(lines + 1)
        expect(chat.locator(".line.mine")).to_contain_text("First")
        expect(chat.get_by_title("the same")).to_contain_text("Two")
        expect(box(page)).to_have_value("I am writing")
        expect(box(page)).to_be_focused()
        expect(other).to_have_count(0)
        box(page).press("Enter")
        ada.hears(TextMessage, text="I am writing")
        page.close()


def test_two_tabs_of_an_agent_show_the_same(ask: Ask, sit: Callable[..., Page]) -> None:
    """Lines, ends and closed cards; signed out in one, the other says so, and the chats go back to the queue."""
    one, two, ada, per = sit(), sit(), ask(), ask("Per")
    take(one)
    take(two, "Per")
    say(one, "From one")
    expect(card(two).locator(".line.mine")).to_contain_text("From one")
    expect(card(one, "Per")).to_be_visible()
    per.chat.end()
    card(two, "Per").get_by_role("button", name="Close").click()
    expect(card(one, "Per")).to_have_count(0)
    one.get_by_role("button", name="Sign out").click()
    expect(one.get_by_label("Who are you?")).to_be_visible()
    expect(two.get_by_text("You were signed out in another tab.")).to_be_visible()
    nils = sit("Nils")
    take(nils)
    until(lambda: ada.hears(AgentJoined).agent.name == "Nils")


def test_new_messages_are_marked_until_they_are_looked_at(ask: Ask, sit: Callable[..., Page]) -> None:
    """At the chat, in the list of chats and in the tab's title; not where the agent is looking."""
    page, ada, per = sit(), ask(), ask("Per")
    take(page)
    take(page, "Per")
    expect(box(page, "Per")).to_be_focused()
    ada.chat.send("One")
    ada.chat.send("Two")
    per.chat.send("Seen")
    expect(card(page).get_by_text("2 new")).to_be_visible()
    expect(page.get_by_role("navigation", name="Go to").get_by_role("button", name="1 Ada")).to_contain_text("2 new")
    expect(card(page, "Per").get_by_text("Seen")).to_be_visible()
    expect(page).to_have_title(re.compile(r"^\(2\) "))
    page.get_by_role("button", name="1 Ada").click()
    expect(box(page)).to_be_focused()
    expect(page.get_by_text("2 new")).to_have_count(0)
    expect(page).to_have_title(re.compile("^Kari"))


def test_an_offer_does_not_take_the_focus_from_whoever_writes(ask: Ask, sit: Callable[..., Page]) -> None:
    """Not when it comes, and not when it is accepted by a key in the middle of a sentence."""
    page, ada = sit(), ask()
    take(page)
    box(page).press_sequentially("In the middle")
    ask("Per")
    expect(page.get_by_role("region", name="Offer")).to_contain_text("Per")
    page.keyboard.press("Alt+a")
    expect(card(page, "Per")).to_be_visible()
    page.keyboard.type(" of it")
    page.keyboard.press("Enter")
    ada.hears(TextMessage, text="In the middle of it")


def test_the_keyboard_is_enough(centre: Sandbox, pages: Pages, ask: Ask, browse: Open) -> None:
    """From signing in to closing the card: each control is reached, and its focus can be seen."""
    page = browse(pages.desk_url)
    keys = page.keyboard
    expect(page.get_by_label("Who are you?")).not_to_have_value("")
    page.get_by_label("Who are you?").focus()
    keys.press("Enter")
    expect(page.get_by_role("heading", name="Kari's desk")).to_be_visible()
    ada, _per = ask(), ask("Per")
    for name in ("Ada", "Per"):
        expect(page.get_by_role("region", name="Offer")).to_contain_text(name)
        keys.press("Alt+a")
        expect(page.get_by_role("article")).to_have_count(1 if name == "Ada" else 2)
    keys.press("Alt+1")
    first = focused(page)
    keys.press("Alt+2")
    assert {first, focused(page)} == {"Message to Ada", "Message to Per"}
    keys.press("Alt+1" if first == "Message to Ada" else "Alt+2")
    keys.type("Hello")
    keys.press("Enter")
    ada.hears(TextMessage, text="Hello")
    reached = []
    for _ in range(6):
        keys.press("Tab")
        reached.append(focused(page))
        shown = "getComputedStyle(e).outlineStyle != 'none' || getComputedStyle(e.parentElement).outlineStyle != 'none'"
        assert page.evaluate(f"(e => {shown})(document.activeElement)")
    assert reached == ["Send", "", "Choices", "Transfer", "Leave", "End"]
    keys.press("Enter")
    assert focused(page) == "Yes, end it"
    keys.press("Escape")
    assert focused(page) == "End"
    keys.press("Enter")
    keys.press("Enter")
    ada.hears(ConversationEnded)
    expect(card(page).locator(".over")).to_be_focused()
    keys.press("Tab")
    keys.press("Enter")
    expect(card(page)).to_have_count(0)
    expect(box(page, "Per")).to_be_focused()
    keys.press("Alt+0")
    assert focused(page) == "Waiting"
    ask("Nils")
    expect(page.get_by_role("region", name="Offer")).to_be_visible()
    keys.press("Alt+d")
    until(lambda: centre.stats().declined == 1)


@pytest.mark.parametrize("width", [360, 1280])
def test_hostile_text_is_shown_as_text(centre: Sandbox, ask: Ask, sit: Callable[..., Page], width: int) -> None:
    """Wherever it comes in: it becomes no markup, breaks no layout, and turns no other text around."""
    page = sit(width=width)
    texts = [HOSTILE, "x" * 100_000, "\U0001f600" * 500, "word " * 2000, "&#" + "9" * 5000 + ";"]
    ask(
        HOSTILE + "n" * 3000,
        subject=HOSTILE + "s" * 3000,
        variables={HOSTILE: HOSTILE * 40},
        history=[{"role": "customer", "text": HOSTILE.replace("\x07\x1b", "") + "h" * 3000}],
    )
    page.get_by_role("region", name="Offer").get_by_role("button", name="Accept").click()
    chat = page.get_by_role("article")
    expect(chat).to_be_visible()
    agent = centre.agent(centre.chats()[0].id)
    author = {"role": 0, "id": None, "displayName": HOSTILE * 50}
    for text in texts:
        agent.send_raw({"type": "Text", "content": text, "author": author})
        agent.say(text)
    agent.send_raw({"type": "Options", "content": HOSTILE, "options": [{"id": HOSTILE, "label": HOSTILE * 9}]})
    agent.send_raw({"type": "Options", "content": HOSTILE, "options": "none"})
    agent.send_raw({"type": "File", "fileName": HOSTILE * 50, "url": "javascript:alert(1)", "size": HOSTILE})
    agent.send_raw({"type": "Event", "event": "constructor", "agent": {"displayName": HOSTILE}})
    agent.send_raw({"type": HOSTILE, "author": author})
    agent.say("The last line")
    expect(chat.get_by_text("The last line")).to_be_visible()
    for details in page.locator("details:visible").all():
        details.evaluate("element => { element.open = true }")
    assert page.locator("main img, main script").count() == 0
    assert page.title().startswith("Kari · ")
    assert no_wider_than_the_screen(page)
    expect(chat.locator(".line.theirs").first).to_contain_text("<img src=x onerror=alert(1)>")
    isolated = "e => [...e.querySelectorAll('.said')].every(o => getComputedStyle(o).unicodeBidi.startsWith('isolate'))"
    assert page.locator("main").evaluate(isolated)
    ask(HOSTILE + "w" * 3000, subject=HOSTILE + "s" * 3000)
    if width < 500:
        page.get_by_role("button", name="Waiting").click()
    expect(page.get_by_role("region", name="Waiting (1)")).to_be_visible()
    assert no_wider_than_the_screen(page)


def test_on_a_phone_one_thing_is_shown_at_a_time(ask: Ask, sit: Callable[..., Page]) -> None:
    """Buttons go between the chats and those who wait."""
    page = sit(width=360, height=640)
    ask()
    ask("Per")
    take(page)
    expect(box(page)).to_be_focused()
    page.get_by_role("region", name="Offer").get_by_role("button", name="Accept").click()
    expect(card(page, "Per")).to_be_visible()
    expect(card(page)).to_be_hidden()
    page.get_by_role("button", name="1 Ada").click()
    expect(card(page)).to_be_visible()
    expect(card(page, "Per")).to_be_hidden()
    page.get_by_role("button", name=re.compile("^Waiting")).click()
    expect(page.get_by_role("region", name="Queues")).to_be_visible()
    expect(page.get_by_role("article")).to_have_count(0)
    assert no_wider_than_the_screen(page)


def test_in_norwegian(ask: Ask, sit: Callable[..., Page]) -> None:
    """By the browser's language; every word that the desk uses has both."""
    page = sit(language="nb-NO")
    ask()
    expect(page.get_by_role("heading", name="Pulten til Kari")).to_be_visible()
    expect(page.get_by_role("region", name="Tilbud")).to_contain_text("Har ventet")
    page.get_by_role("button", name="Ta imot").click()
    expect(page.get_by_role("textbox", name="Melding til Ada")).to_be_focused()
    expect(page.get_by_text("Kari ble med")).to_be_visible()
    expect(page.get_by_text("ikke Puzzel")).to_be_visible()
    texts = page.request.get(page.url.partition("/desk")[0] + "/static/desk-words.js").text()
    english, norwegian = texts.split("nb: {")
    names = [re.findall(r'(?:^|[,{] ?)\s*(\w+): "', part, re.MULTILINE) for part in (english, norwegian)]
    assert names[0] == names[1]
    assert len(names[0]) > 80


def test_closed_cards_leave_nothing_behind(ask: Ask, sit: Callable[..., Page]) -> None:
    """Neither elements nor handlers, however many chats a tab has had."""
    page = sit()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def held(name: str) -> tuple[float, float]:
        customer = ask(name)
        chat = take(page, name)
        say(page, "Hello", name)
        expect(chat.get_by_text("Hello")).to_be_visible()
        customer.chat.end()
        chat.get_by_role("button", name="Close").click()
        expect(chat).to_have_count(0)
        session.send("HeapProfiler.collectGarbage")
        counted = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        return counted["Nodes"], counted["JSEventListeners"]

    held("Ada")
    nodes, listeners = held("Per")
    for name in ("Nils", "Ola", "Siv", "Tor"):
        after = held(name)
    assert after[0] <= nodes + 40
    assert after[1] <= listeners


def test_only_what_changed_is_touched(centre: Sandbox, ask: Ask, sit: Callable[..., Page]) -> None:
    """A message in one of several chats changes no element of the others, nor of those who wait."""
    page, ada = sit(), ask()
    take(page)
    ask("Per")
    take(page, "Per")
    for number in range(5):
        ask(f"Nils {number}")
    expect(page.get_by_role("region", name="Waiting (5)")).to_be_visible()
    expect(page.get_by_role("region", name="Offer")).to_be_visible()
    page.evaluate(
        """() => {
          window.touched = []
          const watch = new MutationObserver((list) => list.forEach((one) => {
            const place = one.target.nodeType === 1 ? one.target : one.target.parentElement
            if (!place?.closest(".clock")) touched.push(place?.closest("article, section, nav")?.textContent ?? "?")
          }))
          watch.observe(document.querySelector("main"), {subtree: true, childList: true, characterData: true})
        }"""
    )
    ada.chat.send("Only here")
    expect(card(page).get_by_text("Only here")).to_be_visible()
    touched = page.evaluate("window.touched")
    assert touched
    assert [text for text in touched if "Only here" not in text and "1 new" not in text] == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_a_screen_reader_finds_its_way(chromium: Browser, pages: Pages, ask: Ask, width: int, dark: bool) -> None:
    """Axe finds nothing serious: at the sign-in, with a chat, an offer and a queue, and in a chat that is over."""
    context = chromium.new_context(
        viewport={"width": width, "height": 800}, color_scheme="dark" if dark else "light", bypass_csp=True
    )
    page = context.new_page()
    page.goto(pages.desk_url)
    expect(page.get_by_label("Who are you?")).not_to_have_value("")
    found = [*serious(page)]
    page.get_by_role("button", name="Start").click()
    ada = ask(subject="Order 7", variables={"note": "long " * 200}, history=[{"role": "bot", "text": "Hello " * 300}])
    take(page)
    ada.chat.send("A long text. " * 200)
    expect(card(page).locator(".line.theirs")).to_be_visible()
    card(page).get_by_role("button", name="Choices").click()
    ask("Per")
    ask("Nils")
    expect(page.get_by_role("region", name="Offer")).to_be_visible()
    for details in page.locator("details:visible").all():
        details.evaluate("element => { element.open = true }")
    found += serious(page)
    ada.chat.end()
    expect(card(page).locator(".over")).to_be_visible()
    found += serious(page)
    context.close()
    assert found == []


def serious(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    page.wait_for_function("document.getAnimations().length === 0")
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html']}" for one in found if one["impact"] in ("serious", "critical")]
