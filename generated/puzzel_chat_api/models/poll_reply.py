# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="PollReply")


@_attrs_define(repr=False)
class PollReply:
    """
    Attributes:
        messages (list[Any] | None | Unset):
        cursor (int | None | str | Unset):
    """

    messages: list[Any] | None | Unset = UNSET
    cursor: int | None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        messages: list[Any] | None | Unset
        if isinstance(self.messages, Unset):
            messages = UNSET
        elif isinstance(self.messages, list):
            messages = self.messages

        else:
            messages = self.messages

        cursor: int | None | str | Unset
        if isinstance(self.cursor, Unset):
            cursor = UNSET
        else:
            cursor = self.cursor

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if messages is not UNSET:
            field_dict["messages"] = messages
        if cursor is not UNSET:
            field_dict["cursor"] = cursor

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_messages(data: object) -> list[Any] | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                messages_type_0 = data

                return messages_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(list[Any] | None | Unset, data)

        messages = _parse_messages(d.pop("messages", UNSET))

        def _parse_cursor(data: object) -> int | None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | str | Unset, data)

        cursor = _parse_cursor(d.pop("cursor", UNSET))

        poll_reply = cls(
            messages=messages,
            cursor=cursor,
        )

        return poll_reply
