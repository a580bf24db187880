"""Count what the generator made against what the document says: it drops things and ends well."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.document import Object, child, items, operations
from pipeline.naming import operation_module

# What the generator says of an operation: which one, and why.
WARNING = re.compile(r"WARNING parsing ([A-Z]+ \S+) within [^.]*\.(?: Endpoint will not be generated\.)? ?(.*)")


def lost_parts(document: Object, package: Path, warnings: list[str]) -> tuple[str, ...]:
    """Return a sentence for each operation, answer and argument that has nothing generated.

    A warning of the generator is the reason of what was counted as lost, or a sentence of its own: of a class, always.
    """
    lost = dict.fromkeys(_missing(document, package), "")
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


def _missing(document: Object, package: Path) -> Iterator[str]:
    for path, method, operation in operations(document):
        label, source = f"{method.upper()} {path}", package / "api" / f"{operation_module(operation)}.py"
        if not source.is_file():
            yield f"{label} is not in the client"
            continue
        code = source.read_text(encoding="utf-8")
        read = _statuses(code)
        yield from (
            f"{label}: the answer {one} is not read" for one in child(operation, "responses") if one not in read
        )
        told = len(items(operation.get("parameters"))) + bool(child(operation, "requestBody", "content"))
        [built] = [one for one in ast.parse(code).body if getattr(one, "name", "") == "_get_kwargs"]
        taken = sum(isinstance(one, ast.arg) for one in ast.walk(built))
        if told != taken:
            yield f"{label}: of {told} parameters and body the client takes {taken}"


def _statuses(code: str) -> set[str]:
    """Return the statuses that the module of an operation reads, as the document spells them."""
    ranges = {f"{digit}XX" for digit in re.findall(r"if (\d)00 <= response.status_code", code)}
    default = set() if "if client.raise_on_unexpected_status" in code else {"default"}
    return {*re.findall(r"if response.status_code == (\d+)", code), *ranges, *default}
