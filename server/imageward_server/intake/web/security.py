"""What guards every page: headers, the cookie, and the token that each form carries.

No page is kept by a browser or a proxy, asks a third party for anything, runs a script or
is shown in a frame. A form's token is an HMAC of the visitor's cookie, so it needs no
table and is worthless with another cookie.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from imageward_server.intake.credentials import new_token
from imageward_server.intake.refusals import PageRefusal

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex, nofollow",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), interest-cohort=()",
}
_HSTS: Final = "max-age=63072000; includeSubDomains"
_COOKIE: Final = "imageward"
_TOKEN_CHARS_MAX: Final = 64


class GuardedPages:
    """Puts the headers on every response, whatever it is.

    Args:
        app: the pages.
        is_https: whether browsers come by TLS.
    """

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        self._headers = {**HEADERS, "Strict-Transport-Security": _HSTS} if is_https else HEADERS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the pages do, with the headers."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        await self._app(scope, receive, send_guarded)


class Visitors:
    """Reads and sets the one cookie, and makes the tokens of forms.

    Args:
        key: 32 bytes, for nothing else.
        is_https: whether the cookie is for TLS alone.
    """

    def __init__(self, key: bytes, *, is_https: bool) -> None:
        self._key = key
        self._is_https = is_https
        # The prefix keeps other hosts of the domain, and pages without TLS, from setting it.
        self._name = f"__Host-{_COOKIE}" if is_https else _COOKIE

    def cookie_of(self, request: Request) -> str:
        """Return the visitor's cookie; a new one if there is none."""
        if not hasattr(request.state, "cookie"):
            sent = request.cookies.get(self._name, "")
            request.state.cookie = sent if 0 < len(sent) <= _TOKEN_CHARS_MAX else new_token()
        cookie: str = request.state.cookie
        return cookie

    def form_token(self, cookie: str) -> str:
        """Make the token that forms shown to a visitor carry."""
        return hmac.digest(self._key, cookie.encode(), hashlib.sha256).hex()

    def require_own_form(self, request: Request, token: str) -> None:
        """Accept a form that this visitor was shown.

        Raises:
            PageRefusal: it was made elsewhere, or for another visitor.
        """
        expected = self.form_token(self.cookie_of(request))
        if not hmac.compare_digest(expected.encode(), token.encode("utf-8", "replace")):
            raise PageRefusal("form_stale", 403)

    def set_cookie(self, response: Response, cookie: str) -> None:
        """Give a visitor a cookie, until the browser is closed or the session ends."""
        response.set_cookie(
            self._name, cookie, httponly=True, samesite="strict", secure=self._is_https, path="/"
        )


def browser_of(request: Request) -> str:
    """Return what a browser says of itself, which a stolen cookie does not carry along."""
    return "\n".join(
        request.headers.get(name, "") for name in ("user-agent", "accept-language", "sec-ch-ua")
    )
