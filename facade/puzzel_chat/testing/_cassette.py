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
other setting has to match. A body is shown as a structure only if that gives back exactly the recorded bytes.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlencode

from puzzel_chat.testing._scrub import Scrubber

FORMAT = "puzzel.yaml"
"""The format's name in vcrpy; pytest-recording also uses it as the file's extension."""
MATCH_ON = ("method", "host", "path", "query", "headers", "body")
"""What must match in a request, after scrubbing, which leaves two headers: the content type and the token."""
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
        "decode_compressed_response": True,
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
    """Register the format with a `vcr.VCR`, and keep whole replies out of its log."""
    vcr.register_serializer(FORMAT, ReadableYaml)
    logging.getLogger("vcr.cassette").setLevel(logging.WARNING)


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
        return {"form": dict(pairs)} if len(dict(pairs)) == len(pairs) else {"text": body}
    try:
        document = json.loads(body)
    except ValueError:
        return {"text": body}
    return {"json": document} if _dumped(document) == body else {"text": body}


def _hidden(message: Mapping[str, Any]) -> Any:
    if "json" in message:
        return _dumped(message["json"])
    return urlencode(message["form"]) if "form" in message else message.get("text", "")


def _dumped(document: Any) -> str:
    return json.dumps(document, separators=(",", ":"))
