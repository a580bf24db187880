"""The two shells: the same names in the same order, and the same code but for `await`, locks and waits."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from puzzel_chat import _async, _sync

ALONE = {"Runner", "Run", "Opening", "inner"}
"""What does the waiting, what makes it a block's, and what `PollingLoop` needs of the awaiting shell."""
NOT_AWAITED = {"_new_parts", "_let_go"}
"""The kinds of events and callers of an event loop, and its way to the store."""


class Blocking(ast.NodeTransformer):
    """Turns awaiting code into blocking code."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        """A coroutine function is a function."""
        self.generic_visit(node)
        node.decorator_list = [one for one in node.decorator_list if ast.unparse(one) != "opening"]
        parts: dict[str, Any] = {name: getattr(node, name, None) for name in ast.FunctionDef._fields}
        return ast.FunctionDef(**parts)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        """What is awaited is called."""
        self.generic_visit(node)
        return node.value


def public(module: object) -> dict[str, str]:
    """The classes of a shell, each as blocking code with the blocking names."""
    path = Path(str(getattr(module, "__file__", "")))
    found = {}
    for node in Blocking().visit(ast.parse(path.read_text(encoding="utf-8"))).body:
        if isinstance(node, ast.ClassDef) and node.name not in ALONE:
            node.body = [one for one in node.body if getattr(one, "name", "") not in NOT_AWAITED]
            found[node.name.removeprefix("Async")] = blocking_names(ast.unparse(ast.fix_missing_locations(node)))
    return found


def blocking_names(code: str) -> str:
    """Names and docstrings as the blocking shell has them."""
    code = code.replace("AsyncGenerator[_T], Generic", "Generator[_T], Generic")
    code = re.sub(r"\bAsync(?=[A-Z])(?!Generator|Iterator)", "", code).replace("AsyncGenerator", "Iterator")
    code = re.sub(r"\ba(send|throw)\b", r"\1", code).replace("StopAsyncIteration", "StopIteration")
    code = re.sub(r"__a(enter|exit)__", r"__\1__", code).replace("aclose", "close")
    code = code.replace("for one application and one event loop. Close it,", "for one application. Close it,")
    code = code.replace("an `async with` block", "a `with` block")
    return code.replace("Usable from several threads; close it,", "Close it,").replace(
        "Usable from several threads. ", ""
    )


def test_the_shells_differ_in_await_locks_and_waits_only() -> None:
    """Read side by side, each class says the same; `Runner` does the waiting and stands beside."""
    blocking, awaiting = public(_sync), public(_async)
    assert list(blocking) == list(awaiting) == ["Events", "Conversation", "Session", "PuzzelChat"]
    for name, code in blocking.items():
        assert awaiting[name].splitlines() == code.splitlines(), name


def test_a_shell_decides_nothing() -> None:
    """Outside `Runner` no branch stands in a shell, but for the events' end and a client that is not the owner."""
    branches = {}
    for node in ast.parse(Path(str(_sync.__file__)).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name not in ALONE:
            found = [ast.unparse(one.test) for one in ast.walk(node) if isinstance(one, ast.If)]
            branches[node.name] = found
    end = "(event := self._run(self._reader.next())) is None"
    assert branches == {"Events": [end], "Conversation": [], "Session": [], "PuzzelChat": ["self._owned"]}
