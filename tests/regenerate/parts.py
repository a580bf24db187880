"""Parts of documents, and changes of them, that several tests make."""

from __future__ import annotations

from typing import Any

from pipeline.document import Object

Document = dict[str, Any]
STRING: Object = {"type": "string"}


def reference(name: str) -> Object:
    """Give a reference to a shared schema."""
    return {"$ref": f"#/components/schemas/{name}"}


def schema(document: Document, name: str) -> Document:
    """Give a shared schema."""
    found: Document = document["components"]["schemas"][name]
    return found


def fields(document: Document, name: str) -> Document:
    """Give the members of a shared schema."""
    found: Document = schema(document, name)["properties"]
    return found


def rename(mapping: Document, old: str, new: str) -> None:
    """Rename a key where it stands."""
    items = [(new if key == old else key, value) for key, value in mapping.items()]
    mapping.clear()
    mapping.update(items)
