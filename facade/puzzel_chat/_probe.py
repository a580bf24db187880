"""What a service turns out to be like: a walk through its operations that keeps no value of what they answer.

    token ──► refresh ──► visitor ──► hours ──► poll ──► [ route ──► search ──► message ──► polls ──► end ]

The walk is made with the library itself, over a transport that remembers of each reply its status, its content type and
the names and types of its members. What stands in brackets is noticed by people, and made only when a queue is named.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from threading import Event
from typing import Literal, TypeAlias

from attrs import asdict, define, evolve, field, frozen

from puzzel_chat._clock import Clock
from puzzel_chat._errors import ApiError, ContractError, InvalidArgument, PuzzelChatError, RoutingError, SessionExpired
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import AllocationStage, TextMessage, Visitor
from puzzel_chat._models import Event as ChatEvent
from puzzel_chat._routing import ENDINGS
from puzzel_chat._session import SessionState, opened, sign_in_request
from puzzel_chat._settings import Settings
from puzzel_chat._steps import Parts, is_async
from puzzel_chat._store import MemoryStore
from puzzel_chat._sync import Conversation, Runner, Session
from puzzel_chat._tokens import TokenSet, connect_fields, refresh_fields
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
    OperationInfo,
    operations,
    poll_request,
    token_request,
)
from puzzel_chat._wire.refusals import error_for, refresh_error
from puzzel_chat._wire.replies import Poll, grant, poll

Answer: TypeAlias = Literal["confirmed", "differs", "unclear", "not asked"]
Policy: TypeAlias = Literal["no_refresh_token", "kept", "same_reply", "new_reply", "refused", "revoked"]
Semantics: TypeAlias = Literal["history", "cursor", "drain"]

FORMAT, VERSION = "puzzel-chat-probe", 1
SUBJECT = "Test by puzzel-chat probe, please ignore"
WORDS = "This is a test by puzzel-chat probe. It ends by itself; please ignore it."
MADE_UP = "made-up-by-puzzel-chat-probe"
AGENT_WITHIN = 60.0
"""Seconds to wait for an agent; without one the walk goes on all the same."""
MESSAGE_WITHIN = 10.0
"""Seconds of polls in which a message of the chat has to come."""
LOOK = 1.0
"""Seconds between two looks."""
CONTENT = "/messages/*/content"
"""The place of a message's words, without which a message is of no use; its item may lack what other types have."""

# A member's name as programs write it; what else stands as a name, such as an id or a person's, may be a value.
_NAME = re.compile(r"[A-Za-z_$@][A-Za-z_.]{0,38}\d{0,2}")
_MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,60}")
_DEEPEST, _MOST_PLACES = 8, 300
# Refusals that tell nothing of the path, the method or the body: try again, or under other circumstances.
_FOR_NOW = frozenset({403, 408, 409, 410, 422, 423, 425, 429})
_STILL_OPEN = "the test chat may still be open: end it in the agents' application"


@frozen
class Difference:
    """One thing that is not as expected: `pointer` names a member of the reply, "" the reply as a whole.

    `came` is the types that came, "missing", "new", or for the whole reply its status, its content type or "not json".
    """

    pointer: str
    """The member of the reply, as a JSON pointer."""
    expected: str
    """What was expected there."""
    came: str
    """What came."""

    def __str__(self) -> str:
        if self.came in ("missing", "new"):
            return f"{self.pointer} is {self.came}"
        return f"{self.pointer or 'the answer'} is {self.came}, not {self.expected}"


@frozen(kw_only=True)
class Observation:
    """How one operation answered; `told` says it in words.

    `fields` are the names and JSON types of the members of its replies, never values; `*` stands for the items of a
    list, and for a name that does not look like one.
    """

    operation: OperationInfo
    """The operation."""
    answer: Answer = "not asked"
    """Whether it answered as expected."""
    told: str = ""
    """The answer in words."""
    status: int | None = None
    """The HTTP status."""
    content_type: str | None = None
    """The reply's media type."""
    fields: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """The types of the reply's members, by their place."""
    differences: tuple[Difference, ...] = ()
    """What was not as expected."""


@frozen(kw_only=True)
class ProbeReport:
    """What a probe found. `semantics` is what a poll gives, `rotation` what becomes of a used refresh token.

    `rotation` is "no_refresh_token" when none is given, "kept" when it does not change; else each refresh brings
    another, and the old one, used again at once, gives the "same_reply" or a "new_reply", is "refused" while the
    session lives on, or is refused and the session "revoked". Both are None when that was not found out. `simulator`
    says that this was the bundled sandbox, which tells nothing of the vendor's service.
    """

    observations: tuple[Observation, ...]
    """What each operation answered."""
    semantics: Semantics | None = None
    """What a poll gives."""
    rotation: Policy | None = None
    """What becomes of a used refresh token."""
    simulator: bool = False
    """Whether this was the bundled sandbox."""

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
    """What is remembered of one operation: of its replies, and of what the walk learnt beside them.

    `made_up` says that it was asked for something that does not exist, so that a refusal is the right answer.
    """

    asked: int = 0
    statuses: list[int] = field(factory=list)
    content_type: str | None = None
    whole: str | None = None
    fields: dict[str, set[str]] = field(factory=dict)
    error: PuzzelChatError | None = None
    made_up: bool = False
    found: list[Difference] = field(factory=list)
    notes: list[str] = field(factory=list)

    def take(self, reply: Reply) -> None:
        """Remember what a reply is like."""
        if 200 <= reply.status < 300 and reply.body:
            self.statuses.insert(0, reply.status)
            media = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
            self.content_type = media if _MEDIA_TYPE.fullmatch(media) else None
            self.whole, document = _document(reply)
            for pointer, kind in islice(shape(document), _MOST_PLACES):
                self.fields.setdefault(pointer, set()).add(kind)
        else:
            self.statuses.append(reply.status)

    @property
    def status(self) -> int | None:
        """The status that counts: that of a success when there was one, with a body before one without."""
        good = [status for status in self.statuses if 200 <= status < 300]
        return next(iter(good or reversed(self.statuses)), None)


def _document(reply: Reply) -> tuple[str, object]:
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError):
        return "not json", None
    return _kind(document), document


def shape(value: object, pointer: str = "") -> Iterator[tuple[str, str]]:
    """Yield the members of a JSON value, each with the name of its type; `*` stands for the items of a list."""
    if pointer.count("/") >= _DEEPEST:
        return
    if isinstance(value, dict):
        for name, member in value.items():
            place = f"{pointer}/{name if _NAME.fullmatch(name) else '*'}"
            yield place, _kind(member)
            yield from shape(member, place)
    elif isinstance(value, list):
        for item in value:
            yield f"{pointer}/*", _kind(item)
            yield from shape(item, f"{pointer}/*")


def _kind(value: object) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    return names.get(type(value), "null")


def _level(place: str) -> str:
    return place.rpartition("/")[0]


def differences(expected: OperationInfo, fields: Mapping[str, set[str]]) -> Iterator[Difference]:
    """Yield what of a reply's members contradicts the document.

    A member that is new is no contradiction by itself, and neither is one that may be left out. Where both meet, and
    the type fits, one may be the other under another name.
    """
    renamed: dict[str, None] = {}
    for place in absent(expected, fields):
        others = [new for new in added(expected, fields) if _may_be(new, place, expected, fields)]
        if place in expected.required or others:
            yield Difference(place, expected.reply[place], "missing")
            renamed.update(dict.fromkeys(others))
    yield from (Difference(place, "", "new") for place in renamed)
    for place, kinds in fields.items():
        known = expected.reply.get(place, "any").split(" or ")
        if "any" not in known and not _fits(kinds, known):
            yield Difference(place, expected.reply[place], " or ".join(sorted(kinds)))


def absent(expected: OperationInfo, fields: Mapping[str, set[str]]) -> list[str]:
    """Return the members that the document has and the reply has not, where the reply has their object."""
    levels = {"", *(place for place, kinds in fields.items() if "object" in kinds)}
    return [
        place
        for place in expected.reply
        if place not in fields and not place.endswith("/*") and _level(place) in levels
    ]


def added(expected: OperationInfo, fields: Mapping[str, set[str]]) -> list[str]:
    """Return the members that the reply has and the document has not."""
    return [place for place in fields if place not in expected.reply and not place.endswith("/*")]


def _may_be(new: str, place: str, expected: OperationInfo, fields: Mapping[str, set[str]]) -> bool:
    """Return whether a new member may be a missing one under another name."""
    if _level(new) != _level(place):
        return False
    if place not in expected.required and _of_several_types(_level(place), expected):
        return False
    kinds = fields[new] - {"null"}
    return bool(kinds) and _fits(kinds, expected.reply[place].split(" or "))


def _of_several_types(level: str, expected: OperationInfo) -> bool:
    """Return whether the objects there are of several types, each with members that the others lack."""
    return f"{level}/type" in expected.required


def _fits(kinds: set[str], known: list[str]) -> bool:
    return kinds <= {*known, *(["integer"] if "number" in known else [])}


def judged(operation: OperationInfo, seen: Seen) -> Observation:
    """Judge what an operation answered."""
    fields = {pointer: tuple(sorted(kinds)) for pointer, kinds in seen.fields.items()}
    row = Observation(operation=operation, status=seen.status, content_type=seen.content_type, fields=fields)
    why = str(seen.error or "")
    if seen.status is None:
        return evolve(row, answer="unclear" if seen.error else "not asked", told=why)
    if 200 <= seen.status < 300:
        return _success(row, seen)
    if fine := _refused_as_it_should(operation.name, seen):
        return evolve(row, answer="confirmed", told=fine)
    if operation.name == STATUS.name and seen.made_up and seen.status == 404:
        return evolve(row, answer="unclear", told="404, as for an unknown path; with a routed chat it tells more")
    more = [_STILL_OPEN] if operation.name == END.name else []
    if _tells_nothing(operation.name, seen):
        return evolve(row, answer="unclear", told="; ".join([why or f"the answer is {seen.status}", *more]))
    found = (_unlike(operation, str(seen.status)), *seen.found)
    told = [*map(str, found), *_hint(operation.name, seen.error), *more]
    return evolve(row, answer="differs", told="; ".join(told), differences=found)


def _refused_as_it_should(name: str, seen: Seen) -> str | None:
    if name == AUTHENTICATE.name and seen.made_up and seen.status in (401, 403):
        return "it refuses a token that was made up, as it should; what a good one brings was not asked"
    if name == ROUTE.name and isinstance(seen.error, RoutingError):
        return f"it refuses the chat for now, in the words that are expected: {seen.error}"
    return None


def _tells_nothing(name: str, seen: Seen) -> bool:
    """Return whether a refusal is about what was asked for, or about the moment, and not about the request's form."""
    status, error = seen.status or 0, seen.error
    if status in _FOR_NOW or status >= 500:
        return True
    if name == AUTHENTICATE.name and status == (400 if seen.made_up else 401):
        return True
    # A service that has a word of its own for what it does not find has found the path.
    return status == 404 and isinstance(error, ApiError) and error.code not in (None, "NotFound")


def _hint(name: str, error: PuzzelChatError | None) -> Iterator[str]:
    """Say more of a refusal: in our words where another id may help, else in the service's word."""
    if isinstance(error, ApiError) and name in (SEND.name, TYPING.name, END.name, STATUS.name, POLL.name):
        if error.code and error.code.isascii() and error.code.isalpha():
            yield f"the service calls it {error.code[:40]}"
    elif error is not None:
        yield str(error)


def _unlike(operation: OperationInfo, came: str) -> Difference:
    return Difference("", " or ".join(str(one) for one in operation.statuses if one < 300), came)


def _success(row: Observation, seen: Seen) -> Observation:
    operation, found = row.operation, list(seen.found)
    if row.status is not None and row.status not in operation.statuses:
        found.append(_unlike(operation, str(row.status)))
    if seen.whole is not None and operation.reply:
        if seen.content_type is None or "json" not in seen.content_type:
            found.append(Difference("", "application/json", seen.content_type or "of no type"))
        if seen.whole != "object":
            found.append(Difference("", "object", seen.whole))
    if seen.whole == "object" or (seen.whole is None and row.status == 200):
        found += differences(operation, seen.fields)
    if not found and isinstance(seen.error, ContractError):
        # Not seen in names and types: a word or a form that cannot be read.
        found.append(Difference(seen.error.pointer, operation.reply.get(seen.error.pointer, "object"), "unreadable"))
    told = [*map(str, found), *_beside(operation, seen, {one.pointer for one in found}), *seen.notes]
    if seen.error is not None and not found:
        told.append(str(seen.error))
    answer: Answer = "differs" if found else "confirmed"
    return evolve(row, answer=answer, told="; ".join(told), differences=tuple(found))


def _beside(operation: OperationInfo, seen: Seen, named: set[str]) -> Iterator[str]:
    """Say what else came, and what did not come though it might, neither of which contradicts anything."""
    if more := [place for place in added(operation, seen.fields) if place not in named]:
        yield f"also brings {', '.join(more)}"
    lacking = [place for place in absent(operation, seen.fields) if place not in named] if seen.whole else []
    if less := [place for place in lacking if not _of_several_types(_level(place), operation)]:
        yield f"does not bring {', '.join(less)}"


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
    return ("same_reply" if grant(replies[2], 0.0).refresh == newest else "new_reply"), None


def _grants(replies: list[Reply]) -> list[TokenSet]:
    """Return the tokens of the first two requests; raises when either was refused."""
    if error := error_for(TOKEN, replies[0]):
        raise error
    if len(replies) > 1 and _refused(replies[1]):
        raise SessionExpired("The service gave a refresh token and refused it at its first use. Ask who runs it.")
    return [grant(reply, 0.0) for reply in replies[:2]]


def _refused(reply: Reply) -> bool:
    """Return whether a refresh token was refused; raises any other error, which says nothing about the token."""
    error = error_for(TOKEN, reply)
    if error is None:
        return False
    refused = refresh_error(error)
    if not isinstance(refused, SessionExpired):
        raise refused
    return True


class Recorder(Transport):
    """A transport that remembers what replies are like."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.seen = {row.name: Seen() for row in operations()}
        self.simulator = False

    def send(self, request: Request, access: str | None, within: float | None = None) -> Reply:
        """Send as `Transport.send` does."""
        seen = self.seen[request.operation]
        seen.asked += 1
        reply = super().send(request, access, within)
        self.simulator = self.simulator or "x-simulator" in reply.headers
        seen.take(reply)
        return reply

    def of(self, operation: AnyOperation) -> Seen:
        """Return what is remembered of an operation."""
        return self.seen[operation.name]


@define
class Probe:
    """A walk through a service, to find out which of the assumptions about it hold there.

    `queue_key` names the queue to hold a short test chat in, which people there will notice: it is routed, one message
    is sent, and it is ended whatever happens. `visual_queue_id` asks for that queue's hours. `visitor` signs one in;
    without it a made-up token has to be refused. `on_observation` is called with each operation as soon as it is
    judged. Raises `ConfigurationError` as `PuzzelChat` does.
    """

    settings: Settings
    """The settings of the service."""
    queue_key: str | None = None
    """The queue to hold a test chat in."""
    visual_queue_id: str | int | None = None
    """The queue whose hours are asked for."""
    visitor: Visitor | None = None
    """Somebody to sign in."""
    on_observation: Callable[[Observation], object] | None = None
    """Called with each observation."""
    clock: Clock = field(factory=Clock)
    """The time, for tests."""
    _recorder: Recorder = field(init=False, repr=False)
    _parts: Parts = field(init=False, repr=False)
    _runner: Runner = field(init=False, repr=False)
    _session: SessionState = field(init=False, repr=False)
    _told: dict[str, Observation] = field(factory=dict, init=False, repr=False)
    _semantics: Semantics | None = field(default=None, init=False)
    _rotation: Policy | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.on_observation is not None and (not callable(self.on_observation) or is_async(self.on_observation)):
            raise InvalidArgument("on_observation", "must be a plain function")
        self._recorder = Recorder(self.settings)
        self._parts = Parts(self.settings, MemoryStore(), self.clock)
        self._runner = Runner(self._recorder, self._parts)

    @property
    def simulator(self) -> bool:
        """Whether the bundled sandbox has answered so far."""
        return self._recorder.simulator

    @property
    def left_open(self) -> bool:
        """Whether the test chat was begun and may not have ended at the service."""
        begun, ended = self._recorder.of(ROUTE), self._recorder.of(END).status or 0
        refused = 400 <= (begun.status or 0) < 500
        return begun.asked > 0 and not refused and not (200 <= ended < 300 or ended in (409, 410))

    def run(self) -> ProbeReport:
        """Walk, once, and say what was found.

        Raises what `PuzzelChat.connect` raises when no session could be opened and nothing could be asked. Interrupted,
        it ends the test chat and raises the interrupt; what was told until then stays true.
        """
        try:
            self._walk(self._parts)
        finally:
            self._recorder.close()
        for row in operations():
            self._tell(row.name)
        return ProbeReport(
            observations=tuple(self._told[row.name] for row in operations()),
            semantics=self._semantics,
            rotation=self._rotation,
            simulator=self._recorder.simulator,
        )

    def _tell(self, name: str) -> None:
        if name in self._told:
            return
        self._told[name] = judged(_info(name), self._recorder.seen[name])
        if self.on_observation is not None:
            self.on_observation(self._told[name])

    def _walk(self, parts: Parts) -> None:
        token = self._recorder.of(TOKEN)
        try:
            self._session = self._runner.run(opened(parts, None))
        except ContractError as error:
            token.error = error
            return
        self._rotate(token)
        self._sign_in(parts, token)
        self._tell(TOKEN.name)
        self._tell(AUTHENTICATE.name)
        with Session(self._session, self._runner) as session:
            self._look(session)
            if self.queue_key is not None:
                self._chat(session, self.queue_key)

    def _rotate(self, token: Seen) -> None:
        """Spend a session of its own to find out what becomes of a used refresh token."""
        replies: list[Reply] = []
        request = token_request(connect_fields(self.settings))
        try:
            while self._rotation is None:
                replies.append(self._recorder.send(request, None))
                self._rotation, refresh = rotation(replies)
                if refresh is not None:
                    request = token_request(refresh_fields(self.settings, refresh))
        except SessionExpired as error:
            token.found.append(Difference("", "200", str(replies[-1].status)))
            token.notes.append(str(error))
        except PuzzelChatError as error:
            token.notes.append(f"what becomes of a used refresh token was not found out: {error}")

    def _sign_in(self, parts: Parts, token: Seen) -> None:
        """Sign the visitor in; without one, a token that is made up has to be refused."""
        seen = self._recorder.of(AUTHENTICATE)
        with self._kept(AUTHENTICATE):
            if self.visitor is None:
                seen.made_up = True
                request = sign_in_request(self.settings, Visitor(access_token=MADE_UP), MADE_UP)
                reply = self._recorder.send(request, None)
                seen.error = error_for(AUTHENTICATE, reply)
            else:
                self._runner.run(self._runner.run(opened(parts, self.visitor)).shut())
        if seen.status == 200 and self.visitor is not None and seen.error is not None and not seen.error.retryable:
            refused, seen.error = seen.error, None
            if not isinstance(refused, ContractError):
                token.found.append(Difference("", "200", str(token.statuses[-1])))
                token.notes.append(f"the token request of a signed-in visitor is refused: {refused}")

    def _look(self, session: Session) -> None:
        """Ask what nobody notices."""
        time_id: str | None = None
        if self.visual_queue_id is not None:
            with self._kept(QUEUE):
                time_id = session.queue_info(self.visual_queue_id).time_id
        self._tell(QUEUE.name)
        if time_id is not None:
            with self._kept(TIME):
                session.time_info(time_id)
        self._tell(TIME.name)
        with self._kept(POLL):
            self._polled(None)
        if self.queue_key is None:
            self._recorder.of(STATUS).made_up = True
            with self._kept(STATUS):
                session.conversation().allocation()

    def _chat(self, session: Session, queue_key: str) -> None:
        """Hold a short chat, and end it whatever happens."""
        # An end that the service does not take must not hide what was found until then.
        with self._kept(END), session.conversation() as conversation:
            with self._kept(ROUTE):
                conversation.route(queue_key, subject=SUBJECT)
            self._tell(ROUTE.name)
            if self._recorder.of(ROUTE).error is not None:
                return
            with self._kept(STATUS):
                self._wait(conversation)
            self._tell(STATUS.name)
            before = Poll((), None)
            with self._kept(POLL):
                before = self._polled(None)
            with self._kept(SEND):
                conversation.send(WORDS)
            self._tell(SEND.name)
            with self._kept(TYPING):
                conversation.typing()
            self._tell(TYPING.name)
            with self._kept(POLL):
                self._semantics = self._poll(before)
            self._tell(POLL.name)

    def _wait(self, conversation: Conversation) -> None:
        until = self.clock.monotonic() + AGENT_WITHIN
        while (stage := conversation.allocation().stage) not in (AllocationStage.ASSIGNED, *ENDINGS):
            if self.clock.monotonic() >= until:
                break
            self.clock.wait(Event(), LOOK)
        if stage is not AllocationStage.ASSIGNED:
            self._recorder.of(STATUS).notes.append(f"no agent took the test chat; last seen {stage.value}")

    def _poll(self, before: Poll) -> Semantics | None:
        """Poll until something comes that was not there before, and see what the polls have in common.

        What was there before the message was sent is compared first: a service may answer an unchanged history with
        204, which looks as if it had been read and forgotten.
        """
        seen, until = self._recorder.of(POLL), self.clock.monotonic() + MESSAGE_WITHIN
        enough = bool(before.items) and self._recorder.of(SEND).error is not None
        while _has(before, later := self._polled(None)) and not enough:
            if self.clock.monotonic() >= until:
                seen.notes.append("the message that was sent did not come in the polls")
                break
            self.clock.wait(Event(), LOOK)
        self._read((*before.events, *later.events))
        if not (before.items or later.items):
            return None
        first, again = (before, later) if before.items else (later, self._polled(None))
        if not _has(again, first):
            unchanged = 204 in seen.statuses and _has(before, again)
            return None if unchanged else "drain"
        if again.cursor is None or _has(self._polled(again.cursor), first):
            return "history"
        return "cursor"

    def _read(self, events: tuple[ChatEvent, ...]) -> None:
        """Look for words in the messages: the document lets them be absent, and then they stand somewhere else."""
        texts = [event for event in events if isinstance(event, TextMessage)]
        if not texts or any(text.text for text in texts):
            return
        seen, expected = self._recorder.of(POLL), _info(POLL.name)
        if CONTENT in seen.fields:
            return
        new = [one for one in added(expected, seen.fields) if _level(one) == _level(CONTENT)]
        seen.found.append(Difference(CONTENT, expected.reply.get(CONTENT, "string"), "missing"))
        seen.found += [Difference(one, "", "new") for one in new if "string" in seen.fields[one]]

    def _polled(self, cursor: str | None) -> Poll:
        return poll(self._runner.run(self._session.call(POLL, poll_request(cursor))))

    @contextmanager
    def _kept(self, operation: AnyOperation) -> Iterator[None]:
        """Keep an error of the operation for its judgement; the walk goes on."""
        self._recorder.of(operation).error = None
        try:
            yield
        except PuzzelChatError as error:
            self._recorder.of(operation).error = error


def _info(name: str) -> OperationInfo:
    return next(row for row in operations() if row.name == name)


def _has(later: Poll, first: Poll) -> bool:
    """Return whether a poll has everything that another one had."""
    return {event.id for event in first.events} <= {event.id for event in later.events}
