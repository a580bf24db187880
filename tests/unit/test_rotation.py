"""Which rotation policy a service has: each policy by its replies, and those of the simulator over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, get_args, get_type_hints
from urllib.parse import parse_qs

import pytest

from blocking import settings
from puzzel_chat import ConfigurationError, PuzzelChatError, Rotation, ServerError, SessionExpired, Settings
from puzzel_chat._http import Reply, Request
from puzzel_chat._rotation import next_look
from puzzel_chat.cli._rotation import WORDS
from puzzel_chat.sandbox import Fault, Sandbox

Connect = Callable[..., Any]
HERE = Settings(base_url="https://chat.example", solution_id="7")
REFUSED = Reply(status=400, headers={"content-type": "application/json"}, body=b'{"error": "invalid_grant"}')


def gives(refresh: str | None, expires_in: int | None = 900) -> Reply:
    """A token reply."""
    body = {"access_token": "a", "refresh_token": refresh, "expires_in": expires_in}
    return Reply(status=200, headers={"content-type": "application/json"}, body=json.dumps(body).encode())


def look(*replies: Reply) -> tuple[list[str | None], Rotation]:
    """The refresh tokens that were sent, None for the first request, and the finding."""
    sent: list[str | None] = []
    for number in range(len(replies) + 1):
        found = next_look(HERE, replies[:number])
        if isinstance(found, Rotation):
            return sent, found
        sent.append(parse_qs((found.body or b"").decode()).get("refresh_token", [None])[0])
    raise AssertionError("it asks on and on")


@pytest.mark.parametrize(
    ("replies", "policy", "sent"),
    [
        ([gives(None)], "no_refresh_token", [None]),
        ([gives("1"), gives(None), gives(None)], "kept", [None, "1", "1"]),
        ([gives("1"), gives("1"), gives("1")], "kept", [None, "1", "1"]),
        ([gives("1"), gives("2"), gives("2")], "same_reply", [None, "1", "1"]),
        ([gives("1"), gives("2"), gives("3")], "new_reply", [None, "1", "1"]),
        ([gives("1"), gives("2"), REFUSED, gives("3")], "refused", [None, "1", "1", "2"]),
        ([gives("1"), gives("2"), REFUSED, REFUSED], "revoked", [None, "1", "1", "2"]),
        ([gives("1"), gives(None), REFUSED], "revoked", [None, "1", "1"]),
    ],
)
def test_each_policy_is_told_by_its_replies(replies: list[Reply], policy: str, sent: list[str | None]) -> None:
    """At most four requests, none after the finding."""
    assert look(*replies) == (sent, Rotation(policy=policy, expires_in=900.0))  # type: ignore[arg-type]


def test_how_long_a_token_lives_is_told_when_the_service_tells_it() -> None:
    """Without `expires_in` nothing is made up."""
    assert look(gives(None, None))[1].expires_in is None


@pytest.mark.parametrize(
    ("replies", "error"),
    [
        ([REFUSED], ConfigurationError),
        ([gives("1"), REFUSED], SessionExpired),
        ([gives("1"), gives("2"), Reply(status=503, headers={}, body=b"")], ServerError),
        ([gives("1"), gives("2"), REFUSED, Reply(status=503, headers={}, body=b"")], ServerError),
    ],
)
def test_what_tells_nothing_is_raised(replies: list[Reply], error: type[PuzzelChatError]) -> None:
    """A refused first request, or a service that fails, is no finding."""
    with pytest.raises(error):
        look(*replies)


def test_no_request_shows_its_token() -> None:
    """What is sent is masked in a repr, as every request is."""
    found = next_look(HERE, [gives("tok3n-of-refresh")])
    assert isinstance(found, Request)
    assert b"tok3n-of-refresh" in (found.body or b"")
    assert "tok3n" not in repr(found)


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({"rotation": False}, "kept"),
        ({"reuse_grace": 15.0}, "same_reply"),
        ({"reuse_grace": 0.0}, "revoked"),
    ],
)
def test_the_simulators_policies_are_found(connect: Connect, options: dict[str, Any], policy: str) -> None:
    """Over HTTP, by both clients, with a session of its own and none of another's."""
    with Sandbox(pace=0, token_life=900, **options) as sandbox:
        chat = connect(**settings(sandbox))
        mine = chat.connect()
        assert chat.rotation_policy() == Rotation(policy=policy, expires_in=900.0)  # type: ignore[arg-type]
        assert mine.queue_info("support").is_open
        sandbox.faults(Fault.revoked("getQueueInfo", times=1))
        assert mine.queue_info("support").is_open


def test_every_policy_has_its_words() -> None:
    """What the command line says covers all that can be found."""
    assert set(WORDS) == set(get_args(get_type_hints(Rotation)["policy"]))
