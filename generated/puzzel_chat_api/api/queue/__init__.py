# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
"""What a success of each operation is, read from its JSON; several schemas are tried in turn."""

from typing import Any

from ...models.queue_info import QueueInfo


def success_of_get_queue_info(data: Any) -> QueueInfo:
    response_200 = QueueInfo.from_dict(data)

    return response_200
