"""Between the contract's messages and the values of this library.

An answer that holds an unknown verdict or lacks a part is an error here and
never an ALLOW. Nothing here knows calls or channels.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, TypeVar

from imageward.v1 import bank_pb2, case_pb2, hash_pb2, match_pb2
from imageward_client import _answers as answers
from imageward_client._health import STATUS_BY_NUMBER
from imageward_client._rebuild import from_refusal
from imageward_client._types import (
    Action,
    CaseState,
    Completeness,
    EntrySource,
    EntryState,
    HashLike,
    Method,
    Orientation,
    PdqHash,
    Scope,
    ServingStatus,
    StopAction,
    Verdict,
)
from imageward_client.errors import UnreadableAnswer

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from enum import StrEnum

    from google.protobuf.timestamp_pb2 import Timestamp

Word = TypeVar("Word", bound="StrEnum")

# Each enum's names in the contract carry this prefix.
_PREFIXES: dict[type[StrEnum], str] = {
    Verdict: "VERDICT_",
    Action: "ACTION_",
    EntryState: "ENTRY_STATE_",
    EntrySource: "ENTRY_SOURCE_",
    Orientation: "ORIENTATION_",
    Method: "METHOD_",
    Completeness: "COMPLETENESS_",
    CaseState: "CASE_STATE_",
    StopAction: "STOP_ACTION_",
}
_WORDS: dict[tuple[type[StrEnum], int], StrEnum] = {
    (kind, value.number): kind[value.name.removeprefix(_PREFIXES[kind])]
    for kind, wrapper in (
        (Verdict, match_pb2.Verdict),
        (Action, bank_pb2.Action),
        (EntryState, bank_pb2.EntryState),
        (EntrySource, bank_pb2.EntrySource),
        (Orientation, bank_pb2.Orientation),
        (Method, bank_pb2.Method),
        (Completeness, match_pb2.Completeness),
        (CaseState, case_pb2.CaseState),
        (StopAction, case_pb2.StopAction),
    )
    for value in wrapper.DESCRIPTOR.values
    if value.number
}


def names(values: Iterable[str]) -> tuple[str, ...]:
    """Returns the values; a lone string is a mistake that would be read as letters.

    Raises:
        TypeError: the values are one string.
    """
    if isinstance(values, str):
        raise TypeError("Give a sequence of names, such as ('FACEBOOK',), not one string.")
    return tuple(values)


def as_hash(value: HashLike) -> PdqHash:
    """Returns a hash given as digits, as bytes or as itself.

    Raises:
        InvalidHash: the digits or bytes are not those of a hash.
    """
    if isinstance(value, PdqHash):
        return value
    return PdqHash.from_hex(value) if isinstance(value, str) else PdqHash(value)


def hash_message(value: HashLike) -> hash_pb2.PdqHash:
    """Returns the message of a hash."""
    pdq = as_hash(value)
    return hash_pb2.PdqHash(pdq=pdq.value, quality=pdq.quality)


def scope_message(scope: Scope) -> match_pb2.CheckScope:
    """Returns the message of a scope."""
    return match_pb2.CheckScope(
        surface=scope.surface,
        banks=names(scope.banks),
        minimum_revision=scope.minimum_revision,
    )


def action_number(action: Action) -> bank_pb2.Action.ValueType:
    """Returns the contract's number of an action."""
    return bank_pb2.Action.Value(_PREFIXES[Action] + action)


def entry_state_number(state: EntryState) -> bank_pb2.EntryState.ValueType:
    """Returns the contract's number of an entry's state."""
    return bank_pb2.EntryState.Value(_PREFIXES[EntryState] + state)


def stop_action_number(action: StopAction) -> case_pb2.StopAction.ValueType:
    """Returns the contract's number of what a frontend did."""
    return case_pb2.StopAction.Value(_PREFIXES[StopAction] + action)


def check_result(message: match_pb2.CheckResult) -> answers.CheckResult:
    """Returns the value of a CheckResult."""
    return answers.CheckResult(
        verdict=word(Verdict, message.verdict),
        entry_ids=tuple(message.entry_ids),
        logged_entry_ids=tuple(message.logged_entry_ids),
        quality=message.quality if message.HasField("quality") else None,
        low_quality=message.low_quality,
        completeness=word(Completeness, message.completeness),
    )


def check_answer(message: match_pb2.CheckImageResponse) -> answers.CheckAnswer:
    """Returns the value of a CheckImageResponse."""
    result = check_result(message.result)
    return answers.CheckAnswer(
        verdict=result.verdict,
        entry_ids=result.entry_ids,
        logged_entry_ids=result.logged_entry_ids,
        quality=result.quality,
        low_quality=result.low_quality,
        completeness=result.completeness,
        revision=message.revision,
    )


def stream_answer(message: match_pb2.CheckStreamResponse) -> answers.StreamAnswer:
    """Returns the value of a CheckStreamResponse."""
    is_refusal = message.WhichOneof("outcome") == "refusal"
    return answers.StreamAnswer(
        sequence=message.sequence,
        result=None if is_refusal else check_result(message.result),
        refusal=from_refusal(message.refusal) if is_refusal else None,
        revision=message.revision,
    )


def bank(message: bank_pb2.Bank) -> answers.Bank:
    """Returns the value of a Bank."""
    return answers.Bank(
        name=message.name,
        action=word(Action, message.policy.action),
        radius_bits=message.policy.radius_bits,
        surfaces=tuple(message.policy.surfaces),
        enabled=message.policy.enabled,
        coverage_min=message.policy.coverage_min,
        review_doubtful=message.policy.review_doubtful,
        create_time=moment(message.create_time),
        update_time=moment(message.update_time),
        revision=message.revision,
    )


def entry(message: bank_pb2.Entry) -> answers.Entry:
    """Returns the value of an Entry."""
    return answers.Entry(
        id=message.id,
        bank=message.bank,
        state=word(EntryState, message.state),
        source=word(EntrySource, message.source),
        hash=_hash(message.hash) if message.HasField("hash") else None,
        regional_code_count=message.regional_code_count,
        reference=message.reference,
        create_time=moment(message.create_time),
        update_time=moment(message.update_time),
        revision=message.revision,
    )


def add_result(message: bank_pb2.AddEntryResult) -> answers.AddResult:
    """Returns the value of an AddEntryResult."""
    outcome = message.WhichOneof("outcome")
    if outcome is None:
        raise UnreadableAnswer("The server left out what became of an entry.")
    return answers.AddResult(
        entry_id=message.entry_id if outcome == "entry_id" else None,
        refusal=from_refusal(message.refusal) if outcome == "refusal" else None,
        quality=message.quality if message.HasField("quality") else None,
    )


def match(message: bank_pb2.Match) -> answers.Match:
    """Returns the value of a Match."""
    return answers.Match(
        entry_id=message.entry_id,
        bank=message.bank,
        method=word(Method, message.method),
        certain=message.certain,
        distance_bits=message.distance_bits if message.HasField("distance_bits") else None,
        orientation=word(Orientation, message.orientation) if message.orientation else None,
        coverage=message.coverage if message.HasField("coverage") else None,
        inliers=message.inliers,
        corners_in_query=_points(message.corners_in_query),
        corners_in_entry=_points(message.corners_in_entry),
    )


def find_answer(message: bank_pb2.FindMatchesResponse) -> answers.FindAnswer:
    """Returns the value of a FindMatchesResponse."""
    return answers.FindAnswer(
        matches=tuple(map(match, message.matches)),
        revision=message.revision,
        quality=message.quality if message.HasField("quality") else None,
        completeness=word(Completeness, message.completeness),
    )


def stats(message: bank_pb2.GetStatsResponse) -> answers.Stats:
    """Returns the value of a GetStatsResponse."""
    return answers.Stats(
        revision=message.revision,
        store_revision=message.store_revision,
        index_size=message.index_size,
        regional_code_count=message.regional_code_count,
        banks=tuple(
            answers.BankStats(counts.bank, counts.active_count, counts.withdrawn_count)
            for counts in message.banks
        ),
        server_version=message.server_version,
        start_time=moment(message.start_time),
    )


def serving_status(status_number: int) -> ServingStatus:
    """Returns the value of a health status; UNKNOWN for one that is newer than this."""
    if status_number < len(STATUS_BY_NUMBER):
        return ServingStatus(STATUS_BY_NUMBER[status_number])
    return ServingStatus.UNKNOWN


def moment(message: Timestamp) -> datetime:
    """Returns the value of a Timestamp, in UTC."""
    return message.ToDatetime(tzinfo=UTC)


def word(kind: type[Word], value: int) -> Word:
    """Returns the word of a number of the contract.

    Raises:
        UnreadableAnswer: the number is of no word that this client knows.
    """
    found = _WORDS.get((kind, value))
    if found is None:
        raise UnreadableAnswer(
            f"The server answered with {kind.__name__} {value}, which this client does not know."
            " Upgrade the older of the two."
        )
    return kind(found)


def _hash(message: hash_pb2.PdqHash) -> PdqHash:
    return PdqHash(message.pdq, message.quality if message.HasField("quality") else None)


def _points(messages: Iterable[bank_pb2.Point]) -> tuple[answers.Point, ...]:
    return tuple(answers.Point(message.x, message.y) for message in messages)
