"""What the facade takes of the generated client, as the pipeline sees it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.judgement.renames import Guess, guesses
from pipeline.judgement.uses import Uses
from pipeline.judgement.wire_types import read_uses
from pipeline.layout import Layout

ROOT = Path(__file__).resolve().parents[2]
HERE = Layout(root=ROOT)


@pytest.fixture(scope="module")
def uses() -> Uses:
    """What this checkout's facade does."""
    return read_uses(HERE, HERE.package.parent)


def always(_one: str, _other: str) -> bool:
    return True


def never(_one: str, _other: str) -> bool:
    return False


def test_the_facade_fits_its_client(uses: Uses) -> None:
    """The type checker has nothing to object to, so what is found is everything."""
    assert uses.errors == ()


def test_every_row_of_the_table_is_seen(uses: Uses) -> None:
    """The operations are those of the facade's own table, each with its method and what it is given by name."""
    rows = {row.operation: (row.used_by, row.parameters) for row in uses.rows}
    assert len(rows) == 10
    assert rows["sendMessage"] == ("Conversation.send", frozenset({"body"}))
    assert rows["pollConversation"] == ("Session.poll", frozenset({"after"}))


def test_reading_and_writing_are_seen_with_their_lines(uses: Uses) -> None:
    """A field that is written, one that is read, and a member that is named: each where it stands in the file."""
    for owner, name, how, words in [
        ("SendMessageRequest", "content", "write", "content="),
        ("QueueInfo", "is_open", "read", "flag(found.is_open)"),
        ("ChatEventKind", "AGENTLEFT", "member", "ChatEventKind.AGENTLEFT"),
        ("SendMessageReply", "SendMessageReply", "class", "theirs.SendMessageReply.from_dict"),
    ]:
        found = [use for use in uses.of(owner, name) if use.how == how]
        assert found, (owner, name)
        lines = (ROOT / found[0].place.file).read_text().splitlines()
        assert words in lines[found[0].place.line - 1]


def test_what_a_union_holds_is_read_from_each_of_its_kinds(uses: Uses) -> None:
    """The id that every kind of message has is a use of each class."""
    for owner in ("TextMessage", "OptionsMessage", "FileMessage", "EventMessage"):
        assert uses.of(owner, "id")


def test_what_may_be_left_out_is_seen(uses: Uses) -> None:
    """One of a visitor's tokens may be missing from the request, the challenge never is."""
    assert [use.always for use in uses.of("AuthenticateRequest", "id_token")] == [False]
    assert [use.always for use in uses.of("AuthenticateRequest", "code_challenge")] == [True]


def test_a_value_that_is_read_is_seen_with_its_reader(uses: Uses) -> None:
    """The function that takes the value decides which types it survives."""
    assert {use.reader for use in uses.of("QueueInfo", "opens_at")} == {"when"}
    assert {use.reader for use in uses.of("QueueInfo", "is_open")} == {"flag"}


def test_what_is_read_by_its_name_belongs_to_the_operations_that_lead_there(uses: Uses) -> None:
    """The cursor is read where polls are converted, and nowhere else."""
    (place,) = uses.strings["cursor"]
    assert uses.scopes[place] == {"pollConversation"}
    assert {one for place in uses.strings["sentAt"] for one in uses.scopes[place]} == {"pollConversation"}


def test_an_error_is_found_where_it_is(tmp_path: Path) -> None:
    """On a client that the facade does not fit, the type checker's word comes with file and line."""
    shutil.copytree(HERE.package.parent, tmp_path / "generated")
    model = tmp_path / "generated" / "puzzel_chat_api" / "models" / "queue_info.py"
    model.write_text(model.read_text().replace("is_open", "open_now"))
    (error,) = read_uses(HERE, tmp_path / "generated").errors
    place, message = error
    assert "is_open" in (ROOT / place.file).read_text().splitlines()[place.line - 1]
    assert message == '"QueueInfo" has no attribute "is_open"'


@pytest.mark.parametrize(
    ("gone", "fresh", "told"),
    [
        ("content", "text", {"content": "is now `text`"}),
        ("a b", "c d", {"a": "is gone; new beside it: `c`, `d`", "b": "is gone; new beside it: `c`, `d`"}),
        ("sentAt reason", "createdAt topic", {"sentAt": "is gone; `createdAt` looks like it"}),
        ("id", "messageId text", {"id": "is gone; `messageId` looks like it"}),
        ("queueSize", "", {"queueSize": "is gone, and nothing new is beside it"}),
        ("state", "State", {"state": "is now `State`"}),
    ],
)
def test_a_guess_says_how_sure_it_is(gone: str, fresh: str, told: dict[str, str]) -> None:
    """Only what has no rival is said to be the new name; a likeness is called one; else the new ones are listed."""
    found = guesses(gone.split(), fresh.split(), always, always)
    assert {name: str(found[name]) for name in told} == told


def test_a_guess_never_crosses_kinds() -> None:
    """A number does not become a list, however alike the names are."""
    assert guesses(["items"], ["items2"], never, always)["items"] == Guess(others=("items2",))
