"""Keep secrets and people's words out of the `repr` of generated classes.

The generator prints every field, so a token would end up in any log line or traceback that shows its object.
A schema marked `x-private: true` gets Python's plain `repr` instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from openapi_python_client.strings import ClassName, PythonIdentifier

from pipeline.document import Object, child, operations, text
from pipeline.problems import PipelineError
from pipeline.validate import FIELD_PREFIX

MARK = "x-private"
SHOWN, HIDDEN = "\n@_attrs_define\nclass ", "\n@_attrs_define(repr=False)\nclass "


def private_classes(document: Object) -> Iterator[str]:
    """Yield the class of every marked schema: the shared ones, then bodies written inside an operation."""
    for name, schema in child(document, "components", "schemas").items():
        if child(schema).get(MARK) is True:
            yield ClassName(name, FIELD_PREFIX)
    for _, _, operation in operations(document):
        for media in child(operation, "requestBody", "content").values():
            if child(media, "schema").get(MARK) is True:
                yield ClassName(f"{text(operation, 'operationId')}_body", FIELD_PREFIX)


def hide(document: Object, package: Path) -> None:
    """Change the marked classes of a generated package. Raises `PipelineError` when one has no class."""
    for name in private_classes(document):
        path = package / "models" / f"{PythonIdentifier(name, FIELD_PREFIX)}.py"
        source = path.read_text(encoding="utf-8") if path.is_file() else ""
        if source.count(SHOWN) != 1:
            raise PipelineError(
                f"models/{path.name} is not the one class that {MARK} asks for: "
                f"correct the {MARK} of {name} in openapi/overlay.yaml."
            )
        path.write_text(source.replace(SHOWN, HIDDEN), encoding="utf-8", newline="\n")
