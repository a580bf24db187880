"""The application's entry: settings, one connection pool, one store, and sessions from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from threading import Event

from puzzel_chat._application import Application
from puzzel_chat._config import Settings
from puzzel_chat._errors import PuzzelChatError
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Customer, Variable
from puzzel_chat._retry import again
from puzzel_chat._routing import checked_timeout
from puzzel_chat._state import SessionState, check_hours, opened, restored, unknown_hours
from puzzel_chat._sync._conversation import Conversation, Progress
from puzzel_chat._sync._session import Session
from puzzel_chat._tokens import connect_fields
from puzzel_chat._transport import Transport
from puzzel_chat._wire.operations import TOKEN, as_customer, as_variables, checked_id, token_request
from puzzel_chat._wire.refusals import error_for


class PuzzelChat(Application[Transport, Session]):
    """A contact centre's chat, for one application. Usable from several threads; close it, or use it in a `with` block.

    `store` keeps sessions (a `MemoryStore` unless given); the other arguments are the settings of `Settings`, times in
    seconds. Raises `ConfigurationError` naming the setting that is missing or wrong. Nothing is sent yet.
    """

    def connect(self) -> Session:
        """Open a session: ask for a token.

        Raises `ConfigurationError` when the service does not accept the settings, `TransportError`, `RateLimited`,
        `ServerError` or `ContractError`.
        """
        asked = self._parts.clock.now()
        reply = self._token_reply(token_request(connect_fields(self._parts.settings)))
        return self._session(opened(self._parts, reply, asked))

    def resume(self, session_id: str) -> Session:
        """Take up a session of the store, also after the process that had it was killed.

        What that process had not handled comes again. Raises `SessionNotFound`.
        """
        return self._session(restored(self._parts, session_id))

    def start(
        self,
        queue_id: str,
        *,
        customer: Customer | Mapping[str, str] | None = None,
        variables: Iterable[Variable] | Mapping[str, str] | None = None,
        subject: str | None = None,
        wait: float = 120.0,
        on_progress: Progress | None = None,
        conversation_id: str | None = None,
    ) -> Conversation:
        """Open a session, check the opening hours, ask for an agent and wait for one, for at most `wait` seconds.

        With `wait=0` it returns as soon as the chat is in the queue. When anything goes wrong nothing is left behind:
        the queue is left and the session closed. Raises what `connect`, `route` and `wait_for_agent` raise.
        """
        checked_id("queue_id", queue_id)
        checked_timeout(wait, "wait")
        customer, variables = as_customer(customer), as_variables(variables)
        session = self.connect()
        try:
            conversation = session.conversation(conversation_id)
            conversation._owns_session = True
            self._check_hours(session, queue_id)
        except BaseException:
            session.close()
            raise
        try:
            conversation.route(queue_id, customer=customer, variables=variables, subject=subject)
            if wait:
                conversation.wait_for_agent(wait, on_progress)
        except BaseException as error:
            conversation._leave_after(error)
            session.close()
            raise
        return conversation

    def close(self) -> None:
        """Close the sessions and every connection. Chats that go on stay in the store, for `resume`."""
        for session in list(self._sessions):
            session.close()
        if self._owned:
            self._transport.close()

    def __enter__(self) -> PuzzelChat:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @classmethod
    def _new_transport(cls, settings: Settings) -> Transport:
        return Transport(settings)

    def _session(self, state: SessionState) -> Session:
        session = Session(state, self._transport)
        self._sessions.add(session)
        return session

    def _token_reply(self, request: Request) -> Reply:
        clock = self._parts.clock
        attempts = 0
        while True:
            attempts += 1
            try:
                reply = self._transport.send(request, None)
                if error := error_for(TOKEN, reply):
                    raise error
                return reply
            except PuzzelChatError as error:
                error.attempts = attempts
                # A token that nobody received opened a session that nobody uses: asking again harms nothing.
                decision = again(error, attempts, repeatable=True, uniform=clock.uniform)
                if decision is None:
                    raise
            clock.wait(Event(), decision.delay)

    def _check_hours(self, session: Session, queue_id: str) -> None:
        try:
            check_hours(session.queue_info(queue_id))
        except PuzzelChatError as error:
            if not unknown_hours(error):
                raise
