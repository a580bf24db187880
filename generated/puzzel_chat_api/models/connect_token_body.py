# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="ConnectTokenBody")


@_attrs_define(repr=False)
class ConnectTokenBody:
    """
    Attributes:
        grant_type (str):
        client_id (str | Unset):
        client_secret (str | Unset):
        tenant_id (str | Unset):
        scope (str | Unset):
        refresh_token (str | Unset):
        user_info_id (str | Unset):
        code_verifier (str | Unset):
    """

    grant_type: str
    client_id: str | Unset = UNSET
    client_secret: str | Unset = UNSET
    tenant_id: str | Unset = UNSET
    scope: str | Unset = UNSET
    refresh_token: str | Unset = UNSET
    user_info_id: str | Unset = UNSET
    code_verifier: str | Unset = UNSET
    additional_properties: dict[str, str] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        grant_type = self.grant_type

        client_id = self.client_id

        client_secret = self.client_secret

        tenant_id = self.tenant_id

        scope = self.scope

        refresh_token = self.refresh_token

        user_info_id = self.user_info_id

        code_verifier = self.code_verifier

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "grant_type": grant_type,
            }
        )
        if client_id is not UNSET:
            field_dict["client_id"] = client_id
        if client_secret is not UNSET:
            field_dict["client_secret"] = client_secret
        if tenant_id is not UNSET:
            field_dict["tenant_id"] = tenant_id
        if scope is not UNSET:
            field_dict["scope"] = scope
        if refresh_token is not UNSET:
            field_dict["refresh_token"] = refresh_token
        if user_info_id is not UNSET:
            field_dict["user_info_id"] = user_info_id
        if code_verifier is not UNSET:
            field_dict["code_verifier"] = code_verifier

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        grant_type = d.pop("grant_type")

        client_id = d.pop("client_id", UNSET)

        client_secret = d.pop("client_secret", UNSET)

        tenant_id = d.pop("tenant_id", UNSET)

        scope = d.pop("scope", UNSET)

        refresh_token = d.pop("refresh_token", UNSET)

        user_info_id = d.pop("user_info_id", UNSET)

        code_verifier = d.pop("code_verifier", UNSET)

        connect_token_body = cls(
            grant_type=grant_type,
            client_id=client_id,
            client_secret=client_secret,
            tenant_id=tenant_id,
            scope=scope,
            refresh_token=refresh_token,
            user_info_id=user_info_id,
            code_verifier=code_verifier,
        )

        connect_token_body.additional_properties = d
        return connect_token_body

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> str:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: str) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties
