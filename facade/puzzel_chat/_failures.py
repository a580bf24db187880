"""Why no reply came, in words: which layer failed, at which host and port, and what to do about it. Pure.

Each transport boils the errors of its HTTP library down to one of Python's: a `socket.gaierror`, a
`ConnectionRefusedError`, an `ssl.SSLCertVerificationError`. That tells the sentence, and is the `__cause__` of our
error. It is made anew, because the library's own holds requests, headers and tokens in its frames and texts.
"""

from __future__ import annotations

import errno
import os
import ssl
from http import HTTPStatus
from socket import gaierror

from puzzel_chat._environment import Way
from puzzel_chat._errors import Sent, TransportError

# What is wrong with a certificate, by OpenSSL's number, and what to do about it.
EXPIRED, EARLY, SELF_SIGNED, UNKNOWN_SIGNER, OTHER_NAME, OTHER_ADDRESS = 10, 9, 18, 20, 62, 64
_TRUST = "if that is as it should be, name the certificate of who signed it in verify or SSL_CERT_FILE"
_OTHER = "is for another host", "correct the host in {setting}"
_UNKNOWN = "is signed by nobody who is trusted here", _TRUST
CERTIFICATES: dict[int, tuple[str, str]] = {
    EXPIRED: ("has expired", "who runs that host must renew it; check the clock of this machine too"),
    EARLY: ("is not valid yet", "check the clock of this machine"),
    SELF_SIGNED: ("is signed by itself", _TRUST),
    19: _UNKNOWN,
    UNKNOWN_SIGNER: _UNKNOWN,
    21: _UNKNOWN,
    OTHER_NAME: _OTHER,
    OTHER_ADDRESS: _OTHER,
}
# OpenSSL's reasons when something else than TLS answers, such as plain HTTP.
NO_TLS = "WRONG_VERSION_NUMBER"
_NO_TLS = (NO_TLS, "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")
_CLOSED = ConnectionResetError | ConnectionAbortedError | BrokenPipeError | ssl.SSLEOFError | ssl.SSLZeroReturnError
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)


def no_reply(way: Way, why: str, sent: Sent, cause: Exception, *, lasting: bool = False) -> TransportError:
    """Return the error for a request without a usable reply; a `lasting` failure would only come again."""
    error = TransportError(f"No reply: {why}.", sent=sent)
    error.host = way.address.name
    error.__cause__ = cause
    if lasting:
        error.retryable = False
    return error


def overdue(way: Way, whole: float, sent: Sent) -> TransportError:
    """Return the error for a request that took longer than `whole` seconds."""
    why = f"{way} had not answered in full after {whole:g} s; try again, or set a longer timeout"
    return no_reply(way, why, sent, TimeoutError("the time for the whole request is over"))


def closed_meanwhile(way: Way, sent: Sent) -> TransportError:
    """Return the error for a request whose client was closed before the reply came."""
    why = f"the client was closed meanwhile, before {way} answered; close it when its calls have ended"
    return no_reply(way, why, sent, ConnectionAbortedError("the client was closed"))


def unconnected(way: Way, cause: Exception, timeout: float) -> TransportError:
    """Return the error for a connection that did not come about, with that low cause; nothing was sent."""
    if isinstance(cause, ssl.SSLError) or (isinstance(cause, _CLOSED) and way.encrypted):
        why, lasting = _tls(way, cause)
        return no_reply(way, why, "no", cause, lasting=lasting)
    peer = f"the proxy {way.proxy} on the way to {way.address}" if way.proxy else str(way.address)
    setting = way.proxy.named_by if way.proxy else "that setting"
    direct = way.proxy is None and not way.address.is_here
    network = "the network and its firewall" + (", and set proxy or HTTPS_PROXY if one is needed" if direct else "")
    number = cause.errno if isinstance(cause, OSError) else None
    if isinstance(cause, gaierror):
        why = f"its name is not known here ({cause.strerror}); check {setting}, this machine's DNS, {network}"
    elif isinstance(cause, TimeoutError):
        why = f"timeout, it did not answer within {timeout:g} s; check {setting}, {network}"
    elif isinstance(cause, ConnectionRefusedError):
        why = f"it refused the connection, so nothing listens there; check {setting}, host and port"
    elif number in _UNREACHABLE:
        why = f"it cannot be reached ({words(cause)}); check {setting}, {network}"
    else:
        why = f"the connection failed ({words(cause)}); check {setting}, {network}"
    return no_reply(way, f"could not connect to {peer}: {why}", "no", cause)


def _tls(way: Way, cause: Exception) -> tuple[str, bool]:
    """Return what is wrong with TLS, and whether that would only come again."""
    host, setting = str(way), way.address.setting
    if way.proxy and way.proxy.scheme == "https":
        host = f"{way.address}, or with the proxy {way.proxy} on the way to it,"
        setting = f"{setting} or {way.proxy.named_by}"
    begin = f"TLS with {host} failed: "
    if isinstance(cause, ssl.SSLCertVerificationError):
        unknown = f"is not accepted ({cause.verify_message})", "check that this is the right host"
        what, step = CERTIFICATES.get(cause.verify_code, unknown)
        return f"{begin}the certificate {what}; {step.format(setting=setting)}", True
    if isinstance(cause, _CLOSED):
        return (
            f"{begin}the connection was closed in the middle of it; check that its port speaks TLS, and try again",
            False,
        )
    reason = getattr(cause, "reason", None) or ""
    if reason in _NO_TLS:
        return (
            f"{begin}what answers there does not speak it; check the port, and http:// or https://, in {setting}",
            True,
        )
    told = reason.replace("_", " ").lower() or "the two sides do not agree"
    return f"{begin}{told}; check what answers at that port, and whether this Python's OpenSSL is up to date", True


def proxy_refused(way: Way, status: int | None) -> TransportError:
    """Return the error for a proxy that opens no way to the host; `status` is its answer, if it is known."""
    setting = way.proxy.named_by if way.proxy else "the proxy"
    phrase = next((one.phrase for one in HTTPStatus if one == status), "")
    told = f" with {status} {phrase}".rstrip() if status else ""
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        step = f"write user and password into {setting}, as in http://user:password@host:port"
    elif status is not None and status < 500:
        step = "ask who runs it to allow that host"
        step += "" if setting == "proxy" else ", or name the host in NO_PROXY"
    else:
        step = f"try again, check {setting}, or ask who runs the proxy"
    why = f"the proxy {way.proxy} on the way to {way.address} refused to connect{told}; {step}"
    cause = ConnectionError(f"{status or 'the proxy refused'} {phrase}".rstrip())
    return no_reply(way, why, "no", cause, lasting=status is not None and status < 500)


def words(cause: Exception) -> str:
    """Return the words of a low cause."""
    return (cause.strerror if isinstance(cause, OSError) else None) or str(cause)


def anew(cause: OSError) -> OSError:
    """Return the same error of Python's without traceback, context and file names."""
    if isinstance(cause, ssl.SSLError):
        made: OSError = type(cause)(cause.errno, cause.strerror)
        for name in ("library", "reason", "verify_code", "verify_message"):
            if hasattr(cause, name):
                setattr(made, name, getattr(cause, name))
        return made
    if isinstance(cause, gaierror):
        return gaierror(cause.errno, cause.strerror)
    if cause.errno is not None:
        return OSError(cause.errno, os.strerror(cause.errno))
    return TimeoutError("timed out") if isinstance(cause, TimeoutError) else ConnectionError("the connection broke")
