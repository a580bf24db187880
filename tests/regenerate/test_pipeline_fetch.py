"""Fetching, over real HTTP and from files: what is taken, what is refused, and who sees the secret header."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest

from pipeline.address import HEADER_VARIABLE
from pipeline.decode import decode
from pipeline.document import Object
from pipeline.intake import Fetched, fetch
from pipeline.problems import PipelineError
from ports import dead_port
from regenerate.serving import Site, a_site

DOCUMENT: Object = {"openapi": "3.0.1", "info": {"title": "Chat", "version": "1"}, "paths": {}}
JSON = json.dumps(DOCUMENT)
YAML = "openapi: 3.0.1\ninfo:\n  title: Chat\n  version: '1'\npaths: {}\n"
SECRET = "Bearer s3cr3t-of-Ada"
HEADER = f"Authorization: {SECRET}"


@pytest.fixture
def site() -> Iterator[Site]:
    """A server of the test's own."""
    with a_site() as one:
        yield one


@pytest.fixture
def elsewhere() -> Iterator[Site]:
    """Another server, which is another origin because of its port."""
    with a_site() as one:
        yield one


def page(script: str = "", head: str = "", sources: tuple[str, ...] = ()) -> str:
    loaded = "".join(f'<script src="{source}"></script>' for source in ("swagger-ui-bundle.js", *sources))
    return f'<!DOCTYPE html><head>{head}</head><div id="swagger-ui"></div>{loaded}<script>{script}</script>'


def refused(spec: str, **options: object) -> str:
    """Fetch and decode, and return the one sentence that it ends with."""
    with pytest.raises(PipelineError) as raised:
        taken(spec, **options)
    assert raised.value.exit_code == 30
    said = str(raised.value)
    assert "\n" not in said
    assert re.search(r": [a-z].*\.$", said), f"no next step: {said}"
    return said


def taken(spec: str, **options: object) -> Fetched:
    """Fetch and decode, and return what was fetched once it proved to be the document."""
    fetched = fetch(spec, **options)  # type: ignore[arg-type]
    assert decode(fetched.data, fetched.origin)[0] == DOCUMENT
    return fetched


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (JSON.encode(), {"Content_Type": "application/json"}),
        (JSON.encode(), {"Content_Type": "text/html"}),
        (JSON.encode("utf-8-sig"), {}),
        (JSON.encode("utf-16"), {}),
        (YAML.encode(), {"Content_Type": "application/octet-stream"}),
    ],
    ids=["json", "json called html", "bom", "utf-16", "yaml"],
)
def test_a_document_is_taken_with_its_bytes_untouched(site: Site, body: bytes, headers: dict[str, str]) -> None:
    """JSON and YAML come through as they are, whatever the server calls them."""
    address = site.serve("/v1.json", body, 200, **headers)
    assert taken(address) == Fetched(data=body, origin=address, told=())


def test_a_packed_document_is_unpacked(site: Site) -> None:
    """Packing is asked for and undone."""
    assert taken(site.serve("/", gzip.compress(JSON.encode()), Content_Encoding="gzip")).data == JSON.encode()
    assert site.headers_seen("Accept-Encoding") == ["gzip"]


def test_redirects_are_followed_and_told(site: Site, elsewhere: Site) -> None:
    """Relative and absolute targets are followed, to another host too, and where it ended is said."""
    end = elsewhere.serve("/chat/v1.json", JSON)
    site.serve("/a/b", "", 302, Location="../c")
    site.serve("/c", "", 308, Location=end)
    fetched = taken(f"{site.url}/a/b#/Conversation")
    assert (fetched.origin, fetched.told) == (end, (f"Redirected to {end}.",))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/loop", "redirects more than 10 times, or in a circle"),
        ("ftp://files.example/x", "is not an http or https address"),
        ("file:///etc/hostname", "is not an http or https address"),
        ("http://[::1", "gave a broken answer"),
        ("http://Ada:s3cr3t@h.example/", "was given with a user name"),
        ("//Ada:s3cr3t@[h.example?s3cr3t", "is no address"),
    ],
)
def test_a_redirect_to_nowhere_is_refused(site: Site, target: str, reason: str) -> None:
    """A circle, another scheme or no address at all ends with a sentence."""
    said = refused(site.serve("/loop", "", 302, Location=target))
    assert reason in said
    assert "s3cr3t" not in said


def test_endless_redirects_end(site: Site) -> None:
    """After ten redirects it is enough."""
    for number in range(20):
        site.serve(f"/{number}", "", 307, Location=f"/{number + 1}")
    assert "redirects more than 10 times" in refused(f"{site.url}/0")
    assert len(site.requests) == 11


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, "<html>gone</html>", "answered 404 Not Found: check the address in a browser"),
        (401, '{"error": "unauthorized"}', f"answered 401 Unauthorized: set {HEADER_VARIABLE}"),
        (403, JSON, f"answered 403 Forbidden: set {HEADER_VARIABLE}"),
        (429, "", "answered 429 Too Many Requests: wait and run again"),
        (503, JSON, "answered 503 Service Unavailable: wait and run again"),
        (599, JSON, "answered 599: wait and run again"),
        (204, "", "answered 204 No Content: check the address"),
        (304, "", "answered 304 Not Modified: check the address"),
    ],
)
def test_another_status_is_told(site: Site, status: int, body: str, reason: str) -> None:
    """The status counts before the content, and each has its next step."""
    assert reason in refused(site.serve("/v1.json", body, status))


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "bomb"])
def test_what_is_too_big_is_not_read_to_its_end(site: Site, packed: bool) -> None:
    """Fifty megabytes, or a small packed body that becomes so many, end with a sentence."""
    body = b" " * 50_000_000
    headers = {"Content_Encoding": "gzip"} if packed else {}
    address = site.serve("/", gzip.compress(body, 1) if packed else body, 200, **headers)
    assert refused(address) == f"{address} is larger than 20 MiB: give the document itself."


@pytest.mark.parametrize(
    ("encoding", "reason"),
    [
        ("br", "came packed as br"),
        ("gzip, gzip", "came packed as gzip, gzip"),
        ("gzip", "gave a broken answer (DecodingError)"),
    ],
)
def test_a_packing_that_was_not_asked_for_is_told(site: Site, encoding: str, reason: str) -> None:
    """What cannot be unpacked is not taken for a document."""
    assert reason in refused(site.serve("/", JSON, Content_Encoding=encoding))


def _stall_at_once(handler: BaseHTTPRequestHandler, over: Event) -> None:
    over.wait()


def _stall_in_the_body(handler: BaseHTTPRequestHandler, over: Event) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")
    over.wait()


def _drip_the_headers(handler: BaseHTTPRequestHandler, over: Event) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX: ")
    while not over.wait(0.01):
        handler.wfile.write(b"x")


def _drip_the_body(handler: BaseHTTPRequestHandler, over: Event) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not over.wait(0.01):
        handler.wfile.write(b" ")


@pytest.mark.parametrize("behave", [_stall_at_once, _stall_in_the_body, _drip_the_headers, _drip_the_body])
def test_a_server_that_does_not_come_to_an_end_is_left(site: Site, behave: object) -> None:
    """Nobody waits for longer than the limit, not even for a server that sends a byte at a time."""
    address = site.behave("/", behave)  # type: ignore[arg-type]
    assert f"{address} did not answer in whole within 0.2 s: check the network" in refused(address, limit=0.2)


def _break_off(handler: BaseHTTPRequestHandler, over: Event) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"{")


def _speak_nonsense(handler: BaseHTTPRequestHandler, over: Event) -> None:
    handler.wfile.write(b"220 mail.example ESMTP\r\n")


@pytest.mark.parametrize("behave", [_break_off, _speak_nonsense])
def test_a_broken_answer_is_told(site: Site, behave: object) -> None:
    """Half a body, or what is no HTTP, is not taken for a document."""
    address = site.behave("/", behave)  # type: ignore[arg-type]
    assert f"{address} gave a broken answer (RemoteProtocolError): run again" in refused(address)


def test_a_refused_connection_and_a_server_without_tls_are_told(site: Site) -> None:
    """A port where nobody listens, and one that speaks plain HTTP, are told apart."""
    with dead_port() as port:
        nobody = f"http://127.0.0.1:{port}/"
        assert f"{nobody} cannot be reached (All connection attempts failed): check the address" in refused(nobody)
    assert "cannot be reached ([SSL" in refused(site.url.replace("http:", "https:"))


def test_a_host_that_does_not_exist_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that nobody knows is not taken for a broken network."""

    def unknown(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "https://api.example/v1.json cannot be reached (" in refused("https://api.example/v1.json")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("", "No document is named"),
        ("http://", "is not an http or https address with a host"),
        ("https:///v1.json", "is not an http or https address with a host"),
        ("http://[::1", "is no address"),
        ("http://Ada:s3cr3t@h.example:99999/#s3cr3t", "http://h.example:99999/ is no address: correct its host"),
        ("http://Ada:s3cr3t℀@h.example/", "http://h.example/ is no address"),
        ("ftp://h.example/v1.json", "is not an http or https address"),
        ("https://Ada:s3cr3t@h.example/?key=s3cr3t", "https://h.example/?key=… was given with a user name"),
        ("file://h.example/v1.json", "is on another machine"),
    ],
)
def test_an_address_that_is_none_is_told(spec: str, reason: str) -> None:
    """A typing error is found before anything is sent, and a secret in it is not repeated."""
    said = refused(spec)
    assert reason in said
    assert "s3cr3t" not in said


def test_values_in_the_query_are_sent_and_not_shown(site: Site) -> None:
    """A signature in the address reaches the server and no sentence."""
    site.serve("/v1.json", JSON)
    fetched = taken(f"{site.url}/v1.json?sig=s3cr3t&s3cr3t")
    assert site.requests[0][0] == "/v1.json?sig=s3cr3t&s3cr3t"
    assert fetched.origin == f"{site.url}/v1.json?sig=…&…"


def test_the_secret_header_goes_to_the_one_asked_and_to_nobody_else(site: Site, elsewhere: Site) -> None:
    """Page, script and document on the origin that was asked for get it, those elsewhere do not."""
    document = site.serve("/v1.json", JSON)
    foreign = elsewhere.serve("/init.js", f"SwaggerUIBundle({{url: '{document}'}})")
    site.serve("/own.js", "")
    address = site.serve("/", page(sources=(foreign, "own.js")))
    fetched = taken(address, header=HEADER.replace(": ", ":  "))
    assert [path for path, _ in site.requests] == ["/", "/own.js", "/v1.json"]
    assert site.headers_seen("Authorization") == [SECRET] * 3
    assert SECRET not in repr(fetched)
    elsewhere.serve("/v1.json", JSON)
    elsewhere.serve("/init.js", "SwaggerUIBundle({url: 'v1.json'})".replace("v1", f"{elsewhere.url}/v1"))
    assert taken(address, header=HEADER).origin == f"{elsewhere.url}/v1.json"
    assert [path for path, _ in elsewhere.requests] == ["/init.js", "/init.js", "/v1.json"]
    assert elsewhere.headers_seen("Authorization") == []


def test_the_secret_header_is_gone_after_a_redirect_elsewhere(site: Site, elsewhere: Site) -> None:
    """A detour over another host cannot bring the header anywhere, not even back."""
    end = site.serve("/end", JSON)
    elsewhere.serve("/detour", "", 302, Location=end)
    address = site.serve("/start", "", 302, Location=f"{elsewhere.url}/detour")
    taken(address, header=HEADER)
    assert elsewhere.headers_seen("Authorization") == []
    assert site.headers_seen("Authorization") == [SECRET]
    site.serve("/end", "", 401)
    assert f"{HEADER_VARIABLE}, which goes to the host of SPEC= only" in refused(address, header=HEADER)


def test_a_header_that_does_not_help_is_told(site: Site) -> None:
    """A wrong login is not met with the advice to set one, and is not repeated."""
    said = refused(site.serve("/", SECRET, 403), header=HEADER)
    assert f"correct the value of {HEADER_VARIABLE}, which was sent" in said
    assert "s3cr3t" not in said


@pytest.mark.parametrize("line", ["s3cr3t", ": s3cr3t", "s3cr3t:", "A b: s3cr3t", "A: s3cr3t\r\nB: c", "A: s3cr3tø"])
def test_a_malformed_header_is_told_without_showing_it(site: Site, line: str) -> None:
    """Whoever sees the screen learns what is wrong and not the secret; nothing is sent."""
    said = refused(site.serve("/", JSON), header=line)
    assert said == f"{HEADER_VARIABLE} is not one header: write it as `Name: value`."
    assert site.requests == []


def test_the_header_is_not_sent_over_plain_http() -> None:
    """Beyond this machine only https carries a secret."""
    said = refused("http://h.example/v1.json", header=HEADER)
    assert said == f"{HEADER_VARIABLE} is not sent over plain http, where others can read it: use https."


def test_no_error_keeps_the_secret(site: Site) -> None:
    """Neither the message nor what hangs on the error shows the header."""
    with pytest.raises(PipelineError) as raised:
        fetch(site.behave("/", _speak_nonsense), header=HEADER)
    error = raised.value
    assert "s3cr3t" not in f"{error!r}{error.details}{error.__cause__!r}"
    assert error.__context__ is None


@pytest.mark.parametrize("style", ["path", "relative", "home", "file address"])
def test_a_file_is_taken_however_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, style: str) -> None:
    """A path, `~` and a `file:` address lead to the same bytes."""
    file = tmp_path / "the chat%20.json"
    file.write_text(JSON)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names = {"path": str(file), "relative": file.name, "home": f"~/{file.name}", "file address": file.as_uri()}
    assert taken(names[style]) == Fetched(data=JSON.encode(), origin=file.name, told=())


def test_files_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    """Missing, a folder, empty, too big, unreadable: one sentence each."""
    (tmp_path / "empty.json").touch()
    with (tmp_path / "big.json").open("wb") as big:
        big.truncate(21 * 2**20)
    assert "missing.json cannot be read (No such file or directory): check the path" in refused(
        f"{tmp_path}/missing.json"
    )
    assert f"{tmp_path} cannot be read (Is a directory)" in refused(str(tmp_path))
    assert "empty.json is empty" in refused(f"{tmp_path}/empty.json")
    assert "big.json is larger than 20 MiB" in refused(f"{tmp_path}/big.json")
    assert "cannot be read (" in refused(f"{tmp_path}/empty.json/x")
    assert "cannot be read (" in refused(f"{tmp_path}/\0")


STATIC = "/public/chat-api-swagger"


@pytest.mark.parametrize(
    "script",
    [
        'SwaggerUIBundle({url: "./docs/v1.json", dom_id: "#swagger-ui"})',
        'SwaggerUIBundle({url: window.location.origin + "/public/chat-api-swagger/docs/v1.json"})',
        'SwaggerUIBundle({urls: [{url: "docs/v1.json", name: "Chat"}]})',
        f"SwaggerUIBundle({{spec: {JSON}}})",
        'SwaggerUIBundle({configUrl: "config.json"})',
        'SwaggerUIBundle({configUrl: "config.yaml", url: "https://petstore.swagger.io/v2/swagger.json"})',
    ],
    ids=["url", "origin", "urls", "spec", "configUrl", "configUrl in YAML"],
)
@pytest.mark.parametrize("inline", [True, False], ids=["inline", "initializer"])
def test_a_page_leads_to_its_document(site: Site, script: str, inline: bool) -> None:
    """The static page of a content network, in every style, with its script inside or beside it."""
    site.serve(f"{STATIC}/docs/v1.json", JSON)
    site.serve(f"{STATIC}/config.json", '{"url": "docs/v1.json"}')
    site.serve(f"{STATIC}/config.yaml", "urls:\n- {url: docs/v1.json, name: Chat}\n")
    site.serve(f"{STATIC}/swagger-initializer.js", f"window.onload = function() {{ window.ui = {script}; }};")
    html = page(script) if inline else page(sources=("swagger-initializer.js",))
    fetched = taken(site.serve(f"{STATIC}/index.html", html) + "#/Conversation")
    assert len(fetched.told) == 1
    assert fetched.told[0].startswith(f"{site.url}{STATIC}/index.html is a Swagger UI page")
    assert f"{STATIC}/swagger-ui-bundle.js" not in [path for path, _ in site.requests]


def test_a_name_chooses_the_document(site: Site) -> None:
    """SPEC_NAME= picks one of several, and without it the first is taken and the choice told."""
    site.serve("/v1.json", "{}")
    site.serve("/v2.json", JSON)
    address = site.serve(
        "/", page('SwaggerUIBundle({urls: [{url: "v1.json", name: "v1"}, {url: "v2.json", name: "V2"}]})')
    )
    assert taken(address, choice="v2").origin == f"{site.url}/v2.json"
    told = fetch(address, choice="").told
    assert told == (
        f"{address} is a Swagger UI page; it shows 2 documents (v1, V2), took v1: name another with SPEC_NAME=.",
    )
    assert f"{address} has no document v3: name one of v1, V2" in refused(address, choice="v3")
    assert fetch(f"{site.url}/v2.json", choice="v2").told[0].startswith("SPEC_NAME= was not needed")


def test_a_saved_page_leads_to_the_file_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, site: Site) -> None:
    """A page in a file refers to files, and may refer to the web, but a page of the web not to files."""
    monkeypatch.chdir(tmp_path)
    saved = tmp_path / "saved"
    saved.mkdir()
    (saved / "index.html").write_text(page(sources=("init.js",)))
    (saved / "init.js").write_text('SwaggerUIBundle({url: "../v1.json"})')
    (tmp_path / "v1.json").write_text(JSON)
    assert taken("saved/index.html").origin == "v1.json"
    address = site.serve("/v1.json", JSON)
    (saved / "init.js").write_text(f'SwaggerUIBundle({{url: "{address}"}})')
    assert taken("saved/index.html").origin == address
    local = (tmp_path / "v1.json").as_uri()
    assert "is not an http or https address" in refused(site.serve("/", page(f'SwaggerUIBundle({{url: "{local}"}})')))


def test_a_page_that_leads_nowhere_tells_the_way(site: Site) -> None:
    """The reason is the last sentence, and what led there comes before it."""
    address = site.serve("/", page('SwaggerUIBundle({url: "gone.json"})'))
    with pytest.raises(PipelineError, match=r"gone\.json answered 404 Not Found") as raised:
        fetch(address)
    assert raised.value.details == (f"{address} is a Swagger UI page; it shows {site.url}/gone.json.",)
    assert "is a web page (no title), not" in refused(site.serve("/", page('SwaggerUIBundle({url: "/"})')))
    with pytest.raises(PipelineError, match="name no document but the demo") as raised:
        fetch(site.serve("/", page(sources=("gone.js",))))
    assert raised.value.details[0].startswith("A script of the page was left out: ")


@pytest.mark.parametrize("body", ["[1]", "a: b: c", "<html>"])
def test_a_configuration_that_is_none_is_told(site: Site, body: str) -> None:
    """What is at configUrl must be settings, or there is nothing to go by."""
    site.serve("/config", body)
    assert refused(site.serve("/", page('SwaggerUIBundle({configUrl: "config"})')))


WRONG = {
    "HTTPS_PROXY": ("socks://p.example:1", "HTTPS_PROXY names no proxy that can be used: write it as http://host:port"),
    "ALL_PROXY": ("http://p.example:x", "ALL_PROXY names no proxy that can be used"),
    "SSL_CERT_FILE": ("nowhere.pem", "SSL_CERT_FILE cannot be used (No such file or directory): correct it"),
    "SSLKEYLOGFILE": ("/nowhere/keys", "SSLKEYLOGFILE cannot be used (No such file or directory): correct it"),
}


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is set but what a test sets."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("variable", WRONG)
def test_a_wrong_variable_is_named_and_not_the_address(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """The address is right; what the environment says of the way there is not."""
    value, told = WRONG[variable]
    monkeypatch.setenv(variable, value)
    assert refused("https://spec.example/v1.json").startswith(told)


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("variable", WRONG)
def test_a_wrong_variable_does_not_hurt_this_machine(
    monkeypatch: pytest.MonkeyPatch, site: Site, variable: str
) -> None:
    """Neither proxy nor certificates are used here."""
    monkeypatch.setenv(variable, WRONG[variable][0])
    assert taken(site.serve("/v1.json", JSON)).data == JSON.encode()


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:1", "http://proxy.invalid:3128", "socks5://127.0.0.1:1"])
def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """By its variable, and with the way around it."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    told = refused("https://spec.example/v1.json")
    assert told.startswith("https://spec.example/v1.json cannot be reached through the proxy of HTTPS_PROXY (")
    assert told.endswith("check that variable, or NO_PROXY.")
