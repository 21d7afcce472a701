"""A zygote whose cells run batches, and come to grief over files that name how."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable

from imageward_bench.fuzz import batch_zygote
from imageward_bench.fuzz.numbered import Spoiled
from imageward_server.cage import zygote


def spin() -> None:
    """Compute for ever."""
    while True:
        pass


PLANTS: dict[bytes, Callable[[], object]] = {b"ABRT": os.abort, b"FORK": os.fork, b"SPIN": spin}


class PlantedCell(batch_zygote.BatchCell):
    """A cell that does what a file says, before it looks at it."""

    def _execute(self, spoiled: Spoiled) -> str:
        if plant := PLANTS.get(spoiled.data[:4]):
            plant()
        return super()._execute(spoiled)


if __name__ == "__main__":
    zygote.Cell = PlantedCell  # type: ignore[attr-defined]
    zygote.main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
