"""Runs a step several times and sums up each: what every load benchmark is made of."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, replace
from typing import NamedTuple

from imageward_bench.load.driver import Step
from imageward_bench.load.figures import Figures, Resources, Used, figures_of
from imageward_bench.load.processes import LEAD_S, Generators
from imageward_bench.load.samples import Samples
from imageward_bench.load.server_metrics import WorkersUse, scrape
from imageward_bench.process_tree import Usage, look, machine_time

# A generator that is busier than this may be what is measured.
GENERATOR_CPU_MAX = 0.7
# A generator that is later than this with one call in a hundred is doubted.
LAG_MS_MAX = 1.0
# Cores that other processes, or other machines, may take before the figures are doubted: with
# 0.12 of two stolen, the slowest of a hundred checks took three times as long as with none.
OTHERS_CPU_MAX = 0.05


@dataclass(frozen=True, slots=True)
class Repetition:
    """One run of a step: its calls after the warm-up, and what they come to."""

    samples: Samples
    figures: Figures
    window_s: tuple[float, float]


def measure(
    generators: Generators,
    step: Step,
    warmup_s: float,
    items: tuple[int, ...],
    pid: int | None,
    metrics_url: str = "",
) -> Repetition:
    """Run a step after a warm-up that is thrown away.

    Args:
        generators: who sends.
        step: what is measured; the warm-up comes on top of its time.
        warmup_s: how long calls are not counted at first.
        items: hashes or images a call, by kind.
        pid: the server's process, where it is on this machine.
        metrics_url: of the server's metrics, which then tell what it used; empty: `/proc` does.

    Raises:
        OSError: the metrics cannot be read.
        RuntimeError: they show no worker.
    """
    whole = replace(step, duration_s=step.duration_s + warmup_s)
    watch = _Watch(pid, metrics_url, warmup_s + LEAD_S, step.duration_s)
    samples = generators.run(whole, watch.start)
    window_s = (warmup_s, whole.duration_s)
    return Repetition(samples, figures_of(samples, items, window_s, watch.used()), window_s)


class Doubt(NamedTuple):
    """A reason not to trust figures.

    Attributes:
        kind: the same for the same reason.
        amount: how much of it; more is worse.
        said: in words.
    """

    kind: str
    amount: float
    said: str


def doubts_of(figures: Figures) -> list[Doubt]:
    """Find what makes the figures doubtful."""
    found = []
    if figures.generator_cpu > GENERATOR_CPU_MAX:
        said = (
            f"the generator took {figures.generator_cpu:.0%} of a core: it may be what is "
            "measured; use more --processes, or another machine"
        )
        found.append(Doubt("generator", figures.generator_cpu, said))
    if figures.lag_ms_p99 > LAG_MS_MAX:
        said = (
            f"1 call in 100 was begun {figures.lag_ms_p99:.1f} ms late or more, which counts as "
            "latency: generator and server share too few cores"
        )
        found.append(Doubt("late", figures.lag_ms_p99, said))
    if figures.others_cpu > OTHERS_CPU_MAX:
        said = (
            f"other processes took {figures.others_cpu:.2f} cores of this machine meanwhile: "
            "the figures are lower than on a quiet one"
        )
        found.append(Doubt("others", figures.others_cpu, said))
    if figures.stolen_cpu > OTHERS_CPU_MAX:
        said = (
            f"the hypervisor gave {figures.stolen_cpu:.2f} cores of this machine to others "
            "meanwhile: the figures are lower than on one by itself"
        )
        found.append(Doubt("stolen", figures.stolen_cpu, said))
    if figures.wrong:
        said = f"{figures.wrong} answers were not as they must be"
        found.append(Doubt("wrong", figures.wrong, said))
    return found


def warnings_of(figures: Figures) -> list[str]:
    """Say what makes the figures doubtful."""
    return [doubt.said for doubt in doubts_of(figures)]


def is_disturbed(figures: Figures) -> bool:
    """Say whether others took so much of the machine that another run would tell more."""
    return max(figures.others_cpu, figures.stolen_cpu) > OTHERS_CPU_MAX


class _Watch:
    """Looks at the machine and the server when the measured time begins and when it ends."""

    def __init__(self, pid: int | None, metrics_url: str, delay_s: float, span_s: float) -> None:
        self._metrics_url = metrics_url
        self._failure: OSError | RuntimeError | None = None
        self._pid, self._delay_s, self._span_s = pid, delay_s, span_s
        # A server that this command started is one of its own processes too.
        self._ours = (os.getpid(), *([] if pid is None else [pid]))
        self._thread = threading.Thread(target=self._try, name="watch", daemon=True)
        self._used = Used()

    def start(self) -> None:
        """Begin to wait for the measured time."""
        self._thread.start()

    def used(self) -> Used:
        """Return what was used, once the time is over."""
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return self._used

    def _try(self) -> None:
        """Keep a failure for the one who asks: nobody sees what a thread raises."""
        try:
            self._watch()
        except (OSError, RuntimeError) as error:
            self._failure = error

    def _watch(self) -> None:
        time.sleep(self._delay_s)
        begun, machine, ours = time.monotonic(), machine_time(), look(*self._ours)
        before = self._look()
        time.sleep(self._span_s)
        span_s = time.monotonic() - begun
        cores = machine_time().cores_since(machine, span_s)
        others = cores.busy_s - look(*self._ours).cpu_since(ours) / span_s
        self._used = Used(
            _between(before, self._look(), span_s),
            # Two clocks are compared, and ticks do not add up to the last digit.
            round(max(0.0, others), 3),
            cores.stolen_s,
        )

    def _look(self) -> Usage | WorkersUse | None:
        if self._metrics_url:
            return scrape(self._metrics_url)
        return None if self._pid is None else look(self._pid)


def _between(
    before: Usage | WorkersUse | None, now: Usage | WorkersUse | None, span_s: float
) -> Resources:
    """Return what was used between two looks of one kind."""
    if isinstance(before, WorkersUse) and isinstance(now, WorkersUse):
        cores = (now.cpu_s - before.cpu_s) / span_s
        return Resources(cores, now.memory_bytes, processes=now.workers)
    if isinstance(before, Usage) and isinstance(now, Usage):
        cores = now.cpu_since(before) / span_s
        return Resources(cores, now.memory_bytes, now.own_bytes, len(now.cpu_s))
    return Resources()
