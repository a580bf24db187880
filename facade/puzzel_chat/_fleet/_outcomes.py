"""Every error of pyreqwest, turned into ours; imported only when the `[fleet]` extra is there."""

from __future__ import annotations

import zlib

from pyreqwest import exceptions as library

from puzzel_chat._errors import Sent, TransportError
from puzzel_chat._settings import Address
from puzzel_chat._transport import no_reply, overdue

# Every error of the library, and whether the service may have seen the request. A test enumerates them and fails when
# one is missing here. Its names say less than they seem to: a connection that breaks before the head of the reply is a
# ConnectError (MarkusSintonen/pyreqwest#27), and a reply that does not begin in time a ConnectTimeoutError.
OUTCOMES: dict[type[Exception], tuple[Sent, str]] = {
    library.ConnectError: ("maybe", "{host} closed the connection before it answered"),
    library.ConnectTimeoutError: ("maybe", "{host} did not answer within {timeout:g} s"),
    library.PoolTimeoutError: ("no", "no free connection within {timeout:g} s; too many chats at once for this loop"),
    library.BuilderError: ("no", "the request breaks the HTTP rules"),
    library.ReadTimeoutError: ("maybe", "{host} did not answer within {timeout:g} s"),
    library.WriteTimeoutError: ("maybe", "{host} did not take the request within {timeout:g} s"),
    library.ReadError: ("maybe", "the connection to {host} broke while reading"),
    library.WriteError: ("maybe", "the connection to {host} broke while writing"),
    library.BodyDecodeError: ("maybe", "{host} sent a body that is cut short or cannot be unpacked"),
    library.DecodeError: ("maybe", "{host} answered with broken HTTP"),
    library.RedirectError: ("maybe", "{host} redirects in circles"),
    library.ClientClosedError: ("maybe", "the client was closed meanwhile"),
    library.RequestPanicError: ("maybe", "the HTTP library failed; this is a bug of it"),
    library.PyreqwestError: ("maybe", "the request to {host} failed"),
}
# The same when no connection came about: how a cause of the error begins, and what is told. Nothing was sent then.
UNCONNECTED: dict[str, str] = {
    "tunnel error": "the proxy on the way to {host} refused",
    "invalid peer certificate": "the certificate of {host} is not trusted; have the system or SSL_CERT_FILE trust it",
    "operation timed out": "no connection to {host} in time",
    "deadline has elapsed": "no connection to {host} in time",
    "": "could not connect to {host}; check that setting and the network",
}
CAUGHT = (library.PyreqwestError, zlib.error)
# The words of the library below it (hyper-util) for this stage; each other stage has words of its own. Should they ever
# change, then what was not sent counts as perhaps sent, and nothing worse.
_CONNECTING = "client error (Connect)"


def outcome(error: Exception, address: Address, timeout: float, whole: float, taken: float) -> TransportError:
    """Give our error for one of `CAUGHT` that came after `taken` seconds, the nearest row first."""
    kind = library.BodyDecodeError if isinstance(error, zlib.error) else type(error)
    sent, sentence = _unconnected(error) or next(OUTCOMES[base] for base in kind.__mro__ if base in OUTCOMES)
    if isinstance(error, TimeoutError) and taken >= whole:
        return overdue(address, whole, sent)
    told = sentence.format(host=address, timeout=timeout)
    return no_reply(address, f"{told} ({kind.__name__}).", sent)


def _unconnected(error: Exception) -> tuple[Sent, str] | None:
    details = getattr(error, "details", None) or {}
    causes = [cause["message"] for cause in details.get("causes") or ()]
    if _CONNECTING not in causes:
        return None
    return "no", next(told for begin, told in UNCONNECTED.items() if any(one.startswith(begin) for one in causes))
