"""All that tools show of what happened: logs, reprs, errors with the locals of their frames."""

from __future__ import annotations

import traceback
from pathlib import Path

TESTS = str(Path(__file__).parent)


def told_by(error: BaseException) -> str:
    """Give what a tool that prints locals shows of an error and of what led to it; the tests' own frames left out."""
    pages = [traceback.TracebackException.from_exception(error, capture_locals=True)]
    seen = [repr(error), str(error)]
    while pages:
        page = pages.pop()
        for frame in page.stack:
            if not frame.filename.startswith(TESTS):
                seen.append(f"{frame.filename}:{frame.lineno} {frame.locals}")
        seen.extend(page.format_exception_only())
        led = page.__cause__ or (None if page.__suppress_context__ else page.__context__)
        pages += [led] if led else []
    return "\n".join(seen)
