"""The options that set up the service, common to the commands that talk to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer
from attrs import frozen

from puzzel_chat import SettingsFields

PREFIX = "PUZZEL_CHAT_"
ServiceOptions = SettingsFields
"""The values of the options that were passed, by setting; overrides for `from_env`."""


@frozen
class ServiceOption:
    """One option; `setting` is the setting it overrides."""

    setting: str
    metavar: str | None
    help: str
    type: Any = str | None
    default: object = None

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return f"--{self.setting.replace('_', '-')}"

    def parameter(self) -> inspect.Parameter:
        """Return the option as a parameter of a command."""
        # No `envvar`: `from_env` reads the environment, and the doctor shows which of the two it was.
        text = f"{self.help} [{PREFIX}{self.setting.upper()}]"
        option = typer.Option(self.flag, metavar=self.metavar, help=text, show_default=False)
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Parameter(self.setting, kind, default=self.default, annotation=Annotated[self.type, option])


SERVICE_OPTIONS = {
    one.setting: one
    for one in (
        ServiceOption("region", "NAME", "Region of the service, which says where its two hosts are: opo or uk."),
        ServiceOption("base_url", "URL", "Address of the service (of its communication host), instead of a region."),
        ServiceOption("identity_url", "URL", "Address of its identity host, when that is not the base URL."),
        ServiceOption("solution_id", "ID", "Id of the solution (the tenant), such as 12345."),
        ServiceOption("client_id", "ID", "Client id; oneplatform_engage unless set."),
        ServiceOption("tenant_id", "ID", "Tenant id in the token request; the solution id unless set."),
        ServiceOption(
            "client_secret", "SECRET", "Client secret; better set in the environment, where others cannot read it."
        ),
        ServiceOption(
            "timeout", "SECONDS", "Seconds to connect, and for each read and write; 10 unless set.", float | None
        ),
        ServiceOption(
            "allow_insecure_http",
            None,
            "Allow plain http to another machine, where it can be read on the way.",
            bool,
            default=False,
        ),
    )
}


def with_service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of the service to a command; its argument `service` gets those that were passed."""

    @wraps(command)
    def run(**values: Any) -> None:
        passed = {setting: values.pop(setting) for setting in SERVICE_OPTIONS}
        service = {setting: value for setting, value in passed.items() if value not in (None, False)}
        command(service=service, **values)

    own = inspect.signature(command, eval_str=True).parameters
    parameters = [parameter for name, parameter in own.items() if name != "service"]
    parameters += [option.parameter() for option in SERVICE_OPTIONS.values()]
    # Typer reads the options of a command from its signature and annotations.
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
