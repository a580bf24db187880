"""Put what the type checker objects to under the methods of the facade that it concerns."""

from __future__ import annotations

from pipeline.document import Object, child, objects
from pipeline.judgement.findings import Finding, breaks
from pipeline.judgement.shapes import calls
from pipeline.judgement.uses import Place, Uses
from pipeline.naming import class_name
from pipeline.walk import SCHEMAS

SOMEWHERE = "the facade as a whole"


def objections(old: Object, uses: Uses, after: Uses) -> list[Finding]:
    """Return a finding for each error that the facade has with the new client and had not with the old one.

    `uses` is what the facade takes from the old client, `after` what the type checker says of it with the new one.
    """
    known = set(uses.errors)
    reached = {row.used_by: _classes(old, row.operation) for row in uses.rows}
    return [
        breaks(method, f"the type checker says: {message}", None, place)
        for place, message in after.errors
        if (place, message) not in known
        for method in _methods(place, uses, reached)
    ]


def _methods(place: Place, uses: Uses, reached: dict[str, set[str]]) -> list[str]:
    owners = {use.owner for use in uses.uses if use.place == place}
    owners |= {name.rpartition(".")[2] for name, line in uses.imports.items() if line == place}
    rows = [row.used_by for row in uses.rows if row.place == place or row.operation in uses.scopes.get(place, ())]
    return rows or [method for method, classes in reached.items() if owners & classes] or [SOMEWHERE]


def _classes(document: Object, operation: str) -> set[str]:
    """Return the classes that an operation sends or gets, whatever holds them."""
    schemas = child(document, "components", "schemas")
    call = calls(document).get(operation)
    todo, found = [call.operation if call else {}], set[str]()
    while todo:
        for _, node in objects(todo.pop(), ()):
            name = str(node.get("$ref") or "").removeprefix(SCHEMAS)
            if name in schemas and class_name(name) not in found:
                found.add(class_name(name))
                todo.append(child(schemas, name))
    return found
