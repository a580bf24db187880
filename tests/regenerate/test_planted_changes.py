"""One change of the API at a time, planted into our document: what is said of it, to whom, and how the run ends."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.document import dump, objects, parse, read_bytes
from pipeline.layout import Layout
from pipeline.report import Report
from pipeline.run import Wish, judged
from regenerate.parts import STRING, Document, fields, reference, rename, schema

ROOT = Path(__file__).resolve().parents[2]
HERE = Layout(root=ROOT)
FORM, MESSAGE_SCHEMA = "application/x-www-form-urlencoded", reference("SendMessageRequest")
MESSAGE = "/api/conversation/{id}/message"
SIGN_IN = "/api/authenticate/{customerId}"


class Planted:
    """A change, how the run ends, and what must be said.

    An edit is told as `file: reason`, a change as `weight: methods: sentence`, an operation as `new: METHOD /path`;
    of a long sentence only the beginning stands here.
    """

    def __init__(self, name: str, change: Callable[[Document], object], status: int, *told: str) -> None:
        self.name, self.change, self.status, self.told = name, change, status, told


def rename_field(document: Document, name: str, old: str, new: str) -> None:
    rename(fields(document, name), old, new)
    required = schema(document, name).get("required", [])
    required[:] = [new if one == old else one for one in required]


def send_as(kind: str, **more: Any) -> Callable[[Document], object]:
    """Let a message be sent as another content type, with more members."""

    def change(document: Document) -> None:
        document["paths"][MESSAGE]["post"]["requestBody"].update(content={kind: {"schema": MESSAGE_SCHEMA}})
        fields(document, "SendMessageRequest").update(more)

    return change


def parameter(document: Document, path: str, method: str, **more: Any) -> None:
    document["paths"][path][method].setdefault("parameters", []).append({"in": "query", **more})


def reply(document: Document, path: str, schema: Document) -> None:
    document["paths"][path]["get"]["responses"]["200"]["content"] = {"application/json": {"schema": schema}}


PLANTED = [
    Planted(
        "path renamed",
        lambda d: rename(d["paths"], MESSAGE, "/api/conversation/{id}/messages"),
        20,
        "openapi/overlay.yaml: POST /api/conversation/{id}/message, our `sendMessage`, is gone; these are",
        "new: POST /api/conversation/{id}/messages",
    ),
    Planted(
        "path renamed in case only",
        lambda d: rename(d["paths"], MESSAGE, "/api/Conversation/{id}/Message"),
        20,
        "openapi/overlay.yaml: POST /api/conversation/{id}/message, our `sendMessage`, is gone; it is POS",
        "new: POST /api/Conversation/{id}/Message",
    ),
    Planted(
        "a version in the path",
        lambda d: rename(d["paths"], "/api/queue/info/{id}", "/api/v2/queue/info/{id}"),
        20,
        "openapi/overlay.yaml: GET /api/queue/info/{id}, our `getQueueInfo`, is gone; it is GET /api/v2/q",
        "new: GET /api/v2/queue/info/{id}",
    ),
    Planted(
        "method changed",
        lambda d: rename(d["paths"][MESSAGE], "post", "put"),
        20,
        "openapi/overlay.yaml: POST /api/conversation/{id}/message, our `sendMessage`, is gone; it is PUT",
        "new: PUT /api/conversation/{id}/message",
    ),
    Planted(
        "parameter added as required",
        lambda d: parameter(d, "/api/queue/info/{id}", "get", name="culture", required=True, schema={"type": "string"}),
        20,
        'facade/puzzel_chat/_wire/operations.py: Missing named argument "culture" for "_request"',
        "judged: Session.queue_info: the query parameter `culture` of GET /api/queue/info/{id} is new and",
    ),
    Planted(
        "parameter added as optional",
        lambda d: parameter(d, "/api/queue/info/{id}", "get", name="culture", schema={"type": "string"}),
        10,
        "harmless: Session.queue_info: the query parameter `culture` of GET /api/queue/info/{id} is new a",
    ),
    Planted(
        "parameter renamed",
        lambda d: d["paths"]["/api/conversation"]["get"]["parameters"][0].update(name="since"),
        20,
        "openapi/overlay.yaml: finds nothing: there is no $.paths['/api/conversation'].get.parameters[?@.",
        "judged: Session.poll: the query parameter `after` of GET /api/conversation is gone",
        "harmless: Session.poll: the query parameter `since` of GET /api/conversation is new and optional",
    ),
    Planted(
        "parameter retyped",
        lambda d: d["paths"][SIGN_IN]["post"]["parameters"][1].update(schema={"type": "string"}),
        20,
        'facade/puzzel_chat/_wire/operations.py: Argument 1 to "given" has incompatible type "int | None"',
        "judged: PuzzelChat.connect: `type` of the query parameter `providerId` of POST /api/authenticate",
    ),
    Planted(
        "body field renamed",
        lambda d: rename_field(d, "SendMessageRequest", "content", "text"),
        20,
        'facade/puzzel_chat/_wire/operations.py: Unexpected keyword argument "content" for "SendMessageRe',
        "judged: Conversation.send: Properties of `SendMessageRequest` became required: `text`",
        "judged: Conversation.send: `SendMessageRequest.content` is gone",
        "harmless: Conversation.send: `SendMessageRequest.text` is new",
    ),
    Planted(
        "body field made required that may be left out",
        lambda d: schema(d, "AuthenticateRequest")["required"].append("idToken"),
        20,
        'facade/puzzel_chat/_wire/operations.py: Argument "id_token" to "AuthenticateRequest" has incompa',
        "judged: PuzzelChat.connect: Properties of `AuthenticateRequest` became required: `idToken`",
    ),
    Planted(
        "body field made required that is always sent",
        lambda d: schema(d, "SendMessageRequest")["required"].append("clientMessageId"),
        10,
        "judged: Conversation.send: Properties of `SendMessageRequest` became required: `clientMessageId`",
    ),
    Planted(
        "body field added as required",
        lambda d: (
            fields(d, "SendMessageRequest").update(language={"type": "string"}),
            schema(d, "SendMessageRequest")["required"].append("language"),
        ),
        20,
        'facade/puzzel_chat/_wire/operations.py: Missing positional argument "language" in call to "SendM',
        "judged: Conversation.send: Properties of `SendMessageRequest` became required: `language`",
        "harmless: Conversation.send: `SendMessageRequest.language` is new",
    ),
    Planted(
        "body field retyped",
        lambda d: fields(d, "TypingRequest").update(isTyping={"type": "string"}),
        20,
        'facade/puzzel_chat/_wire/operations.py: Argument "is_typing" to "TypingRequest" has incompatible',
        "judged: Conversation.typing: `type` of `TypingRequest.isTyping` is `string` now, no longer `boolean`",
    ),
    Planted(
        "body now a form",
        send_as(FORM),
        10,
        "harmless: Conversation.send: POST /api/conversation/{id}/message requestBody application/json is gone",
        "harmless: Conversation.send: POST /api/conversation/{id}/message requestBody application/x-www-f",
    ),
    *(
        Planted(
            f"body now {kind}, which is not sent",
            send_as(kind, **more),
            20,
            f"look: Conversation.send: the body of POST {MESSAGE} is {kind} now, which the facade refuses to send",
        )
        for kind, more in {
            "multipart/form-data": {},
            "application/octet-stream": {},
            FORM: {"parts": {"type": "array", "items": {"type": "object", "properties": {"text": STRING}}}},
        }.items()
    ),
    Planted(
        "success without a body beside the one that is read",
        lambda d: d["paths"][MESSAGE]["post"]["responses"].update({"204": {"description": "No Content"}}),
        20,
        f"look: Conversation.send: POST {MESSAGE} may be answered 204 without a body now",
    ),
    Planted(
        "reply field dropped that is used",
        lambda d: fields(d, "QueueInfo").pop("closesAt"),
        20,
        'facade/puzzel_chat/_wire/replies.py: "QueueInfo" has no attribute "closes_at"',
        "judged: Session.queue_info: `QueueInfo.closesAt` is gone",
    ),
    Planted(
        "reply field dropped that is not used",
        lambda d: fields(d, "RequestStatus").pop("conversationId"),
        10,
        "judged: Conversation.allocation: `RequestStatus.conversationId` is gone",
    ),
    Planted(
        "reply field dropped that is read by its name",
        lambda d: rename_field(d, "PollReply", "messages", "items"),
        20,
        "openapi/overlay.yaml: finds nothing: $['components']['schemas']['PollReply']['properties'] has n",
        "judged: Session.poll: `PollReply.messages` is gone",
        "harmless: Session.poll: `PollReply.items` is new",
    ),
    Planted(
        "reply field retyped",
        lambda d: fields(d, "QueueInfo").update(queueSize={"type": "string", "nullable": True}),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 1 to "whole" has incompatible type "str | Unset | ',
        "judged: Session.queue_info: `type` of `QueueInfo.queueSize` is `string or null` now, no longer `",
    ),
    Planted(
        "reply field retyped to what its reader takes",
        lambda d: fields(d, "QueueInfo").update(waitTimeAverageSeconds={"type": "number", "nullable": True}),
        10,
        "judged: Session.queue_info: `type` of `QueueInfo.waitTimeAverageSeconds` is `number or null` now",
    ),
    Planted(
        "reply field made nullable",
        lambda d: fields(d, "QueueInfo")["id"].update(nullable=True),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 3 to "_identified" has incompatible type "str | No',
        "judged: Session.queue_info: `type` of `QueueInfo.id` is `string or null` now, no longer `string`",
    ),
    Planted(
        "reply field no longer promised",
        lambda d: schema(d, "QueueInfo")["required"].remove("id"),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 3 to "_identified" has incompatible type "str | Un',
        "judged: Session.queue_info: Properties of `QueueInfo` are no longer required: `id`",
    ),
    Planted(
        "reply field added",
        lambda d: fields(d, "QueueInfo").update(languages={"type": "array", "items": {"type": "string"}}),
        10,
        "harmless: Session.queue_info: `QueueInfo.languages` is new",
    ),
    Planted(
        "reply without schema",
        lambda d: d["paths"]["/api/queue/info/{id}"]["get"]["responses"].update({"200": {"description": "Success"}}),
        20,
        'facade/puzzel_chat/_wire/replies.py: "None" has no attribute "id"',
        "judged: Session.queue_info: GET /api/queue/info/{id} responses 200 content is gone",
    ),
    Planted(
        "enumeration member added",
        lambda d: schema(d, "AllocationStatus")["enum"].append("Parked"),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 1 to "new_to_us" has incompatible type "Literal[Al',
        "judged: Conversation.route,Conversation.allocation: `AllocationStatus` may be `Parked` now",
    ),
    Planted(
        "enumeration member dropped",
        lambda d: schema(d, "ChatEventKind")["enum"].remove("AgentTyping"),
        20,
        'facade/puzzel_chat/_wire/replies.py: "type[ChatEventKind]" has no attribute "AGENTTYPING"',
        "judged: Session.poll: `ChatEventKind` is never `AgentTyping` any more",
    ),
    Planted(
        "enumeration turned into integers",
        lambda d: schema(d, "AllocationStatus").update(
            type="integer", enum=[0, 1, 2, 3, 4, 5, 6], description="0 = Queued, 1 = Offered"
        ),
        20,
        'facade/puzzel_chat/_wire/replies.py: "type[AllocationStatus]" has no attribute "QUEUED"',
        "look: Conversation.route,Conversation.allocation: `AllocationStatus` may be `0`, `1`, `2`, `3`, `4`",
        "read: Conversation.route,Conversation.allocation: what the numbers of `AllocationStatus` mean is",
        "judged: Conversation.route,Conversation.allocation: `type` of `AllocationStatus` is `integer` no",
    ),
    Planted(
        "response status dropped",
        lambda d: d["paths"]["/api/conversation/{id}/route/{queueKey}"]["put"]["responses"].pop("409"),
        10,
        "harmless: Conversation.route: what PUT /api/conversation/{id}/route/{queueKey} says of the error",
    ),
    Planted(
        "response status added",
        lambda d: d["paths"]["/api/time/{id}"]["get"]["responses"].update({"418": {"description": "A teapot"}}),
        10,
        "harmless: Session.time_info: what GET /api/time/{id} says of the errors 418 changed; they are ju",
    ),
    Planted(
        "operation dropped",
        lambda d: d["paths"].pop("/api/time/{id}"),
        20,
        "openapi/overlay.yaml: GET /api/time/{id}, our `getTimeInfo`, is gone",
    ),
    Planted(
        "token endpoint dropped",
        lambda d: d["paths"].pop("/connect/token"),
        10,
        "read: PuzzelChat.connect: the document has no POST /connect/token; our `connectToken` is carried",
    ),
    Planted(
        "operation added",
        lambda d: d["paths"].update(
            {"/api/queue/list": {"get": copy.deepcopy(d["paths"]["/api/queue/info/{id}"]["get"]) | {"parameters": []}}}
        ),
        10,
        "new: GET /api/queue/list",
    ),
    Planted(
        "operationId added",
        lambda d: d["paths"][MESSAGE]["post"].update(operationId="Conversation_PostMessage"),
        10,
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
        10,
        "new: POST /api/bulk",
    ),
    Planted(
        "schema renamed",
        lambda d: rename_schema(d, "SendMessageRequest", "MessageModel"),
        20,
        "openapi/overlay.yaml: finds nothing: $['components']['schemas'] has no `SendMessageRequest`; `Me",
        "judged: Conversation.send: `SendMessageRequest` is gone; `MessageModel` stands in its place",
        "harmless: Conversation.send: `MessageModel` is new; it has `content` (required), `clientMessageId`",
    ),
    Planted(
        "schema renamed that our corrections refer to",
        lambda d: rename_schema(d, "TextMessage", "TextModel"),
        20,
        "openapi/overlay.yaml: refers to `TextMessage`, which is gone: correct it",
        "judged: Session.poll: `PollReply.messages.anyOf` is gone",
        "judged: Session.poll: `TextMessage` is gone",
    ),
    Planted(
        "enumeration member added to bare integers that we name",
        lambda d: schema(d, "AuthorRole")["enum"].append(4),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 1 to "new_to_us" has incompatible type "Literal[Auth',
        "look: Session.poll: `AuthorRole` may be `4` now",
        "read: Session.poll: what the numbers of `AuthorRole` mean is not described; they are called Cust",
    ),
    Planted(
        "reply field of another format",
        lambda d: fields(d, "SendMessageReply")["id"].update(format="date-time"),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 3 to "_identified" has incompatible type "datetime',
        "judged: Conversation.send: `format` of `SendMessageReply.id` is `date-time` now",
    ),
    Planted(
        "another tag",
        lambda d: d["paths"]["/api/time/{id}"]["get"].update(tags=["Opening Hours"]),
        20,
        "facade/puzzel_chat/_wire/operations.py: the client has no module puzzel_chat_api.api.time",
    ),
    Planted(
        "parameter added as required, with a default",
        lambda d: parameter(
            d, "/api/time/{id}", "get", name="zone", required=True, schema=STRING | {"default": "Oslo"}
        ),
        20,
        'facade/puzzel_chat/_wire/operations.py: Missing named argument "zone" for "_request"',
        "judged: Session.time_info: the query parameter `zone` of GET /api/time/{id} is new and required",
    ),
    Planted(
        "parameter that takes more",
        lambda d: d["paths"][SIGN_IN]["post"]["parameters"][1].update(schema={}),
        10,
        "harmless: PuzzelChat.connect: `type` of the query parameter `providerId` of POST /api/authentica",
    ),
    Planted(
        "body field that takes more",
        lambda d: fields(d, "SendMessageRequest").update(content={"oneOf": [STRING, {"type": "integer"}]}),
        10,
        "judged: Conversation.send: `SendMessageRequest.content.oneOf` is new",
        "harmless: Conversation.send: `type` of `SendMessageRequest.content` is `string` no more",
    ),
    Planted(
        "body field of classes that takes anything",
        lambda d: d["paths"]["/api/conversation/{id}/route/{queueKey}"]["put"]["requestBody"].update(
            content={"application/json": {"schema": {"type": "array", "items": {}}}}
        ),
        20,
        "look: Conversation.route: PUT /api/conversation/{id}/route/{queueKey} requestBody application/js",
    ),
    Planted(
        "reply field replaced by another one of its kind",
        lambda d: (fields(d, "QueueInfo").pop("name"), fields(d, "QueueInfo").update(culture=STRING)),
        20,
        'facade/puzzel_chat/_wire/replies.py: "QueueInfo" has no attribute "name"',
        "judged: Session.queue_info: `QueueInfo.name` is gone",
        "harmless: Session.queue_info: `QueueInfo.culture` is new",
    ),
    Planted(
        "reply field written otherwise, with a class to read it",
        lambda d: rename_field(d, "QueueInfo", "isOpen", "IsOpen"),
        10,
        "judged: Session.queue_info: `QueueInfo`: `isOpen` is gone, and `IsOpen` is new",
    ),
    Planted(
        "reply field written otherwise, read by its name",
        lambda d: rename_field(d, "PollReply", "cursor", "Cursor"),
        20,
        "openapi/overlay.yaml: finds nothing: $['components']['schemas']['PollReply']['properties'] has n",
        "judged: Session.poll: `PollReply`: `cursor` is gone, and `Cursor` is new",
    ),
    Planted(
        "reply field retyped to what its reader makes text of",
        lambda d: fields(d, "QueueInfo").update(id={"type": "integer"}),
        10,
        "judged: Session.queue_info: `type` of `QueueInfo.id` is `integer` now, no longer `string`",
    ),
    Planted(
        "reply field retyped from a class to anything",
        lambda d: fields(d, "RequestStatus").update(agent={}),
        20,
        "look: Conversation.allocation: `RequestStatus.agent` is anything now, no longer `Agent`",
    ),
    Planted(
        "reply field retyped from an enumeration to a bare integer",
        lambda d: fields(d, "RouteReply").update(status={"type": "integer"}),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 3 to "_stage" has incompatible type "int | Unset";',
        "judged: Conversation.route: `RouteReply.status` is written out now, no longer `AllocationStatus`",
    ),
    Planted(
        "reply field whose values are not listed any more",
        lambda d: fields(d, "RouteReply").update(status=STRING),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 3 to "_stage" has incompatible type "str | Unset";',
        "judged: Conversation.route: `RouteReply.status` is written out now, no longer `AllocationStatus`",
    ),
    Planted(
        "body field whose values are listed",
        lambda d: fields(d, "SendMessageRequest").update(content=STRING | {"enum": ["Yes", "No"]}),
        20,
        'facade/puzzel_chat/_wire/operations.py: Argument "content" to "SendMessageRequest" has incompati',
        "judged: Conversation.send: `SendMessageRequest.content` is one of `Yes`, `No` now",
    ),
    Planted(
        "parameter whose values are listed",
        lambda d: d["paths"]["/api/time/{id}"]["get"]["parameters"][0].update(
            schema=STRING | {"enum": ["Day", "Night"]}
        ),
        20,
        'facade/puzzel_chat/_wire/operations.py: Argument 2 to "_request" has incompatible type "str"; ex',
        "judged: Session.time_info: the path parameter `id` of GET /api/time/{id} is one of `Day`, `Night` now",
    ),
    Planted(
        "reply field that tells the kinds apart with another value",
        lambda d: schema(d, "TextMessage")["allOf"][1]["properties"].update(type=STRING | {"enum": ["Chat"]}),
        20,
        "look: Session.poll: `const` of `TextMessage.type` is `Chat` now, no longer `Text`",
    ),
    Planted(
        "kind of a message with another value",
        lambda d: rename(schema(d, "ChatMessage")["discriminator"]["mapping"], "File", "Attachment"),
        20,
        'facade/puzzel_chat/_wire/replies.py: "type[ChatMessageType]" has no attribute "FILE"',
        "look: Session.poll: `const` of `FileMessage.type` is `Attachment` now, no longer `File`",
    ),
    Planted(
        "reply field of a class written out where it is used",
        lambda d: fields(d, "RequestStatus").update(agent=copy.deepcopy(schema(d, "Agent"))),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 1 to "agent" has incompatible type "RequestStatusA',
        "judged: Conversation.allocation: `RequestStatus.agent` is written out now, no longer `Agent`",
    ),
    Planted(
        "reply as a list",
        lambda d: reply(d, "/api/queue/info/{id}", {"type": "array", "items": reference("QueueInfo")}),
        20,
        'facade/puzzel_chat/_wire/replies.py: "list[QueueInfo]" has no attribute "id"',
        "judged: Session.queue_info: GET /api/queue/info/{id} responses 200 application/json schema is",
        "harmless: Session.queue_info: GET /api/queue/info/{id} responses 200 application/json items is new",
    ),
    Planted(
        "reply of two kinds",
        lambda d: reply(d, "/api/queue/info/{id}", {"oneOf": [reference("QueueInfo"), reference("TimeInfo")]}),
        20,
        'facade/puzzel_chat/_wire/replies.py: Item "TimeInfo" of "QueueInfo | TimeInfo" has no attribute ',
        "judged: Session.queue_info: GET /api/queue/info/{id} responses 200 application/json schema is",
        "harmless: Session.queue_info: GET /api/queue/info/{id} responses 200 application/json oneOf is new",
    ),
    Planted(
        "reply that may be null",
        lambda d: reply(d, "/api/queue/info/{id}", {"allOf": [reference("QueueInfo")], "nullable": True}),
        20,
        'facade/puzzel_chat/_wire/replies.py: Item "None" of "QueueInfo | None" has no attribute "id"',
    ),
    Planted(
        "reply read by its names, without them",
        lambda d: reply(d, "/api/conversation", {"type": "object", "additionalProperties": STRING}),
        20,
        'facade/puzzel_chat/_wire/replies.py: "PollConversationResponse200" has no attribute "messages"',
        "judged: Session.poll: GET /api/conversation responses 200 application/json schema is",
        "harmless: Session.poll: GET /api/conversation responses 200 application/json additionalPropertie",
    ),
    Planted(
        "reply read by its names, without schema",
        lambda d: d["paths"]["/api/conversation"]["get"]["responses"].update({"200": {"description": "Success"}}),
        20,
        'facade/puzzel_chat/_wire/replies.py: "None" has no attribute "messages"',
        "judged: Session.poll: GET /api/conversation responses 200 content is gone",
    ),
    Planted(
        "enumeration whose values moved under our names",
        lambda d: schema(d, "AuthorRole").update(enum=[1, 2, 3, 4]),
        20,
        "look: Session.poll: `AuthorRole` may be `4` now and is never `0` any more",
        "read: Session.poll: what the numbers of `AuthorRole` mean is not described; they are called Cust",
    ),
    Planted(
        "operation answered at another host",
        lambda d: d["paths"][MESSAGE]["post"].update(servers=[{"url": "https://messages.example/"}]),
        20,
        'facade/puzzel_chat/_wire/operations.py: Argument 4 to "Operation" has incompatible type "Literal',
        "judged: Conversation.send: `sendMessage` is answered at messages.example, which is neither host:",
    ),
    Planted(
        "path answered at another host",
        lambda d: d["paths"][MESSAGE].update(servers=[{"url": "https://messages.example/"}]),
        20,
        'facade/puzzel_chat/_wire/operations.py: Argument 4 to "Operation" has incompatible type "Literal',
        "judged: Conversation.send: `sendMessage` is answered at messages.example, which is neither host:",
    ),
    Planted(
        "operation of the identity host that names it no more",
        lambda d: d["paths"][SIGN_IN]["post"].pop("servers"),
        10,
        "harmless: PuzzelChat.connect: `authenticateVisitor` is answered by the communication host now, n",
    ),
    Planted(
        "nested list renamed",
        lambda d: rename_field(d, "PollReply", "messages", "entries"),
        20,
        "openapi/overlay.yaml: finds nothing: $['components']['schemas']['PollReply']['properties'] has n",
        "judged: Session.poll: `PollReply.messages` is gone",
        "harmless: Session.poll: `PollReply.entries` is new",
    ),
    Planted(
        "poll id nullable",
        lambda d: fields(d, "ChatMessage")["id"].update(nullable=True),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 1 to "own_id" has incompatible type "str | None"; ex',
        "judged: Session.poll: `type` of `EventMessage.id` is `string or null` now, no longer `string`",
        "judged: Session.poll: `type` of `FileMessage.id` is `string or null` now, no longer `string`",
    ),
    Planted(
        "poll schema dropped",
        lambda d: d["paths"]["/api/conversation"]["get"]["responses"].update({"200": {"description": "Success"}}),
        20,
        'facade/puzzel_chat/_wire/replies.py: "None" has no attribute "messages"',
        "judged: Session.poll: GET /api/conversation responses 200 content is gone",
    ),
    Planted(
        "success status changed",
        lambda d: rename(d["paths"][MESSAGE]["post"]["responses"], "200", "201"),
        10,
        "harmless: Conversation.send: POST /api/conversation/{id}/message responses: `200` is gone, and `",
    ),
    Planted(
        "required header",
        lambda d: d["paths"]["/api/queue/info/{id}"]["get"]["parameters"].append(
            {"name": "X-Channel", "in": "header", "required": True, "schema": {"type": "string"}}
        ),
        20,
        'facade/puzzel_chat/_wire/operations.py: Missing named argument "x_channel" for "_request"',
        "judged: Session.queue_info: the header parameter `X-Channel` of GET /api/queue/info/{id} is new ",
    ),
    Planted(
        "path id uuid",
        lambda d: d["paths"][MESSAGE]["post"]["parameters"][0]["schema"].update(format="uuid"),
        20,
        'facade/puzzel_chat/_wire/operations.py: Argument 2 to "_request" has incompatible type "str"; ex',
        "judged: Conversation.send: `format` of the path parameter `id` of POST /api/conversation/{id}/me",
    ),
    Planted(
        "reply id uuid",
        lambda d: fields(d, "SendMessageReply")["id"].update(format="uuid"),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 3 to "_identified" has incompatible type "UUID"; e',
        "judged: Conversation.send: `format` of `SendMessageReply.id` is `uuid` now",
    ),
    Planted(
        "default on query",
        lambda d: d["paths"]["/api/conversation"]["get"]["parameters"].append(
            {"name": "take", "in": "query", "schema": {"type": "integer", "default": 50}}
        ),
        10,
        "harmless: Session.poll: the query parameter `take` of GET /api/conversation is new and optional;",
    ),
    Planted(
        "tokenUrl",
        lambda d: (
            d.setdefault("components", {})
            .setdefault("securitySchemes", {})
            .update(
                oauth={
                    "type": "oauth2",
                    "flows": {"clientCredentials": {"tokenUrl": "https://login.example/token", "scopes": {}}},
                }
            )
        ),
        20,
        "look: PuzzelChat.connect: tokens are given out at https://login.example/token now",
    ),
    Planted(
        "the identity host at another address",
        lambda d: d["paths"][SIGN_IN]["post"].update(servers=[{"url": "https://login.example"}]),
        20,
        "look: PuzzelChat.connect: `authenticateVisitor` is answered at login.example now",
    ),
    Planted(
        "doc host",
        lambda d: d.update(servers=[{"url": "https://chat.example"}]),
        20,
        "look: PuzzelChat.connect,Session.queue_info,Session.time_info,Conversation.route,Conversation.al",
    ),
    Planted(
        "int to bool",
        lambda d: fields(d, "QueueInfo").update(queueSize={"type": "boolean", "nullable": True}),
        20,
        "look: Session.queue_info: `type` of `QueueInfo.queueSize` is `boolean or null` now, no longer `i",
    ),
    Planted(
        "duration",
        lambda d: fields(d, "RequestStatus").update(
            estimatedWaitSeconds={"type": "string", "format": "date-span", "nullable": True}
        ),
        20,
        'facade/puzzel_chat/_wire/replies.py: Argument 1 to "seconds" has incompatible type "str | Unset ',
        "judged: Conversation.allocation: `type` of `RequestStatus.estimatedWaitSeconds` is `string or nu",
        "harmless: Conversation.allocation: `format` of `RequestStatus.estimatedWaitSeconds` is `date-spa",
    ),
    Planted(
        "numbers described otherwise",
        lambda d: schema(d, "AuthorRole").update(description="0 = Agent, 1 = Customer"),
        10,
        "read: Session.poll: what the numbers of `AuthorRole` mean is described as “0 = Agent, 1 = Custom",
    ),
    Planted(
        "operation answered at another path of the host",
        lambda d: d["paths"][MESSAGE]["post"].update(servers=[{"url": "/v2"}]),
        20,
        "judged: Conversation.send: `sendMessage` is answered at /v2, which is neither host",
    ),
    Planted(
        "operation answered at another port of the host",
        lambda d: d["paths"][MESSAGE]["post"].update(servers=[{"url": "https://app-commsrv.puzzel.com:8443/"}]),
        20,
        "judged: Conversation.send: `sendMessage` is answered at app-commsrv.puzzel.com:8443, which is neither",
    ),
    Planted(
        "numbers in another order, by which we name them",
        lambda d: schema(d, "AuthorRole").update(enum=[1, 0, 2, 3]),
        20,
        "look: Session.poll: `AuthorRole` lists its values in another order, by which we name them",
    ),
    Planted(
        "fewer numbers than we name",
        lambda d: schema(d, "AuthorRole").update(enum=[0, 1, 2]),
        20,
        'facade/puzzel_chat/_wire/replies.py: "type[AuthorRole]" has no attribute "CUSTOMER"',
        "look: Session.poll: `AuthorRole` is never `3` any more",
    ),
    Planted(
        "pattern of a number, which means nothing",
        lambda d: fields(d, "QueueInfo")["queueSize"].update(pattern="^[0-9]+$"),
        10,
    ),
    Planted(
        "length of what is sent",
        lambda d: fields(d, "SendMessageRequest")["content"].update(maxLength=100),
        20,
        "look: Conversation.send: `maxLength` of `SendMessageRequest.content` is `100` now",
    ),
    Planted(
        "length of what comes",
        lambda d: fields(d, "QueueInfo")["name"].update(maxLength=100),
        10,
        "harmless: Session.queue_info: `maxLength` of `QueueInfo.name` is `100` now",
    ),
    Planted(
        "other credentials",
        lambda d: d["paths"][MESSAGE]["post"].update(security=[{"Key": []}]),
        10,
        "read: Conversation.send: `sendMessage` asks for Key now, by its `security`",
    ),
    Planted(
        "reference in an allOf of its own",
        lambda d: fields(d, "RequestStatus").update(agent={"allOf": [reference("Agent")], "nullable": True}),
        10,
    ),
]


def rename_schema(document: Document, old: str, new: str) -> None:
    rename(document["components"]["schemas"], old, new)
    for _, node in objects(document, ()):
        if node.get("$ref") == f"#/components/schemas/{old}":
            node["$ref"] = f"#/components/schemas/{new}"


@pytest.fixture(scope="module")
def upstream() -> Document:
    """Our document as it came; a test plants into a copy."""
    return dict(parse(read_bytes(HERE.upstream), HERE.upstream))


def judge(document: Document, folder: Path) -> Report:
    """Give what a run would say of a document in this checkout, which stays as it is."""
    path = folder / "planted.json"
    path.write_bytes(dump(document))
    return judged(HERE, Wish(spec=str(path)), folder, lambda _: None)[0]


def said(report: Report) -> list[str]:
    """Give every sentence of a report that somebody could act on."""
    edits = [f"{one.file}: {one.text}" for one in report.edits]
    changes = [f"{one.weight.name.lower()}: {','.join(one.methods)}: {one.text}" for one in report.changes]
    return [*edits, *changes, *(f"new: {one}" for one in report.operations)]


@pytest.mark.slow
@pytest.mark.parametrize("name", [planted.name for planted in PLANTED])
def test_a_change_is_told_and_ends_the_run_as_it_must(name: str, upstream: Document, tmp_path: Path) -> None:
    """Each change is told, plainly, to those who use that method, with the line to edit where the facade breaks."""
    (planted,) = [one for one in PLANTED if one.name == name]
    document = copy.deepcopy(upstream)
    planted.change(document)
    report = judge(document, tmp_path)
    assert report.status == planted.status, said(report)
    untold = [one for one in planted.told if not any(sentence.startswith(one) for sentence in said(report))]
    assert untold == [], said(report)
    assert all(one.line > 0 for one in report.edits)


@pytest.mark.slow
def test_hosts_may_be_named_at_each_operation(upstream: Document, tmp_path: Path) -> None:
    """It is the same to the facade whether the document names the common host once or each time."""
    document = copy.deepcopy(upstream)
    servers = document.pop("servers")
    for path in document["paths"].values():
        for operation in path.values():
            operation.setdefault("servers", servers)
    report = judge(document, tmp_path)
    assert (report.status, report.edits, report.changes) == (10, (), ())


@pytest.mark.slow
def test_a_line_to_edit_is_where_the_facade_does_it(upstream: Document, tmp_path: Path) -> None:
    """The line that is named for a renamed field is the one that writes it."""
    document = copy.deepcopy(upstream)
    rename_field(document, "SendMessageRequest", "content", "text")
    edits = judge(document, tmp_path).edits
    assert len(edits) == 2
    for edit in edits:
        assert "content=" in (ROOT / edit.file).read_text().splitlines()[edit.line - 1]
