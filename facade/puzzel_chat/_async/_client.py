"""The application's entry: settings, one connection pool, one store, and sessions from them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from puzzel_chat._application import Application
from puzzel_chat._async._conversation import AsyncConversation, Progress
from puzzel_chat._async._session import AsyncSession
from puzzel_chat._config import Settings
from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Customer, Variable, Visitor
from puzzel_chat._opening import SignIn, check_start, checked_visitor, opened, restored
from puzzel_chat._retry import LEAVE_WITHIN, again
from puzzel_chat._routing import check_hours, checked_timeout, unknown_hours
from puzzel_chat._secrets import secret_or_none
from puzzel_chat._state import SessionState
from puzzel_chat._tokens import NOBODY, connect_fields
from puzzel_chat._transport import AsyncTransport
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    TOKEN,
    AnyOperation,
    as_customer,
    as_variables,
    token_request,
)
from puzzel_chat._wire.refusals import error_for


class AsyncPuzzelChat(Application[AsyncTransport, AsyncSession]):
    """A contact centre's chat, for one application and one event loop. Close it, or use it in an `async with` block.

    `store` keeps sessions (a `MemoryStore` unless given); the other arguments are the settings of `Settings`, times in
    seconds. Raises `ConfigurationError` naming the setting that is missing or wrong. Nothing is sent yet.
    """

    async def connect(self, *, visitor: Visitor | None = None) -> AsyncSession:
        """Open a session: ask for a token, for a visitor nobody knows or for one who is signed in elsewhere.

        Raises `ConfigurationError` when the service does not accept the settings, `AuthenticationError`, `NotFound` or
        `ApiError` when it does not accept the visitor, `TransportError`, `RateLimited`, `ServerError`, `ContractError`.
        """
        if visitor is not None:
            checked_visitor(visitor)
        clock = self._parts.clock
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._session(await self._opened(visitor))
            except PuzzelChatError as error:
                error.attempts = attempts
                # A token that nobody received opened a session that nobody uses: asking again harms nothing. A visitor
                # signs in anew, for what identifies one may be good for one token only.
                decision = again(error, attempts, repeatable=True, uniform=clock.uniform)
                if decision is None:
                    raise
            await clock.sleep(asyncio.Event(), decision.delay)

    def resume(self, session_id: str, *, shared: bool = False) -> AsyncSession:
        """Take up a session of the store, also after the process that had it was killed.

        What that process had not handled comes again. With `shared` the session's mail stays with whoever has it: all
        calls work but `poll()`, `events()` and `messages()`. Raises `SessionNotFound`; without `shared`, `SessionInUse`
        while another object has the mail: until that is closed, its process ended on this machine (in another container
        that cannot be seen), or it made no call for 60 seconds.
        """
        return self._session(restored(self._parts, session_id, shared))

    async def start(
        self,
        queue_key: str,
        visual_queue_id: str | int | None = None,
        *,
        visitor: Visitor | None = None,
        customer: Customer | Mapping[str, str] | None = None,
        variables: Iterable[Variable] | Mapping[str, str] | None = None,
        subject: str | None = None,
        wait: float = 120.0,
        on_progress: Progress | None = None,
        conversation_id: str | None = None,
    ) -> AsyncConversation:
        """Open a session, check the opening hours, ask for an agent and wait for one, for at most `wait` seconds.

        `queue_key`, such as "q_support", says where to route. `visual_queue_id`, a number, is the same queue's id for
        its opening hours; without it they are not asked for, and a closed queue refuses the routing. `visitor` is as in
        `connect`. With `wait=0` it returns as soon as the chat is in the queue. When anything goes wrong nothing stays
        behind: the queue is left and the session closed. Raises what `connect`, `route` and `wait_for_agent` raise.
        """
        checked_timeout(wait, "wait")
        customer, variables, subject = as_customer(customer), as_variables(variables), secret_or_none(subject)
        check_start(queue_key, visual_queue_id, conversation_id, customer, variables, subject)
        session = await self.connect(visitor=visitor)
        try:
            conversation = session.conversation(conversation_id)
            conversation._owns_session = True
            if visual_queue_id is not None:
                await self._check_hours(session, visual_queue_id)
        except BaseException:
            await session.aclose()
            raise
        try:
            await conversation.route(queue_key, customer=customer, variables=variables, subject=subject)
            if wait:
                await conversation.wait_for_agent(wait, on_progress)
        except BaseException as error:
            by = conversation._ending.by()
            await conversation._ending.leave_after(error)
            await session._aclose(min(by, conversation._ending.by()))
            raise
        return conversation

    async def aclose(self) -> None:
        """Close the sessions and every connection, within about five seconds in all.

        Chats that go on stay in the store, for `resume`; those of a `MemoryStore` are ended when the program exits.
        """
        by = self._parts.clock.monotonic() + LEAVE_WITHIN
        try:
            await asyncio.gather(*(session._aclose(by) for session in list(self._sessions)))
        finally:
            if self._owned:
                await self._transport.aclose()

    async def __aenter__(self) -> AsyncPuzzelChat:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @classmethod
    def _new_transport(cls, settings: Settings) -> AsyncTransport:
        return AsyncTransport(settings)

    def _session(self, state: SessionState) -> AsyncSession:
        session = AsyncSession(state, self._transport)
        self._sessions.add(session)
        return session

    async def _opened(self, visitor: Visitor | None) -> SessionState:
        settings, identified = self._parts.settings, NOBODY
        if visitor is not None:
            sign_in = SignIn(visitor)
            identified = sign_in.fields(await self._ask(AUTHENTICATE, sign_in.request(settings)))
        asked = self._parts.clock.now()
        return opened(self._parts, await self._ask(TOKEN, token_request(connect_fields(settings, identified))), asked)

    async def _ask(self, operation: AnyOperation, request: Request) -> Reply:
        reply = await self._transport.send(request, None)
        if error := error_for(operation, reply):
            raise error
        return reply

    async def _check_hours(self, session: AsyncSession, visual_queue_id: str | int) -> None:
        try:
            check_hours(await session.queue_info(visual_queue_id))
        except PuzzelChatError as error:
            if not unknown_hours(error):
                raise
