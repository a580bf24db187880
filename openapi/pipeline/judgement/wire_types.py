"""Find out what the facade takes from the generated client: with the type checker's eyes, line by line.

A plugin of mypy is asked about every attribute and every call whose owner is a generated class, so what it records is
what the program does, not what a pattern in its text looks like. Run on a client that the facade does not fit, the
same pass gives the type checker's errors.
"""

from __future__ import annotations

import ast
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from mypy.build import State, build
from mypy.errors import CompileError
from mypy.modulefinder import BuildSource
from mypy.options import Options
from mypy.plugin import AttributeContext, FunctionContext, Plugin
from mypy.types import Type

from pipeline.judgement.uses import How, Place, Use, Uses
from pipeline.judgement.wire_text import MODELS, classes, imports, keys, rows, scopes, strings
from pipeline.layout import Layout
from pipeline.problems import PipelineError

WIRE = "puzzel_chat._wire"
ERROR = re.compile(r"^(?P<path>[^:]+):(?P<line>\d+)(?::\d+)?: error: (?P<message>.*?)(?:  \[[\w-]+\])?$")


def read_uses(layout: Layout, generated: Path) -> Uses:
    """Read what the facade's wire layer does with the client below `generated`; without a facade there is nothing.

    Raises `PipelineError` when a file of the facade is not Python.
    """
    files = sorted(layout.wire.glob("*.py"))
    if not files:
        return Uses((), ())
    options = _options(layout, generated)
    plugin = _Recorder(options)
    try:
        result = build([BuildSource(str(path), _module(path)) for path in files], options, extra_plugins=[plugin])
    except CompileError as error:
        told = error.messages[0]
        raise PipelineError(f"The type checker cannot read {told}: correct that file, or restore it.") from error
    trees = {layout.short(path): ast.parse(path.read_bytes()) for path in files}
    table, imported = dict(rows(trees)), dict(imports(trees))
    found = {*plugin.found(layout), *classes(trees)}
    return Uses(
        rows=tuple(table.values()),
        uses=tuple(sorted(found, key=lambda use: (use.place, use.owner, use.name, use.how))),
        imports=imported,
        strings=strings(trees),
        keys=keys(trees),
        scopes=dict(scopes(trees, table)),
        errors=tuple(dict.fromkeys([*_absent(result.graph, imported, generated), *_errors(result.errors, layout)])),
    )


def _module(path: Path) -> str:
    return WIRE if path.stem == "__init__" else f"{WIRE}.{path.stem}"


def _options(layout: Layout, generated: Path) -> Options:
    options = Options()
    options.incremental, options.cache_dir = False, os.devnull
    options.mypy_path = [str(layout.facade), str(generated)]
    options.python_executable = sys.executable
    options.namespace_packages = options.explicit_package_bases = True
    options.follow_imports = "silent"
    options.strict_equality = options.warn_return_any = True
    options.implicit_reexport = False
    return options


class _Recorder(Plugin):
    """Answers every question of mypy with what mypy thought, and writes down what it was asked about."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._seen: set[tuple[str, str, How, str, int, int, bool]] = set()
        self._readers: dict[tuple[str, int, int], str] = {}

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        return self._attribute(fullname, "read") if fullname.startswith(f"{MODELS}.") else None

    def get_class_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        return self._attribute(fullname, "member") if fullname.startswith(f"{MODELS}.") else None

    def _attribute(self, fullname: str, how: How) -> Callable[[AttributeContext], Type]:
        owner, name = fullname.rsplit(".", 2)[-2:]

        def record(context: AttributeContext) -> Type:
            at = context.context
            self._seen.add((owner, name, how, context.api.path, at.line, at.column, True))
            return context.default_attr_type

        return record

    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        if fullname.startswith(f"{MODELS}."):
            return self._construction(fullname.rsplit(".", 1)[-1])
        return self._reading(fullname.rsplit(".", 1)[-1]) if fullname.startswith(f"{WIRE}.") else None

    def _construction(self, owner: str) -> Callable[[FunctionContext], Type]:
        def record(context: FunctionContext) -> Type:
            path = context.api.path
            for name, types, values in zip(context.callee_arg_names, context.arg_types, context.args, strict=True):
                for given, value in zip(types, values, strict=True):
                    always = "Unset" not in str(given)
                    self._seen.add((owner, name or "", "write", path, value.line, value.column, always))
            return context.default_return_type

        return record

    def _reading(self, function: str) -> Callable[[FunctionContext], Type]:
        def record(context: FunctionContext) -> Type:
            for value in (one for values in context.args for one in values):
                self._readers[context.api.path, value.line, value.column] = function
            return context.default_return_type

        return record

    def found(self, layout: Layout) -> Iterator[Use]:
        """Yield what was written down about the wire layer."""
        for owner, name, how, path, line, column, always in self._seen:
            if Path(path).is_relative_to(layout.wire):
                place = Place(layout.short(Path(path)), line)
                yield Use(owner, name, how, place, self._readers.get((path, line, column), ""), always)


def _absent(graph: dict[str, State], imports: dict[str, Place], generated: Path) -> Iterator[tuple[Place, str]]:
    # Beside the client that is looked at, the type checker finds the one that is installed here.
    for module, place in imports.items():
        state = graph.get(module) or graph.get(module.rpartition(".")[0])
        if state and state.path and not Path(state.path).is_relative_to(generated):
            yield place, f"there is no module {state.id} in the client"


def _errors(messages: list[str], layout: Layout) -> Iterator[tuple[Place, str]]:
    for message in messages:
        match = ERROR.match(message)
        if match:
            yield Place(layout.short(Path.cwd() / match["path"]), int(match["line"])), match["message"]
