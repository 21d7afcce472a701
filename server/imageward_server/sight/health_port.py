"""Health alone, in clear, on an address of its own: for probes that speak no TLS.

Kubernetes' gRPC probes are such. Nothing else is answered there, so it needs no credential.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import HealthServicer

PROBES_MAX: Final = 8
"""Calls at once; a watch holds one of them."""


class HealthPort:
    """Answers probes.

    Args:
        health: what all ports answer from.
        listen: `host:port`; port 0 takes a free one. Shared with the other workers.

    Raises:
        OSError: the address cannot be bound.
    """

    def __init__(self, health: HealthServicer, listen: str) -> None:
        self._server = grpc.server(
            ThreadPoolExecutor(PROBES_MAX, "probe"),
            maximum_concurrent_rpcs=PROBES_MAX,
            options=[("grpc.so_reuseport", 1), ("grpc.max_receive_message_length", 1024)],
        )
        health_pb2_grpc.add_HealthServicer_to_server(health, self._server)
        try:
            self.port = self._server.add_insecure_port(listen)
        except RuntimeError as error:  # all that gRPC says of any failure
            raise OSError(f"cannot answer probes on {listen}; is another server there?") from error
        self._server.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.stop(0).wait()
