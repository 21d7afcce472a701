"""What one process saw of each of its calls: columns, one row a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imageward_bench.load.connection import STATUS_OK

STATUS_DEADLINE_EXCEEDED = 4
# Not one of gRPC's: a refusal as the answer to one message of a stream.
STATUS_REFUSAL = 17


@dataclass(frozen=True, slots=True)
class Samples:
    """Calls of one step, by their intended time.

    Attributes:
        kinds: names that `kind` counts through.
        intended_ns: int64 (n,), when the call was meant to begin, after the step's start.
        lag_ns: int64 (n,), how much later it was begun.
        latency_ns: int64 (n,), from the intended time to the answer.
        kind: uint8 (n,), which call it was.
        status: uint8 (n,), gRPC's number.
        wrong: bool (n,), answered OK, and not as it must be.
        cpu_share: of each process, the processor time it took a second of the step.
        failures: what was said with the first answers that were not OK.
    """

    kinds: tuple[str, ...]
    intended_ns: NDArray[np.int64]
    lag_ns: NDArray[np.int64]
    latency_ns: NDArray[np.int64]
    kind: NDArray[np.uint8]
    status: NDArray[np.uint8]
    wrong: NDArray[np.bool_]
    cpu_share: tuple[float, ...]
    failures: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.intended_ns)

    @property
    def ok(self) -> NDArray[np.bool_]:
        """Which calls were answered OK."""
        return np.equal(self.status, STATUS_OK)

    @property
    def timed(self) -> NDArray[np.bool_]:
        """Which calls tell a latency: those answered OK, and those that ran out of time.

        A call that is refused at once is not a fast one.
        """
        return np.logical_or(self.ok, np.equal(self.status, STATUS_DEADLINE_EXCEEDED))

    def where(self, chosen: NDArray[np.bool_]) -> Samples:
        """Return only some of the rows."""
        return Samples(
            self.kinds,
            self.intended_ns[chosen],
            self.lag_ns[chosen],
            self.latency_ns[chosen],
            self.kind[chosen],
            self.status[chosen],
            self.wrong[chosen],
            self.cpu_share,
            self.failures,
        )


def joined(parts: Sequence[Samples]) -> Samples:
    """Return the samples of several processes, or of several steps, as one."""
    return Samples(
        parts[0].kinds,
        np.concatenate([part.intended_ns for part in parts]),
        np.concatenate([part.lag_ns for part in parts]),
        np.concatenate([part.latency_ns for part in parts]),
        np.concatenate([part.kind for part in parts]),
        np.concatenate([part.status for part in parts]),
        np.concatenate([part.wrong for part in parts]),
        tuple(share for part in parts for share in part.cpu_share),
        tuple(dict.fromkeys(said for part in parts for said in part.failures)),
    )
