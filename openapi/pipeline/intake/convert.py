"""Bring a Swagger 2.0 document to OpenAPI 3.0, with the converter that everybody uses."""

from __future__ import annotations

import tempfile
from pathlib import Path

from pipeline.document import Object, dump, edit_operations, parse
from pipeline.layout import Layout
from pipeline.problems import PipelineError
from pipeline.tools import CONVERTER, ToolFailed, ToolsMissing, run_tool

# What stands beside a reference, as x-nullable does, is taken away unless it is to be preserved.
OPTIONS = ("--patch", "--refSiblings", "preserve", "--targetVersion", "3.0.3")


def is_swagger_2(document: Object) -> bool:
    """Whether a document is written in the version before OpenAPI."""
    return str(document.get("swagger", "")).startswith("2")


def to_openapi(layout: Layout, document: Object) -> Object:
    """Return a Swagger 2.0 document as OpenAPI 3.0.

    Raises `ToolsMissing` when the converter is not to be had here, and `PipelineError` when it refuses the document.
    """
    with tempfile.TemporaryDirectory(prefix="puzzel-chat-") as folder:
        before, after = Path(folder) / "swagger.json", Path(folder) / "openapi.json"
        before.write_bytes(dump(edit_operations(document, _with_parameters)))
        try:
            run_tool(layout, CONVERTER, *OPTIONS, "--outfile", str(after), str(before))
        except ToolFailed as error:
            told = str(error).replace(folder, "")
            raise PipelineError(f"This Swagger 2.0 document cannot be converted ({told}): give OpenAPI 3.") from error
        except ToolsMissing as error:
            raise ToolsMissing(f"This is Swagger 2.0, which must be converted. {error}") from error
        if not after.is_file():
            raise PipelineError("This Swagger 2.0 document came to nothing when it was converted: give OpenAPI 3.")
        return parse(after.read_bytes(), after)


def _with_parameters(_label: str, operation: Object) -> Object:
    """Return an operation with a list of parameters, which the converter wants before it adds a body of the path's."""
    return operation if "parameters" in operation else {**operation, "parameters": []}
