"""`puzzel-chat demo`."""

from __future__ import annotations

import asyncio

from puzzel_chat import PuzzelChatError
from puzzel_chat.cli._demo_run import PACE, Demo, StepMissed, demo_sandbox
from puzzel_chat.cli._embedded import started
from puzzel_chat.cli._exits import Exit, complain
from puzzel_chat.cli._output import Output
from puzzel_chat.cli._patience import PatientClock
from puzzel_chat.cli._steps import Steps
from puzzel_chat.sandbox import NOTICE


def run_demo(output: Output) -> Exit:
    """Hold the demo's chat, compare both sides, and give the exit code."""
    clock = PatientClock(PACE / 2)
    with started(demo_sandbox, clock) as sandbox:
        output.show({"step": "notice", "elapsed": 0.0, "text": NOTICE}, f"This is the {NOTICE}.\n", "bold")
        demo = Demo(sandbox, clock, Steps(output))
        try:
            asyncio.run(demo.play())
        except StepMissed:
            pass  # told below, by name
        except PuzzelChatError as error:
            complain(error)
    return _conclude(demo, output)


def _conclude(demo: Demo, output: Output) -> Exit:
    verdict, missing = demo.verdict(), demo.steps.missing
    output.say()
    for words in missing:
        output.say(f"did not happen: {words}", "red")
    record = {
        "step": "summary",
        "sent": verdict.sent,
        "received": verdict.received,
        "edits": verdict.edits,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "out_of_order": verdict.out_of_order,
        "missing_steps": missing,
    }
    fine = verdict.clean and not missing
    output.show(record, str(verdict), "bold green" if fine else "bold red")
    return Exit.FINE if fine else Exit.LOST
