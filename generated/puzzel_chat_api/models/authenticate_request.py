# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="AuthenticateRequest")


@_attrs_define(repr=False)
class AuthenticateRequest:
    """
    Attributes:
        code_challenge (str):
        access_token (None | str | Unset):
        id_token (None | str | Unset):
    """

    code_challenge: str
    access_token: None | str | Unset = UNSET
    id_token: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        code_challenge = self.code_challenge

        access_token: None | str | Unset
        if isinstance(self.access_token, Unset):
            access_token = UNSET
        else:
            access_token = self.access_token

        id_token: None | str | Unset
        if isinstance(self.id_token, Unset):
            id_token = UNSET
        else:
            id_token = self.id_token

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "codeChallenge": code_challenge,
            }
        )
        if access_token is not UNSET:
            field_dict["accessToken"] = access_token
        if id_token is not UNSET:
            field_dict["idToken"] = id_token

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        code_challenge = d.pop("codeChallenge")

        def _parse_access_token(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        access_token = _parse_access_token(d.pop("accessToken", UNSET))

        def _parse_id_token(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        id_token = _parse_id_token(d.pop("idToken", UNSET))

        authenticate_request = cls(
            code_challenge=code_challenge,
            access_token=access_token,
            id_token=id_token,
        )

        return authenticate_request
