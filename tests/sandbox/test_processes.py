"""Several processes on one stored session: the short form of `make soak RUN=processes`."""

from __future__ import annotations

import pytest

from quick import quick_only
from soak.processes import main as soak
from soak.processes import run


@pytest.mark.parametrize("lives", quick_only([2], [2, 15]))
def test_processes_share_one_session(lives: int) -> None:
    """Four processes live through several lives of one token: one refresh a life, none twice, and no call fails.

    Two of them, each with the rotating refresh token of one session, have logged people out elsewhere:
    anthropics/claude-code#27933, openclaw/mcporter#306.
    """
    came = run(processes=4, lives=lives, seconds=100)
    assert came.errors == ()
    assert (came.failed, came.reuse, came.refreshes, sum(came.per_process)) == (0, 0, lives, lives)
    assert came.good
    assert came.calls >= 4 * 2 * lives


@pytest.mark.slow
def test_processes_share_one_session_under_faults() -> None:
    """The same while the token endpoint fails, drops, loses its replies, and processes are killed while refreshing.

    A lost reply to a rotation has cost the session elsewhere (zitadel/zitadel#9631); a lock that a killed process
    left behind has locked the others out (AzureAD/microsoft-authentication-library-for-js#7148).
    """
    came = run(processes=4, lives=10, faults=True, seconds=100)
    assert came.errors == ()
    assert (came.failed, came.reuse, came.refreshes, came.killed) == (0, 0, 10, 2)
    assert came.good
    assert came.faults >= 8


@pytest.mark.slow
@pytest.mark.parametrize("expire", [0.05, 0.1])
def test_processes_share_one_session_whose_tokens_are_revoked_by_force(expire: float) -> None:
    """A call whose token was revoked on its way is sent again with a newer one, and again when that one was, too."""
    came = run(processes=4, lives=8, expire=expire, seconds=100)
    assert came.errors == ()
    assert (came.failed, came.refused, came.reuse) == (0, 0, 0)
    assert came.good
    assert came.refreshes > came.lives
    assert came.expired > 0


@pytest.mark.slow
def test_the_run_prints_its_table_and_fails_when_a_life_goes_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """The figures are a Markdown table, and a run that takes too long is no success."""
    assert soak(["--processes", "2", "--lives", "2", "--seconds", "100"]) == 0
    shown = capsys.readouterr()
    assert "| processes | lives |" in shown.out
    assert "life 2 of 2" in shown.err
    with pytest.raises(TimeoutError):
        soak(["--processes", "1", "--lives", "1", "--seconds", "0"])
