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


T = TypeVar("T", bound="TextMessage")


@_attrs_define(repr=False)
class TextMessage:
    """
    Attributes:
        type_ (Literal['Text']):
        id (str):
        conversation_id (str):
        version (int):
        sent_at (datetime.datetime):
        content (str):
        author (Author | None | Unset):
        client_message_id (None | str | Unset):
    """

    type_: Literal["Text"]
    id: str
    conversation_id: str
    version: int
    sent_at: datetime.datetime
    content: str
    author: Author | None | Unset = UNSET
    client_message_id: None | str | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.author import Author  # noqa: PLC0415

        type_ = self.type_

        id = self.id

        conversation_id = self.conversation_id

        version = self.version

        sent_at = self.sent_at.isoformat()

        content = self.content

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

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "id": id,
                "conversationId": conversation_id,
                "version": version,
                "sentAt": sent_at,
                "content": content,
            }
        )
        if author is not UNSET:
            field_dict["author"] = author
        if client_message_id is not UNSET:
            field_dict["clientMessageId"] = client_message_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.author import Author  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["Text"], d.pop("type"))
        if type_ != "Text":
            raise ValueError(f"type must match const 'Text', got '{type_}'")

        id = d.pop("id")

        conversation_id = d.pop("conversationId")

        version = d.pop("version")

        sent_at = datetime.datetime.fromisoformat(d.pop("sentAt"))

        content = d.pop("content")

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

        text_message = cls(
            type_=type_,
            id=id,
            conversation_id=conversation_id,
            version=version,
            sent_at=sent_at,
            content=content,
            author=author,
            client_message_id=client_message_id,
        )

        return text_message
