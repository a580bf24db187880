"""Files, sent and fetched, and choices: over real HTTP, under the blocking and the asyncio client."""

from __future__ import annotations

import asyncio
import io
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from blocking import settings
from hostile import Asked, Said, Service
from puzzel_chat import (
    AsyncPuzzelChat,
    ContractError,
    ConversationClosed,
    DeliveryUnknown,
    FileMessage,
    InvalidArgument,
    NotFound,
    Option,
    OptionsMessage,
    PuzzelChat,
    ReplyTooLarge,
    Role,
    ServerError,
    TextMessage,
    TransportError,
)
from puzzel_chat._files import followed, outgoing
from puzzel_chat._settings import Settings
from puzzel_chat.sandbox import Entry, Fault, Sandbox
from puzzel_chat.testing import VirtualTime
from waiting import until_async

Connect = Callable[..., Any]
DATA = bytes(range(256)) * 700  # 175 kB, which are three pieces
MOST = len(DATA)


@pytest.fixture
def centre() -> Iterator[Sandbox]:
    """A contact centre whose agents answer at once."""
    with Sandbox(script="helpful", pace=0) as sandbox:
        yield sandbox


@pytest.fixture
def chat(connect: Connect, centre: Sandbox) -> Any:
    """A client that takes files up to the size of `DATA`."""
    return connect(**settings(centre), max_file_bytes=MOST)


def files(centre: Sandbox, conversation: Any) -> list[Entry]:
    """The messages of a chat that are files."""
    return [entry for entry in centre.ledger()[conversation.id] if entry.type == "File"]


def the_agents_file(conversation: Any) -> FileMessage:
    """Ask the agent for a file, and wait until it is there."""
    conversation.send("file")
    return next(one for one in conversation.messages() if isinstance(one, FileMessage))


def test_a_file_reaches_the_agent(chat: Any, centre: Sandbox, tmp_path: Path) -> None:
    """Given by its path: its name, its media type and every byte; and it comes back in the polls."""
    path = tmp_path / "receipt.pdf"
    path.write_bytes(DATA)
    with chat.start("support", wait=20) as conversation:
        message = conversation.send_file(path)
        (entry,) = files(centre, conversation)
        assert (entry.id, entry.role.name) == (message.id, "CUSTOMER")
        assert centre.agent(conversation.id).file(message.id) == DATA
        assert (message.file_name, message.content_type, message.size) == ("receipt.pdf", "application/pdf", MOST)
        assert message.author.role is Role.CUSTOMER
        echo = next(one for one in conversation.messages() if isinstance(one, FileMessage))
        assert (echo.id, echo.client_id, echo.url) == (message.id, message.client_id, message.url)
        assert message in conversation.transcript()


@pytest.mark.parametrize("data", [b"", b"x", DATA, bytearray(b"abc"), memoryview(b"abc")], ids=len)
def test_bytes_of_any_size_are_sent_and_fetched(chat: Any, centre: Sandbox, tmp_path: Path, data: bytes) -> None:
    """Nothing at all, one byte, and exactly the bound; what is fetched is what was sent."""
    with chat.start("support", wait=20) as conversation:
        message = conversation.send_file(data, name="data")
        assert centre.agent(conversation.id).file(message.id) == bytes(data)
        assert (message.content_type, message.size) == ("application/octet-stream", len(data))
        to = tmp_path / "copy"
        assert conversation.download(message, to) == len(data)
        assert to.read_bytes() == bytes(data)
        assert stat.S_IMODE(to.stat().st_mode) == 0o600
        assert os.listdir(tmp_path) == ["copy"]


def test_the_agents_file_is_fetched(chat: Any, centre: Sandbox, tmp_path: Path) -> None:
    """Scripted and by hand; into a path or into a file that is open."""
    with chat.start("support", wait=20) as conversation:
        message = the_agents_file(conversation)
        to = str(tmp_path / "receipt.txt")
        assert conversation.download(message, to) == message.size
        assert Path(to).read_bytes().startswith(b"One order")
        centre.agent(conversation.id).send_file(DATA, "photo.jpg", "image/jpeg")
        photo = next(one for one in conversation.messages() if isinstance(one, FileMessage))
        buffer = io.BytesIO()
        assert conversation.download(photo, buffer) == MOST
        assert buffer.getvalue() == DATA


def test_progress_is_told(chat: Any, tmp_path: Path) -> None:
    """After each piece of either way, with the total; and once for a file of nothing."""
    told: list[tuple[int, int | None]] = []

    def tell(done: int, total: int | None) -> None:
        told.append((done, total))

    with chat.start("support", wait=20) as conversation:
        message = conversation.send_file(DATA, name="data", on_progress=tell)
        assert told == [(65536, MOST), (131072, MOST), (MOST, MOST)]
        told.clear()
        conversation.download(message, tmp_path / "copy", on_progress=tell)
        assert told[-1] == (MOST, MOST)
        assert [done for done, _ in told] == sorted({done for done, _ in told})
        told.clear()
        conversation.send_file(b"", name="nothing", on_progress=tell)
        assert told == [(0, 0)]


def test_a_coroutine_is_told_where_it_can_be_awaited(centre: Sandbox, tmp_path: Path) -> None:
    """The asyncio client awaits it between two pieces; the blocking one refuses it before anything is sent."""
    told: list[int] = []

    async def tell(done: int, total: int | None) -> None:
        await asyncio.sleep(0)
        told.append(done)

    async def talk() -> None:
        async with AsyncPuzzelChat(**settings(centre)) as chat, chat.start("support", wait=20) as conversation:
            message = await conversation.send_file(DATA, name="data", on_progress=tell)
            assert told == [65536, 131072, MOST]
            await conversation.download(message, tmp_path / "copy", on_progress=tell)
            assert told[-1] == MOST

    asyncio.run(talk())
    with PuzzelChat(**settings(centre)) as chat, chat.start("support", wait=20) as conversation:
        with pytest.raises(InvalidArgument, match="on_progress"):
            conversation.send_file(DATA, name="data", on_progress=tell)
        assert not files(centre, conversation)


# What cannot be sent.


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", "C:\\x", "", " ", ".", "..", "a\0b", "a\nb", "a\u202eb", "\ud800", "x" * 256]
)
def test_a_name_that_is_a_path_or_could_fool_somebody_is_not_sent(chat: Any, centre: Sandbox, name: str) -> None:
    """Whoever saves the file at the other end may use it; nothing goes out, and `name=` is the way round it."""
    with chat.start("support", wait=0) as conversation:
        with pytest.raises(InvalidArgument, match=r"^name: "):
            conversation.send_file(b"x", name=name)
        assert "uploadFile" not in centre.stats().requests


@pytest.mark.parametrize("name", ["Bilde kl. 13.05\u202fPM.png", "ære være.txt", "📎", "x" * 255, ".profile"])
def test_a_name_of_any_language_is_sent(chat: Any, centre: Sandbox, name: str) -> None:
    """As it is, spaces of all kinds too, which the names of screenshots have."""
    with chat.start("support", wait=20) as conversation:
        assert conversation.send_file(b"x", name=name).file_name == name
        assert files(centre, conversation)[0].wire["fileName"] == name


def test_a_path_that_is_no_file_is_told(chat: Any, centre: Sandbox, tmp_path: Path) -> None:
    """A folder, a pipe, nothing, an impossible name, a file that may not be read: the error says which it is."""
    os.mkfifo(tmp_path / "pipe")
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    secret.chmod(0)
    wrong = {
        tmp_path: "is a folder",
        tmp_path / "pipe": "is no ordinary file",
        tmp_path / "nothing": "cannot be read: No such file or directory",
        "a\0b": "cannot be read: no path can be so",
    }
    if not os.access(secret, os.R_OK):  # whoever may read everything may read this
        wrong[secret] = "cannot be read: Permission denied"
    with chat.start("support", wait=0) as conversation:
        for path, told in wrong.items():
            with pytest.raises(InvalidArgument) as raised:
                conversation.send_file(path)
            assert str(raised.value) == f"file: {told}"
        assert "uploadFile" not in centre.stats().requests


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"file": 7}, "file: must be a path, or bytes, not int"),
        ({"file": b"x"}, "name: is missing"),
        ({"file": b"x", "name": 7}, "name: must be a string, not int"),
        ({"file": b"x", "name": "x", "content_type": "pdf"}, "content_type: must be a media type"),
        ({"file": b"x", "name": "x", "content_type": "a/b\r\nX: y"}, "content_type: must be a media type"),
        (
            {"file": b"x" * (MOST + 1), "name": "x"},
            f"file: has {MOST + 1:,} bytes, more than the {MOST:,} of the setting",
        ),
        ({"file": b"x", "name": "x", "on_progress": "x"}, "on_progress: must be a function"),
    ],
)
def test_what_no_request_can_carry_is_told(chat: Any, centre: Sandbox, given: dict[str, Any], told: str) -> None:
    """By the name of the argument, before anything is sent."""
    with chat.start("support", wait=0) as conversation:
        with pytest.raises(InvalidArgument) as raised:
            conversation.send_file(**given)
        assert str(raised.value).startswith(told)
        assert "uploadFile" not in centre.stats().requests


def test_a_file_that_is_larger_than_the_bound_is_not_read(chat: Any, tmp_path: Path) -> None:
    """Its size is looked at first."""
    path = tmp_path / "film"
    with path.open("wb") as file:
        file.truncate(2**40)
    with chat.start("support", wait=0) as conversation, pytest.raises(InvalidArgument, match="max_file_bytes"):
        conversation.send_file(path)


def test_a_file_that_vanishes_before_it_is_read_is_told(tmp_path: Path) -> None:
    """It was there when the call began."""
    path = tmp_path / "x"
    path.write_bytes(b"x")
    file = outgoing(path, None, None, 10, None)
    path.unlink()
    with pytest.raises(InvalidArgument, match=r"^file: cannot be read: No such file"), file:
        pass


def test_a_file_that_becomes_shorter_while_it_is_read_is_not_sent(chat: Any, centre: Sandbox, tmp_path: Path) -> None:
    """Half of a file is none: nobody gets a message, and the chat goes on."""
    path = tmp_path / "log"
    path.write_bytes(DATA)

    def cut(done: int, total: int | None) -> None:
        os.truncate(path, 10)

    with chat.start("support", wait=20) as conversation:
        with pytest.raises(InvalidArgument, match=r"^file: became shorter while it was read$"):
            conversation.send_file(path, on_progress=cut)
        assert not files(centre, conversation)
        conversation.send("Hello")


def test_a_file_that_grows_while_it_is_read_is_sent_as_it_was_long(chat: Any, centre: Sandbox, tmp_path: Path) -> None:
    """What was told of it is what comes."""
    path = tmp_path / "log"
    path.write_bytes(DATA[:70000])

    def grow(done: int, total: int | None) -> None:
        with path.open("ab") as file:
            file.write(b"more")

    with chat.start("support", wait=20) as conversation:
        message = conversation.send_file(path, on_progress=grow)
        assert centre.agent(conversation.id).file(message.id) == DATA[:70000]


def test_nothing_is_uploaded_for_a_chat_that_is_over(chat: Any, centre: Sandbox) -> None:
    """It is known before."""
    with chat.start("support", wait=20) as conversation:
        conversation.end()
        with pytest.raises(ConversationClosed):
            conversation.send_file(b"x", name="x")
        assert "uploadFile" not in centre.stats().requests


# When the service fails.


@pytest.fixture
def timed(puzzel_time: VirtualTime) -> Iterator[Sandbox]:
    """A contact centre in virtual time."""
    with Sandbox(script="helpful", pace=0, clock=puzzel_time.seconds, sleep=puzzel_time.passing) as sandbox:
        yield sandbox


LOST: dict[str, Fault] = {
    "before": Fault.drop("uploadFile", times=1),
    "after": Fault.drop("uploadFile", after=True, times=1),
    "half read": Fault.half_read("uploadFile", times=1),
    "503": Fault.status(503, "uploadFile", times=1),
    "500 after": Fault.status(500, "uploadFile", after=True, times=1),
    "revoked": Fault.revoked("uploadFile", times=1),
}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_an_upload_is_made_again_and_the_message_once(connect: Connect, timed: Sandbox, fault: Fault) -> None:
    """Nobody sees a file before its message, so an upload may be repeated; it is read from its beginning."""
    timed.faults(fault)
    told: list[int] = []
    with connect(**settings(timed)).start("support", wait=20) as conversation:
        message = conversation.send_file(DATA, name="data", on_progress=lambda done, _: told.append(done))
        assert timed.agent(conversation.id).file(message.id) == DATA
        assert len(files(timed, conversation)) == 1
        assert timed.stats().requests["uploadFile"] == 2
        assert told[-3:] == [65536, 131072, MOST]


def test_an_upload_that_fails_for_good_sends_nothing(connect: Connect, timed: Sandbox) -> None:
    """It is an error of its own, that says which host it was; the chat goes on."""
    with connect(**settings(timed)).start("support", wait=20) as conversation:
        timed.faults(Fault.status(500, "uploadFile"))
        with pytest.raises(ServerError) as raised:
            conversation.send_file(b"x", name="x")
        assert (raised.value.attempts, raised.value.host) == (3, "upload")
        timed.faults(Fault.bad_json("uploadFile"))
        with pytest.raises(ContractError):
            conversation.send_file(b"x", name="x")
        timed.faults(Fault.status(413, "uploadFile"))
        with pytest.raises(Exception, match="The file is too long for the service"):
            conversation.send_file(b"x", name="x")
        timed.faults()
        assert not files(timed, conversation)
        conversation.send("Hello")


@pytest.mark.parametrize("keeps_ids", [True, False], ids=["our id", "no id"])
def test_a_file_whose_reply_is_lost_is_found_in_the_polls(connect: Connect, timed: Sandbox, keeps_ids: bool) -> None:
    """By our own id, or where the service keeps none by its address; it is never sent twice."""
    ids = () if keeps_ids else (Fault.no_client_id(),)
    with connect(**settings(timed)).start("support", wait=20) as conversation:
        timed.faults(Fault.drop("sendMessage", after=True, times=1), *ids)
        message = conversation.send_file(b"x", name="data")
        assert [entry.id for entry in files(timed, conversation)] == [message.id]
        assert isinstance(message, FileMessage)
        assert timed.stats().requests["sendMessage"] == 1


def test_a_file_that_may_not_have_arrived_is_an_error_with_its_name(connect: Connect, timed: Sandbox) -> None:
    """The message was lost on its way, which nobody can know."""
    with connect(**settings(timed)).start("support", wait=20) as conversation:
        timed.faults(Fault.drop("sendMessage", times=1))
        with pytest.raises(DeliveryUnknown) as raised:
            conversation.send_file(b"x", name="data.txt")
        assert raised.value.text == "data.txt"
        assert not files(timed, conversation)


CUT: dict[str, Fault] = {
    "dropped": Fault.drop("downloadFile"),
    "half sent": Fault.half_sent("downloadFile"),
    "truncated": Fault.truncate("downloadFile"),
    "head only": Fault.head_only("downloadFile"),
    "503": Fault.status(503, "downloadFile"),
}


@pytest.mark.parametrize("fault", CUT.values(), ids=CUT)
@pytest.mark.parametrize("passes", [True, False], ids=["once", "always"])
def test_a_download_that_breaks_leaves_all_or_nothing(
    connect: Connect, timed: Sandbox, tmp_path: Path, fault: Fault, passes: bool
) -> None:
    """It is tried again from the beginning; when that fails too, no part of the file is anywhere."""
    with connect(**settings(timed)).start("support", wait=20) as conversation:
        message, buffer = conversation.send_file(DATA, name="data"), io.BytesIO()
        for to in (tmp_path / "copy", buffer):
            timed.faults(evolve(fault, times=1 if passes else None))
            if passes:
                assert conversation.download(message, to) == MOST
            else:
                with pytest.raises((TransportError, ServerError)) as raised:
                    conversation.download(message, to)
                assert raised.value.attempts == 3
    assert os.listdir(tmp_path) == ["copy"] * passes
    assert buffer.getvalue() == (DATA if passes else b"")


# Where a file goes.


def test_a_file_that_is_there_stays(chat: Any, tmp_path: Path) -> None:
    """Unless it may be replaced; a link is replaced itself, and what it points to stays."""
    for name in ("there", "target"):
        (tmp_path / name).write_bytes(b"mine")
    (tmp_path / "link").symlink_to("target")
    (tmp_path / "dangling").symlink_to("nothing")
    with chat.start("support", wait=20) as conversation:
        message = conversation.send_file(b"theirs", name="data")
        for name in ("there", "link", "dangling"):
            with pytest.raises(InvalidArgument, match=r"^to: is there already; pass overwrite=True to replace it$"):
                conversation.download(message, tmp_path / name)
            assert conversation.download(message, tmp_path / name, overwrite=True) == 6
            assert (tmp_path / name).read_bytes() == b"theirs"
            assert not (tmp_path / name).is_symlink()
    assert (tmp_path / "target").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["dangling", "link", "target", "there"]


def test_a_file_that_comes_to_be_meanwhile_stays(chat: Any, tmp_path: Path) -> None:
    """Somebody else was faster, and keeps what they wrote."""
    to = tmp_path / "copy"
    with chat.start("support", wait=20) as conversation:
        message = conversation.send_file(b"theirs", name="data")
        with pytest.raises(InvalidArgument, match=r"^to: is there already"):
            conversation.download(message, to, on_progress=lambda done, total: to.write_bytes(b"mine"))
    assert to.read_bytes() == b"mine"
    assert os.listdir(tmp_path) == ["copy"]


def test_a_place_that_cannot_be_written_is_told(chat: Any, centre: Sandbox, tmp_path: Path) -> None:
    """A folder, one that is not there, an impossible name, a file for text, and what is no file at all."""
    with chat.start("support", wait=20) as conversation:
        message = conversation.send_file(b"x", name="x")
        wrong = {
            tmp_path: "is a folder; name the file in it",
            tmp_path / "nothing" / "copy": "cannot be written: No such file or directory",
            "a\0b": "cannot be written: no path can be so",
            7: "must be a path, or a file that is open for bytes, not int",
            io.StringIO(): "is open for text; open it for bytes, with the mode 'wb'",
        }
        for to, told in wrong.items():
            with pytest.raises(InvalidArgument) as raised:
                conversation.download(message, to)
            assert str(raised.value).startswith(f"to: {told}")
        assert "downloadFile" not in centre.stats().requests
    assert os.listdir(tmp_path) == []


def test_a_name_that_came_with_a_file_is_no_path(chat: Any, centre: Sandbox, tmp_path: Path) -> None:
    """What the other side calls a file has no say in where it goes."""
    with chat.start("support", wait=20) as conversation:
        the_agents_file(conversation)
        centre.agent(conversation.id).send_file(b"x", "../../evil", "text/plain")
        message = next(one for one in conversation.messages() if isinstance(one, FileMessage))
        conversation.download(message, tmp_path / "copy")
    assert (message.file_name, os.listdir(tmp_path)) == ("../../evil", ["copy"])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt drops the connections
def test_a_download_that_is_stopped_leaves_nothing(centre: Sandbox, tmp_path: Path) -> None:
    """By an error of the caller's, an interrupt or a cancellation; the chat goes on."""
    with PuzzelChat(**settings(centre)) as chat, chat.start("support", wait=20) as conversation:
        message = conversation.send_file(DATA, name="data")
        for error in (ZeroDivisionError, KeyboardInterrupt):

            def stop(done: int, total: int | None, error: type[BaseException] = error) -> None:
                raise error

            with pytest.raises(error):
                conversation.download(message, tmp_path / "copy", on_progress=stop)
            with pytest.raises(error):
                conversation.send_file(DATA, name="data", on_progress=stop)
        assert os.listdir(tmp_path) == []
        assert len(files(centre, conversation)) == 1
        conversation.send("Hello")

    async def cancelled() -> None:
        async with AsyncPuzzelChat(**settings(centre)) as chat, chat.start("support", wait=20) as conversation:
            message = await conversation.send_file(DATA, name="data")
            centre.faults(Fault.hang("downloadFile"))
            task = asyncio.create_task(conversation.download(message, tmp_path / "copy"))
            await until_async(lambda: centre.stats().requests["downloadFile"] == 3)
            assert len(os.listdir(tmp_path)) == 1
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert os.listdir(tmp_path) == []
            await conversation.send("Hello")

    asyncio.run(cancelled())


# How far an address is followed.


def at(url: str, **more: Any) -> FileMessage:
    """A message with a file at that address; it is plain data, so anybody may have made it."""
    return FileMessage(conversation_id="c", id="1", url=url, **more)


def test_a_host_of_somebody_else_gets_neither_the_token_nor_our_headers(
    connect: Connect, centre: Sandbox, tmp_path: Path
) -> None:
    """It is asked for the file and nothing else; the service's own host gets both."""
    with Service(lambda asked: Said(b"theirs", media="text/plain")) as stranger:
        chat = connect(**settings(centre), headers={"X-Gateway-Key": "sesame"})
        with chat.start("support", wait=20) as conversation:
            assert conversation.download(at(f"{stranger.base_url}/a b?x=1#y"), tmp_path / "copy") == 6
    (asked,) = stranger.asked
    assert (asked.method, asked.path) == ("GET", "/a%20b?x=1")
    assert not {"authorization", "x-gateway-key", "cookie"} & set(asked.headers)
    assert asked.headers["accept"] == "*/*"


def to_another(place: Callable[[], str]) -> Callable[[Asked], Said]:
    """An answer that redirects elsewhere."""
    return lambda asked: Said(status=302, headers={"Location": place()})


def test_a_redirect_takes_the_token_no_further_than_the_services_own_hosts(
    connect: Connect, centre: Sandbox, tmp_path: Path
) -> None:
    """From the file host to somebody else and back: the token goes to the first of the three alone."""
    with (
        Service(lambda asked: Said(status=307, headers={"Location": f"{ours.base_url}/2"})) as stranger,
        Service(
            lambda asked: (
                Said(b"the file", media="text/plain")
                if asked.path == "/2"
                else Said(status=302, headers={"Location": f"{stranger.base_url}/1"})
            )
        ) as ours,
    ):
        chat = connect(**settings(centre), upload_url=ours.base_url)
        with chat.start("support", wait=20) as conversation:
            assert conversation.download(at(f"{ours.base_url}/0"), tmp_path / "copy") == 8
    seen = [(asked.path, "authorization" in asked.headers) for asked in (*ours.asked, *stranger.asked)]
    assert seen == [("/0", True), ("/2", False), ("/1", False)]


def test_an_address_without_a_host_is_the_services(chat: Any, centre: Sandbox, tmp_path: Path) -> None:
    """It is seen from `base_url`."""
    with chat.start("support", wait=20) as conversation:
        path = conversation.send_file(b"x", name="x").url.removeprefix(centre.base_url)
        for url in (path, path.removeprefix("/"), f"//{centre.base_url.partition('//')[2]}{path}"):
            assert conversation.download(at(url), tmp_path / "copy", overwrite=True) == 1


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "is none of a web server"),
        ("file:///etc/passwd", "is none of a web server"),
        ("ftp://files.example/x", "is none of a web server"),
        ("data:,x", "is none of a web server"),
        ("http://files.example/x", "is not https"),
        ("http://169.254.169.254/latest", "is not https"),
        ("https://ada:secret@files.example/x", "holds a user or a password"),
        ("https://files.example@evil.example/x", "holds a user or a password"),
        ("https:///x", "is none of a web server"),
        ("https://files.example:99999/x", ""),
        ("https://[files.example/x", ""),
        ("https://files.example/\r\nX: y", "holds control characters"),
    ],
)
def test_an_address_that_is_not_followed_is_told(
    chat: Any, centre: Sandbox, tmp_path: Path, url: str, told: str
) -> None:
    """In the message and in a redirect alike; nothing is asked, and nothing is written."""
    with Service(to_another(lambda: url)) as stranger, chat.start("support", wait=0) as conversation:
        with pytest.raises(InvalidArgument) as raised:
            conversation.download(at(url), tmp_path / "copy")
        assert str(raised.value).startswith(f"message: its address {told}")
        if url and url.isprintable() and not url.startswith("data"):
            with pytest.raises(ContractError) as redirected:
                conversation.download(at(f"{stranger.base_url}/"), tmp_path / "copy")
            assert f"its address redirects to one that {told}" in str(redirected.value)
    assert os.listdir(tmp_path) == []


def test_plain_http_on_this_machine_is_for_a_service_on_this_machine() -> None:
    """With a service elsewhere, a message must not reach into the machine that fetches the file."""
    settings = Settings(solution_id="7", region="opo")
    for host in ("127.0.0.1", "localhost", "[::1]"):
        with pytest.raises(ValueError, match="is not https"):
            followed("https://files.example/", f"http://{host}:6379/x", settings)
    assert followed("", "https://app-contentupload.puzzel.com/x", settings)[0] == settings.address("upload")


def test_redirects_in_circles_end(connect: Connect, centre: Sandbox, tmp_path: Path) -> None:
    """After five."""
    with (
        Service(to_another(lambda: f"{circle.base_url}/again")) as circle,
        connect(**settings(centre)).start("support", wait=0) as conversation,
        pytest.raises(ContractError, match="redirects more than 5 times"),
    ):
        conversation.download(at(f"{circle.base_url}/"), tmp_path / "copy")
    assert len(circle.asked) == 6
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_larger_than_the_bound_is_not_kept(connect: Connect, centre: Sandbox, tmp_path: Path) -> None:
    """Whatever its message and its head say; what its message says is not relied on."""
    with Service(lambda asked: Said(b"x" * 2000, media="text/plain")) as stranger:
        chat = connect(**settings(centre), max_file_bytes=1999)
        with chat.start("support", wait=0) as conversation:
            for size in (None, 1, 2000):
                with pytest.raises(ReplyTooLarge, match="larger than the 1,999 bytes of the setting max_file_bytes"):
                    conversation.download(at(f"{stranger.base_url}/x", size=size), tmp_path / "copy")
            with connect(**settings(centre), max_file_bytes=2000).start("support", wait=0) as conversation:
                assert conversation.download(at(f"{stranger.base_url}/x", size=1), io.BytesIO()) == 2000
    assert os.listdir(tmp_path) == []


def test_a_web_page_in_the_files_place_is_no_file(connect: Connect, centre: Sandbox, tmp_path: Path) -> None:
    """A proxy's sign-in is not saved as a receipt; a page that was announced as one is."""
    page = Said(b"<html>Sign in", media="text/html; charset=utf-8")
    with Service(lambda asked: page) as stranger, connect(**settings(centre)).start("support", wait=0) as conversation:
        with pytest.raises(ContractError, match="a web page came in its place"):
            conversation.download(at(f"{stranger.base_url}/x", content_type="application/pdf"), tmp_path / "copy")
        assert os.listdir(tmp_path) == []
        for kind in ("text/html", None):
            conversation.download(at(f"{stranger.base_url}/x", content_type=kind), tmp_path / "copy", overwrite=True)


def test_a_file_that_is_not_there_is_told(connect: Connect, centre: Sandbox, tmp_path: Path) -> None:
    """Another customer's, one that never was, and what is no message of a file."""
    chat = connect(**settings(centre))
    with chat.start("support", wait=20) as one, chat.start("support", wait=20) as other:
        message = one.send_file(b"x", name="x")
        for wrong in (message, at(f"{centre.base_url}/api/file/nothing")):
            with pytest.raises(NotFound, match="There is no such file, or no more"):
                other.download(wrong, tmp_path / "copy")
        with pytest.raises(InvalidArgument, match=r"^message: must be a FileMessage, not TextMessage"):
            other.download(other.send("Hello"), tmp_path / "copy")
    assert os.listdir(tmp_path) == []


def test_what_is_told_of_a_request_for_a_file_has_no_address_in_it(
    connect: Connect, centre: Sandbox, tmp_path: Path
) -> None:
    """An observer hears of the request, and not what the file is called, nor where a stranger has it."""
    seen: list[Any] = []
    with (
        Service(lambda asked: Said(b"x", media="text/plain")) as stranger,
        connect(**settings(centre), observe=seen.append).start("support", wait=20) as conversation,
    ):
        conversation.download(conversation.send_file(b"x", name="passport.txt"), io.BytesIO())
        conversation.download(at(f"{stranger.base_url}/passport.txt"), io.BytesIO())
    told = [(one.base_url, one.path) for one in seen if getattr(one, "operation", "") == "downloadFile"]
    assert told == [(centre.base_url, "/…"), ("elsewhere", "/…")]
    assert "passport" not in repr(seen)


# Choices.


def test_a_choice_is_answered_in_its_words(chat: Any, centre: Sandbox) -> None:
    """By the option, its id or its label; what is no choice is told with the ids there are, without people's words."""
    with chat.start("support", wait=20) as conversation:
        with pytest.raises(InvalidArgument, match=r"^option: there is no question with choices yet"):
            conversation.choose("delivery")
        conversation.send("options")
        question = next(one for one in conversation.messages() if isinstance(one, OptionsMessage))
        for choice in (question.options[0], "delivery", "Delivery"):
            answer = conversation.choose(choice)
            assert isinstance(answer, TextMessage)
            assert answer.text == "Delivery"
        with pytest.raises(InvalidArgument, match=r"^option: must be an Option, its id or its label, not int$"):
            conversation.choose(7)
        for wrong in ("Sailing", Option(id="sailing", label="Sailing"), ""):
            with pytest.raises(InvalidArgument) as raised:
                conversation.choose(wrong)
            assert str(raised.value).endswith("its ids are ['delivery', 'invoice']")
            assert "Delivery" not in str(raised.value)
        said = [entry.content for entry in centre.ledger()[conversation.id] if entry.role.name == "CUSTOMER"]
        assert said == ["options", "Delivery", "Delivery", "Delivery"]
