"""Our reconstruction of the vendor's document: its marks, its habits, and what is said about it."""

from __future__ import annotations

import re

import pytest

from pipeline.document import Object, child, dump, operations, parse, read_bytes, text
from pipeline.layout import Layout
from pipeline.provenance import LEVELS, rows
from pipeline.source import check_source


@pytest.fixture
def upstream(committed: Layout) -> Object:
    """The document as it came."""
    return parse(read_bytes(committed.upstream), committed.upstream)


@pytest.fixture
def built(committed: Layout) -> Object:
    """The document that the generator is given."""
    return parse(read_bytes(committed.built), committed.built)


def test_the_document_says_that_it_is_a_reconstruction(committed: Layout, upstream: Object) -> None:
    """Nobody takes our document for the vendor's: it says so itself, and SOURCE.toml says so with its checksum."""
    assert "reconstruction" in text(child(upstream, "info"), "description")
    assert "not Puzzel's" in text(child(upstream, "info"), "description")
    source = check_source(read_bytes(committed.upstream), committed.upstream, committed.source)
    assert source.origin == "reconstruction"
    assert dump(upstream) == read_bytes(committed.upstream)


def test_every_operation_and_schema_carries_its_mark(upstream: Object) -> None:
    """For each operation and each schema it is said how sure we are, and why."""
    schemas = child(upstream, "components", "schemas")
    marked = [*(one for _, _, one in operations(upstream)), *map(child, schemas.values())]
    assert len(marked) == 12 + len(schemas)
    for one in marked:
        assert one["x-provenance"] in LEVELS
        assert text(one, "x-provenance-note").endswith(".")
    sure = {name for name, one in schemas.items() if text(child(one), "x-provenance") != "assumed"}
    assert sure == {"AuthenticateRequest", "AuthenticateReply", "TokenReply"}


def test_what_the_vendor_documents_is_marked_documented(built: Object) -> None:
    """Documented, observed and assumed operations are those of the facts that we know."""
    documented = {row.path for row in rows(built) if row.provenance == "documented"}
    assert documented == {
        "/connect/token",
        "/api/authenticate/{customerId}",
        "/api/queue/info/{id}",
        "/api/allocation/requestStatus/{id}",
        "/api/conversation",
    }
    observed = {row.path for row in rows(built) if row.provenance == "observed"}
    assert observed == {"/api/conversation/{id}/route/{queueKey}"}
    assert len(rows(built)) == 12


def test_the_document_keeps_the_habits_of_its_framework(upstream: Object) -> None:
    """The pipeline meets the traps of the real thing every day: no operationIds, three types, `text/plain` first."""
    assert text(upstream, "openapi") == "3.0.1"
    for _, _, operation in operations(upstream):
        assert "operationId" not in operation
        for reply in child(operation, "responses").values():
            types = list(child(reply, "content"))
            assert types[:3] in ([], ["text/plain", "application/json", "text/json"], ["application/octet-stream"])
    role = child(upstream, "components", "schemas", "AuthorRole")
    assert role["enum"] == [0, 1, 2, 3]
    assert "x-enum-varnames" not in role


def test_the_readme_agrees_with_the_document(committed: Layout, built: Object) -> None:
    """The table of the README says of every operation what the document says, and nothing else."""
    readme = (committed.root / "openapi" / "README.md").read_text()
    table = [
        tuple(line.strip("| ").split(" | ")) for line in readme.splitlines() if re.match(r"\| `\w+` \| `[A-Z]+ /", line)
    ]
    wanted = [(f"`{r.operation_id}`", f"`{r.method} {r.path}`", r.provenance, r.note) for r in rows(built)]
    assert table == wanted
    assert len(readme.splitlines()) <= 120
