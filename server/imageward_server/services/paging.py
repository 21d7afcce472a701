"""Page tokens: opaque to callers, and bound to the listing they came from."""

from __future__ import annotations

import base64
import hashlib
import json

from imageward_server.errors import InvalidPageToken

_TOKEN_CHARS_MAX = 256


def make_token(listing: tuple[object, ...], last: str) -> str:
    """Make the token of the page after `last` in a listing.

    Args:
        listing: the method and its filters.
        last: the key of the last item of the page before.
    """
    packed = json.dumps([_digest(listing), last]).encode()
    return base64.urlsafe_b64encode(packed).decode()


def read_token(listing: tuple[object, ...], token: str) -> str | None:
    """Read the key that a page goes on after, or None for the first page.

    Raises:
        InvalidPageToken: the token is not one of this listing.
    """
    if not token:
        return None
    digest, last = _unpack(token)
    if digest != _digest(listing):
        raise _invalid()
    return last


def _unpack(token: str) -> tuple[str, str]:
    if len(token) > _TOKEN_CHARS_MAX:
        raise _invalid()
    try:
        match json.loads(base64.b64decode(token, altchars=b"-_", validate=True)):
            # Keys are ids and names of banks; a forged one could hold what no store takes.
            case [str(digest), str(last)] if last.isascii() and last.isprintable():
                return digest, last
    except ValueError as error:  # neither base64, nor UTF-8, nor JSON
        raise _invalid() from error
    raise _invalid()


def _digest(listing: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(listing).encode()).hexdigest()[:16]


def _invalid() -> InvalidPageToken:
    return InvalidPageToken(
        "the page token is not one of this listing; start again without a token, "
        "and keep the other fields the same from page to page"
    )
