"""Pages for the sandbox: an agent's desk, a customer's page, a control room. The bundled simulator, not Puzzel.

    with Sandbox() as sandbox, Pages(sandbox) as pages:
        print(pages.url)  # the customer; pages.desk_url is the agent's desk, pages.control_url the control room

They are served on loopback only. The address holds a token; a page of another origin can neither read nor act.
"""

from __future__ import annotations

from importlib.util import find_spec

if any(find_spec(name) is None for name in ("starlette", "uvicorn", "websockets")):
    raise ImportError('the pages need starlette, uvicorn and websockets: pip install "puzzel-chat[sandbox]"')

from ._serve import Pages

__all__ = ["Pages"]
