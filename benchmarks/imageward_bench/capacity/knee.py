"""Finds the highest rate that holds an objective: a ladder of rates, then bisection.

Knows no server: it is given a function that measures a rate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imageward_bench.load.figures import Figures, median_of

# Shares of what the closed loop reached: enough of them low to show the flat part.
LADDER = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85, 1.0, 1.2)
REFINEMENTS = 3
# Below the ladder's first rung, halved this often before the search is given up.
HALVINGS = 3
# Of what was offered at least this share must have been answered.
ACHIEVED_MIN = 0.98


@dataclass(frozen=True, slots=True)
class Objective:
    """What callers are promised."""

    p99_ms: float
    errors_share: float

    def __str__(self) -> str:
        return f"p99 {self.p99_ms:g} ms, errors {self.errors_share:.2%}"


@dataclass(frozen=True, slots=True)
class Point:
    """What a rate led to.

    Attributes:
        rate_per_s: calls a second that were offered.
        repetitions: what each repetition came to.
    """

    rate_per_s: float
    repetitions: tuple[Figures, ...]

    @property
    def median(self) -> Figures:
        """The medians of the repetitions."""
        return median_of(self.repetitions)

    def holds(self, objective: Objective) -> bool:
        """Say whether the medians keep the promise."""
        figures = self.median
        latencies = figures.latency_ms
        # Too few calls to tell the slowest of a hundred: then none may be slower.
        p99_ms = latencies.get("p99", latencies.get("max", float("inf")))
        return (
            p99_ms <= objective.p99_ms
            and figures.errors_share <= objective.errors_share
            and figures.achieved_per_s >= ACHIEVED_MIN * figures.offered_per_s
        )


Measure = Callable[[float], Point]


def explore(measure: Measure, estimate_per_s: float, objective: Objective) -> list[Point]:
    """Measure rates around the knee.

    Args:
        measure: measures one rate.
        estimate_per_s: what a closed loop reached.
        objective: what must hold.

    Returns:
        All points, by rate.
    """
    points = [measure(share * estimate_per_s) for share in LADDER]
    for _ in range(HALVINGS):
        if points[0].holds(objective):
            break
        points.insert(0, measure(points[0].rate_per_s / 2))
    for _ in range(REFINEMENTS):
        held = limit(points, objective)
        over = [one for one in points if held and one.rate_per_s > held.rate_per_s]
        if held is None or not over:
            break
        points.append(measure((held.rate_per_s + over[0].rate_per_s) / 2))
        points.sort(key=lambda point: point.rate_per_s)
    return points


def limit(points: Sequence[Point], objective: Objective) -> Point | None:
    """Return the highest rate that holds, with all lower ones; None where none does.

    One lucky rate beyond the knee is no capacity.
    """
    held = None
    for point in points:
        if not point.holds(objective):
            break
        held = point
    return held
