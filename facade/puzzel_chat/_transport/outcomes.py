"""Every error of the HTTP library, turned into ours."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from puzzel_chat._config import Address
from puzzel_chat._errors import Sent, TransportError
from puzzel_chat._transport.logs import shortened_logs

# Every concrete error of the library that a request can meet, and whether the service may have seen the request.
# A test enumerates the library's errors and fails when one is missing here.
OUTCOMES: dict[type[Exception], tuple[Sent, str]] = {
    httpx.ConnectError: ("no", "could not connect to {host}; check that setting and the network"),
    httpx.ConnectTimeout: ("no", "no connection to {host} within {timeout:g} s"),
    httpx.PoolTimeout: ("no", "no free connection within {timeout:g} s; too many chats at once for this process"),
    httpx.UnsupportedProtocol: ("no", "the address is not http or https"),
    httpx.LocalProtocolError: ("no", "the request breaks the HTTP rules"),
    httpx.ProxyError: ("no", "the proxy on the way to {host} refused"),
    httpx.InvalidURL: ("no", "the address is not valid"),
    httpx.ReadTimeout: ("maybe", "{host} did not answer within {timeout:g} s"),
    httpx.WriteTimeout: ("maybe", "{host} did not take the request within {timeout:g} s"),
    httpx.ReadError: ("maybe", "the connection to {host} broke while reading"),
    httpx.WriteError: ("maybe", "the connection to {host} broke while writing"),
    httpx.CloseError: ("maybe", "the connection to {host} broke while closing"),
    httpx.RemoteProtocolError: ("maybe", "{host} closed the connection or answered with broken HTTP"),
    httpx.DecodingError: ("maybe", "{host} sent a body that cannot be unpacked"),
    httpx.TooManyRedirects: ("maybe", "{host} redirects in circles"),
    httpx.StreamError: ("maybe", "the reply of {host} could not be read"),
    httpx.HTTPError: ("maybe", "the request to {host} failed"),
}


@contextmanager
def mapped_errors(address: Address, timeout: float) -> Iterator[None]:
    """Turn every error of the HTTP library into a `TransportError`, the nearest row first."""
    try:
        with shortened_logs():
            yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, zlib.error) as error:
        kind = httpx.DecodingError if isinstance(error, zlib.error) else type(error)
        row = next(base for base in kind.__mro__ if base in OUTCOMES)
        sent, sentence = OUTCOMES[row]
        told = sentence.format(host=address, timeout=timeout)
        # The cause's frames hold headers and body as they were written, so it is named and not kept.
        raise no_reply(address, f"{told} ({kind.__name__}).", sent) from None


def overdue(address: Address, whole: float, sent: Sent) -> TransportError:
    """Give the error for a request that as a whole took longer than so many seconds."""
    return no_reply(address, f"{address} had not answered in full after {whole:g} s.", sent)


def no_reply(address: Address, why: str, sent: Sent) -> TransportError:
    """Give the error for a request to that host which brought no usable reply."""
    error = TransportError(f"No reply: {why}", sent=sent)
    error.host = address.name
    return error
