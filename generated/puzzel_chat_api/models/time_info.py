# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="TimeInfo")


@_attrs_define
class TimeInfo:
    """
    Attributes:
        id (str):
        exit_name (None | str | Unset):
        is_open (bool | None | Unset):
        next_change (datetime.datetime | None | Unset):
    """

    id: str
    exit_name: None | str | Unset = UNSET
    is_open: bool | None | Unset = UNSET
    next_change: datetime.datetime | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        exit_name: None | str | Unset
        if isinstance(self.exit_name, Unset):
            exit_name = UNSET
        else:
            exit_name = self.exit_name

        is_open: bool | None | Unset
        if isinstance(self.is_open, Unset):
            is_open = UNSET
        else:
            is_open = self.is_open

        next_change: None | str | Unset
        if isinstance(self.next_change, Unset):
            next_change = UNSET
        elif isinstance(self.next_change, datetime.datetime):
            next_change = self.next_change.isoformat()
        else:
            next_change = self.next_change

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "id": id,
            }
        )
        if exit_name is not UNSET:
            field_dict["exitName"] = exit_name
        if is_open is not UNSET:
            field_dict["isOpen"] = is_open
        if next_change is not UNSET:
            field_dict["nextChange"] = next_change

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        def _parse_exit_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        exit_name = _parse_exit_name(d.pop("exitName", UNSET))

        def _parse_is_open(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        is_open = _parse_is_open(d.pop("isOpen", UNSET))

        def _parse_next_change(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                next_change_type_0 = datetime.datetime.fromisoformat(data)

                return next_change_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        next_change = _parse_next_change(d.pop("nextChange", UNSET))

        time_info = cls(
            id=id,
            exit_name=exit_name,
            is_open=is_open,
            next_change=next_change,
        )

        return time_info
