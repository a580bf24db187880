# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
"""What a success of each operation is, read from its JSON; several schemas are tried in turn."""

from typing import Any

from ...models.authenticate_reply import AuthenticateReply


def success_of_authenticate_visitor(data: Any) -> AuthenticateReply:
    response_200 = AuthenticateReply.from_dict(data)

    return response_200
