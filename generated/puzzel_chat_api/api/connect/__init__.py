# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
"""What a success of each operation is, read from its JSON; several schemas are tried in turn."""

from typing import Any

from ...models.token_reply import TokenReply


def success_of_connect_token(data: Any) -> TokenReply:
    response_200 = TokenReply.from_dict(data)

    return response_200
