"""A local contact centre to talk to: the bundled simulator of puzzel-chat, not Puzzel.

    with Sandbox(script="helpful") as sandbox:
        ...  # a client on sandbox.base_url, sandbox.identity_url, sandbox.solution_id; route to sandbox.queue_key

It has two hosts, as the service has: one for tokens, one for the rest. Queues, by their keys: "support" (open),
"closed" (opens at 08:00 UTC), "full" (100 wait), "nobody" (no staff), "unknown-hours", "silent" (open, nobody ever
answers); the hours of one are asked for by its visual queue id, see `Sandbox.queues`. Scripts: see `SCRIPTS`. The HTTP
contract it answers is partly documented or observed, partly assumed; it shares no code with the client, as a second
opinion. `Differences` make it answer another one.
"""

from __future__ import annotations

from ._contract import Differences
from ._faults import Fault
from ._queues import Status
from ._sandbox import AgentHandle, Sandbox, SandboxSettings
from ._scripts import SCRIPTS, Scene, Script, Step
from ._values import NOTICE, SEMANTICS, Entry, Happening, Role, Semantics, Stats

__all__ = [
    "NOTICE",
    "SCRIPTS",
    "SEMANTICS",
    "AgentHandle",
    "Differences",
    "Entry",
    "Fault",
    "Happening",
    "Role",
    "Sandbox",
    "SandboxSettings",
    "Scene",
    "Script",
    "Semantics",
    "Stats",
    "Status",
    "Step",
]
