"""State machines that count their steps, so that how many there were is tested and not hoped for."""

from __future__ import annotations

from math import ceil
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, run_state_machine_as_test

STEPS = 10_000
"""How many steps each machine takes, at least."""
TWICE = [STEPS // 20, pytest.param(STEPS, marks=pytest.mark.slow)]
"""The same as a parameter: a twentieth of them in `make test`."""
LENGTH = 50


class Machine(RuleBasedStateMachine):
    """Rules that drive a pure core, and a model beside it."""

    steps: ClassVar[int] = 0
    _begun = False

    @invariant()
    def each_step_counts(self) -> None:
        """Count, after each rule; what is checked before the first rule is no step."""
        type(self).steps += self._begun
        self._begun = True


def run(machine: type[Machine], steps: int) -> None:
    """Run a machine for at least so many steps, or until it finds something."""
    machine.steps = 0
    while machine.steps < steps:  # hypothesis ends an example early now and then
        examples = ceil((steps - machine.steps) / (LENGTH - 1))
        run_state_machine_as_test(
            machine, settings=settings(max_examples=examples, stateful_step_count=LENGTH, deadline=None)
        )
