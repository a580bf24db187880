# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from enum import StrEnum
from typing import Self


class ChatMessageType(StrEnum):
    EVENT = "Event"
    FILE = "File"
    OPTIONS = "Options"
    TEXT = "Text"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        # A value that is new to us becomes a member of its own instead of an error.
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = f"UNKNOWN_{value}"
        member._value_ = value
        return member

    def __str__(self) -> str:
        return str(self.value)
