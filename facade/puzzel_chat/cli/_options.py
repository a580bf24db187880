"""The options that set up the service, each with its environment variable."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer
from attrs import asdict, field, fields, frozen, resolve_types

PREFIX = "PUZZEL_CHAT_"


def from_env(name: str, words: str) -> dict[str, Any]:
    """Return what an argument or option has in common that may stand in the environment, too."""
    variable = f"{PREFIX}{name}"
    return {"help": f"{words} [{variable}]", "envvar": variable, "show_envvar": False, "show_default": False}


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one object a line.")]


QueueKey = Annotated[
    str | None,
    typer.Argument(metavar="QUEUE_KEY", **from_env("QUEUE_KEY", "Key of the queue to ask, such as q_support.")),
]


def visual_queue_id_option(flag: str, words: str) -> Any:
    """Return an option for a visual queue id, which may stand in the environment, too."""
    return typer.Option(flag, metavar="ID", **from_env("VISUAL_QUEUE_ID", words))


def _option(metavar: str | None, words: str, default: object = None) -> Any:
    return field(default=default, metadata={"metavar": metavar, "words": words})


@frozen
class Given:
    """What was given as options; None for what was not."""

    region: str | None = _option("NAME", "Region of the service, which says where its two hosts are: opo or uk.")
    base_url: str | None = _option("URL", "Address of the service (of its communication host), instead of a region.")
    identity_url: str | None = _option("URL", "Address of its identity host, when that is not the base URL.")
    solution_id: str | None = _option("ID", "Id of the solution (the tenant), such as 12345.")
    client_id: str | None = _option("ID", "Client id; oneplatform_engage unless set.")
    tenant_id: str | None = _option("ID", "Tenant id in the token request; the solution id unless set.")
    client_secret: str | None = _option(
        "SECRET", "Client secret; better set in the environment, where others cannot read it."
    )
    timeout: float | None = _option("SECONDS", "Seconds to connect, and for each read and write; 10 unless set.")
    allow_insecure_http: bool = _option(
        None, "Allow plain http to another machine, where it can be read on the way.", default=False
    )

    def set_options(self) -> dict[str, object]:
        """Give only those that were given."""
        return {name: value for name, value in asdict(self).items() if value not in (None, False)}


OPTIONS = tuple(one.name for one in fields(Given))


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the settings to a command, which gets them as its argument `given`."""

    @wraps(command)
    def run(**options: Any) -> None:
        given = Given(**{name: options.pop(name) for name in OPTIONS})
        command(given=given, **options)

    own = inspect.signature(command, eval_str=True).parameters
    names = [*(name for name in own if name != "given"), *OPTIONS]
    options = {one.name: _parameter(one) for one in fields(resolve_types(Given))}
    signature = inspect.Signature([options.get(name) or own[name] for name in names])
    run.__signature__ = signature  # type: ignore[attr-defined]  # what `inspect.signature` looks at
    run.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return run


def _parameter(one: Any) -> inspect.Parameter:
    told = f"{one.metadata['words']} [{PREFIX}{one.name.upper()}]"
    flag = f"--{one.name.replace('_', '-')}"
    option = typer.Option(flag, metavar=one.metadata["metavar"], help=told, show_default=False)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Parameter(one.name, kind, default=one.default, annotation=Annotated[one.type, option])
