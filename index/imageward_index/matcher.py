"""One image or a batch of hashes against the banks: findings, and the verdict they mean.

1. An image goes through the cascade until a finding allows no stronger verdict; a hash is
   searched as it is given.
2. Each finding means what the policy of its bank says.
3. The strongest of these is the verdict.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imageward_index.answer import Finding, Pass
from imageward_index.cascade import Watch, look_up, unwatched
from imageward_index.entry_id import bank_number_of
from imageward_index.fingerprint import Fingerprint
from imageward_index.index import Index
from imageward_index.pdq import QUALITY_MIN, Orientation
from imageward_index.picture import Parts
from imageward_index.policy import Action, Policy, Selection, Verdict
from imageward_index.searchable import MATCHES_MAX, IndexedBanks

# Each block of a batch is reduced to at most MATCHES_MAX ids a query before the next
# is searched, so that a bank of near-equal hashes cannot fill the memory.
QUERIES_PER_BLOCK = 64


class Completeness(enum.Enum):
    """How much of what could find a match has looked."""

    # Every pass, or as many as it took to be sure of the verdict.
    COMPLETE = "COMPLETE"
    # The time ended before the passes did.
    CUT_SHORT = "CUT_SHORT"
    # A hash was sent, by which no part of a picture can be found.
    HASH_ONLY = "HASH_ONLY"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one check.

    Attributes:
        verdict: the strongest of all findings.
        completeness: how much has looked for them.
        entry_ids: the entries behind a BLOCK or REVIEW, nearest first, at most 100.
        logged_entry_ids: found in banks that only log, nearest first, at most 100.
        quality: of the image or hash, 0..100, where it is known.
        found_by: the pass that found the first of the entries behind the verdict, or else of
            the logged ones; None where there are none.
    """

    verdict: Verdict
    completeness: Completeness
    entry_ids: tuple[int, ...] = ()
    logged_entry_ids: tuple[int, ...] = ()
    quality: int | None = None
    found_by: Pass | None = None

    @property
    def low_quality(self) -> bool:
        """Whether the quality is known and too low for the hash to be relied on."""
        return _is_low(self.quality)


class _Meaning(NamedTuple):
    """What a finding means: its bank's action, and whether it is sure enough to block."""

    entry_id: int
    action: Action
    sure: bool
    found_by: Pass


class Matcher:
    """Answers checks from two indexes. Holds no state of its own; safe under concurrent use.

    Args:
        hashes: whole-image hashes, 256 bits.
        codes: regional codes, 64 bits, with each entry's fingerprint attached.
        watch: is there while each pass over an image, and each search for hashes, runs.
    """

    def __init__(self, hashes: Index, codes: Index, watch: Watch = unwatched) -> None:
        self._hashes = hashes
        self._codes = codes
        self._watch = watch

    def check_image(
        self, picture: Parts, selection: Selection, budget_s: float = math.inf
    ) -> Decision:
        """Decide about one image, within so many seconds."""
        strongest = selection.strongest_action

        def suffices(finding: Finding) -> bool:
            policy = selection.policy_of[bank_number_of(finding.entry_id)]
            return policy.action is strongest and _is_sure(finding, policy)

        banks = self._banks(selection)
        answer = look_up(picture, banks, budget_s=budget_s, suffices=suffices, watch=self._watch)
        completeness = Completeness.COMPLETE if answer.complete else Completeness.CUT_SHORT
        meanings = _meanings(answer.findings, selection)
        return _decide(meanings, picture.whole.quality, completeness)

    def check_hashes(
        self, codes: NDArray[np.uint8], qualities: Sequence[int | None], selection: Selection
    ) -> list[Decision]:
        """Decide about each hash, exactly as it is given.

        Args:
            codes: uint8, shape (n, 32).
            qualities: of each hash, 0..100, or None where it is not known.
            selection: the banks to ask.
        """
        banks = self._banks(selection)
        decisions = [_decide((), quality, Completeness.HASH_ONLY) for quality in qualities]
        for start in range(0, len(codes), QUERIES_PER_BLOCK):
            with self._watch(Pass.WHOLE):
                rows, ids, _ = banks.find_hashes(codes[start : start + QUERIES_PER_BLOCK])
            for row, near in _group(rows, ids):
                quality = qualities[start + row]
                meanings = _whole_meanings(near, selection, sure=not _is_low(quality))
                decisions[start + row] = _decide(meanings, quality, Completeness.HASH_ONLY)
        return decisions

    def find_image(
        self, picture: Parts, selection: Selection, budget_s: float = math.inf
    ) -> tuple[list[Finding], Completeness]:
        """List what every pass finds in an image, the surest first, at most 100."""
        answer = look_up(
            picture,
            self._banks(selection),
            budget_s=budget_s,
            suffices=lambda _: False,
            watch=self._watch,
        )
        completeness = Completeness.COMPLETE if answer.complete else Completeness.CUT_SHORT
        return list(answer.findings[:MATCHES_MAX]), completeness

    def find_hash(
        self, code: NDArray[np.uint8], quality: int | None, selection: Selection
    ) -> list[Finding]:
        """List the entries near one hash, uint8 of shape (32,), nearest first, at most 100."""
        _, ids, distances = self._banks(selection).find_hashes(code[np.newaxis])
        near = zip(ids[:MATCHES_MAX].tolist(), distances[:MATCHES_MAX].tolist(), strict=True)
        return [
            Finding(
                entry_id,
                Pass.WHOLE,
                certain=not _is_low(quality),
                distance_bits=distance,
                orientation=Orientation.IDENTITY,
            )
            for entry_id, distance in near
        ]

    def _banks(self, selection: Selection) -> IndexedBanks:
        return IndexedBanks(self._hashes, self._codes, self._fingerprint, selection)

    def _fingerprint(self, entry_id: int) -> Fingerprint | None:
        attached = self._codes.attachment(entry_id)
        return None if attached is None else Fingerprint.from_bytes(attached)


def _group(rows: NDArray[np.int64], ids: NDArray[np.int64]) -> Iterator[tuple[int, list[int]]]:
    """Split hits, which are sorted by row, into each row's ids."""
    if len(rows):
        asked, first = np.unique(rows, return_index=True)
        for row, near in zip(asked.tolist(), np.split(ids, first[1:]), strict=True):
            yield row, near.tolist()


def _is_low(quality: int | None) -> bool:
    return quality is not None and quality < QUALITY_MIN


def _is_sure(finding: Finding, policy: Policy) -> bool:
    """Say whether a finding is enough for its bank to block."""
    covered = finding.coverage is None or finding.coverage >= policy.coverage_min
    return finding.certain and covered


def _meanings(findings: Iterable[Finding], selection: Selection) -> list[_Meaning]:
    """Weigh what was found in an image; what is neither sure nor wanted means nothing."""
    meanings = []
    for finding in findings:
        policy = selection.policy_of[bank_number_of(finding.entry_id)]
        sure = _is_sure(finding, policy)
        # A whole hash without detail is near many others: a person must look before
        # anybody's upload is stopped for it, whatever the bank wants of parts.
        if sure or finding.coverage is None or policy.review_doubtful:
            meanings.append(_Meaning(finding.entry_id, policy.action, sure, finding.found_by))
    return meanings


def _whole_meanings(ids: Iterable[int], selection: Selection, *, sure: bool) -> list[_Meaning]:
    policy_of = selection.policy_of
    return [_Meaning(one, policy_of[bank_number_of(one)].action, sure, Pass.WHOLE) for one in ids]


@cache
def _nothing_found(quality: int | None, completeness: Completeness) -> Decision:
    """Say so. Nearly all checks end here, and the answers are few."""
    verdict = Verdict.INCONCLUSIVE if _is_low(quality) else Verdict.ALLOW
    return Decision(verdict, completeness, quality=quality)


def _decide(
    meanings: Sequence[_Meaning], quality: int | None, completeness: Completeness
) -> Decision:
    """Give the strongest of all meanings, and the entries behind it, nearest first."""
    if not meanings:
        return _nothing_found(quality, completeness)
    sure = [one for one in meanings if one.action is Action.BLOCK and one.sure]
    unsure = [one for one in meanings if one.action is Action.BLOCK and not one.sure]
    reviewing = [one for one in meanings if one.action is Action.REVIEW]
    logged = [one for one in meanings if one.action is Action.LOG]
    behind = sure or [*unsure, *reviewing]
    if behind:
        verdict = Verdict.BLOCK if sure else Verdict.REVIEW
    else:
        verdict = Verdict.INCONCLUSIVE if _is_low(quality) else Verdict.ALLOW
    return Decision(
        verdict,
        completeness,
        tuple(one.entry_id for one in behind[:MATCHES_MAX]),
        tuple(one.entry_id for one in logged[:MATCHES_MAX]),
        quality,
        (behind or logged)[0].found_by,
    )
