"""Every error of this library, as one tree.

PuzzelChatError(retryable, request_id, attempts, host)
├── ConfigurationError(setting)           a wrong or missing setting
├── InvalidArgument(argument)             an unusable argument; also a ValueError
├── TransportError(sent)                  no usable reply came back
├── ApiError(status, code, title, detail) the service refused the request
│   ├── AuthenticationError               401
│   ├── PermissionDenied                  403
│   ├── NotFound                          404
│   ├── Conflict                          409
│   ├── RateLimited(retry_after)          429
│   └── ServerError                       5xx
├── ContractError(operation, pointer, excerpt)  a reply that does not fit the API's document
│   └── ReplyTooLarge                     more than 8 MiB
├── SessionError
│   ├── SessionExpired                    the service no longer accepts the token
│   ├── SessionNotFound                   the store has no such session
│   ├── SessionInUse                      another process or object polls the session
│   └── StoreError                        the store could not be read or written
├── RoutingError
│   ├── QueueClosed(opens_at)
│   ├── QueueFull
│   ├── RoutingRefused(reason)
│   └── AgentWaitTimeout(last)            also a TimeoutError
├── DeliveryUnknown(text, client_id)      a message that may or may not have arrived
├── EventTimeout                          no event in the time that events() was given; also a TimeoutError
└── ConversationClosed                    an action on a chat that has ended

No error message contains a token, a secret or a customer's words. The text of an unconfirmed message is in
`DeliveryUnknown.text`, not in the error message.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

    from puzzel_chat._models import Allocation

Sent = Literal["no", "maybe"]
CLIENT_CLOSED = "The client was closed. Make a new one."
CONVERSATION_ENDED = "The conversation has ended. Start a new one to go on."
QUEUE_FULL = "The queue is full. Try again later, or offer another way to reach you."
# A status below 400 that is no success passes, too: a cache or a proxy answered.
_PASSING = frozenset({407, 408, 421, 423, 425, 499})
_Error = TypeVar("_Error", bound="PuzzelChatError")


def _remade(kind: type[PuzzelChatError], message: str, state: dict[str, object]) -> PuzzelChatError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


def twin(error: _Error) -> _Error:
    """Return a copy to raise; one error raised again and again would collect the frames of every caller."""
    return copy.copy(error)


class PuzzelChatError(Exception):
    """Base class of all errors of this library."""

    retryable = False
    """Whether the same call may succeed later."""
    host: Literal["identity", "communication", "upload"] | None = None
    """The service that was asked; None when it is not about a request to one of these."""
    request_id: str | None
    """The service's id for the request, if it sent one."""
    attempts: int
    """How many requests were made."""

    def __init__(self, message: str, *, request_id: str | None = None, attempts: int = 1) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.attempts = attempts

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict that `json.dumps` takes: the class's name as `error`, the `message`, and every attribute.

        This is the data, as of an event: the text of an unconfirmed message is in it.
        """
        from puzzel_chat._json import written  # that imports this module

        public = {name: written(value) for name, value in vars(self).items() if not name.startswith("_")}
        told = {"type": "error", "error": type(self).__name__, "message": str(self)}
        return {**told, "retryable": self.retryable, "host": self.host, **public}

    def __reduce__(self) -> tuple[Callable[..., PuzzelChatError], tuple[type[PuzzelChatError], str, dict[str, object]]]:
        # The constructors differ, so pickling (worker pools) and copying need one way to make any of them.
        return _remade, (type(self), str(self), dict(self.__dict__))


class ConfigurationError(PuzzelChatError):
    """A setting is missing or wrong."""

    setting: str
    """The setting's name."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(f"{setting}: {message}")
        self.setting = setting


class InvalidArgument(PuzzelChatError, ValueError):
    """An argument is unusable. Nothing was sent."""

    argument: str
    """The argument's name."""

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(f"{argument}: {message}")
        self.argument = argument


class TransportError(PuzzelChatError):
    """No usable reply came back.

    The message names host and port, what failed there, and what to do. `__cause__` is Python's error for that, such as
    a `socket.gaierror` or an `ssl.SSLCertVerificationError`. What would only come again, such as a certificate that
    does not fit, is not `retryable`.
    """

    retryable = True
    sent: Sent
    """Whether the service may have seen the request: "no", or "maybe"."""

    def __init__(self, message: str, *, sent: Sent, attempts: int = 1) -> None:
        super().__init__(message, attempts=attempts)
        self.sent = sent

    def __reduce__(self) -> tuple[Any, ...]:
        # Python leaves the cause out; ours is plain, and tells what the message cannot.
        return (*super().__reduce__(), {"__cause__": self.__cause__})

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        self.__cause__ = state["__cause__"] if state else None


class ApiError(PuzzelChatError):
    """The service refused the request."""

    status: int
    """The HTTP status."""
    code: str | None
    """The service's own code, from the problem document, if there was one."""
    title: str | None
    """What the problem is, from there."""
    detail: str | None
    """More about it, from there."""
    retry_after: float | None
    """How many seconds to wait, if the reply said so (RFC 9110 section 10.2.3)."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str | None = None,
        title: str | None = None,
        detail: str | None = None,
        retry_after: float | None = None,
        request_id: str | None = None,
        attempts: int = 1,
    ) -> None:
        super().__init__(message, request_id=request_id, attempts=attempts)
        if status < 400 or status in _PASSING:
            self.retryable = True
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.retry_after = retry_after


class AuthenticationError(ApiError):
    """401: the token was not accepted, not even a fresh one."""


class PermissionDenied(ApiError):
    """403: the token is valid, but does not allow the action."""


class NotFound(ApiError):
    """404: the service found nothing under this id or address."""


class Conflict(ApiError):
    """409: the action does not fit the current state."""


class RateLimited(ApiError):
    """429: too many requests; wait `retry_after` seconds if it is set."""

    retryable = True


class ServerError(ApiError):
    """5xx: the service failed."""

    retryable = True


class ContractError(PuzzelChatError):
    """A reply does not fit the API's document."""

    operation: str
    """The operationId."""
    pointer: str
    """The place in the reply, as a JSON pointer."""
    excerpt: str
    """The reply's first 256 characters, or only its size where it may hold tokens or people's words."""

    def __init__(self, operation: str, pointer: str, problem: str, excerpt: str) -> None:
        where = pointer or "the whole reply"
        super().__init__(f"{operation}: {problem} at {where}; it began: {excerpt[:256]}")
        self.operation = operation
        self.pointer = pointer
        self.excerpt = excerpt[:256]


class ReplyTooLarge(ContractError):
    """A reply is larger than 8 MiB, the most that is read; polls go on, and the next reply may be smaller."""


class SessionError(PuzzelChatError):
    """The session as a whole cannot be used."""


class SessionExpired(SessionError):
    """The session's token can no longer be used or refreshed; open a new session with `connect()`."""


class SessionNotFound(SessionError):
    """The store has no session with that id."""


class SessionInUse(SessionError):
    """Somebody else polls the session, or reads the conversation's events; only one at a time may."""

    retryable = True


class StoreError(SessionError):
    """The session store could not be read or written, or holds what is no session.

    `retryable` is True while another process has the store for itself.
    """


class RoutingError(PuzzelChatError):
    """No agent was found for the conversation."""


class QueueClosed(RoutingError):
    """The queue is outside its opening hours."""

    opens_at: datetime | None
    """The next opening, if the service named it."""

    def __init__(self, message: str, *, opens_at: datetime | None = None) -> None:
        super().__init__(message)
        self.opens_at = opens_at


class QueueFull(RoutingError):
    """The queue accepts no more waiting requests for now."""

    retryable = True


class RoutingRefused(RoutingError):
    """The service refused to route the conversation."""

    reason: str | None
    """The service's own code for why, if it gave one."""

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class AgentWaitTimeout(RoutingError, TimeoutError):
    """No agent took the chat in time. The chat has left the queue."""

    retryable = True
    last: Allocation | None
    """The last allocation that was seen."""

    def __init__(self, message: str, *, last: Allocation | None = None) -> None:
        super().__init__(message)
        self.last = last


class DeliveryUnknown(PuzzelChatError):
    """A message may or may not have arrived.

    The polls that followed did not show it. Sending it again may deliver it twice.
    """

    text: str
    """What was sent."""
    client_id: str
    """The id that this library gave it, which a `TextMessage` may bring back."""

    def __init__(self, message: str, *, text: str, client_id: str) -> None:
        super().__init__(message)
        self.text = text
        self.client_id = client_id


class EventTimeout(PuzzelChatError, TimeoutError):
    """Nothing happened in the time that `events(timeout=…)` was given; the chat goes on, and so may the loop."""

    retryable = True


class ConversationClosed(PuzzelChatError):
    """The conversation has ended; start a new one to go on."""
