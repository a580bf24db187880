"""A local contact centre to talk to: the bundled simulator of puzzel-chat, not Puzzel.

    with Sandbox(script="helpful") as sandbox:
        ...  # a client on sandbox.base_url, sandbox.solution_id, sandbox.queue_id

Queues: "support" (open), "closed" (opens at 08:00 UTC), "full" (100 wait), "nobody" (no staff),
"unknown-hours", "silent" (open, nobody ever answers). Scripts: see `SCRIPTS`. The HTTP contract it answers is
partly documented, partly assumed; it shares no code with the client, as a second opinion.
"""

from __future__ import annotations

from ._agents import SCRIPTS, Scene, Script, Step
from ._allocation import Status
from ._faults import Fault
from ._play import AgentHandle
from ._sandbox import Sandbox
from ._values import NOTICE, SEMANTICS, Entry, Happening, Role, Semantics, Stats

__all__ = [
    "NOTICE",
    "SCRIPTS",
    "SEMANTICS",
    "AgentHandle",
    "Entry",
    "Fault",
    "Happening",
    "Role",
    "Sandbox",
    "Scene",
    "Script",
    "Semantics",
    "Stats",
    "Status",
    "Step",
]
