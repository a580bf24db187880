"""Readable cassettes without secrets: YAML, with JSON and form bodies as structures.

    @pytest.fixture
    def vcr_config(puzzel_stable_ids, puzzel_time):
        return cassette_config()

    @pytest.mark.vcr
    @pytest.mark.block_network
    def test_chat(vcr):
        ...  # a chat; record it once with --record-mode=rewrite
        assert not unplayed(vcr)

To replay, make the client with `base_url=HOST, identity_url=IDENTITY_HOST` and the `grant_type` of the recording; no
other setting has to match. A body is shown as a structure only if that gives back exactly the recorded bytes. Sizes of
bodies are not kept.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlencode

from puzzel_chat.testing._scrub import PLACEHOLDER, Scrubber

FORMAT = "puzzel.yaml"
"""The format's name in vcrpy; pytest-recording also uses it as the file's extension."""
BODY = "puzzel.body"
"""The matcher's name in vcrpy."""
MATCH_ON = ("method", "host", "path", "query", "headers", BODY)
"""What must match in a request, after scrubbing, which leaves two headers: the content type and the token."""
_WORDS = re.compile(r"scrubbed-words-\d+")
# PyYAML reads what it wrote, but for some characters; a body with others is shown as text, where JSON escapes them.
_READABLE = re.compile("[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]*")
_ABOUT = "# Recorded by puzzel-chat; secrets are replaced, other headers left out. Record anew: --record-mode=rewrite\n"


def cassette_config(
    *, base_url: str | None = None, identity_url: str | None = None, replace: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the value for pytest-recording's fixture `vcr_config`, with a new `Scrubber` of these arguments."""
    scrubber = Scrubber(base_url=base_url, identity_url=identity_url, replace=replace)
    return {
        "serializer": FORMAT,
        "match_on": MATCH_ON,
        "before_record_request": scrubber.request,
        "before_record_response": scrubber.response,
        "decode_compressed_response": False,  # the scrubber does, and knows how gzip may be spelled
    }


def unplayed(cassette: Any) -> list[str]:
    """List the recorded requests that the test did not make again; empty while recording."""
    if not cassette.rewound:
        return []
    return [
        f"{number + 1}: {request.method} {request.uri}"
        for number, request in enumerate(cassette.requests)
        if not cassette.play_counts[number]
    ]


def prepare(vcr: Any) -> None:
    """Register format and matcher with a `vcr.VCR`, and keep whole replies out of its log."""
    vcr.register_serializer(FORMAT, ReadableYaml)
    vcr.register_matcher(BODY, same_body)
    logging.getLogger("vcr.cassette").setLevel(logging.WARNING)


def same_body(asked: Any, recorded: Any) -> None:
    """Raise `AssertionError` unless two bodies are the same; a stand-in on one side fits any text on the other.

    The cassette does not know the words that it hides, so it cannot ask for them.
    """
    try:
        import_module("vcr.matchers").body(asked, recorded)
    except AssertionError:
        try:
            same = _fits(json.loads(asked.body), json.loads(recorded.body))
        except (ValueError, TypeError):
            same = False
        if not same:
            raise


def _fits(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_fits(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_fits, one, other))
    if isinstance(one, str) and isinstance(other, str):
        return one == other or _stands_for(one, other) or _stands_for(other, one)
    return bool(one == other)


def _stands_for(masked: str, text: str) -> bool:
    """Tell whether a text may be what one with stand-ins hides. Two secrets are the same only by their number."""
    if "scrubbed-words-" in masked:
        around = _WORDS.split(masked)
    elif PLACEHOLDER.search(masked) and not PLACEHOLDER.search(text):
        around = PLACEHOLDER.split(masked)[::3]
    else:
        return False
    return re.fullmatch(".+".join(map(re.escape, around)), text, re.DOTALL) is not None


class ReadableYaml:
    """The serializer for vcrpy."""

    @staticmethod
    def serialize(cassette: Mapping[str, Any]) -> str:
        """Return a cassette as YAML."""
        yaml = import_module("yaml")
        shown = {**cassette, "interactions": [_readable(one) for one in cassette["interactions"]]}
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return _ABOUT + str(yaml.dump(shown, Dumper=dumper, sort_keys=False, allow_unicode=True, width=110))

    @staticmethod
    def deserialize(text: str) -> dict[str, Any]:
        """Return the cassette in a YAML text."""
        yaml = import_module("yaml")
        shown = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return {**shown, "interactions": [_as_vcrpy_has_it(one) for one in shown["interactions"]]}


def _readable(interaction: Mapping[str, Any]) -> dict[str, Any]:
    request, response = interaction["request"], interaction["response"]
    asked = {"method": request["method"], "uri": request["uri"], "headers": _single(request["headers"])}
    status = f"{response['status']['code']} {response['status']['message'] or ''}".strip()
    told = {"status": status, "headers": _single(response["headers"])}
    return {
        "request": {**asked, **_shown(request["body"])},
        "response": {**told, **_shown(response["body"]["string"])},
    }


def _as_vcrpy_has_it(interaction: Mapping[str, Any]) -> dict[str, Any]:
    asked, told = interaction["request"], interaction["response"]
    code, _, message = told["status"].partition(" ")
    request = {"method": asked["method"], "uri": asked["uri"], "headers": _listed(asked["headers"])}
    response = {"status": {"code": int(code), "message": message}, "headers": _listed(told["headers"])}
    return {
        "request": {**request, "body": _hidden(asked)},
        "response": {**response, "body": {"string": _hidden(told)}},
    }


def _single(headers: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headers with a single value outside its list."""
    return {
        name: values[0] if isinstance(values, list) and len(values) == 1 else values for name, values in headers.items()
    }


def _listed(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _many(values) for name, values in headers.items()}


def _many(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _shown(body: str | bytes | None) -> dict[str, Any]:
    """Return a body as a structure if that gives back the same bytes, else as text."""
    if not body or isinstance(body, bytes):
        return {"text": body} if body else {}
    pairs = parse_qsl(body, keep_blank_values=True)
    if pairs and urlencode(pairs) == body:
        form = {"form": dict(pairs)}
        return (
            form
            if len(dict(pairs)) == len(pairs) and _READABLE.fullmatch("".join(map("".join, pairs)))
            else {"text": body}
        )
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {"text": body}
    same = _dumped(document) == body and _READABLE.fullmatch(json.dumps(document, ensure_ascii=False))
    return {"json": document} if same else {"text": body}


def _hidden(message: Mapping[str, Any]) -> Any:
    if "json" in message:
        return _dumped(message["json"])
    return urlencode(message["form"]) if "form" in message else message.get("text", "")


def _dumped(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"))
