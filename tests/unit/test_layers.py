"""The layers: which module may import which, what the pure ones may not touch, and how long a function may get."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from attrs import frozen

FACADE = Path(__file__).parents[2] / "facade"
OURS = "puzzel_chat"
LONGEST_FUNCTION = 45

# The first column names a layer, the second its modules, the third the layers that they may import beside their own.
BASE = "base"
LAYERS: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    (BASE, ("_errors", "_json", "_models", "_settings", "_html", "_http", "_fork", "_version"), ()),
    ("cores", ("_tokens", "_routing", "_polling", "_inbox", "_retry", "_history"), (BASE,)),
    ("clock", ("_clock",), ("cores",)),
    ("observing", ("_observing",), (BASE,)),
    ("wire", ("_wire",), (BASE, "cores")),
    ("transport", ("_environment", "_failures", "_transport", "_async_transport"), (BASE,)),
    ("stores", ("_owners", "_store", "_sqlite", "_redis", "_redis_plans"), (BASE, "cores", "clock")),
    ("steps", ("_steps", "_reach", "_lease"), (BASE, "cores", "clock", "stores", "observing")),
    (
        "workflows",
        ("_refresh", "_session", "_listing", "_files", "_conversation", "_client"),
        (BASE, "cores", "clock", "wire", "stores", "steps", "observing"),
    ),
    ("exit", ("_exit",), (BASE, "cores", "wire", "transport", "stores", "steps", "workflows")),
    (
        "sync",
        ("_sync",),
        (BASE, "cores", "clock", "wire", "transport", "stores", "steps", "workflows", "exit", "observing"),
    ),
    (
        "async",
        ("_async",),
        (BASE, "cores", "clock", "wire", "transport", "stores", "steps", "workflows", "exit", "observing"),
    ),
    ("fleet", ("_fleet",), (BASE, "cores", "clock", "wire", "transport", "stores", "steps", "workflows", "async")),
    ("probe", ("_probe",), (BASE, "cores", "clock", "wire", "transport", "stores", "steps", "workflows", "sync")),
    ("public", ("",), (BASE, "observing", "cores", "wire", "stores", "workflows", "sync", "async", "fleet", "probe")),
    ("otel", ("otel",), (BASE, "public", "observing")),
    ("sandbox", ("sandbox",), ()),
    ("pages", ("pages",), ("public", "sandbox")),
    # Time that passes at once in a caller's tests takes the clock's place.
    ("testing", ("testing",), (BASE, "public", "sandbox", "pages", "clock", "cores", "stores")),
    ("cli", ("cli", "__main__"), ("public", "sandbox", "pages")),
    ("otel", ("otel",), ("public",)),
]
PURE = ("_tokens", "_routing", "_polling", "_inbox", "_retry", "_history", "_fleet._hosts", "_html", "cli._typing")
IMPURE = {"time", "random", "asyncio", "threading", "socket", "httpx", "sqlite3", "logging", "secrets", "os", "ssl"}
EXTRAS = (
    "typer",
    "rich",
    "prompt_toolkit",
    "starlette",
    "uvicorn",
    "yaml",
    "pytest",
    "vcr",
    "pyreqwest",
    "opentelemetry",
)
NOT_HTTPX = tuple(name for name in EXTRAS if name != "rich")


@frozen
class Import:
    """One import: who, what, and whether it is made when the module is imported."""

    by: str
    of: str
    at_once: bool


@cache
def sources() -> dict[str, ast.Module]:
    """Every module of the facade, parsed, by its dotted name."""
    found = {}
    for path in sorted((FACADE / OURS).rglob("*.py")):
        parts = path.relative_to(FACADE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def is_package(module: str) -> bool:
    """Whether the module is a folder."""
    return (FACADE / Path(*module.split("."))).is_dir()


def imports(module: str) -> Iterator[Import]:
    """Every import that stands in a module, wherever it stands."""
    later = {
        id(inner)
        for node in ast.walk(sources()[module])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types_only(node)
        for inner in ast.walk(node)
    }
    for node in ast.walk(sources()[module]):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = list(_from(module, node))
        else:
            continue
        yield from (Import(module, name, id(node) not in later) for name in names)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _from(module: str, node: ast.ImportFrom) -> Iterator[str]:
    base = node.module or ""
    if node.level:
        parts = module.split(".")
        kept = parts[: len(parts) - node.level + is_package(module)]
        base = ".".join([*kept, *([node.module] if node.module else [])])
    for alias in node.names:
        full = f"{base}.{alias.name}"
        yield full if full in sources() else base


@cache
def all_imports() -> list[Import]:
    """Every import of the facade."""
    return [one for module in sources() for one in imports(module)]


def inside(name: str) -> str | None:
    """Give the part of our own name below the root, or None for another's."""
    return name.removeprefix(OURS).lstrip(".") if name == OURS or name.startswith(f"{OURS}.") else None


def layer(name: str) -> str:
    """Give the layer of one of our modules."""
    first = (inside(name) or "").partition(".")[0]
    return next(row for row, modules, _ in LAYERS if first in modules)


def test_every_module_has_its_layer() -> None:
    """A new module must be put into the table."""
    known = {module for _, modules, _ in LAYERS for module in modules}
    assert {(inside(module) or "").partition(".")[0] for module in sources()} == known


def test_arrows_point_one_way() -> None:
    """A module imports only from its own layer and from those that the table gives it."""
    allowed = {row: {row, *others} for row, _, others in LAYERS}
    wrong = [
        f"{one.by} -> {one.of}"
        for one in all_imports()
        if inside(one.of) is not None and layer(one.of) not in allowed[layer(one.by)]
    ]
    assert wrong == []


def test_the_table_itself_has_no_circle() -> None:
    """Layers can be put in one order."""
    list(TopologicalSorter({row: others for row, _, others in LAYERS}).static_order())


def test_no_circle_of_imports() -> None:
    """What is imported when a module is imported never leads back to it."""
    graph: dict[str, set[str]] = {module: set() for module in sources()}
    for one in all_imports():
        if one.at_once and one.of in sources() and one.of != one.by:
            graph[one.by].add(one.of)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle: {error.args[1]}")


def test_only_the_wire_knows_the_generated_client() -> None:
    """A regenerated client is answered in one package."""
    assert {layer(one.by) for one in all_imports() if one.of.startswith("puzzel_chat_api")} == {"wire"}


def test_only_the_transport_knows_the_http_library() -> None:
    """Changing the HTTP library is a change of one package."""
    libraries = {"httpx", "httpcore", "h11", "pyreqwest", "requests", "aiohttp", "urllib3"}
    knowing = {one.by for one in all_imports() if one.of.partition(".")[0] in libraries}
    assert {layer(name) for name in knowing} - {"sandbox", "testing"} == {"transport", "fleet"}


def test_only_one_module_minds_forks() -> None:
    """The order of what happens around a fork is settled in one place."""
    minding = {
        module
        for module, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "register_at_fork"
    }
    assert minding == {f"{OURS}._fork"}


def test_the_pure_cores_touch_nothing() -> None:
    """No clock, chance, thread, loop, socket, file or log in a core, nor in anything of ours that it imports."""
    reached, todo = set[str](), [f"{OURS}.{name}" for name in PURE]
    while todo:
        module = todo.pop()
        if module not in reached:
            reached.add(module)
            todo += [one.of for one in all_imports() if one.by == module and one.of in sources()]
    # Settings read the environment in `from_env`, which no core calls, and know a context of TLS by its type.
    wrong = [
        f"{one.by} -> {one.of}"
        for one in all_imports()
        if one.by in reached
        and one.of.partition(".")[0] in IMPURE
        and (one.by, one.of) not in (("puzzel_chat._settings", "os"), ("puzzel_chat._settings", "ssl"))
    ]
    assert wrong == []


def test_the_sandbox_is_a_second_opinion() -> None:
    """It imports nothing of ours, neither the facade nor the generated client."""
    wrong = [
        f"{one.by} -> {one.of}"
        for one in all_imports()
        if layer(one.by) == "sandbox" and one.of.startswith(OURS) and not one.of.startswith(f"{OURS}.sandbox")
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ["cli", "pages"])
def test_the_command_line_and_the_pages_use_public_names(room: str) -> None:
    """They import the root, the sandbox and the pages, and no name with an underscore from either."""
    allowed = {OURS, f"{OURS}.sandbox", f"{OURS}.pages"}
    of_the_room = [one for one in all_imports() if layer(one.by) == room and inside(one.of) is not None]
    wrong = [f"{one.by} -> {one.of}" for one in of_the_room if layer(one.of) != room and one.of not in allowed]
    assert wrong == []
    names = [
        alias.name
        for module, tree in sources().items()
        if layer(module) == room
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module in allowed
        for alias in node.names
    ]
    assert [name for name in names if name.startswith("_") and name != "__version__"] == []


def test_every_module_postpones_its_annotations() -> None:
    """`from __future__ import annotations` stands in each, so that types cost nothing at run time."""
    lacking = [
        module
        for module, tree in sources().items()
        if not any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body)
    ]
    assert lacking == []


def test_no_module_reaches_for_anothers_private_names() -> None:
    """Fewer than 2 in 1000 lines: those left build requests with the generated client, or stand in the same module.

    Counted is each underscore name that is reached through anything but `self` and `cls`.
    """
    found = {module: private_names(tree) for module, tree in sources().items()}
    lines = sum(len((FACADE / path_of(module)).read_text(encoding="utf-8").splitlines()) for module in sources())
    assert 1000 * sum(map(len, found.values())) / lines < 2, {module: names for module, names in found.items() if names}
    assert [one for names in found.values() for one in names if one.startswith("import ")] == []


def private_names(tree: ast.Module) -> list[str]:
    """Underscore names that a module takes from other objects or modules of ours."""
    reached = [
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    ]
    imported = [
        f"import {alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.startswith("_") and f"{node.module}.{alias.name}" not in sources() and alias.name != "__version__"
    ]
    return reached + imported


def path_of(module: str) -> Path:
    """A module's file below the facade."""
    path = Path(*module.split("."))
    return path / "__init__.py" if is_package(module) else path.with_suffix(".py")


def test_no_function_is_longer_than_a_screen() -> None:
    """At most 45 lines, signature and docstring included."""
    wrong = {
        f"{module}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for module, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import puzzel_chat", (*EXTRAS, "httpx", "asyncio", "sqlite3")),
        # The HTTP library imports rich by itself, when it is there, for a command line of its own.
        ("from puzzel_chat import PuzzelChat, MemoryStore", (*NOT_HTTPX, "sqlite3")),
        ("from puzzel_chat import *", NOT_HTTPX),
        ("import puzzel_chat.cli", EXTRAS),
    ],
)
def test_importing_costs_only_what_is_used(statement: str, absent: tuple[str, ...]) -> None:
    """The root imports nothing of an extra, and the HTTP client only with a client."""
    program = f"import sys\n{statement}\nprint([name for name in {absent!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")
