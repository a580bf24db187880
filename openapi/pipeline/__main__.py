"""The command line of the pipeline."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipeline.layout import Layout
from pipeline.problems import STOPPED, UNUSABLE, PipelineError

CODES = """exit codes:
  0   done: the files are what the document gives
  1   --check only: a committed file is not what the document gives
  2   the command line was not understood
  30  an input cannot be used; the last line says which one and what to do
"""


def parser() -> argparse.ArgumentParser:
    """Return the description of the command line."""
    command = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="Make openapi/puzzel-chat.json and generated/puzzel_chat_api from openapi/upstream.json: "
        "normalise the document, apply overlay.yaml, validate, generate, and swap the result in as a whole.",
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--check", action="store_true", help="change nothing, fail when out of date")
    here = Path(__file__).resolve().parents[2]
    command.add_argument("--root", type=Path, default=here, help="the checkout to work in (this one)")
    return command


def main(arguments: list[str] | None = None) -> int:
    """Run the pipeline and return its exit code."""
    options = parser().parse_args(arguments)
    layout = Layout(root=options.root.resolve())
    try:
        # Here, so that a machine without the generator gets a sentence too.
        from pipeline.run import check, regenerate

        return (check if options.check else regenerate)(layout, print)
    except PipelineError as error:
        return _fail(layout, [*error.details, str(error)], error.exit_code)
    except ModuleNotFoundError as error:
        return _fail(layout, [f"{error.name} is not installed: install the project's `regenerate` extra."], UNUSABLE)
    except OSError as error:
        return _fail(layout, [f"{error.filename} cannot be used ({error.strerror}): free it, run again."], UNUSABLE)
    except RecursionError:
        return _fail(layout, [f"{layout.upstream} is nested too deeply to be read: give a flatter one."], UNUSABLE)
    except KeyboardInterrupt:
        return _fail(layout, ["Stopped: each file is as it was or complete, run it again."], STOPPED)


def _fail(layout: Layout, lines: list[str], code: int) -> int:
    for line in lines:
        print(line.replace(f"{layout.root}/", ""), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
