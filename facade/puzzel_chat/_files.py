"""Files of a chat: what is read to be sent, where goes what is fetched, and how the address of a file is followed.

A file that is sent is read piece by piece while it goes out. One that is fetched goes into a temporary file first, so
that nobody ever sees half of it. What either takes of memory is a piece, 64 KiB, and bytes that were given as such.

The address of a file comes from the service. The token goes along only as long as it leads to the service's own hosts.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias, cast
from urllib.parse import urljoin, urlsplit

from attrs import define, evolve, field, frozen

from puzzel_chat._errors import ContractError, InvalidArgument
from puzzel_chat._html import printable
from puzzel_chat._http import REDIRECTS, Reply, Request, origin
from puzzel_chat._models import FileMessage, Secret, SecretDict
from puzzel_chat._retry import within
from puzzel_chat._session import SessionState, repeated
from puzzel_chat._settings import Address, HostName, Settings, is_loopback
from puzzel_chat._steps import Send, Steps
from puzzel_chat._wire.operations import DOWNLOAD, download_request
from puzzel_chat._wire.refusals import error_for
from puzzel_chat._wire.replies import harmless

FileProgress: TypeAlias = Callable[[int, int | None], object]
"""Called after each piece with the bytes so far and those of the whole file, None if that is not known.

What it returns is awaited where it can be.
"""
PIECE = 64 * 1024
LONGEST_NAME = 255
MOST_REDIRECTS = 5
OURS: tuple[HostName, ...] = ("communication", "upload")
"""The hosts that get the token with a request for a file."""
_MEDIA_TYPE = re.compile(r"[\w.+-]{1,80}/[\w.+-]{1,80}", re.ASCII)


# What is sent.


@define(eq=False)
class Outgoing:
    """A file to be sent; `source` is its path, or its bytes. It can be read within a `with` block."""

    source: str | bytes = field(repr=False)
    name: str = field(repr=False)
    content_type: str
    size: int
    on_progress: FileProgress | None = None
    _file: IO[bytes] | None = field(default=None, init=False)
    _passed: int = field(default=0, init=False)

    def __enter__(self) -> Outgoing:
        with _blaming("file", "read"):
            self._file = io.BytesIO(self.source) if isinstance(self.source, bytes) else open(self.source, "rb")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def described(self, url: str) -> SecretDict:
        """Return what the message says of the file, at that address."""
        about = {"content_type": self.content_type, "size": self.size}
        return SecretDict(file_name=self.name, url=str(url), **about)

    def pieces(self) -> Iterator[bytes]:
        """Yield all of it, from its beginning; one piece of nothing for an empty file."""
        assert self._file is not None
        left, self._passed = self.size, 0
        with _blaming("file", "read"):
            self._file.seek(0)
        while True:
            with _blaming("file", "read"):
                piece = self._file.read(min(PIECE, left))
            if left and not piece:
                raise InvalidArgument("file", "became shorter while it was read")
            left -= len(piece)
            yield piece
            if not left:
                return

    def passed(self, piece: bytes) -> object:
        """Tell the caller that a piece was sent."""
        self._passed += len(piece)
        return self.on_progress(self._passed, self.size) if self.on_progress is not None else None


def outgoing(
    file: object, name: str | None, content_type: str | None, most: int, on_progress: FileProgress | None
) -> Outgoing:
    """Return a file to be sent, checked; raises `InvalidArgument`."""
    source: str | bytes
    if isinstance(file, str | os.PathLike):
        with _blaming("file", "read"):
            source = os.fsdecode(file)
            found = os.stat(source)
        if not stat.S_ISREG(found.st_mode):
            raise InvalidArgument("file", "is a folder" if stat.S_ISDIR(found.st_mode) else "is no ordinary file")
        size, name = found.st_size, Path(source).name if name is None else name
    elif isinstance(file, bytes | bytearray | memoryview):
        source = bytes(file)
        size = len(source)
        if name is None:
            raise InvalidArgument("name", "is missing: say what the file is called, as in name='receipt.pdf'")
    else:
        raise InvalidArgument("file", f"must be a path, or bytes, not {type(file).__name__}")
    if size > most:
        raise InvalidArgument("file", f"has {size:,} bytes, more than the {most:,} of the setting max_file_bytes")
    name = checked_name(name)
    return Outgoing(source, name, _media_type(name, content_type), size, on_progress)


def checked_name(name: object) -> str:
    """Return what a file is called; raises `InvalidArgument` for what is a path, or can be no name."""
    if not isinstance(name, str):
        raise InvalidArgument("name", f"must be a string, not {type(name).__name__}")
    if not name.strip() or len(name) > LONGEST_NAME or name in (".", ".."):
        raise InvalidArgument("name", f"must have 1 to {LONGEST_NAME} characters, and more than dots or blanks")
    if printable(name) != name or any(letter in name for letter in "/\\\n\t"):
        raise InvalidArgument("name", "must not hold '/', '\\' or control characters; name= says what to call the file")
    return name


def _media_type(name: str, given: object) -> str:
    if given is None:
        import mimetypes  # reads files of the system

        return mimetypes.guess_type(name)[0] or "application/octet-stream"
    if not isinstance(given, str) or not _MEDIA_TYPE.fullmatch(given):
        raise InvalidArgument("content_type", "must be a media type, such as 'application/pdf'")
    return given


# What is fetched.


@define(eq=False)
class Incoming:
    """Where a file goes that is fetched: a temporary file within a `with` block, and its place in the end."""

    to: Path | Any = field(repr=False)
    most: int
    overwrite: bool = False
    on_progress: FileProgress | None = None
    size: int = field(default=0, init=False)
    _total: int | None = field(default=None, init=False)
    _file: IO[bytes] | None = field(default=None, init=False)

    def __enter__(self) -> Incoming:
        with _blaming("to", "written"):
            if isinstance(self.to, Path):
                # In the same folder, for a file can only be moved within a disk.
                self._file = tempfile.NamedTemporaryFile(dir=self.to.parent, prefix=".", suffix=".part", delete=False)
            else:
                self._file = tempfile.TemporaryFile()
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()
            if isinstance(self.to, Path):
                with suppress(OSError):
                    os.unlink(self._file.name)

    def begin(self, total: int | None) -> None:
        """Begin anew."""
        assert self._file is not None
        self.size, self._total = 0, total
        with _blaming("to", "written"):
            self._file.seek(0)
            self._file.truncate()

    def add(self, piece: bytes) -> object:
        """Take a piece, and tell the caller."""
        assert self._file is not None
        with _blaming("to", "written"):
            self._file.write(piece)
        self.size += len(piece)
        return self.on_progress(self.size, self._total) if self.on_progress is not None else None

    def finish(self) -> int:
        """Put the file in its place, whole, and return its size."""
        assert self._file is not None
        if not isinstance(self.to, Path):
            self._file.seek(0)
            shutil.copyfileobj(self._file, self.to, PIECE)
            return self.size
        with _blaming("to", "written"):
            self._file.close()
            if self.overwrite:
                os.replace(self._file.name, self.to)
            else:
                _move(self._file.name, self.to)
        return self.size


def _move(temporary: str, to: Path) -> None:
    """Move a file to where none is; a link is made only if there is none, whoever else writes there."""
    try:
        os.link(temporary, to)
    except FileExistsError:
        raise
    except (OSError, AttributeError):  # the disk has no links
        if os.path.lexists(to):
            raise FileExistsError from None
        os.rename(temporary, to)


def incoming(to: object, overwrite: bool, most: int, on_progress: FileProgress | None) -> Incoming:
    """Return where a file is to go, checked; raises `InvalidArgument`."""
    if isinstance(to, str | os.PathLike):
        with _blaming("to", "written"):
            path = Path(os.fsdecode(to))
            if path.is_dir():
                told = "is a folder; name the file in it, for the name that came with the file may be anything"
                raise InvalidArgument("to", told)
            with suppress(FileNotFoundError):
                os.lstat(path)
                if not overwrite:
                    raise FileExistsError
        return Incoming(path, most, overwrite, on_progress)
    if not callable(getattr(to, "write", None)):
        raise InvalidArgument("to", f"must be a path, or a file that is open for bytes, not {type(to).__name__}")
    if isinstance(to, io.TextIOBase):
        raise InvalidArgument("to", "is open for text; open it for bytes, with the mode 'wb'")
    return Incoming(to, most, overwrite, on_progress)


@contextmanager
def _blaming(argument: str, what: str) -> Iterator[None]:
    try:
        yield
    except FileExistsError as error:
        raise InvalidArgument(argument, "is there already; pass overwrite=True to replace it") from error
    except InvalidArgument:
        raise
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "no path can be so"
        raise InvalidArgument(argument, f"cannot be {what}: {why}") from error


# How it is fetched.


@frozen
class Elsewhere(Address):
    """A host of somebody else; its name may be anything, also one of our secrets."""

    def __str__(self) -> str:
        return harmless(super().__str__())


def fetch(
    session: SessionState, conversation_id: str, message: FileMessage, into: Incoming, timeout: float | None
) -> Steps[int]:
    """Fetch the file of a message, and return its size in bytes."""
    settings, by = session.parts.settings, session.deadline(timeout)
    try:
        place, path, query = followed(f"{settings.base_url}/", message.url, settings)
    except ValueError as error:
        raise InvalidArgument("message", f"its address {error}") from None
    first = download_request(conversation_id, place, path, query, into)
    with into:
        once, repeatable = partial(_fetched, session, by), DOWNLOAD.repeatable
        reply: Reply = yield from repeated(once, first, session.parts, session.id, repeatable, by, session.closing)
        kind = reply.headers.get("content-type", "")
        if "html" in kind and "html" not in (message.content_type or kind):
            raise _unfit("a web page came in its place")
        return into.finish()


def _fetched(session: SessionState, by: float, request: Request) -> Steps[Reply]:
    """Ask once, and follow redirects; the token goes along until one leads to somebody else."""
    trusted = True
    for _ in range(MOST_REDIRECTS + 1):
        place = cast("Address", request.place)
        trusted = trusted and place.name is not None
        if trusted:
            reply: Reply = yield from session.once(DOWNLOAD, request, by)
        else:
            session.check_open(DOWNLOAD)
            reply = yield Send(request, None, within(by, session.parts.clock.monotonic(), place), session.id)
            if error := error_for(DOWNLOAD, reply):
                error.host = place.name
                raise error
        if reply.status not in REDIRECTS:
            return reply
        here, to = Secret(f"{place.url}{request.path}"), Secret(reply.headers.get("location", ""))
        try:
            place, path, query = followed(here, to, session.parts.settings)
        except ValueError as error:
            raise _unfit(f"its address redirects to one that {error}") from None
        request = evolve(request, place=place, path=path, query=query)
    raise _unfit(f"its address redirects more than {MOST_REDIRECTS} times")


def _unfit(problem: str) -> ContractError:
    return ContractError(DOWNLOAD.name, "", problem, "(not shown)")


def followed(here: str, url: str, settings: Settings) -> tuple[Address, Secret, Secret]:
    """Return the host, path and query of an address, as seen from here; `ValueError` says why it is not followed."""
    if not url.isprintable():
        raise ValueError("holds control characters")
    try:
        url = urljoin(here, url) if url else ""
        parts, _ = urlsplit(url), origin(url)
    except ValueError:
        raise ValueError("is none of a web server") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is none of a web server")
    if "@" in parts.netloc:
        raise ValueError("holds a user or a password")
    ours = (settings.address(name) for name in OURS)
    own = next((one for one in ours if origin(one.url) == origin(url)), None)
    local = is_loopback(parts.hostname) and settings.address("communication").is_here
    if parts.scheme == "http" and own is None and not local:
        raise ValueError("is not https")
    base = Secret(f"{parts.scheme}://{parts.netloc}")
    place = Elsewhere(None, base, "in the message") if own is None else evolve(own, url=base)
    return place, Secret(parts.path or "/"), Secret(parts.query)
