"""Who may use the pages: whoever opened the address with its token, and no page of another origin."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from page_stream import listening
from puzzel_chat.pages import Pages
from puzzel_chat.sandbox import Sandbox
from quick import quick_only
from waiting import until

if TYPE_CHECKING:
    from pages.conftest import Open

PATHS = ("/", "/desk", "/control", "/desk/stream?agent=Kari", "/static/base.js", "/nothing")


def origin(pages: Pages) -> str:
    """The address without path and token."""
    return pages.url.partition("/?")[0]


@pytest.fixture
def known(pages: Pages) -> Iterator[httpx.Client]:
    """A browser that has opened the address, as far as its cookies go."""
    with httpx.Client(base_url=origin(pages), timeout=60) as client:
        assert client.get(pages.url).status_code == 303
        yield client


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_served_without_the_token(pages: Pages, path: str) -> None:
    """Nor with a wrong one; the answer says what to do, and nothing else."""
    wrong = f"{path}{'&' if '?' in path else '?'}token=wrong"
    for asked in (path, wrong):
        answer = httpx.get(origin(pages) + asked)
        assert answer.status_code == 401
        assert "Open the address that the sandbox printed" in answer.text
        assert "set-cookie" not in answer.headers


def test_the_token_leaves_the_address_at_once(pages: Pages) -> None:
    """It becomes a cookie that no script reads and no other site's page sends; the rest of the address stays."""
    answer = httpx.get(f"{pages.desk_url}&agent=Kari%20%26%20Nils")
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk?agent=Kari+%26+Nils")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


def test_every_answer_forbids_scripts_of_others_and_frames(known: httpx.Client) -> None:
    """By its headers; no page has a script or a style within it."""
    for path in ("/desk", "/static/base.js", "/nothing"):
        headers = known.get(path).headers
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1"])
def test_another_name_for_this_machine_is_refused(known: httpx.Client, host: str) -> None:
    """A page whose name was bound to this machine (DNS rebinding) reads nothing."""
    assert known.get("/desk", headers={"Host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "null"},
        {"Origin": "http://evil.example"},
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_only_our_pages_act(known: httpx.Client, centre: Sandbox, headers: dict[str, str]) -> None:
    """A request that changes something names our origin, or is refused."""
    assert known.post("/desk/scripted", json={"on": True}, headers=headers).status_code == 403
    assert not centre.scripted
    ours = str(known.base_url).rstrip("/")
    assert known.post("/desk/scripted", json={"on": True}, headers={"Origin": ours}).status_code == 200
    assert centre.scripted


@pytest.mark.parametrize("origin_of", [None, "http://evil.example", "http://127.0.0.1:1"])
def test_a_stream_opens_for_our_pages_only(known: httpx.Client, centre: Sandbox, origin_of: str | None) -> None:
    """A browser asks no permission for a WebSocket to another host, so the server looks at the origin."""
    with pytest.raises(InvalidStatus):
        listening(known, "/desk/stream", agent="Kari", origin=origin_of)
    with pytest.raises(InvalidStatus):
        listening(known, "/desk/stream", agent="Kari", cookie=False)
    assert centre.persons() == ()
    with listening(known, "/desk/stream", agent="Kari") as stream:
        assert "Kari" in str(stream.recv())


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_may_open_ours_and_nothing_else(known: httpx.Client, centre: Sandbox, site: str) -> None:
    """A link to a page works; a stream, which lets an agent sit down, does not."""
    click = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert known.get("/desk", headers=click).status_code == 200
    assert known.get("/desk/stream?agent=Eve", headers=click).status_code == 403
    assert known.get("/desk", headers={"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}).status_code == 403
    assert centre.persons() == ()


EVIL = """<!doctype html><title>wait</title><script>
const target = "%s", read = []
const json = {method: "POST", credentials: "include", headers: {"Content-Type": "application/json"}}
const tries = {
  page: () => fetch(target + "/desk", {credentials: "include"}).then((answer) => answer.text()),
  opaque: () => fetch(target + "/desk", {credentials: "include", mode: "no-cors"}).then((answer) => answer.text()),
  post: () => fetch(target + "/desk/scripted", {...json, body: '{"on": true}'}).then((answer) => answer.text()),
  blind: () => fetch(target + "/desk/scripted", {method: "POST", mode: "no-cors", credentials: "include",
    headers: {"Content-Type": "text/plain"}, body: '{"on": true}'}).then((answer) => answer.text()),
  form: () => new Promise((done, fail) => {
    const form = document.createElement("form"), frame = document.createElement("iframe")
    frame.name = "away"
    Object.assign(form, {action: target + "/desk/scripted", method: "post", target: "away", enctype: "text/plain"})
    form.innerHTML = `<input name='{"on": true, "a": "' value='"}'>`
    document.body.append(frame, form)
    frame.onload = () => { try { done(frame.contentDocument.body.textContent) } catch (error) { fail(error) } }
    form.submit()
  }),
  stream: () => new Promise((done, fail) => {
    const stream = new WebSocket(target.replace("http", "ws") + "/desk/stream?agent=Eve")
    stream.onmessage = (event) => { stream.close(); done(event.data) }
    stream.onclose = () => fail(new Error("closed"))
  }),
  events: () => new Promise((done, fail) => {
    const stream = new EventSource(target + "/queues", {withCredentials: true})
    stream.onopen = () => { stream.close(); done("open") }
    stream.onerror = () => { stream.close(); fail(new Error("closed")) }
  }),
  script: () => new Promise((done, fail) => {
    const script = document.createElement("script")
    Object.assign(script, {src: target + "/static/base.js", onload: () => done("loaded"), onerror: fail})
    document.body.append(script)
  }),
}
onload = async () => {
  for (const [name, attempt] of Object.entries(tries)) {
    try { const text = await attempt(); if (text) read.push(name + ": " + text) } catch { /* refused */ }
  }
  document.title = read.length ? read.join(" | ") : "nothing"
}
</script><body></body>"""


@contextmanager
def another_server(page: str) -> Iterator[int]:
    """A page of somebody else on this machine; give its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("host", quick_only({"127.0.0.1"}, ["127.0.0.1", "localhost"]))
def test_a_page_of_another_origin_can_neither_read_nor_act(
    centre: Sandbox, pages: Pages, browse: Open, host: str
) -> None:
    """In a browser that has our pages open: not from another port of the same host, and not from another host."""
    ours = browse(pages.desk_url)
    with another_server(EVIL % origin(pages)) as port:
        evil = ours.context.new_page()
        evil.goto(f"http://{host}:{port}/")
        evil.wait_for_function("document.title !== 'wait'")
        assert evil.title() == "nothing"
    assert not centre.scripted
    assert "Eve" not in centre.persons()
    # Our own page may do what the other one tried.
    asked = "fetch('/desk/scripted', {method: 'POST', body: '{\"on\": true}'}).then((answer) => answer.status)"
    assert ours.evaluate(asked) == 200
    until(lambda: centre.scripted)
