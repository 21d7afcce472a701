"""A server's use as its own metrics tell it, read over HTTP: for one on another machine.

The metrics count workers. Decoder cells and the supervisor are in none of them, and
memory that workers map together counts in each.
"""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

CPU = "imageward_worker_cpu_seconds_total"
MEMORY = "imageward_worker_resident_bytes"
ANSWER_S_MAX = 5.0
ANSWER_BYTES_MAX = 8 << 20


@dataclass(frozen=True, slots=True)
class WorkersUse:
    """What a server's workers have used.

    Attributes:
        cpu_s: processor seconds so far, of all.
        memory_bytes: resident, summed over them.
        workers: how many there are.
    """

    cpu_s: float
    memory_bytes: float
    workers: int


def scrape(url: str) -> WorkersUse:
    """Read the metrics once.

    Args:
        url: of the exposition, such as `http://host:9464/metrics`.

    Raises:
        OSError: nothing answers there in time.
        RuntimeError: what answers shows no worker, or shows too much.
    """
    with urllib.request.urlopen(url, timeout=ANSWER_S_MAX) as answer:  # noqa: S310 - the caller's own server
        told = answer.read(ANSWER_BYTES_MAX + 1)
    if len(told) > ANSWER_BYTES_MAX:
        raise RuntimeError(f"the metrics are over {ANSWER_BYTES_MAX} bytes; is it imageward?")
    return use_of(told.decode())


def use_of(exposition: str) -> WorkersUse:
    """Read an exposition in Prometheus' text format.

    Raises:
        RuntimeError: it shows no worker.
    """
    samples = [
        sample for family in text_string_to_metric_families(exposition) for sample in family.samples
    ]
    cpu_s = [one.value for one in samples if one.name == CPU]
    memory_bytes = [one.value for one in samples if one.name == MEMORY]
    if not cpu_s or not memory_bytes:
        raise RuntimeError(
            f"the metrics hold no {CPU} or no {MEMORY}; give the address of an imageward server"
        )
    return WorkersUse(sum(cpu_s), sum(memory_bytes), len(memory_bytes))
