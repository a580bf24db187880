r"""# Observing

Three ways to see what the library does, from a glance to a dashboard. None of them ever holds a token, a header, a body
or what anybody wrote.

**The log.** The standard `logging`, under two names:

| logger | level | tells |
|---|---|---|
| `puzzel_chat` | `WARNING`, `ERROR` | a store that fails, a handler that raises, a chat that could not be ended |
| `puzzel_chat` | `INFO` | what is sent again, tokens refreshed, polls that fail for now and succeed again |
| `puzzel_chat.http` | `DEBUG` | each request: method, path, status or failure, milliseconds, attempt, request id |

```python
import logging

from puzzel_chat import PuzzelChat

logging.basicConfig(level=logging.INFO)
logging.getLogger("puzzel_chat.http").setLevel(logging.DEBUG)
with PuzzelChat.from_env() as chat, chat.start("support") as conversation:
    conversation.send("end chat")
    for event in conversation.events():
        logging.info("%r", event)  # a repr shows nothing that anybody wrote; str(event) is for people
```

**A hook.** `observe=` is a plain function that is called with the same as values, where it happens: `RequestEnded`,
`RequestRetried`, `RefreshEnded`, `PollEnded`, `PollsDegraded`, `PollsRecovered`, `ChatStarted`, `ChatEnded`,
`AgentSearchEnded`, `MessageSent`, `MessageReceived`; `Telemetry` is their union. It should be quick. What it raises is
logged once and harms no chat.

```python
from collections import Counter

from puzzel_chat import AgentSearchEnded, PuzzelChat, RequestEnded, Telemetry

statuses = Counter[str]()


def observe(what: Telemetry) -> None:
    match what:
        case RequestEnded():
            statuses[f"{what.operation} {what.status or what.error}"] += 1
        case AgentSearchEnded():
            print(f"the search took {what.seconds:.1f} s: {what.outcome}")


with PuzzelChat.from_env(observe=observe) as chat, chat.start("support") as conversation:
    conversation.send("end chat")
    print(*conversation.events(), sep="\n")
print(statuses)
```

**OpenTelemetry**, with the extra `[otel]`: `observe=OpenTelemetry()` of `puzzel_chat.otel` makes one trace of each
chat, from `start()` to its end, with a span for each request and for the wait, and metrics by the conventions:
`http.client.request.duration`, polls and how late they are, refreshes, retries, the wait for an agent, messages. It is
the same over httpx and over `[fleet]`.

```python
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from puzzel_chat import PuzzelChat
from puzzel_chat.otel import OpenTelemetry

provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
with PuzzelChat.from_env(observe=OpenTelemetry(provider)) as chat, chat.start("support") as conversation:
    conversation.send("end chat")
    print(*conversation.events(), sep="\n")
```

`PollingLoop.stats()` says how a loop is doing: polls per second, how late they are, what is failing, slow handlers.
"""
