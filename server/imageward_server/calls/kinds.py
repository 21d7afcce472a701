"""What each method of the contract is to admission: how urgent, and whether it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from imageward.v1 import bank_pb2, case_pb2, match_pb2
from imageward_server.admission import Priority

# A batch over this many is bulk: a picture's 8 orientations, 16 pictures at a time, and
# what a reviewer adds by hand, are not.
CHECK_HASHES_MAX = 128
ADDED_ENTRIES_MAX = 8

MATCH = match_pb2.DESCRIPTOR.services_by_name["MatchService"].full_name
CASE = case_pb2.DESCRIPTOR.services_by_name["CaseService"].full_name
BANK = bank_pb2.DESCRIPTOR.services_by_name["BankService"].full_name


class Kind(NamedTuple):
    """How calls of a method are admitted.

    Attributes:
        priority: before the message is there.
        computes: whether it takes one of the places to compute in.
        refine: the priority by the message, where that decides.
        is_ours: whether it belongs to a service of imageward's own: calls of others, such
            as health, have no rate and are answered in every phase.
    """

    priority: Priority
    computes: bool = False
    refine: Callable[[Any], Priority] | None = None
    is_ours: bool = True


def _by_hashes(request: match_pb2.CheckHashesRequest) -> Priority:
    return Priority.CHECK if len(request.hashes) <= CHECK_HASHES_MAX else Priority.BULK


def _by_entries(request: bank_pb2.AddEntriesRequest) -> Priority:
    return Priority.URGENT if len(request.entries) <= ADDED_ENTRIES_MAX else Priority.BULK


# Withdrawals, and what else reviewers wait for: everything that is not named below.
REVIEW = Kind(Priority.URGENT)
# Health and reflection.
FOREIGN = Kind(Priority.URGENT, is_ours=False)
KINDS = {
    f"/{MATCH}/CheckImage": Kind(Priority.CHECK, computes=True),
    f"/{MATCH}/CheckHashes": Kind(Priority.CHECK, computes=True, refine=_by_hashes),
    f"/{MATCH}/CheckStream": Kind(Priority.CHECK),
    f"/{BANK}/AddEntries": Kind(Priority.BULK, computes=True, refine=_by_entries),
    f"/{BANK}/FindMatches": Kind(Priority.URGENT, computes=True),
    f"/{CASE}/ReportPosted": Kind(Priority.URGENT, computes=True),
    f"/{CASE}/ReportAction": Kind(Priority.BULK),
    f"/{CASE}/AppealEntry": Kind(Priority.BULK, computes=True),
}


def kind_of(method: str) -> Kind:
    """Say how calls of a method are admitted, by its full name."""
    if method in KINDS:
        return KINDS[method]
    return REVIEW if method.startswith((f"/{MATCH}/", f"/{BANK}/", f"/{CASE}/")) else FOREIGN
