"""Decisions: matches weighed by the policies of their banks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from imageward_index import matcher as matcher_module
from imageward_index.answer import Finding, Pass
from imageward_index.decode import decode_grey
from imageward_index.entry_id import bank_number_of, make_entry_id
from imageward_index.geometry import Query
from imageward_index.index import Index
from imageward_index.matcher import QUERIES_PER_BLOCK, Completeness, Decision, Matcher
from imageward_index.matches import Matches
from imageward_index.pdq import QUALITY_MIN, Orientation, OrientedHashes
from imageward_index.picture import Picture, take_fingerprint
from imageward_index.policy import Action, Bank, BankSet, Policy, Selection, Verdict
from imageward_index.searchable import MATCHES_MAX

Codes = NDArray[np.uint8]
BLOCKING, REVIEWING, LOGGING = 1, 2, 3
BANKS = BankSet(
    [
        Bank(BLOCKING, "blocking", Policy(Action.BLOCK, 31)),
        Bank(REVIEWING, "reviewing", Policy(Action.REVIEW, 40)),
        Bank(LOGGING, "logging", Policy(Action.LOG, 20)),
    ]
)
EVERY_BANK = BANKS.select("", ())
SEED = 99
NO_PARTS = Picture(np.full((64, 64), 128, np.uint8)).coarse


def whole(number: int, serial: int, distance_bits: int, orientation: Orientation) -> Finding:
    """Make the finding of an entry by the hash of all of it."""
    return Finding(
        make_entry_id(number, serial),
        Pass.WHOLE,
        certain=True,
        distance_bits=distance_bits,
        orientation=orientation,
    )


def code_at(distance_bits: int, *, at: int = 0) -> Codes:
    """Make a code, uint8 of shape (32,), that far from zero, its bits set from `at` on."""
    bits = np.zeros(256, dtype=np.uint8)
    bits[at : at + distance_bits] = 1
    return np.packbits(bits)


ZERO = code_at(0)


def matcher_of(*entries: tuple[int, int, Codes]) -> Matcher:
    """Make a matcher of entries: bank's number, serial, code."""
    index = Index()
    ids = [make_entry_id(number, serial) for number, serial, _ in entries]
    index.add(ids, np.array([code for _, _, code in entries], np.uint8).reshape(-1, 32))
    return Matcher(index, Index(64, attachments=True))


def check(
    matcher: Matcher, quality: int | None = 100, selection: Selection = EVERY_BANK
) -> Decision:
    """Check the zero hash."""
    (decision,) = matcher.check_hashes(ZERO[np.newaxis], [quality], selection)
    return decision


@dataclass(frozen=True)
class Plain:
    """A picture with hashes and without parts."""

    whole: OrientedHashes
    trimmed: OrientedHashes | None = None
    coarse: Query = NO_PARTS
    fine: Query = NO_PARTS


def oriented(quality: int = 100, **near: Codes) -> Plain:
    """Make the hashes of a picture: those named, the others far from all that is banked."""
    codes = np.array([code_at(100, at=100 + turn * 7) for turn in Orientation])
    for name, code in near.items():
        codes[Orientation[name]] = code
    return Plain(OrientedHashes(codes, quality))


@pytest.mark.parametrize(
    ("number", "radius_bits", "verdict"),
    [(BLOCKING, 31, Verdict.BLOCK), (REVIEWING, 40, Verdict.REVIEW), (LOGGING, 20, Verdict.ALLOW)],
)
def test_each_bank_matches_within_its_own_radius(
    number: int, radius_bits: int, verdict: Verdict
) -> None:
    """A code at its bank's radius is a match, one a bit further is none, and not another's."""
    near = check(matcher_of((number, 1, code_at(radius_bits))))
    ids = (make_entry_id(number, 1),)
    assert (verdict, ids) == (near.verdict, near.entry_ids + near.logged_entry_ids)
    far = check(matcher_of((number, 1, code_at(radius_bits + 1))))
    assert Decision(Verdict.ALLOW, Completeness.HASH_ONLY, quality=100) == far


@pytest.mark.parametrize(
    ("numbers", "verdict", "behind"),
    [
        ((), Verdict.ALLOW, ()),
        ((LOGGING,), Verdict.ALLOW, ()),
        ((REVIEWING,), Verdict.REVIEW, (REVIEWING,)),
        ((REVIEWING, LOGGING), Verdict.REVIEW, (REVIEWING,)),
        ((BLOCKING,), Verdict.BLOCK, (BLOCKING,)),
        ((BLOCKING, LOGGING), Verdict.BLOCK, (BLOCKING,)),
        ((BLOCKING, REVIEWING), Verdict.BLOCK, (BLOCKING,)),
        ((BLOCKING, REVIEWING, LOGGING), Verdict.BLOCK, (BLOCKING,)),
    ],
)
def test_the_strongest_action_is_the_verdict(
    numbers: tuple[int, ...], verdict: Verdict, behind: tuple[int, ...]
) -> None:
    """BLOCK before REVIEW before LOG, however near; the ids are of the entries behind it."""
    # The weaker the action, the nearer its entry.
    matcher = matcher_of(*((number, 7, code_at(12 - number)) for number in numbers))
    decision = check(matcher)
    assert verdict == decision.verdict
    assert behind == tuple(bank_number_of(one) for one in decision.entry_ids)
    logged = (make_entry_id(LOGGING, 7),) if LOGGING in numbers else ()
    assert logged == decision.logged_entry_ids


def test_matches_come_nearest_first_then_by_id() -> None:
    """The ids of a decision are ordered by distance, ties by id."""
    matcher = matcher_of(
        *((BLOCKING, serial, code_at(bits)) for serial, bits in [(1, 9), (2, 3), (3, 9), (4, 0)])
    )
    expected = [make_entry_id(BLOCKING, serial) for serial in (4, 2, 1, 3)]
    assert expected == list(check(matcher).entry_ids)


@pytest.mark.parametrize("quality", [0, QUALITY_MIN - 1])
@pytest.mark.parametrize(
    ("number", "verdict"),
    [
        (None, Verdict.INCONCLUSIVE),
        (LOGGING, Verdict.INCONCLUSIVE),
        (REVIEWING, Verdict.REVIEW),
        (BLOCKING, Verdict.REVIEW),
    ],
)
def test_low_quality_never_blocks_nor_allows(
    quality: int, number: int | None, verdict: Verdict
) -> None:
    """Without enough detail a match is REVIEW at most, and no match is INCONCLUSIVE."""
    matcher = matcher_of() if number is None else matcher_of((number, 1, ZERO))
    decision = check(matcher, quality)
    assert (verdict, True, quality) == (decision.verdict, decision.low_quality, decision.quality)
    image = matcher.check_image(oriented(quality, ROTATE_90=ZERO), EVERY_BANK)
    assert dataclasses.replace(decision, completeness=Completeness.COMPLETE) == image


@pytest.mark.parametrize("quality", [None, QUALITY_MIN, 100])
def test_enough_or_unknown_quality_is_relied_on(quality: int | None) -> None:
    """From the least quality on, and where none was told, verdicts are plain."""
    none, blocked = check(matcher_of(), quality), check(matcher_of((1, 1, ZERO)), quality)
    assert (none.verdict, blocked.verdict) == (Verdict.ALLOW, Verdict.BLOCK)
    assert not none.low_quality
    assert not blocked.low_quality


def test_banks_that_are_not_asked_do_not_matter() -> None:
    """An entry of a bank that is disabled, of another surface or not named is no match."""
    matcher = matcher_of((BLOCKING, 1, ZERO), (REVIEWING, 1, ZERO))
    named = check(matcher, selection=BANKS.select("", ("reviewing",)))
    assert (Verdict.REVIEW, (make_entry_id(REVIEWING, 1),)) == (named.verdict, named.entry_ids)
    switched = BankSet(
        [
            Bank(BLOCKING, "blocking", Policy(enabled=False)),
            Bank(REVIEWING, "reviewing", Policy(surfaces=frozenset({"MESSENGER"}))),
        ]
    )
    verdicts = [
        check(matcher, selection=switched.select(surface, ())).verdict
        for surface in ("FACEBOOK", "MESSENGER")
    ]
    assert verdicts == [Verdict.ALLOW, Verdict.BLOCK]


def test_an_entry_of_a_bank_not_known_yet_is_no_match() -> None:
    """An index a moment ahead of the banks does not trip a check."""
    assert check(matcher_of((9, 1, ZERO))).verdict == Verdict.ALLOW


def test_no_bank_at_all_allows_and_finds_nothing() -> None:
    """Without a bank to ask there is nothing to match, for hashes and for images."""
    matcher, nobody = matcher_of((1, 1, ZERO)), BankSet().select("", ())
    assert check(matcher, selection=nobody).verdict == Verdict.ALLOW
    assert matcher.check_image(oriented(IDENTITY=ZERO), nobody).verdict == Verdict.ALLOW
    assert matcher.find_hash(ZERO, 100, nobody) == []


def test_an_entry_near_in_many_orientations_is_one_match() -> None:
    """Each entry comes once, by the orientation that brings it nearest."""
    matcher = matcher_of((BLOCKING, 1, ZERO), (REVIEWING, 2, code_at(30)))
    near = {"IDENTITY": code_at(9), "ROTATE_180": code_at(5), "TRANSVERSE": code_at(12)}
    expected = [
        whole(BLOCKING, 1, 5, Orientation.ROTATE_180),
        whole(REVIEWING, 2, 18, Orientation.TRANSVERSE),
    ]
    assert expected == matcher.find_image(oriented(**near), EVERY_BANK)[0]
    decision = matcher.check_image(oriented(**near), EVERY_BANK)
    assert (make_entry_id(BLOCKING, 1),) == decision.entry_ids


def test_of_equally_near_orientations_the_first_is_named() -> None:
    """A symmetric picture is said to be as it is, not turned."""
    near = {"FLIP_HORIZONTAL": code_at(4), "IDENTITY": code_at(4, at=9)}
    (match,), _ = matcher_of((BLOCKING, 1, ZERO)).find_image(oriented(**near), EVERY_BANK)
    assert whole(BLOCKING, 1, 4, Orientation.IDENTITY) == match


@pytest.mark.parametrize("turn", list(Orientation))
def test_every_orientation_is_asked_for_an_image(turn: Orientation) -> None:
    """An image that matches in one of its 8 orientations only is blocked, and that one named."""
    matcher = matcher_of((BLOCKING, 1, ZERO))
    hashes = oriented(**{turn.name: code_at(3)})
    assert matcher.check_image(hashes, EVERY_BANK).verdict == Verdict.BLOCK
    expected = [whole(BLOCKING, 1, 3, turn)]
    assert expected == matcher.find_image(hashes, EVERY_BANK)[0]


def test_a_hash_is_asked_for_as_it_is() -> None:
    """One hash has one orientation, and its matches are nearest first."""
    matcher = matcher_of((BLOCKING, 1, code_at(8)), (LOGGING, 2, code_at(2)), (LOGGING, 3, ZERO))
    expected = [
        whole(LOGGING, 3, 0, Orientation.IDENTITY),
        whole(LOGGING, 2, 2, Orientation.IDENTITY),
        whole(BLOCKING, 1, 8, Orientation.IDENTITY),
    ]
    assert expected == matcher.find_hash(ZERO, 100, EVERY_BANK)


def test_a_reviewer_sees_within_the_radius_asked_for() -> None:
    """A radius given for the search stands for every bank's own."""
    matcher = matcher_of((LOGGING, 1, code_at(50)), (BLOCKING, 2, code_at(10)))
    found = {
        radius_bits: [match.distance_bits for match in matcher.find_hash(ZERO, 100, selection)]
        for radius_bits in (0, 9, 10, 49, 50, 63)
        for selection in [Selection.of(BANKS, radius_bits)]
    }
    assert found == {0: [], 9: [], 10: [10], 49: [10], 50: [10, 50], 63: [10, 50]}


@pytest.mark.parametrize("count", [MATCHES_MAX - 1, MATCHES_MAX, MATCHES_MAX + 30])
def test_answers_name_at_most_a_hundred_entries(count: int) -> None:
    """Of more matches than the bound, the nearest are named, in every kind of answer."""
    rows = [(number, s, code_at(s % 19)) for number in (1, 3) for s in range(1, count + 1)]
    matcher = matcher_of(*rows)
    blocking, logging = (
        [make_entry_id(number, s) for s in sorted(range(1, count + 1), key=lambda s: (s % 19, s))]
        for number in (BLOCKING, LOGGING)
    )
    for decision in (check(matcher), matcher.check_image(oriented(IDENTITY=ZERO), EVERY_BANK)):
        assert blocking[:MATCHES_MAX] == list(decision.entry_ids)
        assert logging[:MATCHES_MAX] == list(decision.logged_entry_ids)
    for found in (
        matcher.find_hash(ZERO, 100, EVERY_BANK),
        matcher.find_image(oriented(IDENTITY=ZERO), EVERY_BANK)[0],
    ):
        assert len(found) == MATCHES_MAX
        distances = [match.distance_bits for match in found]
        assert sorted(distances) == distances


@pytest.mark.parametrize(
    "count", [0, 1, QUERIES_PER_BLOCK - 1, QUERIES_PER_BLOCK, QUERIES_PER_BLOCK + 1, 1024]
)
def test_a_batch_is_answered_like_its_hashes_one_by_one(count: int) -> None:
    """Where a batch is cut into blocks makes no difference to any of its answers."""
    rng = np.random.default_rng(SEED)
    codes = np.array([code_at(int(bits)) for bits in rng.integers(0, 64, max(count, 1))])[:count]
    qualities = [None if q > 100 else int(q) for q in rng.integers(0, 130, count)]
    entries = [(number, s, code_at(3 * s)) for number in (1, 2, 3) for s in range(1, 20)]
    matcher = matcher_of(*entries)
    one_by_one = [
        matcher.check_hashes(codes[row : row + 1], qualities[row : row + 1], EVERY_BANK)[0]
        for row in range(count)
    ]
    assert one_by_one == matcher.check_hashes(codes, qualities, EVERY_BANK)


def test_the_memory_of_a_batch_is_that_of_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is never asked for more queries at once than a block holds."""
    monkeypatch.setattr(matcher_module, "QUERIES_PER_BLOCK", 10)
    matcher, sizes = matcher_of((1, 1, ZERO)), list[int]()
    search = matcher._hashes.search

    def measured(codes: Codes, radius_bits: int) -> Matches:
        sizes.append(len(codes))
        return search(codes, radius_bits)

    monkeypatch.setattr(matcher._hashes, "search", measured)
    decisions = matcher.check_hashes(np.zeros((25, 32), np.uint8), [None] * 25, EVERY_BANK)
    assert [decision.verdict for decision in decisions] == [Verdict.BLOCK] * 25
    assert sizes == [10, 10, 5]


Photograph = Callable[[str], bytes]


def bank_pictures(greys: Mapping[int, Codes]) -> Matcher:
    """Make a matcher of grey pictures under ids of entries."""
    hashes, codes = Index(), Index(64, attachments=True)
    for entry_id, grey in greys.items():
        fingerprint = take_fingerprint(grey)
        hashes.add([entry_id], np.frombuffer(fingerprint.whole.code, np.uint8)[np.newaxis])
        parts = fingerprint.codes
        codes.add(
            [entry_id] * len(parts),
            parts.view(np.uint8).reshape(-1, 8),
            {entry_id: fingerprint.to_bytes()},
        )
    return Matcher(hashes, codes)


@pytest.fixture(scope="module")
def coffee(photograph: Photograph) -> Codes:
    """Return a photograph in grey."""
    return decode_grey(photograph("coffee.png"))


@pytest.fixture(scope="module")
def crop(coffee: Codes) -> Picture:
    """Return the middle quarter of that photograph, with a patch over a ninth of it."""
    rows, columns = coffee.shape
    middle = coffee[rows // 4 : -rows // 4, columns // 4 : -columns // 4].copy()
    middle[: rows // 6, : columns // 6] = 128
    return Picture(middle)


def one_bank(**fields: object) -> Selection:
    """Ask one bank with such a policy."""
    return Selection.of([Bank(1, "one", Policy(**fields))])  # type: ignore[arg-type]


ENTRY = make_entry_id(1, 5)


@pytest.mark.parametrize(
    ("fields", "verdict", "named"),
    [
        ({}, Verdict.BLOCK, (ENTRY,)),
        ({"action": Action.REVIEW}, Verdict.REVIEW, (ENTRY,)),
        ({"action": Action.LOG}, Verdict.ALLOW, ()),
        ({"coverage_min": 0.5}, Verdict.BLOCK, (ENTRY,)),
        ({"coverage_min": 1.0}, Verdict.ALLOW, ()),
        ({"coverage_min": 1.0, "review_doubtful": True}, Verdict.REVIEW, (ENTRY,)),
        ({"radius_bits": 0}, Verdict.BLOCK, (ENTRY,)),
    ],
)
def test_a_part_of_a_picture_means_what_its_bank_says(
    fields: dict[str, object],
    verdict: Verdict,
    named: tuple[int, ...],
    coffee: Codes,
    crop: Picture,
) -> None:
    """A crop is a match from the bank's coverage on; below, for a person or for nobody."""
    decision = bank_pictures({ENTRY: coffee}).check_image(crop, one_bank(**fields))
    assert (verdict, named) == (decision.verdict, decision.entry_ids)
    assert decision.completeness is Completeness.COMPLETE


def test_a_match_that_only_logs_ends_no_search(coffee: Codes, crop: Picture) -> None:
    """A crop that is banked itself to be logged is still found as a part of what blocks."""
    logged = make_entry_id(LOGGING, 1)
    matcher = bank_pictures({logged: crop._grey, make_entry_id(BLOCKING, 2): coffee})
    decision = matcher.check_image(crop, EVERY_BANK)
    assert decision.verdict is Verdict.BLOCK
    assert decision.entry_ids == (make_entry_id(BLOCKING, 2),)
    assert logged in decision.logged_entry_ids


def test_parts_of_banks_that_are_not_asked_do_not_matter(coffee: Codes, crop: Picture) -> None:
    """A crop of what another bank has is allowed, after every pass."""
    matcher = bank_pictures({make_entry_id(2, 1): coffee})
    decision = matcher.check_image(crop, one_bank())
    assert (decision.verdict, decision.completeness) == (Verdict.ALLOW, Completeness.COMPLETE)


def test_withdrawn_parts_do_not_matter(coffee: Codes, crop: Picture) -> None:
    """An entry that is withdrawn is neither found by its parts nor votes."""
    matcher = bank_pictures({ENTRY: coffee})
    matcher._hashes.withdraw([ENTRY])
    matcher._codes.withdraw([ENTRY])
    assert matcher.find_image(crop, one_bank()) == ([], Completeness.COMPLETE)


def test_no_time_is_said(coffee: Codes, crop: Picture) -> None:
    """A check that could not look at all allows nothing silently."""
    decision = bank_pictures({ENTRY: coffee}).check_image(crop, one_bank(), budget_s=0.0)
    assert (decision.verdict, decision.completeness) == (Verdict.ALLOW, Completeness.CUT_SHORT)


def test_a_reviewer_sees_how_a_part_was_found(coffee: Codes, crop: Picture) -> None:
    """The finding says by what, how much of it, and where the one lies in the other."""
    found, completeness = bank_pictures({ENTRY: coffee}).find_image(crop, one_bank())
    (finding,) = found
    assert completeness is Completeness.COMPLETE
    assert (finding.entry_id, finding.certain, finding.distance_bits) == (ENTRY, True, None)
    assert finding.found_by not in (Pass.WHOLE, Pass.TRIMMED)
    assert finding.coverage is not None
    assert finding.coverage > 0.8
    expected = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
    assert np.allclose(finding.corners_in_entry, expected, atol=0.01)
    expected = [(-0.5, -0.5), (1.5, -0.5), (1.5, 1.5), (-0.5, 1.5)]
    assert np.allclose(finding.corners_in_picture, expected, atol=0.02)
