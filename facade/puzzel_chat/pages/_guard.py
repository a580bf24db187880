"""Who may use the pages: a browser that has opened the address with the token, and only from a page of ours."""

from __future__ import annotations

from hmac import compare_digest
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Nothing from elsewhere is loaded, no text can become script, and no other page can frame ours.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if headers.get("host") not in self._hosts:  # another name for this machine: DNS rebinding
            await PlainTextResponse("wrong host\n", 421)(scope, receive, send)
        elif not _from_our_page(scope, headers):
            await PlainTextResponse("another page must not use the sandbox's\n", 403)(scope, receive, send)
        elif (asked := _without_token(scope)) is not None:
            await self._welcome(*asked, scope, receive, send)
        elif not self._knows(SimpleCookie(headers.get("cookie", ""))):
            await PlainTextResponse(OPEN_FIRST, 401)(scope, receive, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    async def _welcome(self, token: str, place: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Turn the token of the address into a cookie, so that it is not left in the address."""
        if not compare_digest(token.encode(), self._token.encode()):
            await PlainTextResponse(OPEN_FIRST, 401)(scope, receive, send)
            return
        response = RedirectResponse(place, 303)
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        await response(scope, receive, _with_headers(send))

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
    if scope["method"] not in ("GET", "HEAD"):
        return origin is not None
    return site in (None, "none", "same-origin") or (
        scope["path"] in PAGES and headers.get("sec-fetch-dest") == "document"
    )


def _without_token(scope: Scope) -> tuple[str, str] | None:
    """Return the token of an address, and the address without it; None where there is none."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    token = dict(pairs).get("token")
    if token is None or scope["method"] != "GET":
        return None
    rest = urlencode([(name, value) for name, value in pairs if name != "token"])
    return token, scope["path"] + (f"?{rest}" if rest else "")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sending
