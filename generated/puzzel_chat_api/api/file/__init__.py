# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
"""What a success of each operation is, read from its JSON; several schemas are tried in turn."""

from io import BytesIO
from typing import Any, cast

from ...models.upload_reply import UploadReply
from ...types import File, FileTypes


def success_of_download_file(data: Any) -> File:
    response_200 = cast(File, data)
    return response_200


def success_of_upload_file(data: Any) -> UploadReply:
    response_200 = UploadReply.from_dict(data)

    return response_200
