"""# Several machines

One process polls thousands of chats; see the guide `web_backend`. You need more when one is not enough, when a
deployment must not interrupt a chat, or when a machine may die. Then the chats live on a Redis or Valkey server, web
backends open them, and workers poll them:

    browser ──► web backend ──► the service           opens chats, sends
                     │
                   Redis      who has what, who polls what
                     │
                  workers ◄──► the service            poll, call your handler

`RedisStore` needs the extra `[redis]`. With a `SQLiteStore`, several processes of one machine share their chats in the
same way.

**The web backend** opens a chat without waiting for an agent, and closes its session object, which gives the right to
poll back. From then on any process reaches the chat by its id: `attach` finds it, to `send`, `typing` and `end`. Do not
write `async with` around what `attach` returns, unless the chat is to end there.

```python
import asyncio
import os

from puzzel_chat import AsyncPuzzelChat, RedisStore


async def main() -> None:
    async with AsyncPuzzelChat.from_env(store=RedisStore(os.environ["PUZZEL_CHAT_STORE"])) as chat:
        conversation = await chat.start("support", customer={"name": "Ada"}, wait=0)
        await conversation.session.aclose()  # now a worker polls it

        attached = await chat.attach(conversation.id)  # in the next request, on any machine
        await attached.send("My order has not arrived")
        print("sent to", attached.id)
        await attached.end()


asyncio.run(main())
```

**The worker** is a program of its own. `run` serves until SIGTERM or SIGINT, gives its chats back, and returns.

```python
import asyncio
import os

from puzzel_chat import AfterError, AsyncConversation, AsyncPuzzelChat, Event, RedisStore, Worker


async def handle(conversation: AsyncConversation, event: Event) -> None:
    print(conversation.id, event.to_dict()["type"], flush=True)
    if event.type == "agent_joined":
        await conversation.send("end chat")


async def main() -> None:
    store = RedisStore(os.environ["PUZZEL_CHAT_STORE"])
    async with AsyncPuzzelChat.from_env(store=store) as chat:
        await Worker(chat, handle, wait=300, on_handler_error=AfterError.TRY_AGAIN).run()


asyncio.run(main())
```

Each worker takes its fair share of what nobody polls, `most` sessions at most. When another one comes, the first gives
some back; when one leaves, the others take its chats. The program `web_with_workers` and the program `worker` are a
whole application: the worker writes events to a stream in Redis, and any web backend reads them for the browser.

## What a handler may count on

- Each event of a chat comes in order, one at a time, to one worker.
- It comes exactly once while nothing breaks, also when chats move from worker to worker.
- It comes at least once, whatever breaks. What was handled is written when the handler has returned. A worker that dies
  between the two leaves one event in each chat that comes again. Its `event.id` is the same: remember the last one that
  you handled, or make the handler do no harm when it is called twice.
- An exception counts as handled unless `on_handler_error` says otherwise; see `AfterError`.
- A handler that never returns keeps its chat: nothing more of that chat comes until it does.

## What happens when …

**A worker gets SIGTERM.** It takes no further chats, polls in flight land, and handlers finish their present events,
within 30 seconds. Each chat is free as soon as its handler is done, and the other workers look four times a second. Give
containers more than 30 seconds; a handler that takes longer is cancelled, and its event comes again elsewhere.

**A worker dies.** Its leases end 10 seconds after their last renewal, so others poll its chats within 15 seconds;
`RedisStore(url, take_over=…)` sets another bound. What it had received and not handled is in Redis and comes first.

**A worker sleeps** (a suspended machine, a long pause of the process) for longer than its leases. Others have its chats
by then. When it wakes, it notices before the next poll: Redis refuses to write for it, and it delivers nothing more of
those chats. A handler that was in the midst of an event finishes it; that event comes to the other worker, too.

**Redis is away.** Polls go on while the leases surely last, which is 8 seconds after their last renewal. A handler
finishes its present event; the next ones wait in memory, since it cannot be written that they were handled. Then polls
stop, and no token is refreshed, as another worker might reach Redis and do the same. Opening a chat and `attach` raise
`StoreError` meanwhile. Once Redis is back, all goes on by itself, and the service still has what was said. When it was
away for longer than a lease, another worker may take a chat over; then the event whose handler had just returned comes
again, as after a crash. Nothing else comes twice.

**A fail-over loses the last second of writes**, as Redis may: a replica becomes the master before it got them, or the
machine loses power. Each process notices at its next call that the server is another one, and writes once more what it
wrote in the last three seconds; a worker also writes each session that it has, while it surely has the lease, so when
Redis is back within 8 seconds. What others did since wins.

| lost | not lost |
|---|---|
| that an event was handled: it may come again | an event, unless the worker dies in the same moment |
| a chat that was opened in that second by a process that died since, unless a worker has it; an agent who takes it waits in vain | any other chat |
| a token that was refreshed in that second by a process that died since: the service may refuse the older one, and the chat ends with `SessionExpired` | any other token |

## Redis

- `appendonly yes` and `appendfsync everysec`: a restart loses nothing, and a machine without power about a second.
  Without them, a restart loses chats.
- `maxmemory-policy noeviction`: a full server refuses new chats and keeps those that it has. Any other policy throws
  sessions away; the log warns of that.
- With a replica: `min-replicas-to-write 1`. Then a master that its replica has left takes no writes after ten seconds
  (`min-replicas-max-lag`), which a fail-over would lose. Name the present master in the URL, or an address that leads
  to it.
- One server, or a proxy before a cluster: `RedisStore` speaks to one address.
- `rediss://user:password@host:6379/0` is TLS with a password. Set it in the environment. Errors, logs and reprs have
  host and port alone.
- `prefix` keeps applications apart on one server. `ttl` is how long a session stays that nobody polls or writes to, a
  day unless given.
- Clocks of the machines need not agree: leases are measured on the server's clock.

**Encryption at rest.** A store holds tokens, and people's words until they were handled. With `encryption_keys` both
are encrypted before they are sent to Redis; ids, times and states are not. All processes need the same keys, each made
by `cryptography.fernet.Fernet.generate_key()`. To change the key, add the new one behind the old one in all processes,
then put it first, and take the old one away when the last chat of its time is over. What you write to Redis yourself,
such as the events of the program `worker`, is as you write it.

## To operate it

`puzzel-chat workers` shows who polls how many, how late, what fails, since when, and who is leaving; each second, until
Ctrl-C. `--json` prints it for programs, and `workers()` of the client returns it. `Worker.stats()` is about one worker.

`puzzel-chat workers --check` is the health check of a container: 0 when its worker has reported lately. It fails while
Redis is away, too. A worker survives that without a restart, so restart it only after some minutes of failures. Within
the process, `Worker.healthy` tells whether it has reached its store within the last ten seconds.

In `facade/docs/deploy/` are a `compose.yaml` with Redis, the web backend and two workers, and a `kubernetes.yaml` with
a deployment of workers.

## How many

Measured by `make bench RUN=workers` on two cores, against a service on the same machine:

| what | figure |
|---|---|
| CPU of a poll with 1000 chats, a message a chat each ten seconds | 0.38 to 0.46 ms with `RedisStore`, 1.1 to 1.2 times that with `MemoryStore` |
| polls of one process | about 3000 a second: 3000 chats polled each second, or 15 000 polled every five seconds |
| calls to Redis | 0.97 a second and chat, 0.75 of them to keep the leases |
| CPU of Redis | 4 to 5 % of a core for 1000 chats, 2 % without messages: its one core is full at 20 000 to 50 000 chats |

So 100 000 chats that are polled each second take about 35 worker processes and five Redis servers, each with its own
workers, and 100 000 requests a second of the service. The last is what gives first: nobody here knows its limits, so ask
the vendor, and poll less often. Every five seconds it is 20 000 requests, seven processes, and three servers, for leases
are renewed all the same. A worker has as many connections to the service as polls are under way, 100 for 1000 polls a
second that take 0.1 s, and one connection to Redis.

A worker is one process and uses one core, so start as many as there are cores, on as many machines as you like, and one
more than you need: when one dies, the others take its chats. Look at "late p99" of `puzzel-chat workers`: when it grows
and does not come down again, add a worker. `[fleet]` makes each poll cheaper.
"""
