"""Who a call is from, as far as shares and rates are concerned: the one place that says."""

from __future__ import annotations

import grpc

UNKNOWN = "unknown"


def caller_of(context: grpc.ServicerContext) -> str:
    """Name the caller: the address of its machine, without the port.

    Behind a proxy that is the proxy: its callers share one caller's part.
    """
    # ipv4:192.0.2.1:5000, ipv6:%5B2001:db8::1%5D:5000, or unix: without a port
    kind, _, address = context.peer().partition(":")
    return address.rpartition(":")[0] if kind in ("ipv4", "ipv6") else UNKNOWN
