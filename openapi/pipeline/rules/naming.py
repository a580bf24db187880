"""Give names that stay apart: the generator makes identifiers of them, and the last of two equal ones wins."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from openapi_python_client.strings import ClassName, PythonIdentifier, snake_case

from pipeline.document import Object, items, text

# What the generator puts before a name that Python would not take; the defaults of its version 0.29.
TAG_PREFIX, FIELD_PREFIX = "tag", "field_"
# What generated modules import or define, so that a class of the same name would take its place.
TAKEN = re.compile(
    "Any|AuthenticatedClient|BinaryIO|BytesIO|Client|File|FileTypes|Generator|HTTPStatus|IntEnum|Literal|Mapping|"
    "Response|StrEnum|T|TextIO|TypeVar|UNSET|UUID|Unset"
)
PLAIN_NAME = re.compile(r"[A-Za-z0-9._-]+")


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


def readable(name: str) -> str:
    """Return a plain name for a schema that .NET named: ``Page`1[[Acme.Thing, Acme]]`` is `PageOfThing`."""
    outer, *inner = re.split(r"\[+|<", name)
    last = [re.split(r"[.+]", re.sub(r"`\d+", "", part).split(",")[0].strip("[]<> "))[-1] for part in (outer, *inner)]
    words = [re.sub(r"\W", "", word) for word in last]
    return "Of".join(word for word in words if word) or "Schema"
