"""Changes a bank all the time and keeps its size: adds a batch, withdraws the oldest."""

from __future__ import annotations

import threading
from collections import deque
from pathlib import Path

import numpy as np

from imageward_bench.patience import admitted
from imageward_client import Client

BATCH = 1024
BANK = "soak"
LOOK_S = 0.2


class Churn:
    """Adds and withdraws in a thread, and counts how often the segments were swapped.

    Args:
        client: where changes go.
        manifest: the file that names the segments; another one is a swap.
        batches: how many batches the bank holds.
        period_s: seconds between changes.
        seed: of the hashes.
    """

    def __init__(
        self, client: Client, manifest: Path, batches: int, period_s: float, seed: int
    ) -> None:
        self.added = 0
        self.withdrawn = 0
        self.swaps = 0
        self._client = client
        self._manifest = manifest
        self._batches = batches
        self._period_s = period_s
        self._random = np.random.default_rng(seed)
        self._banked: deque[list[str]] = deque()
        self._seen: int | None = None
        self._failure: Exception | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="churn", daemon=True)

    def fill(self) -> None:
        """Make the bank, and fill it to its size."""
        self._client.create_bank(BANK)
        while len(self._banked) < self._batches:
            self._add()

    def start(self) -> None:
        """Change it from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Change it no more; raises what a change raised."""
        self._stopping.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        looks = max(1, round(self._period_s / LOOK_S))
        try:
            while not self._stopping.is_set():
                self._add()
                self._withdraw_oldest()
                for _ in range(looks):
                    self._stopping.wait(self._period_s / looks)
                    self._count_swap()
        except Exception as failure:  # noqa: BLE001 - raised by `stop`
            self._failure = failure

    def _add(self) -> None:
        codes = self._random.integers(0, 256, (BATCH, 32), np.uint8)
        hashes = [code.tobytes() for code in codes]
        answer = admitted(lambda: self._client.add_entries(BANK, hashes=hashes))
        self._banked.append([one.entry_id for one in answer.results if one.entry_id])
        self.added += BATCH

    def _withdraw_oldest(self) -> None:
        gone = self._banked.popleft()
        admitted(lambda: self._client.withdraw_entries(gone))
        self.withdrawn += len(gone)

    def _count_swap(self) -> None:
        """Count another manifest in the place of the last; two between two looks are one."""
        if self._manifest.exists():
            now = self._manifest.stat().st_ino
            self.swaps += now != self._seen
            self._seen = now
