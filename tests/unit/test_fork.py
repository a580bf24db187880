"""Forks: each thing hears of one before and after, in the parent and in the child, as long as it lives."""

from __future__ import annotations

import gc
import os

import pytest
from attrs import define, field

from puzzel_chat._fork import in_child, mind_forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")


@define(eq=False)
class Witness:
    """Writes down what it hears."""

    heard: list[str] = field(factory=list)

    def before_fork(self) -> None:
        """See `Forks`."""
        self.heard.append("before")

    def after_fork(self, in_child: bool) -> None:
        """See `Forks`."""
        self.heard.append("child" if in_child else "parent")


def forked(heard: list[str]) -> str:
    """Fork, and return what the child has in its copy of the list."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        os.write(write, " ".join(heard).encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with open(read, encoding="utf-8") as told:
        return told.read()


def test_a_thing_hears_of_each_fork_on_both_sides() -> None:
    """Once before and once after each, in the parent and in the child."""
    witness = Witness()
    mind_forks(witness)
    assert forked(witness.heard) == "before child"
    assert witness.heard == ["before", "parent"]
    assert forked(witness.heard) == "before parent before child"


def test_a_thing_that_is_gone_is_not_kept() -> None:
    """Only a weak reference is held."""
    witness = Witness()
    heard = witness.heard
    mind_forks(witness)
    del witness
    gc.collect()
    assert forked(heard) == ""


def test_a_function_is_called_in_the_child_only() -> None:
    """It is called there before `fork` returns."""
    calls: list[str] = []
    in_child(lambda: calls.append("called"))
    assert forked(calls) == "called"
    assert calls == []
