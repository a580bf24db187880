"""Count what the generator made against what the document says: it drops things and ends well."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline.document import Object, child, items, operations
from pipeline.naming import class_name, operation_module
from pipeline.walk import MANY, SHARED, kinds, made_of

# What the generator says of an operation: which one, and why.
WARNING = re.compile(r"WARNING parsing ([A-Z]+ \S+) within [^.]*\.(?: Endpoint will not be generated\.)? ?(.*)")


def lost_parts(document: Object, package: Path, warnings: list[str]) -> tuple[str, ...]:
    """Return a sentence for each operation, answer, argument, class, property and member that has nothing generated.

    A warning of the generator is the reason of what was counted as lost, or a sentence of its own.
    """
    lost = dict.fromkeys([*_lost_of_operations(document, package), *_lost_of_schemas(document, package)], "")
    for warning in warnings:
        found = WARNING.match(warning)
        about = [one for one in lost if found and not lost[one] and re.match(f"{re.escape(found[1])}( |:)", one)]
        if found and about:
            lost[about[0]] = f" ({found[2].rstrip(' .')})"
        else:
            lost[f"the generator says: {warning.rstrip(' .')}"] = ""
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
    wanted: set[str] = set()
    for path, method, operation in operations(document):
        label, module = f"{method.upper()} {path}", operation_module(operation)
        wanted.add(module)
        source = package / "api" / f"{module}.py"
        if not source.is_file():
            yield f"{label} is not in the client"
            continue
        code = source.read_text(encoding="utf-8")
        read = _statuses(code)
        yield from (
            f"{label}: the answer {one} is not read" for one in child(operation, "responses") if one not in read
        )
        told = len(items(operation.get("parameters"))) + bool(child(operation, "requestBody", "content"))
        if told != (taken := _arguments(code)):
            yield f"{label}: of {told} parameters and body the client takes {taken}"
    for source in sorted(package.glob("api/*/*.py")):
        module = source.relative_to(package / "api").with_suffix("").as_posix()
        if source.name != "__init__.py" and module not in wanted:
            yield f"api/{module}.py belongs to no operation of the document"


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
    made = dict(_made_classes(package))
    for name, schema in child(document, *SHARED).items():
        for place, wanted, part in _classes(child(schema), class_name(name), name):
            if wanted not in made:
                yield f"the schema {place} has no class {wanted}"
                continue
            members = [str(value) for value in items(part.get("enum")) if value is not None]
            properties = [name for one in made_of(document, part, "allOf") for name in child(one, "properties")]
            for one in [*members, *properties]:
                if one not in made[wanted]:
                    yield f"the schema {place} lost `{one}`: its class {wanted} does not have it"


def _classes(schema: Object, wanted: str, place: str) -> Iterator[tuple[str, str, Object]]:
    """Yield the classes that the generator makes of a shared schema: of it, and of what is written inside it."""
    types = kinds(schema)
    if "enum" in schema and ("string" in types or "integer" in types):
        yield place, class_name(f"{wanted}_type_1") if "null" in types else wanted, schema
    elif ("object" in types and "properties" in schema) or len(items(schema.get("allOf"))) > 1:
        wanted = class_name(f"{wanted}_type_{types.index('object')}") if "null" in types else wanted
        yield place, wanted, schema
    inside = {f"{place}.{name}": (name, one) for name, one in child(schema, "properties").items()}
    if "array" in types and "null" not in types:
        inside[f"{place}[]"] = ("item", schema.get("items"))
    for inner_place, (name, one) in inside.items():
        inner = child(one)
        if "title" not in inner and not any(union in inner for union in MANY):
            yield from _classes(inner, class_name(f"{wanted}_{name}"), inner_place)


def _made_classes(package: Path) -> Iterator[tuple[str, frozenset[str]]]:
    for path in package.glob("models/*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                yield node.name, frozenset(_strings(node))


def _strings(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str | int):
            yield str(one.value)
        elif isinstance(one, ast.UnaryOp):
            yield ast.unparse(one)
