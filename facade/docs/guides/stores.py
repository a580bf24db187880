"""# Stores, crashes and several processes

A store keeps sessions: tokens, chats, and events that nobody has handled yet. `MemoryStore` ends with its process, and
so do its chats. `SQLiteStore` is a file that only its owner can read; a chat in it survives a crash, a deployment, a
kill.

```python
from puzzel_chat import PuzzelChat, SQLiteStore

with PuzzelChat.from_env(store=SQLiteStore("guide.db")) as chat:
    chat.start("support", wait=0)  # suppose that the process is killed here

with PuzzelChat.from_env(store=SQLiteStore("guide.db")) as chat:
    for session in chat.sessions():
        if not session.in_use and session.problem is None:
            with chat.resume(session.id) as taken_up:
                for conversation in taken_up.conversations:
                    conversation.end()
```

**What a kill costs.** Nothing that was received is lost. The event that was in the program's hands comes once more; its
`id` tells. A message whose sending was cut off may or may not have arrived: it is among the next events if it has. A
chat that was being started is in `sessions()`, and `allocation()` raises `NotFound` if the service never heard of it.

**Who may poll.** One object at a time polls a session: the right is a lease in the store. It ends when the object is
closed, when its process dies on this machine, or after 60 seconds without a call. Until then `resume` raises
`SessionInUse`. `resume(session_id, shared=True)` needs no lease, and can do all but receive: so several processes of
one machine send in the same chat. Tokens are refreshed once, whoever asks.

**One reader.** `events()`, `messages()`, `Session.poll()` and a `PollingLoop` take events away from each other, so a
second one of a chat raises `SessionInUse`.

**Forks.** A child process must not use its parent's sessions, and is told so; it can `resume` them shared.

**Several machines** need a store that they share: `RedisStore`, with a `Worker` on each of them; see the guide
`workers`. `SQLiteStore` is for one machine: its leases rely on seeing other processes. A store of your own implements
`Store` with public names; `puzzel_chat.testing.StoreContract` tests it as ours are tested.

**Secrets.** A store holds tokens, and people's words until they were handled. Whoever can read it can take over the
chats.
"""
