"""Cases and pictures as they come out of the store, and what state a case is in."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imageward_server.intake.limits import REMOVAL_TARGET_S
from imageward_server.store.case_tables import CaseOrigin, PictureKind, PictureState

_US = 1_000_000


class CaseState(enum.Enum):
    """What a person is told about a case."""

    OPEN = "open"
    IN_REVIEW = "in_review"
    PROTECTED = "protected"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """A case. `contact` is encrypted; times are microseconds since 1970 UTC."""

    number: str
    origin: CaseOrigin
    opener: str
    region: str
    language: str
    contact: bytes | None
    upload_id: str
    surface: str
    pin_hash: str | None
    opened_us: int
    withdrawn_us: int | None


@dataclass(frozen=True, slots=True)
class PictureRecord:
    """What is known of a picture; its bytes are in the quarantine until `deleted_us`."""

    id: str
    case_number: str
    kind: PictureKind
    state: PictureState
    entry_id: int | None
    reason: str
    alarm_h: int
    received_us: int
    decided_us: int | None
    deleted_us: int | None

    @property
    def due_us(self) -> int:
        """When it must be decided."""
        return self.received_us + REMOVAL_TARGET_S * _US


def case_of(row: Any) -> CaseRecord:  # noqa: ANN401 - a row's columns are not typed
    """Read a row of `intake_case`."""
    return CaseRecord(**{**row._mapping, "origin": CaseOrigin(row.origin)})  # noqa: SLF001 - SQLAlchemy's own public name


def picture_of(row: Any) -> PictureRecord:  # noqa: ANN401 - a row's columns are not typed
    """Read a row of `intake_picture`."""
    return PictureRecord(
        id=row.id,
        case_number=row.case_number,
        kind=PictureKind(row.kind),
        state=PictureState(row.state),
        entry_id=row.entry_id,
        reason=row.reason,
        alarm_h=row.alarm_h,
        received_us=row.received_us,
        decided_us=row.decided_us,
        deleted_us=row.deleted_us,
    )


def state_of(case: CaseRecord, pictures: Sequence[PictureRecord]) -> CaseState:
    """Say what state a case is in, by the most urgent of its pictures."""
    if case.withdrawn_us is not None:
        return CaseState.WITHDRAWN
    states = {picture.state for picture in pictures if picture.kind is not PictureKind.APPEAL}
    for state, told in (
        (PictureState.WAITING, CaseState.IN_REVIEW),
        (PictureState.APPROVED, CaseState.PROTECTED),
        (PictureState.EXPIRED, CaseState.EXPIRED),
        (PictureState.REJECTED, CaseState.REJECTED),
    ):
        if state in states:
            return told
    return CaseState.OPEN
