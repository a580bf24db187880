"""The only package that knows the HTTP library's client: pools, timeouts, and its exceptions turned into ours.

Redirects are never followed, cookies are never kept (a shared jar once gave one customer another's session:
BerriAI/litellm#36149), and TLS is verified. The environment's proxies are used, except for a service on this machine.

Nobody waits inside the library's pool, where a request that is given up can lose a connection for good
(encode/httpcore#1093): a limit of our own stands before it. In a forked process, and under another event loop, the
first request makes a pool. An inherited pool is neither closed nor let go of: its locks may be held by threads that the
fork left behind, and its event loop watches the parent's sockets in a set that both processes share. Only the blocking
client's copies of its sockets are closed in the child.
"""

from __future__ import annotations

from puzzel_chat._transport.awaiting import AsyncTransport
from puzzel_chat._transport.blocking import Transport

__all__ = ["AsyncTransport", "Transport"]
