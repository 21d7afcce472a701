"""Runs a step several times and sums up each: what every load benchmark is made of."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

from imageward_bench import process_tree
from imageward_bench.load.driver import Step
from imageward_bench.load.figures import Figures, Resources, figures_of
from imageward_bench.load.processes import LEAD_S, Generators
from imageward_bench.load.samples import Samples

# A generator that is busier than this may be what is measured.
GENERATOR_CPU_MAX = 0.7
# Part of the calls that may be late to begin before the generator is doubted.
LAG_MS_MAX = 1.0


@dataclass(frozen=True, slots=True)
class Repetition:
    """One run of a step: its calls after the warm-up, and what they come to."""

    samples: Samples
    figures: Figures
    window_s: tuple[float, float]


def measure(
    generators: Generators, step: Step, warmup_s: float, items: tuple[int, ...], pid: int | None
) -> Repetition:
    """Run a step after a warm-up that is thrown away.

    Args:
        generators: who sends.
        step: what is measured; the warm-up comes on top of its time.
        warmup_s: how long calls are not counted at first.
        items: hashes or images a call, by kind.
        pid: the server's process, where it is on this machine.
    """
    whole = replace(step, duration_s=step.duration_s + warmup_s)
    watch = _Watch(pid, warmup_s + LEAD_S, step.duration_s)
    samples = generators.run(whole, watch.start)
    window_s = (warmup_s, whole.duration_s)
    return Repetition(samples, figures_of(samples, items, window_s, watch.resources()), window_s)


def warnings_of(figures: Figures) -> list[str]:
    """Say what makes the figures doubtful."""
    found = []
    if figures.generator_cpu > GENERATOR_CPU_MAX:
        found.append(
            f"the generator took {figures.generator_cpu:.0%} of a core: it may be what is "
            "measured; use more --processes, or another machine"
        )
    if figures.lag_ms_p99 > LAG_MS_MAX:
        found.append(
            f"1 call in 100 was begun {figures.lag_ms_p99:.1f} ms late or more, which counts as "
            "latency: generator and server share too few cores"
        )
    if figures.wrong:
        found.append(f"{figures.wrong} answers were not as they must be")
    return found


class _Watch:
    """Looks at the server when the measured time begins and when it ends."""

    def __init__(self, pid: int | None, delay_s: float, span_s: float) -> None:
        self._pid, self._delay_s, self._span_s = pid, delay_s, span_s
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._resources = Resources()

    def start(self) -> None:
        """Begin to wait for the measured time."""
        self._thread.start()

    def resources(self) -> Resources:
        """Return what the server used, once the time is over."""
        self._thread.join()
        return self._resources

    def _look(self) -> None:
        if self._pid is None:
            return
        time.sleep(self._delay_s)
        before, begun = process_tree.look(self._pid), time.monotonic()
        time.sleep(max(0.0, self._span_s - (time.monotonic() - begun)))
        after = process_tree.look(self._pid)
        cores = after.cpu_since(before) / (time.monotonic() - begun)
        self._resources = Resources(cores, after.memory_bytes)
