"""A local contact centre: the bundled simulator of puzzel-chat, not Puzzel.

    with Sandbox(script="helpful") as sandbox:
        ...  # a client on sandbox.base_url, sandbox.identity_url, sandbox.solution_id; route to sandbox.queue_key

Like the service it has two hosts, one for tokens and one for everything else. The queue keys are "support" (open),
"closed" (opens at 08:00 UTC), "full" (100 wait), "nobody" (no staff), "unknown-hours" and "silent" (open, but nobody
answers). Opening hours go by the visual queue id, see `Sandbox.queues`. Agents follow a script, see `SCRIPTS`.

The HTTP contract is partly documented or observed, partly assumed. The sandbox is a second opinion on it and shares no
code with the client. `Differences` change the contract.
"""

from __future__ import annotations

from ._contract import Differences
from ._faults import Fault
from ._people import AgentHandle, Person
from ._queues import Status
from ._sandbox import Sandbox, SandboxSettings
from ._scripts import SCRIPTS, Scene, Script, Step
from ._values import AFTER_END, NOTICE, SEMANTICS, AfterEnd, Answer, Entry, Happening, Order, Role, Semantics, Stats
from ._views import Chat, Conduct, Exchange, QueueState, Rule

__all__ = [
    "AFTER_END",
    "NOTICE",
    "SCRIPTS",
    "SEMANTICS",
    "AfterEnd",
    "AgentHandle",
    "Answer",
    "Chat",
    "Conduct",
    "Differences",
    "Entry",
    "Exchange",
    "Fault",
    "Happening",
    "Order",
    "Person",
    "QueueState",
    "Role",
    "Rule",
    "Sandbox",
    "SandboxSettings",
    "Scene",
    "Script",
    "Semantics",
    "Stats",
    "Status",
    "Step",
]
