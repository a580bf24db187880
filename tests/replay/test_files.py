"""Files in cassettes: a chat with files is replayed without a network, and a stranger's address and bytes stay out."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from hostile import Asked, Said, Service
from puzzel_chat import FileMessage, PuzzelChat
from puzzel_chat.sandbox import Sandbox
from puzzel_chat.testing import VirtualTime, _number_ids, unplayed
from puzzel_chat.testing._scrub import ELSEWHERE, HOST
from replay.playing import KINDS, RECORDED, cassette, client


def talk(chat: PuzzelChat, path: Path) -> list[Any]:
    """Send a file, get one, and fetch both."""
    path.write_bytes(b"PNG my picture")
    with chat.start("support", conversation_id="mine", wait=60) as conversation:
        mine = conversation.send_file(path)
        conversation.send("file")
        theirs = next(one for one in conversation.messages() if isinstance(one, FileMessage) and one.author.is_agent)
        buffers = [io.BytesIO(), io.BytesIO()]
        sizes = [conversation.download(one, to) for one, to in zip((mine, theirs), buffers, strict=True)]
        return [mine.file_name, theirs.file_name, sizes, [buffer.getvalue()[-6:] for buffer in buffers]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_chat_with_files_is_replayed(
    kind: str, puzzel_time: VirtualTime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Recorded with the sandbox; the addresses lead to where everything is in a cassette."""
    path, tape = tmp_path / "picture.png", tmp_path / "files.puzzel.yaml"
    _number_ids(monkeypatch)
    with (
        Sandbox(pace=1, clock=puzzel_time.seconds) as sandbox,
        cassette(tape, "all"),
        client("sync", **sandbox.settings) as chat,
    ):
        recorded = talk(chat, path)
    assert sandbox.base_url not in tape.read_text()
    _number_ids(monkeypatch)
    with cassette(tape) as played, client(kind, **RECORDED) as chat:
        assert talk(chat, path) == recorded
    assert not unplayed(played)


def test_a_strangers_file_is_not_in_the_cassette(puzzel_time: VirtualTime, tmp_path: Path) -> None:
    """Neither its bytes nor its address, which may hold the right to fetch it; what is fetched is a stand-in."""
    tape = tmp_path / "files.puzzel.yaml"

    def answer(asked: Asked) -> Said:
        if asked.path.startswith("/connect"):
            return Said({"access_token": "a-token-1", "refresh_token": "r-token-1", "expires_in": 600})
        return Said({"requestId": "r"}) if "/route/" in asked.path else Said({})

    url = "/grunnfjell/passport.pdf?sig=0a1b2c3d4e5f60718293a4b5"
    with (
        Service(lambda asked: Said(b"Kari Grunnfjell", media="application/pdf")) as stranger,
        Service(answer) as service,
        cassette(tape, "all"),
        client("sync", base_url=service.base_url, solution_id="7") as chat,
    ):
        conversation = chat.start("support", conversation_id="mine", wait=0)
        message = FileMessage(conversation_id="mine", id="1", url=f"{stranger.base_url}{url}")
        assert conversation.download(message, io.BytesIO()) == 15
    written = tape.read_text()
    assert f"{ELSEWHERE}/scrubbed" in written
    assert f"{HOST}/api/conversation/mine/route/" in written
    for secret in ("grunnfjell", "Grunnfjell", "passport", "0a1b2c", stranger.base_url):
        assert secret not in written
