# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
"""What a success of each operation is, read from its JSON; several schemas are tried in turn."""

from typing import Any

from ...models.request_status import RequestStatus


def success_of_get_request_status(data: Any) -> RequestStatus:
    response_200 = RequestStatus.from_dict(data)

    return response_200
