# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
"""What a success of each operation is, read from its JSON; several schemas are tried in turn."""

from typing import Any

from ...models.time_info import TimeInfo


def success_of_get_time_info(data: Any) -> TimeInfo:
    response_200 = TimeInfo.from_dict(data)

    return response_200
