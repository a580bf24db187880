"""A proxy before one host: a real HTTP server on loopback that passes each request on and keeps what was said."""

from __future__ import annotations

from http.client import HTTPConnection
from urllib.parse import urlsplit

from attrs import frozen

from hostile import Asked, Said, Service

# These are about one connection (RFC 9110 section 7.6.1), and about a body that each side measures itself.
_OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length", "content-type"}


@frozen
class Passed:
    """One request that was passed on, and the status that came back."""

    asked: Asked
    status: int

    @property
    def called(self) -> tuple[str, str]:
        """Method and path, without the query."""
        return self.asked.method, self.asked.path.partition("?")[0]


class Proxy(Service):
    """Passes everything on to one address."""

    def __init__(self, address: str) -> None:
        super().__init__(self._pass_on)
        self._to = urlsplit(address).netloc
        self.passed: list[Passed] = []

    def _pass_on(self, asked: Asked) -> Said:
        connection = HTTPConnection(self._to, timeout=60)
        headers = {name: value for name, value in asked.headers.items() if name not in ("host", "connection")}
        try:
            connection.request(asked.method, asked.path, asked.body.encode(), headers)
            reply = connection.getresponse()
            body = reply.read()
        finally:
            connection.close()
        self.passed.append(Passed(asked, reply.status))
        others = {name: value for name, value in reply.getheaders() if name.lower() not in _OF_A_CONNECTION}
        return Said(body, reply.status, others, reply.getheader("Content-Type", ""), reply.reason or "X")
