# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
"""How sure each operation is: documented on a page, assumed by us, or confirmed by the vendor's document."""

from __future__ import annotations

from typing import Literal, NamedTuple


class OperationProvenance(NamedTuple):
    """One operation of the document and where our knowledge of it comes from."""

    operation_id: str
    method: str
    path: str
    provenance: Literal["documented", "assumed", "confirmed"]
    note: str


OPERATIONS: dict[str, OperationProvenance] = {
    "getRequestStatus": OperationProvenance(
        operation_id="getRequestStatus",
        method="GET",
        path="/api/allocation/requestStatus/{id}",
        provenance="documented",
        note="The path and its use are documented; the method, that the id is the conversation's, and the reply are assumed.",
    ),
    "pollConversation": OperationProvenance(
        operation_id="pollConversation",
        method="GET",
        path="/api/conversation",
        provenance="documented",
        note="The path and polling it at an interval are documented; the method, the cursor and the reply are assumed.",
    ),
    "endConversation": OperationProvenance(
        operation_id="endConversation",
        method="POST",
        path="/api/conversation/{id}/end",
        provenance="assumed",
        note="No page tells how a conversation is ended: method, path and answers are assumed.",
    ),
    "sendMessage": OperationProvenance(
        operation_id="sendMessage",
        method="POST",
        path="/api/conversation/{id}/message",
        provenance="assumed",
        note="No page tells how a message is sent: method, path, body and reply are assumed.",
    ),
    "routeConversation": OperationProvenance(
        operation_id="routeConversation",
        method="POST",
        path="/api/conversation/{id}/route/",
        provenance="documented",
        note="The path with its trailing slash, and that the caller chooses the id, are documented; the method, the body, the reply and the error codes are assumed.",
    ),
    "sendTyping": OperationProvenance(
        operation_id="sendTyping",
        method="POST",
        path="/api/conversation/{id}/typing",
        provenance="assumed",
        note="No page tells how typing is reported: method, path and body are assumed.",
    ),
    "getQueueInfo": OperationProvenance(
        operation_id="getQueueInfo",
        method="GET",
        path="/api/queue/info/{id}",
        provenance="documented",
        note="The path, and that it tells the opening hours, are documented; the method and the fields are assumed.",
    ),
    "getTimeInfo": OperationProvenance(
        operation_id="getTimeInfo",
        method="GET",
        path="/api/time/{id}",
        provenance="assumed",
        note="That the API covers the time module is documented, but no endpoint is named: method, path and reply are assumed.",
    ),
    "connectToken": OperationProvenance(
        operation_id="connectToken",
        method="POST",
        path="/connect/token",
        provenance="documented",
        note="The path, the refresh_token grant, expires_in and the refresh token are documented; the method, client_credentials and the other form fields are assumed.",
    ),
}
