"""Keep secrets and people's words out of the `repr` of generated classes, which would carry them into any log.

A schema marked `x-private: true` gets Python's plain `repr` instead of one that prints every field.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pipeline.document import FORM, Object, child, operations, text
from pipeline.naming import class_name, module_name
from pipeline.problems import PipelineError

MARK = "x-private"
# What the generator calls a body after where an operation takes several kinds.
BODIES = {FORM: "data", "multipart/form-data": "files"}
SHOWN, HIDDEN = "\n@_attrs_define\nclass ", "\n@_attrs_define(repr=False)\nclass "


def private_classes(document: Object) -> Iterator[str]:
    """Yield the class of every marked schema: the shared ones, then bodies written inside an operation."""
    for name, schema in child(document, "components", "schemas").items():
        if child(schema).get(MARK) is True:
            yield class_name(name)
    for _, _, operation in operations(document):
        content = child(operation, "requestBody", "content")
        for media_type, media in content.items():
            if child(media, "schema").get(MARK) is True:
                kind = f"_{BODIES.get(media_type, 'json')}" if len(content) > 1 else ""
                yield class_name(f"{text(operation, 'operationId')}{kind}_body")


def hide(document: Object, package: Path) -> None:
    """Change the marked classes of a generated package. Raises `PipelineError` when one has no class."""
    for name in private_classes(document):
        path = package / "models" / f"{module_name(name)}.py"
        source = path.read_text(encoding="utf-8") if path.is_file() else ""
        if source.count(SHOWN) != 1:
            told = f"models/{path.name} is not the one class that {MARK} asks for: correct the {MARK} of {name}"
            raise PipelineError(f"{told} in openapi/overlay.yaml.")
        path.write_text(source.replace(SHOWN, HIDDEN), encoding="utf-8", newline="\n")
