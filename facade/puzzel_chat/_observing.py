"""What happens, told: as lines of the log, and as values to the application's `observe`.

    logger            level   tells
    puzzel_chat.http  DEBUG   each request: operation, method, path, status or failure, milliseconds, attempt, its id
    puzzel_chat       INFO    what is sent again, tokens that were refreshed, polls that fail for now and go on again

Neither holds a token, a header, a query, a body or people's words. Warnings and errors are logged where they arise.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple, TypeAlias

from puzzel_chat._errors import ApiError, PuzzelChatError
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Role
from puzzel_chat._settings import Address, HostName

log = logging.getLogger("puzzel_chat")
http_log = logging.getLogger("puzzel_chat.http")
_AN_ID = re.compile(r"[\w.:/+=-]{1,128}", re.ASCII)


class RequestEnded(NamedTuple):
    """A request has come to its end: with a reply of that `status`, or without one, for the reason that `error` names.

    `attempt` counts the requests of one call from 1 on. `request_id` is the service's own, if it sent one.
    """

    operation: str
    """The operation of the API, as in `operations()`."""
    host: HostName | None
    """Which of the services was asked, None for somebody else's host, where a file is."""
    base_url: str
    """The address of that service."""
    method: str
    """The method of HTTP."""
    path: str
    """The path below that address, with the ids in it and without the query; `/…` for that of a file to fetch."""
    status: int | None
    """The status of the reply, None without one."""
    error: str | None
    """The name of the class of what went wrong, such as `TransportError`, None with a reply."""
    seconds: float
    """How long it took."""
    attempt: int
    """Which request of its call it was."""
    request_id: str | None
    """The service's id of the request."""
    session_id: str | None
    """The session, None while there is none."""
    conversation_id: str | None
    """The conversation, None for what is not about one, such as a poll."""

    def __str__(self) -> str:
        ended = self.status if self.error is None else self.error
        named = f", request {self.request_id}" if self.request_id else ""
        took = f"{1000 * self.seconds:.0f} ms"
        return f"{self.operation}: {self.method} {self.path}: {ended} in {took}, attempt {self.attempt}{named}"


class RequestRetried(NamedTuple):
    """A call is about to be tried again, `delay` seconds after it failed for that reason."""

    operation: str
    """The operation of the API."""
    reason: str
    """The status of the reply, or the name of the class of what went wrong."""
    delay: float
    """Seconds until it is sent again."""
    attempt: int
    """Which request of the call will be the next."""
    session_id: str | None
    """The session, None while there is none."""
    conversation_id: str | None
    """The conversation, None for what is not about one."""

    def __str__(self) -> str:
        return (
            f"{self.operation} failed ({self.reason}) and is sent again in {self.delay:.1f} s, attempt {self.attempt}"
        )


class RefreshEnded(NamedTuple):
    """A refresh of a session's token has come to its end: with the token of that generation, or for now without one."""

    session_id: str
    """The session."""
    generation: int
    """The generation of the session's token now; its first is 0."""
    error: str | None
    """The name of the class of what went wrong, None after a success."""

    def __str__(self) -> str:
        failed = f"; the refresh failed ({self.error})" if self.error else ""
        return f"session {self.session_id} has token generation {self.generation}{failed}"


class PollEnded(NamedTuple):
    """A poll has come to its end, and so many events were new."""

    session_id: str
    """The session."""
    late: float
    """Seconds from the poll's due time to its request."""
    seconds: float
    """How long it took, with the reading of its reply."""
    events: int
    """How many events were new."""
    error: str | None
    """The name of the class of what went wrong, None after a success."""


class PollsDegraded(NamedTuple):
    """The polls of a session fail from now on, for that reason, and go on all the same."""

    session_id: str
    """The session."""
    error: str
    """The name of the class of what went wrong."""

    def __str__(self) -> str:
        return f"polls of session {self.session_id} fail for now: {self.error}"


class PollsRecovered(NamedTuple):
    """The polls of a session succeed again, after they failed for so many seconds."""

    session_id: str
    """The session."""
    seconds: float
    """For how long they failed."""

    def __str__(self) -> str:
        return f"polls of session {self.session_id} succeed again, after {self.seconds:.1f} s"


class ChatStarted(NamedTuple):
    """A chat begins here: by `start()` before its first request, by the first `route()`, or by a resume."""

    session_id: str
    """The session."""
    conversation_id: str
    """The conversation."""
    resumed: bool = False
    """Whether another process or object had it before."""


class ChatEnded(NamedTuple):
    """A chat is over here: its end was read, its session was closed, or it could not be started.

    After this nothing is told of it but what its session still does.
    """

    session_id: str
    """The session."""
    conversation_id: str
    """The conversation."""
    by: Role | None
    """Who ended it, None when it goes on at the service or nobody knows."""
    error: str | None = None
    """The name of the class of what kept it from being started, None otherwise."""


class AgentSearchEnded(NamedTuple):
    """The wait for an agent is over, after so many seconds."""

    session_id: str
    """The session."""
    conversation_id: str
    """The conversation."""
    seconds: float
    """How long it took."""
    outcome: str
    """`assigned`, `left` for a caller who stopped looking, or the name of the class of the error that ended it."""


class MessageSent(NamedTuple):
    """The service has taken a message of the customer."""

    session_id: str
    """The session."""
    conversation_id: str
    """The conversation."""
    seconds: float
    """How long that took, with all attempts."""
    found: bool
    """Whether no clear answer came, and the message was found in the polls that followed."""


class MessageReceived(NamedTuple):
    """A poll has brought a message that is not the customer's own."""

    session_id: str
    """The session."""
    conversation_id: str
    """The conversation."""
    role: Role
    """Who wrote it."""


Telemetry: TypeAlias = (
    RequestEnded
    | RequestRetried
    | RefreshEnded
    | PollEnded
    | PollsDegraded
    | PollsRecovered
    | ChatStarted
    | ChatEnded
    | AgentSearchEnded
    | MessageSent
    | MessageReceived
)
"""All that `observe` is called with."""
Observer: TypeAlias = Callable[[Telemetry], object]
"""A plain function that is called with what happens, at once and where it happens."""
_INFO = (RequestRetried, PollsDegraded, PollsRecovered)


class Seen:
    """What came of a request."""

    reply: Reply | None = None


class Watch:
    """Tells what happens to the log and to `observe`; what that raises is logged once and harms nobody."""

    def __init__(self, observe: Observer | None = None) -> None:
        self.observe = observe
        self._later: deque[Telemetry] = deque()
        self._failed = False

    @contextmanager
    def request(
        self,
        request: Request,
        access: str | None,
        place: Address,
        session_id: str | None,
        monotonic: Callable[[], float],
    ) -> Iterator[Seen]:
        """Tell of the request that is made within this block."""
        seen, error, began = Seen(), None, monotonic()
        try:
            yield seen
        except BaseException as failed:
            error = type(failed).__name__
            raise
        finally:
            self.tell(
                RequestEnded(
                    operation=request.operation,
                    host=place.name,
                    base_url=str(place.url) if place.name else "elsewhere",  # whose name may be anything
                    method=request.method,
                    path=request.path if request.place is None else "/…",  # a file's may hold its name
                    status=seen.reply.status if seen.reply else None,
                    error=error,
                    seconds=monotonic() - began,
                    attempt=request.attempt,
                    request_id=_request_id(request, access, seen.reply),
                    session_id=session_id,
                    conversation_id=request.conversation_id,
                )
            )

    def retried(self, request: Request, error: PuzzelChatError | int, delay: float, session_id: str | None) -> None:
        """Tell that this request is made after so many seconds, because of that error or status of the one before."""
        status = error.status if isinstance(error, ApiError) else error
        self.tell(
            RequestRetried(
                operation=request.operation,
                reason=str(status) if isinstance(status, int) else type(error).__name__,
                delay=delay,
                attempt=request.attempt,
                session_id=session_id,
                conversation_id=request.conversation_id,
            )
        )

    def tell(self, what: Telemetry) -> None:
        """Tell it now."""
        while self._later:
            with suppress(IndexError):  # another thread was faster
                self._tell(self._later.popleft())
        self._tell(what)

    def tell_later(self, what: Telemetry) -> None:
        """Tell it with the next: the garbage collector may be here in the middle of anybody's code, under its locks."""
        if self.observe is not None:
            self._later.append(what)

    def _tell(self, what: Telemetry) -> None:
        if isinstance(what, RequestEnded):
            http_log.debug("%s", what)
        elif isinstance(what, _INFO) or (isinstance(what, RefreshEnded) and what.error is None):
            log.info("%s", what)
        if self.observe is None:
            return
        try:
            self.observe(what)
        except Exception as error:
            if not self._failed:
                self._failed = True
                told = "observe raised %s for %s; this is logged once, and the chats go on"
                log.error(told, type(error).__name__, type(what).__name__, exc_info=error)


def _request_id(request: Request, access: str | None, reply: Reply | None) -> str | None:
    """Return the id that the service gave a request; None for one that only repeats what may be secret."""
    found = reply.headers.get("x-request-id") if reply else None
    if reply is None or not found or request.host == "identity" or not _AN_ID.fullmatch(found):
        return None
    said = found.encode()
    return None if found in (access or "") or said in (request.body or b"") or said in reply.body else found
