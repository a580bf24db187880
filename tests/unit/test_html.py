"""Message HTML to plain text and back, also when it is hostile."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat._html import bare, from_text, printable, to_text
from quick import quick_only

STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
JOINS = "\u200c\u200d"
SIGNS = "\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd"
QUADRATS = "".join(map(chr, range(0x13430, 0x13440)))  # they place hieroglyphs
TAGS = "".join(map(chr, range(0xE0020, 0xE0080)))
KEPT = frozenset("\n\t" + JOINS + SIGNS + QUADRATS + TAGS)
BLACK_FLAG = "\U0001f3f4"
LATER = "\U0001fac8\U0001faea\U0001face\U0001fadc\U0001fbff"
"""Letters that some or all of Python 3.11 to 3.14 do not know: of Unicode 15, 16, 17 and of the future."""


def flag(part: str) -> str:
    """The flag of a part of a country, such as "gbeng"."""
    return BLACK_FLAG + "".join(chr(0xE0000 + ord(letter)) for letter in part) + "\U000e007f"


ENGLAND, SCOTLAND, TEXAS = flag("gbeng"), flag("gbsct"), flag("ustx")
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


@pytest.mark.parametrize(
    ("first", "last"),
    [
        (0x00, 0x08), (0x0E, 0x1B), (0x1F, 0x1F), (0x7F, 0x84), (0x86, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C),
        (0x180E, 0x180E), (0x200B, 0x200B), (0x200E, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xD800, 0xDFFF),
        (0xFDD0, 0xFDEF), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xFFFE, 0xFFFF), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A),
        (0x1FFFE, 0x1FFFF), (0xE0000, 0xE007F), (0x10FFFE, 0x10FFFF),
    ],
)  # fmt: skip
def test_what_is_dropped_does_not_depend_on_this_python(first: int, last: int) -> None:
    """These and no others: the letters around them stay, and no Python's own table calls one of them printable."""
    dropped = "".join(map(chr, range(first, last + 1)))
    assert printable(dropped) == ""
    assert not any(letter.isprintable() for letter in dropped)


def test_every_other_letter_is_kept_whatever_this_python_knows_of_it() -> None:
    """Of all 1,114,112 code points 2,341 are dropped, and nine line ends become one of them."""
    every = "".join(map(chr, range(0x110000)))
    ends = "\x0b\x0c\r\x1c\x1d\x1e\x85\u2028\u2029"
    kept = printable(every)
    assert kept.count("\n") == 1 + len(ends)
    assert len(every) - len(kept) == 2341
    assert not any(end in kept for end in ends)


@pytest.mark.parametrize(
    "text",
    [
        *LATER,
        *(f"\u0663{sign}\u0664" for sign in SIGNS),
        f"a{JOINS}b",
        "\ue000 \uf8ff \U000f0000 \U0010fffd",
        "\U0001f469\U0001f3fd\u200d\U0001f4bb",
        "\u2764\ufe0f\u200d\U0001f525",
        "1\ufe0f\u20e3",
        ENGLAND,
        SCOTLAND + TEXAS,
        f"{BLACK_FLAG}{ENGLAND}",
        "10\u00a0000\u202f000",
    ],
    ids=ascii,
)
def test_what_people_write_is_kept(text: str) -> None:
    """Emoji newer than Python, their joiners, flags, numbers of other scripts: as text, in markup, and as a name."""
    assert printable(text) == text
    assert to_text(text) == text
    assert to_text(f"<b>{text}</b>") == text
    assert to_text("".join(f"&#{ord(letter)};" for letter in text)) == text
    assert bare(to_text(f"<p>{from_text(text)}")) == bare(text) != ""


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (TAGS, ""),
        (BLACK_FLAG + TAGS, BLACK_FLAG),
        (ENGLAND[:-1], BLACK_FLAG),
        (f"a{ENGLAND[1:]}", "a"),
        (BLACK_FLAG + ENGLAND[-1], BLACK_FLAG),
        (flag("hidden words for a bot"), BLACK_FLAG),
        (f"{ENGLAND}\U000e0061", ENGLAND),
        (f"{ENGLAND}\u202e{ENGLAND}", ENGLAND * 2),
    ],
    ids=ascii,
)
def test_tags_stand_in_flags_alone(text: str, kept: str) -> None:
    """Elsewhere they are letters that nobody sees, and that a program reads."""
    assert printable(text) == to_text(text) == to_text(f"<i>{text}</i>") == kept


@pytest.mark.parametrize(
    "end", ["\n", "\r", "\r\n", "\x85", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\u2028", "\u2029"]
)
def test_each_kind_of_line_end_is_one(end: str) -> None:
    """No two words of two lines become one word, in plain text or in markup."""
    assert printable(f"one{end}two") == "one\ntwo"
    assert to_text(f"one{end}two") == "one\ntwo"
    assert to_text(f"<b>one{end}two</b>") == "one\ntwo"
    assert to_text(f"one{end}{end}{end}<i>two</i>") == "one\n\ntwo"


BLOCKS = (
    "address article aside blockquote body br center dd details dialog dir div dl dt fieldset figcaption figure footer"
    " form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p plaintext pre"
    " search section summary table caption tbody tfoot thead tr ul xmp"
)


@pytest.mark.parametrize("tag", BLOCKS.split())
def test_a_block_ends_a_line(tag: str) -> None:
    """What browsers show as blocks never runs into what is beside it, closed or not, in any letter case."""
    for name in (tag, tag.upper()):
        assert to_text(f"one<{name}>two").split() == ["one", "two"]
        assert to_text(f"one</{name}>two").split() == ["one", "two"]
        assert "\n" in to_text(f"one<{name} class=x>two</{name}>three")


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (
            "<table><tr><td>Mon</td><td>8-16</td></tr><tr><td>Tue</td><td>9-15</td></tr></table>",
            "Mon\t8-16\n\nTue\t9-15",
        ),
        ("<table><tr><th>Day<th>Open<tr><td>Mon<td>8-16</table>", "Day\tOpen\nMon\t8-16"),
        ("<table><caption>Hours</caption><td>Mon<td>8</table>", "Hours\nMon\t8"),
        ("<tr><td></td><td>8</td></tr>", "\t8"),
        ("<select><option>Yes<option>No</select>", "Yes\nNo"),
        ("<select><optgroup label='Fruit &amp; more'><option>Fig</optgroup></select>", "Fruit & more\nFig"),
        ("<button>Yes</button><button>No</button>", "Yes No"),
        ("Pay<input type=submit value=Now><input TYPE='button' VALUE=\"Later\">", "Pay Now Later"),
        (
            "<input type=image alt=Go src=x><input type=hidden value=h><input type=password value=p><input value=t>",
            "Go",
        ),
        ("a<textarea>b</textarea>c", "a b c"),
        ("<svg><title>no</title><text>a</text><text>b</text></svg>c", "a b c"),
        ("one</br>two", "one\ntwo"),
        ("long<wbr>word soft&shy;hyphen", "longword softhyphen"),
        ("<b>un</b>seen", "unseen"),
        ("<dl><dt>Open<dd>8-16</dl>", "Open\n8-16"),
        ("a<ruby>\u6f22<rt>kan</rt></ruby>", "a\u6f22 kan"),
        ("<p>x\0y</p>", "xy"),
    ],
)
def test_words_that_stand_apart_stay_apart(markup: str, text: str) -> None:
    """Cells, choices, buttons and fields do not glue their words together, and parts of one word stay one."""
    assert to_text(markup) == text


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("<img src=x alt='\U0001f642'>", "\U0001f642"),
        ('Well done <img alt="\U0001f642">!', "Well done \U0001f642!"),
        ("one<img alt=two>three", "one two three"),
        ("<img title='alt=no' data-alt=no ALT='a &lt; b'/>", "a < b"),
        ("<img alt=first alt=second>", "first"),
        ("<img src='x'alt='y'>", "y"),
        ("<img alt><img alt=''><img>Hi", "Hi"),
        ("<img alt='&#27;[2J&#x202e;\x1b'>Hi", "[2J Hi"),
        ("<div><img src=x></div>Hi", "Hi"),
        ("<template><img alt=no></template>Hi", "Hi"),
        ("<iframe title=no>no</iframe><noscript>Hi</noscript>", "Hi"),
        ("<html><head><title>no</title><p>Hi", "Hi"),
    ],
)
def test_a_picture_says_what_it_shows(markup: str, text: str) -> None:
    """Its `alt` is text like any other; no other attribute is."""
    assert to_text(markup) == text


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


printed = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"]).filter(printable))


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
            *("--!><!--", "&", "&#", "&#9", "<b '>' ", '<a "', "<div>", "<head>", "<p>", "<td>", "\r", "a\0"),
            *("<img>", "<img ", "<img alt=a>", "<input type=submit value='x'>", "<title>", BLACK_FLAG + "\U000e0067"),
        ],
    ),
)
def test_reading_takes_no_more_than_linear_time(piece: str) -> None:
    """300 kB of any markup are read at once; the standard library's parser needs minutes, and the test's time ends."""
    for end in ("", ">", '"', "'"):
        assert visible(to_text(piece * (300_000 // len(piece)) + end))


@pytest.mark.parametrize("inside", quick_only(["a "], ["a ", " ", "=", "/", "a=", "''", "'a'", "a b= ", "alt="]))
def test_the_inside_of_one_tag_takes_no_more_than_linear_time(inside: str) -> None:
    """300 kB of attributes are read at once."""
    for begin in ("<img ", "<img a", "<input type=submit "):
        assert visible(to_text(f"{begin}{inside * (300_000 // len(inside))}>"))
