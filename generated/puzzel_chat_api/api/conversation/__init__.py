# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
"""What a success of each operation is, read from its JSON; several schemas are tried in turn."""

from typing import Any

from ...models.poll_reply import PollReply
from ...models.route_reply import RouteReply
from ...models.send_message_reply import SendMessageReply


def success_of_poll_conversation(data: Any) -> PollReply:
    response_200 = PollReply.from_dict(data)

    return response_200


def success_of_end_conversation(data: Any) -> None:
    return None


def success_of_send_message(data: Any) -> SendMessageReply:
    response_200 = SendMessageReply.from_dict(data)

    return response_200


def success_of_route_conversation(data: Any) -> RouteReply:
    response_202 = RouteReply.from_dict(data)

    return response_202


def success_of_send_typing(data: Any) -> None:
    return None
