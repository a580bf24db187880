"""Cassettes that a person can read: YAML, with JSON and form bodies as structures, and no secrets in them.

    @pytest.fixture
    def vcr_config(puzzel_stable_ids, puzzel_time):
        return cassette_config()

    @pytest.mark.vcr
    @pytest.mark.block_network
    def test_chat(vcr):
        ...  # a chat; record it once with --record-mode=rewrite
        assert not unplayed(vcr)

The client that replays is made with `base_url=HOST, identity_url=IDENTITY_HOST`, and with the `grant_type` of the
recording; it needs no other setting that the recorded one had.
A body is shown as a structure only when exactly the recorded bytes can be made of it again.
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
"""The format's name at vcrpy; pytest-recording takes it for the end of the file's name too."""
MATCH_ON = ("method", "host", "path", "query", "headers", "body")
"""What tells a request from another, after scrubbing. Of the headers only the content type and the token are left."""
_ABOUT = "# Recorded by puzzel-chat; secrets are replaced, other headers left out. Record anew: --record-mode=rewrite\n"


def cassette_config(
    *, base_url: str | None = None, identity_url: str | None = None, replace: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Give what the fixture `vcr_config` of pytest-recording returns, with a new `Scrubber` of these arguments."""
    scrubber = Scrubber(base_url=base_url, identity_url=identity_url, replace=replace)
    return {
        "serializer": FORMAT,
        "match_on": MATCH_ON,
        "before_record_request": scrubber.request,
        "before_record_response": scrubber.response,
        "decode_compressed_response": True,
    }


def unplayed(cassette: Any) -> list[str]:
    """Name the recorded requests of a cassette that were not made again; none while it is being recorded."""
    if not cassette.rewound:
        return []
    return [
        f"{number + 1}: {request.method} {request.uri}"
        for number, request in enumerate(cassette.requests)
        if not cassette.play_counts[number]
    ]


def prepare(vcr: Any) -> None:
    """Make a `vcr.VCR` know the format, and keep its log from showing whole replies."""
    vcr.register_serializer(FORMAT, ReadableYaml)
    logging.getLogger("vcr.cassette").setLevel(logging.WARNING)


class ReadableYaml:
    """A serializer for vcrpy."""

    @staticmethod
    def serialize(cassette: Mapping[str, Any]) -> str:
        """Write a cassette."""
        yaml = import_module("yaml")
        shown = {**cassette, "interactions": [_readable(one) for one in cassette["interactions"]]}
        dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
        return _ABOUT + str(yaml.dump(shown, Dumper=dumper, sort_keys=False, allow_unicode=True, width=110))

    @staticmethod
    def deserialize(text: str) -> dict[str, Any]:
        """Read a cassette."""
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
    """Show a header that came once without a list around it."""
    return {
        name: values[0] if isinstance(values, list) and len(values) == 1 else values for name, values in headers.items()
    }


def _listed(headers: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _many(values) for name, values in headers.items()}


def _many(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _shown(body: str | bytes | None) -> dict[str, Any]:
    """Give a body as a structure when it can be made of it again to the letter, else as it is."""
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
