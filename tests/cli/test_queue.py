"""`puzzel-chat queue`, against a contact centre in the test's own process."""

from __future__ import annotations

import json
import re

import pytest

from hostile import Asked, Said, Service
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


@pytest.mark.parametrize(
    "written", ["0001-01-01T00:00:00", "9999-12-31T23:59:59.9999999Z", "1900-01-01T00:00:00+01:00"]
)
@pytest.mark.parametrize("zone", ["UTC-14", "UTC+12"])
def test_hours_that_are_not_set_are_not_printed(cli: Run, written: str, zone: str) -> None:
    """What .NET and SQL write for "not set" is neither an opening hour nor an error, whatever the local time."""

    def answer(asked: Asked) -> Said:
        if asked.path.startswith("/connect"):
            return Said({"access_token": "a"})
        if "/route/" in asked.path:
            return Said({"code": "QueueClosed", "opensAt": written}, 409, media="application/problem+json")
        return Said({"id": 27504, "isOpen": False, "opensAt": written, "closesAt": written, "queueSize": -1})

    with Service(answer) as service:
        env = {"PUZZEL_CHAT_BASE_URL": service.base_url, "PUZZEL_CHAT_SOLUTION_ID": "7", "TZ": zone}
        shown, record = cli("queue", "27504", env=env), cli("queue", "27504", "--json", env=env)
        refused = [cli("chat", "q_support", env=env), cli("chat", "q_support", "--visual-queue-id", "27504", env=env)]
    assert (shown.code, record.code, [one.code for one in refused]) == (0, 0, [3, 3])
    assert json.loads(record.out)["opens_at"] is json.loads(record.out)["closes_at"] is None
    assert "opens " not in shown.out
    for ran in (shown, record, *refused):
        assert written[:4] not in ran.out + ran.err
