"""Where a client's calls go, and as whose: the target, TLS and the token."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imageward_client._tls import Tls

# As `imageward-server credentials new` prints it.
_TOKEN = re.compile(r"[a-z][a-z0-9_-]{0,62}\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server, and who calls it.

    Attributes:
        target: the server, as `host:port` or any gRPC target.
        token: `NAME.SECRET`; empty to call without.
        tls: how to know the server, and to be known by it; None for no TLS.

    Raises:
        ValueError: the token has another form, which is not repeated.
    """

    target: str
    token: str = field(default="", repr=False)
    tls: Tls | None = None

    def __post_init__(self) -> None:
        if self.token and not _TOKEN.fullmatch(self.token):
            raise ValueError(
                f"token is NAME.SECRET, as the server's operator has given it;"
                f" {len(self.token)} characters of another form were given."
            )

    def metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """Returns what every call carries."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()
