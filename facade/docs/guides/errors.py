"""# Errors and what to do

Every error of the library is a `PuzzelChatError`. Its text says what is wrong and what to do next, without tokens and
without anybody's words, so it can be logged as it is. `retryable` says whether the same call may succeed later.

```python
import logging

from puzzel_chat import PuzzelChat, PuzzelChatError, QueueClosed, RoutingError

try:
    with PuzzelChat.from_env() as chat, chat.start("closed", "27502", customer={"name": "Ada"}, wait=60) as conversation:
        conversation.send("Where is my order?")
except QueueClosed as closed:
    print("We open at", closed.opens_at)
except RoutingError as error:
    print("Nobody can answer now:", error)
except PuzzelChatError as error:
    logging.warning("the chat failed: %s", error)
    print("Try again later" if error.retryable else "Somebody has to look at this")
```

| error | what happened | what to do |
|---|---|---|
| `ConfigurationError` | a setting is missing or wrong, or the service does not accept it | change the one that `setting` names; `puzzel-chat doctor` shows where it comes from |
| `InvalidArgument` | an argument is unusable, and nothing was sent | correct the one that `argument` names |
| `TransportError` | no usable reply; after `sent` "maybe" the service may have acted | try again if `retryable`; the text and `__cause__` say what failed on the way |
| `AuthenticationError` | the token was refused, even a fresh one | for a visitor: sign in again; else check the credentials |
| `PermissionDenied` | the token is good and does not allow this | ask the contact centre's administrator |
| `NotFound` | no such queue, chat or address | check the id; a queue key and a visual queue id are two things |
| `Conflict` | the chat is in another state | ask `allocation()` which |
| `RateLimited` | too many requests | wait `retry_after` seconds; polls do so by themselves |
| `ServerError` | the service failed | try again later; a chat that goes on recovers by itself |
| `ContractError`, `ReplyTooLarge` | a reply is not what is known of the service | report `operation`, `pointer` and `excerpt`; see the guide `the_document` |
| `QueueClosed` | outside opening hours | tell the customer `opens_at`, where it is known |
| `QueueFull` | too many wait | try again in some minutes |
| `RoutingRefused` | the contact centre does not take the chat; `reason` is its code | offer another way |
| `AgentWaitTimeout` | nobody came within `wait` seconds; the queue was left | offer another way, or ask again |
| `DeliveryUnknown` | a message may or may not have arrived | let a person decide: sending `text` again may deliver it twice |
| `ConversationClosed` | the chat is over | start a new one |
| `EventTimeout` | nothing happened for `timeout` seconds; the chat goes on | ask for the next event, or end |
| `SessionExpired` | the session's token can be used no longer | start anew; the chats of that session are lost |
| `SessionNotFound` | the store has no such session, or `attach` none with that chat | `sessions()` lists those that it has |
| `SessionInUse` | somebody else reads these events | read in one place; see the guide `stores` |
| `StoreError` | the store cannot be read or written | free the disk, or look after Redis; the chat goes on, and what was not written is written later; see the guide `workers` |

**What is repeated for you.** Requests that may safely be made twice are tried again after a failure that may pass, up
to `max_retries` times. A poll that fails is no error of yours: `ConnectionDegraded` says that polls are failing,
`ConnectionRecovered` that they succeed again, and nothing is lost between. `send` is never repeated: without a clear
answer the message is looked for in the polls that follow.

**What is left behind.** An error in `start` leaves nothing in a queue. An error in the block of a conversation ends the
chat.
"""
