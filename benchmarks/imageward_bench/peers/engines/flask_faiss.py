"""Flask and FAISS behind gunicorn, as the field's reference service is built.

Workers hold FAISS's multi-index hashing in memory and read it anew when it was built
anew; a change rebuilds all of it. The reference waits up to half a minute before it
does; here it begins at once, and connections stay open, both in the peer's favour.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local

import faiss
import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.uint8]
WORKERS = 2
CALLERS = 8
START_S_MAX = 60.0
STOP_S_MAX = 30.0


class Engine:
    """gunicorn with two workers of four threads each."""

    many = f"{CALLERS} callers at once"
    roots: tuple[int, ...] = ()

    def __init__(self, folder: Path, radius: int) -> None:
        faiss.omp_set_num_threads(1)
        self._file, self._radius = folder / "index.faiss", radius
        self._codes: Codes = np.empty((0, 32), np.uint8)
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._callers = ThreadPoolExecutor(CALLERS)
        self._own = local()

    def build(self, codes: Codes) -> None:
        """Build the index file, then start the service."""
        self._codes = codes.copy()
        self._write()
        command = [sys.executable, "-m", "gunicorn", "--workers", f"{WORKERS}"]
        command += ["--worker-class", "gthread", "--threads", "4", "--keep-alive", "60"]
        command += ["--bind", f"127.0.0.1:{self._port}", "--chdir", str(Path(__file__).parent)]
        command += ["--log-level", "error", "flask_app:app"]
        told = {"PEER_INDEX": str(self._file), "PEER_RADIUS": str(self._radius)}
        self._process = subprocess.Popen(command, env=os.environ | told)
        begun = time.monotonic()
        while time.monotonic() - begun < START_S_MAX:
            try:
                self.search(codes[0])
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("the service did not start")

    def search(self, code: Codes) -> list[int]:
        """Ask over HTTP, on the calling thread's own connection."""
        if not hasattr(self._own, "connection"):
            self._own.connection = http.client.HTTPConnection("127.0.0.1", self._port)
        connection = self._own.connection
        try:
            connection.request("GET", f"/lookup?hash={code.tobytes().hex()}")
            found: list[int] = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException):
            connection.close()
            raise
        return found

    def search_many(self, codes: Codes) -> None:
        """Ask from several threads."""
        list(self._callers.map(self.search, codes))

    def add(self, number: int, code: Codes) -> None:
        """Build all of it anew."""
        assert number == len(self._codes)
        self._codes = np.concatenate([self._codes, code[np.newaxis]])
        self._write()

    def close(self) -> None:
        """Stop the service."""
        self._callers.shutdown()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_S_MAX)

    def _write(self) -> None:
        index = faiss.IndexBinaryMultiHash(256, 16, 16)
        index.add(self._codes)
        partial = self._file.with_suffix(".partial")
        faiss.write_index_binary(index, str(partial))
        partial.replace(self._file)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
