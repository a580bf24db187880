"""# Handing over from a bot

A bot answers until a customer wants a person. Then your program asks the contact centre for an agent, and gives along
what was said, so that nobody has to tell it twice.

```python
from datetime import UTC, datetime

from puzzel_chat import PuzzelChat, Turn

said = [
    Turn("customer", "Where is my order?", datetime(2026, 11, 30, 9, 0, tzinfo=UTC), "Ada"),
    Turn("bot", "I cannot see it. Shall I ask a person?"),
    Turn("customer", "Yes, please"),
]
with PuzzelChat.from_env() as chat:
    with chat.start(
        "support", customer={"name": "Ada"}, subject="Order 7", variables={"order": "7"}, history=said
    ) as conversation:
        print("turns that had no room:", conversation.history_left_out)
        conversation.send("end chat")
        for event in conversation.events():
            print(event)
```

**What the agent sees** is not known of the service. It is assumed that an agent sees the variables of a chat, so
customer, subject and history travel as variables: the history is one, named `history`, as plain text with a line for
each turn. The sandbox shows all of it to its agents: `puzzel-chat sandbox --person` lets you read it as one.

**How much.** A history takes 32 KiB at most, some 300 lines, and all that goes along stays below `max_message_bytes`.
The oldest turns are left out first: the agent reads how many, `history_left_out` tells your program, and a warning is
logged, without words.

**While a person has the chat the bot is silent.** `AgentJoined` says from when; after `AgentLeft` another agent may
come, and `ConversationEnded` says that the chat is over. Between agents and after the end the bot has the customer
again. The program `handing_over` does that: it relays lines both ways while there is a person, and answers by itself
while there is none.

**When nobody comes**: `QueueClosed` (with `opens_at` where it is known), `QueueFull`, `RoutingRefused`, or
`AgentWaitTimeout` after `wait` seconds. The queue is left before the error is raised, so the bot can go on at once.

**A choice** that the agent offers is an `OptionsMessage`; `conversation.choose(option)` answers it.
"""
