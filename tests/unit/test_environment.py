"""What the environment may do to a client: name a proxy, name certificates, or be wrong, which is told, never raw."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from answering import OK, says, server, talking
from hostile import Asked, Said, Service
from ports import dead_port
from puzzel_chat import (
    AsyncPuzzelChat,
    ConfigurationError,
    PollingLoop,
    PuzzelChat,
    PuzzelChatError,
    TransportError,
    __version__,
    _exit,
)
from puzzel_chat import _environment as environment
from puzzel_chat._clock import Clock
from puzzel_chat._environment import way_to
from puzzel_chat._fleet._extra import fleet_transport
from puzzel_chat._http import Reply, Request
from puzzel_chat._settings import Settings
from puzzel_chat._store import MemoryStore
from puzzel_chat._transport import new_client, reachable
from quick import quick_only
from telling import told_by

POLL = Request(operation="pollConversation", method="GET", path="/api/conversation")
CERTIFICATES = Path(__file__).parent / "certificates"
AUTHORITY = str(CERTIFICATES / "authority.pem")
PASSWORD = "pa55w0rd"
CHAT = "https://chat.example"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
VARIABLES = (*PROXIES, "SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE", "REQUEST_METHOD")
Send = Callable[..., Reply]
TOKENS = {"access_token": "a1", "refresh_token": "r1", "expires_in": 600, "token_type": "Bearer"}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set but what a test sets."""
    clear(monkeypatch)


def clear(patched: pytest.MonkeyPatch) -> None:
    """Take every variable out, in either case."""
    for name in VARIABLES:
        patched.delenv(name, raising=False)
        patched.delenv(name.lower(), raising=False)


def through(url: str) -> str | None:
    """The proxy on the way to an address."""
    found = way_to(Settings(base_url=url, solution_id="7", allow_insecure_http=True).address("communication")).proxy
    return str(found) if found else None


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({}, "https://chat.example", None),
        ({"HTTPS_PROXY": "http://p.example:3128"}, "https://chat.example", "p.example:3128 (HTTPS_PROXY)"),
        ({"https_proxy": "p.example:3128"}, "https://chat.example", "p.example:3128 (https_proxy)"),
        ({"https_proxy": "http://a.example", "HTTPS_PROXY": "http://b.example"}, CHAT, "a.example:80 (https_proxy)"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://b.example"}, "https://chat.example", None),
        ({"ALL_PROXY": "https://p.example"}, "https://chat.example", "p.example:443 (ALL_PROXY)"),
        ({"ALL_PROXY": "http://a.example", "HTTPS_PROXY": " http://b.example "}, CHAT, "b.example:80 (HTTPS_PROXY)"),
        ({"HTTP_PROXY": "http://p.example"}, "https://chat.example", None),
        ({"HTTP_PROXY": "http://[2001:db8::1]:80"}, "http://chat.example", "[2001:db8::1]:80 (HTTP_PROXY)"),
        ({"HTTP_PROXY": "http://p.example", "REQUEST_METHOD": "GET"}, "http://chat.example", None),
        ({"http_proxy": "http://p.example", "REQUEST_METHOD": "GET"}, "http://c.example", "p.example:80 (http_proxy)"),
        ({"ALL_PROXY": f"http://ada:{PASSWORD}@p.example:8"}, "https://chat.example", "p.example:8 (ALL_PROXY)"),
        ({"ALL_PROXY": "socks5h://p.example"}, "https://chat.example", "p.example:1080 (ALL_PROXY)"),
        ({"ALL_PROXY": "nonsense://"}, "http://127.0.0.1:1", None),
        ({"ALL_PROXY": "nonsense://"}, "http://[::1]:1", None),
        ({"ALL_PROXY": "nonsense://", "NO_PROXY": "chat.example"}, "https://chat.example", None),
    ],
)  # fmt: skip
def test_the_proxy_is_the_one_that_other_programs_would_use(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], url: str, expected: str | None
) -> None:
    """Lower case wins, the scheme's own wins over ALL_PROXY, and a CGI program takes no HTTP_PROXY from a client."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert through(url) == expected


MEANS = [
    ("*", "https://chat.example"),
    ("chat.example", "https://chat.example"),
    ("CHAT.example.", "https://chat.example"),
    ("example", "https://chat.example"),
    (".example", "https://chat.example"),
    (".chat.example", "https://chat.example"),
    ("*.example", "https://chat.example"),
    ("other.example  chat.example", "https://chat.example"),
    (",, ,chat.example,", "https://chat.example"),
    ("chat.example:443", "https://chat.example"),
    ("chat.example:8443", "https://chat.example:8443"),
    ("https://chat.example", "https://chat.example"),
    ("all://chat.example/", "https://chat.example"),
    ("10.1.2.3", "https://10.1.2.3"),
    ("10.0.0.0/8", "https://10.1.2.3"),
    ("10.1.2.3/8", "https://10.1.2.3"),
    ("2001:db8::1", "https://[2001:db8::1]"),
    ("[2001:db8::1]", "https://[2001:DB8:0::1]"),
    ("[2001:db8::1]:443", "https://[2001:db8::1]"),
    ("2001:db8::/32", "https://[2001:db8::1]"),
    ("b\u00fccher.example", "https://xn--bcher-kva.example"),
]
MEANS_NOT = [
    ("", "https://chat.example"),
    ("hat.example", "https://chat.example"),
    ("chat.example.org", "https://chat.example"),
    ("chat.example:80", "https://chat.example"),
    ("chat.example:nonsense", "https://chat.example"),
    ("http://chat.example", "https://chat.example"),
    ("10.0.0.0/8", "https://11.1.2.3"),
    ("::1/128", "https://chat.example"),
    ("::1/999", "https://[2001:db8::1]"),
    ("[::1", "https://[2001:db8::1]"),
    ("]:[:", "https://chat.example"),
    ("://", "https://chat.example"),
    (".", "https://chat.example"),
    ("a" * 70 + "\u00fc.example", "https://chat.example"),
]


@pytest.mark.parametrize(("entries", "url"), MEANS)
def test_no_proxy_understands_names_addresses_networks_and_ports(
    monkeypatch: pytest.MonkeyPatch, entries: str, url: str
) -> None:
    """However people write them (encode/httpx#3221, #3574)."""
    monkeypatch.setenv("ALL_PROXY", "http://p.example:3128")
    monkeypatch.setenv("NO_PROXY", entries)
    assert through(url) is None


@pytest.mark.parametrize(("entries", "url"), MEANS_NOT)
def test_what_makes_no_sense_in_no_proxy_means_nobody(monkeypatch: pytest.MonkeyPatch, entries: str, url: str) -> None:
    """Nor does an entry for another host or port; and nothing of it is an error."""
    monkeypatch.setenv("ALL_PROXY", "http://p.example:3128")
    monkeypatch.setenv("no_proxy", entries)
    assert through(url) == "p.example:3128 (ALL_PROXY)"


MAKERS: dict[str, Callable[..., object]] = {
    "sync": lambda **settings: PuzzelChat(**settings).close(),
    "async": lambda **settings: AsyncPuzzelChat(**settings),
    "fleet": lambda **settings: fleet_transport(Settings(**settings), 5),
    "from_env": lambda **settings: PuzzelChat.from_env(**settings),
    "with_options": lambda **settings: PuzzelChat("http://127.0.0.1:1", "7").with_options(**settings),
}
WRONG: dict[str, tuple[dict[str, str], str]] = {
    "socks": ({"ALL_PROXY": "socks://p.example:1"}, r"ALL_PROXY: 'socks://p\.example:1' .*write socks5://"),
    "scheme": ({"HTTPS_PROXY": "ftp://p.example"}, r"HTTPS_PROXY: 'ftp://p\.example' is no proxy of a kind .*http://"),
    "port": ({"https_proxy": "http://p.example:99999"}, r"https_proxy: .*write it as http://host:port"),
    "port of letters": ({"HTTPS_PROXY": f"http://p.example:{PASSWORD}"}, r"HTTPS_PROXY: 'http://p\.example:…' is no"),
    "no host": ({"HTTPS_PROXY": "http://"}, "HTTPS_PROXY: 'http://' is no address"),
    "blank": ({"HTTPS_PROXY": "http://p .example"}, "HTTPS_PROXY: .* is no address"),
    "brackets": ({"ALL_PROXY": "http://[::1"}, "ALL_PROXY: .* is no address"),
    "a long name": ({"ALL_PROXY": f"http://{'a' * 64}.example:1"}, "ALL_PROXY: .* is no address"),
    "a name that httpx refuses": ({"ALL_PROXY": "http://xn--/"}, "ALL_PROXY: 'http://xn--' is no address"),
    "password": ({"ALL_PROXY": f"socks://ada:{PASSWORD}@p.example"}, r"ALL_PROXY: 'socks://\*\*\*@p\.example'"),
    "odd password": ({"ALL_PROXY": f"http://a:{PASSWORD}/#@p.example:x"}, r"ALL_PROXY: 'http://\*\*\*@p\.example:…'"),
    "no file": ({"SSL_CERT_FILE": "nowhere.pem"}, r"SSL_CERT_FILE: 'nowhere\.pem' cannot be used \(No such file"),
    "a folder": ({"SSL_CERT_FILE": "/"}, r"SSL_CERT_FILE: '/' cannot be used \(Is a directory\); name a file"),
    "no PEM": ({"SSL_CERT_FILE": __file__}, r"SSL_CERT_FILE: .* \(it holds no certificate\); name a file"),
    "no folder": ({"SSL_CERT_DIR": "nowhere"}, "SSL_CERT_DIR: 'nowhere' is no directory"),
    "key log": ({"SSLKEYLOGFILE": "/nowhere/keys"}, "SSLKEYLOGFILE: '/nowhere/keys' cannot be used .*can be written"),
}
QUICK = ("socks", "port of letters", "odd password", "no file", "no PEM", "key log")


@pytest.mark.parametrize("wrong", quick_only(QUICK, WRONG))
@pytest.mark.parametrize("maker", MAKERS)
def test_a_variable_that_is_wrong_is_named_when_the_client_is_made(
    monkeypatch: pytest.MonkeyPatch, maker: str, wrong: str
) -> None:
    """With its value, without its password, and with what to do; before any session is opened."""
    variables, told = WRONG[wrong]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"^{told}") as raised:
        MAKERS[maker](base_url="https://chat.example", solution_id="7")
    assert raised.value.setting == next(iter(variables))
    assert PASSWORD not in told_by(raised.value)


@pytest.mark.parametrize("wrong", quick_only(QUICK, WRONG))
def test_what_is_not_used_cannot_hurt(monkeypatch: pytest.MonkeyPatch, send: Send, wrong: str) -> None:
    """A service on this machine is reached over plain http without proxy and certificates, whatever is set."""
    for name, value in WRONG[wrong][0].items():
        monkeypatch.setenv(name, value)
    with server(says(OK)) as address:
        assert send(address, POLL).body == b"{}"


def test_the_other_schemes_variable_does_not_hurt(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY is not for https, nor HTTPS_PROXY for http, and a service of NO_PROXY needs none."""
    monkeypatch.setenv("HTTP_PROXY", "socks://p")
    PuzzelChat("https://chat.example", "7").close()
    monkeypatch.setenv("HTTPS_PROXY", "socks://p")
    monkeypatch.setenv("NO_PROXY", "chat.example")
    PuzzelChat("https://chat.example", "7").close()


def test_socks_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra of the HTTP library."""
    monkeypatch.setenv("ALL_PROXY", "socks5://p.example:1080")
    PuzzelChat("https://chat.example", "7").close()
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"ALL_PROXY: .*pip install 'httpx\[socks\]'"):
        PuzzelChat("https://chat.example", "7")


def test_a_file_that_goes_away_is_our_error_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, send: Send) -> None:
    """The certificates are loaded with the first request, which may be long after the client was made."""
    file = tmp_path / "authority.pem"
    file.write_bytes(Path(AUTHORITY).read_bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with PuzzelChat("https://chat.invalid", "7") as chat:
        file.unlink()
        with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
            chat.connect()


def test_a_folder_of_certificates_is_trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, send: Send) -> None:
    """As OpenSSL wants it: each file is named by the hash of its subject."""
    (tmp_path / "68d5ed6f.0").write_bytes(Path(AUTHORITY).read_bytes())
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    with talking(CERTIFICATES / "chat.pem") as address:
        assert send(address, POLL).body == b"{}"


@contextmanager
def tunnel(certificate: str) -> Iterator[tuple[str, list[str]]]:
    """A proxy that opens each way to one service of its own, over TLS with that certificate; and what it hears."""
    heard: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / certificate)

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        with context.wrap_socket(connection, server_side=True) as inside:
            heard.append(inside.recv(65536).decode())
            says(OK)(inside)

    with server(answer, heard) as address:
        yield address, heard


@pytest.mark.parametrize("variable", quick_only(["https_proxy"], ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"]))
def test_a_proxy_is_used_and_given_its_password(monkeypatch: pytest.MonkeyPatch, send: Send, variable: str) -> None:
    """Each transport sends the same host to it, and the request through it, encrypted."""
    monkeypatch.setenv("SSL_CERT_FILE", AUTHORITY)
    with tunnel("chat.pem") as (address, heard):
        monkeypatch.setenv(variable, address.replace("//", f"//ada:{PASSWORD}@"))
        assert send("https://chat.example", POLL, timeout=5).body == b"{}"
    asked, inside = heard
    assert asked.startswith("CONNECT chat.example:443 HTTP/1.1")
    assert "proxy-authorization: basic ywrhonbhntv3mhjk" in asked.lower()
    assert inside.startswith("GET /api/conversation HTTP/1.1")
    assert "roxy-" not in inside


def test_plain_http_goes_through_a_proxy_too(monkeypatch: pytest.MonkeyPatch, send: Send) -> None:
    """As a request with the whole address."""
    heard: list[str] = []
    with server(says(OK), heard) as address:
        monkeypatch.setenv("HTTP_PROXY", address)
        assert send("http://chat.example:8080/eu", POLL, timeout=5, allow_insecure_http=True).body == b"{}"
    assert heard[0].startswith("GET http://chat.example:8080/eu/api/conversation HTTP/1.1")


def test_a_client_tells_its_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """By host, with the variable and without the password."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://ada:{PASSWORD}@p.example:3128")
    monkeypatch.setenv("NO_PROXY", "id.example")
    made: list[Any] = [
        kind("https://chat.example", "7", identity_url="https://id.example") for kind in (PuzzelChat, AsyncPuzzelChat)
    ]
    named = dict.fromkeys(("communication", "upload"), "p.example:3128 (HTTPS_PROXY)")
    assert [chat.proxies for chat in made] == [named] * 2
    assert PuzzelChat("http://127.0.0.1:1", "7").proxies == {}
    assert PASSWORD not in repr([vars(chat._transport) for chat in made])


# The settings that say the same.


@pytest.mark.parametrize("setting", ["http://127.0.0.1:PORT", "127.0.0.1:PORT", " http://ada:pw@127.0.0.1:PORT "])
def test_the_proxy_of_the_settings_is_used(monkeypatch: pytest.MonkeyPatch, send: Send, setting: str) -> None:
    """It wins over the environment's and over NO_PROXY, also for a service on this machine."""
    heard: list[str] = []
    with server(says(OK), heard) as address, server(says("HTTP/1.1 500 X\n\n")) as wrong:
        monkeypatch.setenv("ALL_PROXY", wrong)
        monkeypatch.setenv("NO_PROXY", "*")
        proxy = setting.replace("PORT", address.rpartition(":")[2])
        assert send("http://127.0.0.1:1/eu", POLL, proxy=proxy, timeout=5).status == 200
    assert heard[0].startswith("GET http://127.0.0.1:1/eu/api/conversation HTTP/1.1")
    assert ("roxy-authorization: basic" in heard[0].lower()) == ("@" in setting)


def test_both_settings_hold_in_a_tunnel(monkeypatch: pytest.MonkeyPatch, send: Send) -> None:
    """Through the proxy of the settings the host is trusted whom they name."""
    monkeypatch.setenv("SSL_CERT_FILE", "nowhere.pem")
    monkeypatch.setenv("HTTPS_PROXY", "nonsense://")
    with tunnel("chat.pem") as (address, heard):
        given = {"proxy": address.replace("//", f"//ada:{PASSWORD}@"), "verify": AUTHORITY}
        assert send("https://chat.example", POLL, timeout=5, **given).body == b"{}"
    assert "proxy-authorization: basic ywrhonbhntv3mhjk" in heard[0].lower()


@pytest.mark.parametrize("wrong", [key for key in WRONG if next(iter(WRONG[key][0])).lower().endswith("_proxy")])
@pytest.mark.parametrize("maker", MAKERS)
def test_a_proxy_of_the_settings_that_is_wrong_is_told(maker: str, wrong: str) -> None:
    """As that of a variable is, by the name of the setting and without its password."""
    ((variable, proxy),) = WRONG[wrong][0].items()
    told = WRONG[wrong][1].replace(variable, "proxy")
    with pytest.raises(ConfigurationError, match=f"^{told}") as raised:
        MAKERS[maker](base_url="http://127.0.0.1:1", solution_id="7", proxy=proxy)
    assert raised.value.setting == "proxy"
    assert PASSWORD not in told_by(raised.value)


def test_a_proxy_of_the_settings_is_named_in_failures(send: Send) -> None:
    """With the setting to change; NO_PROXY would not help."""
    with server(says("HTTP/1.1 403 Forbidden\nContent-Length: 0\n\n")) as address:
        with pytest.raises(TransportError, match=r"the proxy 127\.0\.0\.1:\d+ \(proxy\)") as raised:
            send("https://chat.example", POLL, proxy=address, timeout=5)
        assert "NO_PROXY" not in str(raised.value)


TRUSTED: dict[str, Callable[[Path], Any]] = {
    "file": lambda folder: folder / "authority.pem",
    "text": lambda folder: str(folder / "authority.pem"),
    "folder": lambda folder: folder,
}


@pytest.mark.parametrize("trusted", TRUSTED)
def test_the_authority_of_the_settings_is_trusted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, send: Send, trusted: str
) -> None:
    """A file, or each file of a folder that holds some, whatever it is called; the environment is not asked."""
    monkeypatch.setenv("SSL_CERT_FILE", "nowhere.pem")
    (tmp_path / "authority.pem").write_bytes(Path(AUTHORITY).read_bytes())
    (tmp_path / "README").write_text("no certificate")
    (tmp_path / "inner").mkdir()
    with talking(CERTIFICATES / "chat.pem") as address:
        assert send(address, POLL, verify=TRUSTED[trusted](tmp_path)).body == b"{}"


@pytest.mark.parametrize("send", ["sync", "async"], indirect=True)
def test_nobody_else_is_trusted_then(monkeypatch: pytest.MonkeyPatch, send: Send) -> None:
    """Neither whom the environment names, nor an authority beside it; polls over [fleet] trust the system's too."""
    monkeypatch.setenv("SSL_CERT_FILE", AUTHORITY)
    with talking(CERTIFICATES / "chat.pem") as address:
        with pytest.raises(TransportError, match="name the certificate of who signed it in verify or SSL_CERT_FILE"):
            send(address, POLL, verify=str(CERTIFICATES / "issuer.pem"))
        context = ssl.create_default_context(cafile=CERTIFICATES / "issuer.pem")
        with pytest.raises(TransportError, match="certificate"):
            send(address, POLL, verify=context)
        assert send(address, POLL, verify=ssl.create_default_context(cafile=AUTHORITY)).body == b"{}"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nowhere.pem", r"'nowhere\.pem' cannot be used \(No such file"),
        (__file__, r".* holds no certificate; name a file"),
        (str(Path(__file__).parents[1] / "cli"), r".* holds no certificate; name a file"),
    ],
)
@pytest.mark.parametrize("maker", MAKERS)
def test_an_authority_that_cannot_be_read_is_told(maker: str, path: str, told: str) -> None:
    """When the client is made, by the name of the setting."""
    with pytest.raises(ConfigurationError, match=f"^verify: {told}") as raised:
        MAKERS[maker](base_url="https://chat.example", solution_id="7", verify=path)
    assert raised.value.setting == "verify"


def test_headers_of_the_settings_go_with_each_request(send: Send) -> None:
    """To each host, beside ours and the token; a User-Agent takes the place of ours."""
    with Service(lambda asked: Said()) as service:
        send(service.base_url, POLL, POLL, headers={"X-Gateway-Key": "sesam", "user-agent": "mine/1"})
        send(service.base_url, POLL)
    first, second, plain = (asked.headers for asked in service.asked)
    assert (first["x-gateway-key"], second["x-gateway-key"], first["user-agent"]) == ("sesam", "sesam", "mine/1")
    assert first["authorization"].startswith("Bearer ")
    assert first["accept"].startswith("application/json")
    assert plain["user-agent"] == f"puzzel-chat/{__version__} python/{sys.version_info[0]}.{sys.version_info[1]}"


def test_a_client_sends_its_headers_to_both_hosts(connect: Callable[..., Any]) -> None:
    """The request for a token has them too."""
    with Service(answer) as identity, Service(answer) as service:
        urls = {"base_url": service.base_url, "identity_url": identity.base_url}
        chat = connect(**urls, solution_id="7", headers={"X-Gateway-Key": "sesam"})
        chat.connect().queue_info("1")
    assert [asked.headers["x-gateway-key"] for asked in identity.asked + service.asked] == ["sesam", "sesam"]


def test_a_client_gives_its_tls() -> None:
    """That of its settings, for connections of one's own to the same hosts."""
    context = ssl.create_default_context()
    for kind in (PuzzelChat, AsyncPuzzelChat):
        assert kind(CHAT, "7", verify=context).tls_context() is context
        assert len(kind(CHAT, "7", verify=AUTHORITY).tls_context().get_ca_certs()) == 1


def test_the_environment_is_read_when_a_client_is_made(monkeypatch: pytest.MonkeyPatch, send: Send) -> None:
    """And not again with each request."""
    with PuzzelChat("https://chat.invalid", "7") as chat:
        monkeypatch.setattr(Clock, "uniform", lambda self, low, high: low)
        chat._transport._pool()
        monkeypatch.setattr(environment, "getproxies", lambda: pytest.fail("read again"))
        monkeypatch.setenv("ALL_PROXY", "socks://p.example")
        with pytest.raises(TransportError):
            chat.connect()


def test_unused_connections_are_kept_as_long_over_each_library() -> None:
    """Less than the least patient servers keep theirs."""
    settings = Settings(base_url="http://127.0.0.1:1", solution_id="7")
    client = new_client(httpx.Client, reachable(settings).values(), settings)
    assert client._transport._pool._keepalive_expiry == 4.0  # type: ignore[attr-defined]


def answer(asked: Asked) -> Said:
    """A service that opens a session, and whose queue is open."""
    return Said(TOKENS if "token" in asked.path else {"id": 1, "isOpen": True})


GOOD_PROXIES = ["http://127.0.0.1:DEAD", "127.0.0.1:DEAD", "http://proxy.invalid:1", "http://127.0.0.1:RUDE"]
ODD_PROXIES = [
    "",
    " ",
    "socks://127.0.0.1:DEAD",
    "socks5://127.0.0.1:DEAD",
    "socks5h://127.0.0.1:RUDE",
    "socks4://x",
    "https://127.0.0.1:RUDE",
    "http://ada:" + PASSWORD + "@127.0.0.1:RUDE",
    "http://ada:" + PASSWORD + "@:1",
    "http://[::1",
    "http://[::1]:DEAD",
    "http://127.0.0.1:0",
    "http://127.0.0.1:99999",
    "http://b\u00fccher.invalid:1",
    "http://" + "a" * 70,
    "http://..:1",
    "http://xn--:1",
    "http://127.0.0.1:RUDE/x?y#z",
    "\udce9\udcff",
    "://",
    "http:",
    "http://%zz@127.0.0.1:DEAD",
    "HTTP://127.0.0.1:DEAD",
    "file:///etc/passwd",
    "http://127.0.0.1:DEAD, http://p",
]
PLACES = ["", " ", "nowhere", "/", os.devnull, __file__, AUTHORITY, str(CERTIFICATES), "a\udce9"]
NO_PROXIES = [
    "",
    "*",
    "chat.invalid",
    "::1/128",
    "::1",
    "[::1",
    "127.0.0.1:99999",
    "http://[",
    "\udce9",
    ",,",
    "10.0.0.0/99",
]
VALUES: dict[str, st.SearchStrategy[str]] = {
    **{name: st.sampled_from(GOOD_PROXIES + ODD_PROXIES) for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")},
    **{name: st.sampled_from(GOOD_PROXIES + ODD_PROXIES) for name in ("http_proxy", "https_proxy", "all_proxy")},
    **{name: st.lists(st.sampled_from(NO_PROXIES), max_size=3).map(",".join) for name in ("NO_PROXY", "no_proxy")},
    **{name: st.sampled_from(PLACES) for name in ("SSL_CERT_FILE", "SSL_CERT_DIR")},
    "SSLKEYLOGFILE": st.sampled_from(["", "/nowhere/keys", "/", os.devnull]),
    "REQUEST_METHOD": st.sampled_from(["", "GET"]),
}
ENVIRONMENTS = st.fixed_dictionaries({}, optional=VALUES)


def survives(base_url: str) -> list[PuzzelChatError]:
    """Make each client, open a session, poll, close; give the errors, which are all of the tree or leave here raw."""
    failed: list[PuzzelChatError] = []

    def blocking() -> None:
        with PuzzelChat(base_url, "7", timeout=2) as chat:
            chat.connect()

    async def awaiting() -> None:
        async with AsyncPuzzelChat(base_url, "7", timeout=2) as chat:
            await chat.connect()

    async def fast() -> None:
        transport = fleet_transport(Settings(base_url=base_url, solution_id="7", timeout=2), 5)
        try:
            await transport.send(POLL, "t")
        finally:
            await transport.aclose()

    for work in (blocking, lambda: asyncio.run(awaiting()), lambda: asyncio.run(fast())):
        try:
            work()
        except PuzzelChatError as error:
            failed.append(error)
    return failed


def rude(connection: socket.socket) -> None:
    """What is no proxy of any kind."""
    says("SSH-2.0-nothing\n\n")(connection)


def nothing_raw(given: dict[str, str]) -> None:
    """Set these, and check what comes out of each client."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patched:
        patched.setattr(Clock, "uniform", lambda self, low, high: 0.0)
        # One authority is read faster than the 140 that the library brings.
        patched.setattr(httpx, "create_ssl_context", lambda **_: ssl.create_default_context(cafile=AUTHORITY))
        clear(patched)
        places = {"DEAD": str(stack.enter_context(dead_port()))}
        places["RUDE"] = stack.enter_context(server(rude)).rpartition(":")[2]
        for name, value in given.items():
            for place, port in places.items():
                value = value.replace(place, port)
            patched.setenv(name, value)
        assert survives(stack.enter_context(Service(answer)).base_url) == []
        failed = survives("https://chat.invalid")
    assert len(failed) == 3
    for error in failed:
        assert PASSWORD not in told_by(error)
        str(error).encode()
        assert isinstance(error, TransportError) or (
            isinstance(error, ConfigurationError) and error.setting in {*given, "SSL_CERT_FILE or SSL_CERT_DIR"}
        ), error
    assert len({type(error) for error in failed[:2]}) == 1


# httpcore leaves the socket to a SOCKS proxy that is none to the garbage collector, which closes it at once.
SOCKS_LEAK = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


@SOCKS_LEAK
@profile(max_examples=8, suppress_health_check=list(HealthCheck))
@given(ENVIRONMENTS)
def test_nothing_raw_comes_out_whatever_is_set(given: dict[str, str]) -> None:
    """Only errors of the tree leave the clients; on loopback everything goes well; no password is shown."""
    nothing_raw(given)


@SOCKS_LEAK
@pytest.mark.slow
@profile(max_examples=300, suppress_health_check=list(HealthCheck))
@given(ENVIRONMENTS)
def test_nothing_raw_comes_out_whatever_else_is_set(given: dict[str, str]) -> None:
    """The same, many times."""
    nothing_raw(given)


def test_a_polling_loop_refuses_a_chat_that_it_cannot_poll(monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate file that went wrong meanwhile is told by `add`, which then has taken nothing in."""

    async def scenario() -> None:
        async with PollingLoop(fast=True) as loop, AsyncPuzzelChat(far, "7", identity_url=service.base_url) as chat:
            conversation = (await chat.connect()).conversation()
            monkeypatch.setenv("SSL_CERT_FILE", "nowhere.pem")
            with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
                loop.add(conversation, print)
            assert loop.stats().sessions == 0

    far = "https://chat.invalid"
    with Service(answer) as service:
        asyncio.run(scenario())


def test_a_proxy_that_refuses_is_told_by_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public client says which proxy, which host and which variables."""
    monkeypatch.setattr(Clock, "uniform", lambda self, low, high: 0.0)
    with server(says("HTTP/1.1 502 Bad Gateway\nContent-Length: 0\n\n")) as address:
        monkeypatch.setenv("ALL_PROXY", address)
        with (
            PuzzelChat("https://chat.example", "7") as chat,
            pytest.raises(TransportError, match="the proxy 127") as raised,
        ):
            chat.connect()
    assert "(ALL_PROXY)" in str(raised.value)


@pytest.mark.parametrize("variable", ["ALL_PROXY", "SSL_CERT_FILE", "SSLKEYLOGFILE"])
def test_the_exit_tells_what_went_wrong_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, variable: str
) -> None:
    """A program that ends with a chat going on, and can no longer reach its service, logs that and ends."""
    parts = SimpleNamespace(
        store=MemoryStore(), settings=Settings(base_url="https://chat.invalid", solution_id="7"), http_client=None
    )
    monkeypatch.setattr(_exit, "SESSIONS", [SimpleNamespace(parts=parts, going_on=lambda: ["c"])])
    monkeypatch.setenv(variable, f"socks://ada:{PASSWORD}@/nowhere/x")
    _exit.leave()
    assert "could not be ended at exit: " + variable in caplog.text
    assert PASSWORD not in caplog.text or variable != "ALL_PROXY"
