"""The simulated contact centre inside this process, or a word about what keeps it from starting."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from puzzel_chat.cli._exits import CliError
from puzzel_chat.sandbox import Sandbox

P = ParamSpec("P")


def started(make: Callable[P, Sandbox], *args: P.args, **kwargs: P.kwargs) -> Sandbox:
    """Make a sandbox and start it; a missing extra, a wrong setting or a taken port is a usage error."""
    try:
        return make(*args, **kwargs).start()
    except (ImportError, ValueError) as error:
        raise CliError(str(error)) from None
    except OSError as error:
        told = f"the sandbox cannot listen there ({error.strerror}); choose another --port or --identity-port, or 0"
        raise CliError(told) from None
