"""Keep what `servers` says: the generator reads none of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from urllib.parse import SplitResult, urlsplit

from pipeline.document import METHODS, Object, child, items, operations, text
from pipeline.walk import Note, without

# Hosts that a template or a developer's machine leaves in a document.
NOWHERE = re.compile(r"localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|::1|(.*\.)?example\.(com|org|net)|.*\.local")


def fold_server_path(document: Object, note: Note) -> Object:
    """Put the path of the first server in front of every path, and tell which hosts the document names.

    For an operation with servers of its own, those count instead.
    """
    _tell_own_servers(document, note)
    prefix = _common_path(document, note)
    paths: Object = {}
    for path, item in child(document, "paths").items():
        for place, part in _placed(path, child(item), prefix):
            paths[place] = {**child(paths, place), **part}
    folded = {**document, "paths": paths} if "paths" in document else document
    return _rooted(folded) if prefix != "/" else folded


def _common_path(document: Object, note: Note) -> str:
    servers = [child(one) for one in items(document.get("servers"))]
    if not servers:
        return "/"
    if len(servers) > 1:
        others = ", ".join(shown(address(one)) for one in servers[1:])
        note(f"the document names {len(servers)} servers: the path of the first counts, and there is also {others}")
    host = _parts(servers[0]).hostname
    if host and "{" not in address(servers[0]) and not NOWHERE.fullmatch(host):
        note(f"the document's server suggests base_url {_root(servers[0])}")
    prefix = _path(servers[0])
    paths = [path for path, _, operation in operations(document) if "servers" not in operation]
    if prefix != "/" and all(path.startswith(f"{prefix}/") for path in paths):
        note(f"the document's server ends in {prefix}, and so begins every path: it is not written twice")
        return "/"
    if prefix != "/":
        note(f"the document's server has the path {prefix}: it now begins every path")
    return prefix


def _placed(path: str, item: Object, prefix: str) -> Iterator[tuple[str, Object]]:
    """Yield where a path's operations are found, those apart that have servers of their own."""
    own = [name for name in item if name in METHODS and items(child(item, name).get("servers"))]
    for name in own:
        operation = child(item, name)
        below = _path(child(items(operation["servers"])[0]))
        written = below == "/" or path.startswith(f"{below}/")
        yield (path, {name: operation}) if written else (_under(below, path), {name: _rooted(operation)})
    if len(own) < len(item) or not own:
        yield _under(prefix, path), without(item, *own)


def _under(prefix: str, path: str) -> str:
    return path if prefix == "/" else f"{prefix}/{path.lstrip('/')}"


def _rooted(node: Object) -> Object:
    """Return a document or an operation whose first server has lost its path."""
    first, *others = items(node["servers"])
    return {**node, "servers": [{**without(child(first), "variables"), "url": _root(child(first))}, *others]}


def shown(filled: str) -> str:
    """Return an address as it may be told: without a user, a password or what follows its path."""
    return re.sub(r"//[^/@]*@", "//", re.split(r"[?#]", filled, maxsplit=1)[0])


def address(server: Object) -> str:
    """Return the address of a server, its variables filled in with their defaults."""
    variables = child(server, "variables")
    return re.sub(r"\{(\w+)\}", lambda one: text(child(variables, one[1]), "default") or one[0], text(server, "url"))


def _parts(server: Object) -> SplitResult:
    try:
        return urlsplit(re.sub("[{}]", "", address(server)))
    except ValueError:  # Brackets that hold no IPv6 address.
        return urlsplit("")


def _path(server: Object) -> str:
    return "/" + _parts(server).path.strip("/")


def _root(server: Object) -> str:
    parts = _parts(server)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "/"


def hosts(node: Object) -> set[str]:
    """Return the hosts that a document or an operation names."""
    return {host for one in items(node.get("servers")) if (host := _parts(child(one)).hostname)}


def common_hosts(document: Object) -> set[str]:
    """Return the hosts of the document; where it names none for all of it, those that most operations name."""
    named = Counter(frozenset(hosts(operation)) for *_, operation in operations(document))
    return hosts(document) or set(max(named, key=lambda one: named[one], default=()))


def _tell_own_servers(document: Object, note: Note) -> None:
    common = common_hosts(document)
    for path, method, operation in operations(document):
        if elsewhere := hosts(operation) - common:
            told = f"{method.upper()} {path} is answered at {', '.join(sorted(elsewhere))}"
            note(f"{told}: its row in facade/puzzel_chat/_wire/operations.py says which host it is sent to")
