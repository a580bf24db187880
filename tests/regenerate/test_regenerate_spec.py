"""Whole runs on a new document: what the tree holds afterwards, what was said, and how the run ended."""

from __future__ import annotations

import copy
import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from pipeline import run as pipeline_run
from pipeline.__main__ import main
from pipeline.document import child, dump, parse, read_bytes
from pipeline.layout import Layout
from pipeline.provenance import rows
from pipeline.tools import ToolsMissing
from pipeline.tree import snapshot
from quick import quick_only
from regenerate.days import ROOT, tree
from regenerate.parts import Document
from regenerate.serving import Site, a_site

UPSTREAM = ROOT / "openapi" / "upstream.json"
Plant = Callable[[Document], object]


@pytest.fixture
def site() -> Iterator[Site]:
    """A web server on loopback."""
    with a_site() as site:
        yield site


def planted(tmp_path: Path, change: Plant, unmarked: bool = False) -> str:
    """Write our document with a change, without our marks if it is to pass for the vendor's; returns the path."""
    document = copy.deepcopy(dict(parse(read_bytes(UPSTREAM), UPSTREAM)))
    change(document)
    if unmarked:
        strip(document)
    path = tmp_path / "planted.json"
    path.write_bytes(dump(document))
    return str(path)


def strip(node: Any) -> None:
    """Take our marks out of a document."""
    for key in [key for key in node if isinstance(node, dict) and key.startswith("x-provenance")]:
        del node[key]
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict | list):
            strip(value)


def run(layout: Layout, *arguments: str) -> int:
    return main(["--root", str(layout.root), *arguments])


def field_renamed(document: Document) -> None:
    message = document["components"]["schemas"]["SendMessageRequest"]
    message["properties"]["text"] = message["properties"].pop("content")
    message["required"] = ["text"]


def member_added(document: Document) -> None:
    document["components"]["schemas"]["QueueInfo"]["properties"]["parked"] = {"type": "integer"}


def hours_dropped(document: Document) -> None:
    del document["paths"]["/api/time/{id}"]


@pytest.mark.parametrize("named", quick_only([True], [False, True]), ids=["not given", "given"])
def test_the_document_that_is_there_changes_nothing(
    here: Layout, capsys: pytest.CaptureFixture[str], named: bool
) -> None:
    """Given by name or not given at all, our own document ends with 0 and leaves every byte."""
    before = tree(here)
    assert run(here, *([str(here.upstream)] if named else [])) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0: nothing changed."
    assert tree(here) == before


@pytest.mark.slow
def test_additions_swap_the_tree_as_a_whole(here: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After 10 there are the new document, its checksum and its client, which is what a check asks for."""
    spec = planted(tmp_path, member_added)
    assert run(here, spec) == 10
    assert capsys.readouterr().out.splitlines()[-1].startswith("10: the facade fits")
    assert here.upstream.read_bytes() == Path(spec).read_bytes()
    assert "parked" in (here.package / "models" / "queue_info.py").read_text()
    assert run(here, "--check") == 0
    assert run(here, spec) == 0


def test_what_breaks_the_facade_moves_nothing(here: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After 20 the tree is as it was, and the report lists the lines to edit under the facade's method."""
    before = tree(here)
    assert run(here, planted(tmp_path, field_renamed)) == 20
    assert tree(here) == before
    said = capsys.readouterr().out
    assert said.splitlines()[-1].startswith("20: the facade does not fit at 2 lines; no file was changed")
    told = r'_wire/operations\.py:(\d+): Unexpected keyword argument "content" for "SendMessageRequest"'
    line = re.search(told, said)
    assert line is not None
    assert "content=" in (here.wire / "operations.py").read_text().splitlines()[int(line[1]) - 1]
    report = here.report.read_text()
    assert "## Edits to make" in report
    assert "### Conversation.send" in report
    place = "#/components/schemas/SendMessageRequest/properties/content"
    assert f"- `SendMessageRequest.content` is gone ({place})" in report


@pytest.mark.slow
def test_accept_swaps_all_the_same(here: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who wants to edit afterwards gets the tree, told that it breaks, with the same exit code."""
    assert run(here, "--accept", planted(tmp_path, field_renamed)) == 20
    assert "taken all the same (ACCEPT=1)" in capsys.readouterr().out.splitlines()[-1]
    assert "text" in (here.package / "models" / "send_message_request.py").read_text()
    assert run(here, "--check") == 0


@pytest.mark.slow
def test_the_edits_made_first_let_the_document_in(here: Layout, tmp_path: Path) -> None:
    """A developer who edits the line that was named runs again, and the tree is swapped."""
    spec = planted(tmp_path, field_renamed)
    operations = here.wire / "operations.py"
    operations.write_text(operations.read_text().replace("SendMessageRequest(content=", "SendMessageRequest(text="))
    assert run(here, spec) == 10
    assert run(here, "--check") == 0


@pytest.mark.slow
def test_the_type_checker_has_the_last_word(here: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the documents alone do not tell, that the facade cannot do with a null, is found at its line."""

    def options_may_be_null(document: Document) -> None:
        _, own = document["components"]["schemas"]["OptionsMessage"]["allOf"]
        own["properties"]["options"]["items"] = {"allOf": [own["properties"]["options"]["items"]], "nullable": True}

    before = tree(here)
    assert run(here, planted(tmp_path, options_may_be_null)) == 20
    said = capsys.readouterr().out
    assert re.search(r"  facade/puzzel_chat/_wire/replies\.py:\d+: .*Option \| None", said)
    assert tree(here) == before


@pytest.mark.slow
def test_what_the_document_lacks_is_carried_over_on_demand(
    here: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without asking 20 names what is missing; with KEEP_ASSUMED ours stays, marked as before, also in later runs."""
    spec = planted(tmp_path, hours_dropped, unmarked=True)
    assert run(here, spec) == 20
    assert "GET /api/time/{id}, our `getTimeInfo`, is gone" in capsys.readouterr().out
    assert run(here, "--keep-assumed", spec) == 10
    marked = marks(here)
    assert marked.pop("getTimeInfo") == "assumed"
    assert set(marked.values()) == {"confirmed"}
    assert list(child(parse(read_bytes(here.assumed), here.assumed), "paths")) == ["/api/time/{id}"]
    assert run(here) == 0
    assert run(here, "--check") == 0


def marks(layout: Layout) -> dict[str, str]:
    """Give the mark of each operation of the built document."""
    return {row.operation_id: row.provenance for row in rows(parse(read_bytes(layout.built), layout.built))}


@pytest.mark.slow
def test_the_token_endpoint_stays_ours_without_a_question(here: Layout, tmp_path: Path) -> None:
    """Documents of this framework often leave it out; then ours is carried over, and goes when theirs comes."""
    spec = planted(tmp_path, lambda document: document["paths"].pop("/connect/token"), unmarked=True)
    assert run(here, spec) == 10
    assert marks(here)["connectToken"] == "documented"
    assert here.assumed.is_file()
    assert run(here, planted(tmp_path, lambda _: None, unmarked=True)) == 10
    assert marks(here)["connectToken"] == "confirmed"
    assert not here.assumed.exists()


@pytest.mark.slow
def test_the_readme_says_what_is_confirmed(here: Layout, tmp_path: Path) -> None:
    """The table of operations is part of the tree: it is swapped with the rest."""
    assert run(here, planted(tmp_path, lambda _: None, unmarked=True)) == 10
    table = [line for line in here.readme.read_text().splitlines() if line.startswith("| `")]
    marked = {line.split(" | ")[0].strip("| `"): line.split(" | ")[2] for line in table if " /" in line}
    assert len(marked) == 12
    assert set(marked.values()) == {"confirmed"}


@pytest.mark.slow
def test_source_says_where_the_document_came_from(here: Layout, site: Site, tmp_path: Path) -> None:
    """An address is kept as it is, of a file only its name: the folder is nobody's business."""
    spec = planted(tmp_path, lambda _: None, unmarked=True)
    assert run(here, site.serve("/swagger/v1/swagger.json", Path(spec).read_bytes())) == 10
    assert f'origin = "{site.url}/swagger/v1/swagger.json"' in here.source.read_text()
    assert run(here, planted(tmp_path, member_added, unmarked=True)) == 10
    assert 'origin = "planted.json"' in here.source.read_text()
    page = tmp_path / "index.html"
    page.write_text('<title>Swagger UI</title><script>SwaggerUIBundle({url: "saved.json"})</script>')
    Path(planted(tmp_path, lambda _: None, unmarked=True)).rename(tmp_path / "saved.json")
    assert run(here, str(page)) == 10
    assert 'origin = "saved.json"' in here.source.read_text()
    assert str(tmp_path) not in here.source.read_text()


PAGES = {
    "url": '<script>SwaggerUIBundle({url: "doc.json", dom_id: "#swagger-ui"})</script>',
    "urls": '<script>SwaggerUIBundle({urls: [{url: "x.json", name: "X"}, {url: "doc.json", name: "Chat"}]})</script>',
    "configUrl": '<script>SwaggerUIBundle({configUrl: "config.json"})</script>',
    "initializer": '<div id="swagger-ui"></div><script src="./swagger-initializer.js"></script>',
}


@pytest.mark.parametrize("style", quick_only(["url"], PAGES))
def test_a_swagger_page_leads_to_a_run(
    here: Layout, site: Site, style: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The vendor publishes a page: whichever way it names its document, the run takes that one and says so."""
    site.serve("/ui/doc.json", UPSTREAM.read_bytes())
    site.serve("/ui/config.json", '{"url": "doc.json"}')
    site.serve("/ui/swagger-initializer.js", 'window.ui = SwaggerUIBundle({url: "./doc.json"})')
    page = site.serve("/ui/index.html", f"<html><title>Swagger UI</title>{PAGES[style]}</html>")
    before = tree(here)
    assert run(here, "--name", "Chat", page) == 0 if style == "urls" else run(here, page) == 0
    assert tree(here) == before
    assert f"{site.url}/ui/doc.json" in capsys.readouterr().out


@pytest.mark.slow
def test_a_page_with_its_document_inline(here: Layout, site: Site) -> None:
    """A document that stands in the page itself is taken too."""
    page = f"<html><title>Swagger UI</title><script>SwaggerUIBundle({{spec: {UPSTREAM.read_text()}}})</script></html>"
    assert run(here, site.serve("/index.html", page)) in (0, 10)
    assert run(here, "--check") == 0


@pytest.mark.parametrize("form", quick_only(["bom"], ["redirect", "gzip", "bom", "yaml"]))
def test_our_document_in_every_wrapping_changes_nothing_of_the_client(here: Layout, site: Site, form: str) -> None:
    """However the same document comes, the client stays as it is."""
    data = UPSTREAM.read_bytes()
    if form == "redirect":
        site.serve("/new.json", data)
        address = site.serve("/doc", status=302, Location="/new.json")
    elif form == "gzip":
        address = site.serve("/doc", gzip.compress(data), Content_Encoding="gzip")
    elif form == "bom":
        address = site.serve("/doc", b"\xef\xbb\xbf" + data)
    else:
        path = here.root / "doc.yaml"
        writer: Any = YAML(typ="safe", pure=True)
        writer.sort_base_mapping_type_on_output = False
        writer.dump(json.loads(data), path)
        address = site.serve("/doc", path.read_bytes())
        path.unlink()
    before = snapshot(here.package)
    assert run(here, address) in (0, 10)
    assert snapshot(here.package) == before
    assert run(here, "--check") == 0


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ((404, {}, b"Not here"), "404"),
        ((401, {"Content-Type": "application/json"}, b'{"error": "login_required"}'), "PUZZEL_CHAT_SPEC_HEADER"),
        ((200, {}, b"<html><title>Sign in</title><input type='password'></html>"), "web page (Sign in)"),
        ((200, {}, b"<html><title>Welcome</title></html>"), "web page (Welcome)"),
        ((200, {}, b""), "is empty"),
        ((200, {}, b"[" + b" " * (50 * 2**20) + b"]"), "larger than 20 MiB"),
        ((200, {}, b'{"openapi": "4.0.0", "paths": {}}'), "4.0.0"),
    ],
    ids=["404", "401", "login", "html", "empty", "50MB", "version"],
)
def test_what_cannot_be_used_ends_with_30(
    here: Layout, site: Site, capsys: pytest.CaptureFixture[str], reply: tuple[int, dict[str, str], bytes], reason: str
) -> None:
    """One clear sentence, the tree untouched, and a report that says the same."""
    site.replies["/doc"] = reply
    before = tree(here)
    assert run(here, f"{site.url}/doc") == 30
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("30: ")
    assert reason in last
    assert tree(here) == before
    assert reason in here.report.read_text()


def test_a_program_gets_json(here: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json standard output is one document, with status, edits, changes and their places."""
    assert run(here, "--json", planted(tmp_path, field_renamed)) == 20
    said = json.loads(capsys.readouterr().out)
    assert said["status"] == 20
    assert {one["file"] for one in said["edits"]} == {"facade/puzzel_chat/_wire/operations.py"}
    assert said["changes"][0]["methods"] == ["Conversation.send"]
    assert said["changes"][0]["weight"] == "judged"
    assert {row["operation_id"] for row in said["provenance"]} >= {"sendMessage", "connectToken"}


def test_a_program_gets_json_of_a_refusal_too(here: Layout, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be used is told to a program in the same form, and to a person on standard error."""
    assert run(here, "--json", str(here.root / "nowhere.json")) == 30
    said = capsys.readouterr()
    assert json.loads(said.out)["status"] == 30
    assert json.loads(said.out)["problems"] == [said.err.strip().removeprefix("30: ")]


@pytest.mark.slow
def test_without_node_the_run_works_and_says_how_the_diff_is_had(
    here: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The diff of the documents is the one thing that is missing, and the sentence says what brings it."""

    def nothing(*_: object) -> None:
        raise ToolsMissing("Node is not installed: install the `regenerate` group of pyproject.toml, which brings it.")

    monkeypatch.setattr(pipeline_run, "changes", nothing)
    assert run(here, planted(tmp_path, member_added)) == 10
    said = capsys.readouterr().out
    assert "no diff of the documents, which redocly makes. Node is not installed: install" in said
