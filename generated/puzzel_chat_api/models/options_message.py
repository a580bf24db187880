# Made by openapi-python-client 0.29.1 from openapi/puzzel-chat.json. Do not edit: run `make regenerate`.
from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    cast,
)

from attrs import define as _attrs_define

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.author import Author
    from ..models.option import Option


T = TypeVar("T", bound="OptionsMessage")


@_attrs_define(repr=False)
class OptionsMessage:
    """
    Attributes:
        type_ (Literal['Options']):
        id (str):
        conversation_id (str):
        version (int):
        sent_at (datetime.datetime):
        options (list[Option]):
        author (Author | None | Unset):
        client_message_id (None | str | Unset):
        content (None | str | Unset):
    """

    type_: Literal["Options"]
    id: str
    conversation_id: str
    version: int
    sent_at: datetime.datetime
    options: list[Option]
    author: Author | None | Unset = UNSET
    client_message_id: None | str | Unset = UNSET
    content: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.author import Author  # noqa: PLC0415

        type_ = self.type_

        id = self.id

        conversation_id = self.conversation_id

        version = self.version

        sent_at = self.sent_at.isoformat()

        options = []
        for options_item_data in self.options:
            options_item = options_item_data.to_dict()
            options.append(options_item)

        author: dict[str, Any] | None | Unset
        if isinstance(self.author, Unset):
            author = UNSET
        elif isinstance(self.author, Author):
            author = self.author.to_dict()
        else:
            author = self.author

        client_message_id: None | str | Unset
        if isinstance(self.client_message_id, Unset):
            client_message_id = UNSET
        else:
            client_message_id = self.client_message_id

        content: None | str | Unset
        if isinstance(self.content, Unset):
            content = UNSET
        else:
            content = self.content

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "id": id,
                "conversationId": conversation_id,
                "version": version,
                "sentAt": sent_at,
                "options": options,
            }
        )
        if author is not UNSET:
            field_dict["author"] = author
        if client_message_id is not UNSET:
            field_dict["clientMessageId"] = client_message_id
        if content is not UNSET:
            field_dict["content"] = content

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.author import Author  # noqa: PLC0415
        from ..models.option import Option  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["Options"], d.pop("type"))
        if type_ != "Options":
            raise ValueError(f"type must match const 'Options', got '{type_}'")

        id = d.pop("id")

        conversation_id = d.pop("conversationId")

        version = d.pop("version")

        sent_at = datetime.datetime.fromisoformat(d.pop("sentAt"))

        options = []
        _options = d.pop("options")
        for options_item_data in _options:
            options_item = Option.from_dict(options_item_data)

            options.append(options_item)

        def _parse_author(data: object) -> Author | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, dict):
                    raise TypeError()
                author_type_0 = Author.from_dict(data)

                return author_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(Author | None | Unset, data)

        author = _parse_author(d.pop("author", UNSET))

        def _parse_client_message_id(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        client_message_id = _parse_client_message_id(d.pop("clientMessageId", UNSET))

        def _parse_content(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        content = _parse_content(d.pop("content", UNSET))

        options_message = cls(
            type_=type_,
            id=id,
            conversation_id=conversation_id,
            version=version,
            sent_at=sent_at,
            options=options,
            author=author,
            client_message_id=client_message_id,
            content=content,
        )

        return options_message
