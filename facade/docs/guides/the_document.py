"""# The day the vendor's document arrives

The vendor's Swagger document was not available when this library was written. What it rests on is marked, operation by
operation: `puzzel-chat doctor` prints the marks, and `operations()` gives them to a program.

```python
from puzzel_chat import operations

for operation in operations():
    print(f"{operation.provenance:10} {operation.method:4} {operation.path}")
```

*documented* stands on a help page of the vendor, *observed* was seen in public code that calls the service, *assumed*
is ours, and *confirmed* was seen in the vendor's document or at a tenant. Where we guessed wrong, a call fails with an
error that says what came: `ContractError` for a reply that does not fit, `NotFound` where a path is another.

**With a tenant, before the document.** `puzzel-chat probe --route QUEUE_KEY --save probe.json` holds a short test chat
and says which of our assumptions hold. `make regenerate OBSERVED=probe.json` turns its findings into marks.

**With the document.** In a checkout, `make regenerate SPEC=<file or address>` reads the document, or the Swagger page
that shows it, writes the low-level client anew, and says in plain words what the change means for the library: which
lines to edit, by method. If nothing breaks it is taken; if something does, no file is touched until you say so.
`openapi/README.md` has the steps.

**What you need not do.** Your program imports `puzzel_chat`, whose names do not follow the document. A renamed field is
an edit in one file of ours, and no edit of yours. What is new and not yet known here is in `raw`, on every value.
"""
