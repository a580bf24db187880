"""The contact centre itself: what each operation of the contract does. No I/O, no clock.

Every method takes `now` (seconds since the epoch). Scheduled happenings run lazily, each at its own due time,
before anything else is done: the same seed, clock and calls give the same world.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from random import Random

from attrs import field, frozen

from ._floor import Agenda, Floor, FloorSettings
from ._ledger import Ledger
from ._queues import Allocation, Conversation, Order, Queue, default_queues
from ._scripts import SCRIPTS, Script
from ._sessions import Session, TokenBook, TokenSettings, VisitorBook
from ._values import NOTICE, SEMANTICS, Entry, Happening, Refusal, Role, Semantics, Stats, Tally, Watcher, iso


@frozen
class WorldSettings:
    """How the simulated contact centre is set up."""

    tokens: TokenSettings
    floor: FloorSettings = field(factory=FloorSettings)
    script: str | Script = "helpful"
    semantics: Semantics = "cursor"
    agents: int = 4
    chats_per_agent: int | None = None
    capacity: int = 100
    waiting: int = 0
    no_content: bool = False


def _unwatched(happening: Happening) -> None:
    """Nobody watches."""


class World:
    """Sessions, queues, agents and conversations, deterministic under an injected clock."""

    def __init__(self, settings: WorldSettings, random: Random, watch: Watcher = _unwatched) -> None:
        self.semantics: Semantics = known_semantics(settings.semantics)
        self._no_content = settings.no_content
        self.tally = Tally()
        self.agenda = Agenda()
        self.ledger = Ledger(self.tally, watch)
        self.visitors = VisitorBook(settings.tokens.tenant_id, settings.tokens.visitor_fields, random, self._note)
        self.tokens = TokenBook(settings.tokens, self.visitors, random, self._note)
        self.floor = Floor(settings.floor, known_script(settings.script), self.agenda, self.ledger)
        self.queues = default_queues(settings.agents, settings.capacity, settings.waiting, settings.chats_per_agent)
        self.conversations: dict[str, Conversation] = {}
        self._by_request: dict[str, Conversation] = {}

    def advance(self, now: float) -> float:
        """Run everything that is due and return the time it now is."""
        return self.agenda.run(now)

    def connect(self, form: Mapping[str, str], now: float) -> dict[str, object]:
        """Give out or renew a token.

        Raises:
            TokenRefusal: with the OAuth error.

        """
        return self.tokens.grant(form, self.advance(now))

    def authorise(self, token: str | None, now: float) -> Session:
        """Return the session a bearer token stands for.

        Raises:
            Refusal: 401 when the token is missing, unknown, expired or revoked.

        """
        session = self.tokens.session(token, self.advance(now)) if token else None
        if session is None:
            raise Refusal(401, "InvalidToken", "the access token is missing, unknown, expired or revoked")
        return session

    def queue_info(self, visual_id: str, now: float) -> dict[str, object]:
        """Answer getQueueInfo."""
        now = self.advance(now)
        queue = next((queue for queue in self.queues.values() if queue.visual_id == visual_id), None)
        if queue is None:
            raise Refusal(404, "QueueNotFound", "no queue has this visual queue id")
        return queue.info(now, self.floor.settings.pace)

    def time_info(self, time_id: str, now: float) -> dict[str, object]:
        """Answer getTimeInfo."""
        now = self.advance(now)
        queue = next((queue for queue in self.queues.values() if queue.time_id == time_id), None)
        if queue is None:
            raise Refusal(404, "TimeNotFound", "no such time module")
        return queue.hours(now)

    def route(self, session: Session, conversation_id: str, order: Order, now: float) -> dict[str, object]:
        """Answer routeConversation: start the search for an agent."""
        now = self.advance(now)
        queue = self.queues.get(order.queue_key)
        if queue is None:
            raise Refusal(404, "QueueNotFound", "no queue has this key")
        chat = self._routable(session, conversation_id)
        try:
            _check_takes(queue, now)
        except Refusal:
            self.ledger.tell(Happening("refused", now, conversation_id))
            raise
        request = Allocation(f"request-{len(self._by_request) + 1}")
        if chat is None:
            chat = Conversation(conversation_id, session, queue, order, request)
            self.conversations[conversation_id] = chat
        else:
            chat.start_again(queue, order, request)
        chat.ready_at = now + self.floor.settings.pace
        self._by_request[request.request_id] = chat
        self.ledger.happened("routed", now, chat)
        if self.floor.script_of(queue).notice:
            self.ledger.notice(chat, f"You are talking to the {NOTICE}.", now)
        self.floor.enter(chat, now)
        return {"requestId": request.request_id, "conversationId": chat.id, "status": str(request.status)}

    def request_status(self, session: Session, key: str, now: float) -> dict[str, object]:
        """Answer getRequestStatus, by conversation id or request id."""
        self.advance(now)
        chat = self._mine(session, self.conversations.get(key) or self._by_request.get(key))
        if chat is None:
            raise Refusal(404, "RequestNotFound", "no such request in this session")
        place = chat.queue.position(chat)
        return {
            "requestId": chat.allocation.request_id,
            "conversationId": chat.id,
            "status": str(chat.allocation.status),
            "queuePosition": place,
            "estimatedWaitSeconds": None if place is None else ceil(place * self.floor.settings.pace),
            "agent": chat.agent.wire() if chat.agent else None,
            "reason": chat.allocation.reason,
        }

    def poll(self, session: Session, after: str | None, now: float) -> dict[str, object] | None:
        """Answer pollConversation under the semantics of the day; None for nothing new where that has no content."""
        self.advance(now)
        messages, cursor, new = session.log.poll(self.semantics, after)
        return {"messages": messages, "cursor": cursor} if new or not self._no_content else None

    def send(self, session: Session, key: str, content: str, client_id: str | None, now: float) -> dict[str, object]:
        """Answer sendMessage."""
        now = self.advance(now)
        chat = self._live(session, key, unknown=(409, "NotRouted"))
        if chat.allocation.failed:
            raise Refusal(409, "NotRouted", "the search for an agent failed; route again")
        if not content.strip():
            raise Refusal(400, "EmptyMessage", "content is empty")
        entry = self.ledger.hear(chat, content, client_id, now)
        self.floor.hear(chat, content, now)
        return {"id": entry.id, "sentAt": iso(now), "clientMessageId": client_id}

    def typing(self, session: Session, key: str, is_typing: bool, now: float) -> None:
        """Answer sendTyping."""
        now = self.advance(now)
        chat = self._live(session, key, unknown=(404, "ConversationNotFound"))
        chat.customer_typing = is_typing
        self.ledger.happened("typing", now, chat, role=Role.CUSTOMER)

    def end(self, session: Session, key: str, now: float) -> None:
        """Answer endConversation."""
        now = self.advance(now)
        self.floor.end(self._live(session, key, unknown=(404, "ConversationNotFound")), Role.CUSTOMER, now)

    def entries(self, now: float) -> dict[str, tuple[Entry, ...]]:
        """Return every message stored, in order, per conversation."""
        self.advance(now)
        return {key: tuple(chat.entries) for key, chat in self.conversations.items()}

    def stats(self, now: float) -> Stats:
        """Return what was counted so far."""
        self.advance(now)
        return self.tally.stats()

    def conversation(self, key: str) -> Conversation:
        """Return a conversation of any session.

        Raises:
            LookupError: no conversation has this id.

        """
        if key not in self.conversations:
            raise LookupError(f"no conversation {key}")
        return self.conversations[key]

    def forget(self) -> None:
        """Lose every session, as a restart without memory does; the ledger stays."""
        self.tokens.forget()
        self.visitors.forget()

    def open_queue(
        self,
        queue_key: str,
        is_open: bool | None,
        opens_at: float | None = None,
        closes_at: float | None = None,
    ) -> None:
        """Change the opening hours of a queue; chats under way go on."""
        queue = self.queues[queue_key]
        queue.is_open, queue.opens_at, queue.closes_at, queue.mornings = is_open, opens_at, closes_at, False

    def _note(self, kind: str, now: float) -> None:
        if kind.startswith(("session-", "visitor-")):
            self.ledger.happened(kind, now)
        else:
            self.tally.add(kind)

    def _mine(self, session: Session, chat: Conversation | None) -> Conversation | None:
        return chat if chat is not None and chat.session is session else None

    def _routable(self, session: Session, key: str) -> Conversation | None:
        """Return the conversation if it may be routed again, None if it is new."""
        chat = self.conversations.get(key)
        if chat is None:
            return None
        if chat.session is not session:
            raise Refusal(409, "AlreadyRouted", "this conversation id is taken")
        if chat.ended:
            raise Refusal(410, "ConversationEnded", "the conversation has ended")
        if not chat.allocation.failed:
            raise Refusal(409, "AlreadyRouted", "this conversation was routed before")
        return chat

    def _live(self, session: Session, key: str, unknown: tuple[int, str]) -> Conversation:
        """Return a conversation that can be talked in."""
        if key not in self.conversations:
            raise Refusal(*unknown, "this conversation was never routed")
        chat = self._mine(session, self.conversations[key])
        if chat is None:
            raise Refusal(404, "ConversationNotFound", "no such conversation in this session")
        if chat.ended:
            raise Refusal(410, "ConversationEnded", "the conversation has ended")
        return chat


def known_script(script: str | Script) -> Script:
    """Return a script, or the one of that name.

    Raises:
        ValueError: there is none of that name.

    """
    if isinstance(script, Script):
        return script
    if script not in SCRIPTS:
        raise ValueError(f"no script {script!r}; there are {', '.join(SCRIPTS)}")
    return SCRIPTS[script]


def known_semantics(semantics: Semantics) -> Semantics:
    """Return what a poll may mean.

    Raises:
        ValueError: it cannot mean that.

    """
    if semantics not in SEMANTICS:
        raise ValueError(f"no semantics {semantics!r}; there are {', '.join(SEMANTICS)}")
    return semantics


def _check_takes(queue: Queue, now: float) -> None:
    """Refuse a new request as the contract says: closed, then nobody at work, then full."""
    if queue.open_now(now) is False:
        raise Refusal(422, "QueueClosed", "the queue is closed", opensAt=iso(queue.opens_next(now)))
    if not queue.staff:
        raise Refusal(422, "NoAgents", "nobody is at work in this queue")
    if queue.size >= queue.capacity:
        raise Refusal(422, "QueueFull", "as many requests wait as the queue holds")
