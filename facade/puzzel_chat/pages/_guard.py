"""Who may use the pages: a browser that has opened the address with the token, and only from a page of ours."""

from __future__ import annotations

from hmac import compare_digest
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

# Nothing from elsewhere is loaded, no text can become script, and no other page can frame ours.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' {streams}; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
PAGES = ("/", "/desk", "/control")
"""What a link on any other page may open."""
OPEN_FIRST = "Open the address that the sandbox printed, with its token; this page belongs to one sandbox.\n"


class Guard:
    """Lets a request through if host, origin and token are right.

    The token comes in the address once, and from then on as a cookie.
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._cookie = f"puzzel-sandbox-{port}"
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        policy = POLICY.format(streams=" ".join(f"ws://{host}" for host in sorted(self._hosts)))
        self._headers = {"Content-Security-Policy": policy, **HEADERS}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or one WebSocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts:  # another name for this machine: DNS rebinding
            await _refuse("wrong host\n", 421, scope, receive, send)
        elif not _from_our_page(scope, headers):
            await _refuse("another page must not use the sandbox's\n", 403, scope, receive, send)
        elif (asked := _without_token(scope)) is not None:
            await self._welcome(*asked, scope, receive, send)
        elif not self._knows(SimpleCookie(headers.get("cookie", ""))):
            await _refuse(OPEN_FIRST, 401, scope, receive, send)
        else:
            await self._app(scope, receive, self._with_headers(send))

    async def _welcome(self, token: str, place: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Turn the token of the address into a cookie, so that it is not left in the address."""
        if not compare_digest(token.encode(), self._token.encode()):
            await _refuse(OPEN_FIRST, 401, scope, receive, send)
            return
        response = RedirectResponse(place, 303)
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        await response(scope, receive, self._with_headers(send))

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        return sending

    def _knows(self, cookies: SimpleCookie) -> bool:
        cookie = cookies.get(self._cookie)
        return cookie is not None and compare_digest(cookie.value.encode(), self._token.encode())


def _from_our_page(scope: Scope, headers: Headers) -> bool:
    """Whether a request comes from a page of ours, or opens one.

    The cookie's SameSite does not tell: to a browser all ports of a host are one site.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None and origin != f"http://{headers['host']}":
        return False
    if scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD"):
        return origin is not None
    return site in (None, "none", "same-origin") or (
        scope["path"] in PAGES and headers.get("sec-fetch-dest") == "document"
    )


def _without_token(scope: Scope) -> tuple[str, str] | None:
    """Return the token of an address, and the address without it; None where there is none."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    token = dict(pairs).get("token")
    if token is None or scope.get("method") != "GET":
        return None
    rest = urlencode([(name, value) for name, value in pairs if name != "token"])
    return token, scope["path"] + (f"?{rest}" if rest else "")


async def _refuse(why: str, status: int, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await PlainTextResponse(why, status)(scope, receive, send)
    else:
        await WebSocketClose()(scope, receive, send)
