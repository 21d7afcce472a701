"""The intake's clocks as Prometheus metrics, in a registry and on a port of their own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from imageward_server.intake.steward import Standing


class Metrics:
    """What is shown of the job's last round."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._waiting = self._gauge("waiting", "Pictures that wait for a reviewer")
        self._alarmed = Gauge(
            "imageward_intake_alarmed",
            "Pictures undecided after so many hours",
            ["hours"],
            registry=self.registry,
        )
        self._oldest_wait_s = self._gauge(
            "oldest_wait_seconds", "How long the oldest waiting picture has waited"
        )
        self._held = self._gauge("held", "Pictures that are not deleted")
        self._overdue = self._gauge("overdue", "Pictures older than seven days; always 0")
        self._unsent = self._gauge("unsent_mail", "Mails that were tried and not taken")
        self._drift_s = self._gauge(
            "clock_drift_seconds", "How far the wall clock is ahead of the intake's"
        )
        self._round_s = self._gauge("round_timestamp_seconds", "When the job went its last round")

    def show(self, standing: Standing, drift_s: float, now_s: float) -> None:
        """Show how the intake stands."""
        self._waiting.set(standing.waiting)
        for hours, count in standing.alarmed.items():
            self._alarmed.labels(str(hours)).set(count)
        self._oldest_wait_s.set(standing.oldest_wait_s)
        self._held.set(standing.held)
        self._overdue.set(standing.overdue)
        self._unsent.set(standing.unsent)
        self._drift_s.set(drift_s)
        self._round_s.set(now_s)

    def listen(self, address: str) -> None:
        """Serve `/metrics` on an address and port, in a thread."""
        host, _, port = address.rpartition(":")
        start_http_server(int(port), host, self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"imageward_intake_{name}", meaning, registry=self.registry)
