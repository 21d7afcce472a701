"""Maps and their verification, against OpenCV's estimates and maps made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from imageward_index.box import WHOLE_IMAGE
from imageward_index.decode import cv2, decode_grey
from imageward_index.fingerprint import RegionalPart
from imageward_index.geometry import Alignment, Query, align, map_corners, verify
from imageward_index.guided_match import PAIR_RADIUS_BITS, list_pairs
from imageward_index.homography import (
    fit_affine,
    fit_homography,
    map_area,
    map_point,
    map_pose,
    similarity_between,
    solve,
    take_poses,
)
from imageward_index.picture import Picture, take_fingerprint
from imageward_index.vote import CodeHits, rank_candidates

Photograph = Callable[[str], bytes]
Matrix = NDArray[np.float64]

TILT = np.array([[0.9, -0.3, 0.2], [0.25, 1.1, -0.1], [0.1, -0.05, 1.0]])


def poses(seed: int, count: int) -> Matrix:
    """Random poses: x, y, size of a pixel, and an angle's cosine and sine."""
    rng = np.random.default_rng(seed)
    low, high = [0.05, 0.05, 0.002, -3.1], [0.95, 0.65, 0.02, 3.1]
    return take_poses(rng.uniform(low, high, (count, 4)))


def mapped_poses(matrix: Matrix, of: Matrix) -> Matrix:
    """Poses where a map puts them."""
    to = np.empty_like(of)
    for pose, result in zip(of, to, strict=True):
        assert map_pose(matrix, pose, result)
    return to


def pairs_of(count: int) -> NDArray[np.int64]:
    """Each with itself."""
    return np.repeat(np.arange(count)[:, np.newaxis], 2, axis=1)


def part_of(image: bytes) -> RegionalPart:
    """What a bank keeps for finding parts."""
    part = take_fingerprint(decode_grey(image)).regional
    assert part is not None
    return part


def best_alignment(query: Query, part: RegionalPart) -> Alignment:
    """The surest alignment from the nearest pairs of codes."""
    bits = np.bitwise_count(query.regions.codes[:, None] ^ part.regions.codes[None, :])
    seeds = np.argwhere(bits <= 6)[:12].tolist()
    grown = align(query, part.regions, [(q, b) for q, b in seeds])
    verified = [verify(query, part.regions, part.grid, *one) for one in grown]
    return max(verified, key=lambda one: one.margin, default=Alignment(np.eye(3), 0))


@pytest.mark.parametrize("seed", range(5))
def test_solving_is_numpy_s(seed: int) -> None:
    """Elimination gives what LAPACK gives."""
    rng = np.random.default_rng(seed)
    matrix, right = rng.normal(size=(8, 8)), rng.normal(size=(8, 2))
    expected = np.linalg.solve(matrix, right)

    assert solve(matrix, right)
    assert right == pytest.approx(expected)


def test_a_singular_system_is_told() -> None:
    """Equations that repeat one another have no one solution."""
    assert not solve(np.ones((3, 3)), np.ones((3, 1)))


def test_listed_pairs_are_all_that_are_near() -> None:
    """Every pair within the radius is listed once, with numpy's count of bits, by the other."""
    rng = np.random.default_rng(12)
    one = rng.integers(0, 2**64, 60, dtype=np.uint64)
    other = one[:40] ^ (rng.integers(0, 2**64, 40, dtype=np.uint64) & np.uint64(0xFFFF_FFFF))
    bits = np.bitwise_count(other[:, None] ^ one[None, :])
    expected = [(i, k, bits[k, i]) for k, i in np.argwhere(bits <= PAIR_RADIUS_BITS)]
    listed = np.empty((200, 3), np.int64)
    count = list_pairs(one, other, listed)

    assert listed[:count].tolist() == [list(row) for row in expected]
    assert list_pairs(one, other, listed[:3]) == 3


@pytest.mark.parametrize("count", range(18))
def test_no_pair_beyond_the_codes_is_listed(count: int) -> None:
    """However few codes fill the last eight, zeros behind them are near none."""
    listed = np.empty((20, 3), np.int64)
    found = list_pairs(np.full(count, 3, np.uint64), np.zeros(1, np.uint64), listed)

    assert listed[:found].tolist() == [[i, 0, 2] for i in range(count)]


def test_mapping_a_place_is_opencv_s() -> None:
    """A homography moves places as `cv2.perspectiveTransform` does."""
    places = np.random.default_rng(1).uniform(0, 1, (20, 2))
    expected = cv2.perspectiveTransform(places[np.newaxis], TILT)[0]

    mapped = np.array([map_point(TILT, x, y)[:2] for x, y in places])
    assert mapped == pytest.approx(expected)


def test_mapping_a_pose_is_mapping_its_arm() -> None:
    """A pose's direction is where a short step along it goes, its size what an area becomes."""
    for pose in poses(2, 20):
        result = np.empty(5)
        map_pose(TILT, pose, result)
        square = pose[:2] + 1e-6 * np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        turned = pose[:2] + 1e-6 * np.array([[0, 0], pose[3:]])
        mapped = cv2.perspectiveTransform(np.array([*square, *turned])[np.newaxis], TILT)[0]
        side = math.sqrt(cv2.contourArea(((mapped[:4] - mapped[0]) * 1e6).astype(np.float32)))
        assert math.atan2(*(mapped[5] - mapped[4])[::-1]) == pytest.approx(
            math.atan2(result[4], result[3]), abs=1e-4
        )
        assert side * pose[2] == pytest.approx(result[2], rel=1e-3)
        assert math.sqrt(map_area(TILT, *pose[:2])) == pytest.approx(result[2] / pose[2])


def test_places_behind_are_not_mapped() -> None:
    """Beyond the line that a homography sends away there is no place."""
    matrix = np.array([[1.0, 0, 0], [0, 1, 0], [-2, 0, 1]])

    assert map_point(matrix, 0.9, 0.0)[2] < 0
    assert not map_pose(matrix, np.array([0.9, 0.0, 0.01, 1.0, 0.0]), np.empty(5))
    assert map_area(matrix, 0.9, 0.0) == 0.0
    assert map_corners(matrix, 1.0, 0.7) is None


def test_a_seed_s_similarity_puts_the_pose_on_the_other() -> None:
    """The similarity between two poses maps the one exactly onto the other."""
    one, other = poses(3, 2)
    result = np.empty(5)
    map_pose(similarity_between(one, other), one, result)

    assert result == pytest.approx(other)


def test_an_affine_fit_is_opencv_s() -> None:
    """From places with noise, the fit without arms is that of all of OpenCV's inliers."""
    to_bank = np.array([[0.7, -0.4, 0.3], [0.5, 0.8, -0.1], [0, 0, 1]])
    one = poses(4, 40)
    other = mapped_poses(to_bank, one)
    other[:, :2] += np.random.default_rng(5).normal(0, 0.002, (40, 2))
    solved, fitted = fit_affine(one, other, pairs_of(40), 16.0, 0.0)
    expected, _ = cv2.estimateAffine2D(
        one[:, :2].copy(), other[:, :2].copy(), ransacReprojThreshold=1.0
    )

    assert solved
    assert fitted[:2] == pytest.approx(expected, abs=2e-3)


def test_one_pair_is_enough_for_an_affine_fit() -> None:
    """The arms of a single pose make its similarity."""
    one, other = poses(6, 2)
    solved, fitted = fit_affine(one[np.newaxis], other[np.newaxis], pairs_of(1), 16.0, 0.1)

    assert solved
    assert fitted == pytest.approx(similarity_between(one, other), abs=1e-6)


def test_a_homography_fit_finds_the_map() -> None:
    """From exact places the map comes back, up to what the ridge holds."""
    one = poses(7, 60)
    solved, fitted = fit_homography(one, mapped_poses(TILT, one), pairs_of(60), 1e-9)

    assert solved
    assert fitted / fitted[2, 2] == pytest.approx(TILT, abs=1e-3)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("name", ["astronaut.png", "coffee.png", "chelsea.png"])
def test_a_known_warp_is_recovered(name: str, mirrored: bool, photograph: Photograph) -> None:  # noqa: FBT001 a parameter
    """The corners of a warped picture are found within 2 % of its longer side."""
    colour = cv2.imdecode(np.frombuffer(photograph(name), np.uint8), cv2.IMREAD_GRAYSCALE)
    rows, columns = colour.shape
    corners = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    moved = corners * 0.7 + np.array([[60, 20], [40, 55], [70, 60], [35, 50]], np.float32)
    to = cv2.getPerspectiveTransform(corners, moved)
    if mirrored:
        to = np.array([[-1.0, 0, columns], [0, 1, 0], [0, 0, 1]]) @ to
    rng = np.random.default_rng(8)
    behind = cv2.resize(rng.integers(0, 256, (9, 9), dtype=np.uint8), (columns, rows))
    warped = cv2.warpPerspective(colour, to, (columns, rows), behind, borderMode=5)
    query = Picture(np.asarray(warped, np.uint8)).fine
    found = best_alignment(query.mirror() if mirrored else query, part_of(photograph(name)))
    longer = max(rows, columns)
    expected = cv2.perspectiveTransform(corners[np.newaxis].astype(float), to)[0] / longer

    assert found.is_certain
    at = map_corners(np.linalg.inv(found.to_bank), columns / longer, rows / longer)
    assert at == pytest.approx(expected, abs=0.02)


def test_an_unrelated_picture_is_not_certain(photograph: Photograph) -> None:
    """However two pictures are laid on each other, the windows do not agree."""
    query = Picture(decode_grey(photograph("coffee.png"))).coarse
    part = part_of(photograph("astronaut.png"))
    laid = [verify(query, part.regions, part.grid, 9, np.eye(3) * (s, s, 1)) for s in (0.5, 1, 2)]

    assert max(one.coverage for one in laid) < 0.1
    assert not any(one.is_certain or one.is_doubtful for one in laid)


def test_a_map_that_is_none_is_no_alignment(photograph: Photograph) -> None:
    """A singular map covers nothing."""
    part = part_of(photograph("coffee.png"))
    query = Picture(decode_grey(photograph("coffee.png"))).coarse

    assert verify(query, part.regions, part.grid, 5, np.zeros((3, 3))).coverage == 0.0


def test_the_query_knows_all_of_the_picture() -> None:
    """A query made of all pixels has the whole image as its content."""
    grey = np.random.default_rng(9).integers(0, 256, (200, 300), dtype=np.uint8)

    assert Picture(grey).fine.content == WHOLE_IMAGE


def test_rare_codes_outvote_common_ones() -> None:
    """One code that hits one entry beats three that hit every entry."""
    common = [(query, entry) for query in range(3) for entry in range(10)]
    queries, entries = np.array([*common, (3, 99)]).T
    hits = CodeHits(queries, entries, np.zeros(31, np.int64), np.zeros(31, np.int64))
    first, second, *_ = rank_candidates(hits, 5)

    assert (first.entry_id, first.vote, first.seeds) == (99, 1.0, ((3, 0),))
    assert second.vote == pytest.approx(0.3)


def test_a_code_that_hits_an_entry_twice_votes_once() -> None:
    """Repeated patterns do not stuff the ballot."""
    hits = CodeHits(*np.array([[0, 0, 1], [7, 7, 8], [1, 2, 0], [3, 1, 0]]))
    ranked = rank_candidates(hits, 5)

    assert [(one.entry_id, one.vote) for one in ranked] == [(7, 1.0), (8, 1.0)]
    assert ranked[0].seeds == ((0, 2), (0, 1))


def test_no_hits_no_candidates() -> None:
    """Nothing found is nobody to verify."""
    nothing = np.empty(0, np.int64)

    assert rank_candidates(CodeHits(nothing, nothing, nothing, nothing), 5) == []
