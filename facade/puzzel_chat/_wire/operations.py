"""The endpoints that the facade uses, one row each, and the requests to them.

The parts of a request come from a generated builder. Each part is sent, or refused with `NotImplementedError`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any, Generic, ParamSpec, TypeAlias, TypeVar, cast
from urllib.parse import quote, urlencode

from attrs import asdict, evolve, field, fields_dict, frozen

from puzzel_chat._errors import InvalidArgument
from puzzel_chat._html import from_text
from puzzel_chat._http import Content, Request, Sink
from puzzel_chat._models import Customer, CustomerFields, Secret, SecretBytes, Variable, Visitor
from puzzel_chat._settings import Address, HostName
from puzzel_chat_api import models
from puzzel_chat_api.api import allocation, authenticate, connect, conversation, file, queue, time
from puzzel_chat_api.api.allocation import get_request_status
from puzzel_chat_api.api.authenticate import authenticate_visitor
from puzzel_chat_api.api.connect import connect_token
from puzzel_chat_api.api.conversation import (
    end_conversation,
    poll_conversation,
    route_conversation,
    send_message,
    send_typing,
)
from puzzel_chat_api.api.file import download_file, upload_file
from puzzel_chat_api.api.queue import get_queue_info
from puzzel_chat_api.api.time import get_time_info
from puzzel_chat_api.provenance import OPERATIONS as THEIRS
from puzzel_chat_api.provenance import Host
from puzzel_chat_api.types import UNSET, File, Unset

LONGEST_ID = 256
_NO_TEXT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, but for tabs and line ends; and halves of a character, which no UTF-8 can hold."""
NOT_A_KEY = "A number is a visual queue id; it goes to visual_queue_id, for the opening hours."
HISTORY = "history"
"""The variable that a history travels in (assumed)."""
_P = ParamSpec("_P")
_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)


@frozen(eq=False)
class Operation(Generic[_P, _T_co]):
    """One endpoint.

    `build` returns the parts of a request, `read` a success by its documented schema; both are generated.
    `repeatable`: doing it twice is the same as doing it once. `private`: its replies hold tokens or people's words.
    """

    name: str
    build: Callable[_P, dict[str, Any]]
    read: Callable[[Any], _T_co]
    host: HostName
    used_by: str
    repeatable: bool
    private: bool = False


AnyOperation: TypeAlias = Operation[..., Any]

TOKEN = Operation(
    "connectToken",
    connect_token._get_kwargs,
    connect.success_of_connect_token,
    Host.connect_token,
    "PuzzelChat.connect",
    repeatable=False,
    private=True,
)
AUTHENTICATE = Operation(
    "authenticateVisitor",
    authenticate_visitor._get_kwargs,
    authenticate.success_of_authenticate_visitor,
    Host.authenticate_visitor,
    "PuzzelChat.connect",
    repeatable=True,
    private=True,
)
QUEUE = Operation(
    "getQueueInfo",
    get_queue_info._get_kwargs,
    queue.success_of_get_queue_info,
    Host.get_queue_info,
    "Session.queue_info",
    repeatable=True,
)
TIME = Operation(
    "getTimeInfo",
    get_time_info._get_kwargs,
    time.success_of_get_time_info,
    Host.get_time_info,
    "Session.time_info",
    repeatable=True,
)
ROUTE = Operation(
    "routeConversation",
    route_conversation._get_kwargs,
    conversation.success_of_route_conversation,
    Host.route_conversation,
    "Conversation.route",
    repeatable=False,
    private=True,
)
STATUS = Operation(
    "getRequestStatus",
    get_request_status._get_kwargs,
    allocation.success_of_get_request_status,
    Host.get_request_status,
    "Conversation.allocation",
    repeatable=True,
    private=True,
)
POLL = Operation(
    "pollConversation",
    poll_conversation._get_kwargs,
    conversation.success_of_poll_conversation,
    Host.poll_conversation,
    "Session.poll",
    repeatable=False,
    private=True,
)
SEND = Operation(
    "sendMessage",
    send_message._get_kwargs,
    conversation.success_of_send_message,
    Host.send_message,
    "Conversation.send",
    repeatable=False,
    private=True,
)
TYPING = Operation(
    "sendTyping",
    send_typing._get_kwargs,
    conversation.success_of_send_typing,
    Host.send_typing,
    "Conversation.typing",
    repeatable=True,
)
END = Operation(
    "endConversation",
    end_conversation._get_kwargs,
    conversation.success_of_end_conversation,
    Host.end_conversation,
    "Conversation.end",
    repeatable=True,
)
UPLOAD = Operation(
    "uploadFile",
    upload_file._get_kwargs,
    file.success_of_upload_file,
    Host.upload_file,
    "Conversation.send_file",
    repeatable=True,
    private=True,
)
DOWNLOAD = Operation(
    "downloadFile",
    download_file._get_kwargs,
    file.success_of_download_file,
    Host.download_file,
    "Conversation.download",
    repeatable=True,
    private=True,
)

_ROWS: tuple[AnyOperation, ...] = (
    *(TOKEN, AUTHENTICATE, QUEUE, TIME, ROUTE, STATUS),
    *(POLL, SEND, TYPING, END, UPLOAD, DOWNLOAD),
)
OPERATIONS = {row.name: row for row in _ROWS}


def _request(operation: Operation[_P, object], *args: _P.args, **kwargs: _P.kwargs) -> Request:
    return encoded(operation.name, operation.host, operation.build(*args, **kwargs))


def _of(conversation_id: str, request: Request) -> Request:
    return evolve(request, conversation_id=conversation_id)


def checked_id(argument: str, value: object) -> str:
    """Return an id that is safe as one segment of a path; raises `InvalidArgument`."""
    if not isinstance(value, str):
        raise InvalidArgument(argument, f"must be a string, not {type(value).__name__}")
    if not value or len(value) > LONGEST_ID:
        raise InvalidArgument(argument, f"must have 1 to {LONGEST_ID} characters, not {len(value)}")
    if value in (".", "..") or "/" in value or "\\" in value or not value.isprintable():
        raise InvalidArgument(argument, "must not hold '/', '\\' or control characters, nor be '.' or '..'")
    return value


def safe_id(value: str | None) -> str | None:
    """Return an id from the service if it is safe as one segment of a path."""
    try:
        return checked_id("id", value)
    except InvalidArgument:
        return None


def checked_text(text: object) -> Secret:
    """Return a text to send, masked in a repr; raises `InvalidArgument` for one that nobody could read."""
    if not isinstance(text, str):
        raise InvalidArgument("text", f"must be a string, not {type(text).__name__}")
    if not text.strip():
        raise InvalidArgument("text", "is empty; there is nothing to send")
    if odd := _NO_TEXT.search(text):
        told = f"has U+{ord(odd[0]):04X} at index {odd.start()}, which is no part of a text; take such characters out"
        raise InvalidArgument("text", told)
    return Secret(text)


def check_size(argument: str, request: Request, most: int) -> None:
    """Raise `InvalidArgument` for a request that says more than so many bytes; its echo would weigh on every poll."""
    if (size := len(request.body or b"")) > most:
        told = f"takes {size:,} bytes to send, more than the {most:,} of the setting max_message_bytes; say less"
        raise InvalidArgument(argument, told)


def as_customer(customer: Customer | CustomerFields | None) -> Customer | None:
    """Return a `Customer`, made from a mapping of its fields if need be."""
    if customer is None:
        return None
    found: Any = asdict(customer) if isinstance(customer, Customer) else customer
    if not isinstance(found, Mapping):
        raise InvalidArgument("customer", f"must be a Customer or a mapping, not {type(found).__name__}")
    unknown = sorted(set(found) - set(fields_dict(Customer)))
    if unknown:
        raise InvalidArgument("customer", f"has no field {unknown[0]!r}; there are {', '.join(fields_dict(Customer))}")
    for name, value in found.items():
        if not isinstance(value, str | None):
            raise InvalidArgument("customer", f"{name!r} must be a string, not {type(value).__name__}")
    return Customer(**found)


def as_variables(variables: Iterable[Variable] | Mapping[str, str] | None) -> tuple[Variable, ...]:
    """Return variables, made from a mapping of names to values if need be; `InvalidArgument` says which is wrong."""
    if isinstance(variables, Mapping):
        pairs = cast("Mapping[str, str]", variables)
        return tuple(_variable(Variable(name, value), f"{name!r}", f"{name!r}") for name, value in pairs.items())
    if not isinstance(variables, Iterable | None) or isinstance(variables, str | bytes):
        told = f"must be Variable objects, or a mapping of names to strings, not {type(variables).__name__}"
        raise InvalidArgument("variables", told)
    places = ((one, f"number {number}") for number, one in enumerate(variables or (), 1))
    return tuple(_variable(one, place, f"{place}: its value") for one, place in places)


def _variable(given: Any, place: str, of_value: str) -> Variable:
    if not isinstance(given, Variable):
        raise InvalidArgument("variables", f"{place} must be a Variable, not {type(given).__name__}")
    for where, found, kind, wanted in (
        (f"{place}: its name", given.name, str, "a string"),
        (of_value, given.value, str, "a string"),
        (f"{place}: its secret", given.secret, bool, "True or False"),
    ):
        if not isinstance(found, kind):
            raise InvalidArgument("variables", f"{where} must be {wanted}, not {type(found).__name__}")
    return given


def given(value: _T | None) -> _T | Unset:
    """Return a value to send; None is left out."""
    return UNSET if value is None else value


def token_request(fields: Mapping[str, str]) -> Request:
    """Ask for a token with these form fields."""
    return _request(TOKEN, body=models.ConnectTokenBody.from_dict(fields))


def authenticate_request(customer_id: str, visitor: Visitor, challenge: str) -> Request:
    """Identify a signed-in visitor; `challenge` is that of PKCE (RFC 7636)."""
    body = models.AuthenticateRequest(
        code_challenge=challenge, access_token=given(visitor.access_token), id_token=given(visitor.id_token)
    )
    customer = checked_id("solution_id", customer_id)
    return _request(AUTHENTICATE, customer, body=body, provider_id=given(visitor.provider_id))


def checked_key(queue_key: object) -> str:
    """Return a queue key; a number is refused with a hint, because it is likely a visual queue id."""
    if isinstance(queue_key, int) and not isinstance(queue_key, bool):
        raise InvalidArgument("queue_key", f"must be a key such as 'q_support', not a number. {NOT_A_KEY}")
    return checked_id("queue_key", queue_key)


def queue_request(visual_queue_id: str | int) -> Request:
    """Ask for a queue's opening hours."""
    if isinstance(visual_queue_id, int) and not isinstance(visual_queue_id, bool):
        visual_queue_id = str(visual_queue_id)
    return _request(QUEUE, checked_id("visual_queue_id", visual_queue_id))


def time_request(time_id: str) -> Request:
    """Ask for a time module's state."""
    return _request(TIME, checked_id("time_id", time_id))


def route_request(
    conversation_id: str,
    queue_key: str,
    customer: Customer | None = None,
    variables: tuple[Variable, ...] = (),
    subject: str | None = None,
    history: str | None = None,
) -> Request:
    """Ask for an agent for the conversation; customer, subject and history are sent as variables, too."""
    if not isinstance(subject, str | None):
        raise InvalidArgument("subject", f"must be a string, not {type(subject).__name__}")
    own = tuple(_about(customer, subject, history))
    for taken in {one.name for one in own} & {one.name for one in variables}:
        told = f"{taken!r} is there already, from customer=, subject= or history=; say it once"
        raise InvalidArgument("variables", told)
    items = [models.Variable(name=v.name, value=v.value, secret=v.secret or UNSET) for v in (*own, *variables)]
    return _of(conversation_id, _request(ROUTE, conversation_id, checked_key(queue_key), body=items))


def _about(customer: Customer | None, subject: str | None, history: str | None) -> Iterator[Variable]:
    for name in fields_dict(Customer):
        if (value := getattr(customer, name, None)) is not None:
            yield Variable(f"customer{name.capitalize()}", value)
    if subject is not None:
        yield Variable("subject", subject)
    if history is not None:
        yield Variable(HISTORY, history)


def status_request(conversation_id: str, request_id: str | None = None) -> Request:
    """Ask for the state of the search for an agent, by the conversation's id or the one that its routing gave."""
    return _of(conversation_id, _request(STATUS, request_id or conversation_id))


def poll_request(cursor: str | None) -> Request:
    """Ask for the session's messages after the cursor."""
    return _request(POLL, after=given(cursor))


def send_request(conversation_id: str, text: str, client_id: str) -> Request:
    """Send a line of text under our own id."""
    body = models.SendMessageRequest(content=from_text(text), client_message_id=client_id)
    return _of(conversation_id, _request(SEND, conversation_id, body=body))


def upload_request(conversation_id: str, content: Content, name: str, content_type: str) -> Request:
    """Upload a file, of that name and media type; it is read while it goes out."""
    empty = File(payload=BytesIO())
    request = _of(conversation_id, _request(UPLOAD, body=empty, file_name=name, content_type=content_type))
    return evolve(request, body=None, content=content, query=Secret(request.query))


def file_request(conversation_id: str, file_id: str, client_id: str) -> Request:
    """Send a file that was uploaded, as a message under our own id."""
    body = models.SendMessageRequest(content="", file_id=file_id, client_message_id=client_id)
    return _of(conversation_id, _request(SEND, conversation_id, body=body))


def download_request(conversation_id: str, place: Address, path: str, query: str, sink: Sink) -> Request:
    """Fetch a file from where it is, into a sink."""
    request = _of(conversation_id, _request(DOWNLOAD, ""))
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    return evolve(request, path=Secret(path), query=Secret(query), headers=headers, place=place, sink=sink)


def typing_request(conversation_id: str, is_typing: bool) -> Request:
    """Tell the agent that the customer is typing."""
    if not isinstance(is_typing, bool):
        raise InvalidArgument("is_typing", f"must be True or False, not {type(is_typing).__name__}")
    return _of(conversation_id, _request(TYPING, conversation_id, body=models.TypingRequest(is_typing=is_typing)))


def end_request(conversation_id: str) -> Request:
    """End the conversation, or leave the queue."""
    return _of(conversation_id, _request(END, conversation_id))


_KNOWN = {"method", "url", "params", "headers", "cookies", "json", "data", "content"}


def encoded(operation: str, host: HostName, built: Mapping[str, Any]) -> Request:
    """Return the request; raises `NotImplementedError` for a part that cannot be sent, such as files."""
    if unknown := sorted(built.keys() - _KNOWN):
        raise NotImplementedError(f"{operation}: the request has {unknown[0]}, which is not sent from here")
    headers = {name: _spelled(operation, value) for name, value in built.get("headers", {}).items()}
    if cookies := built.get("cookies"):
        headers["Cookie"] = "; ".join(f"{name}={quote(_spelled(operation, one))}" for name, one in cookies.items())
    return Request(
        operation=operation,
        host=host,
        method=built["method"].upper(),
        path=built["url"],
        query=_pairs(operation, built.get("params", {})),
        headers=headers,
        body=_body(operation, built),
    )


def _body(operation: str, built: Mapping[str, Any]) -> SecretBytes | None:
    if "json" in built:
        return SecretBytes(json.dumps(built["json"]).encode())
    if "data" in built:
        return SecretBytes(_pairs(operation, built["data"]).encode())
    if "content" in built:
        content = built["content"]
        return SecretBytes(content if isinstance(content, bytes) else content.read())
    return None


def _pairs(operation: str, members: Mapping[str, Any]) -> str:
    """Write members as `name=value` pairs; a list repeats its name, as OpenAPI and forms have it by default."""
    listed = ((name, value if isinstance(value, list | tuple) else [value]) for name, value in members.items())
    return urlencode([(name, _spelled(operation, one)) for name, several in listed for one in several])


def _spelled(operation: str, value: object) -> str:
    """Write a value as JSON does, without quotes; None is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    if value is None:
        return ""
    raise NotImplementedError(f"{operation}: a {type(value).__name__} has no form in a query, a form or a header")


@frozen
class OperationInfo:
    """One operation of the API, and where our knowledge of it comes from.

    `provenance` is documented, observed, assumed or confirmed; `note` says which part is which. `used_by` is the method
    that calls it, `host` one of the two services. `statuses` are the documented ones, `reply` maps the place of each
    member of a success to its JSON type, and `required` lists the places that must be there.
    """

    name: str
    """The operationId."""
    method: str
    """The HTTP method."""
    path: str
    """The path, with its placeholders."""
    provenance: str
    """Documented, observed, assumed or confirmed."""
    note: str
    """Which part of it is which."""
    used_by: str
    """The method of this library that calls it."""
    host: HostName
    """The service that it is asked of."""
    statuses: tuple[int, ...] = field(default=(), repr=False)
    """The documented statuses of a success."""
    reply: Mapping[str, str] = field(factory=dict, repr=False)
    """The JSON types of a success, by their place."""
    required: tuple[str, ...] = field(default=(), repr=False)
    """The places that must be there."""


def operations() -> tuple[OperationInfo, ...]:
    """Return every operation that the facade uses."""
    return tuple(
        OperationInfo(
            name=row.name,
            method=theirs.method,
            path=theirs.path,
            provenance=theirs.provenance,
            note=theirs.note,
            used_by=row.used_by,
            host=row.host,
            statuses=theirs.statuses,
            reply=theirs.reply,
            required=theirs.required,
        )
        for row, theirs in ((row, THEIRS[row.name]) for row in OPERATIONS.values())
    )
