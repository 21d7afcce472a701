"""What supervisor and workers say to each other: lines over two pipes.

The supervisor writes to a worker's stdin: first its orders, as JSON, then words. A worker
writes words to its stdout. Both ends know by the end of a pipe that the other is gone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

# To the supervisor.
LOADED = b"loaded"  # the store is read, and no connection is taken yet
SERVING = b"serving"
CHANGED = b"changed"  # the store has a change that the others may not have seen
# To a worker.
LOAD = b"load"  # open and read the store
GO = b"go"  # listen and serve
LOOK = b"look"  # another worker has changed the store
RELOAD = b"reload"  # before a blank and settings as JSON: take these from now on


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker is told first.

    Attributes:
        number: which worker it is, 1 or more; its successor has the same.
        config: the settings by name, as JSON can hold them.
        page: descriptor of the memory to count into; None where nobody looks.
    """

    number: int
    config: dict[str, Any]
    page: int | None = None

    def line(self) -> bytes:
        """Write them as one line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def read(cls, line: bytes) -> Orders:
        """Read what `line` wrote."""
        return cls(**json.loads(line))
