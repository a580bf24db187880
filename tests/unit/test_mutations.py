"""The rules that `make soak RUN=mutants` breaks: each is still where the run will look for it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from soak.mutants import broken
from soak.mutations import MUTATIONS, Mutation

FACADE = Path(__file__).parents[2] / "facade" / "puzzel_chat"


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.rule)
def test_each_rule_can_be_broken(mutation: Mutation) -> None:
    """Each edit finds its one place and leaves a module that can be read."""
    ast.parse(broken((FACADE / mutation.module).read_text(encoding="utf-8"), mutation))


def test_a_rule_that_moved_is_told() -> None:
    """An edit that finds nothing is an error, not a mutant that nobody broke."""
    with pytest.raises(ValueError, match="0 times"):
        broken("", MUTATIONS[0])


def test_the_rules_are_of_the_three_sections() -> None:
    """At least ten rules, from each of the sections on tokens, routing and polling."""
    assert len(MUTATIONS) >= 10
    assert {mutation.section for mutation in MUTATIONS} == {5, 6, 7}
