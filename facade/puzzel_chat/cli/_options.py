"""Options that are made from what they set: each setting of the service has one, each argument of the sandbox too."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Annotated, Any

import typer
from attrs import frozen

from puzzel_chat import Settings, SettingsFields

PREFIX = "PUZZEL_CHAT_"
PAIRS = "NAME=VALUE"
ServiceOptions = SettingsFields
"""The values of the options that were passed, by setting; overrides for `from_env`."""
SETTINGS: Mapping[str, tuple[str | None, str]] = {
    "solution_id": ("ID", "Id of the solution (the tenant), such as 12345."),
    "region": ("NAME", "Region of the service, which says where its hosts are: opo or uk."),
    "base_url": ("URL", "Address of the service (of its communication host), instead of a region."),
    "identity_url": ("URL", "Address of its identity host, when that is not the base URL."),
    "upload_url": ("URL", "Address of its host for files, when that is not the region's or the base URL."),
    "grant_type": ("NAME", "Grant type of the token request; visitor unless set."),
    "client_id": ("ID", "Client id; oneplatform_engage unless set."),
    "tenant_id": ("ID", "Tenant id in the token request; the solution id unless set."),
    "client_secret": ("SECRET", "Client secret; better set in the environment, where others cannot read it."),
    "scope": ("TEXT", "Scope of the token request, if your credentials have one."),
    "token_fields": (PAIRS, "Another form field of the token request; may be repeated. The variable holds a=1,b=2."),
    "timeout": ("SECONDS", "Seconds to connect, and for each read and write; 10 unless set."),
    "poll_interval": ("SECONDS", "Seconds between two polls; 1 unless set."),
    "max_retries": ("NUMBER", "How often a call that may be repeated is tried again; 2 unless set."),
    "max_message_bytes": ("NUMBER", "The most that one message may take, as JSON; 65536 unless set."),
    "max_file_bytes": ("NUMBER", "The most that a file may have, sent or fetched; 20971520 unless set."),
    "proxy": ("URL", "Proxy for both hosts, such as http://proxy.example:3128; wins over HTTPS_PROXY."),
    "verify": ("PATH", "File or folder of the certificates to trust; wins over SSL_CERT_FILE."),
    "headers": (PAIRS, "Another header of each request; may be repeated. The variable holds a=1,b=2."),
    "allow_insecure_http": (None, "Allow plain http to another machine, where it can be read on the way."),
}
"""What stands for a setting's value, None for a switch, and what it is."""
TYPES: Mapping[str | None, type] = {"SECONDS": float, "NUMBER": int}


def pairs(flag: str, texts: Iterable[str]) -> dict[str, str]:
    """Read the NAME=VALUE of each time that the option was passed."""
    found = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or not name.strip():
            raise typer.BadParameter("write NAME=VALUE", param_hint=flag)
        found[name.strip()] = value
    return found


@frozen
class Option:
    """An option of a command, which sets the argument of that name.

    `metavar` stands for its value and says of which type that is; None makes it a switch. `read` makes an option that
    may be repeated; it gets the option as it is typed, and all that was passed.
    """

    name: str
    metavar: str | None
    help: str
    default: Any = None
    least: float | None = None
    most: float | None = None
    choices: Any = None
    read: Callable[[str, list[str]], object] | None = None

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        words = self.name.replace("_", "-")
        return f"--{words.removesuffix('s') if self.read else words}"

    @property
    def type(self) -> Any:
        """The type of its value, for Typer."""
        if self.metavar is None:
            return bool
        if self.read is not None:
            return list[str] | None
        kind = self.choices or TYPES.get(self.metavar, str)
        return kind if self.default is not None else kind | None

    def parameter(self) -> inspect.Parameter:
        """Return the option as a parameter of a command."""
        option = typer.Option(
            f"{self.flag}/--no-{self.flag[2:]}" if self.default is True else self.flag,
            metavar=self.metavar,
            help=self.help,
            show_default=self.default not in (None, False),
            min=self.least,
            max=self.most,
        )
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        default = None if self.read else self.default
        return inspect.Parameter(self.name, kind, default=default, annotation=Annotated[self.type, option])


def _of_setting(name: str) -> Option:
    metavar, text = SETTINGS.get(name, ("VALUE", "A setting of the library."))
    # No `envvar`: `from_env` reads the environment, and the doctor shows which of the two it was.
    text = f"{text} [{PREFIX}{name.upper()}]"
    return Option(name, metavar, text, None if metavar else False, read=pairs if metavar == PAIRS else None)


SERVICE_OPTIONS = {name: _of_setting(name) for name in Settings.__annotations__}


def with_options(argument: str, options: Mapping[str, Option]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add options to a command, whose argument of that name gets the values of those that were passed."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**values: Any) -> None:
            taken = {name: (option, values.pop(name)) for name, option in options.items()}
            passed = {
                name: (one, value) for name, (one, value) in taken.items() if value not in (one.default, None, [])
            }
            given = {name: one.read(one.flag, value) if one.read else value for name, (one, value) in passed.items()}
            command(**{argument: given}, **values)

        own = inspect.signature(command, eval_str=True).parameters
        parameters = [parameter for name, parameter in own.items() if name != argument]
        parameters += [option.parameter() for option in options.values()]
        # Typer reads the options of a command from its signature and annotations.
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return add
