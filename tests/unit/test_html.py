"""Message HTML to plain text and back, also when it is hostile."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat._html import from_text, printable, to_text
from quick import quick_only

STEERING = {"Cc", "Cf", "Cs", "Co", "Cn"}
KEPT = frozenset("\n\t\u200c\u200d")
PIECES = (
    "<b> </b> <script> </script> <style> <!-- --> <![CDATA[ ]]> &lt; &#x1b; &#27; & <p> <br/> </ < > <?php <!DOCTYPE"
    " <img/onerror=alert(1)> <div/onclick=x> \x1b[2J <![if <![endif]> <a\u00a0b=' \" &#999999999999; <head> <template>"
)
pieces = st.sampled_from(PIECES.split(" "))


def visible(text: str) -> bool:
    """Whether nothing in it can steer a terminal."""
    return all(letter in KEPT or unicodedata.category(letter) not in STEERING for letter in text)


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("Hello", "Hello"),
        ("", ""),
        ("<b>Hello</b> <i>Ada</i>", "Hello Ada"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("<ul><li>a</li><li>b</li></ul>", "a\n\nb"),
        ("fish &amp; chips &lt;3", "fish & chips <3"),
        ("&aelig;&oslash;&aring; &#230; &#xE6;", "æøå æ æ"),
        ("&nbsp;x", "\u00a0x"),
        ("a &unknown; b", "a &unknown; b"),
        ("3 < 4", "3 < 4"),
        ("<a href='https://chat.example'>here</a>", "here"),
        ("line one\nline two", "line one\nline two"),
        ("👩\u200d💻 ok", "👩\u200d💻 ok"),
    ],
)
def test_markup_becomes_the_text_that_it_shows(markup: str, text: str) -> None:
    """Tags go, entities are resolved, blocks become lines."""
    assert to_text(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<script>alert('x')</script>Hi", "Hi"),
        ("<style>p{}</style>Hi", "Hi"),
        ("<SCRIPT SRC=x></SCRIPT>Hi", "Hi"),
        ("<img src=x onerror=alert(1)>Hi", "Hi"),
        ("<!-- hidden -->Hi", "Hi"),
        ("<template><b>no</b></template>Hi", "Hi"),
        ("&lt;script&gt;x&lt;/script&gt;", "<script>x</script>"),
    ],
)
def test_what_is_not_shown_is_not_text(markup: str, text: str) -> None:
    """Scripts, styles, comments and attributes never come out."""
    assert to_text(markup) == text


@pytest.mark.parametrize(
    "steering",
    [
        "\x1b[2J",
        "\x07",
        "\x00",
        "\x08",
        "\x9b31m",
        "\u202e",
        "\u2066",
        "\ufeff",
        "\r",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x85",
    ],
)
def test_control_sequences_do_not_reach_a_terminal(steering: str) -> None:
    """No character that moves the cursor, colours, rings, or turns the direction is left, plain or as an entity."""
    assert visible(to_text(f"a{steering}b"))
    assert visible(to_text(f"<b>a</b>{steering}b"))
    assert visible(printable(steering))


@pytest.mark.parametrize("entity", ["&#27;[31m", "&#x1b;[2J", "&#x202e;", "&#13;", "&#7;"])
def test_an_entity_cannot_smuggle_a_control_character(entity: str) -> None:
    """What an entity stands for is filtered like a plain character."""
    assert visible(to_text(f"a{entity}b"))


def test_a_page_without_an_end_of_its_head_keeps_its_words() -> None:
    """The end tag of a head may be left out (HTML section 13.1.2.4), and the body is still the message."""
    assert "Hello" in to_text("<html><head><title>x</title><body>Hello")


@given(st.lists(pieces | st.text(max_size=6), max_size=12).map("".join))
def test_no_markup_breaks_it_or_steers_a_terminal(markup: str) -> None:
    """Any input gives a text, and a text that is safe to print."""
    assert visible(to_text(markup))


printed = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"]))


@given(printed)
def test_one_line_survives_the_round_trip(text: str) -> None:
    """What is sent as a line comes back as the same line, markup characters included."""
    assert to_text(from_text(text)) == text


@given(st.lists(printed, max_size=5).map("\n".join))
def test_several_lines_survive_the_round_trip(text: str) -> None:
    """Line breaks come back as they were sent, or an echo without our id could not be found by its text."""
    assert to_text(from_text(text)) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<![if !supportLists]>Hi<![endif]>", "Hi"),
        ("<!--[if mso]>no<![endif]-->Hi", "Hi"),
        ("<![CDATA[x]]>Hi", "Hi"),
        ('<a title="a > b">Hi</a>', "Hi"),
        ("I <it's>", "I <it's>"),
        ("Hi <b", "Hi <b"),
        ("<script>a<b</script>Hi<script>", "Hi"),
        ("<script><!-- x </script>Hi", "Hi"),
        ("<b>&#99999999999999999999;</b>", "\ufffd"),
        (f"&#{'9' * 5000};", "\ufffd"),
        ("<p" * 3 + ">Hi", "<p<p\nHi"),
        ("<div>" * 5000 + "Hi" + "</div>" * 5000, "Hi"),
    ],
)
def test_odd_and_broken_markup_loses_no_words(markup: str, text: str) -> None:
    """Conditional comments, open tags, quotes and numbers without a letter: what a person wrote is still there."""
    assert to_text(markup) == text


@pytest.mark.parametrize(
    "piece",
    quick_only(
        ["<a b='", "<!--", "&#"],
        [
            *("<", "<!--", "<![CDATA[", "<a ", "<a b='", "<a <b", "</a", "<script", "<!--<script", "a<", "<a/"),
            *("--!><!--", "&", "&#", "&#9", "<b '>' ", '<a "', "<div>", "<head>", "<p>"),
        ],
    ),
)
def test_reading_takes_no_more_than_linear_time(piece: str) -> None:
    """300 kB of any markup are read at once; the standard library's parser needs minutes, and the test's time ends."""
    for end in ("", ">", '"', "'"):
        assert visible(to_text(piece * (300_000 // len(piece)) + end))
