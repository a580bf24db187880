"""What a Swagger UI page shows, in every way that such pages are written."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.problems import PipelineError
from pipeline.swagger_page import follow, read_page
from quick import quick_only

ADDRESS = "https://cdn.example/public/chat/index.html"
FOLDER = "https://cdn.example/public/chat"
DEMO = "https://petstore.swagger.io/v2/swagger.json"
SPEC = {
    "openapi": "3.0.1",
    "info": {"title": 'Chat "2"', "version": "1"},
    "paths": {"/a": {"get": {"x": [1, -2.5, True]}}},
}
# As a person writes it: keys without quotes, single quotes, trailing commas, numbers as keys.
LITERAL = """{
    openapi: '3.0.1', // the version
    'info': {title: 'Chat "2"', version: `1`},
    paths: {"/a": {get: {x: [1, -2.5, true,],}}},  /* all of it */
}"""


def page(script: str, head: str = "") -> str:
    return f"<!doctype html>\n<html><head>{head}</head><div id='swagger-ui'></div><script>{script}</script></html>"


def shown(
    script: str,
    *,
    head: str = "",
    address: str = ADDRESS,
    choice: str | None = None,
) -> tuple[str | bytes, str]:
    """Read a page with that script; gives what it shows, and what is told of it."""
    found, told = read_page(page(script, head)), list[str]()
    assert found is not None
    return follow(found, address, choice, lambda _: b"", told), told[-1]


def call(settings: str) -> str:
    return f"window.onload = function() {{\n  const ui = SwaggerUIBundle({settings})\n  window.ui = ui\n}}"


@pytest.mark.parametrize(
    ("reference", "address"),
    [
        ("v1.json", f"{FOLDER}/v1.json"),
        ("./v1.json", f"{FOLDER}/v1.json"),
        ("../v1.json", "https://cdn.example/public/v1.json"),
        ("/swagger/v1/swagger.json", "https://cdn.example/swagger/v1/swagger.json"),
        ("//api.example/v1.json", "https://api.example/v1.json"),
        ("http://api.example/v1.json?x=1", "http://api.example/v1.json?x=1"),
    ],
)
def test_an_address_counts_from_the_page_or_its_base(reference: str, address: str) -> None:
    """Relative addresses lead where a browser would go."""
    script = call(f'{{url: "{reference}", dom_id: "#swagger-ui"}}')
    assert shown(script)[0] == address
    based = shown(script, head='<base href="/public/chat/">', address="https://cdn.example/other/x/")
    assert based[0] == address


@pytest.mark.parametrize(
    "script",
    [
        call('{ "url": "/v1.json" }'),
        call("{ dom_id: '#x', url: '/v1.json', presets: [SwaggerUIBundle.presets.apis], plugins: [a(b, {c})], }"),
        call("{ url: window.location.origin + '/v1.json' }"),
        call("{ url: location.protocol + '//' + location.host + '/v1.json' }"),
        "const url = params.get('url') || '/v1.json';" + call("{ url }"),
        "let url = location.origin, options = { customOptions: {}, 'swaggerUrl': '/v1.json' };\n"
        "url = options.swaggerUrl || url\nlet urls = options.swaggerUrls\n" + call("{ url: url, urls: urls }"),
        "let url = '/v1.json'; if (a) { url = decodeURIComponent(m[1]); }" + call("{ url: url, }"),
        "var full = location.protocol + '//' + location.hostname + (location.port ? ':' + 1 : '');\n"
        + call("{ url: '/v1.json', oauth2RedirectUrl: full + '/o.html' }"),
        call("{ ...common, url: '/v1.json', onComplete() { url = '/no.json' }, [key]: 1, requestInterceptor: r => r }"),
        "const options = { dom_id: '#x' }\noptions.url = '/v1.json'\nSwaggerUI(options)",
        "window.settings = { url: '/v1.json' }; new SwaggerUi(window.settings).load();",
        'const mine = {"url": "/v1.json"};\nconst ask = (r, ...a) => { return r; };\n'
        'const ui = window.SwaggerUIBundle({\n  url: "/no.json",\n  plugins,\n  ask,\n  ...mine,\n});',
        "// SwaggerUIBundle({url: '/old.json'})\n/* SwaggerUIBundle({url: '/older.json'}) */"
        + call("{ url: '/v1.json' }"),
        "var t = \"SwaggerUIBundle({url: '/no.json'})\", m = s.match(/url=(['\"\\/[/]]+)/);"
        + call("{url: '/v1.json'}"),
        call("{\n // url: '/old.json',\n url: '/v1.json', // url: '/other.json'\n }"),
        call("{ url: 'https:\\/\\/cdn.example\\u002Fv1.json' }"),
        call(f"{{ url: '{DEMO}' }}") + call("{ url: '/v1.json' }"),
        call(f"{{ url: '{DEMO}', urls: [{{ url: '/v1.json', name: 'Chat' }}] }}"),
    ],
)
def test_an_address_is_found_however_it_is_written(script: str) -> None:
    """Strings, sums, names, members and templates are followed; comments and words in strings are not."""
    assert shown(script)[0] == "https://cdn.example/v1.json"


SEVERAL = '{"urls":[{"url":"v1.json","name":"Chat \\u0027V1\\u0027"},{"url":"/v2.json","name":"Chat V2"}]'


@pytest.mark.parametrize(
    "script",
    [
        call(f"{SEVERAL}, layout: 'StandaloneLayout'}}"),
        f"var urls = {SEVERAL[8:]};" + call("{ url: undefined, urls: urls }"),
        f"var configObject = JSON.parse('{SEVERAL},\"deepLinking\":false}}'); configObject.dom_id = '#x';\n"
        "configObject.urls.forEach(function (item) { item.url = location.href.replace('index.html', item.url); });\n"
        "const ui = SwaggerUIBundle(configObject);",
        f"var configObject = {SEVERAL}}};\nconfigObject.presets = [SwaggerUIBundle.presets.apis];"
        + call("configObject"),
    ],
    ids=["urls", "NSwag", "Swashbuckle with JSON.parse", "Swashbuckle with a literal"],
)
def test_several_documents_are_offered_by_name(script: str) -> None:
    """The first is taken and the names are told; a choice counts whatever its case."""
    address, told = shown(script)
    assert address == f"{FOLDER}/v1.json"
    assert told == (
        f"{ADDRESS} is a Swagger UI page; it shows 2 documents (Chat 'V1', Chat V2), "
        "took Chat 'V1': name another with SPEC_NAME=."
    )
    address, told = shown(script, choice="chat v2")
    assert address == "https://cdn.example/v2.json"
    assert told.endswith("took Chat V2.")
    with pytest.raises(PipelineError, match=r"has no document v3: name one of Chat 'V1', Chat V2 with SPEC_NAME="):
        shown(script, choice="v3")


@pytest.mark.parametrize(
    ("settings", "query", "choice", "name"),
    [
        ("'urls.primaryName': 'B'", "", None, "b"),
        ("'urls.primaryName': 'nobody'", "", None, "a"),
        ("'urls.primaryName': 'B'", "?urls.primaryName=C", None, "c"),
        ("'urls.primaryName': 'B'", "?urls.primaryName=C", "A", "a"),
        ("url: 'x'", "?url=q", "B", "b"),
    ],
)
def test_the_primary_name_and_the_query_choose_too(settings: str, query: str, choice: str | None, name: str) -> None:
    """A choice by the person counts most, then the page's address, then the page."""
    urls = ", ".join(f"{{url: '{one.lower()}', name: '{one}'}}" for one in "ABC")
    taken, _ = shown(call(f"{{urls: [{urls}], {settings}}}"), address=ADDRESS + query, choice=choice)
    assert taken == f"{FOLDER}/{name}"


@pytest.mark.parametrize(
    "script",
    [
        call(f"{{ spec: {json.dumps(SPEC)}, url: '/v1.json' }}"),
        call(f"{{ spec: {LITERAL} }}"),
        f"const spec = {LITERAL}\n" + call("{ spec: spec }"),
        call("{ spec, dom_id: '#x' }") + f"\nvar spec = {json.dumps(SPEC, indent=1)};",
        f"window.spec = {LITERAL};" + call("{ spec: window.spec }"),
        f"let options = {{ 'swaggerDoc': {LITERAL}, customOptions: {{}} }};\nurl = options.swaggerUrl || url\n"
        "var settings = { spec: options.swaggerDoc, url: url, ...options.customOptions }\n" + call("settings"),
    ],
    ids=["json", "literal", "name", "later name", "window", "express"],
)
def test_a_document_in_the_page_is_taken_whole(script: str) -> None:
    """A literal written by hand becomes the same document as JSON would."""
    taken, told = shown(script)
    assert json.loads(taken) == SPEC
    assert told == f"{ADDRESS} is a Swagger UI page with its document written in it."


def test_scripts_of_the_page_count_in_their_order() -> None:
    """A name may come from another script; foreign ones are asked for last, Swagger UI's own not at all."""
    head = "".join(
        f"<script src={name}></script>"
        for name in (
            "//x.example/t.js",
            "./swagger-ui-bundle.js",
            "swagger-ui-standalone-preset.js",
            "spec.js",
            "/init.js?v=1",
        )
    )
    html = page("", head + '<script type="application/json">{"url": 1}</script>')
    found = read_page(html)
    assert found is not None
    loaded: list[str] = []

    def taken(texts: dict[str, str]) -> str | bytes:
        def get(name: str) -> bytes:
            loaded.append(name)
            return texts[name].encode()

        loaded.clear()
        return follow(found, ADDRESS, None, get, [])

    spec, init, foreign = f"{FOLDER}/spec.js", "https://cdn.example/init.js?v=1", "https://x.example/t.js"
    texts = {spec: f"var spec = {LITERAL}", init: call("{ spec: spec, url: '/no.json' }"), foreign: ""}
    assert json.loads(taken(texts)) == SPEC
    assert loaded == [spec, init]
    assert taken({**texts, spec: ""}) == "https://cdn.example/no.json"
    assert loaded == [spec, init, foreign]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("", "name no document but the demo of Swagger UI: open it in a browser"),
        (call("settings()"), "name no document but the demo"),
        (call("{ url: address() }"), "name no document but the demo"),
        (call(f"{{ url: '{DEMO}' }}"), "name no document but the demo"),
        (
            call("{ url: 'https://petstore3.swagger.io/api/v3/openapi.json' }"),
            "name no document but the demo",
        ),
        (call("{ spec: { openapi: '3.0.1', info: info() } }"), "puts its document together by program code"),
        (call("{ spec: { ...base(), openapi: '3.0.1' } }"), "puts its document together by program code"),
        (call("{ spec: { [key]: '3.0.1' } }"), "puts its document together by program code"),
        (call("{ spec: { '\\x6fpenapi': '3.0.1' } }"), "puts its document together by program code"),
        (call("{ spec: { openapi: `3.${minor}` } }"), "puts its document together by program code"),
        ("var a = {openapi: '3.0.1'}; a.b = a;" + call("{ spec: a }"), "puts its document together by program code"),
        ("a = [1];" + "a = [a, a];" * 60 + call("{ spec: { a } }"), "or holds one that is too big"),
        ("a = " + "[" * 10_000, "name no document but the demo"),
        (call(f"{{ url: 'a' + 0x{'f' * 5000} }}"), "name no document but the demo"),
        (call(f"{{ url: 'a' + {'9' * 5000} }}"), "name no document but the demo"),
        (
            "a0 = 'x';" + "".join(f"a{n + 1} = a{n} + a{n};" for n in range(60)) + call("{ url: a60 }"),
            "name no document but the demo",
        ),
    ],
)
def test_a_page_without_a_usable_document_is_told(script: str, reason: str) -> None:
    """What only a browser could work out is never guessed at, and never half taken."""
    with pytest.raises(PipelineError) as raised:
        shown(script)
    assert str(raised.value).startswith(f"{ADDRESS} ")
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    "piece", quick_only(["=/[", "/*"], ["=/[", "a={b:x[", "SwaggerUI(", "'\\", "/*", "`", "a=[b,"])
)
def test_a_long_script_is_read_in_one_go(piece: str) -> None:
    """What is never closed does not send the reader over the same text again and again."""
    with pytest.raises(PipelineError, match="name no document but the demo"):
        shown(piece * 50_000)


def test_a_choice_where_there_is_none_is_told() -> None:
    """SPEC_NAME= for a page with one nameless document is not passed over."""
    for settings, name in (("{ url: '/v1.json' }", "/v1.json"), (f"{{ spec: {LITERAL} }}", "spec")):
        with pytest.raises(PipelineError, match=f"has no document v1: name one of {name} with SPEC_NAME="):
            shown(call(settings), choice="v1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        '{"description": "<div id=swagger-ui>"}',
        "<html><title>Chat</title></html>",
        "<!doctype html><title>swagger-ui</title><input type='password'>",
        "<?xml version='1.0'?><Error>swagger-ui</Error>",
    ],
)
def test_another_text_is_no_such_page(text: str) -> None:
    """A document that mentions Swagger UI, another page, and a login before it are left to others."""
    assert read_page(text) is None


@pytest.mark.parametrize("start", ["\r\n\t", "<!-- a -->\n<!-- b -->", "<?xml version='1.0'?>"])
def test_a_page_is_known_whatever_stands_before_it(start: str) -> None:
    """Marks, blanks and comments before the first tag do not hide a page."""
    assert read_page(start + page("")) is not None


WORDS = r"""
SwaggerUIBundle( spec url urls var a .b = : , ; { } [ ] ( ) ' " ` ${ \ / // /* */ + || ... - 1 0x ! JSON.parse
window.location name <!-- <![ <script> </script> <base/href=' \ud800 \u{ffffff} 1e999 ?. => return"""
PIECES = st.lists(st.sampled_from(WORDS.split()), max_size=60).flatmap(
    lambda pieces: st.sampled_from(["", " ", "\n"]).map(lambda gap: gap.join(pieces))
)
TEXTS = st.one_of(PIECES, PIECES.map(page), st.text(max_size=200).map(page), st.text(max_size=200))


@given(TEXTS)
@example("<![x<div id=swagger-ui>")
@example(page("SwaggerUIBundle({url: '\\ud800'})"))
def test_no_text_breaks_the_reader(text: str) -> None:
    """Whatever a page holds, it is read or refused with a sentence."""
    with contextlib.suppress(PipelineError):
        found = read_page(text)
        if found is not None:
            follow(found, ADDRESS, None, lambda _: text.encode(errors="replace"), [])
