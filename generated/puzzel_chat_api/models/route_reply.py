# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..models.allocation_status import AllocationStatus
from ..types import UNSET, Unset

T = TypeVar("T", bound="RouteReply")


@_attrs_define(repr=False)
class RouteReply:
    """
    Attributes:
        request_id (None | str | Unset):
        conversation_id (None | str | Unset):
        status (AllocationStatus | None | Unset):
    """

    request_id: None | str | Unset = UNSET
    conversation_id: None | str | Unset = UNSET
    status: AllocationStatus | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        request_id: None | str | Unset
        if isinstance(self.request_id, Unset):
            request_id = UNSET
        else:
            request_id = self.request_id

        conversation_id: None | str | Unset
        if isinstance(self.conversation_id, Unset):
            conversation_id = UNSET
        else:
            conversation_id = self.conversation_id

        status: None | str | Unset
        if isinstance(self.status, Unset):
            status = UNSET
        elif isinstance(self.status, AllocationStatus):
            status = self.status.value
        else:
            status = self.status

        field_dict: dict[str, Any] = {}

        field_dict.update({})
        if request_id is not UNSET:
            field_dict["requestId"] = request_id
        if conversation_id is not UNSET:
            field_dict["conversationId"] = conversation_id
        if status is not UNSET:
            field_dict["status"] = status

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)

        def _parse_request_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        request_id = _parse_request_id(d.pop("requestId", UNSET))

        def _parse_conversation_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        conversation_id = _parse_conversation_id(d.pop("conversationId", UNSET))

        def _parse_status(data: object) -> AllocationStatus | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                status_type_0 = AllocationStatus(data)

                return status_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(AllocationStatus | None | Unset, data)

        status = _parse_status(d.pop("status", UNSET))

        route_reply = cls(
            request_id=request_id,
            conversation_id=conversation_id,
            status=status,
        )

        return route_reply
