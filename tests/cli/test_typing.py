"""Each side of `puzzel-chat chat` on a terminal sees the other type, and stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat import ConversationClosed, TransportError
from puzzel_chat.cli import _chat, _typing
from puzzel_chat.cli._chat import TypingCalls
from puzzel_chat.cli._typing import PAUSE, REPEAT, Typing, is_command
from puzzel_chat.cli._ui import TOOLBAR
from puzzel_chat.sandbox import AgentHandle, Fault, Happening, Role, Sandbox, Status
from waiting import Held, until, until_async

from .conftest import Program, Run, Start

AGENT_TYPES = "the agent is typing ..."


# What is told, and when.


def told_at(typing: Typing, now: float) -> list[bool]:
    """Ask until there is nothing more to tell."""
    told = []
    while (one := typing.next(now)) is not None:
        told.append(one)
    return told


def told_until(typing: Typing, now: float) -> list[tuple[float, bool]]:
    """Ask at each time that `until` gives before this one."""
    told: list[tuple[float, bool]] = []
    while (due := typing.until()) is not None and due <= now:
        told += [(due, one) for one in told_at(typing, due)]
    return told


def test_what_the_agent_is_told_of_a_line() -> None:
    """That it begins, every 5 seconds that it goes on, that it rests for 5 seconds; nothing when it is sent."""
    typing, told = Typing(), list[tuple[float, bool]]()
    for now in (0.0, 2.0, 4.0, 4.9, 5.0, 7.0, 9.9, 10.0, 16.0, 17.0):
        told += told_until(typing, now)
        typing.changed(f"text {now}", now)
        told += [(now, one) for one in told_at(typing, now)]
    typing.entered()
    typing.sent()
    typing.changed("", 18.0)
    told += told_until(typing, 99.0)
    assert told == [(0.0, True), (5.0, True), (10.0, True), (15.0, False), (16.0, True)]


@pytest.mark.parametrize("emptied", ["", "  ", "/end"], ids=["nothing", "spaces", "a command"])
def test_a_text_that_is_taken_back_is_told(emptied: str) -> None:
    """The agent hears at once that the customer has nothing for her any more."""
    typing = Typing()
    typing.changed("Hel", 0.0)
    assert told_at(typing, 0.0) == [True]
    typing.changed(emptied, 1.0)
    assert (told_at(typing, 1.0), typing.until()) == ([False], None)


def test_a_line_that_did_not_arrive_is_told() -> None:
    """No message ends the typing then, so the empty prompt does."""
    typing = Typing()
    typing.changed("Hello", 0.0)
    assert told_at(typing, 0.0) == [True]
    typing.entered()
    assert (told_at(typing, 9.0), typing.until()) == ([], None)
    typing.changed("", 9.0)
    assert told_at(typing, 9.0) == [False]


texts = st.sampled_from(["", " ", "/", "/help", "//", "H", "Hello", " /x"])
steps = st.one_of(
    st.tuples(st.just("changed"), texts),
    st.tuples(st.just("entered"), st.sampled_from(["sent", "lost"])),
    st.tuples(st.just("slow"), st.just("")),
)
pauses = st.floats(0, 12) | st.sampled_from([0.0, PAUSE, REPEAT])


@given(st.lists(st.tuples(pauses, steps), max_size=30))
def test_the_agent_believes_what_is_true(script: list[tuple[float, tuple[str, str]]]) -> None:
    """Whatever is written and whenever it is asked: the agent takes her for typing if a text changed in the last 5 s.

    True is not told twice within 5 seconds, False only after True, and nothing on the way of a line.
    """
    typing, now, changed, believed, last = Typing(), 0.0, -1e9, False, -1e9
    entered, slow = False, False

    def told(at: float) -> None:
        nonlocal believed, last
        for one in told_at(typing, at):
            assert not entered
            assert believed or one
            assert not (one and believed and at < last + REPEAT)
            believed, last = one, at if one else last
        assert entered or believed == (at < changed + PAUSE)

    for pause, (what, more) in script:
        now += pause
        while not slow and (due := typing.until()) is not None and due < now:
            told(due)
        slow = what == "slow"  # a call is under way until the next step: nothing is asked meanwhile
        if what == "changed":
            typing.changed(more, now)
            changed, entered = (now if more.strip() and not is_command(more) else -1e9), False
        elif what == "entered":
            typing.entered()
            entered = True
            if more == "sent":
                typing.sent()
                changed, believed, last = -1e9, False, -1e9
        if not slow:
            told(now)


@given(st.lists(st.floats(0.01, PAUSE - 0.01), min_size=1, max_size=60))
def test_the_agent_is_told_again_while_the_text_keeps_changing(pauses: list[float]) -> None:
    """There are never as many as 10 seconds between two calls, and no word of an end."""
    typing, now, told = Typing(), 0.0, list[float]()
    for number, pause in enumerate([0.0, *pauses]):
        now += pause
        assert told_until(typing, now) == []
        typing.changed(f"text {number}", now)
        told += [now for one in told_at(typing, now) if one]
        assert now < told[-1] + REPEAT
    assert all(later < earlier + REPEAT + PAUSE for earlier, later in pairwise(told))


# The calls, beside the prompt.


@define
class Calls:
    """An agent who is told slowly, or not at all."""

    told: list[bool] = field(factory=list[bool])
    under_way: int = 0
    most: int = 0
    given_up: int = 0
    open: asyncio.Event = field(factory=asyncio.Event)
    errors: list[Exception] = field(factory=list[Exception])

    async def tell(self, is_typing: bool) -> None:
        """Take the call, and answer when the test wants it."""
        self.told.append(is_typing)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.open.wait()
            if self.errors:
                raise self.errors.pop()
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self.under_way -= 1

    async def one_more(self) -> None:
        """Wait for the next call."""
        before = len(self.told)
        await until_async(lambda: len(self.told) > before)


def play(scene: Callable[[Calls, TypingCalls], Awaitable[None]]) -> Calls:
    """Run a scene, and check that nothing of it is left."""
    calls = Calls()

    async def scenario() -> None:
        typing = TypingCalls(calls.tell)
        async with typing.running():
            await scene(calls, typing)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(scenario())
    assert (calls.under_way, calls.most) == (0, 1)
    return calls


def test_one_call_at_a_time_and_the_newest_wish_wins() -> None:
    """What changed back while a call was under way is not told."""

    async def scene(calls: Calls, typing: TypingCalls) -> None:
        typing.changed("H")
        await calls.one_more()
        for text in ("", "He", "", "Hello", ""):
            typing.changed(text)
            await asyncio.sleep(0)
        assert calls.told == [True]
        calls.open.set()
        await calls.one_more()
        typing.changed("Again")
        await calls.one_more()

    assert play(scene).told == [True, False, True]


def test_a_line_that_is_sent_overtakes_the_call() -> None:
    """The call that is under way is given up, and nothing comes after the line, before and after it has arrived."""

    async def scene(calls: Calls, typing: TypingCalls) -> None:
        typing.changed("Hello")
        await calls.one_more()
        with typing.sending():
            await until_async(lambda: calls.given_up)
        calls.open.set()
        for text in ("", "/help", ""):
            typing.changed(text)
            await asyncio.sleep(0.001)
        typing.changed("More")
        await calls.one_more()

    assert play(scene).told == [True, True]


def test_a_line_that_fails_leaves_no_typing() -> None:
    """The agent hears that the customer has stopped when the prompt is empty again."""

    async def scene(calls: Calls, typing: TypingCalls) -> None:
        calls.open.set()
        typing.changed("Hello")
        await calls.one_more()
        with pytest.raises(TransportError), typing.sending():
            raise TransportError("no connection", sent="no")
        typing.changed("")
        await calls.one_more()

    assert play(scene).told == [True, False]


def test_a_call_that_fails_breaks_nothing() -> None:
    """An error of the library is left, and the next change is told as ever."""

    async def scene(calls: Calls, typing: TypingCalls) -> None:
        calls.open.set()
        calls.errors += [ConversationClosed("it is over"), TransportError("no connection", sent="no")]
        for text in ("H", "", "Hello"):
            typing.changed(text)
            await calls.one_more()

    assert play(scene).told == [True, False, True]


def test_a_call_under_way_is_given_up_at_the_end() -> None:
    """Nothing is waited for when the chat ends."""

    async def scene(calls: Calls, typing: TypingCalls) -> None:
        typing.changed("Hello")
        await calls.one_more()

    calls = play(scene)
    assert (calls.told, calls.given_up) == ([True], 1)


def test_a_customer_who_rests_is_told_without_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time alone brings the word that she has stopped, and gives up a call that hangs."""
    monkeypatch.setattr(_typing, "PAUSE", 0.01)
    monkeypatch.setattr(_chat, "PAUSE", 0.01)

    async def scene(calls: Calls, typing: TypingCalls) -> None:
        def begun() -> list[bool]:
            typing.changed("Hello")
            return calls.told

        await until_async(begun)
        await until_async(lambda: calls.given_up == 2)

    assert play(scene).told == [True, False]


# A real terminal.


@pytest.fixture
def happened() -> list[Happening]:
    """All that happens in the contact centre."""
    return []


@pytest.fixture
def held() -> Iterator[Held]:
    """What slow faults wait for."""
    held = Held()
    yield held
    held.let_go()


@pytest.fixture
def manual(happened: list[Happening], held: Held) -> Iterator[Sandbox]:
    """A contact centre whose agent the test plays."""
    with Sandbox(script="manual", pace=0, on_event=happened.append, sleep=held.sleep) as sandbox:
        yield sandbox


def chatting(on_terminal: Start, centre: Sandbox, answers: bool = False) -> tuple[Program, AgentHandle]:
    """Start a chat, and take it."""
    program = on_terminal("chat", "support", at=centre, answers=answers)
    until(centre.ledger)
    agent = centre.agent(next(iter(centre.ledger())))
    until(lambda: agent.status is Status.OFFERED)
    agent.accept()
    program.expect("you:")
    return program, agent


def typings(happened: list[Happening]) -> int:
    """Count what the agent was told of the customer's typing."""
    return sum(one.kind == "typing" and one.role is Role.CUSTOMER for one in happened)


def typing_calls(centre: Sandbox) -> int:
    """Count the calls that came in, also those that failed."""
    return centre.stats().requests.get("sendTyping", 0)


def write(program: Program, centre: Sandbox, text: str) -> None:
    """Type, and wait until the agent is to be told."""
    before = typing_calls(centre)
    program.write(text)
    until(lambda: typing_calls(centre) > before)


def said(agent: AgentHandle) -> list[str | None]:
    """Return what the customer wrote."""
    return [one.content for one in agent.transcript() if one.role is Role.CUSTOMER and one.type == "Text"]


def test_the_agent_sees_the_customer_type_and_stop(
    on_terminal: Start, manual: Sandbox, happened: list[Happening]
) -> None:
    """A line that is begun, taken back, written and sent; commands and empty lines are no typing."""
    program, agent = chatting(on_terminal, manual)
    program.write("Hel")
    until(lambda: agent.customer_typing)
    program.write("\x15")  # Ctrl-U: away with the line
    until(lambda: not agent.customer_typing)
    assert typings(happened) == 2
    program.write("  \r")
    for key in "/help\r":
        program.write(key)
    program.expect("//text  sends")
    assert typings(happened) == 2
    program.write("//")
    until(lambda: agent.customer_typing)
    program.write("Hello\r")
    until(lambda: said(agent) == ["/Hello"])
    assert not agent.customer_typing
    program.write("/end\r")
    assert program.wait() == 0
    assert typings(happened) == 3


def test_a_line_that_the_service_refuses_is_no_typing_any_more(on_terminal: Start, manual: Sandbox) -> None:
    """No message comes then, so the agent is told that the customer has stopped."""
    program, agent = chatting(on_terminal, manual)
    manual.faults(Fault.status(400, "sendMessage", times=1))
    program.write("Hello")
    until(lambda: agent.customer_typing)
    program.write("\r")
    program.expect("this line may not have arrived")
    until(lambda: not agent.customer_typing)
    assert said(agent) == []


@pytest.mark.slow
def test_the_agent_sees_the_customer_rest(on_terminal: Start, manual: Sandbox, happened: list[Happening]) -> None:
    """A line that stays unfinished is no typing any more after a while, and again when it goes on."""
    program, agent = chatting(on_terminal, manual)
    for text in ("Hel", "lo"):
        program.write(text)
        until(lambda: agent.customer_typing)
        until(lambda: not agent.customer_typing)
    program.write("\r")
    until(lambda: said(agent) == ["Hello"])
    assert typings(happened) == 4


@pytest.mark.parametrize(
    "fault", [Fault.status(500, "sendTyping"), Fault.latency(600, "sendTyping")], ids=["fails", "hangs"]
)
def test_a_service_that_takes_no_typing_disturbs_no_one(on_terminal: Start, manual: Sandbox, fault: Fault) -> None:
    """Calls that fail or hang are not seen at the prompt, and the chat goes on to its end."""
    program, agent = chatting(on_terminal, manual)
    manual.faults(fault)
    write(program, manual, "Hello")
    program.write("\r")
    until(lambda: said(agent) == ["Hello"])
    write(program, manual, "half a line")
    agent.end()
    program.expect("-- chat ended by the agent")
    assert program.wait() == 0
    assert "rror" not in program.seen


@pytest.mark.parametrize("as_json", [[], ["--json"]], ids=["text", "json"])
def test_a_pipe_does_not_type(cli: Run, as_json: list[str]) -> None:
    """Lines of a program come whole, so the agent is told of no typing."""
    with Sandbox(pace=0) as centre:
        assert cli("chat", "support", *as_json, at=centre, typed="one\ntwo\n").code == 0
        assert (centre.stats().requests["sendMessage"], typing_calls(centre)) == (2, 0)


def toolbar(program: Program) -> str:
    """Have the screen drawn anew, and return its last line."""
    program.seen = ""
    program.write("\f")
    until(lambda: program.look() and (AGENT_TYPES in program.seen or TOOLBAR in program.seen))
    return AGENT_TYPES if AGENT_TYPES in program.seen else TOOLBAR


ENDS = {
    "stops": lambda agent: agent.typing(False),
    "writes": lambda agent: agent.say("Hello"),
    "leaves": lambda agent: agent.leave(),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_customer_sees_the_agent_type(on_terminal: Start, manual: Sandbox, end: str) -> None:
    """The line below the prompt says so until the agent stops, writes or leaves."""
    program, agent = chatting(on_terminal, manual, answers=True)
    assert toolbar(program) == TOOLBAR
    agent.typing()
    until(lambda: toolbar(program) == AGENT_TYPES)
    ENDS[end](agent)
    until(lambda: toolbar(program) == TOOLBAR)
