"""# Testing your bot

The library brings a contact centre for tests: the sandbox, a simulator of our own on your machine, over real HTTP. It
is not Puzzel, and what we assume of the service it assumes too. Install `puzzel-chat[sandbox]`; the pytest plugin is
then there by itself. The program `test_my_bot` is a whole test file.

| fixture | gives |
|---|---|
| `puzzel_sandbox` | a running sandbox; `@pytest.mark.puzzel_sandbox(script="silent")` passes it arguments |
| `puzzel_chat_settings` | the settings of a client for it: `PuzzelChat(**puzzel_chat_settings)` |
| `puzzel_desk` | an agent's desk that the test drives: `accept()`, `say(text)`, `end()`; see the guide `seeing` |
| `puzzel_time` | virtual time: ten minutes in a queue take no time; for one chat at a time |
| `puzzel_stable_ids` | the ids that the client chooses are numbered, so that they match a cassette |

**Agents.** A script plays them: `helpful`, `decline`, `no-answer`, `refuse`, `silent`, `leaves`, `demo`, `chatty`. With
`manual` the test does, through `Sandbox.agent`: it accepts, says, edits, sends files, leaves, ends; `order` has what
came with the chat.

```python
from puzzel_chat import PuzzelChat
from puzzel_chat.sandbox import Sandbox

with Sandbox(script="manual", pace=0) as sandbox, PuzzelChat(**sandbox.settings) as chat:
    conversation = chat.start(sandbox.queue_key, subject="Order 7", wait=0)
    agent = sandbox.agent(conversation.id)
    agent.accept()
    agent.say("Hello Ada")
    agent.end()
    print(agent.order.subject, [str(message) for message in conversation.messages()])
```

**Faults.** `Sandbox(faults=…)` or `sandbox.faults(…)`: an error status, a reply that is lost, half a body, wrong types.
`Fault` lists them. **Opening hours**: `set_open`. **What a poll returns** is not known of the service, so try all
three: `set_semantics`.

```python
from puzzel_chat import PuzzelChat
from puzzel_chat.sandbox import Fault, Sandbox

lost = Fault.drop("sendMessage", after=True, times=1)  # the message arrives, its reply does not
with Sandbox(faults=(lost,)) as sandbox, PuzzelChat(**sandbox.settings) as chat:
    with chat.start(sandbox.queue_key) as conversation:
        conversation.send("end chat")
        list(conversation.events())
    words = [entry.content for entry in sandbox.ledger()[conversation.id] if entry.content == "end chat"]
    print(words, sandbox.stats().requests["sendMessage"])
```

**The ledger** (`Sandbox.ledger`) is what the contact centre has of each chat, in order. A test of "nothing lost"
compares it with what your program received.

**Cassettes.** `puzzel_chat.testing` scrubs what `pytest-recording` writes: tokens, names and words are replaced, the
rest stays. Record against the sandbox or a tenant, replay without a network; a client for a replay needs
`base_url=HOST`.

**A store of your own** passes `puzzel_chat.testing.StoreContract`, which ours pass too.
"""
