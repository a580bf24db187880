"""A reply's body: bounded, whole or an error, and never unpacked further than it may be."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from puzzel_chat._errors import ContractError
from puzzel_chat._transport import LARGEST_REPLY, Body


def taken(packing: str, *pieces: bytes) -> bytes:
    """The body that came in these pieces."""
    body = Body("pollConversation", packing)
    for piece in pieces:
        body.take(piece)
    return body.whole()


def bomb(layers: int) -> bytes:
    """A gzip stream that unpacks to so many MiB of zeros."""
    packer = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    packed = b"".join(packer.compress(bytes(2**20)) for _ in range(layers))
    return packed + packer.flush()


@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=5), st.sampled_from(["", "gzip", "X-GZIP "]))
def test_pieces_make_the_whole(content: bytes, cuts: list[int], packing: str) -> None:
    """However a body is cut and packed, it comes out as it was."""
    packed = gzip.compress(content) if packing else content
    places = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    assert taken(packing, *(packed[a:b] for a, b in pairwise(places))) == content


@pytest.mark.parametrize("packing", ["", "identity", "gzip"])
def test_the_largest_reply_is_taken_and_one_byte_more_is_not(packing: str) -> None:
    """The bound counts what is unpacked, and the error says how large a reply may be."""
    whole = bytes(LARGEST_REPLY)
    assert taken(packing, gzip.compress(whole) if packing == "gzip" else whole) == whole
    more = whole + b"!"
    with pytest.raises(ContractError, match=r"pollConversation: the reply is larger than 8 MiB"):
        taken(packing, gzip.compress(more) if packing == "gzip" else more)


def test_a_bomb_is_not_unpacked() -> None:
    """A reply that would unpack to a gigabyte costs little more than what may be kept of it."""
    packed = bomb(1024)
    assert len(packed) < 2**20 + 50_000
    tracemalloc.start()
    try:
        with pytest.raises(ContractError, match="8 MiB"):
            taken("gzip", packed)
        assert tracemalloc.get_traced_memory()[1] < 4 * LARGEST_REPLY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packing", ["deflate", "br", "zstd", "gzip, gzip", "\u0001"])
def test_a_packing_that_was_not_asked_for_is_refused(packing: str) -> None:
    """Only gzip is asked for; a service that sends something else will not send better the next time."""
    with pytest.raises(ContractError, match="not asked for"):
        Body("sendMessage", packing)


@pytest.mark.parametrize(
    "pieces",
    [(b"nope",), (gzip.compress(b"Hello" * 99)[:-9],), (gzip.compress(b"{}"), b"more")],
    ids=["not packed", "cut off", "more after the end"],
)
def test_a_damaged_body_is_no_body(pieces: tuple[bytes, ...]) -> None:
    """What is not gzip, is cut short, or goes on behind its end, cannot be unpacked."""
    with pytest.raises(zlib.error):
        taken("gzip", *pieces)


def test_nothing_packed_is_nothing() -> None:
    """A reply without a body may still name a packing."""
    assert taken("gzip") == b""
