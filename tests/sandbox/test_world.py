"""The simulated contact centre on an injected clock: no server, no sleep."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from puzzel_chat.sandbox._floor import Agenda, FloorSettings
from puzzel_chat.sandbox._queues import TRANSITIONS, Allocation, Status, next_morning
from puzzel_chat.sandbox._scripts import SCRIPTS, Scene, Step
from puzzel_chat.sandbox._sessions import Session, TokenSettings
from puzzel_chat.sandbox._values import Entry, Happening, Order, Refusal, Role, Semantics, TokenRefusal
from puzzel_chat.sandbox._world import World, WorldSettings

START = 1_790_000_000.0
CLIENT = {"grant_type": "visitor", "client_id": "oneplatform_engage", "tenant_id": "12345"}


class Bench:
    """A world, a clock that moves when told to, and one customer's session."""

    def __init__(
        self,
        script: str = "helpful",
        *,
        semantics: Semantics = "cursor",
        tokens: TokenSettings | None = None,
        floor: FloorSettings | None = None,
        agents: int = 4,
        chats_per_agent: int | None = None,
        capacity: int = 100,
        seed: int = 0,
    ) -> None:
        """Open one session at START; the pace is one second."""
        settings = WorldSettings(
            tokens or TokenSettings("12345"),
            floor or FloorSettings(pace=1.0),
            script,
            semantics,
            agents,
            chats_per_agent,
            capacity,
        )
        self.seen: list[Happening] = []
        self.world = World(settings, Random(seed), self.seen.append)
        self.now = START
        self.token = self.connect()
        self.session = self.authorise()

    def connect(self, **form: str) -> dict[str, object]:
        """Ask for a token."""
        return self.world.connect({**CLIENT, **form}, self.now)

    def refresh(self, token: object) -> dict[str, object]:
        """Spend a refresh token."""
        return self.connect(grant_type="refresh_token", refresh_token=str(token))

    def authorise(self, reply: dict[str, object] | None = None) -> Session:
        """Use an access token."""
        return self.world.authorise(str((reply or self.token)["access_token"]), self.now)

    def route(self, key: str = "chat", queue: str = "support", session: Session | None = None) -> dict[str, object]:
        """Ask for an agent."""
        return self.world.route(session or self.session, key, Order(queue), self.now)

    def status(self, key: str = "chat") -> dict[str, object]:
        """Ask how the search goes."""
        return self.world.request_status(self.session, key, self.now)

    def say(self, text: str, key: str = "chat", client_id: str | None = None) -> dict[str, object]:
        """Write to the agent."""
        return self.world.send(self.session, key, text, client_id, self.now)

    def poll(self, after: str | None = None) -> tuple[list[dict[str, object]], object]:
        """Poll; return the messages and the cursor."""
        reply = self.world.poll(self.session, after, self.now)
        assert reply is not None
        messages = reply["messages"]
        assert isinstance(messages, list)
        return messages, reply["cursor"]

    def wait(self, seconds: float) -> None:
        """Let the clock go on; nothing is told."""
        self.now += seconds

    def entries(self, key: str = "chat") -> tuple[Entry, ...]:
        """Return the ledger of one conversation."""
        return self.world.entries(self.now)[key]

    def texts(self, key: str = "chat", role: Role = Role.AGENT) -> list[str | None]:
        """Return what was said by one side."""
        return [entry.content for entry in self.entries(key) if entry.role is role and entry.type == "Text"]

    def kinds(self) -> list[str]:
        """Return the kinds of what happened in conversations, messages left out."""
        self.world.advance(self.now)
        ignored = ("message", "session-opened", "edited")
        return [happening.kind for happening in self.seen if happening.kind not in ignored]


def refused(error: pytest.ExceptionInfo[Refusal]) -> tuple[int, str]:
    """Return the status and code of a refusal."""
    return error.value.status, error.value.code


def test_position_goes_down_as_those_before_are_served() -> None:
    """A caller behind three others moves up one place per pace, then is offered and gets an agent."""
    bench = Bench(floor=FloorSettings(pace=1.0, ahead=3))
    assert bench.route()["status"] == "Queued"
    seen: list[object] = []
    for _ in range(12):
        status = bench.status()
        seen.append(status["queuePosition"] or status["status"])
        bench.wait(0.5)
    assert [value for i, value in enumerate(seen) if not i or seen[i - 1] != value] == [
        4, 3, 2, 1, "Offered", "Assigned",
    ]  # fmt: skip


def test_estimated_wait_shrinks_with_the_position() -> None:
    """The estimated wait is the position times the pace."""
    bench = Bench(floor=FloorSettings(pace=10.0, ahead=2))
    bench.route()
    assert bench.status()["estimatedWaitSeconds"] == 30
    bench.wait(10)
    assert bench.status()["estimatedWaitSeconds"] == 20


def test_everything_happens_at_its_own_time_however_late_one_looks() -> None:
    """A world looked at once after an hour is the world that was looked at every second."""
    often, once = Bench("demo"), Bench("demo")
    for bench in (often, once):
        bench.route()
    for _ in range(3600):
        often.wait(1)
        often.status()
    once.wait(3600)
    assert often.entries() == once.entries()
    assert often.seen == once.seen


def test_same_seed_same_world() -> None:
    """Tokens and happenings depend on the seed and the clock alone."""
    first, again, other = Bench(), Bench(), Bench(seed=1)
    assert first.token == again.token != other.token


def test_decline_is_shown_then_offered_to_another() -> None:
    """A declined offer is Declined, then Queued at the head, then offered to the next agent."""
    bench = Bench("decline")
    bench.route()
    seen: list[object] = []
    for _ in range(14):
        bench.wait(0.5)
        seen.append(bench.status()["status"])
    assert [value for i, value in enumerate(seen) if not i or seen[i - 1] != value] == [
        "Queued", "Offered", "Declined", "Queued", "Offered", "Assigned",
    ]  # fmt: skip
    agents = [happening.agent for happening in bench.seen if happening.kind in ("declined", "joined")]
    assert agents == ["Kari", "Ada"]


def test_agents_who_fall_silent_look_at_nothing_any_more() -> None:
    """A script that is changed to one without answers makes no offer, also not the one that was planned."""
    bench = Bench("helpful")
    bench.route()
    bench.world.floor.script = SCRIPTS["silent"]
    bench.wait(60)
    assert bench.status()["status"] == "Queued"


def test_unanswered_offer_lapses_to_the_next_agent() -> None:
    """An offer that nobody answers within the timeout goes to somebody else."""
    bench = Bench("no-answer", floor=FloorSettings(pace=1.0, offer_timeout=20.0))
    bench.route()
    bench.wait(1.0)
    assert bench.status()["status"] == "Offered"
    bench.wait(19.9)
    assert bench.status()["status"] == "Offered"
    bench.wait(10)
    assert bench.status()["agent"] == {"id": "support-ada", "displayName": "Ada"}
    assert bench.kinds() == ["routed", "offered", "unanswered", "queued", "offered", "joined"]


def test_refused_after_every_agent_declined_and_may_route_again() -> None:
    """When all staff have declined, the request is Refused with a reason, sending is refused, routing is not."""
    bench = Bench("refuse", agents=2)
    first = bench.route()["requestId"]
    bench.wait(60)
    assert (bench.status()["status"], bench.status()["reason"]) == ("Refused", "NoAgents")
    with pytest.raises(Refusal) as error:
        bench.say("hello")
    assert refused(error) == (409, "NotRouted")
    assert bench.route()["requestId"] != first
    assert bench.status()["status"] == "Queued"


def test_silent_stays_queued() -> None:
    """With a silent script nobody is ever offered the chat."""
    bench = Bench("silent")
    bench.route()
    bench.wait(86_400)
    assert (bench.status()["status"], bench.status()["queuePosition"]) == ("Queued", 1)


def test_silent_queue_beside_a_helpful_one() -> None:
    """The queue "silent" never answers while "support" does."""
    bench = Bench()
    bench.route("quiet", "silent")
    bench.route("loud", "support")
    bench.wait(60)
    assert (bench.status("quiet")["status"], bench.status("loud")["status"]) == ("Queued", "Assigned")


def test_expires_after_the_longest_wait() -> None:
    """With a longest wait the request expires, and a request that found an agent does not."""
    bench = Bench("silent", floor=FloorSettings(pace=1.0, max_wait=30.0))
    bench.route()
    bench.wait(30)
    assert (bench.status()["status"], bench.status()["reason"]) == ("Expired", "WaitedTooLong")
    served = Bench(floor=FloorSettings(pace=1.0, max_wait=30.0))
    served.route()
    served.wait(60)
    assert served.status()["status"] == "Assigned"


def test_a_new_request_is_not_expired_by_the_old_ones_time() -> None:
    """Routing again after an expiry gets its own full waiting time."""
    bench = Bench("silent", floor=FloorSettings(pace=1.0, max_wait=30.0))
    bench.route()
    bench.wait(31)
    bench.status()
    bench.route()
    bench.wait(29)
    assert bench.status()["status"] == "Queued"
    bench.wait(2)
    assert bench.status()["status"] == "Expired"


@pytest.mark.parametrize(("script", "wait", "before"), [
    ("silent", 5.0, "Queued"), ("manual", 5.0, "Offered"), ("decline", 2.5, "Declined"),
])  # fmt: skip
def test_leaving_while_the_search_is_on_cancels(script: str, wait: float, before: str) -> None:
    """Ending a chat that has no agent yet cancels its request and counts as having left the queue."""
    bench = Bench(script)
    bench.route()
    bench.wait(wait)
    assert bench.status()["status"] == before
    bench.world.end(bench.session, "chat", bench.now)
    bench.wait(600)
    assert (bench.status()["status"], bench.world.stats(bench.now).left_queue) == ("Cancelled", 1)
    assert bench.world.queues["support"].size == 0


def test_those_behind_move_up_when_one_leaves() -> None:
    """A customer who leaves the queue makes room for those behind."""
    bench = Bench("silent")
    for key in ("a", "b", "c"):
        bench.route(key)
    bench.world.end(bench.session, "a", bench.now)
    assert [bench.status(key)["queuePosition"] for key in ("b", "c")] == [1, 2]


def test_queue_is_full_at_its_capacity() -> None:
    """The hundredth waiting request is taken, the next is refused, and one who leaves makes room."""
    bench = Bench("silent")
    for number in range(100):
        bench.route(f"chat-{number}")
    with pytest.raises(Refusal) as error:
        bench.route("one-too-many")
    assert refused(error) == (422, "QueueFull")
    bench.world.end(bench.session, "chat-7", bench.now)
    assert bench.route("one-too-many")["status"] == "Queued"


@pytest.mark.parametrize(("queue", "expected"), [
    ("closed", (422, "QueueClosed")), ("full", (422, "QueueFull")), ("nobody", (422, "NoAgents")),
    ("nowhere", (404, "QueueNotFound")),
])  # fmt: skip
def test_queues_that_refuse(queue: str, expected: tuple[int, str]) -> None:
    """Each default queue refuses in its own way, and a refused id is not taken."""
    bench = Bench()
    with pytest.raises(Refusal) as error:
        bench.route("chat", queue)
    assert refused(error) == expected
    assert bench.route("chat", "support")["status"] == "Queued"


def test_closed_says_when_it_opens_and_then_opens() -> None:
    """A closed queue names its opening time in the refusal, and takes requests from then on."""
    bench = Bench()
    bench.world.open_queue("support", False, opens_at=START + 60)
    with pytest.raises(Refusal) as error:
        bench.route()
    assert error.value.extra["opensAt"] == bench.world.queue_info("27501", bench.now)["opensAt"] is not None
    bench.wait(60)
    assert bench.world.queue_info("27501", bench.now)["isOpen"] is True
    assert bench.route()["status"] == "Queued"


def test_hours_are_three_valued() -> None:
    """Unknown hours are null everywhere and do not refuse a customer."""
    bench = Bench()
    info = bench.world.queue_info("27505", bench.now)
    hours = bench.world.time_info(str(info["timeId"]), bench.now)
    assert (info["isOpen"], hours["isOpen"], hours["exitName"]) == (None, None, None)
    assert bench.route("chat", "unknown-hours")["status"] == "Queued"


def test_closing_time_does_not_cut_a_running_chat() -> None:
    """A queue that closes refuses new requests and leaves chats under way alone."""
    bench = Bench()
    bench.world.open_queue("support", True, closes_at=START + 30)
    bench.route()
    bench.wait(60)
    assert bench.status()["status"] == "Assigned"
    bench.say("still there?")
    with pytest.raises(Refusal) as error:
        bench.route("late")
    assert refused(error) == (422, "QueueClosed")


def test_next_morning_is_ahead() -> None:
    """The default opening time of the closed queue is 08:00 UTC, always to come."""
    for hour in range(48):
        now = START + hour * 3600
        assert now < next_morning(now) <= now + 86_400
        assert next_morning(now) % 86_400 == 8 * 3600


def test_one_offer_at_a_time_per_agent_and_several_chats() -> None:
    """One agent is offered one chat at a time and still ends up with several."""
    bench = Bench(agents=1)
    for key in ("a", "b", "c"):
        bench.route(key)
    bench.wait(1)
    assert [bench.status(key)["status"] for key in ("a", "b", "c")] == ["Offered", "Queued", "Queued"]
    bench.wait(60)
    assert {str(bench.status(key)["agent"]) for key in ("a", "b", "c")} == {str(bench.status("a")["agent"])}


def test_a_full_agent_gets_no_offer_until_a_chat_ends() -> None:
    """An agent at the limit of chats is offered another one only after one has ended."""
    bench = Bench(agents=1, chats_per_agent=1)
    bench.route("a")
    bench.route("b")
    bench.wait(60)
    assert bench.status("b")["status"] == "Queued"
    bench.world.end(bench.session, "a", bench.now)
    bench.wait(60)
    assert bench.status("b")["status"] == "Assigned"


def test_transfer_goes_back_through_the_queue_to_another_agent() -> None:
    """Asking for "someone else" makes the agent leave, the request queue again, and a different agent join."""
    bench = Bench()
    bench.route()
    bench.wait(10)
    bench.say("Someone else")
    bench.wait(10)
    assert bench.status()["agent"] == {"id": "support-ada", "displayName": "Ada"}
    events = [entry.content for entry in bench.entries() if entry.type == "Event"]
    assert events == ["AgentJoined", "AgentLeft", "AgentJoined"]
    assert bench.kinds() == ["routed", "offered", "joined", "left", "queued", "offered", "joined"]


def test_the_one_who_left_sends_nothing_more() -> None:
    """What an agent had planned is dropped when the chat changes hands."""
    bench = Bench()
    bench.route()
    bench.wait(10)
    for text in ("leave", "edit", "options"):
        bench.say(text)
    bench.wait(1)
    assert bench.status()["status"] == "Queued"
    assert all(entry.type != "Options" for entry in bench.entries())


def test_leaves_then_another_comes() -> None:
    """Under "leaves" the first agent goes mid-chat and a second greets."""
    bench = Bench("leaves")
    bench.route()
    bench.wait(30)
    assert bench.texts() == ["Hello, this is Kari. How can I help?", "Hello, this is Ada. How can I help?"]


@pytest.mark.parametrize(("word", "expected"), [
    ("help", ["Text"]), ("options", ["Options"]), ("file", ["File"]), ("unknown", ["Carousel"]),
    ("typing", ["Event", "Text"]), ("edit", ["Text", "Text"]), ("silence", []), ("anything", ["Text"]),
])  # fmt: skip
def test_helpful_keywords(word: str, expected: list[str]) -> None:
    """Each keyword of the helpful agent brings its kind of message."""
    bench = Bench()
    bench.route()
    bench.wait(10)
    before = len(bench.entries())
    bench.say(word)
    bench.wait(10)
    assert [entry.type for entry in bench.entries()[before + 1 :]] == expected


def test_silence_lasts_until_another_agent_comes() -> None:
    """An agent who fell silent answers nothing more."""
    bench = Bench()
    bench.route()
    bench.wait(10)
    bench.say("silence")
    bench.wait(10)
    before = len(bench.texts())
    bench.say("help")
    bench.wait(10)
    assert len(bench.texts()) == before


def test_agent_ends_the_chat_once() -> None:
    """Saying "end chat" ends it by the agent, exactly once, and then nothing can be sent."""
    bench = Bench()
    bench.route()
    bench.wait(10)
    bench.say("end chat")
    bench.wait(100)
    last = bench.entries()[-1]
    assert (last.content, last.wire["endedBy"]) == ("ConversationEnded", 1)
    for action in (lambda: bench.say("hello"), lambda: bench.world.end(bench.session, "chat", bench.now), bench.route):
        with pytest.raises(Refusal) as error:
            action()
        assert refused(error) == (410, "ConversationEnded")
    assert bench.world.stats(bench.now).ended == 1


def test_demo_runs_its_story() -> None:
    """The demo declines, joins as Ada, edits, sends an unknown type, and ends after the third message."""
    bench = Bench("demo")
    bench.route()
    bench.wait(20)
    for text in ("one", "two", "three"):
        bench.say(text)
        bench.wait(20)
    types = [entry.type for entry in bench.entries() if entry.role is Role.AGENT]
    assert types == ["Text", "Text", "Text", "Carousel", "Text", "Text"]
    assert [entry.version for entry in bench.entries() if "see your order" in (entry.content or "")] == [1, 2]
    assert bench.kinds() == ["routed", "offered", "declined", "queued", "offered", "joined", "ended"]


def test_chatty_sends_its_number_at_its_interval() -> None:
    """The chatty script sends exactly as many messages as asked, evenly spaced."""
    bench = Bench("chatty", floor=FloorSettings(pace=0.0, messages=5, interval=2.0))
    bench.route()
    bench.wait(100)
    times = [entry.sent_at.timestamp() for entry in bench.entries() if entry.type == "Text"]
    assert [later - earlier for earlier, later in pairwise(times)] == [2.0] * 4


def test_edit_is_the_same_id_with_a_higher_version() -> None:
    """An edit keeps id and sentAt, raises the version, and is its own line of the ledger."""
    bench = Bench("manual")
    bench.route()
    bench.wait(2)
    chat = bench.world.conversation("chat")
    bench.world.floor.accept(chat, bench.now)
    first = bench.world.ledger.say(chat, "Munday", bench.now)
    bench.wait(5)
    second = bench.world.ledger.edit(chat, first.id, "Monday", bench.now)
    assert (second.id, second.version, second.wire["sentAt"]) == (first.id, 2, first.wire["sentAt"])
    assert bench.entries()[-2:] == (first, second)
    with pytest.raises(LookupError):
        bench.world.ledger.edit(chat, "message-none", "x", bench.now)


def edited(semantics: Semantics) -> Bench:
    """Return a world in which a message was said, another followed, and the first was edited."""
    bench = Bench("manual", semantics=semantics)
    bench.route()
    bench.wait(2)
    chat = bench.world.conversation("chat")
    bench.world.floor.accept(chat, bench.now)
    first = bench.world.ledger.say(chat, "one", bench.now)
    bench.world.ledger.say(chat, "two", bench.now)
    bench.world.ledger.edit(chat, first.id, "ONE", bench.now)
    return bench


def contents(messages: list[dict[str, object]]) -> list[object]:
    """Return the texts of a poll."""
    return [message["content"] for message in messages if message["type"] == "Text"]


def test_history_gives_everything_with_edits_in_their_old_place() -> None:
    """Under "history" each poll returns all, each message once, as it now reads, and no cursor."""
    bench = edited("history")
    for _ in range(2):
        messages, cursor = bench.poll()
        assert (contents(messages), cursor) == (["ONE", "two"], None)


def test_cursor_gives_what_came_after_it() -> None:
    """Under "cursor" an edit is a new event, a repeated cursor repeats, and the last cursor gives nothing."""
    bench = edited("cursor")
    messages, cursor = bench.poll()
    assert contents(messages) == ["one", "two", "ONE"]
    assert bench.poll(str(cursor)) == ([], cursor)
    bench.say("three")
    for _ in range(2):
        assert contents(bench.poll(str(cursor))[0]) == ["three"]


@pytest.mark.parametrize("cursor", [
    "", "0", "-1", "+1", "1.0", " 1", "99999", "9999999999999", "nonsense", "١", "c1", "None",
])  # fmt: skip
def test_a_cursor_that_means_nothing_gets_everything(cursor: str) -> None:
    """An unknown cursor never hides a message."""
    bench = edited("cursor")
    assert bench.poll(cursor)[0] == bench.poll()[0]


def test_the_number_of_an_edit_is_its_own() -> None:
    """An edit's `eventId` is its own place in the log, and the original keeps the number it had."""
    entries = edited("cursor").entries()
    assert [entry.wire["eventId"] for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[-1].id in {entry.id for entry in entries[:-1]}


def test_drain_gives_each_entry_once() -> None:
    """Under "drain" a poll takes what it returns, edits included."""
    bench = edited("drain")
    assert contents(bench.poll()[0]) == ["one", "two", "ONE"]
    assert bench.poll()[0] == []
    bench.say("three")
    assert contents(bench.poll()[0]) == ["three"]


def test_poll_holds_all_conversations_of_the_session_and_no_others() -> None:
    """The token says whose messages a poll returns."""
    bench = Bench("manual")
    other = bench.authorise(bench.connect())
    bench.route("mine-1")
    bench.route("mine-2")
    bench.route("theirs", session=other)
    bench.say("a", "mine-1")
    bench.say("b", "mine-2")
    bench.world.send(other, "theirs", "c", None, bench.now)
    assert contents(bench.poll()[0]) == ["a", "b"]


def test_a_message_comes_back_with_its_client_id() -> None:
    """What the customer sends returns through the poll as the customer's, with id and client id as in the reply."""
    bench = Bench("manual")
    bench.route()
    reply = bench.say("Where is it?", client_id="mine-1")
    (message,) = bench.poll()[0]
    assert (message["id"], message["sentAt"]) == (reply["id"], reply["sentAt"])
    assert (message["clientMessageId"], message["content"]) == ("mine-1", "Where is it?")
    assert message["author"] == {"role": 0, "id": None, "displayName": None}


def test_a_conversation_belongs_to_its_session() -> None:
    """Another session's conversation is not found, and its id is taken."""
    bench = Bench("manual")
    bench.route()
    other = bench.authorise(bench.connect())
    actions = (
        (lambda: bench.world.request_status(other, "chat", bench.now), (404, "RequestNotFound")),
        (lambda: bench.world.send(other, "chat", "x", None, bench.now), (404, "ConversationNotFound")),
        (lambda: bench.world.typing(other, "chat", True, bench.now), (404, "ConversationNotFound")),
        (lambda: bench.world.end(other, "chat", bench.now), (404, "ConversationNotFound")),
        (lambda: bench.route(session=other), (409, "AlreadyRouted")),
    )
    for action, expected in actions:
        with pytest.raises(Refusal) as error:
            action()
        assert refused(error) == expected


def test_never_routed() -> None:
    """Actions on an id that was never routed are refused as the contract says."""
    bench = Bench()
    for action, expected in (
        (lambda: bench.say("x"), (409, "NotRouted")),
        (lambda: bench.world.typing(bench.session, "chat", True, bench.now), (404, "ConversationNotFound")),
        (lambda: bench.world.end(bench.session, "chat", bench.now), (404, "ConversationNotFound")),
        (bench.status, (404, "RequestNotFound")),
    ):
        with pytest.raises(Refusal) as error:
            action()
        assert refused(error) == expected


def test_routed_twice_is_a_conflict() -> None:
    """The second route of a live conversation is AlreadyRouted and changes nothing."""
    bench = Bench("silent")
    bench.route()
    before = bench.status()
    with pytest.raises(Refusal) as error:
        bench.route()
    assert refused(error) == (409, "AlreadyRouted")
    assert bench.status() == before


def test_status_by_request_id() -> None:
    """The request id of the route reply works in place of the conversation id."""
    bench = Bench()
    reply = bench.route()
    assert bench.status(str(reply["requestId"])) == bench.status("chat")


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_empty_messages_are_refused(text: str) -> None:
    """A message of nothing but space is EmptyMessage and is not stored."""
    bench = Bench("manual")
    bench.route()
    with pytest.raises(Refusal) as error:
        bench.say(text)
    assert refused(error) == (400, "EmptyMessage")
    assert bench.entries() == ()


def test_access_token_dies_at_its_ttl() -> None:
    """An access token works up to its expiry and not at it."""
    bench = Bench(tokens=TokenSettings("12345", life=100.0))
    bench.wait(99.9)
    bench.authorise()
    bench.wait(0.1)
    with pytest.raises(Refusal) as error:
        bench.authorise()
    assert refused(error) == (401, "InvalidToken")


def test_old_access_token_lives_on_after_a_refresh() -> None:
    """A refresh gives the same session a new token and leaves the old one to its own expiry."""
    bench = Bench(tokens=TokenSettings("12345", life=100.0))
    bench.wait(60)
    renewed = bench.refresh(bench.token["refresh_token"])
    assert bench.authorise(renewed) is bench.authorise() is bench.session
    assert renewed["visitor_id"] == bench.token["visitor_id"] == bench.session.visitor_id
    assert renewed["refresh_token"] not in (None, bench.token["refresh_token"])
    bench.wait(50)
    assert bench.authorise(renewed) is bench.session
    with pytest.raises(Refusal):
        bench.authorise()


def test_reuse_of_a_spent_refresh_token_revokes_the_session() -> None:
    """Any use of a rotated refresh token is counted and kills every token of the session."""
    bench = Bench()
    second = bench.refresh(bench.token["refresh_token"])
    third = bench.refresh(second["refresh_token"])
    with pytest.raises(TokenRefusal) as error:
        bench.refresh(bench.token["refresh_token"])
    assert (error.value.status, error.value.error) == (400, "invalid_grant")
    for reply in (bench.token, second, third):
        with pytest.raises(Refusal):
            bench.authorise(reply)
    with pytest.raises(TokenRefusal):
        bench.refresh(third["refresh_token"])
    stats = bench.world.stats(bench.now)
    assert (stats.reuse_detected, stats.refreshes, stats.tokens_issued) == (1, 2, 3)


def test_grace_gives_the_same_reply_again() -> None:
    """Within the grace the immediately previous token gets its reply again; later, or once overtaken, it revokes."""
    bench = Bench(tokens=TokenSettings("12345", reuse_grace=10.0))
    spent = bench.token["refresh_token"]
    reply = bench.refresh(spent)
    bench.wait(9)
    assert bench.refresh(spent) == reply
    bench.refresh(reply["refresh_token"])
    with pytest.raises(TokenRefusal):
        bench.refresh(spent)
    assert bench.world.stats(bench.now).reuse_detected == 1


def test_grace_ends() -> None:
    """After the grace a spent token revokes as ever."""
    bench = Bench(tokens=TokenSettings("12345", reuse_grace=10.0))
    bench.refresh(bench.token["refresh_token"])
    bench.wait(10)
    with pytest.raises(TokenRefusal):
        bench.refresh(bench.token["refresh_token"])
    with pytest.raises(Refusal):
        bench.authorise()


def test_without_rotation_the_old_refresh_token_stays() -> None:
    """With rotation off the reply has no refresh token and the old one works again and again."""
    bench = Bench(tokens=TokenSettings("12345", rotation=False))
    for _ in range(3):
        reply = bench.refresh(bench.token["refresh_token"])
        assert reply["refresh_token"] is None
        assert bench.authorise(reply) is bench.session
    assert bench.world.stats(bench.now).reuse_detected == 0


def test_refresh_token_may_die() -> None:
    """With a refresh life the token is invalid_grant afterwards."""
    bench = Bench(tokens=TokenSettings("12345", refresh_life=50.0))
    bench.wait(50)
    with pytest.raises(TokenRefusal) as error:
        bench.refresh(bench.token["refresh_token"])
    assert error.value.error == "invalid_grant"


@pytest.mark.parametrize(("form", "expected"), [
    ({"client_secret": "wrong"}, (401, "invalid_client")),
    ({}, (401, "invalid_client")),
    ({"client_secret": "right", "client_id": "other"}, (401, "invalid_client")),
    ({"client_secret": "right", "grant_type": "password"}, (400, "unsupported_grant_type")),
    ({"client_secret": "right", "grant_type": "client_credentials"}, (400, "unsupported_grant_type")),
    ({"client_secret": "right", "tenant_id": "q_support"}, (400, "invalid_grant")),
    ({"client_secret": "right", "tenant_id": ""}, (400, "invalid_grant")),
    ({"client_secret": "right", "user_info_id": "x"}, (400, "invalid_grant")),
    ({"client_secret": "right", "grant_type": ""}, (400, "invalid_request")),
    ({"client_secret": "right", "grant_type": "refresh_token"}, (400, "invalid_request")),
    ({"client_secret": "right", "grant_type": "refresh_token", "refresh_token": "x"}, (400, "invalid_grant")),
    ({"client_secret": "wrong", "grant_type": "refresh_token", "refresh_token": "x"}, (401, "invalid_client")),
])  # fmt: skip
def test_token_refusals(form: dict[str, str], expected: tuple[int, str]) -> None:
    """The token endpoint refuses with the OAuth error that fits."""
    settings = WorldSettings(TokenSettings("12345", client_secret="right"))
    with pytest.raises(TokenRefusal) as error:
        World(settings, Random(0)).connect({**CLIENT, **form}, START)
    assert (error.value.status, error.value.error) == expected


def test_forgetting_drops_sessions_and_keeps_the_ledger() -> None:
    """After a restart without memory no token works, and what was said can still be read."""
    bench = Bench()
    bench.route()
    bench.wait(10)
    bench.world.forget()
    with pytest.raises(Refusal):
        bench.authorise()
    with pytest.raises(TokenRefusal) as error:
        bench.refresh(bench.token["refresh_token"])
    assert error.value.error == "invalid_grant"
    assert bench.texts() == ["Hello, this is Kari. How can I help?"]


def test_allocation_moves_only_along_its_table() -> None:
    """Every pair of states is either in the table and moves, or raises and stays."""
    for start in Status:
        for to in Status:
            allocation = Allocation("request-1", start)
            if to in TRANSITIONS[start]:
                allocation.move(to)
                assert allocation.status is to
            else:
                with pytest.raises(ValueError, match="->"):
                    allocation.move(to)
                assert allocation.status is start


def test_agenda_keeps_order_and_never_goes_back() -> None:
    """Actions run by due time, then by age; the time given to them never falls."""
    agenda, ran = Agenda(), list[tuple[str, float]]()
    for name, due in (("late", 3.0), ("first", 1.0), ("second", 1.0)):
        agenda.at(due, lambda now, name=name: ran.append((name, now)))  # type: ignore[misc]
    assert agenda.run(2.0) == 2.0
    agenda.at(0.5, lambda now: ran.append(("overdue", now)))
    assert agenda.run(1.0) == 2.0
    assert agenda.run(9.0) == 9.0
    assert ran == [("first", 1.0), ("second", 1.0), ("overdue", 2.0), ("late", 3.0)]


def test_scripts_are_pure_and_end() -> None:
    """Every script answers every keyword with a finite list of steps, the same each time."""
    for script in SCRIPTS.values():
        for text in ("help", "edit", "hello", ""):
            scene = Scene("Ada", 1, 1, text, 3, 1.0)
            steps = [list[Step](play(scene)) for play in (script.joins, script.hears)]
            assert steps == [list[Step](play(scene)) for play in (script.joins, script.hears)]


def test_unknown_names_are_refused() -> None:
    """A script or semantics that does not exist is an error that lists those that do."""
    with pytest.raises(ValueError, match="helpful"):
        Bench("friendly")
    with pytest.raises(ValueError, match="drain"):
        Bench(semantics="guess")  # type: ignore[arg-type]
