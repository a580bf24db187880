"""What one reply brings to whom: however the poll works, each message once, edits told, the end last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs import evolve

from puzzel_chat._errors import ConversationClosed, NotFound
from puzzel_chat._inbox import BUFFER, MEMORY, Entry, Expected, Feed, Inbox, Sends, delivery_unknown, fingerprint
from puzzel_chat._models import (
    AgentTyping,
    Author,
    ConnectionDegraded,
    ConnectionRecovered,
    ConversationEnded,
    Event,
    FileMessage,
    Life,
    MessageEdited,
    Option,
    OptionsMessage,
    Role,
    TextMessage,
    UnknownMessage,
)
from puzzel_chat._wire.replies import event

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


def inbox(*conversations: str) -> Feed:
    """An inbox that knows these conversations."""
    box = Feed()
    for cid in conversations or ("a",):
        box.inbox(cid)
    return box


def take(box: Feed, cid: str) -> tuple[Entry | None, Entry | None]:
    """Take one event as a caller would: what is done with now, and what comes next."""
    done = box.inbox(cid).done()
    assert len(done) <= 1
    return (done[0] if done else None), box.inbox(cid).hand()


def take_all(box: Feed, cid: str = "a") -> list[Event]:
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
    assert [getattr(message, "text", "") for message in box.inbox("a").transcript()] == ["Hi"]
    box.accept([line(1, "Hey", version=3)], None)
    box.accept([line(1, "Hi!", version=2)], None)
    assert [event.version for event in take_all(box)] == [3]


def test_another_spelling_of_the_time_is_no_edit() -> None:
    """Only content counts: a time zone or author's display name that changes is not told again."""
    box = inbox()
    box.accept([line(1, sent_at=WHEN)], None)
    box.accept([line(1, sent_at=WHEN + timedelta(hours=1), author=Author(role=Role.AGENT, name="Kari"))], None)
    assert len(take_all(box)) == 1


def test_another_author_of_an_unknown_type_is_no_edit() -> None:
    """Also of a message whose type nobody knows, who wrote it, when and at which place is no content; the rest is."""
    box = inbox()
    raw = {"id": "1", "type": "Carousel", "author": {"role": 1}, "sentAt": "2026-01-05T09:00:00Z", "cards": [1]}
    other_time = {"sentAt": "2026-01-05T10:00:00+01:00"}
    for changed in ({}, {"author": {"role": 9}}, other_time, {"eventId": 9}, {"cards": [2]}):
        box.accept([UnknownMessage(conversation_id="a", id="1", service_type="Carousel", raw={**raw, **changed})], None)
    assert [type(event) for event in take_all(box)] == [UnknownMessage, MessageEdited]


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
    box.inbox("a").over(Life.ENDING)
    box.accept([end(number="end-3")], None)
    assert [event.id for event in take_all(box)] == ["end"]
    assert box.inbox("a").life is Life.READ


def test_nothing_follows_the_end() -> None:
    """What a later poll brings after an end that was not taken yet never comes after it, and the chat is finished."""
    box = inbox()
    box.accept([line(1), end()], None)
    box.accept([line(1), end(), line(2)], None)
    taken = take_all(box)
    assert isinstance(taken[-1], ConversationEnded)
    assert box.inbox("a").life is Life.READ
    assert sum(isinstance(event, ConversationEnded) for event in taken) == 1


def test_nothing_comes_to_a_finished_chat() -> None:
    """After its end was taken, later items of the conversation are dropped."""
    box = inbox()
    box.accept([end()], None)
    take_all(box)
    assert box.accept([line(9), AgentTyping(conversation_id="a", id="t")], None) == []
    assert take_all(box) == []


def test_our_own_end_is_made_once_when_the_service_does_not_tell_it() -> None:
    """After `end()`, the second good poll ends the chat by the customer, when neither brought an end itself."""
    box = inbox()
    box.inbox("a").over(Life.ENDING)
    box.accept([line(1)], None)
    box.accept([line(1)], None)
    taken = take_all(box)
    assert [type(event) for event in taken] == [TextMessage, ConversationEnded]
    assert isinstance(taken[1], ConversationEnded)
    assert taken[1].by is Role.CUSTOMER
    box.accept([], None)
    assert take_all(box) == []


def test_a_poll_under_way_while_we_end_the_chat_does_not_cut_its_last_words() -> None:
    """The first reply after `end()` may be to an earlier poll, or say nothing; what the next one brings still comes."""
    box = inbox()
    box.inbox("a").over(Life.ENDING)
    box.accept([], None)
    box.accept([line(1), end()], None)
    assert [event.id for event in take_all(box)] == ["1", "end"]


def test_the_services_own_end_wins_over_ours() -> None:
    """When the last reply tells the end, that one is told and none is made."""
    box = inbox()
    box.inbox("a").over(Life.ENDING)
    box.accept([end(by=Role.CUSTOMER)], None)
    assert [event.id for event in take_all(box)] == ["end"]


def test_a_chat_that_was_finished_earlier_gets_no_second_end() -> None:
    """A conversation restored as finished is silent, whatever the other conversations' polls bring."""
    box = inbox("a", "b")
    box.inbox("a").life = Life.READ
    box.accept([line(1, cid="b")], None)
    box.failed(GONE)
    assert take_all(box, "a") == []
    assert box.inbox("a").life is Life.READ


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
    assert box.inbox("a").failure is GONE
    assert box.inbox("b").has_news


def test_a_failure_after_our_end_is_an_end() -> None:
    """A chat that we closed ends, also when the service no longer knows it (the v1 API answered 404)."""
    box = inbox()
    box.inbox("a").over(Life.ENDING)
    box.failed(GONE)
    assert [type(event) for event in take_all(box)] == [ConversationEnded]
    assert box.inbox("a").failure is None


def test_a_failure_after_their_end_is_not_told() -> None:
    """A chat that has ended ends; the failure of the polls no longer matters."""
    box = inbox()
    box.accept([end()], None)
    box.failed(GONE)
    assert len(take_all(box)) == 1
    assert box.inbox("a").failure is None


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


def test_a_chat_that_is_over_takes_no_action() -> None:
    """Ended by either side, it raises ConversationClosed, which says what to do."""
    for box in [Inbox("a", life=life) for life in Life if life.over]:
        with pytest.raises(ConversationClosed, match="Start a new one"):
            box.check_open()
    Inbox("a").check_open()


def test_memory_is_bounded_and_holds_the_last_reply() -> None:
    """Old ids are forgotten, but never one that the last reply held: a history of any length stays without repeats."""
    box = inbox()
    for number in range(0, 3 * MEMORY, 100):
        box.accept([line(n) for n in range(number, number + 100)], None)
        take_all(box)
    assert len(box.inbox("a").seen) <= MEMORY
    history = [line(f"h{n}") for n in range(MEMORY + 500)]
    assert len(box.accept(history, None)) == len(history)
    assert box.accept(history, None) == []
    assert len(box.inbox("a").seen) <= 2 * len(history)


def test_claimed_messages_are_forgotten_with_the_others() -> None:
    """What was claimed as the echo of a send is not kept longer than what is known of it."""
    box = Inbox("a")
    box.sends.claimed |= {"old", "young"}
    box.remember("old", "1:mark")
    for number in range(MEMORY - 1):
        box.remember(str(number), "1:mark")
    box.remember("young", "1:mark")
    box.forget_oldest(1)
    assert box.sends.claimed == {"young"}


def test_a_message_edited_for_ever_takes_no_memory() -> None:
    """Only the last marks of an id are kept."""
    box = inbox()
    for version in range(1, 200):
        box.accept([line(1, f"v{version}", version=version)], None)
        take_all(box)
    assert len(box.inbox("a").seen["1"]) <= 8


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
    told = box.inbox("a").transcript()
    assert [message.id for message in told] == ["1", "2", "3"]
    assert isinstance(told[0], TextMessage)
    assert told[0].text == "A!"


def test_the_cursor_moves_only_forward_in_a_reply_that_names_one() -> None:
    """A reply without a cursor leaves the one that we have."""
    box = inbox()
    box.accept([], "c1")
    box.accept([], None)
    assert box.cursor == "c1"


def rows(entries: list[Entry]) -> list[tuple[int, str | None, Event]]:
    """What a journal has of a reply."""
    return [(entry.seq, entry.conversation_id, entry.event) for entry in entries if entry.seq is not None]


@pytest.mark.parametrize("older", [False, True], ids=["", "of an earlier version"])
def test_restored_mail_keeps_its_places_and_what_follows_gets_new_ones(older: bool) -> None:
    """No later entry may get a journal place that still waits, or it would be written over and lost."""
    before = inbox("a", "b")
    lost = UnknownMessage(conversation_id="", id="unknown-1", raw={"value": 7})
    journal = rows(before.accept([line(1), lost], "c"))
    after = inbox("a", "b")
    after.restore([(seq, None if older else whose, event) for seq, whose, event in journal], "c")
    waiting = [entry.seq for box in after.inboxes.values() for entry in box.unread]
    fresh = [entry.seq for entry in after.accept([line(2)], "d")]
    assert sorted(waiting, key=str) == [seq for seq, _, _ in journal]
    assert not set(fresh) & set(waiting)


def test_restored_mail_goes_to_the_conversation_that_it_waited_for() -> None:
    """Under its own place, also when it names no conversation and others would take it; a stranger's, too."""
    before = inbox("a", "b")
    lost = UnknownMessage(conversation_id="", id="unknown-1", raw={"value": 7})
    strange = UnknownMessage(conversation_id="c", id="1", raw={"value": 8})
    journal = rows(before.accept([strange, lost], None))
    for kept in (journal, journal[:2], journal[2:]):
        after = inbox("a", "b")
        after.restore(kept, None)
        waiting = {(entry.seq, name) for name, box in after.inboxes.items() for entry in box.unread}
        assert waiting == {(seq, whose) for seq, whose, _ in kept}
        assert {entry.conversation_id for box in after.inboxes.values() for entry in box.unread} == {
            w for _, w in waiting
        }


ME = Author(role=Role.CUSTOMER)


def echo(number: int, text: str = "Yes", client_id: str | None = None, author: Author = ME) -> TextMessage:
    """What a poll brings of a customer's message."""
    return TextMessage(conversation_id="a", id=str(number), text=text, html=text, author=author, client_id=client_id)


def test_an_echo_is_found_by_our_own_id() -> None:
    """A message of ours is known by its client id alone, whoever wrote the same words."""
    expected = Expected("mine", "Hello")
    assert not expected.matches(echo(1, "Hello", client_id="other"))
    assert expected.matches(echo(1, "anything", client_id="mine", author=Author()))


@pytest.mark.parametrize("client_id", [None, ""])
def test_an_echo_without_an_id_is_found_by_its_words(client_id: str | None) -> None:
    """Without a client id it must be the customer's, of the same words."""
    expected = Expected("mine", "Hello")
    assert expected.matches(echo(1, "Hello", client_id))
    assert not expected.matches(echo(1, "Hello", client_id, author=Author(role=Role.AGENT)))
    assert not expected.matches(echo(1, "Hello", client_id, author=Author())), "nobody knows whose words these are"
    assert not expected.matches(echo(1, "Hello!", client_id))


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("I <b>know</b> & see", "I &lt;b&gt;know&lt;/b&gt; &amp; see"),
        ("I <b>know</b> & see", "I &amp;lt;b&amp;gt;know&amp;lt;/b&amp;gt; &amp;amp; see"),
        ("I <b>know</b> & see", "I <b>know</b> & see"),
        ("  two\r\nlines ", "two\nlines"),
        ("two\nlines", "<p>two<br>lines</p>"),
        ("caf\u00e9\u00a0no", "cafe\u0301 no"),
        ("a\u0007b", "ab"),
    ],
    ids=["encoded", "encoded twice", "not encoded", "trimmed", "as paragraphs", "composed", "without controls"],
)
def test_words_that_the_service_writes_in_its_own_way(sent: str, told: str) -> None:
    """An echo is the same message however the service encodes, trims or composes its text."""
    item = {"id": "1", "conversationId": "a", "type": "Text", "version": 1, "sentAt": "2026-11-23T12:00:00Z"}
    found = event({**item, "author": {"role": 0, "id": None, "displayName": None}, "content": told})
    assert isinstance(found, TextMessage)
    assert Expected("mine", sent).matches(found)
    assert not Expected("mine", f"{sent}x").matches(found)


def test_two_equal_sends_find_two_echoes() -> None:
    """Each echo counts for one send."""
    sends = Sends()
    with sends.expecting("1", "Yes") as one, sends.expecting("2", "Yes") as two:
        one.unanswered = two.unanswered = True
        sends.note(echo(1))
        assert sends.found(one) == echo(1)
        assert sends.found(two) is None
        sends.note(echo(1))
        sends.note(echo(2))
        assert sends.found(two) == echo(2)
    assert sends.expected == []


def test_an_echo_that_another_send_may_be_answered_for_is_not_claimed() -> None:
    """While an equal send is under way its echo is left to it, in whatever order answers and echoes come."""
    sends = Sends()
    with sends.expecting("1", "Yes") as lost, sends.expecting("2", "yes ".title()) as under_way:
        lost.unanswered = True
        sends.note(echo(2))
        assert sends.found(lost) is None
        sends.claim("2")
        sends.expected.remove(under_way)
        assert sends.found(lost) is None, "the other send was answered with this message"
        sends.note(echo(3))
        assert sends.found(lost) == echo(3)
        sends.expected.append(under_way)


def test_an_echo_with_our_id_is_claimed_at_once() -> None:
    """A service that echoes ids leaves nothing to dispute."""
    sends = Sends()
    with sends.expecting("1", "Yes") as lost, sends.expecting("2", "Yes"):
        lost.unanswered = True
        sends.note(echo(7, client_id="1"))
        assert sends.found(lost) is not None


def test_an_echo_that_a_reply_has_claimed_is_not_found_again() -> None:
    """A message whose send was answered does not stand in for a later one of the same words."""
    sends = Sends()
    sends.claim("1")
    with sends.expecting("2", "Yes") as expected:
        expected.unanswered = True
        sends.note(echo(1))
        assert sends.found(expected) is None


def test_nothing_is_kept_when_no_send_looks_for_it() -> None:
    """Echoes that nobody claims do not pile up."""
    sends = Sends()
    with sends.expecting("1", "Yes"):
        sends.note(echo(1))
        sends.note(echo(2, "No"))
        assert list(sends.echoes) == ["1"]
    sends.note(echo(3))
    assert sends.echoes == {}


def test_an_unknown_delivery_tells_the_text_only_as_an_attribute() -> None:
    """The error holds what was sent, outside its message."""
    error = delivery_unknown(Expected("mine", "My secret"))
    assert (error.text, error.client_id) == ("My secret", "mine")
    assert "My secret" not in f"{error} {error!r}"
