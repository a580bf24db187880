"""What the facade makes of replies in the rehearsed contract, and what it sends: run by a test, it prints JSON.

It reads and builds with the packages that come first on the path, which are the edited ones there.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import puzzel_chat
from puzzel_chat._http import Reply, Request
from puzzel_chat._models import Agent, Customer, Event, Option, Role
from puzzel_chat._wire import operations, replies

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
CHAT = "ada-1"
KARI = {"role": 20, "participantId": "7", "shownAs": "Kari"}


def reply(document: object, status: int = 200) -> Reply:
    """Give a document as the service answers with it."""
    return Reply(status=status, headers={"content-type": "application/json"}, body=json.dumps(document).encode())


def entry(number: int, kind: str, **members: object) -> dict[str, object]:
    """Give an entry of the feed."""
    base = {"entryId": f"7d9f3c52-0000-4000-8000-{number:012d}", "chatId": CHAT, "kind": kind, "edition": 1}
    return {**base, "postedAt": "2026-11-28T11:59:00+00:00", "from": KARI, **members}


def feed(*entries: object) -> dict[str, object]:
    """Give the reply to a poll."""
    return {"data": {"page": {"entries": list(entries), "isLast": True}, "unread": 0}, "position": 17}


def told(event: Event) -> dict[str, Any]:
    """Give of an event what the test looks at."""
    wanted = ("conversation_id", "id", "text", "options", "file_name", "size", "agent", "by", "problem", "service_type")
    found = {name: getattr(event, name) for name in wanted if hasattr(event, name)}
    author = f"{event.author.role.value} {event.author.name}"
    return {"event": type(event).__name__, "author": author, **{name: plain(one) for name, one in found.items()}}


def plain(value: object) -> object:
    """Give a value as JSON can hold it; of agents and options their words, which a `repr` does not show."""
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    if isinstance(value, Role):
        return value.value
    words = value.name if isinstance(value, Agent) else value.label if isinstance(value, Option) else value
    return words if isinstance(words, str | int | None) else str(words)


def sent(request: Request) -> dict[str, Any]:
    """Give what goes over the wire."""
    body = None if request.body is None else json.loads(request.body)
    call = f"{request.method} {request.path}{'?' if request.query else ''}{request.query}"
    return {"call": call, "headers": dict(request.headers), "body": body}


def main() -> None:
    """Print it all."""
    polled = replies.poll(
        reply(
            feed(
                entry(1, "Words", words="<b>Hello</b> Ada", reference=None),
                entry(2, "Words", entryId="second", words="its id is no UUID"),
                "no object at all",
                entry(3, "Choice", prompt="Which?", choices=[{"key": "a", "caption": "This"}]),
                entry(4, "Document", documentName="bill.pdf", link="https://chat.example/bill.pdf", bytes=2048),
                entry(5, "Hologram"),
                entry(6, "Notice", notice="EmployeeEntered", employee={"number": 7, "shownAs": "Kari"}),
                entry(7, "Notice", notice="ChatClosed", closedBy=20, **{"from": {"role": 40}}),
            )
        )
    )
    queue = {"queueNumber": 27504, "title": "Support", "opening": {"openNow": True}}
    queue["load"] = {"waiting": 3, "free": 0, "averageWait": "00:01:30"}
    info = replies.queue_info(reply(queue), NOW)
    waits = ("1.02:03:04.5000000", "00:00:00", "90", "-00:00:01", None)
    search = {"phase": "Ringing", "place": 2, "handler": {"number": 7, "shownAs": "Kari"}}
    searches = [replies.allocation(reply({**search, "expectedWait": wait}), NOW) for wait in waits]
    routed, ticket = replies.routed(reply({"data": {"ticket": "7d9f3c52-0000-4000-8000-000000000000"}}, 202), NOW)
    print(
        json.dumps(
            {
                "facade": puzzel_chat.__file__,
                "events": [told(one) for one in polled.events],
                "cursor": polled.cursor,
                "empty": [replies.poll(reply(one)).cursor for one in ({}, {"data": None, "position": 18})],
                "queue": [info.id, info.name, info.is_open, info.queue_size, info.agents_ready, info.estimated_wait],
                "waits": [one.estimated_wait for one in searches],
                "search": [searches[0].stage.name, searches[0].queue_position, plain(searches[0].agent)],
                "routed": [routed.stage.name, ticket],
                "poll": [sent(operations.poll_request(cursor)) for cursor in (polled.cursor, None, "an older one")],
                "route": sent(operations.route_request(CHAT, "q_support", Customer(name="Ada"))),
                "send": sent(operations.send_request(CHAT, "My order", "mine-1")),
                "typing": sent(operations.typing_request(CHAT, True)),
                "end": sent(operations.end_request(CHAT)),
            }
        )
    )


if __name__ == "__main__":
    main()
