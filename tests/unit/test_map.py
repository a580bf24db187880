"""The map of the house, `facade/README.md`, is true: what it mentions is there, and every module is on it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

FACADE = Path(__file__).parents[2] / "facade"
HOUSE = FACADE / "puzzel_chat"
MAP = (FACADE / "README.md").read_text(encoding="utf-8")
MENTIONED = re.findall(r"`([^`]+)`", MAP)
MODULES = sorted(HOUSE.rglob("*.py"))
FILES = {path.name for path in MODULES}
OTHERS = {"by", "puzzel_chat", "puzzel_chat_api", "Authorization"}


def defined() -> set[str]:
    """Every class, function, type and constant of the facade; members also as `Class.member`."""
    names: set[str] = set()
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names |= named(node)
            if isinstance(node, ast.ClassDef):
                names |= {f"{node.name}.{name}" for member in node.body for name in named(member)}
    return names


def named(node: ast.AST) -> set[str]:
    """What a statement defines."""
    if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return {node.name}
    targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets if isinstance(node, ast.Assign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def test_every_file_that_the_map_mentions_exists() -> None:
    """A moved or renamed module is moved on the map too."""
    files = [name for name in MENTIONED if re.search(r"\.py$|/$", name)]
    assert len(files) > 20
    assert [name for name in files if not (HOUSE / name).exists() and name.rpartition("/")[2] not in FILES] == []


def test_every_name_that_the_map_mentions_is_defined() -> None:
    """So are classes, methods and functions."""
    names = {name.removesuffix("()") for name in MENTIONED if re.fullmatch(r"[A-Za-z_.]+(\(\))?", name)}
    assert {name for name in names if f"{name}.py" not in FILES} - defined() - OTHERS - FILES == set()


def test_every_module_is_on_the_map() -> None:
    """A reader finds the room of each file at the top level of the house."""
    modules = [path.name for path in HOUSE.glob("_*.py") if path.name != "__init__.py"]
    assert [name for name in modules if f"`{name}`" not in MAP] == []


def test_the_map_is_one_page() -> None:
    """At most 100 lines."""
    assert len(MAP.splitlines()) <= 100
