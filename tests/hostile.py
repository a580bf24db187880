"""A service on loopback that answers as a test wants it: broken, echoing or hostile, which the sandbox never is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from attrs import field, frozen

JSON = "application/json"


@frozen
class Asked:
    """One request as it arrived; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str


@frozen
class Said:
    """One answer: JSON unless `media` says otherwise; `None` as body closes the connection without a word."""

    body: Any = field(factory=dict[str, Any])
    status: int = 200
    headers: Mapping[str, str] = field(factory=dict[str, str])
    media: str = JSON
    reason: str = "X"


Answer = Callable[[Asked], Said]


class Service:
    """Asks `answer` for each request, keeps what was asked, and counts how many connections were open at once."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[Asked] = []
        self.open = self.most_open = 0
        self.lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.service, self._server.answer = self, answer
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    @property
    def base_url(self) -> str:
        """The address to give to a client."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def count(self, words: str) -> int:
        """Count the requests whose path or body holds these words."""
        return sum(words in asked.path or words in asked.body for asked in self.asked)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 512
    service: Service
    answer: Answer

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def handle(self) -> None:
        service = self.server.service
        with service.lock:
            service.open += 1
            service.most_open = max(service.most_open, service.open)
        try:
            super().handle()
        finally:
            with service.lock:
                service.open -= 1

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode("utf-8", "replace")
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(self.command, self.path, headers, body)
        self.server.service.asked.append(asked)
        said = self.server.answer(asked)
        if said.body is None:
            self.close_connection = True
            return
        data = said.body if isinstance(said.body, bytes) else json.dumps(said.body).encode()
        self.send_response(said.status, said.reason)
        for name, value in {"Content-Type": said.media, "Content-Length": str(len(data)), **said.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PUT = _respond

    def log_message(self, *_: object) -> None:
        """Say nothing."""
