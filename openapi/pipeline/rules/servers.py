"""Keep what `servers` says about paths: the generator reads none of it."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from pipeline.document import Object, child, items, operations, text
from pipeline.rules.walk import Note, without

# Hosts that a template or a developer's machine leaves in a document.
NOWHERE = re.compile(r"localhost|127\.\d+\.\d+\.\d+|0\.0\.0\.0|::1|(.*\.)?example\.(com|org|net)|.*\.local")


def fold_server_path(document: Object, note: Note) -> Object:
    """Put the path of the first server in front of every path, and tell which base_url its address suggests."""
    servers = [child(one) for one in items(document.get("servers"))]
    _tell_own_servers(document, note)
    if not servers:
        return document
    if len(servers) > 1:
        others = ", ".join(shown(address(one)) for one in servers[1:])
        note(f"the document names {len(servers)} servers: the path of the first counts, and there is also {others}")
    filled = address(servers[0])
    parts = _split(re.sub("[{}]", "", filled))
    root = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "/"
    if parts.netloc and "{" not in filled and not NOWHERE.fullmatch(parts.hostname or ""):
        note(f"the document's server suggests base_url {root}")
    return _folded(document, parts, root, note)


def shown(filled: str) -> str:
    """Return an address as it may be told: without a user, a password or what follows its path."""
    return re.sub(r"//[^/@]*@", "//", re.split(r"[?#]", filled, maxsplit=1)[0])


def _split(filled: str) -> SplitResult:
    try:
        return urlsplit(filled)
    except ValueError:  # Brackets that hold no IPv6 address.
        return urlsplit("")


def _folded(document: Object, parts: SplitResult, root: str, note: Note) -> Object:
    prefix = "/" + parts.path.strip("/")
    paths = child(document, "paths")
    if prefix == "/":
        return document
    if all(path.startswith(f"{prefix}/") for path in paths):
        note(f"the document's server ends in {prefix}, and so begins every path: it is not written twice")
        return document
    note(f"the document's server has the path {prefix}: it now begins every path")
    first = {**without(child(items(document["servers"])[0]), "variables"), "url": root}
    moved: Object = {f"{prefix}/{path.lstrip('/')}": item for path, item in paths.items()}
    return {**document, "servers": [first, *items(document["servers"])[1:]], "paths": moved}


def address(server: Object) -> str:
    """Return the address of a server, its variables filled in with their defaults."""
    variables = child(server, "variables")
    return re.sub(r"\{(\w+)\}", lambda one: text(child(variables, one[1]), "default") or one[0], text(server, "url"))


def hosts(node: Object) -> set[str]:
    """Return the hosts that a document or an operation names."""
    found = (_split(address(child(one))).hostname for one in items(node.get("servers")))
    return {host for host in found if host}


def _tell_own_servers(document: Object, note: Note) -> None:
    common = hosts(document)
    places = [(path, child(item)) for path, item in child(document, "paths").items()]
    places += [(f"{method.upper()} {path}", operation) for path, method, operation in operations(document)]
    for label, node in places:
        if elsewhere := hosts(node) - common:
            told = f"{label} is answered at {', '.join(sorted(elsewhere))}"
            note(f"{told}: its row in facade/puzzel_chat/_wire/operations.py says which host it is sent to")
