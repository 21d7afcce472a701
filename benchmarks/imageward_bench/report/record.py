"""A benchmark's record: what was measured, how often, on what, by which command.

It is JSON with the same five fields for every benchmark, so that any two records of
one benchmark can be compared without knowing what they measured.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Better = Literal["higher", "lower"]


class UnreadableRecord(Exception):
    """A file is not a record of a benchmark; the message says why."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One measured quantity.

    Attributes:
        name: what it is, unique in its record.
        unit: of the values.
        better: which way is an improvement.
        values: one a repetition.
    """

    name: str
    unit: str
    better: Better
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the repetitions."""
        return statistics.median(self.values)


@dataclass(frozen=True, slots=True)
class Record:
    """What one run of a benchmark found out.

    Attributes:
        benchmark: the subcommand's name.
        settings: what it was run with, the seed among it.
        measures: what can be compared with another run.
        details: whatever else there is to know.
        machine: where, when, with which versions and command, as `machine.describe` tells.
    """

    benchmark: str
    settings: Mapping[str, Any]
    measures: tuple[Measure, ...]
    details: Mapping[str, Any]
    machine: Mapping[str, Any]

    def measure(self, name: str) -> Measure:
        """Return a measure by its name, which must exist."""
        return next(one for one in self.measures if one.name == name)

    def write(self, path: Path) -> None:
        """Write the record as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, default=str) + "\n")


def read_record(path: Path) -> Record:
    """Read a record back.

    Raises:
        UnreadableRecord: it cannot be read, or is none.
    """
    try:
        told = json.loads(path.read_text())
        measures = tuple(
            Measure(one["name"], one["unit"], one["better"], tuple(one["values"]))
            for one in told.pop("measures")
        )
        return Record(measures=measures, **told)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableRecord(f"{path.name} is not a benchmark's record: {error!r}") from error
