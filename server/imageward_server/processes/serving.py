"""What `imageward-server serve` does: reserve the port, supervise, tell when it serves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from imageward_server import __version__
from imageward_server.config import Config
from imageward_server.processes.listen_socket import reserve_port, split_address
from imageward_server.processes.roster import Roster
from imageward_server.processes.supervisor import Supervisor
from imageward_server.sight.ledger import INTAKE_PAGE, Ledger

log = structlog.get_logger(__name__)


def serve(config: Config, reread: Callable[[], Config], *, take_over: bool) -> int:
    """Serve until told to stop; return the exit code.

    Args:
        config: the configuration.
        reread: reads it again; raises InvalidConfig.
        take_over: serve beside the server that runs on the same data folder and port,
            if there is one, and stop that when this one serves.

    Raises:
        OSError: the address cannot be bound, or the data folder not written.
        InvalidConfig: there is neither TLS nor leave to do without.
    """
    config.require_transport()
    if config.is_open:
        log.warning("no credential is configured: everybody on this machine may do everything")
    # Hashes are personal data: nobody but the server's own user may read them.
    os.umask(0o077)
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    predecessor_pid = _find_predecessor(config) if take_over else None
    with reserve_port(config.listen, shared=predecessor_pid is not None) as reserved:
        port: int = reserved.getsockname()[1]
        listen = f"{config.listen.rpartition(':')[0]}:{port}"
        roster = Roster(config.data_dir, port)

        def on_serving() -> None:
            print(f"imageward-server {__version__} serving on port {port}", flush=True)  # noqa: T201 - what a person and a service manager wait for
            if predecessor_pid is not None:
                log.info("taking over", from_pid=predecessor_pid)
                os.kill(predecessor_pid, signal.SIGTERM)

        try:
            config = config.model_copy(update={"listen": listen})
            with _shown(config, wait=predecessor_pid is not None) as ledger:
                return Supervisor(config, roster, on_serving, reread, ledger).run()
        finally:
            roster.close()


@contextmanager
def _shown(config: Config, *, wait: bool) -> Iterator[Ledger | None]:
    """Show what workers count, if anybody is to look."""
    if not config.metrics_listen:
        yield None
        return
    from imageward_server.sight.exposition import Endpoint  # noqa: PLC0415 - 11 MB, only where it is wanted

    ledger = Ledger([config.data_dir / INTAKE_PAGE])
    endpoint = Endpoint(ledger, config.metrics_listen, wait=wait)
    endpoint.start()
    try:
        yield ledger
    finally:
        endpoint.close()


def _find_predecessor(config: Config) -> int | None:
    roster = Roster(config.data_dir, split_address(config.listen)[1])
    try:
        return roster.holder_pid()
    finally:
        roster.close()
