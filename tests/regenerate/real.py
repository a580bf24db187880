"""Take documents of real services the whole way: `python -m regenerate.real FILE...`, openapi and tests on the path.

One line a document: operations, classes, the rules that changed it, samples that come back as they were, what is told
of those that do not, and what mypy says of the client. The files are local; nothing is fetched or kept.
"""

from __future__ import annotations

import importlib
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.decode import decode, is_swagger_2, to_openapi
from pipeline.document import Json, Object, child, items, objects, operations, text
from pipeline.layout import PACKAGE, Layout
from pipeline.naming import class_name
from pipeline.normalise import LAST_RULES, RULES, name_operations
from pipeline.problems import PipelineError
from pipeline.provenance import confirm
from pipeline.run import package
from pipeline.validate import check_input
from pipeline.walk import SCHEMAS, SHARED, UNIONS, followed, kinds, without

ROOT = Path(__file__).resolve().parents[2]
SAMPLES, DEPTH = 5, 4
TIME, ID = "2026-02-03T04:05:06+00:00", "0f8fad5b-d9cb-469f-a165-70867728950e"
FORMATS = {"date-time": TIME, "date": TIME[:10], "uuid": ID}


class Samples:
    """Values of a document's schemas as they came, before any rule, and the same ones each time."""

    def __init__(self, document: Object) -> None:
        self.document, self.luck = document, random.Random(12)
        told = [child(one, "discriminator") for _, one in objects(document, ()) if "discriminator" in one]
        self.kinds = {to: (text(one, "propertyName"), key) for one in told for key, to in child(one, "mapping").items()}

    def of(self, schema: Json, depth: int = 0) -> Any:
        """Return one value of a schema; a kind of a base says so itself."""
        value, reference = self.any_of(schema, depth), text(child(schema), "$ref")
        if isinstance(value, dict) and reference in self.kinds:
            member, key = self.kinds[reference]
            return {**value, member: key}
        return value

    def any_of(self, schema: Json, depth: int) -> Any:
        """Return one value of a schema; deep inside it, one that ends."""
        found = child(followed(self.document, schema))
        branches = [one for word in UNIONS for one in items(found.get(word))]
        null = found.get("nullable") is True or "null" in kinds(found) or {"type": "null"} in branches
        if null and (depth > DEPTH or self.luck.random() < 0.2):
            return None
        if "const" in found or "enum" in found:
            return found["const"] if "const" in found else self.luck.choice(items(found["enum"]))
        if branches:
            return self.of(self.luck.choice(branches), depth)
        if "allOf" in found:
            parts = [self.of(one, depth) for one in [*items(found["allOf"]), without(found, "allOf", "$ref")]]
            if not all(isinstance(part, dict) for part in parts[:-1]):
                return parts[0]
            return {key: value for part in parts if isinstance(part, dict) for key, value in part.items()}
        kind = self.luck.choice(kinds(found))
        return self.plain(kind or ("object" if "properties" in found else "string"), found, depth)

    def plain(self, kind: Json, found: Object, depth: int) -> Any:
        """Return a value of one JSON type."""
        if kind == "object":
            return dict(self.members(found, depth))
        if kind == "array":
            count = 0 if depth > DEPTH else self.luck.randrange(3)
            return [self.of(found.get("items", {}), depth + 1) for _ in range(count)]
        plain = {"null": None, "boolean": True, "integer": self.luck.randrange(99), "number": 1.5}
        return plain[str(kind)] if kind in plain else FORMATS.get(text(found, "format"), f"s{self.luck.randrange(9)}")

    def members(self, found: Object, depth: int) -> Iterator[tuple[str, Any]]:
        """Yield the required members, some others, and one of no name where the schema says of what kind."""
        required = items(found.get("required"))
        for name, one in child(found, "properties").items():
            if name in required or (depth <= DEPTH and self.luck.random() < 0.6):
                yield name, self.of(one, depth + 1)
        if depth <= DEPTH and (more := found.get("additionalProperties")) not in (None, False):
            yield "more", self.of(more if isinstance(more, dict) else {}, depth + 1)


def rebuilt(data: bytes, name: str, folder: Path) -> tuple[Object, list[str], list[str]]:
    """Write the client of a document into a folder; return what came, the rules that changed it, and all notes."""
    layout, notes, fired = Layout(root=ROOT), list[str](), list[str]()
    document, _ = decode(data, name)
    document = to_openapi(layout, document) if is_swagger_2(document) else document
    check_input(document, name)
    document = came = confirm(document)
    for rule in (*RULES, *LAST_RULES, name_operations):
        before, said = document, len(notes)
        document = rule(document, notes.append)
        fired += [rule.__name__] if document != before or len(notes) > said else []
    made = package(layout, document, folder, lambda _line: None)
    return came, fired, [*notes, *made.lost]


def differing(document: Object) -> Iterator[tuple[str, bool, str]]:
    """Yield each class with a sample, whether that came back as it was, and why not."""
    models, samples = importlib.import_module(f"{PACKAGE}.models"), Samples(document)
    for name in child(document, *SHARED):
        made = getattr(models, class_name(name), None)
        for _ in range(SAMPLES if hasattr(made, "from_dict") else 0):
            sample = samples.of({"$ref": SCHEMAS + name})
            try:
                again = made.from_dict(sample).to_dict()  # type: ignore[union-attr]
            except Exception as error:
                yield name, False, repr(error)[:90]
            else:
                yield name, again == sample, f"{sample} -> {again}"[:300]


def typed(folder: str) -> str:
    """Return the last line of what strict typing says of the package in a folder."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache", "-p", PACKAGE]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout.strip().rpartition("\n")[2]


def main(files: list[str]) -> None:
    """Print a line for each file, and below it each class whose samples came back otherwise, told or not."""
    for file in map(Path, files):
        with tempfile.TemporaryDirectory() as folder:
            try:
                document, fired, notes = rebuilt(file.read_bytes(), file.name, Path(folder))
            except PipelineError as error:
                print(f"{file.name}: {error}", *error.details, sep="\n  ")
                continue
            said = typed(folder)
            for one in [one for one in sys.modules if one.partition(".")[0] == PACKAGE]:
                del sys.modules[one]
            sys.path.insert(0, folder)
            results = list(differing(document))
            sys.path.remove(folder)
        bad = {name: why for name, same, why in results if not same}
        calls, classes = len(list(operations(document))), len({name for name, *_ in results})
        same = f"{sum(one for _, one, _ in results)} of {len(results)} samples the same, {len(notes)} notes"
        print(f"{file.name}: {calls} operations, {classes} classes, {same}; {said}; {', '.join(fired)}")
        for name, why in bad.items():
            told = any(re.search(rf"\b{re.escape(name)}\b", note) for note in notes)
            print(f"  {'told' if told else 'NOT TOLD'}: the schema {name}: {why}")


if __name__ == "__main__":
    main(sys.argv[1:])
