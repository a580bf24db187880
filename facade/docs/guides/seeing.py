"""# Seeing it: a desk, a customer, a control room

A hand-over to people can only be rehearsed with people. `puzzel-chat sandbox` prints an address; open it in a browser,
and you are the agent. What you see is the bundled simulator, not Puzzel: how a real agent's screen looks is Puzzel's
matter, and what the service does where nobody knows it is assumed here too.

| page | what it is |
|---|---|
| `/desk` | the agent's desk: who waits and with what, offers, several chats, edits, choices, files, transfer |
| `/` | the customer's page: a chat window on this library, to start your own from; see the program `customer` |
| `/control` | the control room: queues, tokens, faults by a click, live requests, the ledger beside the client |

**Several agents** are several tabs, each with a name of its own. Persons are asked before the scripted agents; switch
those off on the desk, and everybody waits for you. Who closes the last tab gets no more offers; chats stay until
somebody signs out.

**Your own program** is the customer as well: give it the settings that the sandbox prints, or start both from Python.

```python
from puzzel_chat import PuzzelChat
from puzzel_chat.pages import Pages
from puzzel_chat.sandbox import Sandbox

with Sandbox() as sandbox, Pages(sandbox) as pages:
    print("open", pages.desk_url)
    with PuzzelChat(**sandbox.settings) as chat, chat.start(sandbox.queue_key) as conversation:
        conversation.send("end chat")  # a scripted agent takes it, as nobody is at the desk
        print(*conversation.events())
```

**A test first, to be watched after.** The fixture `puzzel_desk` is the agent: `accept()` waits for the offer, `say` and
`end` do what they say, and `accept` returns an `AgentHandle` for the rest; the program `test_my_bot` has a test with
it. `pytest --headed` opens the desk in your browser and slows the test down, so that you see it happen.

**Safe.** The pages listen on this machine only. Their address holds a token, which the browser keeps as a cookie, and a
request that does not come from a page of theirs is refused: no other page in the same browser reads or acts. What is
written in a chat is shown as text, never as markup, and nothing is loaded from another host.
"""
