# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

T = TypeVar("T", bound="QueueInfo")


@_attrs_define
class QueueInfo:
    """
    Attributes:
        id (str):
        name (None | str | Unset):
        is_open (bool | None | Unset):
        opens_at (datetime.datetime | None | Unset):
        closes_at (datetime.datetime | None | Unset):
        queue_size (int | None | Unset):
        agents_ready (int | None | Unset):
        wait_time_average_seconds (int | None | Unset):
        time_id (None | str | Unset):
    """

    id: str
    name: None | str | Unset = UNSET
    is_open: bool | None | Unset = UNSET
    opens_at: datetime.datetime | None | Unset = UNSET
    closes_at: datetime.datetime | None | Unset = UNSET
    queue_size: int | None | Unset = UNSET
    agents_ready: int | None | Unset = UNSET
    wait_time_average_seconds: int | None | Unset = UNSET
    time_id: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        name: None | str | Unset
        if isinstance(self.name, Unset):
            name = UNSET
        else:
            name = self.name

        is_open: bool | None | Unset
        if isinstance(self.is_open, Unset):
            is_open = UNSET
        else:
            is_open = self.is_open

        opens_at: None | str | Unset
        if isinstance(self.opens_at, Unset):
            opens_at = UNSET
        elif isinstance(self.opens_at, datetime.datetime):
            opens_at = self.opens_at.isoformat()
        else:
            opens_at = self.opens_at

        closes_at: None | str | Unset
        if isinstance(self.closes_at, Unset):
            closes_at = UNSET
        elif isinstance(self.closes_at, datetime.datetime):
            closes_at = self.closes_at.isoformat()
        else:
            closes_at = self.closes_at

        queue_size: int | None | Unset
        if isinstance(self.queue_size, Unset):
            queue_size = UNSET
        else:
            queue_size = self.queue_size

        agents_ready: int | None | Unset
        if isinstance(self.agents_ready, Unset):
            agents_ready = UNSET
        else:
            agents_ready = self.agents_ready

        wait_time_average_seconds: int | None | Unset
        if isinstance(self.wait_time_average_seconds, Unset):
            wait_time_average_seconds = UNSET
        else:
            wait_time_average_seconds = self.wait_time_average_seconds

        time_id: None | str | Unset
        if isinstance(self.time_id, Unset):
            time_id = UNSET
        else:
            time_id = self.time_id

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "id": id,
            }
        )
        if name is not UNSET:
            field_dict["name"] = name
        if is_open is not UNSET:
            field_dict["isOpen"] = is_open
        if opens_at is not UNSET:
            field_dict["opensAt"] = opens_at
        if closes_at is not UNSET:
            field_dict["closesAt"] = closes_at
        if queue_size is not UNSET:
            field_dict["queueSize"] = queue_size
        if agents_ready is not UNSET:
            field_dict["agentsReady"] = agents_ready
        if wait_time_average_seconds is not UNSET:
            field_dict["waitTimeAverageSeconds"] = wait_time_average_seconds
        if time_id is not UNSET:
            field_dict["timeId"] = time_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        def _parse_name(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        name = _parse_name(d.pop("name", UNSET))

        def _parse_is_open(data: object) -> bool | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(bool | None | Unset, data)

        is_open = _parse_is_open(d.pop("isOpen", UNSET))

        def _parse_opens_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                opens_at_type_0 = datetime.datetime.fromisoformat(data)

                return opens_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        opens_at = _parse_opens_at(d.pop("opensAt", UNSET))

        def _parse_closes_at(data: object) -> datetime.datetime | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                closes_at_type_0 = datetime.datetime.fromisoformat(data)

                return closes_at_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(datetime.datetime | None | Unset, data)

        closes_at = _parse_closes_at(d.pop("closesAt", UNSET))

        def _parse_queue_size(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        queue_size = _parse_queue_size(d.pop("queueSize", UNSET))

        def _parse_agents_ready(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        agents_ready = _parse_agents_ready(d.pop("agentsReady", UNSET))

        def _parse_wait_time_average_seconds(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        wait_time_average_seconds = _parse_wait_time_average_seconds(
            d.pop("waitTimeAverageSeconds", UNSET)
        )

        def _parse_time_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        time_id = _parse_time_id(d.pop("timeId", UNSET))

        queue_info = cls(
            id=id,
            name=name,
            is_open=is_open,
            opens_at=opens_at,
            closes_at=closes_at,
            queue_size=queue_size,
            agents_ready=agents_ready,
            wait_time_average_seconds=wait_time_average_seconds,
            time_id=time_id,
        )

        return queue_info
