"""A plain gRPC echo: what the transport alone allows, beside which servers are measured.

Its processes share a port and keep to processors as workers of imageward-server do. Run as a
process of its own: `python -m imageward_bench.echo_server PROCESSES`.
"""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import grpc

from imageward_server.processes.processors import keeping_to, processor_of

SERVICE = "imageward.bench.Echo"
# As imageward-server has them by default.
THREADS = 16
STOP_S_MAX = 10.0


@contextmanager
def echo_server(processes: int) -> Iterator[tuple[str, int]]:
    """Run the echo on loopback; yield its target and its process id."""
    command = [sys.executable, "-m", "imageward_bench.echo_server", str(processes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"127.0.0.1:{int(process.stdout.readline())}", process.pid
        finally:
            process.terminate()
            process.wait(STOP_S_MAX)


def _serve(port: int, number: int, processes: int) -> tuple[grpc.Server, int]:
    """Listen on a port that other processes may share; 0 takes a free one."""
    handler: grpc.RpcMethodHandler[bytes, bytes]
    handler = grpc.unary_unary_rpc_method_handler(lambda message, _context: message)
    methods = grpc.method_handlers_generic_handler(SERVICE, {"Echo": handler})
    with keeping_to(processor_of(number, processes)):
        server = grpc.server(ThreadPoolExecutor(THREADS), options=[("grpc.so_reuseport", 1)])
        server.add_generic_rpc_handlers((methods,))
        port = server.add_insecure_port(f"127.0.0.1:{port}")
        server.start()
    return server, port


def _serve_beside(port: int, number: int, processes: int) -> None:
    _serve(port, number, processes)[0].wait_for_termination()


def main(processes: int) -> None:
    """Serve until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    server, port = _serve(0, 1, processes)
    context = multiprocessing.get_context("spawn")
    others = [
        context.Process(target=_serve_beside, args=(port, number, processes))
        for number in range(2, processes + 1)
    ]
    for other in others:
        other.start()
    print(port, flush=True)
    stopping.wait()
    for other in others:
        other.terminate()
    server.stop(None).wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
