"""How large a reply may be and how long a request may take, over real HTTP, in both transports."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable

import pytest

from answering import says, server
from puzzel_chat._errors import ContractError, TransportError
from puzzel_chat._http import Reply, Request
from puzzel_chat._transport import lasting, left

POLL = Request(operation="pollConversation", method="GET", path="/api/conversation")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Send = Callable[..., Reply]


def endless(beginning: bytes, piece: bytes, pause: float = 0.0) -> Callable[[socket.socket], None]:
    """An answer that goes on until the client has had enough, and for 20 s at most."""

    def answer(connection: socket.socket) -> None:
        stop = time.monotonic() + 20
        try:
            connection.sendall(beginning)
            while time.monotonic() < stop:
                connection.sendall(piece)
                time.sleep(pause)
        except OSError:
            gone.set()

    gone = threading.Event()
    answer.gone = gone  # type: ignore[attr-defined]
    return answer


def test_a_packed_reply_is_unpacked(send: Send) -> None:
    """Gzip is asked for and understood."""
    packed = gzip.compress(b'{"messages":[]}')
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with server(lambda connection: connection.sendall(head + packed)) as base_url:
        assert send(base_url, POLL).body == b'{"messages":[]}'


def test_a_reply_without_an_end_is_left(send: Send) -> None:
    """After 8 MiB the connection is closed, and the rest is never read."""
    answer = endless(HEAD + b"Content-Length: 99999999999\r\n\r\n", bytes(2**16))
    with server(answer) as base_url:
        with pytest.raises(ContractError, match="pollConversation: the reply is larger than 8 MiB"):
            send(base_url, POLL)
        assert answer.gone.wait(10)  # type: ignore[attr-defined]


def test_a_packing_that_nobody_asked_for_is_told(send: Send) -> None:
    """The error names the operation and not the network: sending again would not help."""
    with (
        server(says("HTTP/1.1 200 OK\nContent-Encoding: br\nContent-Length: 2\n\n{}")) as base_url,
        pytest.raises(ContractError, match="only gzip"),
    ):
        send(base_url, POLL)


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (HEAD + b"Content-Length: 99999999\r\n\r\n", b"x"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (HEAD + b"X-Endless: ", b"x"),
        (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    ],
    ids=["body", "chunks", "header", "interim replies"],
)
def test_a_reply_that_trickles_is_left_in_time(send: Send, beginning: bytes, piece: bytes) -> None:
    """Each read is in time and the whole is not: it ends after three times the timeout, or earlier without a head."""
    answer = endless(beginning, piece, 0.05)
    with server(answer) as base_url:
        with pytest.raises(TransportError, match=r"(in full after 0\.6|answer within 0\.2) s") as raised:
            send(base_url, POLL, timeout=0.2)
        assert answer.gone.wait(10)  # type: ignore[attr-defined]
    assert raised.value.sent == "maybe"


def test_a_short_time_is_for_the_whole(send: Send) -> None:
    """What must be over within a time is, though the timeout alone would allow more."""
    answer = endless(HEAD + b"Content-Length: 99999999\r\n\r\n", b"x", 0.05)
    began = time.monotonic()
    with server(answer) as base_url:
        with pytest.raises(TransportError, match=r"after 0\.4 s"):
            send(base_url, POLL, timeout=30, within=0.4)
        assert answer.gone.wait(10)  # type: ignore[attr-defined]
    assert time.monotonic() - began < 20


def test_a_request_that_interrupts_another_keeps_its_time_to_itself() -> None:
    """A signal's handler that sends in the middle of a request neither cuts that one's time nor prolongs it."""
    with lasting(60):
        with lasting(0.0), pytest.raises(TimeoutError):
            left(None)
        assert 30 < left(None) <= 60
