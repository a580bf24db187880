"""A small web server on loopback that says what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field

Behave = Callable[[BaseHTTPRequestHandler, threading.Event], None]


@define
class Site:
    """What is served at which path, and every request that came, as its path and its headers."""

    url: str
    over: threading.Event = field(factory=threading.Event)
    replies: dict[str, tuple[int, dict[str, str], bytes] | Behave] = field(factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(factory=list)

    def serve(self, path: str, body: str | bytes = b"", status: int = 200, **headers: str) -> str:
        """Answer at that path from now on, `_` in a header's name for `-`; returns the address."""
        data = body if isinstance(body, bytes) else body.encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies[path] = (status, named, data)
        return self.url + path

    def behave(self, path: str, behave: Behave) -> str:
        """Leave the answer at that path to a function; returns the address."""
        self.replies[path] = behave
        return self.url + path

    def headers_seen(self, name: str) -> list[str]:
        """Give the values of a header in all requests that carried it."""
        return [headers[name.lower()] for _, headers in self.requests if name.lower() in headers]


@contextmanager
def a_site() -> Iterator[Site]:
    """Serve on a free port until the block is left."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            site.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            reply = site.replies.get(path, (404, {}, b"Not here"))
            try:
                if callable(reply):
                    reply(self, site.over)
                else:
                    self._answer(*reply)
            except OSError:
                self.close_connection = True  # the client has heard enough

        def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    site = Site(url=f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        site.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
