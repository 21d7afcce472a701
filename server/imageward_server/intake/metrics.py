"""The intake's clocks, on a page in the data folder that the server's endpoint shows too.

The intake is a process of its own and asks nobody for a port: whoever scrapes the machine
finds its numbers beside the server's, for as long as this process keeps the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import structlog

from imageward_server.intake.limits import ALARM_HOURS
from imageward_server.intake.steward import Standing
from imageward_server.sight import catalogue
from imageward_server.sight.ledger import INTAKE_PAGE, open_file
from imageward_server.sight.page import Page, Series

log = structlog.get_logger(__name__)

_PLAIN: Final = (
    catalogue.INTAKE_WAITING,
    catalogue.INTAKE_OLDEST_WAIT,
    catalogue.INTAKE_HELD,
    catalogue.INTAKE_OVERDUE,
    catalogue.INTAKE_UNSENT,
    catalogue.INTAKE_DRIFT,
    catalogue.INTAKE_ROUND,
)


class Metrics:
    """What is shown of the job's last round.

    Args:
        data_dir: the data folder, which the server that shows them has too.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / INTAKE_PAGE
        self._page: Page | None = None

    def show(self, standing: Standing, drift_s: float, now_s: float) -> None:
        """Show how the intake stands."""
        page = self._page = self._page or self._open()
        if page is None:
            log.warning("metrics not shown: another intake shows its own")
            return
        for family, number in (
            (catalogue.INTAKE_WAITING, standing.waiting),
            (catalogue.INTAKE_OLDEST_WAIT, standing.oldest_wait_s),
            (catalogue.INTAKE_HELD, standing.held),
            (catalogue.INTAKE_OVERDUE, standing.overdue),
            (catalogue.INTAKE_UNSENT, standing.unsent),
            (catalogue.INTAKE_DRIFT, drift_s),
            (catalogue.INTAKE_ROUND, now_s),
        ):
            page.put(page.place(family), number)
        for hours, count in standing.alarmed.items():
            page.put(page.place(catalogue.INTAKE_ALARMED, str(hours)), count)

    def _open(self) -> Page | None:
        memory = open_file(self._path)
        return None if memory is None else Page(memory, _series())


def _series() -> list[Series]:
    hours = [(str(one),) for one in ALARM_HOURS]
    return [*(Series(family, [()]) for family in _PLAIN), Series(catalogue.INTAKE_ALARMED, hours)]
