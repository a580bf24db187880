"""The words of `--help`: what each command does, examples, and the environment."""

from __future__ import annotations

import textwrap

from puzzel_chat.sandbox import SCRIPTS

ROOT = """\
Talk to a Puzzel contact centre: hold a chat, look at a queue, check the way to the service, or start a simulated
contact centre to try it all with.

\b
Try it at once, without any settings:
  puzzel-chat demo
  puzzel-chat chat --sandbox

\b
With a service (or what `puzzel-chat sandbox` prints):
  export PUZZEL_CHAT_BASE_URL=https://chat.example
  export PUZZEL_CHAT_SOLUTION_ID=12345
  export PUZZEL_CHAT_CLIENT_SECRET=...
  puzzel-chat doctor
  puzzel-chat chat support

\b
Every setting has an environment variable; an option wins over it:
  PUZZEL_CHAT_BASE_URL             address of the service
  PUZZEL_CHAT_SOLUTION_ID          id of the solution (the tenant)
  PUZZEL_CHAT_CLIENT_ID            client id, when it is not the solution id
  PUZZEL_CHAT_CLIENT_SECRET        client secret
  PUZZEL_CHAT_SCOPE                scope to ask for
  PUZZEL_CHAT_TOKEN_FIELDS         more token form fields: a=1,b=2
  PUZZEL_CHAT_TIMEOUT              seconds to connect, and for each read
  PUZZEL_CHAT_POLL_INTERVAL        seconds between two polls
  PUZZEL_CHAT_ALLOW_INSECURE_HTTP  true allows plain http to other machines

This is not a product of Puzzel. What the vendor documents of the API and what is assumed is told by
`puzzel-chat doctor`.
"""

DEMO = """\
Hold one whole chat against the bundled simulator (not Puzzel), step by step.

Shows a session opened, the queue found open, the position going down, an offer that is declined, an agent who
joins, messages both ways with an edit and an unknown type, a token refresh in the middle, a failed poll and the
recovery from it, and the end. Then it compares both sides: the last line says how many messages were sent,
received, lost, duplicated and out of order. Takes about ten seconds and needs no settings and no network.

\b
Examples:
  puzzel-chat demo
  puzzel-chat demo --json | tail -1

The exit code is 0 only if nothing was lost, duplicated or out of order and every step happened, else 4.
"""

CHAT = """\
Hold a chat with an agent of QUEUE.

While you wait, a line shows your position, the estimated wait and the time. Then write; what comes in appears
above your line. /end or Ctrl-D ends the chat, /help tells more. Ctrl-C while waiting leaves the queue, while
chatting ends the chat.

Without a terminal, lines of standard input are sent one after the other, and at the end of input the chat is ended.

\b
Examples:
  puzzel-chat chat --sandbox
  puzzel-chat chat support --name Ada --variable order=1234
  echo "Where is my order?" | puzzel-chat chat support --linger 30

The service is set with the options below or their environment variables, which are named with them.
"""

QUEUE = """\
Show the opening hours and the load of a queue.

The state is open, closed or unknown, and the answer says how old it is. A closed queue is an answer like any
other: the exit code is 0.

\b
Examples:
  puzzel-chat queue support
  puzzel-chat queue support --json
"""

_SANDBOX = """\
Start a simulated contact centre on this machine (not Puzzel) and print what goes on in it until Ctrl-C.

It prints its address, its queues and the lines that set the environment of a client. It has a queue for each way of
not getting an agent. It needs the extra: pip install "puzzel-chat[sandbox]"

\b
Examples:
  puzzel-chat sandbox
  puzzel-chat sandbox --person
  puzzel-chat sandbox --port 8808 --script decline --ahead 3 --pace 2
  puzzel-chat sandbox --fault poll:503:0.05 --fault send:lost:x1

\b
Scripts:
{scripts}

\b
Faults are OPERATION:WHAT[=SECONDS][:RATE][:xTIMES], with
  OPERATION  any, token, queue, route, status, poll, send, typing, end, time
  WHAT       an HTTP status (429=3 asks to retry after 3 s), latency=SECONDS,
             slow=SECONDS, drop, lost (done, but no reply), html, truncate,
             bad-json, wrong-types, unknown-enum, bad-item, nulls, revoked
  RATE       the share of requests that suffer, such as 0.05
  xTIMES     how often at most, such as x1

No setting is read from the environment.
"""

DOCTOR = """\
Show the settings, how far they get, and how sure we are of each operation.

Tells where each setting comes from (secrets only as set or not set), then tries the address, the connection, TLS,
a token and, with --queue, a queue, and says when the service is the bundled simulator. At the end each operation
of the API is listed: documented by the vendor, assumed, or confirmed, and the method of the library that uses it.

With --rotation it also uses a refresh token twice, in a session of its own that is spent for this, and tells whether
a lost reply or a second process can cost you a session. Ask for it once; it looks like an attack to some services.

\b
Examples:
  puzzel-chat doctor
  puzzel-chat doctor --rotation
  puzzel-chat doctor --queue support --json
"""


def sandbox_help() -> str:
    """Give the help of `sandbox`, with the scripts that there are."""
    rows = [_row(script.name, script.about) for script in SCRIPTS.values()]
    return _SANDBOX.format(scripts="\n".join(rows))


def _row(name: str, about: str) -> str:
    return textwrap.fill(about, 76, initial_indent=f"  {name:10} ", subsequent_indent=" " * 13)
