"""Banks, entries and matches as the contract's messages, and back."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from imageward.v1 import bank_pb2, match_pb2
from imageward.v1.hash_pb2 import PdqHash as PdqHashMessage
from imageward_index.answer import Corners, Finding, Pass
from imageward_index.entry_id import bank_number_of
from imageward_index.matcher import Completeness
from imageward_index.pdq import Orientation, PdqHash
from imageward_index.policy import Action, BankSet, Policy
from imageward_server.errors import InvalidRequest
from imageward_server.services.validate import format_entry_id
from imageward_server.store import BankRecord, EntryRecord, EntrySource, EntryState

_ACTIONS = {
    bank_pb2.ACTION_BLOCK: Action.BLOCK,
    bank_pb2.ACTION_REVIEW: Action.REVIEW,
    bank_pb2.ACTION_LOG: Action.LOG,
}
_ACTION_NUMBERS = {action: number for number, action in _ACTIONS.items()}
_STATES = {
    bank_pb2.ENTRY_STATE_ACTIVE: EntryState.ACTIVE,
    bank_pb2.ENTRY_STATE_WITHDRAWN: EntryState.WITHDRAWN,
}
_STATE_NUMBERS = {state: number for number, state in _STATES.items()}
_SOURCE_NUMBERS = {
    EntrySource.IMAGE: bank_pb2.ENTRY_SOURCE_IMAGE,
    EntrySource.HASH: bank_pb2.ENTRY_SOURCE_HASH,
}
_ORIENTATION_NUMBERS = {
    orientation: bank_pb2.Orientation.Value(f"ORIENTATION_{orientation.name}")
    for orientation in Orientation
}
_COMPLETENESS = {
    one: match_pb2.Completeness.Value(f"COMPLETENESS_{one.name}") for one in Completeness
}
_METHODS = {
    Pass.WHOLE: bank_pb2.METHOD_WHOLE,
    Pass.TRIMMED: bank_pb2.METHOD_TRIMMED,
    Pass.REGIONS: bank_pb2.METHOD_PARTS,
    Pass.FAR: bank_pb2.METHOD_PARTS,
    Pass.MIRRORED: bank_pb2.METHOD_PARTS_MIRRORED,
    Pass.FINE: bank_pb2.METHOD_PARTS,
    Pass.FINE_MIRRORED: bank_pb2.METHOD_PARTS_MIRRORED,
}


def action_of(number: bank_pb2.Action.ValueType) -> Action:
    """Read an action; unspecified is BLOCK.

    Raises:
        InvalidRequest: this version does not know it.
    """
    if number == bank_pb2.ACTION_UNSPECIFIED:
        return Action.BLOCK
    if number not in _ACTIONS:
        raise InvalidRequest(f"action {number} is not known here; use BLOCK, REVIEW or LOG")
    return _ACTIONS[number]


def state_filter_of(number: bank_pb2.EntryState.ValueType) -> EntryState | None:
    """Read a filter of states; unspecified is any.

    Raises:
        InvalidRequest: this version does not know it.
    """
    if number == bank_pb2.ENTRY_STATE_UNSPECIFIED:
        return None
    if number not in _STATES:
        raise InvalidRequest(f"state {number} is not known here; use ACTIVE or WITHDRAWN")
    return _STATES[number]


def bank_message(record: BankRecord) -> bank_pb2.Bank:
    """Write a bank."""
    return bank_pb2.Bank(
        name=record.bank.name,
        policy=policy_message(record.bank.policy),
        create_time=timestamp(record.created_us),
        update_time=timestamp(record.updated_us),
        revision=record.revision,
    )


def policy_message(policy: Policy) -> bank_pb2.Policy:
    """Write a policy, every field set."""
    return bank_pb2.Policy(
        action=_ACTION_NUMBERS[policy.action],
        radius_bits=policy.radius_bits,
        surfaces=sorted(policy.surfaces),
        enabled=policy.enabled,
        coverage_min=policy.coverage_min,
        review_doubtful=policy.review_doubtful,
    )


def entry_message(record: EntryRecord, banks: BankSet) -> bank_pb2.Entry:
    """Write an entry, its hash included: for reviewers."""
    return bank_pb2.Entry(
        id=format_entry_id(record.id),
        bank=banks.numbered(bank_number_of(record.id)).name,
        state=_STATE_NUMBERS[record.state],
        source=_SOURCE_NUMBERS[record.source],
        hash=None if record.hash is None else hash_message(record.hash),
        reference=record.reference,
        create_time=timestamp(record.created_us),
        update_time=timestamp(record.updated_us),
        revision=record.revision,
        regional_code_count=record.code_count,
    )


def hash_message(pdq: PdqHash) -> PdqHashMessage:
    """Write a hash."""
    return PdqHashMessage(pdq=pdq.code, quality=pdq.quality)


def match_message(finding: Finding, banks: BankSet) -> bank_pb2.Match:
    """Write a finding, and how it was made: for reviewers."""
    return bank_pb2.Match(
        entry_id=format_entry_id(finding.entry_id),
        bank=banks.numbered(bank_number_of(finding.entry_id)).name,
        distance_bits=finding.distance_bits,
        orientation=(
            bank_pb2.ORIENTATION_UNSPECIFIED
            if finding.orientation is None
            else _ORIENTATION_NUMBERS[finding.orientation]
        ),
        method=_METHODS[finding.found_by],
        certain=finding.certain,
        coverage=finding.coverage,
        inliers=finding.inliers,
        corners_in_query=_points(finding.corners_in_picture),
        corners_in_entry=_points(finding.corners_in_entry),
    )


def completeness_number(completeness: Completeness) -> match_pb2.Completeness.ValueType:
    """Write how much has looked."""
    return _COMPLETENESS[completeness]


def _points(corners: Corners) -> list[bank_pb2.Point]:
    return [bank_pb2.Point(x=x, y=y) for x, y in corners]


def timestamp(time_us: int) -> Timestamp:
    """Write a time, given in microseconds since 1970 UTC."""
    return Timestamp(seconds=time_us // 1_000_000, nanos=time_us % 1_000_000 * 1000)
