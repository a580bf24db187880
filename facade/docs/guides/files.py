"""# Files and choices

Customers send a photo of the damage, agents a receipt. How the service takes and gives files is not known: the vendor
has a host for them, and nobody saw its calls. **All of it is assumed** and marked so; the sandbox plays what we assume.

```python
from pathlib import Path

from puzzel_chat import FileMessage, OptionsMessage, PuzzelChat


def tell(done: int, total: int | None) -> None:
    print(f"{done} of {total} bytes")


with PuzzelChat.from_env() as chat, chat.start("support") as conversation:
    conversation.send_file(b"a small picture", name="damage.png", on_progress=tell)  # or a path
    for word in ("file", "options", "end chat"):  # words that the sandbox's agents know
        conversation.send(word)
    for event in conversation.events():
        match event:
            case FileMessage(author=author) if author.is_agent:
                print(event.file_name, conversation.download(event, Path("receipt.txt"), overwrite=True), "bytes")
            case OptionsMessage():
                print("choices:", [option.label for option in event.options])
```

**Sending.** A path or bytes, up to the setting `max_file_bytes`. A file is read piece by piece while it goes out. It is
uploaded first, and a message names it then; only the message is what others see, and that is sent once, as `send` does.

**Fetching.** `to` is a path or a file that is open for bytes. The name that came with the file is never used as a path:
it is what somebody else wrote. The file is there whole or not at all, and nothing is replaced unless `overwrite=True`.

**The token** goes to the service's own hosts alone. A file may be anywhere, for its address comes from the service:
from another host it is fetched without a token, and over https only. If your program can reach hosts that a stranger
must not, look at the address first.

**Choices.** An `OptionsMessage` is a question. `conversation.choose(option)` answers it, with the option, its id or its
label; it is assumed that the label is sent as text.
"""
