"""The Typer application: the commands, their options and their help."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from puzzel_chat import __version__
from puzzel_chat.cli._exits import EXIT_CODES, CliError, Exit, complain, exit_code
from puzzel_chat.cli._help import CHAT, DEMO, DOCTOR, QUEUE, ROOT, sandbox_help
from puzzel_chat.cli._output import Output
from puzzel_chat.cli._settings import BaseUrl, ClientId, ClientSecret, Given, Insecure, Json, SolutionId, Timeout

EPILOG = "\b\n" + EXIT_CODES
WIDTH = {"max_content_width": 80, "help_option_names": ["-h", "--help"]}

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings=WIDTH,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"puzzel-chat {__version__}")
        raise typer.Exit


@app.callback(help=ROOT, epilog=EPILOG)
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Do nothing before a command."""


@app.command(help=DEMO, short_help="Hold one whole chat against the bundled simulator.", epilog=EPILOG)
def demo(json: Json = False) -> None:
    """Hold the demo's chat."""
    from puzzel_chat.cli._demo import run_demo

    raise typer.Exit(run_demo(Output(json)))


@app.command(help=CHAT, short_help="Hold a chat with an agent.", epilog=EPILOG)
def chat(
    queue: Annotated[
        str | None, typer.Argument(metavar="QUEUE", help="Id of the queue to ask.", show_default=False)
    ] = None,
    wait: Annotated[float, typer.Option(metavar="SECONDS", help="How long to wait for an agent.", min=0)] = 120.0,
    name: Annotated[str | None, typer.Option("--name", metavar="TEXT", help="Your name, for the agent.")] = None,
    email: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Your e-mail address, for the agent.")] = None,
    variable: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A value for the agent; may be repeated.")
    ] = None,
    linger: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long to listen on after the end of piped input.", min=0)
    ] = 0.0,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="Chat with the bundled simulator, started for this chat.")
    ] = False,
    base_url: BaseUrl = None,
    solution_id: SolutionId = None,
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    timeout: Timeout = None,
    allow_insecure_http: Insecure = False,
    json: Json = False,
) -> None:
    """Hold a chat."""
    from puzzel_chat.cli._chat import Wish
    from puzzel_chat.cli._chat_start import pairs, run_chat

    if queue is None and not sandbox:
        raise CliError("say which queue: puzzel-chat chat QUEUE; or try --sandbox")
    given = Given(base_url, solution_id, client_id, client_secret, timeout, allow_insecure_http)
    customer = {key: value for key, value in (("name", name), ("email", email)) if value}
    wish = Wish(queue if queue is not None else "support", wait, linger, customer, pairs(variable or []))
    raise typer.Exit(run_chat(None if sandbox else given, wish, Output(json)))


@app.command(help=QUEUE, short_help="Show the opening hours and load of a queue.", epilog=EPILOG)
def queue(
    queue: Annotated[str, typer.Argument(metavar="ID", show_default=False, help="Id of the queue.")],
    base_url: BaseUrl = None,
    solution_id: SolutionId = None,
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    timeout: Timeout = None,
    allow_insecure_http: Insecure = False,
    json: Json = False,
) -> None:
    """Show a queue."""
    from puzzel_chat.cli._queue import show_queue

    given = Given(base_url, solution_id, client_id, client_secret, timeout, allow_insecure_http)
    show_queue(given, queue, Output(json))


@app.command(help=sandbox_help(), short_help="Start a simulated contact centre (not Puzzel).", epilog=EPILOG)
def sandbox(
    script: Annotated[str, typer.Option(metavar="NAME", help="How the agents behave; see above.")] = "helpful",
    semantics: Annotated[
        Literal["history", "cursor", "drain"],
        typer.Option(
            metavar="NAME",
            help="What a poll gives: history (all), cursor (what follows it) or drain (what was not read yet).",
        ),
    ] = "cursor",
    port: Annotated[
        int, typer.Option(metavar="NUMBER", help="Port on loopback; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    token_life: Annotated[
        float, typer.Option(metavar="SECONDS", help="How long an access token lives.", min=0.1)
    ] = 900.0,
    pace: Annotated[
        float, typer.Option(metavar="SECONDS", help="Time between the steps of the simulation.", min=0)
    ] = 0.3,
    ahead: Annotated[
        int, typer.Option(metavar="NUMBER", help="Simulated customers before each caller.", min=0, max=99)
    ] = 0,
    fault: Annotated[
        list[str] | None, typer.Option(metavar="RULE", help="What goes wrong; see above; may be repeated.")
    ] = None,
    person: Annotated[bool, typer.Option("--person", help="You play the agent at this terminal.")] = False,
    json: Json = False,
) -> None:
    """Start a contact centre."""
    from puzzel_chat.cli._sandbox import Centre, run_sandbox

    centre = Centre(script, semantics, port, token_life, pace, ahead, tuple(fault or ()), person)
    raise typer.Exit(run_sandbox(centre, Output(json)))


@app.command(help=DOCTOR, short_help="Check the settings and the way to the service.", epilog=EPILOG)
def doctor(
    queue: Annotated[str | None, typer.Option(metavar="ID", help="Ask for this queue, too.")] = None,
    rotation: Annotated[
        bool, typer.Option("--rotation", help="Find out what becomes of a used refresh token; spends a session.")
    ] = False,
    base_url: BaseUrl = None,
    solution_id: SolutionId = None,
    client_id: ClientId = None,
    client_secret: ClientSecret = None,
    timeout: Timeout = None,
    allow_insecure_http: Insecure = False,
    json: Json = False,
) -> None:
    """Look at everything."""
    from puzzel_chat.cli._doctor import run_doctor

    given = Given(base_url, solution_id, client_id, client_secret, timeout, allow_insecure_http)
    raise typer.Exit(run_doctor(given, queue, rotation, Output(json)))


def run() -> int:
    """Run the command of `sys.argv` and give its exit code."""
    try:
        app()
    except (Exception, KeyboardInterrupt) as error:
        code = exit_code(error)
        if code is None:
            raise
        complain(error)
        return code
    return Exit.FINE
