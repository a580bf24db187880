"""Count what the generator made against what the document says: it drops things and ends well."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.document import Object, child, items, operations
from pipeline.naming import class_name, module_name, operation_module
from pipeline.walk import SHARED, kinds, made_of

# What the generator says of an operation: which one, and why.
WARNING = re.compile(r"WARNING parsing ([A-Z]+ \S+) within [^.]*\.(?: Endpoint will not be generated\.)? ?(.*)")


def lost_parts(document: Object, package: Path, warnings: list[str]) -> tuple[str, ...]:
    """Return a sentence for each operation, answer, argument, class, property and member that has nothing generated.

    A warning of the generator is the reason of what was counted as lost, or a sentence of its own.
    """
    lost = dict.fromkeys([*_lost_of_operations(document, package), *_lost_of_schemas(document, package)], "")
    for warning in warnings:
        label, why = found.groups() if (found := WARNING.match(warning)) else ("", "")
        about = [one for one in lost if label and not lost[one] and one.startswith((f"{label} ", f"{label}:"))]
        one = about[0] if about else f"the generator says: {warning.rstrip(' .')}"
        lost[one] = f" ({why.rstrip(' .')})" if about else ""
    return tuple(f"{sentence}{reason}" for sentence, reason in lost.items())


def read_warnings(output: str) -> list[str]:
    """Return the warnings of a run of the generator, each in one line, without the excerpts of the document."""
    _, _, told = output.partition("some pieces may be missing")
    told, _, _ = told.partition("If you believe this was a mistake")
    told = re.sub(r"^\{$.*?^\}$|^\{\}$", "", told, flags=re.MULTILINE | re.DOTALL)
    # The generator prints some names as objects, with an address that is another one each time.
    told = re.sub(r"<[\w.]+ object at 0x[0-9a-f]+>", "it", told)
    blocks = [" ".join(block.split()) for block in re.split(r"\n\s*\n\s*\n", told)]
    return [block for block in blocks if block]


def _lost_of_operations(document: Object, package: Path) -> Iterator[str]:
    for path, method, operation in operations(document):
        label, source = f"{method.upper()} {path}", package / "api" / f"{operation_module(operation)}.py"
        if not source.is_file():
            yield f"{label} is not in the client"
            continue
        code = source.read_text(encoding="utf-8")
        unread = set(child(operation, "responses")) - _statuses(code)
        yield from (f"{label}: the answer {status} is not read" for status in sorted(unread))
        told = len(items(operation.get("parameters"))) + bool(child(operation, "requestBody", "content"))
        if told != (taken := _arguments(code)):
            yield f"{label}: of {told} parameters and body the client takes {taken}"


def _statuses(code: str) -> set[str]:
    """Return the statuses that the module of an operation reads, as the document spells them."""
    ranges = {f"{digit}XX" for digit in re.findall(r"if (\d)00 <= response.status_code", code)}
    default = set() if "if client.raise_on_unexpected_status" in code else {"default"}
    return {*re.findall(r"if response.status_code == (\d+)", code), *ranges, *default}


def _arguments(code: str) -> int:
    functions = {node.name: node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}
    taken = functions["_get_kwargs"].args
    return len([*taken.args, *taken.kwonlyargs])


def _lost_of_schemas(document: Object, package: Path) -> Iterator[str]:
    """Yield the shared schemas without a class, and what their classes do not have; inner ones the generator tells."""
    for name, schema in child(document, *SHARED).items():
        parts = [child(schema), *made_of(document, schema, "allOf")]
        properties = [key for part in parts for key in child(part, "properties")]
        members = [str(value) for value in items(child(schema).get("enum")) if value is not None]
        if kinds(child(schema)) not in (["object"], ["string"], ["integer"]) or not (properties or members):
            continue
        source = package / "models" / f"{module_name(name)}.py"
        made = set(_strings(source.read_text(encoding="utf-8"))) if source.is_file() else set()
        if not made:
            yield f"the schema {name} has no class {class_name(name)}"
        elif gone := [f"`{one}`" for one in dict.fromkeys([*members, *properties]) if one not in made]:
            yield f"the schema {name} lost {', '.join(gone)}: its class {class_name(name)} does not have it"


def _strings(code: str) -> Iterator[str]:
    for one in ast.walk(ast.parse(code)):
        if isinstance(one, ast.Constant) and isinstance(one.value, str | int):
            yield str(one.value)
        elif isinstance(one, ast.UnaryOp):
            yield ast.unparse(one)
