"""A Redis that is away, slow, full, locked or not the one that was meant: one clear error, and on it goes after."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from ports import free_port
from puzzel_chat import ConfigurationError, Secret, StoredConversation, StoreError, TokenSet, Unread
from puzzel_chat._redis import RedisStore
from puzzel_chat._store import AsyncStore
from redis_server import RedisServer
from waiting import until

from .conftest import Make, Serve

CERTIFICATES = Path(__file__).parents[1] / "unit" / "certificates"
PASSWORD = "s3cr3t-" * 3
TOKENS = TokenSet(access=Secret("acc-1"), refresh=Secret("ref-1"), generation=1, ttl=600.0, obtained=1000.0)
NOBODY = "redis://user:s3cr3t@127.0.0.1:1/0"
Get = Callable[[RedisStore, str], TokenSet | None]


def awaited(store: RedisStore, session_id: str) -> TokenSet | None:
    """What the twin for asyncio gives."""

    async def get() -> TokenSet | None:
        twin: AsyncStore = store.awaiting()
        try:
            return await twin.tokens(session_id)
        finally:
            await twin.close()

    return asyncio.run(get())


@pytest.fixture(params=["blocking", "awaited"])
def get(request: pytest.FixtureRequest) -> Get:
    """Read tokens, blocking or on an event loop."""
    return awaited if request.param == "awaited" else RedisStore.tokens


def failure(get: Get, store: RedisStore) -> StoreError:
    """The error of a call, which shows no secret and nothing of the library below."""
    with pytest.raises(StoreError) as raised:
        get(store, "s")
    error = raised.value
    assert (error.__cause__, error.__context__) == (None, None)
    for secret in ("s3cr3t", "acc-1"):
        assert secret not in str(error)
    return error


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (None, {}, "the URL must be a string, not NoneType"),
    ("http://127.0.0.1:6379", {}, "the URL must look like redis://"),
    ("127.0.0.1:6379", {}, "the URL must look like redis://"),
    ("redis://", {}, "the URL must look like redis://"),
    ("redis://user:s3cr3t@host:port", {}, "the URL must look like redis://"),
    ("redis://host?colour=red", {}, "the URL has a part that cannot be used"),
    ("redis://host?db=s3cr3t", {}, "the URL has a part that cannot be used"),
    (NOBODY, {"encryption_keys": ["s3cr3t"]}, "each of encryption_keys must be a key of"),
    (NOBODY, {"encryption_keys": [None]}, "each of encryption_keys must be a key of"),
    (NOBODY, {"prefix": "a{b}"}, "the prefix must be a text without braces"),
    (NOBODY, {"prefix": ""}, "the prefix must be a text without braces"),
    (NOBODY, {"ttl": 5}, "ttl must be a number of seconds, at least 60"),
    (NOBODY, {"take_over": 0.5}, "take_over must be a number of seconds from 1 to 3600"),
    (NOBODY, {"take_over": True}, "take_over must be a number of seconds from 1 to 3600"),
]


@pytest.mark.parametrize(("url", "options", "told"), WRONG)
def test_a_wrong_argument_is_told_as_a_setting(url: Any, options: dict[str, Any], told: str) -> None:
    """When the store is made, in one sentence, without the URL."""
    with pytest.raises(ConfigurationError, match=rf"^store: {told}") as raised:
        RedisStore(url, **options)
    assert raised.value.setting == "store"
    assert "s3cr3t" not in str(raised.value)
    assert (raised.value.__cause__, raised.value.__suppress_context__ or raised.value.__context__ is None) == (
        None,
        True,
    )


@pytest.mark.parametrize("missing", ["redis", "cryptography"])
def test_a_missing_extra_is_told(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """With what to install."""
    monkeypatch.setattr("puzzel_chat._redis.find_spec", lambda name: None if name == missing else name)
    with pytest.raises(ConfigurationError, match=r"pip install 'puzzel-chat\[redis\]'"):
        RedisStore(NOBODY)


def test_a_store_is_made_without_a_connection_and_hides_its_password() -> None:
    """Nothing listens there, and that is found out at the first call."""
    store = RedisStore(NOBODY)
    assert repr(store) == "RedisStore('127.0.0.1:1')"
    assert repr(store.awaiting()) == "AsyncRedisStore('127.0.0.1:1')"
    assert store.epoch is None


def test_a_server_that_is_not_there_is_told(get: Get) -> None:
    """With its address; the call may be tried again."""
    error = failure(get, RedisStore(NOBODY))
    assert str(error).startswith("The session store at 127.0.0.1:1 could not be reached.")
    assert error.retryable


def test_a_wrong_password_is_told(serve: Serve, make: Make, get: Get) -> None:
    """It is not tried again, and not shown; the right one works, with a user and without."""
    server = serve(f"--requirepass {PASSWORD}", f"--user ada on >{PASSWORD} ~* +@all")
    place = f"127.0.0.1:{server.port}"
    for wrong in (f"redis://{place}", f"redis://:s3cr3t@{place}", f"redis://user:s3cr3t@{place}"):
        error = failure(get, make(wrong))
        assert str(error) == f"The session store at {place} refused us. Check user, password and rights in the URL."
        assert not error.retryable
    for right in (f"redis://:{PASSWORD}@{place}", f"redis://ada:{PASSWORD}@{place}/0"):
        assert get(make(right), "s") is None


def test_a_user_without_rights_is_told(serve: Serve, make: Make, get: Get) -> None:
    """One that may not run scripts, or not see our keys."""
    server = serve("--user ada on >s3cr3t ~other:* +@all", "--user kari on >s3cr3t ~* +@read")
    error = failure(get, make(f"redis://ada:s3cr3t@127.0.0.1:{server.port}"))
    assert "refused us" in str(error)
    assert not error.retryable
    reader = make(f"redis://kari:s3cr3t@127.0.0.1:{server.port}")
    assert get(reader, "s") is None
    with pytest.raises(StoreError, match="refused us"):
        reader.save_tokens("s", TOKENS)


@pytest.fixture(params=["loopback", "elsewhere"])
def encrypted(request: pytest.FixtureRequest, serve: Serve) -> tuple[str, str]:
    """Where a server speaks TLS only, and for which host its certificate is."""
    port = free_port()
    name = CERTIFICATES / f"{request.param}.pem"
    tls = f"--tls-port {port} --tls-cert-file {name} --tls-key-file {name} --tls-auth-clients no"
    try:
        serve(tls, f"--tls-ca-cert-file {CERTIFICATES / 'issuer.pem'}")
    except AssertionError:
        if os.environ.get("TEST_REDIS") == "required":
            raise
        pytest.skip("this server was built without TLS")
    return f"rediss://127.0.0.1:{port}", request.param


def test_over_tls_a_server_must_be_the_one_that_was_meant(encrypted: tuple[str, str], make: Make, get: Get) -> None:
    """A certificate for another host, or of an unknown authority, ends the connection before a password is sent."""
    url, host = encrypted
    trusted = f"{url}?ssl_ca_certs={CERTIFICATES / 'issuer.pem'}"
    if host == "loopback":
        assert get(make(trusted), "s") is None
    for wrong in (url, *([trusted] if host == "elsewhere" else [])):
        error = failure(get, make(wrong))
        assert "could not be trusted: its certificate does not fit the address" in str(error)
        assert not error.retryable


@pytest.mark.parametrize("port", ["plain", pytest.param("tls", marks=pytest.mark.slow)])
def test_what_is_no_redis_is_told(get: Get, server: RedisServer, make: Make, port: str) -> None:
    """A server that says something else, or nothing of TLS."""
    if port == "tls":
        error = failure(get, make(f"rediss://127.0.0.1:{server.port}"))
        assert "127.0.0.1" in str(error)
        return
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            for _ in range(9):
                try:
                    there, _ = listening.accept()
                except OSError:
                    return
                there.recv(4096)
                there.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                there.close()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        error = failure(get, make(f"redis://127.0.0.1:{listening.getsockname()[1]}"))
        assert "127.0.0.1" in str(error)


def test_a_killed_server_is_told_and_found_again(serve: Serve, make: Make, get: Get) -> None:
    """With an append-only file that is written at once nothing is lost; `epoch` tells that it is another run."""
    server = serve("--appendonly yes", "--appendfsync always")
    store = make(server)
    store.save_tokens("s", TOKENS)
    assert get(store, "s") == TOKENS
    before = store.epoch
    assert before is not None
    server.kill()
    error = failure(get, store)
    assert "could not be reached" in str(error)
    assert error.retryable
    server.start()
    assert get(store, "s") == TOKENS
    assert store.epoch not in (None, before)


def test_a_connection_that_was_closed_meanwhile_is_no_trouble(server: RedisServer, make: Make) -> None:
    """An idle one that the server or a firewall ended is opened again, and it is still the same run."""
    store = make(server)
    store.save_tokens("s", TOKENS)
    before = store.epoch
    with server.client() as inside:
        inside.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert store.tokens("s") == TOKENS
        inside.execute_command("SCRIPT", "FLUSH")
        assert store.acquire("s", "poll", "me", 100.0, 12.0) == "me"
    assert store.epoch == before


def test_a_suspended_server_hangs_nobody(serve: Serve, make: Make, get: Get) -> None:
    """A call ends in seconds with an error, and works once the server goes on."""
    server = serve()
    store = make(server)
    store.save_tokens("s", TOKENS)
    server.suspend()
    began = time.monotonic()
    error = failure(get, store)
    assert time.monotonic() - began < 60
    assert "did not answer within 3 s" in str(error)
    assert error.retryable
    server.resume()
    assert get(store, "s") == TOKENS


def test_a_full_server_keeps_the_chats_that_it_has(serve: Serve, make: Make) -> None:
    """New ones are refused in one sentence; what is there is renewed, acknowledged, given back and deleted."""
    server = serve("--maxmemory-policy noeviction")
    store = make(server)
    store.save_tokens("s", TOKENS)
    store.save_conversation("s", StoredConversation(id="c"))
    store.acquire("s", "poll", "me", 100.0, 12.0)
    store.journal("s", "me", None, [Unread(seq=1, conversation_id="c", raw={"n": 1})])
    with server.client() as inside:
        if int(inside.info()["redis_version"].partition(".")[0]) < 7:
            pytest.skip("before version 7 a full server refuses every script that writes")
        inside.config_set("maxmemory", 1)
        for refused in (
            lambda: store.save_tokens("t", TOKENS),
            lambda: store.journal("s", "me", None, [Unread(seq=2, raw={"n": 2})]),
            lambda: store.save_conversation("s", StoredConversation(id="d")),
        ):
            with pytest.raises(StoreError, match=r"is full \(maxmemory, noeviction\), and nothing was") as raised:
                refused()
            assert not raised.value.retryable
        store.save_tokens("s", evolve(TOKENS, generation=2))
        assert store.acquire("s", "refresh", "me", 101.0, 12.0) == "me"
        assert store.renew("s", "poll", "me", 101.0, 12.0)
        assert store.unpolled(101.0, 12.0, 9) == []
        assert store.acknowledge("s", "me", "c", 1, "1", "mark")
        found = store.load("s")
        assert found is not None
        assert (found.tokens.generation, found.unread, list(found.conversations)) == (2, {}, ["c"])
        assert store.load("t") is None
        store.release("s", "poll", "me")
        store.delete("s")
        inside.config_set("maxmemory", 0)
    store.save_tokens("t", TOKENS)
    assert list(store.sessions(200.0, 12.0)) == ["t"]


def test_a_server_that_throws_keys_away_is_warned_of(
    serve: Serve, make: Make, caplog: pytest.LogCaptureFixture, get: Get
) -> None:
    """Once, with what to set; a server without a limit needs no warning."""
    server = serve("--maxmemory 100mb", "--maxmemory-policy allkeys-lru")
    with caplog.at_level(logging.WARNING, "puzzel_chat"):
        store = make(server)
        for _ in range(2):
            get(store, "s")
        assert [one.getMessage() for one in caplog.records if "allkeys-lru" in one.getMessage()] != []
        assert len(caplog.records) == 1
        assert "Set it to noeviction" in caplog.text
        caplog.clear()
        get(make(serve("--maxmemory-policy allkeys-lru")), "s")
        assert caplog.records == []


def test_a_server_that_is_loading_or_read_only_may_be_asked_again(serve: Serve, make: Make) -> None:
    """A replica takes no writes, and says so."""
    main = serve("--repl-diskless-sync-delay 0")
    replica = serve(f"--replicaof 127.0.0.1 {main.port}", "--repl-diskless-sync-delay 0")
    store = make(replica)
    with replica.client() as inside:
        until(lambda: inside.info("replication")["master_link_status"] == "up")
    with pytest.raises(StoreError, match="takes no writes just now") as raised:
        store.save_tokens("s", TOKENS)
    assert raised.value.retryable


@pytest.mark.slow
def test_a_replica_that_becomes_the_master_is_another_epoch(serve: Serve, make: Make) -> None:
    """So that what the last second wrote there in vain is put back."""
    main = serve("--repl-diskless-sync-delay 0")
    replica = serve(f"--replicaof 127.0.0.1 {main.port}", "--repl-diskless-sync-delay 0")
    store, before = make(replica), make(main)
    with replica.client() as inside:
        until(lambda: inside.info("replication")["master_link_status"] == "up")
        before.save_tokens("s", TOKENS)
        until(lambda: store.tokens("s") == TOKENS)
        as_replica = store.epoch
        inside.execute_command("REPLICAOF", "NO", "ONE")
        inside.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    store.save_tokens("t", TOKENS)
    assert len({before.epoch, as_replica, store.epoch}) == 3


def test_a_closed_store_says_so(server: RedisServer, make: Make) -> None:
    """Both kinds, with what to do."""
    store = make(server)
    store.close()
    with pytest.raises(StoreError, match="was closed; open a new RedisStore"):
        store.tokens("s")

    async def use() -> None:
        twin = make(server).awaiting()
        await twin.tokens("s")
        await twin.close()
        await twin.tokens("s")

    with pytest.raises(StoreError, match="was closed; open a new RedisStore"):
        asyncio.run(use())


def test_keys_of_another_program_are_told(server: RedisServer, make: Make, get: Get) -> None:
    """What stands under our prefix and is no session of ours."""
    store = make(server, prefix="foreign")
    with server.client() as inside:
        inside.set("foreign:{s}:session", "theirs")
        error = failure(get, store)
        assert "Choose another prefix" in str(error)
        inside.delete("foreign:{s}:session")


def test_what_cannot_be_written_fails_alone(server: RedisServer, make: Make) -> None:
    """Half of a character in an id is the caller's error; calls beside it in the same round trip are done."""
    store = make(server)
    store.save_tokens("s", TOKENS)

    async def use() -> list[Any]:
        twin = store.awaiting()
        calls = [twin.tokens("s"), twin.tokens("\ud800"), twin.find("\ud800"), twin.tokens("s")]
        found = await asyncio.gather(*calls, return_exceptions=True)
        await twin.close()
        return found

    first, wrong, odd, last = asyncio.run(use())
    assert (first, last) == (TOKENS, TOKENS)
    for one in (wrong, odd):
        assert isinstance(one, StoreError)
        assert "cannot be written" in str(one)
