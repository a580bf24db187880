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


T = TypeVar("T", bound="FileMessage")


@_attrs_define
class FileMessage:
    """
    Attributes:
        type_ (Literal['File']):
        id (str):
        conversation_id (str):
        version (int):
        sent_at (datetime.datetime):
        file_name (str):
        url (str):
        author (Author | None | Unset):
        client_message_id (None | str | Unset):
        content_type (None | str | Unset):
        size (int | None | Unset):
    """

    type_: Literal["File"]
    id: str
    conversation_id: str
    version: int
    sent_at: datetime.datetime
    file_name: str
    url: str
    author: Author | None | Unset = UNSET
    client_message_id: None | str | Unset = UNSET
    content_type: None | str | Unset = UNSET
    size: int | None | Unset = UNSET

    def to_dict(self) -> dict[str, Any]:
        from ..models.author import Author  # noqa: PLC0415

        type_ = self.type_

        id = self.id

        conversation_id = self.conversation_id

        version = self.version

        sent_at = self.sent_at.isoformat()

        file_name = self.file_name

        url = self.url

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

        content_type: None | str | Unset
        if isinstance(self.content_type, Unset):
            content_type = UNSET
        else:
            content_type = self.content_type

        size: int | None | Unset
        if isinstance(self.size, Unset):
            size = UNSET
        else:
            size = self.size

        field_dict: dict[str, Any] = {}

        field_dict.update(
            {
                "type": type_,
                "id": id,
                "conversationId": conversation_id,
                "version": version,
                "sentAt": sent_at,
                "fileName": file_name,
                "url": url,
            }
        )
        if author is not UNSET:
            field_dict["author"] = author
        if client_message_id is not UNSET:
            field_dict["clientMessageId"] = client_message_id
        if content_type is not UNSET:
            field_dict["contentType"] = content_type
        if size is not UNSET:
            field_dict["size"] = size

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        from ..models.author import Author  # noqa: PLC0415

        d = dict(src_dict)
        type_ = cast(Literal["File"], d.pop("type"))
        if type_ != "File":
            raise ValueError(f"type must match const 'File', got '{type_}'")

        id = d.pop("id")

        conversation_id = d.pop("conversationId")

        version = d.pop("version")

        sent_at = datetime.datetime.fromisoformat(d.pop("sentAt"))

        file_name = d.pop("fileName")

        url = d.pop("url")

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

        def _parse_content_type(data: object) -> None | str | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(None | str | Unset, data)

        content_type = _parse_content_type(d.pop("contentType", UNSET))

        def _parse_size(data: object) -> int | None | Unset:
            if data is None:
                return data
            if isinstance(data, Unset):
                return data
            return cast(int | None | Unset, data)

        size = _parse_size(d.pop("size", UNSET))

        file_message = cls(
            type_=type_,
            id=id,
            conversation_id=conversation_id,
            version=version,
            sent_at=sent_at,
            file_name=file_name,
            url=url,
            author=author,
            client_message_id=client_message_id,
            content_type=content_type,
            size=size,
        )

        return file_message
