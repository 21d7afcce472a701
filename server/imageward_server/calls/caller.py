"""Who a call is from, as far as shares and rates are concerned: the one place that says."""

from __future__ import annotations

import grpc

from imageward_server.access.identity import DEVELOPER, current_identity

UNKNOWN = "unknown"


def caller_of(context: grpc.ServicerContext) -> str:
    """Name the caller: its credential, or else the address of its machine, without the port.

    Callers without a credential behind a proxy share one caller's part.
    """
    identity = current_identity.get()
    if identity is not None and identity is not DEVELOPER:
        return identity.name
    # ipv4:192.0.2.1:5000, ipv6:%5B2001:db8::1%5D:5000, or unix: without a port
    kind, _, address = context.peer().partition(":")
    return address.rpartition(":")[0] if kind in ("ipv4", "ipv6") else UNKNOWN
