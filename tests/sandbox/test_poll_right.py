"""Whoever polls has the right to it then, and not only when the poll was begun."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hostile import Asked, Said, Service
from lines import centre
from puzzel_chat import MemoryStore, SessionInUse
from puzzel_chat._store import Right
from puzzel_chat.testing import VirtualTime

Connect = Callable[..., Any]
POLL = "/api/conversation"


class Slow(MemoryStore):
    """A store that others reach; once told to, it takes longer than a lease to let a token be refreshed."""

    lease = 10.0
    remote = True

    def __init__(self, clock: VirtualTime, other: str | None) -> None:
        super().__init__()
        self.slow, self._clock, self._other = False, clock, other

    def acquire(self, session_id: str, right: Right, owner: str, now: float, seconds: float) -> str:
        """Be slow, and give the right to poll to the other one meanwhile, if there is one."""
        if right == "refresh" and self.slow:
            self.slow = False
            self._clock.advance(self.lease + 1)
            if self._other is not None:
                super().acquire(session_id, "poll", self._other, self._clock.now().wall, self.lease)
        return super().acquire(session_id, right, owner, now, seconds)


@pytest.mark.parametrize("other", [None, "elsewhere:1/7/later"], ids=["free", "taken"])
@pytest.mark.parametrize("why", ["expired", "refused"])
def test_a_poll_whose_token_came_after_the_lease_is_sent_only_if_nobody_else_polls(
    connect: Connect, puzzel_time: VirtualTime, why: str, other: str | None
) -> None:
    """A refresh may wait for the store while another worker takes the session up: two would poll at once."""
    store, refused = Slow(puzzel_time, other), list[Said]()
    usual = centre()

    def answer(asked: Asked) -> Said:
        return refused.pop() if refused and asked.path.startswith(POLL) else usual(asked)

    with Service(answer) as service:
        session = connect(base_url=service.base_url, solution_id="7", store=store).connect()
        session.poll()
        store.slow = True
        if why == "refused":
            refused.append(Said({}, 401))
        else:
            puzzel_time.advance(601)
        if other is None:
            session.poll()
        else:
            with pytest.raises(SessionInUse):
                session.poll()
        polls = sum(asked.path.startswith(POLL) for asked in service.asked)
    assert not store.slow
    assert polls == 1 + (why == "refused") + (other is None)
