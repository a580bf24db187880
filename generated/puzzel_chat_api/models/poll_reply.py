# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.chat_message import ChatMessage
    from ..models.event_message import EventMessage
    from ..models.file_message import FileMessage
    from ..models.options_message import OptionsMessage
    from ..models.text_message import TextMessage


T = TypeVar("T", bound="PollReply")


@_attrs_define
class PollReply:
    """
    Attributes:
        messages (list[ChatMessage | EventMessage | FileMessage | OptionsMessage | TextMessage] | None | Unset):
        cursor (int | None | str | Unset):
    """

    messages: (
        list[ChatMessage | EventMessage | FileMessage | OptionsMessage | TextMessage]
        | None
        | Unset
    ) = UNSET
    cursor: int | None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.event_message import EventMessage  # noqa: PLC0415
        from ..models.file_message import FileMessage  # noqa: PLC0415
        from ..models.options_message import OptionsMessage  # noqa: PLC0415
        from ..models.text_message import TextMessage  # noqa: PLC0415

        messages: list[dict[str, Any]] | None | Unset
        if isinstance(self.messages, Unset):
            messages = UNSET
        elif isinstance(self.messages, list):
            messages = []
            for messages_type_0_item_data in self.messages:
                messages_type_0_item: dict[str, Any]
                if isinstance(messages_type_0_item_data, TextMessage):
                    messages_type_0_item = messages_type_0_item_data.to_dict()
                elif isinstance(messages_type_0_item_data, OptionsMessage):
                    messages_type_0_item = messages_type_0_item_data.to_dict()
                elif isinstance(messages_type_0_item_data, FileMessage):
                    messages_type_0_item = messages_type_0_item_data.to_dict()
                elif isinstance(messages_type_0_item_data, EventMessage):
                    messages_type_0_item = messages_type_0_item_data.to_dict()
                else:
                    messages_type_0_item = messages_type_0_item_data.to_dict()

                messages.append(messages_type_0_item)

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
        from ..models.chat_message import ChatMessage  # noqa: PLC0415
        from ..models.event_message import EventMessage  # noqa: PLC0415
        from ..models.file_message import FileMessage  # noqa: PLC0415
        from ..models.options_message import OptionsMessage  # noqa: PLC0415
        from ..models.text_message import TextMessage  # noqa: PLC0415

        d = dict(src_dict)

        def _parse_messages(
            data: object,
        ) -> (
            list[
                ChatMessage | EventMessage | FileMessage | OptionsMessage | TextMessage
            ]
            | None
            | Unset
        ):
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, list):
                    raise TypeError()
                messages_type_0 = []
                _messages_type_0 = data
                for messages_type_0_item_data in _messages_type_0:

                    def _parse_messages_type_0_item(
                        data: object,
                    ) -> (
                        ChatMessage
                        | EventMessage
                        | FileMessage
                        | OptionsMessage
                        | TextMessage
                    ):
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            messages_type_0_item_type_0 = TextMessage.from_dict(data)

                            return messages_type_0_item_type_0
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            messages_type_0_item_type_1 = OptionsMessage.from_dict(data)

                            return messages_type_0_item_type_1
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            messages_type_0_item_type_2 = FileMessage.from_dict(data)

                            return messages_type_0_item_type_2
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        try:
                            if not isinstance(data, dict):
                                raise TypeError()
                            messages_type_0_item_type_3 = EventMessage.from_dict(data)

                            return messages_type_0_item_type_3
                        except (TypeError, ValueError, AttributeError, KeyError):
                            pass
                        if not isinstance(data, dict):
                            raise TypeError()
                        messages_type_0_item_type_4 = ChatMessage.from_dict(data)

                        return messages_type_0_item_type_4

                    messages_type_0_item = _parse_messages_type_0_item(
                        messages_type_0_item_data
                    )

                    messages_type_0.append(messages_type_0_item)

                return messages_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(
                list[
                    ChatMessage
                    | EventMessage
                    | FileMessage
                    | OptionsMessage
                    | TextMessage
                ]
                | None
                | Unset,
                data,
            )

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
