"""Whole chats against the sandbox over real HTTP, the same under the blocking and the asyncio client."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest

from blocking import clients, settings
from puzzel_chat import (
    AgentJoined,
    AgentWaitTimeout,
    AllocationStage,
    AsyncPuzzelChat,
    AsyncSession,
    ConfigurationError,
    Conflict,
    ConnectionDegraded,
    ConnectionRecovered,
    ContractError,
    ConversationClosed,
    ConversationEnded,
    DeliveryUnknown,
    InvalidArgument,
    MemoryStore,
    MessageEdited,
    NotFound,
    PuzzelChat,
    PuzzelChatError,
    QueueClosed,
    QueueFull,
    Role,
    RoutingRefused,
    Session,
    SessionExpired,
    SessionNotFound,
    TextMessage,
    TransportError,
    UnknownMessage,
)
from puzzel_chat.sandbox import SEMANTICS, Entry, Fault, Sandbox, Semantics
from puzzel_chat.testing import VirtualTime
from quick import quick_only
from waiting import until

Connect = Callable[..., Any]
TOKEN_LIFE, STEP, ROUNDS = 2.0, 0.2, 20
"""Seconds that a token lives, seconds between two rounds of calls, and how many rounds."""


@pytest.fixture(params=["sync", "async", "awaited"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Make clients of one kind; also of one whose store lets others have their turn in the midst of each call."""
    yield from clients(request.param)


@pytest.fixture
def helpful() -> Iterator[Sandbox]:
    """A contact centre whose agents answer at once."""
    with Sandbox(script="helpful", pace=0) as sandbox:
        yield sandbox


def words(entries: tuple[Entry, ...]) -> list[tuple[str, int]]:
    """Give the ledger's messages (not its events) as (id, version) in order."""
    return [(entry.id, entry.version) for entry in entries if entry.type != "Event"]


def test_a_whole_chat(connect: Connect, helpful: Sandbox) -> None:
    """A chat from the queue to the agent's goodbye delivers everything once and in order, the end last."""
    chat = connect(**settings(helpful))
    stages = []
    conversation = chat.start(
        "support",
        helpful.visual_queue_id,
        customer={"name": "Ada"},
        wait=20,
        on_progress=lambda a: stages.append(a.stage),
    )
    with conversation:
        seen = []
        script = iter(["edit", "unknown", "end chat"])
        for event in conversation.events():
            seen.append(event)
            if isinstance(event, TextMessage | UnknownMessage) and event.author.is_agent:
                answer = next(script, None)
                if answer:
                    conversation.send(answer)
        assert conversation.ended
    assert stages[-1] is AllocationStage.ASSIGNED
    assert isinstance(seen[-1], ConversationEnded)
    assert seen[-1].by is Role.AGENT
    assert [type(event) for event in seen].count(ConversationEnded) == 1
    assert {AgentJoined, TextMessage, UnknownMessage, MessageEdited} <= {type(event) for event in seen}
    delivered = [(e.id, e.version) for e in seen if isinstance(e, TextMessage | UnknownMessage | MessageEdited)]
    assert delivered == words(helpful.ledger()[conversation.id])
    assert helpful.stats().left_queue == 0


def test_messages_yields_only_messages(connect: Connect, helpful: Sandbox) -> None:
    """`messages()` leaves out everything that nobody wrote."""
    conversation = connect(**settings(helpful)).start("support", wait=20)
    conversation.send("end chat")
    assert all(isinstance(message, TextMessage | UnknownMessage) for message in conversation.messages())
    assert conversation.transcript()[-1].author.is_agent


def failing_polls(semantics: str) -> list[Fault]:
    """Give faults for 5 % of the polls; replies lost after the effect are left out where they lose messages."""
    poll = "pollConversation"
    faults = [
        Fault.status(500, poll, rate=0.007),
        Fault.status(502, poll, rate=0.007),
        Fault.status(503, poll, rate=0.007, retry_after=0.1),
        Fault.status(429, poll, rate=0.007, retry_after=0.1),
        Fault.html_page(poll, rate=0.007),
        Fault.drop(poll, rate=0.007),
    ]
    if semantics != "drain":
        faults += [Fault.drop(poll, after=True, rate=0.007), Fault.truncate(poll, rate=0.007)]
    # One that is certain, so that the test never passes for want of a fault.
    return [Fault.status(500, poll, times=1, skip=5), *faults]


@pytest.mark.parametrize("semantics", quick_only(["cursor"], SEMANTICS))
def test_200_messages_through_failing_polls(connect: Connect, semantics: Semantics) -> None:
    """With 5 % of the polls failing in every way, 200 messages arrive once and in order, whatever a poll returns.

    In other clients any exception stops polling for good (navikt/chatbot).
    """
    with Sandbox(script="chatty", messages=200, interval=0.01, pace=0, semantics=semantics, seed=7) as sandbox:
        chat = connect(**settings(sandbox))
        conversation = chat.start("support", wait=20)
        sandbox.faults(*failing_polls(semantics))
        delivered, troubles = [], []
        for event in conversation.events():
            if isinstance(event, ConnectionDegraded | ConnectionRecovered):
                troubles.append(type(event))
            if isinstance(event, TextMessage | MessageEdited | UnknownMessage):
                delivered.append((event.id, event.version))
                if len(delivered) == 200:
                    conversation.end()
        assert delivered == words(sandbox.ledger()[conversation.id])
        assert len(delivered) >= 200
        assert troubles[:2] == [ConnectionDegraded, ConnectionRecovered]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_one_refresh_per_token_life(kind: str, puzzel_time: VirtualTime) -> None:
    """Ten callers share one refresh a token life, no call is refused (authlib/authlib#266, authlib/authlib#673)."""
    with Sandbox(script="manual", pace=0.02, token_life=TOKEN_LIFE, clock=puzzel_time.seconds) as sandbox:
        ten = _ten_threads(sandbox, puzzel_time) if kind == "sync" else asyncio.run(_ten_tasks(sandbox, puzzel_time))
        stats = sandbox.stats()
    assert ten == [True] * 10 * ROUNDS
    assert stats.reuse_detected == 0
    lives = ROUNDS * STEP / TOKEN_LIFE
    assert lives - 1 <= stats.refreshes <= 2 * lives + 1
    assert stats.counts.get("session-revoked", 0) == 0


def _ten_threads(sandbox: Sandbox, time: VirtualTime) -> list[bool]:
    found: list[bool] = []

    def call(session: Session) -> bool:
        return session.queue_info(sandbox.visual_queue_id).is_open is True

    with PuzzelChat(**settings(sandbox)) as chat, chat.connect() as session, ThreadPoolExecutor(10) as pool:
        for _ in range(ROUNDS):
            found += pool.map(call, [session] * 10)
            time.advance(STEP)
    return found


async def _ten_tasks(sandbox: Sandbox, time: VirtualTime) -> list[bool]:
    found: list[bool] = []

    async def call(session: AsyncSession) -> bool:
        return (await session.queue_info(sandbox.visual_queue_id)).is_open is True

    async with AsyncPuzzelChat(**settings(sandbox)) as chat, await chat.connect() as session:
        for _ in range(ROUNDS):
            found += await asyncio.gather(*(call(session) for _ in range(10)))
            time.advance(STEP)
    return found


def test_no_agent_in_time_leaves_the_queue(connect: Connect) -> None:
    """A wait that is over raises `AgentWaitTimeout`, also a `TimeoutError`, and the queue was left on the server."""
    with Sandbox(script="silent", pace=0.02) as sandbox:
        with connect(**settings(sandbox)).connect() as session:
            conversation = session.conversation()
            conversation.route("support")
            with pytest.raises(AgentWaitTimeout, match="No agent within 1 seconds") as caught:
                conversation.wait_for_agent(wait=1)
            assert isinstance(caught.value, TimeoutError)
            assert caught.value.last is not None
            assert caught.value.last.stage in (AllocationStage.QUEUED, AllocationStage.OFFERED)
            assert conversation.ended
        assert sandbox.stats().left_queue == 1


def test_start_that_fails_leaves_nothing_behind(connect: Connect) -> None:
    """`start()` without an agent in time leaves the queue and forgets the session."""
    store = MemoryStore()
    with Sandbox(script="silent", pace=0.02) as sandbox:
        with pytest.raises(AgentWaitTimeout):
            connect(**settings(sandbox), store=store).start("support", wait=0.2)
        assert sandbox.stats().left_queue == 1
    assert store._sessions == {}


def test_closing_the_client_ends_a_wait_and_leaves_the_queue(connect: Connect) -> None:
    """Who closes the client while another waits for an agent leaves nobody behind in the queue."""
    waiting = threading.Event()
    with Sandbox(script="silent", pace=0) as sandbox, ThreadPoolExecutor(1) as pool:
        chat = connect(**settings(sandbox))
        wait = pool.submit(chat.start, "support", wait=30, on_progress=lambda _: waiting.set())
        assert waiting.wait(10)
        chat.close()
        with pytest.raises(PuzzelChatError):
            wait.result(timeout=10)
        assert sandbox.stats().left_queue == 1


def test_a_wait_through_a_failing_service_says_so(connect: Connect) -> None:
    """When the time runs out because the service fails, the error does not blame the agents alone."""
    fault = Fault.status(500, "getRequestStatus")
    with (
        Sandbox(script="silent", pace=0, faults=(fault,)) as sandbox,
        connect(**settings(sandbox)).connect() as session,
    ):
        conversation = session.conversation()
        conversation.route("support")
        with pytest.raises(AgentWaitTimeout, match=r"The last status request failed: getRequestStatus: status 500"):
            conversation.wait_for_agent(wait=0.2)
        with pytest.raises(InvalidArgument, match=r"^wait: "):
            connect(**settings(sandbox)).start("support", wait=-1)


def test_progress_that_raises_leaves_the_queue(connect: Connect) -> None:
    """An exception of the caller's own callback comes out as it is, after the queue was left."""

    def progress(_: object) -> None:
        raise LookupError("ours")

    with Sandbox(script="silent", pace=0.02) as sandbox:
        with pytest.raises(LookupError, match="ours"):
            connect(**settings(sandbox)).start("support", wait=20, on_progress=progress)
        assert sandbox.stats().left_queue == 1


def test_leaving_the_block_ends_the_chat_once(connect: Connect, helpful: Sandbox) -> None:
    """Leaving the block ends the chat on the server, with one request, also when the block raised."""
    chat = connect(**settings(helpful))
    for error in (None, LookupError("ours")):
        conversation = chat.start("support", wait=20)
        with pytest.raises(LookupError) if error else nullcontext(), conversation:
            if error:
                raise error
            conversation.end()
    assert helpful.stats().requests["endConversation"] == 2
    assert helpful.stats().ended == 2


@pytest.mark.parametrize(
    ("queue", "error", "says"),
    [
        ("closed", QueueClosed, "it opens"),
        ("full", QueueFull, "Try again later"),
        ("nobody", RoutingRefused, "Offer another way"),
        ("no-such-queue", NotFound, "check the queue key"),
        ("../support", InvalidArgument, "must not hold '/'"),
        ("..", InvalidArgument, "nor be '.'"),
        ("", InvalidArgument, "1 to 256 characters"),
    ],
)
def test_a_start_that_is_refused(
    connect: Connect, helpful: Sandbox, queue: str, error: type[Exception], says: str
) -> None:
    """Each refusal has its own type and says what to do, whether the hours are asked for or not."""
    chat = connect(**settings(helpful))
    for hours in {None, helpful.queues().get(queue)}:
        with pytest.raises(error, match=f"(?i){re.escape(says)}"):
            chat.start(queue, hours, wait=5)


def test_a_closed_queue_says_when_it_opens(connect: Connect, helpful: Sandbox) -> None:
    """`QueueClosed.opens_at` is the service's own time, from the opening hours and from a refused route alike."""
    chat = connect(**settings(helpful))
    with pytest.raises(QueueClosed) as from_hours:
        chat.start("closed", helpful.queues()["closed"])
    with chat.connect() as session, pytest.raises(QueueClosed) as from_route:
        session.conversation().route("closed")
    assert from_hours.value.opens_at == from_route.value.opens_at is not None


def test_unknown_hours_do_not_stop_a_chat(connect: Connect, helpful: Sandbox) -> None:
    """A queue that does not tell its hours, or whose hours cannot be had, is simply asked."""
    chat = connect(**settings(helpful))
    chat.start("unknown-hours", helpful.queues()["unknown-hours"], wait=20).end()
    helpful.faults(Fault.status(500, "getQueueInfo"))
    chat.start("support", helpful.visual_queue_id, wait=20).end()


def test_hours_are_asked_for_only_when_their_id_is_given(connect: Connect, helpful: Sandbox) -> None:
    """`start()` without a visual queue id makes no request for opening hours; with one it makes one."""
    chat = connect(**settings(helpful))
    for hours, asked in ((None, 0), (helpful.visual_queue_id, 1), (int(helpful.visual_queue_id), 2)):
        chat.start("support", hours, wait=20).end()
        assert helpful.stats().requests.get("getQueueInfo", 0) == asked


def test_a_wrong_secret(connect: Connect) -> None:
    """A refused secret is a matter of configuration and names the setting, without the secret."""
    with Sandbox(client_secret="right", pace=0.02) as sandbox:
        chat = connect(**settings(sandbox, client_secret="wrong-as-can-be"))
        with pytest.raises(
            ConfigurationError, match=r"client_secret: the service does not accept this client .*then client_id"
        ) as caught:
            chat.connect()
        assert "wrong-as-can-be" not in repr(caught.value)
        connect(**settings(sandbox, client_secret="right")).connect()


def test_an_unreachable_host(connect: Connect, puzzel_time: VirtualTime) -> None:
    """A host that does not answer is a `TransportError` that was certainly not sent, and names host and setting."""
    with Sandbox() as gone, Sandbox() as sandbox:
        missing, good = gone.settings, sandbox.settings
        gone.close()
        one = {"base_url": missing["base_url"], "solution_id": "12345"}
        for address, host, setting in (
            (one, "identity", "base_url"),
            ({**good, "identity_url": missing["identity_url"]}, "identity", "identity_url"),
            ({**good, "base_url": missing["base_url"]}, "communication", "base_url"),
        ):
            with pytest.raises(
                TransportError, match=rf"127\.0\.0\.1:\d+ \({setting}\): .*; check that setting"
            ) as caught:
                connect(**address).connect().queue_info(sandbox.visual_queue_id)
            assert (caught.value.host, caught.value.sent, caught.value.attempts) == (host, "no", 3)


def test_plain_http_is_refused(connect: Connect) -> None:
    """Plain http to a host that is not this machine needs to be asked for."""
    with pytest.raises(ConfigurationError, match="use https://"):
        connect(base_url="http://chat.example", solution_id="12345")
    connect(base_url="http://chat.example", solution_id="12345", allow_insecure_http=True)


def test_what_cannot_be_sent(connect: Connect, helpful: Sandbox) -> None:
    """An empty message, a bad conversation id and a message after the end are told before anything is sent."""
    with connect(**settings(helpful)).connect() as session:
        with pytest.raises(InvalidArgument, match="conversation_id: must not hold '/'"):
            session.conversation("a/../b")
        conversation = session.conversation("mine")
        conversation.route("support")
        conversation.wait_for_agent(wait=20)
        with pytest.raises(InvalidArgument, match="text: is empty"):
            conversation.send("  \n")
        conversation.end()
        before = helpful.stats().total_requests
        with pytest.raises(ConversationClosed, match="Start a new one"):
            conversation.send("Hello?")
        assert helpful.stats().total_requests == before


def test_a_message_after_the_agent_ended(connect: Connect, helpful: Sandbox) -> None:
    """When the agent has ended the chat and we have not polled it yet, the send says that the chat is over."""
    conversation = connect(**settings(helpful)).start("support", wait=20)
    helpful.agent(conversation.id).end()
    with pytest.raises(ConversationClosed):
        conversation.send("Hello?")


def test_a_sign_in_page_is_no_end(connect: Connect, helpful: Sandbox) -> None:
    """A proxy's page with 200 does not count as the service's word that the chat has ended."""
    conversation = connect(**settings(helpful)).start("support", wait=20)
    helpful.faults(Fault.html_page("endConversation", times=1), Fault.html_page("sendTyping", times=1))
    for call in (conversation.end, conversation.typing):
        with pytest.raises(ContractError, match="web page"):
            call()
    assert not conversation.ended
    conversation.end()
    assert helpful.stats().ended == 1


@pytest.mark.parametrize(
    "fault",
    [
        Fault.drop("sendMessage", after=True, times=1),
        Fault.truncate("sendMessage", times=1),
        Fault.html_page("sendMessage", after=True, times=1),
        Fault.status(500, "sendMessage", after=True, times=1),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_send_without_an_answer_is_found_again(connect: Connect, helpful: Sandbox, fault: Fault) -> None:
    """A message whose reply was lost is found in the polls and never sent twice."""
    conversation = connect(**settings(helpful)).start("support", wait=20)
    helpful.faults(fault)
    message = conversation.send("Only once <b>please</b> & thank you")
    assert message.text == "Only once <b>please</b> & thank you"
    mine = [entry for entry in helpful.ledger()[conversation.id] if entry.role == 0]
    assert [entry.id for entry in mine] == [message.id]


def test_a_send_that_never_arrived(connect: Connect, helpful: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message that the polls do not bring back raises `DeliveryUnknown` with the text beside, not in, the error.

    What it guards against is a disconnect after a POST taken for not sent (httpx-aiohttp).
    """
    monkeypatch.setattr("puzzel_chat._conversation.RECONCILE_WITHIN", 0.3)
    conversation = connect(**settings(helpful)).start("support", wait=20)
    helpful.faults(Fault.drop("sendMessage", times=1))
    with pytest.raises(DeliveryUnknown) as caught:
        conversation.send("My secret wish")
    assert caught.value.text == "My secret wish"
    assert "secret wish" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize(
    "fault",
    [Fault.drop("routeConversation", after=after, times=1) for after in (False, True)]
    + [Fault.truncate("routeConversation", times=1), Fault.status(503, "routeConversation", times=1)],
    ids=["dropped before", "dropped after", "truncated", "503"],
)
def test_a_route_without_an_answer_happens_once(connect: Connect, helpful: Sandbox, fault: Fault) -> None:
    """A request for an agent whose reply was lost is asked about, and made once."""
    helpful.faults(fault)
    connect(**settings(helpful)).start("support", wait=20)
    assert helpful.stats().routed == 1


def test_a_token_revoked_early_is_refreshed_once(connect: Connect, helpful: Sandbox) -> None:
    """A 401 leads to one refresh and one replay, unseen by the caller."""
    with connect(**settings(helpful)).connect() as session:
        helpful.faults(Fault.revoked("getQueueInfo", times=1))
        assert session.queue_info(helpful.visual_queue_id).is_open
    assert helpful.stats().refreshes == 1


def test_a_session_that_the_service_forgot(connect: Connect, helpful: Sandbox) -> None:
    """When the service forgot the session, all fails with `SessionExpired`, and the dead token is not sent again."""
    chat = connect(**settings(helpful))
    conversation = chat.start("support", wait=20)
    helpful.restart(forget=True)
    with pytest.raises(SessionExpired, match="connect"):
        list(conversation.events())
    asked = helpful.stats().requests["connectToken"]
    assert helpful.stats().tokens_issued <= 1
    with pytest.raises(SessionExpired):
        chat.resume(conversation.session.id, shared=True).queue_info(helpful.visual_queue_id)
    assert helpful.stats().requests["connectToken"] == asked, "a refused refresh token was sent again"


def test_breaking_out_and_going_on(connect: Connect, helpful: Sandbox) -> None:
    """Leaving the loop and taking it up again loses nothing and repeats nothing."""
    conversation = connect(**settings(helpful)).start("support", wait=20)
    seen = [next(iter(conversation.messages())).id]
    conversation.send("end chat")
    seen += [message.id for message in conversation.messages()]
    assert len(seen) == len(set(seen))
    assert seen == [entry.id for entry in helpful.ledger()[conversation.id] if entry.type == "Text"]
    assert list(conversation.events()) == []


def test_two_conversations_share_one_poller(connect: Connect, helpful: Sandbox) -> None:
    """Each conversation of a session gets its own messages, though one poll brings both."""
    with connect(**settings(helpful)).connect() as session:
        both = [session.conversation(name) for name in ("first", "second")]
        for conversation in both:
            conversation.route("support")
            conversation.wait_for_agent(wait=20)
        for conversation in both:
            conversation.send("end chat")
        for conversation in both:
            events = list(conversation.events())
            assert {event.conversation_id for event in events} == {conversation.id}
            assert isinstance(events[-1], ConversationEnded)


def test_resume_in_the_same_process(connect: Connect, helpful: Sandbox) -> None:
    """A session is taken up again by its id; an unknown id says so."""
    chat = connect(**settings(helpful))
    conversation = chat.start("support", wait=20)
    conversation.session.close()
    session = chat.resume(conversation.session.id)
    assert [again.id for again in session.conversations] == [conversation.id]
    session.conversations[0].send("end chat")
    assert isinstance(list(session.conversations[0].events())[-1], ConversationEnded)
    with pytest.raises(SessionNotFound, match="no session 'nothing'"):
        chat.resume("nothing")


def test_an_ended_chat_leaves_no_session_in_the_store(connect: Connect, helpful: Sandbox) -> None:
    """A chat that was started and ended without a block leaves no token behind once nobody holds it."""
    store = MemoryStore()
    chat = connect(**settings(helpful), store=store)
    chat.start("support", wait=20).end()

    def forgotten() -> bool:
        gc.collect()
        return store._sessions == {}

    until(forgotten)  # the event loop, in a thread of its own, lets go of it and awaits the store


def test_an_id_of_another_session_is_a_conflict(connect: Connect, helpful: Sandbox) -> None:
    """A conversation id that another session has taken cannot be routed, and the error says which rule it met."""
    chat = connect(**settings(helpful))
    for session in (chat.connect(), chat.connect()):
        conversation = session.conversation("same")
        if not helpful.ledger():
            conversation.route("support")
    with pytest.raises(Conflict, match="AlreadyRouted"):
        conversation.route("support")


def test_poll_gives_what_is_new(connect: Connect, helpful: Sandbox) -> None:
    """`Session.poll()` gives each event once, of all conversations."""
    with connect(**settings(helpful)).connect() as session:
        conversation = session.conversation()
        conversation.route("support")
        conversation.wait_for_agent(wait=20)
        conversation.typing()
        conversation.send("end chat")
        seen: list[Any] = []
        while not (seen and isinstance(seen[-1], ConversationEnded)):
            seen += session.poll()
    assert len({(type(event), event.id) for event in seen}) == len(seen)


def test_options_change_without_new_connections(connect: Connect, helpful: Sandbox) -> None:
    """`with_options` shares the connections; a misspelt option is named."""
    chat = connect(**settings(helpful))
    with chat.with_options(poll_interval=0.5).connect() as session:
        hours = session.queue_info(helpful.visual_queue_id).time_id
        assert session.time_info(hours).is_open
    with pytest.raises(ConfigurationError, match="pol_interval"):
        chat.with_options(pol_interval=1)
