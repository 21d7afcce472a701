"""Who a call is by, as the audit names them, and why they call, if they said so.

A caller says why in the metadata `imageward-reason`. It is kept word for word, so words
that look like an address, a hash or a key are refused.
"""

from __future__ import annotations

import re
from typing import Final

import grpc

from imageward_server.access import identity_of
from imageward_server.audit.row import REASON_CHARS_MAX, Actor
from imageward_server.errors import InvalidRequest

REASON_KEY: Final = "imageward-reason"
# An address of mail, or what is written in so many hexadecimal or base64 characters.
_PERSONAL: Final = re.compile(r"@|[0-9A-Za-z+/_-]{32}")


def actor_of(context: grpc.ServicerContext) -> Actor:
    """Name the caller of a call, and its reason.

    Raises:
        InvalidRequest: the reason is too long, or holds what the audit must not.
    """
    identity = identity_of(context)
    return Actor(identity.name, identity.role, _reason_of(context))


def _reason_of(context: grpc.ServicerContext) -> str:
    for key, value in context.invocation_metadata():
        if key == REASON_KEY:
            return _check(str(value))
    return ""


def _check(reason: str) -> str:
    if len(reason) > REASON_CHARS_MAX:
        raise InvalidRequest(
            f"a reason of {len(reason)} characters was sent; say it in {REASON_CHARS_MAX}",
            chars_max=REASON_CHARS_MAX,
        )
    if _PERSONAL.search(reason):
        raise InvalidRequest(
            "the reason has an address, or 32 letters and digits in a row; "
            "name a ticket or a case instead"
        )
    return reason
