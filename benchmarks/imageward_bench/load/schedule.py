"""When calls are meant to begin: an open loop's arrivals, shared among processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Arrivals = Literal["constant", "poisson", "bursts"]
# h2load looks at its schedule as often, and sends at once what has become due.
BURST_NS = 10_000_000


@dataclass(frozen=True, slots=True)
class Share:
    """Which part of the load a process generates: `number` of `count`, from 0."""

    number: int
    count: int


def arrivals_ns(
    kind: Arrivals, rate_per_s: float, duration_s: float, share: Share, seed: int
) -> NDArray[np.int64]:
    """Return a process's arrivals, in nanoseconds after the start, ascending.

    Constant arrivals are dealt out one by one, so that all processes together are as
    even as one would be. Bursts are those, a hundredth of a second's together. Poisson
    arrivals of a process are independent of the others': their sum is Poisson again.
    """
    if kind != "poisson":
        numbers = np.arange(share.number, int(rate_per_s * duration_s), share.count)
        even = (numbers * (1e9 / rate_per_s)).astype(np.int64)
        return even // BURST_NS * BURST_NS if kind == "bursts" else even
    rng = np.random.default_rng([seed, share.number])
    mean_s = share.count / rate_per_s
    expected = duration_s / mean_s
    # Ten deviations more than expected, so that what is drawn always lasts.
    gaps_s = rng.exponential(mean_s, int(expected + 10 * expected**0.5 + 10))
    times_s = np.cumsum(gaps_s)
    return (times_s[times_s < duration_s] * 1e9).astype(np.int64)
