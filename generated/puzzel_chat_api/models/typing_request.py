# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="TypingRequest")


@_attrs_define
class TypingRequest:
    """
    Attributes:
        is_typing (bool):
    """

    is_typing: bool

    def to_dict(self) -> dict[str, Any]:
        is_typing = self.is_typing

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "isTyping": is_typing,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        is_typing = d.pop("isTyping")

        typing_request = cls(
            is_typing=is_typing,
        )

        return typing_request
