"""The command line of the pipeline."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import traceback
from pathlib import Path

from pipeline.layout import Layout
from pipeline.problems import STOPPED, UNUSABLE, PipelineError, reason

EPILOG = """\
exit codes:
  0    nothing changed; files that somebody edited are put back
  10   the facade fits the new document: the tree was replaced
  20   it does not, or a change is of a kind that no type shows: no file was changed, and the report lists the lines to
       edit and the changes to look at (with --accept the tree was replaced all the same)
  30   the document cannot be used; the last line says why and what to do
  1    --check only: a committed file is not what the document gives
  2    the command line was not understood
  130  stopped by Ctrl-C

environment:
  PUZZEL_CHAT_SPEC_HEADER  one `Name: value` line, sent to the address of SPEC only and never shown: for documents
                           behind a login

with make:
  make regenerate [SPEC=<address or file>] [SPEC_NAME=<name>] [OBSERVED=<file>] [ACCEPT=1] [KEEP_ASSUMED=1] [JSON=1]
  make itself ends with 0 for 0 and 10, and fails for the others; the last line says which it was

The full report is .regenerate/report.md.
"""


def parser() -> argparse.ArgumentParser:
    """Return the description of the command line."""
    command = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="Take an OpenAPI document, say what it changes for users of the facade, and make "
        "openapi/puzzel-chat.json and generated/puzzel_chat_api from it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "spec",
        nargs="?",
        metavar="SPEC",
        help="the document, or a Swagger UI page that shows it: a file or an http(s) address; Swagger 2.0, OpenAPI 3.0 "
        "or 3.1, JSON or YAML (default: openapi/upstream.json as it is)",
    )
    command.add_argument("--name", help="which document, where a Swagger UI page shows several")
    command.add_argument("--accept", action="store_true", help="replace the tree even if the facade does not fit")
    command.add_argument(
        "--keep-assumed",
        action="store_true",
        help="carry our reconstruction over for the operations of the facade that the document lacks, still marked "
        "as assumed, in openapi/assumed.json",
    )
    command.add_argument(
        "--observed",
        type=Path,
        metavar="FILE",
        help="what `puzzel-chat probe --save FILE` found at a tenant: marks become confirmed, and what contradicts the "
        "document is named; kept as openapi/observed.json",
    )
    command.add_argument("--json", action="store_true", help="print the report as JSON")
    command.add_argument("--check", action="store_true", help="change nothing, fail when a file is out of date")
    command.add_argument("--prepare", action="store_true", help="only make ready what later runs need")
    command.add_argument("--limit", type=float, default=30.0, metavar="SECONDS", help="time to fetch in (30)")
    here = Path(__file__).resolve().parents[2]
    command.add_argument("--root", type=Path, default=here, help="the checkout to work in (this one)")
    return command


def main(arguments: list[str] | None = None) -> int:
    """Run the pipeline and return its exit code."""
    options = parser().parse_args(arguments)
    layout = Layout(root=options.root.resolve())
    try:
        return _run(options, layout)
    except PipelineError as error:
        return _fail(options, layout, [*error.details, str(error)], error.exit_code)
    except ModuleNotFoundError as error:
        print(f"30: {error.name} is not installed: install the `regenerate` group of pyproject.toml.", file=sys.stderr)
        return UNUSABLE
    except OSError as error:
        where = error.filename or "The disk"
        return _fail(options, layout, [f"{where} cannot be used ({reason(error)}): free it, run again."])
    except RecursionError:
        return _fail(options, layout, ["The document is nested too deeply to be read: give a flatter one."])
    except Exception as error:  # Whatever the document holds, nobody is shown a traceback.
        where = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__} at {Path(where.filename).name} line {where.lineno}"
        return _fail(options, layout, [f"This is a fault of the pipeline ({told}): report it with the document."])
    except KeyboardInterrupt:
        return _fail(options, layout, ["Stopped: run it again."], STOPPED)


def _run(options: argparse.Namespace, layout: Layout) -> int:
    # Here, so that a machine without the generator gets a sentence too.
    from pipeline.address import HEADER_VARIABLE
    from pipeline.judge import read_ahead
    from pipeline.report import as_json, folded, markdown, screen
    from pipeline.run import Wish, check, regenerate
    from pipeline.tools import installed

    if options.prepare:
        read_ahead()
        installed(layout)
        return 0
    if options.check:
        check(layout, print)
        return 0
    wish = Wish(
        spec=options.spec,
        choice=options.name,
        header=os.environ.get(HEADER_VARIABLE),
        limit=options.limit,
        accept=options.accept,
        keep_assumed=options.keep_assumed,
        observed=options.observed,
    )
    report = regenerate(layout, wish, _aside if options.json else print)
    _keep(layout, markdown(report))
    lines = screen(report)
    if sys.stdout.isatty():
        lines = folded(lines, shutil.get_terminal_size().columns)
    print(as_json(report) if options.json else "\n".join(lines))
    return report.status


def _keep(layout: Layout, report: str) -> None:
    try:
        layout.workshop.mkdir(exist_ok=True)
        layout.report.write_text(report, encoding="utf-8")
    except OSError as error:
        # What was decided about the tree stands, and what the report says is said on the screen too.
        _aside(f"{layout.short(layout.report)} cannot be written ({error.strerror}).")


def _aside(line: str) -> None:
    print(line, file=sys.stderr)


def _fail(options: argparse.Namespace, layout: Layout, lines: list[str], code: int = UNUSABLE) -> int:
    from pipeline.report import Report, as_json, markdown

    told = tuple(line.replace(f"{layout.root}/", "") for line in lines)
    if code == UNUSABLE:
        report = Report(status=code, problems=told)
        _keep(layout, markdown(report))
        if options.json:
            print(as_json(report))
    for line in told[:-1]:
        _aside(line)
    _aside(f"{code}: {told[-1]}" if code == UNUSABLE else told[-1])
    return code


if __name__ == "__main__":
    sys.exit(main())
