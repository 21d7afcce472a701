"""A plain gRPC echo: what the transport alone allows, beside which servers are measured.

Run as a process of its own: `python -m imageward_bench.echo_server PROCESSES`.
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


def _serve(port: int) -> tuple[grpc.Server, int]:
    """Listen on a port that other processes may share; 0 takes a free one."""
    server = grpc.server(ThreadPoolExecutor(THREADS), options=[("grpc.so_reuseport", 1)])
    handler: grpc.RpcMethodHandler[bytes, bytes]
    handler = grpc.unary_unary_rpc_method_handler(lambda message, _context: message)
    methods = grpc.method_handlers_generic_handler(SERVICE, {"Echo": handler})
    server.add_generic_rpc_handlers((methods,))
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port


def _serve_beside(port: int) -> None:
    _serve(port)[0].wait_for_termination()


def main(processes: int) -> None:
    """Serve until SIGTERM."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    server, port = _serve(0)
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_serve_beside, args=(port,)) for _ in range(processes - 1)]
    for other in others:
        other.start()
    print(port, flush=True)
    stopping.wait()
    for other in others:
        other.terminate()
    server.stop(None).wait()


if __name__ == "__main__":
    main(int(sys.argv[1]))
