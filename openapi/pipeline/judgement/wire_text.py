"""Read of the text of the facade's wire layer what no type tells: its table, its strings, what it imports and names."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from pipeline.judgement.uses import Place, Row, Use
from pipeline.layout import PACKAGE

MODELS = f"{PACKAGE}.models"


def imports(trees: dict[str, ast.Module]) -> Iterator[tuple[str, Place]]:
    """Yield what is imported of the client, each with its line: a module, or what one holds."""
    for file, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE:
                for alias in node.names:
                    yield f"{node.module}.{alias.name}", Place(file, alias.lineno)


def classes(trees: dict[str, ast.Module]) -> Iterator[Use]:
    """Yield where a generated class is named, be it only to ask whether a value is one."""
    for file, tree in trees.items():
        known = {
            alias.asname or alias.name: f"{node.module}.{alias.name}"
            for node in tree.body
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute | ast.Name) and (name := _class(node, known)):
                yield Use(name, name, "class", Place(file, node.lineno))


def _class(node: ast.Attribute | ast.Name, known: dict[str, str]) -> str:
    full = known.get(node.id, "") if isinstance(node, ast.Name) else f"{known.get(_name(node.value))}.{node.attr}"
    module, _, name = full.rpartition(".")
    return name if module == MODELS else ""


def rows(trees: dict[str, ast.Module]) -> Iterator[tuple[str, Row]]:
    """Yield the rows of the table, each with the name that the program gives it."""
    calls = [(file, node) for file, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.Call)]
    given = _parameters(node for _, node in calls)
    for file, tree in trees.items():
        for statement in tree.body:
            call = statement.value if isinstance(statement, ast.Assign) else None
            if isinstance(statement, ast.Assign) and isinstance(call, ast.Call) and _name(call.func) == "Operation":
                constant, place = _name(statement.targets[0]), Place(file, statement.lineno)
                operation, used_by = _argument(call, 0, "name"), _argument(call, 2, "used_by")
                host = _argument(call, 5, "host") or "communication"
                yield constant, Row(operation, used_by, place, frozenset(given.get(constant, ())), host=host)


def _argument(call: ast.Call, position: int, name: str) -> str:
    values = [*call.args[position : position + 1], *(one.value for one in call.keywords if one.arg == name)]
    return next(map(_text, values), "")


def _parameters(calls: Iterator[ast.Call]) -> dict[str, set[str]]:
    given: dict[str, set[str]] = {}
    for call in calls:
        if _name(call.func) == "_request" and call.args:
            names = {keyword.arg for keyword in call.keywords if keyword.arg}
            given.setdefault(_name(call.args[0]), set()).update(names)
    return given


def scopes(trees: dict[str, ast.Module], rows: dict[str, Row]) -> Iterator[tuple[Place, frozenset[str]]]:
    """Yield for each line the operations that its statement serves: those that it names, and those of its callers."""
    parts = [(file, part, _names_in(part)) for file, tree in trees.items() for part in tree.body]
    serves = {constant: _reached({constant}, parts) for constant in rows}
    for file, part, inside in parts:
        operations = frozenset(
            row.operation for constant, row in rows.items() if constant in inside or serves[constant] & _defined(part)
        )
        for line in range(part.lineno, (part.end_lineno or part.lineno) + 1):
            yield Place(file, line), operations


def _reached(names: set[str], parts: list[tuple[str, ast.stmt, set[str]]]) -> set[str]:
    """Return what the statements that use one of the names define and use, and so on."""
    known = {name for _, part, _ in parts for name in _defined(part)}
    users = [part for _, part, inside in parts if names & inside and isinstance(part, ast.FunctionDef)]
    found: set[str] = set()
    todo = {name for part in users for name in _defined(part)}
    while todo:
        found |= todo
        todo = {name for _, part, inside in parts if _defined(part) & todo for name in inside & known} - found
    return found


def _names_in(part: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}


def _defined(part: ast.stmt) -> set[str]:
    if isinstance(part, ast.FunctionDef | ast.ClassDef):
        return {part.name}
    targets = part.targets if isinstance(part, ast.Assign) else [part.target] if isinstance(part, ast.AnnAssign) else []
    return {name for target in targets if (name := _name(target))}


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def strings(trees: dict[str, ast.Module]) -> dict[str, tuple[Place, ...]]:
    """Return every string of the code, docstrings left out: what is read by its name on the wire stands there."""
    found: dict[str, tuple[Place, ...]] = {}
    for file, tree in trees.items():
        words = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in words:
                found[node.value] = (*found.get(node.value, ()), Place(file, node.lineno))
    return found


def keys(trees: dict[str, ast.Module]) -> dict[str, tuple[Place, ...]]:
    """Return every string that something is looked up with: given to a call, or between brackets."""
    found: dict[str, tuple[Place, ...]] = {}
    for file, tree in trees.items():
        for node in ast.walk(tree):
            given = node.args if isinstance(node, ast.Call) else [node.slice] if isinstance(node, ast.Subscript) else []
            for one in given:
                if word := _text(one):
                    found[word] = (*found.get(word, ()), Place(file, one.lineno))
    return found
