"""One server process: builds the parts, starts them in order, stops them in order.

Start: read the store -> listen -> SERVING. Who listens first says NOT_SERVING meanwhile.
Stop: say NOT_SERVING -> answer until balancers noticed -> refuse what is new and
finish what runs -> close the store.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import structlog
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from imageward.v1 import bank_pb2_grpc, case_pb2_grpc, match_pb2_grpc
from imageward_index.errors import ImagewardError
from imageward_server.access import Access
from imageward_server.access.certificate_files import certificate_files
from imageward_server.access.tls import ServerTls
from imageward_server.admission import Admission
from imageward_server.audit.checkpointer import Checkpointer
from imageward_server.audit.evidence import write_checkpoint
from imageward_server.audit.keys import load_keys
from imageward_server.audit.row import SERVER, Checkpoint
from imageward_server.cage.cage import Cage
from imageward_server.calls import transport
from imageward_server.calls.interceptor import CallInterceptor
from imageward_server.config import Config
from imageward_server.eraser import Eraser
from imageward_server.errors import StoreUnavailable
from imageward_server.hasher import Hasher
from imageward_server.intake.opening import open_intake
from imageward_server.keys.vault import find_vault
from imageward_server.lifecycle import SERVICES, Lifecycle
from imageward_server.replica import Progress, Replica
from imageward_server.services.bank import BankService
from imageward_server.services.case import CaseService
from imageward_server.services.match import MatchService
from imageward_server.sight.health_port import HealthPort
from imageward_server.sight.meters import Meters, NoMeters, PageMeters
from imageward_server.sight.sampler import Sampler
from imageward_server.sight.tracing import open_spans
from imageward_server.store import Store
from imageward_server.store.engine import check_file, store_url

log = structlog.get_logger(__name__)

# A search lets go of the GIL several times, and waits for it this long each time while
# another thread computes in Python: at the default of 5 ms it waits 20. Each thread that waits
# wakes up as often: at 0.5 ms two workers on two processors, not pinned, served 2,289 checks
# a second, at 2 ms 3,330, at 5 ms 3,087.
SWITCH_S = 0.002


class Server:
    """A server on one port.

    Args:
        config: how it is set up.
        hasher: what opens images; a cage of processes if None.
        share_port: let other processes of this user listen on the same port.
        announce: called when this process has changed the store, to tell the others.
        meters: what is counted into; nothing is counted without them.
        on_replaced: called when the store is not the one that was loaded any more; from
            then on every call is refused.
    """

    def __init__(
        self,
        config: Config,
        hasher: Hasher | None = None,
        *,
        share_port: bool = False,
        announce: Callable[[], None] = lambda: None,
        meters: Meters | None = None,
        on_replaced: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._meters = meters or NoMeters()
        self._spans = open_spans(config.traces_endpoint, config.traces_share)
        self._hasher = hasher or Cage(
            config.cage_cells or config.compute_threads, config.cage_slow_cells
        )
        self._lifecycle = Lifecycle()
        self._access = Access(config.access_rules)
        self._store = open_store(config)
        self._replica = Replica(
            self._store,
            config.data_dir,
            config.feed_poll_s,
            announce,
            config.seal_codes or None,
            self._abandon,
        )
        self._on_replaced = on_replaced
        self._checkpointer = Checkpointer(self._store)
        self._eraser = Eraser(self._store, self._replica, config.erase_every_s)
        self._admission = _open_admission(config)
        self._interceptor = CallInterceptor(
            self._lifecycle,
            self._admission,
            self._access,
            config.deadline_s,
            self._meters,
            self._spans,
        )
        self._sampler = (
            Sampler(self._meters, self._replica, self._admission.gate, self._hasher)
            if isinstance(self._meters, PageMeters)
            else None
        )
        self._grpc = self._build(share_port=share_port)
        self._hastened = threading.Event()
        self.health_port: HealthPort | None = None
        self.port = 0

    def start(self, report: Progress) -> None:
        """Listen, read the store, and take calls from then on.

        Args:
            report: told what is done, how much of it and of how much, now and then.
        """
        self.listen()
        self.load(report)
        self.serve()

    def listen(self) -> None:
        """Answer connections on the configured address; `port` says where that is.

        Raises:
            OSError: the address cannot be bound.
            InvalidConfig: there is neither TLS nor leave to do without.
            InvalidCertificate: a file of TLS cannot be used.
        """
        self._config.require_transport()
        try:
            self.port = self._bind()
        except RuntimeError as error:  # all that gRPC says of any failure
            raise OSError(
                f"cannot listen on {self._config.listen}; is another server there?"
            ) from error
        self._grpc.start()
        if self._config.health_listen:
            self.health_port = HealthPort(self._lifecycle.health, self._config.health_listen)
            log.info("probes answered", port=self.health_port.port)

    def load(self, report: Progress) -> None:
        """Read the store, and follow its changes from then on.

        Args:
            report: told what is done, how much of it and of how much, now and then.
        """
        sys.setswitchinterval(SWITCH_S)
        begun = time.perf_counter()
        report("starting the decoder", 0, 1)
        self._hasher.start()
        report("starting the decoder", 1, 1)
        self._replica.load(report)
        self._replica.follow()
        self._checkpointer.start()
        self._eraser.start()
        # What is here now stays: the collector need not walk through it again and again.
        gc.collect()
        gc.freeze()
        log.info(
            "loaded",
            revision=self._replica.revision,
            entries=len(self._replica.hashes),
            regional_codes=len(self._replica.codes),
            load_s=round(time.perf_counter() - begun, 3),
        )

    def serve(self) -> None:
        """Take calls from now on."""
        if self._sampler:
            self._sampler.start()
        self._lifecycle.serve()
        log.info("serving", port=self.port)

    def reload(self, config: Config) -> None:
        """Take from a configuration what may change while the server runs."""
        self._access.replace(config.access_rules)
        self._admission.rates.calls_per_s = config.caller_calls_per_s

    def audit_reload(self) -> None:
        """Write to the audit that the configuration was read again."""
        try:
            self._store.audit(SERVER, "reload")
        except ImagewardError:
            # What was reloaded holds: a credential that was revoked must not wait for this.
            log.exception("reload not audited")

    def look(self) -> None:
        """Look for changes by other processes now, and not at the next poll."""
        self._replica.look()

    def hasten(self) -> None:
        """Let a `stop` that is under way wait for nothing any more."""
        self._hastened.set()
        self._grpc.stop(0)

    def stop(self) -> None:
        """Finish what runs and close everything; returns when it is done."""
        log.info("draining", notice_s=self._config.notice_s, grace_s=self._config.grace_s)
        self._lifecycle.announce_drain()
        self._hastened.wait(self._config.notice_s)
        self._lifecycle.drain()
        self._grpc.stop(0 if self._hastened.is_set() else self._config.grace_s).wait()
        if self.health_port:
            self.health_port.close()
        self._interceptor.close()
        if self._sampler:
            self._sampler.stop()
        self._hasher.close()
        self._eraser.stop()
        self._replica.stop()
        self._checkpointer.stop()
        self._store.close()
        self._spans.close()
        log.info("stopped")

    def _bind(self) -> int:
        config = self._config
        if not config.has_tls:
            return self._grpc.add_insecure_port(config.listen)
        tls = ServerTls(certificate_files(config))
        return self._grpc.add_secure_port(config.listen, tls.credentials())

    def _abandon(self) -> None:
        """Answer nothing more from a store that is gone."""
        self._lifecycle.announce_drain()
        self._lifecycle.drain()
        self._on_replaced()

    def _build(self, *, share_port: bool) -> grpc.Server:
        config = self._config
        server = grpc.server(
            ThreadPoolExecutor(config.call_threads, "call"),
            interceptors=[self._interceptor],
            options=[
                *transport.options(
                    connections_max=config.connections_max,
                    age_s=config.connection_age_s,
                    grace_s=config.connection_grace_s,
                    idle_s=config.connection_idle_s,
                ),
                ("grpc.so_reuseport", int(share_port)),
            ],
        )
        place = self._spans.place(self._admission.place)
        hasher = self._spans.hasher(self._hasher)
        match_pb2_grpc.add_MatchServiceServicer_to_server(
            MatchService(
                self._replica, hasher, config.surfaces, place, self._meters, self._spans.search
            ),
            server,
        )
        bank_pb2_grpc.add_BankServiceServicer_to_server(
            BankService(
                self._store,
                self._replica,
                hasher,
                config.surfaces,
                place,
                self._meters,
                self._spans.search,
            ),
            server,
        )
        intake = open_intake(config, self._store, hasher)
        case_pb2_grpc.add_CaseServiceServicer_to_server(CaseService(intake, place), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._lifecycle.health, server)
        health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
        reflection.enable_server_reflection(
            (*SERVICES, health_name, reflection.SERVICE_NAME), server
        )
        return server


def _open_admission(config: Config) -> Admission:
    return Admission(
        calls_max=config.call_threads,
        # An image that takes long keeps its place, and must leave the others theirs.
        places=config.compute_threads + config.cage_slow_cells,
        streams_max=config.streams_max,
        held_bytes_max=config.held_bytes_max,
        caller_calls_per_s=config.caller_calls_per_s,
    )


def open_store(config: Config, clock: Callable[[], float] = time.time) -> Store:
    """Open the store of a configuration, upgraded to this version's tables.

    Raises:
        StoreIncompatible: a newer version wrote it.
        DataCorrupt: it is damaged, or its audit was written with another key.
        InvalidKey: what is named as the audit's key, or the store's, is none.
        KeysUnusable: the store's keys do not fit it.
        OSError: it cannot be opened.
    """
    # Hashes are personal data: nobody but the server's own user may read them.
    config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.umask(0o077)
    if not config.store_url:
        check_file(config.data_dir)
    keys = load_keys(config.audit_key_file, config.data_dir)
    store = Store(
        store_url(config.data_dir, config.store_url),
        clock,
        keys,
        _log_checkpoint,
        vault=find_vault(config),
        erase_after_s=config.erase_after_h * 3600,
    )
    try:
        store.open()
    except StoreUnavailable as error:
        raise OSError(f"the store cannot be opened: {error.__cause__ or error}") from error
    return store


def _log_checkpoint(made: Checkpoint) -> None:
    # Whoever keeps the log elsewhere can tell later whether rows are missing.
    log.info("audit checkpoint", checkpoint=write_checkpoint(made))
