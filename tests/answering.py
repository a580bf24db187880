"""Small servers on loopback that answer in any way that a test wants, good HTTP or not."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

OK = "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}"


@contextmanager
def until_closed(listening: socket.socket, serve: Callable[[], None]) -> Iterator[None]:
    """Serve in a thread, which ends when nobody listens any more."""
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def server(answer: Callable[[socket.socket], None], heard: list[str] | None = None) -> Iterator[str]:
    """A real server on loopback; it reads each request and answers in the way given, until it is closed."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with closing(connection):
                    asked = whole_request(connection)
                    if heard is not None:
                        heard.append(asked.decode())
                    answer(connection)

        with until_closed(listening, serve):
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def whole_request(connection: socket.socket) -> bytes:
    """Read a request to its end, or to what came of it: a file may follow its head."""
    asked = connection.recv(65536)
    told = re.search(rb"(?i)\r\ncontent-length: *(\d+)\r\n", asked)
    while told and len(asked.partition(b"\r\n\r\n")[2]) < int(told[1]) and (more := connection.recv(65536)):
        asked += more
    return asked


def says(text: str) -> Callable[[socket.socket], None]:
    """An answer of these bytes."""
    return lambda connection: connection.sendall(text.replace("\n", "\r\n").encode())


class Counted:
    """A server that answers for as long as the client likes, and knows from which ports it was asked."""

    def __init__(self) -> None:
        """Listen."""
        self.ports: list[int] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def _accept(self) -> None:
        while True:
            try:
                connection, (_, port) = self._listening.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._serve, args=(connection, port)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket, port: int) -> None:
        with closing(connection):
            connection.settimeout(20)
            while connection.recv(65536):
                self.ports.append(port)
                connection.sendall(OK.replace("\n", "\r\n").encode())

    def close(self) -> None:
        """Stop when every connection is closed."""
        if self._listening.fileno() < 0:
            return
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "a connection was left open"


@contextmanager
def encrypting(certificate: Path) -> Iterator[str]:
    """A server that answers one request over TLS, with that certificate for loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def answer() -> None:
        with suppress(OSError), context.wrap_socket(listening.accept()[0], server_side=True) as connection:
            connection.recv(65536)
            says(OK)(connection)
            connection.unwrap()

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        yield f"https://localhost:{listening.getsockname()[1]}"
        thread.join()


@contextmanager
def talking(certificate: Path, ciphers: str = "") -> Iterator[str]:
    """A server that speaks TLS with whoever comes, with that certificate, until it is closed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with closing(connection), suppress(OSError), context.wrap_socket(connection, server_side=True) as inside:
                inside.recv(65536)
                says(OK)(inside)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening, until_closed(listening, serve):
        yield f"https://localhost:{listening.getsockname()[1]}"


@contextmanager
def proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that refuses one request, or whoever ends it; gives its address and what it hears."""
    heard: list[str] = []

    def serve() -> None:
        with suppress(OSError), closing(listening.accept()[0]) as connection:
            heard.append(connection.recv(65536).decode())
            says("HTTP/1.1 502 Bad Gateway\nContent-Length: 0\n\n")(connection)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", heard
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join()
