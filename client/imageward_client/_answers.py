"""What is answered, as immutable values under the contract's names.

Nothing here knows messages or channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from imageward_client._types import (
        Action,
        Completeness,
        EntrySource,
        EntryState,
        Method,
        Orientation,
        PdqHash,
        Verdict,
    )
    from imageward_client.errors import ImagewardClientError


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The answer about one image or hash.

    Attributes:
        verdict: the strongest verdict of all matching banks.
        entry_ids: entries behind a BLOCK or REVIEW, nearest first, at most 100.
        logged_entry_ids: matching entries of banks whose action is LOG, at most 100.
        quality: detail of the image, 0..100; None for a hash sent without it.
        low_quality: True when the quality is known and under 50.
        completeness: how much has looked; after CUT_SHORT an ALLOW is no promise.
    """

    verdict: Verdict
    entry_ids: tuple[str, ...]
    logged_entry_ids: tuple[str, ...]
    quality: int | None
    low_quality: bool
    completeness: Completeness


@dataclass(frozen=True, slots=True)
class CheckAnswer(CheckResult):
    """The answer about one image, and the revision it was answered at."""

    revision: int


@dataclass(frozen=True, slots=True)
class HashesAnswer:
    """One result a hash, in the order asked, all answered at one revision."""

    results: tuple[CheckResult, ...]
    revision: int


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """The answer to one question of a stream.

    Attributes:
        sequence: which question, counted from 0 in the order they were asked.
        result: the answer; None beside a refusal.
        refusal: why there is none, as a value; the stream goes on.
        revision: the revision it was answered at; 0 beside a refusal.
    """

    sequence: int
    result: CheckResult | None
    refusal: ImagewardClientError | None
    revision: int


@dataclass(frozen=True, slots=True)
class Bank:
    """A named set of entries with one policy.

    Attributes:
        name: unique, case-sensitive, 1..64 characters.
        action: what a match means.
        radius_bits: largest Hamming distance that is a match, inclusive, 0..63.
        surfaces: the surfaces it is for; empty for every one.
        enabled: whether checks ask it.
        coverage_min: least coverage that is a match where parts are found, 0..1.
        review_doubtful: whether a person should look where parts are found, but not
            enough to be certain.
        create_time: when it was made.
        update_time: when its policy last changed.
        revision: the revision of its last change.
    """

    name: str
    action: Action
    radius_bits: int
    surfaces: tuple[str, ...]
    enabled: bool
    coverage_min: float
    review_doubtful: bool
    create_time: datetime
    update_time: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One banked picture, kept as its hashes alone.

    Attributes:
        id: opaque, at most 64 characters.
        bank: the name of its bank.
        state: whether checks see it.
        source: what it was made from.
        hash: its hash; personal data, for reviewers only. None once it is erased.
        regional_code_count: codes by which its parts are found; 0 when it is found
            as a whole only.
        reference: the caller's own number for it.
        create_time: when it was banked.
        update_time: when its state last changed.
        revision: the revision of its last change.
    """

    id: str
    bank: str
    state: EntryState
    source: EntrySource
    hash: PdqHash | None
    regional_code_count: int
    reference: str
    create_time: datetime
    update_time: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class AddResult:
    """What became of one picture or hash of a batch.

    Attributes:
        entry_id: the id it was banked under; None beside a refusal.
        refusal: why it was not banked, as a value.
        quality: detail of the picture, 0..100; None where it is not known.
    """

    entry_id: str | None
    refusal: ImagewardClientError | None
    quality: int | None


@dataclass(frozen=True, slots=True)
class AddAnswer:
    """What became of a batch.

    Attributes:
        results: one a picture or hash, in the order given.
        revision: from which on every check sees the accepted entries.
        replayed: True when the request id was seen before: nothing was banked again.
    """

    results: tuple[AddResult, ...]
    revision: int
    replayed: bool


@dataclass(frozen=True, slots=True)
class ChangeAnswer:
    """What a withdrawal or a restoration changed.

    Attributes:
        revision: from which on every check sees the change.
        changed_count: how many entries were in the other state before.
    """

    revision: int
    changed_count: int


@dataclass(frozen=True, slots=True)
class Point:
    """A place in a picture, in shares of its width and height; beyond 0..1 it is outside."""

    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Match:
    """An entry near the picture that was asked about, and how; for reviewers only.

    Attributes:
        entry_id: the entry.
        bank: the name of its bank.
        method: how it was found.
        certain: whether that is enough to block; otherwise a person should look.
        distance_bits: Hamming distance, 0..63; None where parts were found.
        orientation: how the query was turned or mirrored to be that near; None likewise.
        coverage: how much of the one picture was found in the other, 0..1; None where
            the whole was found.
        inliers: regional codes that agree on where the one lies in the other; 0 likewise.
        corners_in_query: where the banked picture lies in the query, clockwise from its
            own top left; empty likewise.
        corners_in_entry: where the query lies in the banked picture, likewise.
    """

    entry_id: str
    bank: str
    method: Method
    certain: bool
    distance_bits: int | None
    orientation: Orientation | None
    coverage: float | None
    inliers: int
    corners_in_query: tuple[Point, ...]
    corners_in_entry: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class FindAnswer:
    """The matches, the surest first, at most 100.

    Attributes:
        matches: what was found.
        revision: the revision it was answered at.
        quality: detail of the query, 0..100; None for a hash given without it.
        completeness: how much has looked.
    """

    matches: tuple[Match, ...]
    revision: int
    quality: int | None
    completeness: Completeness


@dataclass(frozen=True, slots=True)
class BankStats:
    """Counts of one bank's entries."""

    bank: str
    active_count: int
    withdrawn_count: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of the store and of the index that answers checks.

    Attributes:
        revision: the last revision the index has applied.
        store_revision: the last revision in the store.
        index_size: hashes that checks are answered from.
        regional_code_count: regional codes that checks are answered from.
        banks: counts of each bank, by name.
        server_version: the server's version.
        start_time: when the server started.
    """

    revision: int
    store_revision: int
    index_size: int
    regional_code_count: int
    banks: tuple[BankStats, ...]
    server_version: str
    start_time: datetime
