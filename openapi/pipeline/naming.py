"""The names that the generator makes, so that they can be kept apart: the last of two equal ones wins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from openapi_python_client.strings import ClassName, PythonIdentifier, snake_case

from pipeline.document import Json, Object, items, text

# What the generator puts before a name that Python would not take; the defaults of its version 0.29.
TAG_PREFIX, FIELD_PREFIX = "tag", "field_"
# Where a document gives the members of an enumeration their names.
NAMES = "x-enum-varnames"
RAW = "x-raw"
"""Marks a schema that the client gets as it came: somebody reads it by hand, one item at a time."""
DEFAULT = "x-default"
"""What the service takes where nothing is said."""


def class_name(name: str) -> str:
    """Return the class that the generator makes of a schema's name."""
    return str(ClassName(name, FIELD_PREFIX))


def identifier(name: str) -> str:
    """Return the attribute or argument that the generator makes of a name."""
    return str(PythonIdentifier(name, FIELD_PREFIX))


def free_name(wanted: str, taken: Iterable[str], same: Callable[[str], str] = str) -> str:
    """Return the name, with the first number from 2 on that sets it apart where it is taken."""
    used = {same(name) for name in taken}
    number, name = 1, wanted
    while same(name) in used:
        number += 1
        name = f"{wanted}{number}"
    return name


def module_name(name: str) -> str:
    """Return the file that the generator writes a schema to; two classes in one file are one too many."""
    return str(snake_case(class_name(name)))


def operation_module(operation: Object) -> str:
    """Return `tag/module`, the file that the generator writes an operation to."""
    tags = items(operation.get("tags")) or ["default"]
    tag = PythonIdentifier(str(tags[0]), TAG_PREFIX)
    return f"{tag}/{identifier(text(operation, 'operationId'))}"


def labels_of(values: Sequence[Json]) -> Iterator[str]:
    """Yield what the generator makes the names of members from where none are given."""
    for index, value in enumerate(values):
        word = str(value)
        yield word.upper() if word[:1].isalpha() else f"VALUE_{index}"


def member_name(label: str) -> str:
    """Return the name of a member that the generator makes of a label."""
    return str(snake_case(label)).upper()
