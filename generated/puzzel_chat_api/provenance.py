# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
"""How sure each operation is: documented on a page, observed in public code, assumed by us, or confirmed."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple


class OperationProvenance(NamedTuple):
    """One operation of the document, where our knowledge of it comes from, and what is expected of its reply.

    `reply` has the JSON types of the members of a success by their place, `required` the places that are always there.
    """

    operation_id: str
    method: str
    path: str
    provenance: Literal["documented", "observed", "assumed", "confirmed"]
    note: str
    servers: tuple[str, ...]
    statuses: tuple[int, ...]
    reply: dict[str, str]
    required: tuple[str, ...]


OPERATIONS: dict[str, OperationProvenance] = {
    "getRequestStatus": OperationProvenance(
        operation_id="getRequestStatus",
        method="GET",
        path="/api/allocation/requestStatus/{id}",
        provenance="documented",
        note="Documented (help.puzzel.com/node/3377): the path and its use. Assumed: the method, that the id is the conversation's, with the request id of the route as second, and the reply.",
        servers=("https://app-commsrv.puzzel.com", "https://uk-commsrv.puzzel.com"),
        statuses=(200, 401, 403, 404, 429, 500, 503),
        reply={
            "/requestId": "string or null",
            "/conversationId": "string or null",
            "/status": "string or null",
            "/queuePosition": "integer or null",
            "/estimatedWaitSeconds": "integer or null",
            "/agent": "object or null",
            "/agent/id": "string or null",
            "/agent/displayName": "string or null",
            "/reason": "string or null",
        },
        required=(),
    ),
    "authenticateVisitor": OperationProvenance(
        operation_id="authenticateVisitor",
        method="POST",
        path="/api/authenticate/{customerId}",
        provenance="documented",
        note="Documented (help.puzzel.com/node/3665): method, path, host, body, query and the userInfoId of the reply. Assumed: the statuses of a refusal.",
        servers=(
            "https://app-consumeridp.puzzel.com",
            "https://uk-consumeridp.puzzel.com",
        ),
        statuses=(200, 400, 401, 403, 404, 429, 500, 503),
        reply={"/userInfoId": "string"},
        required=("/userInfoId",),
    ),
    "pollConversation": OperationProvenance(
        operation_id="pollConversation",
        method="GET",
        path="/api/conversation",
        provenance="documented",
        note="Documented (help.puzzel.com/node/3377): the path and polling it at an interval. Assumed: the method, the reply, 204 for nothing new, and the cursor, an integer because the vendor's own stream numbers its events from 1 (vergic/pzl-StreamingLib).",
        servers=("https://app-commsrv.puzzel.com", "https://uk-commsrv.puzzel.com"),
        statuses=(200, 204, 401, 403, 429, 500, 503),
        reply={
            "/messages": "array or null",
            "/messages/*": "object",
            "/messages/*/type": "string",
            "/messages/*/id": "string",
            "/messages/*/conversationId": "string",
            "/messages/*/eventId": "integer or null",
            "/messages/*/version": "integer or null",
            "/messages/*/sentAt": "string or null",
            "/messages/*/author": "object or null",
            "/messages/*/author/role": "integer or null",
            "/messages/*/author/id": "string or null",
            "/messages/*/author/displayName": "string or null",
            "/messages/*/clientMessageId": "string or null",
            "/messages/*/content": "string or null",
            "/messages/*/options": "array or null",
            "/messages/*/options/*": "object",
            "/messages/*/options/*/id": "string",
            "/messages/*/options/*/label": "string or null",
            "/messages/*/fileName": "string or null",
            "/messages/*/url": "string or null",
            "/messages/*/contentType": "string or null",
            "/messages/*/size": "integer or null",
            "/messages/*/event": "string or null",
            "/messages/*/agent": "object or null",
            "/messages/*/agent/id": "string or null",
            "/messages/*/agent/displayName": "string or null",
            "/messages/*/isTyping": "boolean or null",
            "/messages/*/endedBy": "integer or null",
            "/messages/*/reason": "string or null",
            "/cursor": "integer or null",
        },
        required=(
            "/messages/*/type",
            "/messages/*/id",
            "/messages/*/conversationId",
            "/messages/*/options/*/id",
        ),
    ),
    "endConversation": OperationProvenance(
        operation_id="endConversation",
        method="POST",
        path="/api/conversation/{id}/end",
        provenance="assumed",
        note="No page tells and no code was seen that shows how a conversation is ended: method, path and answers are assumed.",
        servers=("https://app-commsrv.puzzel.com", "https://uk-commsrv.puzzel.com"),
        statuses=(204, 401, 403, 404, 410, 429, 500, 503),
        reply={},
        required=(),
    ),
    "sendMessage": OperationProvenance(
        operation_id="sendMessage",
        method="POST",
        path="/api/conversation/{id}/message",
        provenance="assumed",
        note="No page tells and no code was seen that shows how a message is sent: method, path, body and reply are assumed.",
        servers=("https://app-commsrv.puzzel.com", "https://uk-commsrv.puzzel.com"),
        statuses=(200, 400, 401, 403, 404, 409, 410, 429, 500, 503),
        reply={
            "/id": "string",
            "/sentAt": "string or null",
            "/clientMessageId": "string or null",
        },
        required=("/id",),
    ),
    "routeConversation": OperationProvenance(
        operation_id="routeConversation",
        method="PUT",
        path="/api/conversation/{id}/route/{queueKey}",
        provenance="observed",
        note="Observed (helsingborg-stad/Municipio, library/Chat/js, commit 756d609): PUT, the queue key in the path, a bearer token, a JSON array as body, any 2xx as success. Documented (help.puzzel.com/node/3377): the path up to the queue key, and that the caller chooses the id. Assumed: what the array's items are, the reply, the error codes, and that what was said before goes along as a variable named history, plain text with a line for each turn.",
        servers=("https://app-commsrv.puzzel.com", "https://uk-commsrv.puzzel.com"),
        statuses=(200, 202, 400, 401, 403, 404, 409, 410, 422, 429, 500, 503),
        reply={
            "/requestId": "string or null",
            "/conversationId": "string or null",
            "/status": "string or null",
        },
        required=(),
    ),
    "sendTyping": OperationProvenance(
        operation_id="sendTyping",
        method="POST",
        path="/api/conversation/{id}/typing",
        provenance="assumed",
        note="No page tells and no code was seen that shows how typing is reported: method, path and body are assumed.",
        servers=("https://app-commsrv.puzzel.com", "https://uk-commsrv.puzzel.com"),
        statuses=(204, 400, 401, 403, 404, 410, 429, 500, 503),
        reply={},
        required=(),
    ),
    "downloadFile": OperationProvenance(
        operation_id="downloadFile",
        method="GET",
        path="/api/file/{id}",
        provenance="assumed",
        note="Assumed: that a file stays at the file service, under such a path, and takes the bearer token of the chat. A client follows the address in the file's message, whatever that is.",
        servers=(
            "https://app-contentupload.puzzel.com",
            "https://uk-contentupload.puzzel.com",
        ),
        statuses=(200, 401, 403, 404, 429, 500, 503),
        reply={},
        required=(),
    ),
    "getQueueInfo": OperationProvenance(
        operation_id="getQueueInfo",
        method="GET",
        path="/api/queue/info/{id}",
        provenance="documented",
        note="Documented (help.puzzel.com/node/3377): the path, and that it tells the opening hours. Assumed: the method, that the id is the visual queue id, and the fields.",
        servers=("https://app-commsrv.puzzel.com", "https://uk-commsrv.puzzel.com"),
        statuses=(200, 401, 403, 404, 429, 500, 503),
        reply={
            "/id": "string",
            "/name": "string or null",
            "/isOpen": "boolean or null",
            "/opensAt": "string or null",
            "/closesAt": "string or null",
            "/queueSize": "integer or null",
            "/agentsReady": "integer or null",
            "/waitTimeAverageSeconds": "integer or null",
            "/timeId": "string or null",
        },
        required=("/id",),
    ),
    "getTimeInfo": OperationProvenance(
        operation_id="getTimeInfo",
        method="GET",
        path="/api/time/{id}",
        provenance="assumed",
        note="Documented (help.puzzel.com/node/3377): that the API covers the time module. No endpoint is named: method, path and reply are assumed.",
        servers=("https://app-commsrv.puzzel.com", "https://uk-commsrv.puzzel.com"),
        statuses=(200, 401, 403, 404, 429, 500, 503),
        reply={
            "/id": "string",
            "/exitName": "string or null",
            "/isOpen": "boolean or null",
            "/nextChange": "string or null",
        },
        required=("/id",),
    ),
    "uploadFile": OperationProvenance(
        operation_id="uploadFile",
        method="POST",
        path="/api/upload",
        provenance="assumed",
        note="Observed (helsingborg-stad/Municipio, library/Chat/js, commit 756d609): the name of the host, region OPO. Everything else is assumed: the host of region UK by analogy, method, path, query, body and reply, and that the bearer token is the chat's.",
        servers=(
            "https://app-contentupload.puzzel.com",
            "https://uk-contentupload.puzzel.com",
        ),
        statuses=(200, 400, 401, 403, 413, 429, 500, 503),
        reply={"/id": "string", "/url": "string or null"},
        required=("/id",),
    ),
    "connectToken": OperationProvenance(
        operation_id="connectToken",
        method="POST",
        path="/connect/token",
        provenance="documented",
        note="Documented (help.puzzel.com/node/3377, help.puzzel.com/node/3665): the path on the identity host, the refresh_token grant, expires_in and the refresh token. Observed (helsingborg-stad/Municipio, library/Chat/js, commit 756d609): POST as a form with grant_type visitor, client_id oneplatform_engage and tenant_id, which holds the queue key there; we send the solution id. Assumed: that a refresh carries client_id and tenant_id, and user_info_id and code_verifier for a signed-in visitor.",
        servers=(
            "https://app-consumeridp.puzzel.com",
            "https://uk-consumeridp.puzzel.com",
        ),
        statuses=(200, 400, 401, 429, 500, 503),
        reply={
            "/access_token": "string",
            "/token_type": "string or null",
            "/expires_in": "integer or null",
            "/refresh_token": "string or null",
            "/scope": "string or null",
            "/visitor_id": "string or null",
        },
        required=("/access_token",),
    ),
}


class Host:
    """Which host answers each operation; one that no correction names is called `elsewhere`."""

    get_request_status: Final = "communication"
    authenticate_visitor: Final = "identity"
    poll_conversation: Final = "communication"
    end_conversation: Final = "communication"
    send_message: Final = "communication"
    route_conversation: Final = "communication"
    send_typing: Final = "communication"
    download_file: Final = "upload"
    get_queue_info: Final = "communication"
    get_time_info: Final = "communication"
    upload_file: Final = "upload"
    connect_token: Final = "identity"
