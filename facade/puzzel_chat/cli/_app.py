"""The Typer application: the commands, their options and their help."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from puzzel_chat import Customer, __version__
from puzzel_chat.cli._help import CHAT, DEMO, DOCTOR, PROBE, QUEUE, WORKERS, root_help, sandbox_help
from puzzel_chat.cli._layout import Command, Group
from puzzel_chat.cli._options import PREFIX, SERVICE_OPTIONS, ServiceOptions, pairs, with_options
from puzzel_chat.cli._output import EXIT_CODES, CliError, Exit, Output, exit_code, print_error
from puzzel_chat.cli._sandbox_options import SANDBOX_OPTIONS

EPILOG = "\b\n" + EXIT_CODES
WRONG_USAGE: Any = typer.BadParameter.__mro__[2]  # Click's base of all errors; Typer has no name for it
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs, one object a line.")]

app = typer.Typer(
    cls=Group,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _from_env(name: str, text: str) -> dict[str, Any]:
    """Return what arguments and options with an environment variable have in common."""
    variable = f"{PREFIX}{name}"
    return {"help": f"{text} [{variable}]", "envvar": variable, "show_envvar": False, "show_default": False}


def _visual_queue_id(flag: str, text: str) -> Any:
    return typer.Option(flag, metavar="ID", **_from_env("VISUAL_QUEUE_ID", text))


def _version(asked: bool) -> None:
    if asked:
        print(f"puzzel-chat {__version__}")
        raise typer.Exit


@app.callback(help=root_help(), epilog=EPILOG, invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options before a command; without one, show the help."""
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(Exit.USAGE)


@app.command(cls=Command, help=DEMO, short_help="Hold one whole chat against the bundled simulator.", epilog=EPILOG)
def demo(json: Json = False) -> None:
    """Hold the demo's chat."""
    from puzzel_chat.cli._demo import run_demo

    raise typer.Exit(run_demo(Output(json)))


@app.command(cls=Command, help=CHAT, short_help="Hold a chat with an agent.", epilog=EPILOG)
@with_options("service", SERVICE_OPTIONS)
def chat(
    context: typer.Context,
    service: ServiceOptions,
    queue_key: Annotated[
        str | None,
        typer.Argument(metavar="QUEUE_KEY", **_from_env("QUEUE_KEY", "Key of the queue to ask, such as q_support.")),
    ] = None,
    visual_queue_id: Annotated[
        str | None, _visual_queue_id("--visual-queue-id", "Check the hours of this queue first.")
    ] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for an agent.", min=0)] = 120.0,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="Your name, for the agent.")] = None,
    email: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Your e-mail address, for the agent.")] = None,
    phone: Annotated[str | None, typer.Option(metavar="NUMBER", help="Your telephone number, for the agent.")] = None,
    customer_id: Annotated[str | None, typer.Option(metavar="ID", help="Your id at the company.")] = None,
    subject: Annotated[str | None, typer.Option(metavar="TEXT", help="What the chat is about.")] = None,
    variable: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A value for the agent; may be repeated.")
    ] = None,
    linger: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to keep listening after the end of piped input.", min=0)
    ] = 0.0,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Chat with the bundled simulator, started for this chat.")
    ] = False,
    json: Json = False,
) -> None:
    """Hold a chat."""
    from puzzel_chat.cli._chat import ChatOptions, run_chat

    if sandbox:
        # A queue in the environment belongs to the real service.
        queue_key = queue_key if _typed(context, "queue_key") else "support"
        visual_queue_id = visual_queue_id if _typed(context, "visual_queue_id") else None
    if queue_key is None:
        raise CliError(f"name a queue: puzzel-chat chat QUEUE_KEY, or {PREFIX}QUEUE_KEY; or try --sandbox")
    customer = Customer(id=customer_id or None, name=name or None, email=email or None, phone=phone or None)
    variables = pairs("--variable", variable or [])
    options = ChatOptions(queue_key, visual_queue_id, wait, linger, customer, variables, subject or None)
    raise typer.Exit(run_chat(None if sandbox else service, options, Output(json)))


def _typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@app.command(cls=Command, help=QUEUE, short_help="Show the opening hours and load of a queue.", epilog=EPILOG)
@with_options("service", SERVICE_OPTIONS)
def queue(
    service: ServiceOptions,
    visual_queue_id: Annotated[
        str,
        typer.Argument(metavar="VISUAL_QUEUE_ID", **_from_env("VISUAL_QUEUE_ID", "Visual id of the queue, a number.")),
    ],
    json: Json = False,
) -> None:
    """Show a queue."""
    from puzzel_chat.cli._queue import show_queue

    show_queue(service, visual_queue_id, Output(json))


@app.command(
    cls=Command, help=sandbox_help(), short_help="Start a simulated contact centre (not Puzzel).", epilog=EPILOG
)
@with_options("arguments", SANDBOX_OPTIONS)
def sandbox(
    arguments: Mapping[str, Any],
    one_port: Annotated[bool, typer.Option("--one-port", help="Serve both hosts on one port.")] = False,
    person: Annotated[bool, typer.Option("--person", help="You play the agent at this terminal.")] = False,
    pages_port: Annotated[
        int, typer.Option(metavar="NUMBER", help="Port of the pages; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    no_pages: Annotated[bool, typer.Option("--no-pages", help="Serve no pages.")] = False,
    json: Json = False,
) -> None:
    """Start a contact centre."""
    from puzzel_chat.cli._sandbox import run_sandbox

    if one_port:
        if "identity_port" in arguments:
            raise CliError("use --one-port or --identity-port, not both")
        arguments = {**arguments, "identity_port": None}
    raise typer.Exit(run_sandbox(arguments, None if no_pages else pages_port, person, Output(json)))


@app.command(cls=Command, help=DOCTOR, short_help="Check the settings and the way to the service.", epilog=EPILOG)
@with_options("service", SERVICE_OPTIONS)
def doctor(
    service: ServiceOptions,
    queue: Annotated[str | None, _visual_queue_id("--queue", "Ask for the hours of this queue, too.")] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Show every setting, and why we are how sure of each operation.")
    ] = False,
    json: Json = False,
) -> None:
    """Check settings and hosts."""
    from puzzel_chat.cli._doctor import run_doctor

    raise typer.Exit(run_doctor(service, queue, verbose, Output(json)))


@app.command(cls=Command, help=PROBE, short_help="Find out which assumptions hold at a tenant.", epilog=EPILOG)
@with_options("service", SERVICE_OPTIONS)
def probe(
    service: ServiceOptions,
    visual_queue_id: Annotated[
        str | None, _visual_queue_id("--visual-queue-id", "Ask for the hours of this queue, too.")
    ] = None,
    route: Annotated[
        str | None, typer.Option(metavar="QUEUE_KEY", help="Hold a test chat in this queue; people there see it.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Hold it without asking first.")] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write what was found, for make regenerate OBSERVED=FILE.")
    ] = None,
    json: Json = False,
) -> None:
    """Probe the service."""
    from puzzel_chat.cli._probe import ProbeOptions, run_probe

    raise typer.Exit(run_probe(service, ProbeOptions(visual_queue_id, route, yes, save), Output(json)))


@app.command(cls=Command, help=WORKERS, short_help="Show who polls how many chats of a store.", epilog=EPILOG)
def workers(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only the worker of this name.", show_default=False)
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", **_from_env("STORE", "URL of Redis, or path of a file of SQLite.")),
    ] = None,
    prefix: Annotated[
        str,
        typer.Option(
            metavar="TEXT", **_from_env("STORE_PREFIX", "What its keys in Redis begin with; puzzel-chat unless set.")
        ),
    ] = "puzzel-chat",
    once: Annotated[bool, typer.Option("--once", help="Print one table and end, on a terminal too.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 unless the worker is well.")] = False,
    json: Json = False,
) -> None:
    """Show the workers of a store."""
    from puzzel_chat.cli._workers import WorkersOptions, run_workers

    raise typer.Exit(run_workers(WorkersOptions(store, prefix, name, once, check), Output(json)))


def run() -> int:
    """Run the command of `sys.argv` and return its exit code."""
    try:
        return app(prog_name="puzzel-chat", standalone_mode=False) or Exit.OK
    except WRONG_USAGE as error:
        print_error(usage_error(error))
        return Exit.USAGE
    except (Exception, KeyboardInterrupt) as error:
        code = exit_code(error)
        if code is None:
            raise
        print_error(error)
        return code


def usage_error(error: Any) -> CliError:
    """Return an error of Typer's as one of ours, which says where to look."""
    command = error.ctx.command_path if getattr(error, "ctx", None) else "puzzel-chat"
    return CliError(f"{error.format_message().rstrip('.')}. `{command} --help` shows what there is.")
