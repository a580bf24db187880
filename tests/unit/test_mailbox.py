"""What one reply brings to whom: however the poll works, each message once, edits told, the end last."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve, frozen
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from puzzel_chat._errors import ConversationClosed, NotFound
from puzzel_chat._mailbox import BUFFER, MEMORY, Entry, Expected, Mailbox, delivery_unknown, fingerprint
from puzzel_chat._models import (
    AgentTyping,
    Author,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    Event,
    FileMessage,
    MessageEdited,
    Option,
    OptionsMessage,
    Role,
    TextMessage,
    UnknownMessage,
)
from puzzel_chat._polling import Inbox

WHEN = datetime(2026, 11, 23, 12, tzinfo=UTC)
GONE = NotFound("404", status=404)


def line(number: int | str, text: str = "Hello", *, version: int = 1, cid: str = "a", **more: Any) -> TextMessage:
    """One line of text from the agent."""
    author = more.pop("author", Author(role=Role.AGENT))
    return TextMessage(
        conversation_id=cid, id=str(number), version=version, text=text, html=text, author=author, **more
    )


def end(cid: str = "a", number: str = "end", by: Role = Role.AGENT) -> ConversationEnded:
    """The end of a chat."""
    return ConversationEnded(conversation_id=cid, id=number, by=by)


def inbox(*conversations: str) -> Inbox:
    """An inbox that knows these conversations."""
    box = Inbox()
    for cid in conversations or ("a",):
        box.box(cid)
    return box


def take(box: Inbox, cid: str) -> tuple[Entry | None, Entry | None]:
    """Take one event as a caller would: what is done with now, and what comes next."""
    done = box.box(cid).done()
    assert len(done) <= 1
    return (done[0] if done else None), box.box(cid).hand()


def take_all(box: Inbox, cid: str = "a") -> list[Event]:
    """Everything that waits, as a caller would take it."""
    taken: list[Event] = []
    while (entry := take(box, cid)[1]) is not None:
        taken.append(entry.event)
    return taken


def test_messages_come_in_the_services_order() -> None:
    """The order of the reply is kept, whatever the ids and times say."""
    box = inbox()
    box.accept([line(2), line(1), line(3, sent_at=WHEN)], None)
    assert [event.id for event in take_all(box)] == ["2", "1", "3"]


def test_a_repeated_reply_brings_nothing() -> None:
    """The same reply twice is told once."""
    box, reply = inbox(), [line(1), line(2)]
    assert len(box.accept(reply, "c")) == 2
    assert box.accept(reply, "c") == []
    assert len(take_all(box)) == 2


def test_a_repeat_after_it_was_taken_brings_nothing() -> None:
    """Under the history way every poll repeats everything, long after it was handled."""
    box = inbox()
    box.accept([line(1)], None)
    take_all(box)
    for _ in range(3):
        box.accept([line(1)], None)
    assert take_all(box) == []


def test_an_edit_comes_as_an_edit() -> None:
    """The same id with a higher version is MessageEdited, with the message as it is now."""
    box = inbox()
    box.accept([line(1, "Hello")], None)
    box.accept([line(1, "Hi", version=2)], None)
    first, second = take_all(box)
    assert isinstance(first, TextMessage)
    assert isinstance(second, MessageEdited)
    assert (second.id, second.version, second.message) == ("1", 2, line(1, "Hi", version=2))


def test_new_content_without_a_new_version_is_an_edit_too() -> None:
    """A service that forgets to count versions is believed by its content."""
    box = inbox()
    box.accept([line(1, "Hello")], None)
    box.accept([line(1, "Hi")], None)
    assert [type(event) for event in take_all(box)] == [TextMessage, MessageEdited]


def test_an_older_version_is_not_an_edit() -> None:
    """A reply that was overtaken does not undo an edit."""
    box = inbox()
    box.accept([line(1, "Hi", version=2)], None)
    box.accept([line(1, "Hello", version=1)], None)
    assert [event.version for event in take_all(box)] == [2]
    assert [getattr(message, "text", "") for message in box.box("a").transcript()] == ["Hi"]
    box.accept([line(1, "Hey", version=3)], None)
    box.accept([line(1, "Hi!", version=2)], None)
    assert [event.version for event in take_all(box)] == [3]


def test_another_spelling_of_the_time_is_no_edit() -> None:
    """Only content counts: a time zone or author's display name that changes is not told again."""
    box = inbox()
    box.accept([line(1, sent_at=WHEN)], None)
    box.accept([line(1, sent_at=WHEN + timedelta(hours=1), author=Author(role=Role.AGENT, name="Kari"))], None)
    assert len(take_all(box)) == 1


def test_the_choices_of_a_question_are_its_content() -> None:
    """Another id or another label of an option makes another fingerprint."""
    asked = OptionsMessage(conversation_id="a", id="1", options=(Option(id="y", label="Yes"),))
    assert fingerprint(asked) != fingerprint(evolve(asked, options=(Option(id="y", label="No"),)))
    assert fingerprint(asked) != fingerprint(evolve(asked, options=(Option(id="n", label="Yes"),)))


def test_unknown_items_are_known_by_all_that_they_hold() -> None:
    """Two unknown items of one id differ by their raw content, whatever the order of their keys."""
    one = UnknownMessage(conversation_id="a", id="1", raw={"x": 1, "y": 2})
    assert fingerprint(one) == fingerprint(evolve(one, raw={"y": 2, "x": 1}))
    assert fingerprint(one) != fingerprint(evolve(one, raw={"x": 2, "y": 2}))


def test_an_item_without_a_conversation_comes_to_all() -> None:
    """A damaged item is never lost: every open conversation gets it, once each."""
    box = inbox("a", "b")
    lost = UnknownMessage(conversation_id="", id="unknown-1", raw={"value": 7}, problem="the item is not an object")
    box.accept([lost], None)
    box.accept([lost], None)
    assert take_all(box, "a") == [lost]
    assert take_all(box, "b") == [lost]


def test_the_end_comes_last_within_a_reply() -> None:
    """An end that stands before the last words is told after them."""
    box = inbox()
    box.accept([end(), line(1)], None)
    assert [type(event) for event in take_all(box)] == [TextMessage, ConversationEnded]


def test_the_end_is_told_once() -> None:
    """A second end, the same or another, is not told; nor is ours after theirs."""
    box = inbox()
    box.accept([end(), end(number="end-2")], None)
    box.box("a").closing = True
    box.accept([end(number="end-3")], None)
    assert [event.id for event in take_all(box)] == ["end"]
    assert box.box("a").finished


def test_nothing_follows_the_end() -> None:
    """What a later poll brings after an end that was not taken yet never comes after it, and the chat is finished."""
    box = inbox()
    box.accept([line(1), end()], None)
    box.accept([line(1), end(), line(2)], None)
    taken = take_all(box)
    assert isinstance(taken[-1], ConversationEnded)
    assert box.box("a").finished
    assert sum(isinstance(event, ConversationEnded) for event in taken) == 1


def test_nothing_comes_to_a_finished_chat() -> None:
    """After its end was taken, later items of the conversation are dropped."""
    box = inbox()
    box.accept([end()], None)
    take_all(box)
    assert box.accept([line(9), AgentTyping(conversation_id="a", id="t")], None) == []
    assert take_all(box) == []


def test_our_own_end_is_made_once_when_the_service_does_not_tell_it() -> None:
    """After `end()`, the next good poll ends the chat by the customer, when it brought no end itself."""
    box = inbox()
    box.box("a").closing = True
    box.accept([line(1)], None)
    box.accept([line(1)], None)
    taken = take_all(box)
    assert [type(event) for event in taken] == [TextMessage, ConversationEnded]
    assert isinstance(taken[1], ConversationEnded)
    assert taken[1].by is Role.CUSTOMER
    box.accept([], None)
    assert take_all(box) == []


def test_the_services_own_end_wins_over_ours() -> None:
    """When the last reply tells the end, that one is told and none is made."""
    box = inbox()
    box.box("a").closing = True
    box.accept([end(by=Role.CUSTOMER)], None)
    assert [event.id for event in take_all(box)] == ["end"]


def test_a_chat_that_was_finished_earlier_gets_no_second_end() -> None:
    """A conversation restored as finished is silent, whatever the other conversations' polls bring."""
    box = inbox("a", "b")
    box.box("a").closing = box.box("a").finished = True
    box.accept([line(1, cid="b")], None)
    box.failed(GONE)
    assert take_all(box, "a") == []
    assert box.box("a").finished


def test_an_entry_is_acknowledged_only_when_the_caller_comes_back() -> None:
    """The entry that `take` gives as done is the one handed out before, never the one handed out now."""
    box = inbox()
    box.accept([line(1), line(2)], None)
    done, first = take(box, "a")
    assert done is None
    assert first is not None
    done, second = take(box, "a")
    assert done is first
    assert second is not None
    assert take(box, "a") == (second, None)
    assert take(box, "a") == (None, None)


def test_a_full_buffer_stops_polling_until_its_caller_took_some() -> None:
    """At 1000 waiting events the inbox is full; one taken makes room."""
    box = inbox()
    box.accept([line(number) for number in range(BUFFER - 1)], None)
    assert not box.is_full
    box.accept([line(BUFFER)], None)
    assert box.is_full
    take(box, "a")
    assert not box.is_full


def test_a_conversation_that_nobody_opened_does_not_stop_the_others() -> None:
    """Mail for an id that no caller asked for can never be taken, so it must not fill the session up."""
    box = inbox()
    box.accept([line(number, cid="nobody's") for number in range(BUFFER)], None)
    box.accept([line(1)], None)
    assert not box.is_full


def test_what_came_before_a_failure_is_taken_first() -> None:
    """The error that ends the polling waits behind the events that came before it."""
    box = inbox("a", "b")
    box.accept([line(1)], None)
    box.failed(GONE)
    assert len(take_all(box)) == 1
    assert box.box("a").failure is GONE
    assert box.box("b").has_news


def test_a_failure_after_our_end_is_an_end() -> None:
    """A chat that we closed ends, also when the service no longer knows it (the v1 API answered 404)."""
    box = inbox()
    box.box("a").closing = True
    box.failed(GONE)
    assert [type(event) for event in take_all(box)] == [ConversationEnded]
    assert box.box("a").failure is None


def test_a_failure_after_their_end_is_not_told() -> None:
    """A chat that has ended ends; the failure of the polls no longer matters."""
    box = inbox()
    box.accept([end()], None)
    box.failed(GONE)
    assert len(take_all(box)) == 1
    assert box.box("a").failure is None


def test_degraded_and_recovered_come_to_every_open_chat() -> None:
    """They are not journaled, and a chat that has ended hears neither."""
    box = inbox("a", "b")
    box.accept([end("b")], None)
    box.degraded("No reply: it broke.")
    box.recovered(3.5)
    degraded, recovered = take_all(box)
    assert isinstance(degraded, ConnectionDegraded)
    assert isinstance(recovered, ConnectionRecovered)
    assert recovered.after == 3.5
    assert [type(event) for event in take_all(box, "b")] == [ConversationEnded]


def test_an_echo_is_found_by_our_own_id() -> None:
    """A message of ours is known by its client id alone, whoever wrote the same words."""
    expected = Expected("mine", "Hello")
    assert not expected.matches(line(1, "Hello", client_id="other"), set())
    assert expected.matches(line(1, "anything", client_id="mine"), set())


def test_an_echo_without_an_id_is_found_by_its_text() -> None:
    """Without a client id it must be the customer's, of the same text, and not claimed by another send."""
    expected, me = Expected("mine", "Hello"), Author(role=Role.CUSTOMER)
    assert expected.matches(line(1, "Hello", author=me), set())
    assert not expected.matches(line(1, "Hello"), set())
    assert not expected.matches(line(1, "Hello!", author=me), set())
    assert not expected.matches(line(1, "Hello", author=me), {"1"})


def test_two_equal_sends_find_two_echoes() -> None:
    """Each echo counts for one send."""
    box, me = inbox(), Author(role=Role.CUSTOMER)
    with box.box("a").expecting("1", "Yes") as one, box.box("a").expecting("2", "Yes") as two:
        box.accept([line(1, "Yes", author=me)], None)
        assert one.found is not None
        assert two.found is None
        box.accept([line(1, "Yes", author=me), line(2, "Yes", author=me)], None)
        assert two.found is not None
        assert two.found.id == "2"
    assert box.box("a").expected == []


def test_an_echo_that_a_reply_has_claimed_is_not_found_again() -> None:
    """A message whose send was answered does not stand in for a later one of the same words."""
    box, me = inbox(), Author(role=Role.CUSTOMER)
    box.box("a").sent(line(1, "Yes", author=me))
    with box.box("a").expecting("2", "Yes") as expected:
        box.accept([line(1, "Yes", author=me)], None)
        assert expected.found is None


def test_an_unknown_delivery_tells_the_text_only_as_an_attribute() -> None:
    """The error holds what was sent, outside its message."""
    error = delivery_unknown(Expected("mine", "My secret"))
    assert (error.text, error.client_id) == ("My secret", "mine")
    assert "My secret" not in f"{error} {error!r}"


def test_a_chat_that_is_over_takes_no_action() -> None:
    """Ended by either side, it raises ConversationClosed, which says what to do."""
    for box in (Mailbox("a", closing=True), Mailbox("a", ended=end())):
        with pytest.raises(ConversationClosed, match="Start a new one"):
            box.check_open()
    Mailbox("a").check_open()


def test_memory_is_bounded_and_holds_the_last_reply() -> None:
    """Old ids are forgotten, but never one that the last reply held: a history of any length stays without repeats."""
    box = inbox()
    for number in range(0, 3 * MEMORY, 100):
        box.accept([line(n) for n in range(number, number + 100)], None)
        take_all(box)
    assert len(box.box("a").seen) <= MEMORY
    history = [line(f"h{n}") for n in range(MEMORY + 500)]
    assert len(box.accept(history, None)) == len(history)
    assert box.accept(history, None) == []
    assert len(box.box("a").seen) <= 2 * len(history)


def test_a_message_edited_for_ever_takes_no_memory() -> None:
    """Only the last marks of an id are kept."""
    box = inbox()
    for version in range(1, 200):
        box.accept([line(1, f"v{version}", version=version)], None)
        take_all(box)
    assert len(box.box("a").seen["1"]) <= 8


def test_the_transcript_is_as_the_chat_stands_now() -> None:
    """Edits are applied, times order it, and events that are no messages are not in it."""
    box = inbox()
    box.accept(
        [
            line(2, "B", sent_at=WHEN + timedelta(seconds=2)),
            line(1, "A", sent_at=WHEN),
            AgentTyping(conversation_id="a", id="t"),
            FileMessage(conversation_id="a", id="3", file_name="x", sent_at=WHEN + timedelta(seconds=3)),
        ],
        None,
    )
    box.accept([line(1, "A!", version=2, sent_at=WHEN)], None)
    told = box.box("a").transcript()
    assert [message.id for message in told] == ["1", "2", "3"]
    assert isinstance(told[0], TextMessage)
    assert told[0].text == "A!"


def test_the_cursor_moves_only_forward_in_a_reply_that_names_one() -> None:
    """A reply without a cursor leaves the one that we have."""
    box = inbox()
    box.accept([], "c1")
    box.accept([], None)
    assert box.cursor == "c1"


def test_restored_mail_keeps_its_places_and_what_follows_gets_new_ones() -> None:
    """No later entry may get a journal place that still waits, or it would be written over and lost."""
    before = inbox("a", "b")
    lost = UnknownMessage(conversation_id="", id="unknown-1", raw={"value": 7})
    journal = [(entry.seq, entry.event) for entry in before.accept([line(1), lost], "c")]
    after = inbox("a", "b")
    after.restore([(seq, event) for seq, event in journal if seq is not None], "c")
    waiting = [entry.seq for box in after.boxes.values() for entry in box.waiting]
    fresh = [entry.seq for entry in after.accept([line(2)], "d")]
    assert sorted(waiting, key=str) == sorted((seq for seq, _ in journal), key=str)
    assert not set(fresh) & set(waiting)


@frozen
class Item:
    """One item of the model's server."""

    cid: str
    id: str
    version: int
    kind: str

    def event(self) -> Event:
        """The item as the wire would give it."""
        if self.kind == "end":
            return end(self.cid, self.id)
        if self.kind == "unknown":
            return UnknownMessage(conversation_id=self.cid, id=self.id, version=self.version, raw={"v": self.version})
        return line(self.id, f"v{self.version}", version=self.version, cid=self.cid)


class MailMachine(RuleBasedStateMachine):
    """An inbox beside a server that polls by history, by cursor or by drain, on a network that loses replies."""

    @initialize(semantics=st.sampled_from(["history", "cursor", "drain"]))
    def begin(self, semantics: str) -> None:
        """Choose how this server polls."""
        self.semantics = semantics
        self.box = inbox("a", "b")
        self.log: list[Item] = []
        self.unread: list[Item] = []
        self.lost: set[tuple[str, str, int]] = set()
        self.ended: set[str] = set()
        self.last: list[Item] = []
        self.queues: dict[str, list[tuple[str, str, int]]] = {"a": [], "b": []}
        self.known: dict[tuple[str, str], int] = {}
        self.handed: dict[str, Entry | None] = {"a": None, "b": None}
        self.got: dict[str, list[Event]] = {"a": [], "b": []}
        self.polled = 0

    def write(self, item: Item) -> None:
        """The server has something new."""
        if self.semantics == "history" and item.version > 1:
            place = next(n for n, old in enumerate(self.log) if (old.cid, old.id) == (item.cid, item.id))
            self.log[place] = item
        else:
            self.log.append(item)
        self.unread.append(item)

    @rule(cid=st.sampled_from("ab"), kind=st.sampled_from(["line", "line", "unknown"]))
    def someone_writes(self, cid: str, kind: str) -> None:
        """A new item, in a chat that goes on."""
        if cid not in self.ended:
            self.write(Item(cid, f"m{len(self.log)}-{cid}", 1, kind))

    @precondition(lambda self: any(item.kind != "end" and item.cid not in self.ended for item in self.log))
    @rule(data=st.data())
    def someone_edits(self, data: st.DataObject) -> None:
        """An item gets a new version."""
        open_items = [item for item in self.log if item.kind != "end" and item.cid not in self.ended]
        chosen = data.draw(st.sampled_from(open_items))
        newest = max(item.version for item in self.log if (item.cid, item.id) == (chosen.cid, chosen.id))
        self.write(evolve(chosen, version=newest + 1))

    @rule(cid=st.sampled_from("ab"))
    def someone_ends(self, cid: str) -> None:
        """A chat ends."""
        if cid not in self.ended:
            self.ended.add(cid)
            self.write(Item(cid, f"end-{cid}", 1, "end"))

    def answer(self) -> list[Item]:
        """What the server answers to a poll with the inbox's cursor."""
        if self.semantics == "history":
            return list(self.log)
        if self.semantics == "cursor":
            return self.log[int(self.box.cursor or 0) :]
        answer, self.unread = self.unread, []
        return answer

    def arrives(self, items: list[Item], cursor: str | None) -> None:
        """A reply arrives; the model takes what is new in it, ends last."""
        for item in sorted(items, key=lambda item: item.kind == "end"):
            known = self.known.get((item.cid, item.id), 0)
            if item.version > known:
                self.known[item.cid, item.id] = item.version
                kind = item.kind if item.kind == "end" else ("new" if known == 0 else "edit")
                self.queues[item.cid].append((kind, item.id, item.version))
        self.box.accept([item.event() for item in items], cursor)
        self.last = items

    @rule()
    def poll(self) -> None:
        """A poll that works."""
        items = self.answer()
        self.arrives(items, str(len(self.log)) if self.semantics == "cursor" else None)

    @rule()
    def poll_and_lose_the_reply(self) -> None:
        """The server answers and the reply is lost: the next poll is the same again."""
        items = self.answer()
        if self.semantics == "drain":
            self.lost |= {(item.cid, item.id, item.version) for item in items}

    @rule()
    def the_last_reply_comes_again(self) -> None:
        """A proxy repeats the last reply."""
        self.arrives(self.last, self.box.cursor)

    @rule(cid=st.sampled_from("ab"))
    def take(self, cid: str) -> None:
        """The caller comes for more."""
        done, entry = take(self.box, cid)
        assert done is self.handed[cid]
        self.handed[cid] = entry
        if entry is None:
            assert self.queues[cid] == []
            return
        kind, item_id, version = self.queues[cid].pop(0)
        assert (entry.event.id, entry.event.version) == (item_id, version)
        assert isinstance(entry.event, ConversationEnded) == (kind == "end")
        edited = isinstance(entry.event, MessageEdited)
        assert edited == (kind == "edit")
        self.got[cid].append(entry.event)

    def teardown(self) -> None:
        """In the end everything that the server had was delivered once, in order, the end last."""
        if not hasattr(self, "box"):
            return
        self.poll()
        for cid in "ab":
            while self.queues[cid]:
                self.take(cid)
            assert take(self.box, cid)[1] is None
            got = self.got[cid]
            firsts = [event.id for event in got if not isinstance(event, MessageEdited)]
            wanted = [i.id for i in self.log if i.cid == cid and not any(key[:2] == (cid, i.id) for key in self.lost)]
            assert set(wanted) <= set(firsts)
            assert max(Counter(firsts).values(), default=1) == 1
            if not self.lost:
                assert firsts == list(dict.fromkeys(wanted))
                if cid in self.ended:
                    assert isinstance(got[-1], ConversationEnded)
                    assert self.box.box(cid).finished


MailMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_every_message_arrives_once_under_every_way_to_poll = MailMachine.TestCase
