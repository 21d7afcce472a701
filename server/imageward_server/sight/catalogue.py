"""Every metric there is: its name, kind, labels and meaning. OPERATIONS.md has the same list."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class Kind(enum.StrEnum):
    """What becomes of a number when its process ends, and how it is shown."""

    COUNTER = "counter"
    """Only rises; a process that ended leaves it to the sum."""
    HISTOGRAM = "histogram"
    """Counts by size, and their sum; a process that ended leaves them, too."""
    GAUGE = "gauge"
    """How something stands; gone with its process."""
    AGE = "age"
    """A moment of `time.monotonic`, shown as a gauge of seconds since; gone with its process."""


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Attributes:
        name: as Prometheus knows it.
        kind: what it is.
        meaning: one line for people.
        labels: names of its labels.
        buckets: of a histogram, the upper ends of its classes, rising, without infinity.
    """

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


HANDLING_BUCKETS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)

_METHOD: Final = ("grpc_type", "grpc_service", "grpc_method")

STARTED = Family("grpc_server_started_total", Kind.COUNTER, "Calls begun", _METHOD)
HANDLED = Family(
    "grpc_server_handled_total", Kind.COUNTER, "Calls ended, by status", (*_METHOD, "grpc_code")
)
RECEIVED = Family("grpc_server_msg_received_total", Kind.COUNTER, "Messages received", _METHOD)
SENT = Family("grpc_server_msg_sent_total", Kind.COUNTER, "Messages sent", _METHOD)
HANDLING = Family(
    "grpc_server_handling_seconds",
    Kind.HISTOGRAM,
    "From a call's headers to its status; a stream's whole life",
    _METHOD,
    HANDLING_BUCKETS,
)
CHECKS = Family(
    "imageward_checks_total",
    Kind.COUNTER,
    "Images and hashes checked, by verdict, the pass that found it, and how much has looked",
    ("verdict", "found_by", "completeness"),
)
DECODE_REJECTIONS = Family(
    "imageward_decode_rejections_total", Kind.COUNTER, "Images that were not decoded", ("reason",)
)
ADMISSION_REJECTIONS = Family(
    "imageward_admission_rejections_total",
    Kind.COUNTER,
    "Calls, and questions of streams, that were not let in",
    ("reason",),
)
REVISION = Family(
    "imageward_revision", Kind.GAUGE, "Last change that a worker's searches see", ("worker",)
)
FEED_LAG = Family(
    "imageward_feed_lag_seconds",
    Kind.AGE,
    "Since a worker last knew that it has every change of the store",
    ("worker",),
)
INDEX_AGE = Family(
    "imageward_index_age_seconds",
    Kind.AGE,
    "Since a change was last applied to a worker's indexes",
    ("worker",),
)
INDEX_CODES = Family(
    "imageward_index_codes", Kind.GAUGE, "Codes that searches can find", ("worker", "index")
)
INDEX_SEGMENTS = Family(
    "imageward_index_segments", Kind.GAUGE, "Sealed segments", ("worker", "index")
)
TAIL_CODES = Family(
    "imageward_index_tail_codes", Kind.GAUGE, "Codes that are not sealed yet", ("worker", "index")
)
WAITING = Family(
    "imageward_admission_waiting", Kind.GAUGE, "Calls that wait for a place", ("worker",)
)
RETIREMENTS = Family(
    "imageward_cage_retirements_total", Kind.COUNTER, "Decoder cells ended, by reason", ("reason",)
)
CELL_MEMORY = Family(
    "imageward_cage_cell_memory_max_bytes",
    Kind.GAUGE,
    "The most that a decoder cell held, of those that were ended",
    ("worker",),
)
CPU = Family(
    "imageward_worker_cpu_seconds_total", Kind.COUNTER, "Processor time of a worker", ("worker",)
)
MEMORY = Family(
    "imageward_worker_resident_bytes",
    Kind.GAUGE,
    "Memory of a worker; what it maps together with others counts in each",
    ("worker",),
)

DEATHS = Family(
    "imageward_worker_deaths_total",
    Kind.COUNTER,
    "Workers that died and were replaced",
    ("worker",),
)
WORKERS = Family("imageward_workers", Kind.GAUGE, "Workers, by how far they are", ("stage",))
BUILD = Family(
    "imageward_build_info", Kind.GAUGE, "Always 1; the labels tell what runs", ("version", "python")
)

INTAKE_WAITING = Family("imageward_intake_waiting", Kind.GAUGE, "Pictures that wait for a reviewer")
INTAKE_ALARMED = Family(
    "imageward_intake_alarmed", Kind.GAUGE, "Pictures undecided after so many hours", ("hours",)
)
INTAKE_OLDEST_WAIT = Family(
    "imageward_intake_oldest_wait_seconds",
    Kind.GAUGE,
    "How long the oldest waiting picture has waited",
)
INTAKE_HELD = Family("imageward_intake_held", Kind.GAUGE, "Pictures that are not deleted")
INTAKE_OVERDUE = Family(
    "imageward_intake_overdue", Kind.GAUGE, "Pictures older than seven days; always 0"
)
INTAKE_UNSENT = Family(
    "imageward_intake_unsent_mail", Kind.GAUGE, "Mails that were tried and not taken"
)
INTAKE_DRIFT = Family(
    "imageward_intake_clock_drift_seconds",
    Kind.GAUGE,
    "How far the wall clock is ahead of the intake's",
)
INTAKE_ROUND = Family(
    "imageward_intake_round_timestamp_seconds", Kind.GAUGE, "When the job went its last round"
)

FAMILIES: Final = {
    family.name: family for family in tuple(globals().values()) if isinstance(family, Family)
}
