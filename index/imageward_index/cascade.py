"""One picture against a bank, from the cheapest sense to the dearest, until it is certain.

    WHOLE          its PDQ hash in 8 orientations
    TRIMMED        the same without borders, bars and chrome
    REGIONS        its regional codes, within 4 bits
    FAR            the same within 6
    MIRRORED       its regional codes mirrored, within 6
    FINE           more of its codes at more pixels, within 4
    FINE_MIRRORED  these mirrored

A pass that finds nothing that suffices leaves the next to look; the first finding that
does ends the cascade, and so does the end of the time. An answer says which passes ran:
one that was cut short is no statement that nothing is there.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Final, NamedTuple

import numpy as np

from imageward_index.answer import (
    THOROUGH,
    Answer,
    Corners,
    Finding,
    Findings,
    Pass,
)
from imageward_index.box import Box
from imageward_index.budget import Budget, OutOfTime
from imageward_index.fingerprint import Fingerprint, RegionalPart
from imageward_index.geometry import (
    Alignment,
    Matrix,
    Query,
    align,
    map_corners,
    refine,
    verify,
)
from imageward_index.pdq import QUALITY_MIN, Orientation, OrientedHashes
from imageward_index.picture import Parts
from imageward_index.searchable import Searchable
from imageward_index.vote import Candidate, CodeHits, rank_candidates

NEAR_BITS: Final = 4
FAR_BITS: Final = 6
CANDIDATES_MAX: Final = 24
"""Entries whose seeds are grown in a pass."""

VERIFIED_MAX: Final = 10
"""Maps whose windows are looked at in a pass."""

REFINED_MAX: Final = 2
"""Maps that are fitted closer in a pass: the doubtful ones of the highest coverage."""

PASS_COST_S: Final = {
    Pass.WHOLE: 0.002,
    Pass.TRIMMED: 0.002,
    Pass.REGIONS: 0.005,
    Pass.FAR: 0.004,
    Pass.MIRRORED: 0.004,
    Pass.FINE: 0.008,
    Pass.FINE_MIRRORED: 0.004,
}
"""What a pass takes on a quiet core. One that does not fit into the time left is not begun."""

_NOTHING: Final = nullcontext()
_CANDIDATE_COST_S: Final = 0.0002
_VERIFY_COST_S: Final = 0.0005
_REFINE_COST_S: Final = 0.002


class _Grown(NamedTuple):
    """A map that a seed has grown to: query to the entry's content."""

    inliers: int
    entry_id: int
    part: RegionalPart
    to_bank: Matrix


class _Verified(NamedTuple):
    """A map that was looked through."""

    grown: _Grown
    alignment: Alignment


Watch = Callable[[Pass], AbstractContextManager[object]]
"""Is there while a pass runs: whoever wants to know how long each takes."""


def unwatched(_step: Pass) -> AbstractContextManager[object]:
    """Watch nothing."""
    return _NOTHING


def is_certain(finding: Finding) -> bool:
    """Whether a finding is certain."""
    return finding.certain


def look_up(
    picture: Parts,
    bank: Searchable,
    *,
    budget_s: float = math.inf,
    last: Pass = THOROUGH,
    suffices: Callable[[Finding], bool] = is_certain,
    clock: Callable[[], float] = time.monotonic,
    watch: Watch = unwatched,
) -> Answer:
    """Run the passes up to `last` until a finding suffices or the budget is spent.

    A pass that is not expected to fit is not begun, and one that takes longer than
    expected is cut short between its candidates. So an answer is late by one step at
    most: taking the regions of the picture, one search, or looking at one map.

    Args:
        picture: what is looked up.
        bank: what it is looked up in.
        budget_s: the time there is.
        last: the pass after which nothing more is asked for.
        suffices: whether a finding ends the cascade; a caller may know findings that
            change nothing.
        clock: tells the time, in seconds.
        watch: is there while each pass runs.
    """
    budget = Budget(budget_s, clock)
    findings = Findings()
    ran: list[Pass] = []
    try:
        for step in Pass:
            if step > last or any(map(suffices, findings)):
                break
            budget.require(PASS_COST_S[step])
            with watch(step):
                for finding in _run(step, picture, bank, budget):
                    findings.keep(finding)
            ran.append(step)
    except OutOfTime:
        return Answer(findings.sorted(), tuple(ran), complete=any(map(suffices, findings)))
    return Answer(findings.sorted(), tuple(ran), complete=True)


def _run(step: Pass, picture: Parts, bank: Searchable, budget: Budget) -> Iterator[Finding]:
    if step is Pass.WHOLE:
        return _find_whole(step, picture.whole, bank)
    if step is Pass.TRIMMED:
        return iter(()) if picture.trimmed is None else _find_whole(step, picture.trimmed, bank)
    query = picture.fine if step >= Pass.FINE else picture.coarse
    if step in {Pass.MIRRORED, Pass.FINE_MIRRORED}:
        query = query.mirror()
    radius_bits = FAR_BITS if step in {Pass.FAR, Pass.MIRRORED} else NEAR_BITS
    return _find_parts(step, query, bank.find_codes(query.regions.codes, radius_bits), bank, budget)


def _find_whole(step: Pass, hashes: OrientedHashes, bank: Searchable) -> Iterator[Finding]:
    hits = bank.find_whole(hashes.codes)
    for orientation, entry_id, distance in zip(*(column.tolist() for column in hits), strict=True):
        yield Finding(
            entry_id,
            step,
            certain=hashes.quality >= QUALITY_MIN,
            distance_bits=distance,
            orientation=Orientation(orientation),
        )


def _find_parts(
    step: Pass, query: Query, hits: CodeHits, bank: Searchable, budget: Budget
) -> Iterator[Finding]:
    """Grow the candidates' seeds, look through the best maps, and closer where in doubt."""
    grown: list[_Grown] = []
    for candidate in rank_candidates(hits, CANDIDATES_MAX):
        budget.require(_CANDIDATE_COST_S)
        grown += _grow(query, candidate, bank.fingerprint(candidate.entry_id))
    doubtful: list[_Verified] = []
    grown.sort(key=lambda one: -one.inliers)
    for one in grown[:VERIFIED_MAX]:
        budget.require(_VERIFY_COST_S)
        alignment = verify(query, one.part.regions, one.part.grid, one.inliers, one.to_bank)
        if alignment.is_certain:
            yield _as_finding(step, query, one, alignment)
        elif alignment.may_be_more:
            doubtful.append(_Verified(one, alignment))
    doubtful.sort(key=lambda one: -one.alignment.coverage)
    for place, (one, alignment) in enumerate(doubtful):
        closer = alignment
        if place < REFINED_MAX:
            budget.require(_REFINE_COST_S)
            closer = refine(query, one.part.regions, one.part.grid, alignment)
        if closer.is_certain or closer.is_doubtful:
            yield _as_finding(step, query, one, closer)


def _grow(query: Query, candidate: Candidate, stored: Fingerprint | None) -> list[_Grown]:
    """Grow the seeds of a candidate to maps."""
    if stored is None or stored.regional is None:
        return []
    part = stored.regional
    return [
        _Grown(inliers, candidate.entry_id, part, to_bank)
        for inliers, to_bank in align(query, part.regions, candidate.seeds)
    ]


def _as_finding(step: Pass, query: Query, grown: _Grown, alignment: Alignment) -> Finding:
    regions, pyramid = grown.part.regions, query.pyramid
    in_query = map_corners(np.linalg.inv(alignment.to_bank), regions.width, regions.height)
    in_bank = map_corners(alignment.to_bank, pyramid.width, pyramid.height)
    return Finding(
        grown.entry_id,
        step,
        certain=alignment.is_certain,
        coverage=alignment.coverage,
        inliers=alignment.inliers,
        corners_in_picture=_in_shares(in_query, pyramid.width, pyramid.height, query.content),
        corners_in_entry=_in_shares(in_bank, regions.width, regions.height, grown.part.content),
    )


def _in_shares(corners: Matrix | None, width: float, height: float, box: Box) -> Corners:
    """Corners within a part of this size, as shares of the image that the part is of."""
    if corners is None:
        return ()
    shares = corners / (width, height) * (box.width, box.height) + (box.left, box.top)
    return tuple((x, y) for x, y in shares.tolist())
