"""A span around each call, where the application uses OpenTelemetry; else nothing.

The library is not a dependency: an application that traces has loaded it, and set it up.
The call's metadata then carry the W3C `traceparent`, by which the server's spans are put
under the client's.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imageward_client._rpc import Rpc

Metadata = tuple[tuple[str, str], ...]


@contextmanager
def traced(rpc: Rpc[Any]) -> Iterator[Metadata]:
    """Covers a call, retries included; yields what is to be sent with it.

    Nothing of the request or the answer is told, and of an error its class alone.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        yield ()
        return
    propagate = importlib.import_module("opentelemetry.propagate")
    with trace.get_tracer("imageward_client").start_as_current_span(
        f"{rpc.service}/{rpc.method}",
        kind=trace.SpanKind.CLIENT,
        attributes={"rpc.system": "grpc", "rpc.service": rpc.service, "rpc.method": rpc.method},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        try:
            yield tuple(carrier.items())
        except Exception as error:
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise
