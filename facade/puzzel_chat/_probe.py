"""What a service turns out to be like: a walk through its operations that keeps no value of what they answer.

    token ──► refresh ──► visitor ──► hours ──► poll ──► [ route ──► search ──► message ──► polls ──► end ]

The walk is made with the library itself, over a transport that remembers of each reply its status, its content type and
the names and types of its members. What stands in brackets is noticed by people, and made only when a queue is named.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Event
from typing import Literal, TypeAlias

from attrs import asdict, define, evolve, field, frozen

from puzzel_chat._clock import Clock
from puzzel_chat._config import Settings
from puzzel_chat._errors import PuzzelChatError, RoutingError, SessionExpired
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import AllocationStage, Visitor
from puzzel_chat._opening import SignIn
from puzzel_chat._sync import Conversation, PuzzelChat, Session
from puzzel_chat._tokens import connect_fields, refresh_fields
from puzzel_chat._transport import Transport
from puzzel_chat._wire.operations import (
    AUTHENTICATE,
    END,
    POLL,
    QUEUE,
    ROUTE,
    SEND,
    STATUS,
    TIME,
    TOKEN,
    TYPING,
    AnyOperation,
    poll_request,
    token_request,
)
from puzzel_chat._wire.provenance import OperationInfo, operations
from puzzel_chat._wire.refusals import error_for, refresh_error
from puzzel_chat._wire.replies import Grant, Poll, grant, poll

Answer: TypeAlias = Literal["confirmed", "differs", "unclear", "not asked"]
Policy: TypeAlias = Literal["no_refresh_token", "kept", "same_reply", "new_reply", "refused", "revoked"]
Semantics: TypeAlias = Literal["history", "cursor", "drain"]

FORMAT, VERSION = "puzzel-chat-probe", 1
SUBJECT = "Test by puzzel-chat probe, please ignore"
WORDS = "This is a test by puzzel-chat probe. It ends by itself; please ignore it."
_STILL_OPEN = "the test chat may still be open: end it in the agents' application"
MADE_UP = "made-up-by-puzzel-chat-probe"
AGENT_WITHIN = 60.0
"""Seconds to wait for an agent; without one the walk goes on all the same."""
MESSAGE_WITHIN = 10.0
"""Seconds of polls in which a message of the chat has to come."""
LOOK = 1.0
"""Seconds between two looks."""


@frozen
class Difference:
    """One thing that is not as expected: `pointer` names a member of the reply, "" the reply as a whole.

    `came` is the types that came, "missing", "new", or a status.
    """

    pointer: str
    expected: str
    came: str


@frozen(kw_only=True)
class Observation:
    """How one operation answered. `fields` are the names and JSON types of the members of its replies, never values."""

    operation: OperationInfo
    answer: Answer = "not asked"
    told: str = ""
    status: int | None = None
    content_type: str | None = None
    fields: Mapping[str, tuple[str, ...]] = field(factory=dict)
    differences: tuple[Difference, ...] = ()


@frozen(kw_only=True)
class ProbeReport:
    """What a probe found. `semantics` is what a poll gives, `rotation` what becomes of a used refresh token.

    `rotation` is "no_refresh_token" when none is given, "kept" when it does not change; else each refresh brings
    another, and the old one, used again at once, gives the "same_reply" or a "new_reply", is "refused" while the
    session lives on, or is refused and the session "revoked". Both are None when that was not found out. `simulator`
    says that this was the bundled sandbox, which tells nothing of the vendor's service.
    """

    observations: tuple[Observation, ...]
    semantics: Semantics | None = None
    rotation: Policy | None = None
    simulator: bool = False

    def to_dict(self) -> dict[str, object]:
        """Return the report as JSON for `make regenerate OBSERVED=`, without any value of the service."""
        rows = {
            one.operation.name: {
                "method": one.operation.method,
                "path": one.operation.path,
                "answer": one.answer,
                "status": one.status,
                "content_type": one.content_type,
                "fields": {pointer: list(kinds) for pointer, kinds in one.fields.items()},
                "differences": [asdict(difference) for difference in one.differences],
            }
            for one in self.observations
        }
        head = {"format": FORMAT, "version": VERSION, "date": f"{datetime.now(UTC):%Y-%m-%d}"}
        facts = {"simulator": self.simulator, "semantics": self.semantics, "rotation": self.rotation}
        return {**head, **facts, "operations": rows}


@define
class Seen:
    """What is remembered of one operation's replies."""

    statuses: list[int] = field(factory=list)
    content_type: str | None = None
    fields: dict[str, set[str]] = field(factory=dict)
    error: PuzzelChatError | None = None

    def take(self, reply: Reply) -> None:
        """Remember what a reply is like."""
        self.statuses.append(reply.status)
        if 200 <= reply.status < 300 and reply.body:
            self.content_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower() or None
            for pointer, kind in shape(_document(reply)):
                self.fields.setdefault(pointer, set()).add(kind)

    @property
    def status(self) -> int | None:
        """The status that counts: a success when there was one."""
        good = [status for status in self.statuses if 200 <= status < 300]
        return next(iter(good or reversed(self.statuses)), None)


def _document(reply: Reply) -> object:
    try:
        return json.loads(reply.body)
    except (ValueError, RecursionError):
        return None


def shape(value: object, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Yield the members of a JSON value, each with the name of its type; `*` stands for the items of a list."""
    if isinstance(value, dict):
        for name, member in value.items():
            place = f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}"
            yield place, _kind(member)
            yield from shape(member, place)
    elif isinstance(value, list):
        for item in value:
            yield f"{pointer}/*", _kind(item)
            yield from shape(item, f"{pointer}/*")


def _kind(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")


def differences(expected: OperationInfo, fields: Mapping[str, set[str]]) -> Iterator[Difference]:
    """Yield what of a reply's members contradicts the document.

    A member that is new is no contradiction by itself, and neither is one that may be left out. Where both meet, one
    may be the other under another name.
    """
    new = [place for place in fields if place not in expected.reply and not place.endswith("/*")]
    levels = {place.rpartition("/")[0] for place in fields}
    missing = [
        place
        for place in expected.reply
        if place not in fields and not place.endswith("/*") and place.rpartition("/")[0] in levels
    ]
    renamed = {place.rpartition("/")[0] for place in new} & {place.rpartition("/")[0] for place in missing}
    for place in missing:
        if place in expected.required or place.rpartition("/")[0] in renamed:
            yield Difference(place, expected.reply[place], "missing")
    for place in new:
        if place.rpartition("/")[0] in renamed:
            yield Difference(place, "", "new")
    for place, kinds in fields.items():
        known = expected.reply.get(place, "any").split(" or ")
        if "any" not in known and not _fits(kinds, known):
            yield Difference(place, expected.reply[place], " or ".join(sorted(kinds)))


def _fits(kinds: set[str], known: list[str]) -> bool:
    return kinds <= {*known, *(["integer"] if "number" in known else [])}


def judged(operation: OperationInfo, seen: Seen) -> Observation:
    """Judge what an operation answered."""
    fields = {pointer: tuple(sorted(kinds)) for pointer, kinds in seen.fields.items()}
    row = Observation(operation=operation, status=seen.status, content_type=seen.content_type, fields=fields)
    if seen.status is None:
        return evolve(row, answer="not asked" if seen.error is None else "unclear", told=str(seen.error or ""))
    if 200 <= seen.status < 300:
        return _success(row, seen)
    if _refused_as_expected(operation.name, seen):
        return evolve(row, answer="confirmed", told=_REFUSALS[operation.name])
    if operation.name == STATUS.name and seen.status == 404:
        return evolve(row, answer="unclear", told="404, as for an unknown path; with a routed chat it tells more")
    found = (_unlike(operation, seen.status),)
    more = f"; {_STILL_OPEN}" if operation.name == END.name else f"; {seen.error}" if seen.error else ""
    return evolve(row, answer="differs", told=f"{_told(found[0])}{more}", differences=found)


def _unlike(operation: OperationInfo, status: int) -> Difference:
    wanted = " or ".join(str(one) for one in operation.statuses if one < 300)
    return Difference("", wanted, str(status))


def _success(row: Observation, seen: Seen) -> Observation:
    found = list(differences(row.operation, seen.fields))
    if row.status is not None and row.status not in row.operation.statuses:
        found.insert(0, _unlike(row.operation, row.status))
    if seen.content_type and "json" not in seen.content_type:
        found.append(Difference("", "application/json", seen.content_type))
    if found:
        return evolve(row, answer="differs", told="; ".join(map(_told, found)), differences=tuple(found))
    more = [place for place in seen.fields if place not in row.operation.reply]
    told = [f"also brings {', '.join(more)}"] if more else []
    return evolve(row, answer="confirmed", told="; ".join([*told, *([str(seen.error)] if seen.error else [])]))


def _told(one: Difference) -> str:
    if one.came in ("missing", "new"):
        return f"{one.pointer} is {one.came}"
    return f"{one.pointer or 'the answer'} is {one.came}, not {one.expected}"


_REFUSALS = {
    AUTHENTICATE.name: "it refuses a token that was made up, as it should",
    ROUTE.name: "it refuses the chat as the queue is now",
}


def _refused_as_expected(name: str, seen: Seen) -> bool:
    if name == AUTHENTICATE.name:
        return seen.status in (400, 401, 403)
    return name == ROUTE.name and isinstance(seen.error, RoutingError)


def rotation(replies: list[Reply]) -> tuple[Policy | None, str | None]:
    """Judge the replies to a token request and refreshes so far; gives the policy, or the refresh token to send next.

    connect ──► refresh ──► the spent token again ──► if that was refused, the newest: does the session live?
    """
    first, *later = _grants(replies)
    if first.refresh is None:
        return "no_refresh_token", None
    if len(replies) < 3:
        return None, first.refresh
    newest = later[0].refresh or first.refresh
    refused = _refused(replies[2])
    if refused and newest != first.refresh and len(replies) < 4:
        return None, newest
    if refused:
        return ("refused" if len(replies) == 4 and not _refused(replies[3]) else "revoked"), None
    if newest == first.refresh:
        return "kept", None
    return ("same_reply" if grant(replies[2]).refresh == newest else "new_reply"), None


def _grants(replies: list[Reply]) -> list[Grant]:
    """Give what the first two requests brought, which have to be granted."""
    if error := error_for(TOKEN, replies[0]):
        raise error
    if len(replies) > 1 and _refused(replies[1]):
        raise SessionExpired("The service gave a refresh token and refused it at its first use. Ask who runs it.")
    return [grant(reply) for reply in replies[:2]]


def _refused(reply: Reply) -> bool:
    """Tell whether a refresh token was refused; raises any other error, which says nothing about the token."""
    error = error_for(TOKEN, reply)
    if error is None:
        return False
    refused = refresh_error(error)
    if not isinstance(refused, SessionExpired):
        raise refused
    return True


class Recorder(Transport):
    """A transport that remembers what replies are like, and the token that was sent last."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.seen = {row.name: Seen() for row in operations()}
        self.access: str | None = None
        self.simulator = False

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send as `Transport.send` does."""
        self.access = access or self.access
        reply = super().send(request, access, within)
        self.simulator = self.simulator or "x-simulator" in reply.headers
        self.seen[request.operation].take(reply)
        return reply


@define
class Probe:
    """A walk through a service, to find out which of the assumptions about it hold there.

    `queue_key` names the queue to hold a short test chat in, which people there will notice: it is routed, one message
    is sent, and it is ended whatever happens. `visual_queue_id` asks for that queue's hours. `visitor` signs one in;
    without it a made-up token has to be refused. Raises `ConfigurationError` as `PuzzelChat` does.
    """

    settings: Settings
    queue_key: str | None = None
    visual_queue_id: str | int | None = None
    visitor: Visitor | None = None
    on_observation: Callable[[Observation], object] | None = None
    clock: Clock = field(factory=Clock)
    _told: dict[str, Observation] = field(factory=dict, init=False)
    _semantics: Semantics | None = field(default=None, init=False)
    _rotation: Policy | None = field(default=None, init=False)

    def run(self) -> ProbeReport:
        """Walk, and say what was found; `on_observation` is called with each operation as soon as it is judged.

        Interrupted, it ends the test chat and raises the interrupt; what was told until then stays true.
        """
        recorder = Recorder(self.settings)

        class Recorded(PuzzelChat):
            @classmethod
            def _new_transport(cls, settings: Settings) -> Recorder:
                return recorder

        with Recorded(**asdict(self.settings)) as chat:
            self._walk(chat, recorder)
        for row in operations():
            self._tell(row.name, recorder)
        return ProbeReport(
            observations=tuple(self._told[row.name] for row in operations()),
            semantics=self._semantics,
            rotation=self._rotation,
            simulator=recorder.simulator,
        )

    def _tell(self, name: str, recorder: Recorder) -> None:
        if name in self._told:
            return
        row = next(row for row in operations() if row.name == name)
        self._told[name] = judged(row, recorder.seen[name])
        if self.on_observation is not None:
            self.on_observation(self._told[name])

    def _walk(self, chat: PuzzelChat, recorder: Recorder) -> None:
        with _kept(recorder, TOKEN):
            self._rotation = self._rotate(recorder)
        session: Session | None = None
        with _kept(recorder, TOKEN):
            session = chat.connect()
        self._tell(TOKEN.name, recorder)
        if session is None:
            return
        with _kept(recorder, AUTHENTICATE):
            if self.visitor is not None:
                chat.connect(visitor=self.visitor).close()
            else:
                recorder.send(SignIn(Visitor(access_token=MADE_UP)).request(self.settings), None)
        self._tell(AUTHENTICATE.name, recorder)
        with session:
            self._look(session, recorder)
            if self.queue_key is not None:
                self._chat(session, self.queue_key, recorder)

    def _rotate(self, recorder: Recorder) -> Policy | None:
        """Spend a session of its own to find out what becomes of a used refresh token."""
        replies = [recorder.send(token_request(connect_fields(self.settings)), None)]
        while True:
            policy, refresh = rotation(replies)
            if refresh is None:
                return policy
            replies.append(recorder.send(token_request(refresh_fields(self.settings, refresh)), None))

    def _look(self, session: Session, recorder: Recorder) -> None:
        """Ask what nobody notices."""
        time_id: str | None = None
        if self.visual_queue_id is not None:
            with _kept(recorder, QUEUE):
                time_id = session.queue_info(self.visual_queue_id).time_id
        self._tell(QUEUE.name, recorder)
        if time_id is not None:
            with _kept(recorder, TIME):
                session.time_info(time_id)
        self._tell(TIME.name, recorder)
        with _kept(recorder, POLL):
            session.poll()
        if self.queue_key is None:
            with _kept(recorder, STATUS):
                session.conversation().allocation()

    def _chat(self, session: Session, queue_key: str, recorder: Recorder) -> None:
        """Hold a short chat, and end it whatever happens."""
        # An end that the service does not take must not hide what was found until then.
        with _kept(recorder, END), session.conversation() as conversation:
            with _kept(recorder, ROUTE):
                conversation.route(queue_key, subject=SUBJECT)
            self._tell(ROUTE.name, recorder)
            if recorder.seen[ROUTE.name].error is not None:
                return
            with _kept(recorder, STATUS):
                self._wait(conversation)
            self._tell(STATUS.name, recorder)
            with _kept(recorder, SEND):
                conversation.send(WORDS)
            self._tell(SEND.name, recorder)
            with _kept(recorder, TYPING):
                conversation.typing()
            self._tell(TYPING.name, recorder)
            with _kept(recorder, POLL):
                self._semantics = self._poll(recorder)
            self._tell(POLL.name, recorder)

    def _wait(self, conversation: Conversation) -> None:
        until = self.clock.monotonic() + AGENT_WITHIN
        while conversation.allocation().stage is not AllocationStage.ASSIGNED and self.clock.monotonic() < until:
            self.clock.wait(Event(), LOOK)

    def _poll(self, recorder: Recorder) -> Semantics | None:
        """Poll until something comes, and then again without and with the cursor."""
        until = self.clock.monotonic() + MESSAGE_WITHIN
        while not (first := self._polled(recorder, None)).items:
            if self.clock.monotonic() >= until:
                return None
            self.clock.wait(Event(), LOOK)
        again = self._polled(recorder, None)
        if not _has(again, first):
            return "drain"
        if again.cursor is None or _has(self._polled(recorder, again.cursor), first):
            return "history"
        return "cursor"

    def _polled(self, recorder: Recorder, cursor: str | None) -> Poll:
        reply = recorder.send(poll_request(cursor), recorder.access)
        if error := error_for(POLL, reply):
            raise error
        return poll(reply)


def _has(later: Poll, first: Poll) -> bool:
    return {event.id for event in first.events} <= {event.id for event in later.events}


@contextmanager
def _kept(recorder: Recorder, operation: AnyOperation) -> Iterator[None]:
    """Keep an error of the operation for its judgement; the walk goes on."""
    try:
        yield
    except PuzzelChatError as error:
        recorder.seen[operation.name].error = error
