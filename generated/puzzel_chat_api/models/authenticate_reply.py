# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define

T = TypeVar("T", bound="AuthenticateReply")


@_attrs_define(repr=False)
class AuthenticateReply:
    """
    Attributes:
        user_info_id (str):
    """

    user_info_id: str

    def to_dict(self) -> dict[str, Any]:
        user_info_id = self.user_info_id

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "userInfoId": user_info_id,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        user_info_id = d.pop("userInfoId")

        authenticate_reply = cls(
            user_info_id=user_info_id,
        )

        return authenticate_reply
