"""Pure: which failed requests are sent again, and when.

Single calls (token, queue, time, allocation, end, and a route that was surely not taken) are tried again with full
jitter, as often as the setting `max_retries` says. Polling and waiting for an agent keep their own pace and do not
retry here, so that retries never multiply. A message is sent again only when it cannot have arrived.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from puzzel_chat._errors import (
    ApiError,
    ConfigurationError,
    ContractError,
    InvalidArgument,
    PuzzelChatError,
    RateLimited,
    ReplyTooLarge,
    ServerError,
    TransportError,
)
from puzzel_chat._settings import ADDRESS_SETTINGS, Address

Uniform = Callable[[float, float], float]

LONGEST_RETRY_AFTER = 120.0
"""Seconds; polling, and waiting for an agent, cut a longer `Retry-After` to this."""
LONGEST_WAIT_IN_A_CALL = 10.0
"""Seconds; after a longer `Retry-After` a single call raises instead of waiting."""
MAX_UNDECODABLE = 3
RECONCILE_WITHIN = 10.0
"""Seconds to look in the polls for a message that was sent without a clear answer."""
LAST_WORDS_WITHIN = 10.0
"""After `end()`, stop waiting for the end event once polls have failed for this many seconds."""
LEAVE_PAUSE = 0.5
"""Seconds between two attempts to end a chat that the service does not know yet."""
LEAVE_WITHIN = 5.0
"""Seconds, in all, that leaving may delay an error, an interrupt, a cancellation, `close()` or the program's exit."""


def backoff(failures: int, uniform: Uniform, ceiling: float = 30.0) -> float:
    """Return a pause with full jitter: 0 to min(ceiling, 2^failures) seconds."""
    return uniform(0.0, min(ceiling, 2.0 ** min(failures, 16)))


def retry_after(error: BaseException | None) -> float | None:
    """Return the seconds that the service asked us to wait, at most two minutes, or None."""
    asked = error.retry_after if isinstance(error, ApiError) else None
    return None if asked is None else min(max(asked, 0.0), LONGEST_RETRY_AFTER)


def not_taken(error: BaseException) -> bool:
    """Return whether the service surely did not act on the request.

    True when it was never sent, for 429 (RFC 6585 section 4), 421, 425 and 511, and for a 503 with `Retry-After` (RFC
    9110 section 15.6.4; a 503 without it often comes from a gateway that may have passed the request on).
    """
    if isinstance(error, TransportError):
        return error.sent == "no"
    if isinstance(error, ServerError):
        return error.status == 511 or (error.status == 503 and error.retry_after is not None)
    return isinstance(error, RateLimited) or (isinstance(error, ApiError) and error.status in (421, 425))


def unknown_outcome(error: BaseException) -> bool:
    """Return whether the service may have acted on the request; an unreadable success counts.

    So do the answers of a cache or a gateway that may have passed the request on.
    """
    if isinstance(error, ApiError) and (error.status < 400 or error.status in (408, 499)):
        return True
    return isinstance(error, TransportError | ServerError | ContractError) and not not_taken(error)


def again(
    error: PuzzelChatError, attempts: int, *, most_retries: int, repeatable: bool, uniform: Uniform
) -> float | None:
    """Return in how many seconds to send a failed request again, or None to raise its error.

    `attempts` is the number of requests made so far; `repeatable` says that the operation may run twice.
    """
    if attempts > most_retries or not error.retryable or not (repeatable or not_taken(error)):
        return None
    if isinstance(error, ContractError):
        return None
    asked = retry_after(error)
    if asked is None:
        return backoff(attempts - 1, uniform)
    return asked if asked <= LONGEST_WAIT_IN_A_CALL else None


def within(by: float, now: float, address: Address) -> float | None:
    """Return the seconds left to ask there until `by`, None for no limit; raise `TransportError` when none are."""
    if by == math.inf:
        return None
    if by <= now:
        raise late(address)
    return by - now


def checked_bound(timeout: object) -> float:
    """Return the seconds that a caller allows for a call; raises `InvalidArgument`."""
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise InvalidArgument("timeout", f"must be a finite number of seconds above 0, not {timeout!r}")
    return float(timeout)


def late(address: Address) -> TransportError:
    """Return the error for a request that was not sent because its time is over."""
    error = TransportError(f"No reply: timeout, there was no time left to ask {address}; allow more.", sent="no")
    error.host, error.__cause__ = address.name, TimeoutError("no time left")
    return error


def is_undecodable(error: PuzzelChatError) -> bool:
    """Return whether the service's reply was read and does not fit; the next one is likely to be no better."""
    return isinstance(error, ContractError) and not isinstance(error, ReplyTooLarge) and not error.retryable


def ends_a_loop(error: PuzzelChatError, undecodable: int) -> bool:
    """Return whether a loop of polls must stop at this error.

    It goes on after a passing failure (no reply, 408, 429, 5xx, a web page, a redirect), after a reply that is too
    large, and after fewer than three undecodable replies in a row (`undecodable` includes this one). Any other error
    would only come again. No reply is never the end: a certificate that does not fit is renewed while a chat goes on,
    and the chat is told of it meanwhile.
    """
    if error.retryable or isinstance(error, TransportError):
        return False
    if isinstance(error, ContractError):
        return is_undecodable(error) and undecodable >= MAX_UNDECODABLE
    # The address was right when the session was opened: what stands in its place now may go.
    return not (isinstance(error, ConfigurationError) and error.setting in ADDRESS_SETTINGS)
