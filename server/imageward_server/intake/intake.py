"""What every part of the intake works with, as one value."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from imageward_index.policy import Policy
from imageward_server.errors import BankExists
from imageward_server.hasher import Hasher
from imageward_server.intake.quarantine import Quarantine
from imageward_server.intake.settings import IntakeSettings
from imageward_server.key_file import derive
from imageward_server.store import Store

CONTACT_KEY: Final = "contact"
"""The purpose of the key that addresses are encrypted with."""

_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Intake:
    """The intake of one store.

    Attributes:
        store: where cases and entries are.
        hasher: what looks at pictures.
        quarantine: where pictures are.
        settings: how it is set up.
        surfaces: the surfaces that may be named.
        master_key: 32 bytes.
        clock: seconds since 1970 UTC, the same that the store tells its times by.
    """

    store: Store
    hasher: Hasher
    quarantine: Quarantine
    settings: IntakeSettings
    surfaces: frozenset[str]
    master_key: bytes = field(repr=False)
    clock: Callable[[], float]

    def now_us(self) -> int:
        """Tell the time in microseconds since 1970 UTC."""
        return int(self.clock() * _US)

    def key_for(self, purpose: str) -> bytes:
        """Make the key of a purpose."""
        return derive(self.master_key, purpose)

    def prepare(self) -> None:
        """Make the bank of approved pictures, if it is missing; it blocks on every surface."""
        with suppress(BankExists):
            self.store.create_bank(self.settings.bank, Policy())
