"""Keep what `servers` says: the generator reads none of it."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import SplitResult, urlsplit

from pipeline.document import Object, child, items, operations, text
from pipeline.walk import Note, without

# Hosts that a template or a developer's machine leaves in a document.
NOWHERE = re.compile(r"localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|::1|(.*\.)?example\.(com|org|net)|.*\.local")


def fold_server_path(document: Object, note: Note) -> Object:
    """Put the path of the first server in front of every path, and tell which hosts the document names."""
    servers = [child(one) for one in items(document.get("servers"))] or [{}]
    first, others = servers[0], ", ".join(shown(address(one)) for one in servers[1:])
    if others:
        note(f"the document names {len(servers)} servers: the path of the first counts, and there is also {others}")
    prefix, host = _parts(first).path.strip("/"), _parts(first).hostname
    if host and "{" not in address(first) and not NOWHERE.fullmatch(host):
        note(f"the document's server suggests base_url {_root(first)}")
    if not prefix:
        return document
    note(f"the document's server has the path /{prefix}: it now begins every path")
    here = {path for path, _, operation in operations(document) if "servers" not in operation}
    paths: Object = {
        f"/{prefix}/{path.lstrip('/')}" if path in here else path: item
        for path, item in child(document, "paths").items()
    }
    root: Object = {**without(first, "variables"), "url": _root(first)}
    return {**document, "servers": [root, *servers[1:]], "paths": paths}


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


def _root(server: Object) -> str:
    parts = _parts(server)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "/"


def hosts(node: Object) -> set[str]:
    """Return where a document or an operation is answered: host, port and path, without what none has."""
    found = (_parts(child(one)) for one in items(node.get("servers")))
    return {at for one in found if (at := f"{one.netloc.rpartition('@')[2]}{one.path.rstrip('/')}")}


def common_hosts(document: Object) -> set[str]:
    """Return the hosts of the document; where it names none for all of it, those that most operations name."""
    named = Counter(frozenset(hosts(operation)) for *_, operation in operations(document))
    return hosts(document) or set(max(named, key=lambda one: named[one], default=()))
