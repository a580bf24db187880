"""A message without a clear answer is found again in the polls, or not; it is never taken for another one."""

from __future__ import annotations

import pytest

from puzzel_chat._inbox import Expected, Sends, delivery_unknown
from puzzel_chat._models import Author, Role, TextMessage
from puzzel_chat._wire.replies import event

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
