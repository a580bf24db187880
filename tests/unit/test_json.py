"""Values as data: what `to_dict()` writes is JSON, comes back equal, and what cannot be read is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import puzzel_chat
from puzzel_chat import (
    Agent,
    Allocation,
    AllocationStage,
    Author,
    Customer,
    Event,
    InvalidArgument,
    MessageEdited,
    Option,
    OptionsMessage,
    QueueInfo,
    Role,
    Secret,
    StoredConversation,
    TextMessage,
    TimeInfo,
    TokenSet,
    Turn,
    Unread,
    Variable,
    event_from_dict,
)
from puzzel_chat._models import EventBase, Raw

EVENTS: tuple[type[Any], ...] = get_args(Event)
VALUES = (Allocation, QueueInfo, TimeInfo, Agent, Author, Option, Customer, Variable, Turn)
STORED = (TokenSet, StoredConversation, Unread)
KINDS: list[type[Any]] = [*EVENTS, *VALUES, *STORED]
WHEN = datetime(2026, 11, 23, 9, tzinfo=UTC)
# Half a surrogate pair, which JSON can hold, is a letter too.
WORDS = st.text(st.characters(exclude_categories=()))
RAW = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
ZONES = st.integers(-720, 840).map(lambda minutes: timezone(timedelta(minutes=minutes)))
SINGLE: dict[Any, st.SearchStrategy[Any]] = {
    str: WORDS,
    Secret: WORDS,
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 9),
    bool: st.booleans(),
    NoneType: st.none(),
    datetime: st.datetimes(timezones=ZONES),
    Raw: st.dictionaries(st.text(), RAW, max_size=3),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value that a field of this type may have."""
    if kind in SINGLE:
        return SINGLE[kind]
    if isinstance(kind, UnionType):
        return st.one_of(*map(values, get_args(kind)))
    if get_origin(kind) is tuple:
        return st.lists(values(get_args(kind)[0]), max_size=3).map(tuple)
    if kind is Turn:
        return st.builds(Turn, st.sampled_from([one for one in Role if one is not Role.UNKNOWN]), WORDS)
    if attrs.has(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: values(hints[field.name]) for field in attrs.fields(kind)})
    return st.sampled_from(kind)


def raws(value: Any) -> Iterator[object]:
    """Every `raw` in a value, which equality leaves out."""
    for field in attrs.fields(type(value)):
        found = getattr(value, field.name)
        if field.name == "raw":
            yield found
        elif attrs.has(type(found)):
            yield from raws(found)


def there_and_back(value: Any) -> Any:
    """What another program reads."""
    return type(value).from_dict(json.loads(json.dumps(value.to_dict(), allow_nan=False)))


@given(st.one_of(*map(values, KINDS)))
def test_every_value_survives_json(value: Any) -> None:
    """Whatever its fields are, what comes back is equal, the raw reply included."""
    back = there_and_back(value)
    assert back == value
    assert list(raws(back)) == list(raws(value))
    assert back.to_dict() == value.to_dict()


@given(st.one_of(*map(values, EVENTS)))
def test_every_event_says_which_it_is(event: Event) -> None:
    """Its `type` is in its dict, and is enough to read it as what it is."""
    written = json.loads(json.dumps(event.to_dict()))
    assert written["type"] == event.type
    back = event_from_dict(written)
    assert type(back) is type(event)
    assert back == event


@given(st.one_of(*map(values, [*EVENTS, Allocation, Agent, Author])))
def test_a_line_for_people_is_one_line(value: Any) -> None:
    """Whatever somebody wrote, nothing in it is obeyed by a terminal, and it can be written."""
    line = str(value)
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 or one in "\u2028\u2029\u202e\u200b" for one in line)
    assert line.encode()


def test_the_union_has_every_event() -> None:
    """A new class of events is in `Event`, is public, and its `type` is its name in small letters."""
    assert set(EVENTS) == set(EventBase.__subclasses__())
    for kind in EVENTS:
        assert getattr(puzzel_chat, kind.__name__) is kind
        assert kind.type == "".join(f"_{one.lower()}" if one.isupper() else one for one in kind.__name__).lstrip("_")
    assert isinstance(TextMessage(conversation_id="c", id="1"), Event)
    assert not isinstance(WHEN, Event)


def test_what_a_dict_looks_like() -> None:
    """Names as in Python, times with their zone, enums as their values, nothing hidden."""
    message = TextMessage(
        conversation_id="c", id="1", sent_at=WHEN, author=Author(role=Role.AGENT, name="Kari"), text="Hi", raw={"id": 1}
    )
    assert message.to_dict() == {
        "type": "text_message",
        "conversation_id": "c",
        "id": "1",
        "version": 1,
        "sent_at": "2026-11-23T09:00:00+00:00",
        "author": {"role": "agent", "id": None, "name": "Kari"},
        "raw": {"id": 1},
        "text": "Hi",
        "html": "",
        "client_id": None,
    }
    assert Variable("order", "17", secret=True).to_dict() == {"name": "order", "value": "17", "secret": True}


def test_a_time_without_a_zone_is_written_as_utc() -> None:
    """As such a time from the service is read; so is one in the data."""
    told = Allocation(stage=AllocationStage.QUEUED, fetched_at=WHEN.replace(tzinfo=None)).to_dict()
    assert told["fetched_at"] == WHEN.isoformat()
    assert Allocation.from_dict({**told, "fetched_at": "2026-11-23T09:00"}).fetched_at == WHEN


def test_what_is_not_there_has_its_default_and_what_is_new_is_ignored() -> None:
    """A newer version may write more, an older one has written less; also in nested values."""
    message = event_from_dict(
        {"type": "text_message", "conversation_id": "c", "id": "1", "author": {"mood": "good", "type": "x"}, "new": [1]}
    )
    assert message == TextMessage(conversation_id="c", id="1")


MESSAGE = {"type": "text_message", "conversation_id": "c", "id": "1"}


@pytest.mark.parametrize(
    ("data", "argument"),
    [
        ([], "data"),
        ({}, "type"),
        ({**MESSAGE, "type": "shout"}, "type"),
        ({**MESSAGE, "type": ["text_message"]}, "type"),
        ({"type": "text_message", "id": "1"}, "conversation_id"),
        ({**MESSAGE, "id": 1}, "id"),
        ({**MESSAGE, "id": None}, "id"),
        ({**MESSAGE, "version": True}, "version"),
        ({**MESSAGE, "version": 1.5}, "version"),
        ({**MESSAGE, "sent_at": "yesterday"}, "sent_at"),
        ({**MESSAGE, "sent_at": 17}, "sent_at"),
        ({**MESSAGE, "author": "Kari"}, "author"),
        ({**MESSAGE, "author": {"role": "king"}}, "author.role"),
        ({**MESSAGE, "author": {"role": ["agent"]}}, "author.role"),
        ({**MESSAGE, "raw": []}, "raw"),
        ({**MESSAGE, "type": "message_edited"}, "message"),
        ({**MESSAGE, "type": "message_edited", "message": MESSAGE | {"text": 5}}, "message.text"),
        ({**MESSAGE, "type": "message_edited", "message": MESSAGE | {"type": "agent_left"}}, "message.type"),
        ({**MESSAGE, "type": "options_message", "options": "ab"}, "options"),
        ({**MESSAGE, "type": "options_message", "options": [{"id": "1"}, {"id": 2}]}, "options[1].id"),
        ({**MESSAGE, "type": "agent_typing", "is_typing": 1}, "is_typing"),
        ({**MESSAGE, "type": "connection_recovered", "after": "1"}, "after"),
        ({**MESSAGE, "type": "connection_recovered", "after": True}, "after"),
        ({**MESSAGE, "type": "allocation_changed", "allocation": {"stage": "queued"}}, "allocation.fetched_at"),
    ],
)
def test_what_does_not_fit_is_named(data: Any, argument: str) -> None:
    """The error tells which field, in nested values with the way there, and never repeats what was in it."""
    with pytest.raises(InvalidArgument) as raised:
        event_from_dict(data)
    assert raised.value.argument == argument
    assert "Kari" not in str(raised.value)


def test_an_event_is_not_read_as_another() -> None:
    """A class reads its own `type` only; without one, it takes the caller's word."""
    with pytest.raises(InvalidArgument, match="type: must be text_message"):
        TextMessage.from_dict({**MESSAGE, "type": "agent_left"})
    assert TextMessage.from_dict({"conversation_id": "c", "id": "1"}).id == "1"


def event(kind: type[Any], **values: Any) -> str:
    """The line of an event."""
    return str(kind(conversation_id="c", id="1", **values))


KARI = Author(role=Role.AGENT, name="Kari")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (event(TextMessage, author=Author(name="Ada"), text="My order…"), "Ada: My order…"),
        (event(TextMessage, author=Author(role=Role.BOT), text="Hello"), "bot: Hello"),
        (event(TextMessage, text="a\nb\x1b[2J"), r"someone: a\nb\x1b[2J"),
        (event(TextMessage, author=KARI, text="👩‍👧 ok"), "Kari: 👩‍👧 ok"),
        (
            event(OptionsMessage, author=KARI, text="Sure?", options=(Option(id="1", label="Yes"), Option(id="2"))),
            "Kari: Sure? [Yes / 2]",
        ),
        (
            event(puzzel_chat.FileMessage, author=KARI, file_name="a.pdf", url="https://files.example/a", size=7),
            "Kari: [file a.pdf, 7 bytes] https://files.example/a",
        ),
        (
            event(puzzel_chat.UnknownMessage, author=KARI, service_type="Poll", problem="no id"),
            "Kari: [a message of type Poll that cannot be shown: no id]",
        ),
        (
            event(MessageEdited, message=TextMessage(conversation_id="c", id="1", author=KARI, text="Hi")),
            "Kari: Hi (edited)",
        ),
        (event(puzzel_chat.AgentJoined, agent=Agent(name="Kari")), "Kari joined"),
        (event(puzzel_chat.AgentJoined), "an agent joined"),
        (event(puzzel_chat.AgentLeft, agent=Agent(id="7")), "an agent left"),
        (event(puzzel_chat.AgentTyping, author=KARI), "Kari is typing"),
        (event(puzzel_chat.AgentTyping, is_typing=False), "the agent stopped typing"),
        (event(puzzel_chat.ConversationEnded, by=Role.AGENT), "the chat was ended by the agent"),
        (event(puzzel_chat.ConversationEnded, by=Role.SYSTEM, reason="idle"), "the chat was ended by the system: idle"),
        (event(puzzel_chat.ConversationEnded), "the chat has ended"),
        (event(puzzel_chat.ConnectionDegraded, problem="no reply"), "the connection is lost for now: no reply"),
        (event(puzzel_chat.ConnectionRecovered, after=2), "the connection is back after 2.0 s"),
        (
            str(Allocation(stage=AllocationStage.QUEUED, queue_position=3, estimated_wait=40, fetched_at=WHEN)),
            "queued, position 3, about 40 s",
        ),
        (
            str(Allocation(stage=AllocationStage.ASSIGNED, agent=Agent(name="Kari"), fetched_at=WHEN)),
            "assigned to Kari",
        ),
        (str(Allocation(stage=AllocationStage.REFUSED, reason="QueueFull", fetched_at=WHEN)), "refused: QueueFull"),
    ],
)
def test_a_line_for_people_has_the_words(line: str, told: str) -> None:
    """What `print(event)` shows."""
    assert line == told


def test_a_value_of_an_enum_is_a_string() -> None:
    """An f-string shows what it means, and it compares with plain text."""
    assert f"{Role.AGENT} {AllocationStage.ASSIGNED} {puzzel_chat.Life.OPEN}" == "agent assigned open"
    assert f"{puzzel_chat.AfterError.GO_ON}" == "go on"
    assert json.loads(json.dumps({"by": Role.AGENT})) == {"by": "agent"}
