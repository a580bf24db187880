"""The help texts of the commands."""

from __future__ import annotations

from puzzel_chat.cli._options import PREFIX, SERVICE_OPTIONS, SETTINGS
from puzzel_chat.cli._sandbox_options import OPERATIONS, PLAIN, TIMED
from puzzel_chat.sandbox import SCRIPTS

_ROOT = """\
Talk to a Puzzel contact centre: hold a chat, look at a queue, check the way to the service, find out how the service
really answers, see the workers of a store, or start a simulated contact centre to try it all with.

\b
Try it at once, without any settings:
  puzzel-chat demo
  puzzel-chat chat --sandbox

\b
With the service; most need only these two settings:
  export PUZZEL_CHAT_REGION=uk
  export PUZZEL_CHAT_SOLUTION_ID=12345
  puzzel-chat doctor
  puzzel-chat queue 27504
  puzzel-chat chat q_support

\b
There are three ids; ask the administrator of the contact centre for them:
  solution id      the tenant, a short number
  queue key        names a queue to chat with, such as q_support
  visual queue id  names the same queue for its opening hours, a number

\b
Every setting has an environment variable; an option wins over it:
{settings}

\b
These are defaults of arguments:
  PUZZEL_CHAT_QUEUE_KEY            the queue of `chat`
  PUZZEL_CHAT_VISUAL_QUEUE_ID      the queue of `queue`, `doctor`, `probe`, and for the opening hours of `chat`
  PUZZEL_CHAT_STORE                the store of `workers`

This is not a product of Puzzel. `puzzel-chat doctor` lists which parts of the API are documented, observed or assumed;
`puzzel-chat probe` finds out whether the assumptions hold at a tenant.
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
Hold a chat with an agent of the queue QUEUE_KEY.

While you wait, a line shows your position, the estimated wait and the time. Then write; what comes in appears
above your line. /end or Ctrl-D ends the chat, /help shows more. Ctrl-C while waiting leaves the queue, while
chatting ends the chat.

With --visual-queue-id the opening hours are checked first; without it, a closed queue refuses the chat.

Without a terminal, lines of standard input are sent one after the other, and at the end of input the chat is ended.

With --json, each line of standard output is an object: an event, as its `to_dict()` gives it and `event_from_dict()`
reads it. `type` says which, `conversation_id` of which chat. The search for an agent comes as "allocation_changed", an
error as "error", with its class as `error`, its `message`, and its attributes. What is for people goes to standard
error.

\b
Examples:
  puzzel-chat chat --sandbox
  puzzel-chat chat q_support --name Ada --variable order=1234
  puzzel-chat chat q_support --visual-queue-id 27504
  echo "Where is my order?" | puzzel-chat chat q_support --linger 30
  puzzel-chat chat q_support --json | jq -r .type

The options below, or their environment variables, say where the service is; a region and a solution id are enough.
"""

QUEUE = """\
Show the opening hours and the load of the queue VISUAL_QUEUE_ID.

That id is a number; the key of a queue, such as q_support, is for `puzzel-chat chat`. The state is open, closed or
unknown, and the answer says how old it is. A closed queue is an answer like any other: the exit code is 0.

\b
Examples:
  puzzel-chat queue 27504
  puzzel-chat queue 27504 --region uk --solution-id 12345 --json
"""

_SANDBOX = """\
Start a simulated contact centre on this machine (not Puzzel) and print what happens in it until Ctrl-C.

It prints its two addresses, its queues and the lines that set the environment of a client. Besides an open queue it has
one for each way of not getting an agent. It needs the extra: pip install "puzzel-chat[sandbox]"

Like the service, it has two hosts: one for tokens, one for the rest. Here they are two ports, or one with --one-port.

To see it, open the address of the agent's desk in a browser, and take chats there before the scripted agents do. The
customer's page and the control room are linked on it. Only who has the address can open them, on this machine.

\b
Examples:
  puzzel-chat sandbox
  puzzel-chat sandbox --person
  puzzel-chat sandbox --port 8808 --identity-port 8809
  puzzel-chat sandbox --one-port --script decline --ahead 3 --pace 2
  puzzel-chat sandbox --fault poll:503:0.05 --fault send:lost:x1

\b
Scripts:
{scripts}

\b
A fault is OPERATION:WHAT, then =SECONDS, :RATE and :xTIMES if need be, as in poll:503:0.05
  OPERATION  {operations}
  RATE       share of the requests that it hits, such as 0.05
  xTIMES     how often at most, such as x1

\b
WHAT is an HTTP status (429=3 asks to retry after 3 s), or
{faults}

\b
Differences from what is assumed of the service, for tests of a client:
  cursor=WHAT                 a poll's cursor: integer, text or none
  drop=NAME                   leave a member out of every reply
  name=OURS:THEIRS            call a member otherwise
  path=OPERATION:METHOD PATH  such as path=sendMessage:PUT /messages/{{id}}

It reads no settings from the environment.
"""

DOCTOR = """\
List how sure we are of each operation, and check the settings and the way to the service.

Each operation of the API is documented by the vendor, observed in public code, assumed, or confirmed. Then it shows
where each setting comes from (of a secret only whether it is set). What it finds comes last, a line each: whose
certificates are trusted, the way to both hosts (proxy, address, connection, TLS) and which setting chose each, whether
the identity host gives a token and, with --queue, what the other host says of a queue, and if the service is the
bundled simulator.

\b
The environment has a word, unless the setting in brackets says it:
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY  the proxy on the way (proxy)
  NO_PROXY                            hosts reached without it (proxy)
  SSL_CERT_FILE, SSL_CERT_DIR         whom to trust (verify)

A service on this machine is reached without a proxy, unless the setting names one.

\b
Examples:
  puzzel-chat doctor
  puzzel-chat doctor --verbose
  puzzel-chat doctor --region uk --solution-id 12345
  puzzel-chat doctor --queue 27504 --json

`puzzel-chat probe` finds out whether the assumptions hold at your tenant.
"""

PROBE = """\
Find out which assumptions about the service hold at your tenant.

Much of what this library expects of the service is not documented. The probe makes the requests of a chat and shows for
each operation whether it answered as expected. If not, it shows what came instead: status, content type, names and
types of the members, never their values. It also finds out what a poll returns, and what happens to a used refresh
token. For that it uses one twice, in a session of its own, which some services may take for an attack.

Nobody notices the probe, unless --route names a queue: then it holds a short test chat there. That chat waits up to a
minute for an agent, sends one line that says what it is, and is ended, whatever happens. You are asked first.

\b
Answers:
  confirmed  as the library expects it
  DIFFERS    not as expected; the lines below it say what came
  unclear    refused or failed in a way that says nothing about the contract
  not asked  it needs --visual-queue-id, or --route

\b
Examples:
  puzzel-chat probe
  puzzel-chat probe --visual-queue-id 27504
  puzzel-chat probe --visual-queue-id 27504 --route q_test --save probe.json
  make regenerate OBSERVED=probe.json

The file of --save holds no token, id, address or word of a person. `make regenerate` reads it, in a checkout of
puzzel-chat: it marks what was confirmed, and names the lines to edit for what differs.

\b
To sign a visitor in as well, set one of these (they are not options, since
others on this machine can read those):
  PUZZEL_CHAT_VISITOR_ACCESS_TOKEN  a token of your identity provider
  PUZZEL_CHAT_VISITOR_ID_TOKEN      or its id token
  PUZZEL_CHAT_VISITOR_PROVIDER_ID   which provider, when there are several
"""

WORKERS = """\
Show the workers of a store: who polls how many sessions, how late, since when, and who is leaving.

On a terminal the table is renewed each second until Ctrl-C. Piped, or with --once, it is printed once. A worker reports
once a second; one that has said nothing for five seconds is no longer shown.

\b
Columns:
  sessions  what it polls; a session is one customer's token
  most      what it takes at most
  chats     conversations that its handler serves
  polls/s   polls a second
  late      half of its last polls (p50), and 99 of 100 (p99), were less late
  failing   sessions whose polls fail for now
  since     when it began; "leaving" when it gives its sessions back

\b
Examples:
  puzzel-chat workers --store redis://redis.example:6379/0
  puzzel-chat workers --store chats.db --once
  puzzel-chat workers --json | jq -r '"\\(.name) \\(.sessions)"'
  puzzel-chat workers --check
  puzzel-chat workers --check worker-7

With --json, each line is an object, one for each worker, with the attributes of `WorkerInfo`; times are in seconds
since the epoch, lateness in seconds.

--check is for the health check of a container. It exits with 0 when the worker NAME has reported within the last ten
seconds; without NAME, any worker whose name begins with the name of this host, as it does unless `Worker` is given
another. Else it exits with 1, and says why in one line. A store that cannot be reached is such a reason, so let the
check fail for a minute or more before a container is restarted: a worker goes on by itself once its store is back.

It needs no settings of the service and no encryption key. Set a URL with a password (rediss://user:password@host:6379)
in the environment, as PUZZEL_CHAT_STORE, where others cannot read it; it is never printed. RedisStore needs the extra:
pip install "puzzel-chat[redis]"
"""


def root_help() -> str:
    """Return the help of the command itself, which lists the settings."""
    rows = [f"  {PREFIX + name.upper():31}  {SETTINGS[name][1]}" for name in SERVICE_OPTIONS if name in SETTINGS]
    return _ROOT.format(settings="\n".join(rows))


def sandbox_help() -> str:
    """Return the help of `sandbox`, which lists scripts and faults."""
    timed = [f"  {name + '=SECONDS':16} {about}" for name, (_, about) in TIMED.items()]
    plain = [f"  {name:16} {about}" for name, (_, about) in PLAIN.items()]
    return _SANDBOX.format(
        scripts="\n".join(f"  {script.name:10} {script.about}" for script in SCRIPTS.values()),
        operations=", ".join(OPERATIONS),
        faults="\n".join(timed + plain),
    )
