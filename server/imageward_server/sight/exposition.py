"""The ledger over HTTP, as Prometheus reads it. The one file that imports prometheus_client.

One thread answers one request after the other, each within a bound of time: it stands in
the supervisor, which nothing that comes over a network may end or slow down.
"""

from __future__ import annotations

import contextlib
import platform
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from imageward_server import __version__
from imageward_server.processes.listen_socket import split_address
from imageward_server.sight import catalogue
from imageward_server.sight.catalogue import Family, Kind
from imageward_server.sight.ledger import Ledger
from imageward_server.sight.page import Sample

log = structlog.get_logger(__name__)

ANSWER_S_MAX: Final = 5.0
"""From a connection to its end."""

BIND_AGAIN_S: Final = 0.2
"""Between looks whether the server that is taken over has given up its port."""

PATH: Final = "/metrics"

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class LedgerCollector(Collector):
    """Shows a ledger to a registry of prometheus_client.

    Args:
        ledger: what is shown.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def collect(self) -> Iterator[Metric]:
        """Read everything as it is now."""
        totals = self._ledger.totals()
        totals.add([Sample(catalogue.BUILD, (__version__, platform.python_version()), (1.0,))])
        now_s = time.monotonic()
        for name, family in totals.families.items():
            yield _metric(family, totals.numbers[name], now_s)


def _metric(
    family: Family, series: dict[tuple[str, ...], tuple[float, ...]], now_s: float
) -> Metric:
    if family.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
        for values, (*counts, sum_s) in series.items():
            ends = [*map(str, family.buckets), "+Inf"]
            classes = list(zip(ends, accumulate(counts), strict=True))
            histogram.add_metric(values, classes, sum_s)
        return histogram
    plain = (CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily)(
        family.name, family.meaning, labels=family.labels
    )
    for values, (number,) in series.items():
        shown = max(now_s - number, 0.0) if family.kind is Kind.AGE else number
        plain.add_metric(values, shown)
    return plain


class Endpoint:
    """Answers `GET /metrics`.

    Args:
        ledger: what is shown.
        listen: `host:port`; port 0 takes a free one, which the log tells.
        wait: another server may still have the port, and will give it up.
    """

    def __init__(self, ledger: Ledger, listen: str, *, wait: bool) -> None:
        registry = CollectorRegistry()
        registry.register(LedgerCollector(ledger))
        self._app = _only_metrics(make_wsgi_app(registry))
        self._listen = listen
        self._closing = threading.Event()
        self._server = None if wait else self._bind()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def close(self) -> None:
        """Give up the port; return when that is done."""
        self._closing.set()
        self._thread.join()

    def _bind(self) -> WSGIServer:
        host, port = split_address(self._listen)
        kind = _Server6 if ":" in host else _Server
        try:
            server = make_server(host, port, self._app, server_class=kind, handler_class=_Handler)
        except OSError as error:
            raise OSError(
                f"cannot show metrics on {self._listen}; is another server there? ({error})"
            ) from error
        server.timeout = BIND_AGAIN_S
        log.info("metrics shown", port=server.server_port)
        return server

    def _run(self) -> None:
        while self._server is None and not self._closing.wait(BIND_AGAIN_S):
            with contextlib.suppress(OSError):
                self._server = self._bind()
        if self._server is not None:
            with self._server as server:
                while not self._closing.is_set():
                    server.handle_request()


class _Server(WSGIServer):
    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as its base types it
        """Go on with the next: whoever asked has gone, or the numbers could not be read."""
        del request, client_address
        log.warning("metrics not answered", error=type(sys.exception()).__name__)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    def setup(self) -> None:
        """End the connection in time, however slowly its requests comes."""
        super().setup()
        self._overdue = threading.Timer(ANSWER_S_MAX, self._end)
        self._overdue.daemon = True
        self._overdue.start()

    def finish(self) -> None:
        """Let it end by itself."""
        self._overdue.cancel()
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as its base types it
        """Write no line for each scrape."""

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def _only_metrics(app: Callable[..., Any]) -> App:
    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == PATH:
            found: Iterable[bytes] = app(environ, start)
            return found
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [f"ask for {PATH}\n".encode()]

    return answer
