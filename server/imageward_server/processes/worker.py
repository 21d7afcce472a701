"""One worker: a process of `imageward_server.processes.worker`, started by the supervisor.

It reads the store when it is told to, says `loaded`, and serves when it is told to. It ends
when it is asked to (SIGTERM), and with its supervisor, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import signal
import sys
import threading
from typing import Any, BinaryIO

import structlog

from imageward_index.errors import ImagewardError
from imageward_server import logs
from imageward_server.access.certificate_files import InvalidCertificate
from imageward_server.app import Server
from imageward_server.config import Config
from imageward_server.processes.connection_spread import spread_connections
from imageward_server.processes.load_progress import LoadProgress
from imageward_server.processes.processors import keeping_to, processor_of
from imageward_server.processes.worker_link import (
    CHANGED,
    GO,
    LOAD,
    LOADED,
    LOOK,
    RELOAD,
    SERVING,
    Orders,
)
from imageward_server.sight.meters import Meters, NoMeters, PageMeters
from imageward_server.sight.page import PAGE_BYTES

log = structlog.get_logger(__name__)

EXIT_FAILED = 1
_PR_SET_PDEATHSIG = 1


class Worker:
    """Serves as the supervisor says.

    Args:
        orders: which worker it is, and the configuration.
        incoming: the supervisor's words.
        outgoing: what the supervisor reads.
    """

    def __init__(self, orders: Orders, incoming: BinaryIO, outgoing: BinaryIO) -> None:
        self._number = orders.number
        self._config = Config(**orders.config)
        self._meters = _open_meters(orders)
        self._incoming = incoming
        self._outgoing = outgoing
        self._writing = threading.Lock()
        self._may_load = threading.Event()
        self._may_serve = threading.Event()
        self._server: Server | None = None

    def run(self) -> None:
        """Load, serve and drain; returns when all is done.

        Raises:
            ImagewardError: the store cannot be used.
            OSError: the store cannot be opened, or the address not bound.
        """
        threading.Thread(target=self._listen_to_supervisor, name="link", daemon=True).start()
        self._may_load.wait()
        processor = self._processor()
        with keeping_to(processor):
            server = Server(
                self._config,
                share_port=True,
                announce=lambda: self._say(CHANGED),
                on_replaced=_end_for_a_successor,
                meters=self._meters,
            )
        self._server = server
        server.reload(self._config)  # which may have been replaced meanwhile
        logged = self._config.log_format == "json"
        server.load(LoadProgress(f"worker {self._number}", logged=logged))
        self._say(LOADED)
        self._may_serve.wait()
        terms = _hear_terms()
        with keeping_to(processor):
            server.listen()
        spread = spread_connections(server.port, self._config.workers)
        log.info("listening", port=server.port, spread=spread, processor=processor)
        server.serve()
        self._say(SERVING)
        os.read(terms, 1)
        threading.Thread(target=_hasten_at_another, args=(server, terms), daemon=True).start()
        server.stop()

    def _processor(self) -> int | None:
        config = self._config
        return processor_of(self._number, config.workers) if config.pin_workers else None

    def _say(self, word: bytes) -> None:
        # A supervisor that is gone ends this process in a moment; nothing is to be said.
        with self._writing, contextlib.suppress(BrokenPipeError):
            self._outgoing.write(word + b"\n")

    def _reload(self, changed: dict[str, Any]) -> None:
        self._config = Config(**(self._config.model_dump() | changed))
        if self._server is not None:
            self._server.reload(self._config)
            if self._number == 1:  # one row for all workers, written while the others listen
                threading.Thread(target=self._server.audit_reload, daemon=True).start()
        log.info("access replaced", credentials=len(self._config.credentials))

    def _listen_to_supervisor(self) -> None:
        for line in self._incoming:
            word, _, rest = line.strip().partition(b" ")
            if word == LOAD:
                self._may_load.set()
            elif word == GO:
                self._may_serve.set()
            elif word == RELOAD:
                self._reload(json.loads(rest))
            elif word == LOOK and self._server is not None:
                self._server.look()
        end_with_supervisor()


def _open_meters(orders: Orders) -> Meters:
    """Count into the memory that the supervisor reads, if it does."""
    if orders.page is None:
        return NoMeters()
    memory = mmap.mmap(orders.page, PAGE_BYTES)
    os.close(orders.page)
    return PageMeters(memory, orders.number)


def _hear_terms() -> int:
    """Take SIGTERM from now on; return a pipe that has a byte for each.

    A handler would not do. The kernel may give the signal to a thread of gRPC's, and then
    nothing wakes the main thread to run a handler in; and what a handler interrupts may
    hold the lock that it needs.
    """
    heard, told = os.pipe()
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda *_: None)
    return heard


def _hasten_at_another(server: Server, terms: int) -> None:
    os.read(terms, 1)
    server.hasten()


def end_with_supervisor() -> None:
    """End at once, as a worker does whose supervisor is gone: nobody would ever stop it."""
    os.kill(os.getpid(), signal.SIGKILL)


def _end_for_a_successor() -> None:
    """End at once: the supervisor starts another worker, which loads the store that is there."""
    os._exit(EXIT_FAILED)


def tie_to_supervisor() -> None:
    """Let the kernel end this process with its supervisor, even while Python is stuck.

    Other systems than Linux have no such call; there the end of the pipe has to do.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """Keep the pipes to the supervisor from whatever prints, and from child processes."""
    incoming = os.fdopen(os.dup(0), "rb", buffering=0)
    outgoing = os.fdopen(os.dup(1), "wb", buffering=0)
    # A change is acknowledged even if the supervisor does not read that there was one.
    os.set_blocking(outgoing.fileno(), False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return incoming, outgoing


def main() -> None:
    """Be a worker until told otherwise."""
    tie_to_supervisor()
    incoming, outgoing = _take_standard_streams()
    line = incoming.readline()
    if not line:
        end_with_supervisor()
    orders = Orders.read(line)
    logs.configure(orders.config["log_format"], orders.config["log_level"], worker=orders.number)
    try:
        Worker(orders, incoming, outgoing).run()
    except (ImagewardError, InvalidCertificate, OSError) as error:
        print(f"imageward-server: {error}", file=sys.stderr)  # noqa: T201 - the start's last words
        sys.exit(EXIT_FAILED)
    # Everything is closed. Taking the interpreter apart takes a second more, in which a
    # restart waits.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
