"""Read YAML 1.2 as JSON would carry it: keys and dates as they are written, no object twice, no endless aliases."""

from __future__ import annotations

from typing import cast

from ruamel.yaml import YAML
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from pipeline.document import Json, Object
from pipeline.problems import PipelineError, brief

TAG = "tag:yaml.org,2002:"
MOST = 1_000_000  # values after all aliases are followed; the largest public documents have about a tenth
# Versions are strings even where somebody forgot the quotes.
VERSIONS = (("openapi",), ("swagger",), ("info", "version"))


def read_yaml(text: str, name: str) -> Json:
    """Return the value of one YAML document. Raises `PipelineError`, with line and column, when it is none."""
    try:
        # The library leaves the type of its streams open.
        node = cast("Node | None", YAML(typ="safe", pure=True).compose(text))  # pyright: ignore[reportUnknownMemberType]
        return _Reader(name).value(node, ())
    except PipelineError:
        raise
    except RecursionError:
        raise PipelineError(f"{name} is nested too deeply to be read: give a flatter one.") from None
    except Exception as error:  # The library itself breaks on some texts, each time in another way.
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        why = brief(str(getattr(error, "problem", None) or type(error).__name__))
        raise PipelineError(f"{name} is not YAML{where} ({why}): correct it, or give another file.") from None


class _Reader:
    """Turns nodes into values, and counts them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._left = MOST

    def value(self, node: Node | None, keys: tuple[str, ...]) -> Json:
        self._left -= 1
        if self._left < 0:
            raise PipelineError(f"{self._name} has aliases that make it endless: write them out.")
        if isinstance(node, MappingNode):
            return self._object(node, keys)
        if isinstance(node, SequenceNode):
            return [self.value(item, (*keys, "")) for item in node.value]
        if isinstance(node, ScalarNode):
            return str(node.value) if keys in VERSIONS else self._scalar(node)
        return None

    def _object(self, node: MappingNode, keys: tuple[str, ...]) -> Object:
        found: Object = {}
        merged: Object = {}
        for key, item in node.value:
            if not isinstance(key, ScalarNode):
                raise self._error(key, "has a key that is no text", "write it as a string")
            if key.value in found:
                raise self._error(key, f"has the key {brief(key.value)} twice", "remove one")
            if key.tag == f"{TAG}merge":
                merged = {**self._merged(item, keys), **merged}
            else:
                found[key.value] = self.value(item, (*keys, key.value))
        return {**merged, **found}

    def _merged(self, node: Node, keys: tuple[str, ...]) -> Object:
        value = self.value(node, keys)
        parts = value if isinstance(value, list) else [value]
        return {key: item for part in reversed(parts) if isinstance(part, dict) for key, item in part.items()}

    def _scalar(self, node: ScalarNode) -> Json:
        kind, text = str(node.tag).removeprefix(TAG), str(node.value)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return int(text.replace("_", ""), {"0o": 8, "0x": 16, "0b": 2}.get(text.lstrip("+-")[:2], 10))
        if kind == "float" and text.lower()[-3:] not in ("inf", "nan"):
            return float(text.replace("_", ""))
        return text

    def _error(self, node: Node, what: str, step: str) -> PipelineError:
        mark = node.start_mark
        return PipelineError(f"{self._name} {what} at line {mark.line + 1}, column {mark.column + 1}: {step}.")
