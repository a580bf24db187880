"""The settings of a service: from options, else from the environment, and where each came from."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated

import typer
from attrs import asdict, frozen
from typer.models import OptionInfo

from puzzel_chat import Settings

PREFIX = "PUZZEL_CHAT_"
SECRET = frozenset({"client_secret", "token_fields"})


def _option(name: str, metavar: str | None, words: str) -> OptionInfo:
    flag, told = f"--{name.replace('_', '-')}", f"{words} [{PREFIX}{name.upper()}]"
    option: OptionInfo = typer.Option(flag, metavar=metavar, help=told, show_default=False)
    return option


BaseUrl = Annotated[str | None, _option("base_url", "URL", "Address of the service, such as https://chat.example.")]
SolutionId = Annotated[str | None, _option("solution_id", "ID", "Id of the solution (the tenant).")]
ClientId = Annotated[str | None, _option("client_id", "ID", "Client id, when it is not the solution id.")]
ClientSecret = Annotated[
    str | None,
    _option("client_secret", "SECRET", "Client secret; better set in the environment, where others cannot read it."),
]
Timeout = Annotated[
    float | None, _option("timeout", "SECONDS", "Seconds to connect, and for each read and write; 10 unless set.")
]
Insecure = Annotated[
    bool, _option("allow_insecure_http", None, "Allow plain http to another machine, where it can be read on the way.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one object a line.")]


@frozen
class Given:
    """What was given as options; None for what was not."""

    base_url: str | None = None
    solution_id: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    timeout: float | None = None
    allow_insecure_http: bool = False

    def set_options(self) -> dict[str, object]:
        """Give only those that were given."""
        return {name: value for name, value in asdict(self).items() if value not in (None, False)}


@frozen
class Shown:
    """One setting as it may be shown: secrets are told to be set, never what they are."""

    name: str
    value: str
    source: str


def shown(given: Given, environment: Mapping[str, str] | None = None) -> list[Shown]:
    """Give every setting, where it came from, and its value unless that is secret."""
    env = os.environ if environment is None else environment
    return [_shown(attribute, given.set_options(), env) for attribute in Settings.__annotations__]


def _shown(name: str, options: Mapping[str, object], env: Mapping[str, str]) -> Shown:
    variable = f"{PREFIX}{name.upper()}"
    if name in options:
        return Shown(name, _masked(name, str(options[name])), f"option --{name.replace('_', '-')}")
    if env.get(variable):
        return Shown(name, _masked(name, env[variable]), f"environment {variable}")
    return Shown(name, _default(name), "default")


def _masked(name: str, value: str) -> str:
    """Hide secrets, also those that an address should not hold and is refused for."""
    if name == "base_url":
        begin, _, rest = value.partition("://")
        host = re.split(r"[?#]", rest or begin, maxsplit=1)[0].rpartition("@")[2]
        return f"{begin}://{host}" if rest else host
    return "set" if name in SECRET else value


def _default(name: str) -> str:
    defaults = {"timeout": "10", "poll_interval": "1", "allow_insecure_http": "no", "client_id": "the solution id"}
    return defaults.get(name, "not set")
