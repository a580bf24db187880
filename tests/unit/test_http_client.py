"""A client of the application's own: what of it applies, what does not, and that nobody but its owner closes it."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from blocking import Blocking, Loop
from hostile import Asked, Said, Service
from puzzel_chat import (
    AsyncPuzzelChat,
    ConfigurationError,
    ContractError,
    PollingLoop,
    PuzzelChat,
    SessionError,
    TransportError,
    _exit,
)
from puzzel_chat._transport import LARGEST_REPLY
from puzzel_chat.sandbox import Sandbox
from waiting import until_async

AUTHORITY = Path(__file__).parent / "certificates" / "authority.pem"
TOKENS = {"access_token": "a1", "refresh_token": "r1", "expires_in": 600, "token_type": "Bearer"}
QUEUE = {"id": 1, "isOpen": True}
BASE = "https://chat.example"
Answer = Callable[[httpx.Request], httpx.Response]


def answer(asked: Asked) -> Said:
    """A service that opens a session, and whose queue is open; it gives a cookie to everybody."""
    bodies: dict[str, object] = {"/connect/token": TOKENS, "/api/queue/info/1": QUEUE}
    return Said(bodies.get(asked.path, {"messages": []}), headers={"Set-Cookie": "who=ada"})


def tokens_or(other: Answer) -> Answer:
    """A service in place of the network that opens sessions, and answers otherwise as the test wants it."""
    return lambda request: httpx.Response(200, json=TOKENS) if "token" in request.url.path else other(request)


class Kind:
    """One of the two clients, with its client of the HTTP library, behind blocking names."""

    def __init__(self, name: str) -> None:
        self.loop = Loop() if name == "async" else None
        self.library: type[Any] = httpx.AsyncClient if self.loop else httpx.Client

    def make(self, http_client: Any, **settings: Any) -> Any:
        """Make a client of ours that sends over that one."""
        settings = {"base_url": BASE, "solution_id": "7", **settings}
        if self.loop:
            return Blocking(self.loop, AsyncPuzzelChat(**settings, http_client=http_client))
        return PuzzelChat(**settings, http_client=http_client)

    def hook(self, work: Callable[[Any], None]) -> Callable[[Any], Any]:
        """An event hook of this kind."""

        async def awaited(message: Any) -> None:
            work(message)

        return awaited if self.loop else work

    def close(self, http_client: Any) -> None:
        """Close the client of the HTTP library."""
        if self.loop:
            self.loop.run(http_client.aclose())
        else:
            http_client.close()


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> Iterator[Kind]:
    """Each of the two."""
    made = Kind(request.param)
    yield made
    if made.loop:
        made.loop.stop()


def test_it_sends_and_is_not_closed(kind: Kind) -> None:
    """Its hooks and connections are used; its address, headers, cookies and authentication are not."""
    seen: list[str] = []
    with Service(answer) as service:
        given = kind.library(
            base_url="https://elsewhere.example",
            auth=("ada", "pw"),
            headers={"X-Mine": "1", "User-Agent": "mine/1"},
            cookies={"mine": "1"},
            follow_redirects=True,
            event_hooks={"request": [kind.hook(lambda request: seen.append(request.url.path))]},
        )
        for _ in range(2):
            with kind.make(given, base_url=service.base_url) as chat:
                assert chat.connect().queue_info("1").is_open
                assert chat.proxies == {}
        assert not given.is_closed
        kind.close(given)
    assert seen == ["/connect/token", "/api/queue/info/1"] * 2
    for asked in service.asked:
        assert asked.headers.get("authorization") == ("Bearer a1" if "queue" in asked.path else None)
        assert asked.headers["user-agent"].startswith("puzzel-chat/")
        assert "x-mine" not in asked.headers
        assert "cookie" not in asked.headers


def test_files_go_over_it_both_ways(kind: Kind, tmp_path: Path) -> None:
    """A file is sent and fetched over it, piece by piece as over ours."""
    data = bytes(range(256)) * 700
    with Sandbox(pace=0) as sandbox:
        given = kind.library()
        with kind.make(given, **sandbox.settings) as chat, chat.start("support", wait=20) as conversation:
            message = conversation.send_file(data, name="picture.png")
            assert sandbox.agent(conversation.id).file(message.id) == data
            assert conversation.download(message, tmp_path / "copy.png") == len(data)
        kind.close(given)
    assert (tmp_path / "copy.png").read_bytes() == data


def test_a_redirect_is_not_followed_though_it_follows(kind: Kind) -> None:
    """No token goes elsewhere."""
    asked: list[httpx.Request] = []

    def moves(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(302, headers={"Location": "https://elsewhere.example/"})

    given = kind.library(transport=httpx.MockTransport(tokens_or(moves)), follow_redirects=True)
    with kind.make(given) as chat, pytest.raises(Exception, match="elsewhere"):
        chat.connect().queue_info("1")
    assert [request.url.host for request in asked] == ["chat.example"]
    kind.close(given)


@pytest.mark.parametrize("reads", [False, True])
def test_a_body_that_was_read_already_is_read(kind: Kind, reads: bool) -> None:
    """By a transport of a test, or by a hook that logs it; packed or not, and bounded."""

    def packed(_: httpx.Request) -> httpx.Response:
        body = b'{"id": 1, "isOpen": true}'
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, content=gzip.compress(body))

    given = kind.library(transport=httpx.MockTransport(tokens_or(packed)))
    with kind.make(given) as chat:
        assert chat.connect().queue_info("1").is_open
    kind.close(given)
    with Service(answer) as service:
        given = kind.library()
        if reads and kind.loop:
            given.event_hooks = {"response": [lambda response: response.aread()]}
        elif reads:
            given.event_hooks = {"response": [lambda response: response.read()]}
        with kind.make(given, base_url=service.base_url) as chat:
            assert chat.connect().queue_info("1").is_open
        kind.close(given)


def test_our_bounds_hold(kind: Kind) -> None:
    """A reply that is too large, or in an encoding that was not asked for, is refused."""
    for reply, told in (
        (httpx.Response(200, content=b" " * (LARGEST_REPLY + 1)), "larger than 8 MiB"),
        (httpx.Response(200, stream=Bytes(b"x"), headers={"Content-Encoding": "br"}), "not asked for"),
    ):
        given = kind.library(transport=httpx.MockTransport(tokens_or(partial(same, reply))))
        with kind.make(given) as chat, pytest.raises(ContractError, match=told):
            chat.connect().queue_info("1")
        kind.close(given)


def same(reply: httpx.Response, _: httpx.Request) -> httpx.Response:
    """Answer with that reply."""
    return reply


class Bytes(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that is still to be read."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self.content

    async def __aiter__(self) -> Any:
        yield self.content


def test_its_timeouts_are_ours(kind: Kind) -> None:
    """Those of the settings, or of the call, whatever it has itself."""
    seen: list[dict[str, float]] = []

    def notes(request: httpx.Request) -> httpx.Response:
        seen.append(request.extensions["timeout"])
        return httpx.Response(200, json=QUEUE)

    given = kind.library(transport=httpx.MockTransport(tokens_or(notes)), timeout=77)
    with kind.make(given, timeout=5) as chat:
        session = chat.connect()
        session.queue_info("1")
        session.queue_info("1", timeout=60)
    assert seen[0] == dict.fromkeys(("connect", "read", "write", "pool"), 5)
    assert all(59 < seconds <= 60 for seconds in seen[1].values())
    kind.close(given)


def test_a_transport_that_tells_nothing_is_still_bounded_and_cancelled() -> None:
    """An awaiting client ends a request that takes too long, or whose caller left, whatever carries it."""

    async def hangs(request: httpx.Request) -> httpx.Response:
        if "token" in request.url.path:
            return httpx.Response(200, json=TOKENS)
        await asyncio.Event().wait()
        raise AssertionError

    async def scenario() -> None:
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(hangs)) as given,
            AsyncPuzzelChat(BASE, "7", timeout=0.1, max_retries=0, http_client=given) as chat,
        ):
            session = await chat.connect()
            with pytest.raises(TransportError, match="in full after"):
                await session.queue_info("1")
            call = asyncio.create_task(session.queue_info("1", timeout=60))
            await asyncio.sleep(0.05)
            call.cancel()
            await asyncio.wait({call}, timeout=10)
            assert call.cancelled()
            left = asyncio.create_task(session.queue_info("1", timeout=60))
            await asyncio.sleep(0.05)
        with pytest.raises(TransportError, match="closed meanwhile"):
            await left

    asyncio.run(scenario())


@pytest.mark.parametrize("http_client", ["https://p.example", 7, httpx, object()])
def test_anything_else_is_refused(kind: Kind, http_client: object) -> None:
    """So is the other kind's, in plain words."""
    with pytest.raises(
        ConfigurationError, match=rf"^http_client: must be an httpx\.{kind.library.__name__} here, not "
    ):
        kind.make(http_client)


def test_the_other_kinds_client_is_refused(kind: Kind) -> None:
    """A blocking client cannot await, and an event loop must not be blocked."""
    other: Any = httpx.Client() if kind.loop else httpx.AsyncClient()
    with pytest.raises(ConfigurationError, match=rf"not {type(other).__name__}$"):
        kind.make(other)


@pytest.mark.parametrize(
    "settings",
    [{"proxy": "http://p.example:1"}, {"verify": str(AUTHORITY)}, {"verify": ssl.create_default_context()}],
)
def test_what_belongs_to_it_is_set_there(kind: Kind, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Proxy and trust are its own; here they are refused, from a variable too."""
    given = kind.library()
    (name,) = settings
    with pytest.raises(ConfigurationError, match=f"^{name}: belongs to the http_client") as raised:
        kind.make(given, **settings)
    assert raised.value.setting == name
    with pytest.raises(ConfigurationError, match=f"^{name}: "):
        kind.make(given).with_options(**settings)
    monkeypatch.setenv("PUZZEL_CHAT_PROXY", "http://p.example:1")
    maker: Any = AsyncPuzzelChat if kind.loop else PuzzelChat
    with pytest.raises(ConfigurationError, match=r"^proxy: "):
        maker.from_env(base_url=BASE, solution_id="7", http_client=given)
    with pytest.raises(ConfigurationError, match="has TLS of its own"):
        kind.make(given).tls_context()
    kind.close(given)


def test_one_that_was_closed_is_told(kind: Kind) -> None:
    """By an error of ours."""
    given = kind.library(transport=httpx.MockTransport(tokens_or(lambda _: httpx.Response(200, json=QUEUE))))
    with kind.make(given) as chat:
        session = chat.connect()
        kind.close(given)
        with pytest.raises(SessionError, match="http_client was closed"):
            session.queue_info("1")


def test_the_environment_is_its_own_matter(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong there hurts no client that does not read it."""
    given = kind.library(transport=httpx.MockTransport(tokens_or(lambda _: httpx.Response(200, json=QUEUE))))
    monkeypatch.setenv("ALL_PROXY", "socks://p.example")
    monkeypatch.setenv("SSL_CERT_FILE", "nowhere.pem")
    with kind.make(given) as chat, chat.with_options(poll_interval=2) as other, chat.with_options(timeout=2) as third:
        for one in (chat, other, third):
            assert one.connect().queue_info("1").is_open
    kind.close(given)


def test_a_loop_polls_over_it() -> None:
    """The extra [fleet] cannot take over its connections, nor those of a context; who insists on it is told."""
    polls: list[str] = []

    def notes(request: httpx.Request) -> httpx.Response:
        polls.append(request.url.path)
        return httpx.Response(200, json={"messages": []})

    async def scenario() -> None:
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(tokens_or(notes))) as given,
            AsyncPuzzelChat(BASE, "7", poll_interval=0.05, http_client=given) as chat,
        ):
            conversation = (await chat.connect()).conversation()
            async with PollingLoop() as loop:
                loop.add(conversation, print)
                await until_async(lambda: len(polls) >= 2)
            async with PollingLoop(fast=True) as loop:
                with pytest.raises(ConfigurationError, match=r"fast: .* an http_client of your own"):
                    loop.add(conversation, print)
                assert loop.stats().sessions == 0

    asyncio.run(scenario())
    assert set(polls) == {"/api/conversation"}


def test_a_loop_polls_with_a_context_over_the_clients_own_connections() -> None:
    """So all of the context holds."""

    async def scenario() -> None:
        with Service(answer) as service:
            context = ssl.create_default_context(cafile=AUTHORITY)
            async with AsyncPuzzelChat(service.base_url, "7", poll_interval=0.05, verify=context) as chat:
                conversation = (await chat.connect()).conversation()
                async with PollingLoop() as loop:
                    loop.add(conversation, print)
                    await until_async(lambda: service.count("/api/conversation") >= 2)
                async with PollingLoop(fast=True) as loop:
                    with pytest.raises(ConfigurationError, match=r"fast: .* an ssl\.SSLContext"):
                        loop.add(conversation, print)
            agents = {asked.headers["user-agent"] for asked in service.asked}
            assert len(agents) == 1

    asyncio.run(scenario())


def test_at_the_exit_only_a_blocking_one_is_used(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A chat that goes on is ended over it; without an event loop nothing is sent, and that is logged."""
    ended: list[str] = []

    def notes(request: httpx.Request) -> httpx.Response:
        ended.append(request.url.path)
        return httpx.Response(200, json={})

    transport = httpx.MockTransport(tokens_or(notes))
    with httpx.Client(transport=transport) as given, PuzzelChat(BASE, "7", http_client=given) as chat:
        session = chat.connect()
        session._run(session._state.routed("c1", None))
        monkeypatch.setattr(_exit, "SESSIONS", {session._state})
        _exit.leave()
    assert ended == ["/api/conversation/c1/end"]

    async def awaiting() -> None:
        async with (
            httpx.AsyncClient(transport=transport) as given,
            AsyncPuzzelChat(BASE, "7", http_client=given) as chat,
        ):
            other = await chat.connect()
            await other._run(other._state.routed("c2", None))
            monkeypatch.setattr(_exit, "SESSIONS", {other._state})
            with caplog.at_level(logging.WARNING):
                _exit.leave()

    asyncio.run(awaiting())
    assert "1 conversations could not be ended at exit: http_client: " in caplog.text
    assert not [path for path in ended if "c2" in path]
