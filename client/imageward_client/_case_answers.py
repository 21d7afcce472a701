"""What is answered about cases, as immutable values under the contract's names.

A link is a secret of the person it is for: no value prints it. Nothing here knows
messages or channels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from imageward_client._types import CaseState, StopAction


@dataclass(frozen=True, slots=True)
class LinkAnswer:
    """A one-time upload link, which is shown once.

    Attributes:
        link: its URL, for the person alone; not in the repr.
        link_expire_time: when it expires.
    """

    link: str = field(repr=False)
    link_expire_time: datetime


@dataclass(frozen=True, slots=True)
class OpenAnswer(LinkAnswer):
    """A new case: its number, and its link as in `LinkAnswer`."""

    case_number: str


@dataclass(frozen=True, slots=True)
class CasePicture:
    """What is known of one picture of a case.

    Attributes:
        receive_time: when it was handed over.
        due_time: when it must be decided: 48 hours later.
        decide_time: when it was decided; None while it waits.
        delete_time: when it was deleted; None while it is in the quarantine.
        entry_id: the entry it was banked as; None if it was not.
        reject_reason: why it was rejected; empty if it was not.
        appeal: whether it came with an appeal.
    """

    receive_time: datetime
    due_time: datetime
    decide_time: datetime | None
    delete_time: datetime | None
    entry_id: str | None
    reject_reason: str
    appeal: bool


@dataclass(frozen=True, slots=True)
class StopCount:
    """How many uploads met one end on one surface and day.

    Attributes:
        surface: where they would have appeared.
        day: the start of the day, UTC.
        action: what the frontend did.
        count: how many, 1 or more.
    """

    surface: str
    day: datetime
    action: StopAction
    count: int


@dataclass(frozen=True, slots=True)
class Case:
    """A case as its partner sees it; never a picture.

    Attributes:
        number: such as `7Q4K2-M9PXW`.
        state: how it stands.
        region: the region it was opened for.
        language: of its pages and mail.
        open_time: when it was opened.
        pictures: what is known of each, oldest first.
        stops: uploads that its entries stopped, by day and surface.
        unsent_mail_count: mails that were tried and not taken yet.
    """

    number: str
    state: CaseState
    region: str
    language: str
    open_time: datetime
    pictures: tuple[CasePicture, ...]
    stops: tuple[StopCount, ...]
    unsent_mail_count: int
