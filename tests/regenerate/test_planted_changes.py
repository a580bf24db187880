"""One change of the API at a time, planted into our document: what is said of it, to whom, and how the run ends."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from pipeline.build import read
from pipeline.candidate import felt, propose
from pipeline.inputs import Given, Old, present
from pipeline.judgement.findings import Finding, Weight, is_broken
from pipeline.judgement.wire_types import read_uses

from pipeline import candidate
from pipeline.document import dump, parse, read_bytes
from pipeline.layout import Layout

ROOT = Path(__file__).resolve().parents[2]
HERE = Layout(root=ROOT)
FORM, MESSAGE_SCHEMA = "application/x-www-form-urlencoded", {"$ref": "#/components/schemas/SendMessageRequest"}
MESSAGE = "/api/conversation/{id}/message"
SIGN_IN = "/api/authenticate/{customerId}"
TEXT = {"type": "string"}
Document = dict[str, Any]


@frozen
class Planted:
    """A change, and what must be said of it under the facade's method."""

    name: str
    change: Callable[[Document], object]
    breaks: bool
    method: str
    told: str
    edit: str = ""


def schema(document: Document, name: str) -> Document:
    found: Document = document["components"]["schemas"][name]
    return found


def fields(document: Document, name: str) -> Document:
    found: Document = schema(document, name)["properties"]
    return found


def rename(mapping: Document, old: str, new: str) -> None:
    """Rename a key where it stands."""
    items = [(new if key == old else key, value) for key, value in mapping.items()]
    mapping.clear()
    mapping.update(items)


def rename_field(document: Document, name: str, old: str, new: str) -> None:
    rename(fields(document, name), old, new)
    required = schema(document, name).get("required", [])
    required[:] = [new if one == old else one for one in required]


def parameter(document: Document, path: str, method: str, **more: Any) -> None:
    document["paths"][path][method].setdefault("parameters", []).append({"in": "query", **more})


def ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def reply(document: Document, path: str, schema: Document) -> None:
    document["paths"][path]["get"]["responses"]["200"]["content"] = {"application/json": {"schema": schema}}


PLANTED = [
    Planted(
        "path renamed",
        lambda d: rename(d["paths"], MESSAGE, "/api/conversation/{id}/messages"),
        True,
        "Conversation.send",
        "`sendMessage` was POST /api/conversation/{id}/message, which is gone; POST /api/conversation/{id}/messages "
        "looks like it: pin it to $.paths['/api/conversation/{id}/messages'].post",
        "openapi/overlay.yaml",
    ),
    Planted(
        "path renamed in case only",
        lambda d: rename(d["paths"], MESSAGE, "/api/Conversation/{id}/Message"),
        True,
        "Conversation.send",
        "`sendMessage` was POST /api/conversation/{id}/message, and its path is now written "
        "/api/Conversation/{id}/Message, which differs in case: "
        "pin it to $.paths['/api/Conversation/{id}/Message'].post",
        "openapi/overlay.yaml",
    ),
    Planted(
        "a version in the path",
        lambda d: rename(d["paths"], "/api/queue/info/{id}", "/api/v2/queue/info/{id}"),
        True,
        "Session.queue_info",
        "`getQueueInfo` was GET /api/queue/info/{id}, which is gone; GET /api/v2/queue/info/{id} looks like it: "
        "pin it to $.paths['/api/v2/queue/info/{id}'].get",
        "openapi/overlay.yaml",
    ),
    Planted(
        "method changed",
        lambda d: rename(d["paths"][MESSAGE], "post", "put"),
        True,
        "Conversation.send",
        "`sendMessage` was POST /api/conversation/{id}/message, and its method is PUT now: "
        "pin it to $.paths['/api/conversation/{id}/message'].put",
        "openapi/overlay.yaml",
    ),
    Planted(
        "parameter added as required",
        lambda d: parameter(d, "/api/queue/info/{id}", "get", name="culture", required=True, schema={"type": "string"}),
        True,
        "Session.queue_info",
        "the query parameter `culture` is new and required",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "parameter added as optional",
        lambda d: parameter(d, "/api/queue/info/{id}", "get", name="culture", schema={"type": "string"}),
        False,
        "Session.queue_info",
        "the query parameter `culture` is new and optional; the facade does not send it",
    ),
    Planted(
        "parameter renamed",
        lambda d: d["paths"]["/api/conversation"]["get"]["parameters"][0].update(name="since"),
        True,
        "Session.poll",
        "the query parameter `after` is now `since`",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "parameter retyped",
        lambda d: d["paths"][SIGN_IN]["post"]["parameters"][1].update(schema={"type": "string"}),
        True,
        "PuzzelChat.connect",
        "the query parameter `providerId` is a string now, no longer an integer",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "body field renamed",
        lambda d: rename_field(d, "SendMessageRequest", "content", "text"),
        True,
        "Conversation.send",
        "the body field `content` of `SendMessageRequest` is now `text`",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "body field made required that may be left out",
        lambda d: schema(d, "AuthenticateRequest")["required"].append("idToken"),
        True,
        "PuzzelChat.connect",
        "the body field `idToken` of `AuthenticateRequest` is required now, and the facade may leave it out",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "body field made required that is always sent",
        lambda d: schema(d, "SendMessageRequest")["required"].append("clientMessageId"),
        False,
        "Conversation.send",
        "the body field `clientMessageId` of `SendMessageRequest` is required now; the facade always sends it",
    ),
    Planted(
        "body field added as required",
        lambda d: (
            fields(d, "SendMessageRequest").update(language={"type": "string"}),
            schema(d, "SendMessageRequest")["required"].append("language"),
        ),
        True,
        "Conversation.send",
        "the body field `language` of `SendMessageRequest` is new and required",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "body field retyped",
        lambda d: fields(d, "TypingRequest").update(isTyping={"type": "string"}),
        True,
        "Conversation.typing",
        "the body field `isTyping` is a string now, no longer true or false",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "body now a form",
        lambda d: d["paths"][MESSAGE]["post"]["requestBody"].update(content={FORM: {"schema": MESSAGE_SCHEMA}}),
        True,
        "Conversation.send",
        "the body is sent as application/x-www-form-urlencoded now, no longer as application/json",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "reply field dropped that is used",
        lambda d: fields(d, "QueueInfo").pop("closesAt"),
        True,
        "Session.queue_info",
        "the reply field `closesAt` of `QueueInfo` is gone, and nothing new is beside it",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "reply field dropped that is not used",
        lambda d: fields(d, "RequestStatus").pop("conversationId"),
        False,
        "Conversation.allocation",
        "the reply field `conversationId` of `RequestStatus`, which the facade does not use, is gone, "
        "and nothing new is beside it",
    ),
    Planted(
        "reply field dropped that is read by its name",
        lambda d: rename_field(d, "PollReply", "messages", "items"),
        True,
        "Session.poll",
        "the reply field `messages` of `PollReply` is now `items`",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "reply field retyped",
        lambda d: fields(d, "QueueInfo").update(queueSize={"type": "string", "nullable": True}),
        True,
        "Session.queue_info",
        "the reply field `queueSize` is a string or null now, no longer an integer or null",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "reply field retyped to what its reader takes",
        lambda d: fields(d, "QueueInfo").update(waitTimeAverageSeconds={"type": "number", "nullable": True}),
        False,
        "Session.queue_info",
        "the reply field `waitTimeAverageSeconds` is a number or null now, no longer an integer or null",
    ),
    Planted(
        "reply field made nullable",
        lambda d: fields(d, "QueueInfo")["id"].update(nullable=True),
        False,
        "Session.queue_info",
        "the reply field `id` may be null now",
    ),
    Planted(
        "reply field no longer promised",
        lambda d: schema(d, "QueueInfo")["required"].remove("id"),
        False,
        "Session.queue_info",
        "the reply field `id` of `QueueInfo` may be missing now",
    ),
    Planted(
        "reply field added",
        lambda d: fields(d, "QueueInfo").update(languages={"type": "array", "items": {"type": "string"}}),
        False,
        "Session.queue_info",
        "the reply field `languages` of `QueueInfo` is new; it is in `raw`",
    ),
    Planted(
        "reply without schema",
        lambda d: d["paths"]["/api/queue/info/{id}"]["get"]["responses"].update({"200": {"description": "Success"}}),
        True,
        "Session.queue_info",
        "the reply has no schema any more, so there is no class for it, where the facade reads `QueueInfo`",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "enumeration member added",
        lambda d: schema(d, "AllocationStatus")["enum"].append("Parked"),
        False,
        "Conversation.allocation",
        "`AllocationStatus` has the new value `Parked`; it comes through as unknown until somebody names it",
    ),
    Planted(
        "enumeration member dropped",
        lambda d: schema(d, "ChatEventKind")["enum"].remove("AgentTyping"),
        True,
        "Session.poll",
        "the value `AgentTyping` of `ChatEventKind` is gone",
        "facade/puzzel_chat/_wire/items.py",
    ),
    Planted(
        "enumeration turned into integers",
        lambda d: schema(d, "AllocationStatus").update(
            type="integer", enum=[0, 1, 2, 3, 4, 5, 6], description="0 = Queued, 1 = Offered"
        ),
        True,
        "Conversation.allocation",
        "the values of `AllocationStatus` are `0`, `1`, `2`, `3`, `4`, `5` and more now, no longer `Queued`, "
        "`Offered`, `Assigned`, `Declined`, `Refused`, `Cancelled` and more; "
        "it is described as “0 = Queued, 1 = Offered”",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "response status dropped",
        lambda d: d["paths"]["/api/conversation/{id}/route/{queueKey}"]["put"]["responses"].pop("409"),
        False,
        "Conversation.route",
        "the status 409 is not documented any more; when it comes, it is judged as before",
    ),
    Planted(
        "response status added",
        lambda d: d["paths"]["/api/time/{id}"]["get"]["responses"].update({"418": {"description": "A teapot"}}),
        False,
        "Session.time_info",
        "the status 418 is documented now; the facade judges it by its kind",
    ),
    Planted(
        "operation dropped",
        lambda d: d["paths"].pop("/api/time/{id}"),
        True,
        "Session.time_info",
        "the document has no GET /api/time/{id}, our `getTimeInfo` (assumed), and nothing like it: KEEP_ASSUMED=1 "
        "carries ours over, or take it out of the facade",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "token endpoint dropped",
        lambda d: d["paths"].pop("/connect/token"),
        False,
        "PuzzelChat.connect",
        "the document has no POST /connect/token; our `connectToken` is carried over, still documented",
    ),
    Planted(
        "operation added",
        lambda d: d["paths"].update(
            {"/api/queue/list": {"get": copy.deepcopy(d["paths"]["/api/queue/info/{id}"]["get"]) | {"parameters": []}}}
        ),
        False,
        "not in the facade yet",
        "the API has a new operation, GET /api/queue/list, called `getQueueList` here",
    ),
    Planted(
        "operationId added",
        lambda d: d["paths"][MESSAGE]["post"].update(operationId="Conversation_PostMessage"),
        False,
        "Conversation.send",
        "the document calls this operation `Conversation_PostMessage`; it stays `sendMessage` here",
    ),
    Planted(
        "operationId of ours given to another operation",
        lambda d: d["paths"].update(
            {
                "/api/bulk": {
                    "post": copy.deepcopy(d["paths"][MESSAGE]["post"])
                    | {"operationId": "sendMessage", "parameters": []}
                }
            }
        ),
        False,
        "not in the facade yet",
        "the API has a new operation, POST /api/bulk, called `postBulk` here",
    ),
    Planted(
        "schema renamed",
        lambda d: rename_schema(d, "SendMessageRequest", "MessageModel"),
        True,
        "Conversation.send",
        "`MessageModel` takes the place of `SendMessageRequest`",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "schema renamed that our corrections refer to",
        lambda d: rename_schema(d, "TextMessage", "TextModel"),
        True,
        "corrections that do not fit",
        "what is written to $.components.schemas.PollReply.properties.messages.items refers to `TextMessage`, "
        "which is gone: correct it",
        "openapi/overlay.yaml",
    ),
    Planted(
        "enumeration member added to bare integers that we name",
        lambda d: schema(d, "AuthorRole")["enum"].append(4),
        False,
        "Session.poll",
        "`AuthorRole` has the new value `4`; it comes through as unknown until somebody names it",
    ),
    Planted(
        "reply field of another format",
        lambda d: fields(d, "SendMessageReply")["id"].update(format="date-time"),
        True,
        "Conversation.send",
        "the reply field `id` is a time now, no longer a string",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "another tag",
        lambda d: d["paths"]["/api/time/{id}"]["get"].update(tags=["Opening Hours"]),
        True,
        "Session.time_info",
        "`getTimeInfo` has another tag: it is api/opening_hours/get_time_info.py in the client now, no longer "
        "api/time/get_time_info.py",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "parameter added as required, with a default",
        lambda d: parameter(d, "/api/time/{id}", "get", name="zone", required=True, schema=TEXT | {"default": "Oslo"}),
        False,
        "Session.time_info",
        "the query parameter `zone` is new and required; the client sends its default",
    ),
    Planted(
        "parameter that takes more",
        lambda d: d["paths"][SIGN_IN]["post"]["parameters"][1].update(schema={}),
        False,
        "PuzzelChat.connect",
        "the query parameter `providerId` is anything now, no longer an integer",
    ),
    Planted(
        "body field that takes more",
        lambda d: fields(d, "SendMessageRequest").update(content={"oneOf": [TEXT, {"type": "integer"}]}),
        False,
        "Conversation.send",
        "the body field `content` is a string or an integer now, no longer a string",
    ),
    Planted(
        "body field of classes that takes anything",
        lambda d: d["paths"]["/api/conversation/{id}/route/{queueKey}"]["put"]["requestBody"].update(
            content={"application/json": {"schema": {"type": "array", "items": {}}}}
        ),
        True,
        "Conversation.route",
        "what a list of the body holds is anything now, no longer `Variable`",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "reply field replaced by another one of its kind",
        lambda d: (fields(d, "QueueInfo").pop("name"), fields(d, "QueueInfo").update(culture=TEXT)),
        True,
        "Session.queue_info",
        "the reply field `name` of `QueueInfo` is gone; `culture` looks like it",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "reply field written otherwise, with a class to read it",
        lambda d: rename_field(d, "QueueInfo", "isOpen", "IsOpen"),
        False,
        "Session.queue_info",
        "the reply field `isOpen` of `QueueInfo` is written `IsOpen` now; the generated client follows",
    ),
    Planted(
        "reply field written otherwise, read by its name",
        lambda d: rename_field(d, "PollReply", "cursor", "Cursor"),
        True,
        "Session.poll",
        "the reply field `cursor` of `PollReply` is gone; new beside it: `Cursor`",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "reply field retyped to what its reader makes text of",
        lambda d: fields(d, "QueueInfo").update(id={"type": "integer"}),
        False,
        "Session.queue_info",
        "the reply field `id` is an integer now, no longer a string",
    ),
    Planted(
        "reply field retyped from a class to anything",
        lambda d: fields(d, "RequestStatus").update(agent={}),
        True,
        "Conversation.allocation",
        "the reply field `agent` is anything now, no longer `Agent` or null",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "reply field retyped from an enumeration to a bare integer",
        lambda d: fields(d, "RouteReply").update(status={"type": "integer"}),
        True,
        "Conversation.route",
        "the reply field `status` is an integer now, no longer `AllocationStatus` or null",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "reply field whose values are not listed any more",
        lambda d: fields(d, "RouteReply").update(status=TEXT),
        False,
        "Conversation.route",
        "the reply field `status` is a string now, no longer `AllocationStatus` or null",
    ),
    Planted(
        "body field whose values are listed",
        lambda d: fields(d, "SendMessageRequest").update(content=TEXT | {"enum": ["Yes", "No"]}),
        True,
        "Conversation.send",
        "the body field `content` is one of `Yes`, `No` now, no longer a string",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "parameter whose values are listed",
        lambda d: d["paths"]["/api/time/{id}"]["get"]["parameters"][0].update(schema=TEXT | {"enum": ["Day", "Night"]}),
        True,
        "Session.time_info",
        "the path parameter `id` is one of `Day`, `Night` now, no longer a string",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "reply field that tells the kinds apart with another value",
        lambda d: schema(d, "TextMessage")["allOf"][1]["properties"].update(type=TEXT | {"enum": ["Chat"]}),
        True,
        "Session.poll",
        "the reply field `type` is `Chat` now, no longer `Text`",
        "facade/puzzel_chat/_wire/items.py",
    ),
    Planted(
        "kind of a message with another value",
        lambda d: rename(schema(d, "ChatMessage")["discriminator"]["mapping"], "File", "Attachment"),
        True,
        "Session.poll",
        "the kind `File` of `ChatMessage` is gone; new is `Attachment`",
        "facade/puzzel_chat/_wire/items.py",
    ),
    Planted(
        "reply field of a class written out where it is used",
        lambda d: fields(d, "RequestStatus").update(agent=copy.deepcopy(schema(d, "Agent"))),
        True,
        "Conversation.allocation",
        "the document writes `Agent` out where it is used: its class is another one",
        "facade/puzzel_chat/_wire/items.py",
    ),
    Planted(
        "reply as a list",
        lambda d: reply(d, "/api/queue/info/{id}", {"type": "array", "items": ref("QueueInfo")}),
        True,
        "Session.queue_info",
        "the reply is a list now, no longer `QueueInfo`",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "reply of two kinds",
        lambda d: reply(d, "/api/queue/info/{id}", {"oneOf": [ref("QueueInfo"), ref("TimeInfo")]}),
        True,
        "Session.queue_info",
        "`TimeInfo` may come too now, where the facade reads only `QueueInfo`",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "reply that may be null",
        lambda d: reply(d, "/api/queue/info/{id}", {"allOf": [ref("QueueInfo")], "nullable": True}),
        False,
        "Session.queue_info",
        "the reply may be null now",
    ),
    Planted(
        "reply read by its names, without them",
        lambda d: reply(d, "/api/conversation", {"type": "object", "additionalProperties": TEXT}),
        True,
        "Session.poll",
        "the reply field `messages` of `PollReply` is gone, and nothing new is beside it",
        "facade/puzzel_chat/_wire/replies.py",
    ),
    Planted(
        "reply read by its names, without schema",
        lambda d: d["paths"]["/api/conversation"]["get"]["responses"].update({"200": {"description": "Success"}}),
        False,
        "Session.poll",
        "the reply has no schema any more; the facade reads it as before",
    ),
    Planted(
        "enumeration whose values moved under our names",
        lambda d: schema(d, "AuthorRole").update(enum=[1, 2, 3, 4]),
        True,
        "Session.poll",
        "the value `1` of `AuthorRole` is written `2` now, under the same name",
        "facade/puzzel_chat/_wire/items.py",
    ),
    Planted(
        "operation answered at another host",
        lambda d: d["paths"][MESSAGE]["post"].update(servers=[{"url": "https://messages.example/"}]),
        True,
        "Conversation.send",
        f"POST {MESSAGE} is answered elsewhere, at messages.example: say in its row which host it is sent to",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "path answered at another host",
        lambda d: d["paths"][MESSAGE].update(servers=[{"url": "https://messages.example/"}]),
        True,
        "Conversation.send",
        f"POST {MESSAGE} is answered elsewhere, at messages.example: say in its row which host it is sent to",
        "facade/puzzel_chat/_wire/operations.py",
    ),
    Planted(
        "operation of the identity host that names it no more",
        lambda d: d["paths"][SIGN_IN]["post"].pop("servers"),
        False,
        "PuzzelChat.connect",
        f"POST {SIGN_IN} has no host of its own in the document; it is still sent to the identity host",
    ),
]


def rename_schema(document: Document, old: str, new: str) -> None:
    rename(document["components"]["schemas"], old, new)
    for node in walk(document):
        if node.get("$ref") == f"#/components/schemas/{old}":
            node["$ref"] = f"#/components/schemas/{new}"


def walk(node: Any) -> Iterator[Document]:
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(value)


@pytest.fixture(scope="module", autouse=True)
def one_look_at_the_facade() -> Iterator[None]:
    """Ask the type checker once what the facade uses: it says the same for every change."""
    uses = read_uses(HERE, HERE.package.parent)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(candidate, "read_uses", lambda *_: uses)
        yield


@pytest.fixture(scope="module")
def upstream() -> Document:
    """Our document as it came; a test plants into a copy."""
    return dict(parse(read_bytes(HERE.upstream), HERE.upstream))


def judged(document: Document) -> tuple[list[Finding], Old]:
    """Give what is found about a document against this checkout."""
    given = Given(read(HERE, dump(document), "planted.json"), b"", ())
    old = present(HERE, given.read)
    assert old is not None
    return felt(HERE, given, old, propose(HERE, given, old, keep=False)), old


def test_there_is_nothing_to_say_of_the_document_itself(upstream: Document) -> None:
    """The document that is there changes nothing, so whatever is said below comes from the change."""
    assert judged(upstream)[0] == []


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: str(planted.name))
def test_a_change_is_told_in_one_sentence_under_its_method(planted: Planted, upstream: Document) -> None:
    """Each change is told once, plainly, to those who use that method, with the line to edit where it breaks."""
    document = copy.deepcopy(upstream)
    planted.change(document)
    found, _ = judged(document)
    told = [one for one in found if (one.method, one.text) == (planted.method, planted.told)]
    assert len(told) == 1, "\n".join(f"{one.method}: {one.text}" for one in found)
    assert told[0].weight is (Weight.BREAKS if planted.breaks else Weight.KEEPS)
    assert is_broken(found) is planted.breaks
    if planted.breaks:
        assert [place.file for place in told[0].edits][:1] == [planted.edit]
        assert all(place.line > 0 for place in told[0].edits)


def test_hosts_may_be_named_at_each_operation(upstream: Document) -> None:
    """It is the same to the facade whether the document names the common host once or each time."""
    document = copy.deepcopy(upstream)
    servers = document.pop("servers")
    for path in document["paths"].values():
        for operation in path.values():
            operation.setdefault("servers", servers)
    assert judged(document)[0] == []


def test_a_line_to_edit_is_where_the_facade_does_it(upstream: Document) -> None:
    """The line that is named for a renamed field is the one that writes it."""
    document = copy.deepcopy(upstream)
    rename_field(document, "SendMessageRequest", "content", "text")
    place = next(place for one in judged(document)[0] for place in one.edits)
    assert "content=" in (ROOT / place.file).read_text().splitlines()[place.line - 1]
