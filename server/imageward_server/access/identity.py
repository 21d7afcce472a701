"""Who a call is from: a name and a role, known once the call is let in.

A client certificate says both in a URI among its subject alternative names, such as
`imageward://frontend/feed`; a token `NAME.SECRET` says the name, and the configuration
the role.
"""

from __future__ import annotations

import enum
import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    import grpc

NAME_PATTERN: Final = r"[a-z][a-z0-9_-]{0,62}"
URI_SCHEME: Final = "imageward"


class Role(enum.StrEnum):
    """What a caller is, which decides what it may call."""

    FRONTEND = "frontend"  # checks uploads, and reports what became of them
    REVIEWER = "reviewer"  # keeps entries, and sees how near a match is
    PARTNER = "partner"  # opens cases for persons at risk, and sees its own
    OPERATOR = "operator"  # keeps banks and their policies; sees no entry
    AUDITOR = "auditor"  # sees what was done, and changes nothing
    # Whoever calls a server on loopback that asks for no credential. None can be made.
    DEVELOPER = "developer"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a call is from.

    Attributes:
        name: of the credential: a small letter, then small letters, digits, `_` and `-`,
            63 characters at most.
        role: what it may.
    """

    name: str
    role: Role


DEVELOPER: Final = Identity("developer", Role.DEVELOPER)
ROLES: Final = tuple(role for role in Role if role is not Role.DEVELOPER)
_URI: Final = re.compile(rf"{URI_SCHEME}://({'|'.join(ROLES)})/({NAME_PATTERN})")

# gRPC runs each call in a context of its own; None where nobody has to say who calls.
current_identity: ContextVar[Identity | None] = ContextVar("current_identity", default=None)


def identity_of(context: grpc.ServicerContext) -> Identity:
    """Return who a call is from.

    Args:
        context: of the call that this thread serves.
    """
    del context  # the argument keeps callers from asking where there is no call
    identity = current_identity.get()
    assert identity is not None, "the method is open to anybody, or this is no thread of a call"
    return identity


def uri_of(identity: Identity) -> str:
    """Write the name that a client certificate carries."""
    return f"{URI_SCHEME}://{identity.role}/{identity.name}"


def read_uris(uris: Iterable[str]) -> Identity | None:
    """Read the identity among a certificate's names; None without one, or with several."""
    ours = [uri for uri in uris if uri.startswith(f"{URI_SCHEME}:")]
    found = _URI.fullmatch(ours[0]) if len(ours) == 1 else None
    return Identity(found[2], Role(found[1])) if found else None
