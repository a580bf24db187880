"""Every error that this library raises, as one tree.

PuzzelChatError(retryable, request_id, attempts, host)
├── ConfigurationError(setting)           a wrong or missing setting
├── InvalidArgument(argument)             an argument that no request can carry; also a ValueError
├── TransportError(sent)                  nothing usable came back
├── ApiError(status, code, title, detail) the service said no
│   ├── AuthenticationError               401
│   ├── PermissionDenied                  403
│   ├── NotFound                          404
│   ├── Conflict                          409
│   ├── RateLimited(retry_after)          429
│   └── ServerError                       5xx
├── ContractError(operation, pointer, excerpt)
├── SessionError
│   ├── SessionExpired                    the service no longer takes the token
│   ├── SessionNotFound                   the store has no such session
│   ├── SessionInUse                      another process or object has the session's mail
│   └── StoreError                        the store could not be read or written
├── RoutingError
│   ├── QueueClosed(opens_at)
│   ├── QueueFull
│   ├── RoutingRefused(reason)
│   └── AgentWaitTimeout(last)            also a TimeoutError
├── DeliveryUnknown(text, client_id)
└── ConversationClosed                    an action on a chat that has ended

No error message holds a token, a secret or a customer's words. `DeliveryUnknown.text` has the caller's own text
as an attribute, outside the message.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from datetime import datetime

    from puzzel_chat._models import Allocation

Sent = Literal["no", "maybe"]
CLIENT_CLOSED = "The client was closed. Make a new one."
CONVERSATION_ENDED = "The conversation has ended. Start a new one to go on."
QUEUE_FULL = "The queue is full. Try again later, or offer another way to reach you."
_Error = TypeVar("_Error", bound="PuzzelChatError")


def _remade(kind: type[PuzzelChatError], message: str, state: dict[str, object]) -> PuzzelChatError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


def twin(error: _Error) -> _Error:
    """Give a copy to raise: an error that is raised again and again would keep the frames of every caller."""
    return copy.copy(error)


class PuzzelChatError(Exception):
    """Base of every error of this library.

    `retryable` tells whether the same call may succeed later, `request_id` is the service's own name for the
    request when it gave one, `attempts` is how many requests were made, and `host` which of the two services was
    asked, "identity" or "communication"; None when the error is not about a request.
    """

    retryable = False
    host: Literal["identity", "communication"] | None = None

    def __init__(self, message: str, *, request_id: str | None = None, attempts: int = 1) -> None:
        super().__init__(message)
        self.request_id = request_id
        self.attempts = attempts

    def __reduce__(self) -> tuple[Callable[..., PuzzelChatError], tuple[type[PuzzelChatError], str, dict[str, object]]]:
        # The constructors differ; worker pools pickle errors, and one error may be raised to many callers.
        return _remade, (type(self), str(self), dict(self.__dict__))


class ConfigurationError(PuzzelChatError):
    """A setting is missing or wrong; `setting` names it."""

    def __init__(self, setting: str, message: str) -> None:
        super().__init__(f"{setting}: {message}")
        self.setting = setting


class InvalidArgument(PuzzelChatError, ValueError):
    """An argument that no request can carry; `argument` names it. Nothing was sent."""

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(f"{argument}: {message}")
        self.argument = argument


class TransportError(PuzzelChatError):
    """No usable reply came back; `sent` is "no" when the service cannot have seen the request, else "maybe"."""

    retryable = True

    def __init__(self, message: str, *, sent: Sent, attempts: int = 1) -> None:
        super().__init__(message, attempts=attempts)
        self.sent: Sent = sent


class ApiError(PuzzelChatError):
    """The service refused; `status` is the HTTP status, `code`, `title`, `detail` are from its problem document.

    `retry_after` is in seconds, when the reply said how long to wait (RFC 9110 section 10.2.3).
    """

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
        self.status = status
        self.code = code
        self.title = title
        self.detail = detail
        self.retry_after = retry_after


class AuthenticationError(ApiError):
    """401: the token was not accepted, also after one refresh."""


class PermissionDenied(ApiError):
    """403: the token is good, the action is not allowed for it."""


class NotFound(ApiError):
    """404: the service knows no such thing."""


class Conflict(ApiError):
    """409: the action does not fit the present state."""


class RateLimited(ApiError):
    """429: too many requests; wait `retry_after` seconds when it is given."""

    retryable = True


class ServerError(ApiError):
    """5xx: the service failed."""

    retryable = True


class ContractError(PuzzelChatError):
    """A reply that does not fit the API's document.

    `operation` is the operationId, `pointer` a JSON pointer into the reply, `excerpt` at most 256 characters of what
    came, with the words of people and tokens masked.
    """

    def __init__(self, operation: str, pointer: str, problem: str, excerpt: str) -> None:
        where = pointer or "the whole reply"
        super().__init__(f"{operation}: {problem} at {where}; it began: {excerpt[:256]}")
        self.operation = operation
        self.pointer = pointer
        self.excerpt = excerpt[:256]


class SessionError(PuzzelChatError):
    """Something is wrong with the session as a whole."""


class SessionExpired(SessionError):
    """The session's token can no longer be used or refreshed; open a new session with `connect()`."""


class SessionNotFound(SessionError):
    """The store holds no session of that id."""


class SessionInUse(SessionError):
    """Another owner has the session's mail: only one at a time may poll it and take what comes."""

    retryable = True


class StoreError(SessionError):
    """The session store could not be read or written."""


class RoutingError(PuzzelChatError):
    """No agent was found for the conversation."""


class QueueClosed(RoutingError):
    """The queue is outside its opening hours; `opens_at` is when it opens, when the service said so."""

    def __init__(self, message: str, *, opens_at: datetime | None = None) -> None:
        super().__init__(message)
        self.opens_at = opens_at


class QueueFull(RoutingError):
    """The queue takes no more waiting requests for now."""

    retryable = True


class RoutingRefused(RoutingError):
    """The service would not route the conversation; `reason` is its own word for why."""

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class AgentWaitTimeout(RoutingError, TimeoutError):
    """No agent within the time given; `last` is the last allocation seen. The queue was left on the server."""

    retryable = True

    def __init__(self, message: str, *, last: Allocation | None = None) -> None:
        super().__init__(message)
        self.last = last


class DeliveryUnknown(PuzzelChatError):
    """A message may or may not have arrived; `text` and `client_id` are those of the send.

    It was looked for in the polls that followed and not found. Sending it again can double it.
    """

    def __init__(self, message: str, *, text: str, client_id: str) -> None:
        super().__init__(message)
        self.text = text
        self.client_id = client_id


class ConversationClosed(PuzzelChatError):
    """An action on a conversation that has ended; start a new one to go on."""
