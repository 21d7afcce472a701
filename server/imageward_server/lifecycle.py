"""Whether the server takes calls: loading, serving, draining, and the health that says so."""

from __future__ import annotations

import enum

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import HealthServicer

from imageward.v1 import bank_pb2, case_pb2, match_pb2
from imageward_server.errors import Draining, Loading

SERVICES = (
    match_pb2.DESCRIPTOR.services_by_name["MatchService"].full_name,
    bank_pb2.DESCRIPTOR.services_by_name["BankService"].full_name,
    case_pb2.DESCRIPTOR.services_by_name["CaseService"].full_name,
)


class Phase(enum.Enum):
    """Where the server is in its life."""

    LOADING = enum.auto()
    SERVING = enum.auto()
    DRAINING = enum.auto()


class Lifecycle:
    """Holds the phase, and keeps the health service in step with it."""

    def __init__(self) -> None:
        # Blocking: else a caller that watches and does not read would stop, with the
        # servicer's lock held, whoever asks for health or changes it.
        self.health = HealthServicer(experimental_non_blocking=False)
        self._phase = Phase.LOADING
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)

    def serve(self) -> None:
        """Take calls from now on."""
        self._phase = Phase.SERVING
        self._set_health(health_pb2.HealthCheckResponse.SERVING)

    def announce_drain(self) -> None:
        """Tell balancers to send nothing new; what comes is still answered."""
        self._set_health(health_pb2.HealthCheckResponse.NOT_SERVING)

    def drain(self) -> None:
        """Refuse what comes from now on."""
        self._phase = Phase.DRAINING

    def admit(self) -> None:
        """Let a call in.

        Raises:
            Loading: the store is still being read.
            Draining: the server is about to stop.
        """
        if self._phase is Phase.LOADING:
            raise Loading("the server is reading its store; ask again in a moment")
        if self._phase is Phase.DRAINING:
            raise Draining("the server is stopping; ask another, or ask again in a moment")

    def _set_health(self, status: int) -> None:
        for service in ("", *SERVICES):
            self.health.set(service, status)
