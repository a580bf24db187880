"""Pure: which failure may be sent again, and when.

One rule for single calls (token, queue, time, allocation, route after a certain refusal, end): up to three attempts
with full jitter. Polling and waiting for an agent have their own pace and never go through here, so that two
loops never multiply. A send is repeated only when it cannot have arrived.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from attrs import frozen

from puzzel_chat._errors import ApiError, ContractError, PuzzelChatError, RateLimited, ServerError, TransportError

Uniform = Callable[[float, float], float]

MAX_ATTEMPTS = 3
LONGEST_RETRY_AFTER = 120.0
"""A longer `Retry-After` is cut to this many seconds when polling, and is not waited for in a single call."""
LONGEST_WAIT_IN_A_CALL = 10.0
MAX_UNDECODABLE = 3
RECONCILE_WITHIN = 10.0
"""Seconds for which a message without a clear answer is looked for in the polls."""
LAST_WORDS_WITHIN = 10.0
"""Seconds of failing polls, after we ended a chat, when it is over here too, though more may have been said in it."""
LEAVE_PAUSE = 0.5
"""Seconds between two tries to end a chat that the service does not know yet."""
LEAVE_WITHIN = 5.0
"""Seconds that leaving may hold up an error, an interrupt, a cancellation, `close()` or the program's exit, in all."""


@frozen
class Again:
    """Send the request again after `delay` seconds."""

    delay: float


def backoff(failures: int, uniform: Uniform, ceiling: float = 30.0) -> float:
    """Full jitter: anything from 0 to min(ceiling, 2^failures) seconds; `failures` counts from 1."""
    return uniform(0.0, min(ceiling, 2.0 ** min(failures, 16)))


def retry_after(error: BaseException | None) -> float | None:
    """Give how long the service asked us to wait, in seconds, cut to two minutes."""
    asked = error.retry_after if isinstance(error, ApiError) else None
    return None if asked is None else min(max(asked, 0.0), LONGEST_RETRY_AFTER)


def not_taken(error: BaseException) -> bool:
    """Tell whether the service certainly did not act on the request.

    True when it was never sent, for 429 (RFC 6585 section 4), and for a 503 that names a time to come back (RFC 9110
    section 15.6.4; a bare 503 often comes from a gateway that may have passed the request on).
    """
    if isinstance(error, TransportError):
        return error.sent == "no"
    if isinstance(error, ServerError):
        return error.status == 503 and error.retry_after is not None
    return isinstance(error, RateLimited)


def unknown_outcome(error: BaseException) -> bool:
    """Tell whether the service may or may not have acted on the request; a success that cannot be read counts."""
    return isinstance(error, TransportError | ServerError | ContractError) and not not_taken(error)


def again(error: PuzzelChatError, attempts: int, *, repeatable: bool, uniform: Uniform) -> Again | None:
    """Decide whether to send a failed request again; `attempts` counts those made, `repeatable` is the operation's.

    None means: give the error to the caller.
    """
    if attempts >= MAX_ATTEMPTS or not error.retryable or not (repeatable or not_taken(error)):
        return None
    asked = retry_after(error)
    if asked is None:
        return Again(backoff(attempts - 1, uniform))
    return Again(asked) if asked <= LONGEST_WAIT_IN_A_CALL else None


def within(by: float, now: float) -> float | None:
    """Give the seconds that are left for a request, None for its usual time; raises when it would come too late."""
    if by == math.inf:
        return None
    if by <= now:
        raise TransportError("There is no time left for this request.", sent="no")
    return by - now


def ends_a_loop(error: PuzzelChatError, undecodable: int) -> bool:
    """Tell whether a loop that asks again and again must stop at this error.

    It goes on after what passes (no reply, 429, 408, 5xx) and after fewer than three undecodable replies in a row
    (`undecodable` counts this one); anything else would only fail again.
    """
    if isinstance(error, ContractError):
        return undecodable >= MAX_UNDECODABLE
    if isinstance(error, ApiError) and error.status == 408:
        return False
    return not error.retryable
