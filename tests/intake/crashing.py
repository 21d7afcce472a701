"""Run by test_crash.py: does one thing to an intake, and is killed in the middle of it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

from imageward_server.hasher import InProcessHasher
from imageward_server.intake import disposal, review
from imageward_server.intake.intake import Intake
from imageward_server.intake.quarantine import FOLDER, Quarantine
from imageward_server.intake.reception import Arrival
from imageward_server.intake.review import Decision
from imageward_server.intake.settings import IntakeSettings
from imageward_server.store import Store, entries
from imageward_server.store.engine import sqlite_url


def die(*_: object, **__: object) -> NoReturn:
    """End as by a power cut: nothing is flushed, nothing is undone."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("SIGKILL ends a process")


def main() -> None:
    """Do what the arguments say."""
    folder, key, what, subject = Path(sys.argv[1]), bytes.fromhex(sys.argv[2]), *sys.argv[3:5]
    store = Store(sqlite_url(folder), lambda: 1_800_000_000.0)
    store.open()
    quarantine = Quarantine(folder / FOLDER, key)
    intake = Intake(
        store,
        InProcessHasher(),
        quarantine,
        IntakeSettings(),
        frozenset(),
        key,
        lambda: 1_800_000_000.0,
    )
    intake.prepare()
    if what == "upload":
        arrival = Arrival(intake, subject)
        arrival.write(bytes(200_000))
        die()
    if what == "examine":
        InProcessHasher.look = die  # type: ignore[assignment, method-assign]
        with Arrival(intake, subject) as arrival:
            arrival.write(b"whole but not examined")
            arrival.finish()
    if what == "bank":
        entries.add = die
    elif what == "delete":
        disposal.delete = die  # type: ignore[assignment]
    elif what == "note":
        disposal._tell_when_last = die  # type: ignore[assignment]
    review.decide(intake, subject, Decision("ana"))


main()
