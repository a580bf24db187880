"""`puzzel-chat queue`, against a contact centre in the test's own process."""

from __future__ import annotations

import json
import re

import pytest

from puzzel_chat.sandbox import Sandbox

from .conftest import Run


@pytest.mark.parametrize(("queue", "state"), [("support", "open"), ("closed", "closed"), ("unknown-hours", "unknown")])
def test_the_state_of_a_queue_has_three_values(cli: Run, centre: Sandbox, queue: str, state: str) -> None:
    """Open, closed or unknown, each an answer with exit code 0, and how old it is."""
    visual = centre.queues()[queue]
    ran, programs = cli("queue", visual, at=centre), cli("queue", visual, "--json", at=centre)
    assert (ran.code, programs.code) == (0, 0)
    rows = dict(re.split(r"\s{2,}", line, maxsplit=1) for line in ran.out.splitlines())
    assert rows["state"].split()[0] == state == json.loads(programs.out)["state"]
    assert rows["answer from"].endswith("s ago")


def test_the_queue_to_show_may_stand_in_the_environment(cli: Run, centre: Sandbox) -> None:
    """Its visual id; a key in that place is told apart from it."""
    assert cli("queue", at=centre, env={"PUZZEL_CHAT_VISUAL_QUEUE_ID": centre.visual_queue_id}).code == 0
    ran = cli("queue", centre.queue_key, at=centre)
    assert (ran.code, "check the visual queue id, a number. A queue key is for routing." in ran.err) == (2, True)
