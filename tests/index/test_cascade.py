"""The cascade on real photographs: every family of edits is found, nothing else is."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from imageward_bench.edit_suite import EDITS, Edit
from imageward_bench.edits import decode, jpeg
from imageward_bench.memory_bank import MemoryBank
from imageward_bench.negatives import OVERLAYS, made_up, under
from imageward_index.answer import FAST, THOROUGH, Answer, Pass
from imageward_index.box import WHOLE_IMAGE
from imageward_index.cascade import PASS_COST_S, look_up
from imageward_index.decode import decode_grey
from imageward_index.fingerprint import Fingerprint
from imageward_index.picture import Picture, fingerprint_image, open_picture, take_fingerprint
from imageward_index.searchable import WholeHits
from imageward_index.vote import CodeHits

Photograph = Callable[[str], bytes]

BANKED = ("astronaut.png", "chelsea.png", "coffee.png", "camera.png", "rocket.jpg")
OTHERS = ("ihc.png", "moon.png", "brick.png", "grass.png", "gravel.png", "coins.png")
# The heaviest combination is for the benchmark, which says how often it is found.
SURE = [edit for edit in EDITS if edit.name != "turned 8 + crop 70 % + caption"]


def fingerprint_of(image: bytes) -> Fingerprint:
    """What a bank keeps of an image."""
    return fingerprint_image(image)


def ask(image: bytes, bank: MemoryBank, last: Pass = THOROUGH) -> Answer:
    """Look an image up with all the time it takes."""
    return look_up(open_picture(image), bank, last=last)


@pytest.fixture(scope="module")
def bank(photograph: Photograph) -> MemoryBank:
    """Return a bank of a few photographs."""
    return MemoryBank([fingerprint_of(photograph(name)) for name in BANKED])


@pytest.mark.parametrize("edit", SURE, ids=lambda edit: edit.name)
def test_an_edit_is_found(edit: Edit, bank: MemoryBank, photograph: Photograph) -> None:
    """Each edit of two photographs is certain, and is named as what it is."""
    for number in (0, 2):
        picture = decode(photograph(BANKED[number]))
        rng = np.random.default_rng([1, number, zlib.crc32(edit.name.encode())])
        answer = ask(edit.apply(picture, rng), bank)
        assert answer.certain, BANKED[number]
        assert [one.entry_id for one in answer.findings if one.certain] == [number]


@pytest.mark.parametrize("name", OTHERS)
def test_other_photographs_are_not(name: str, bank: MemoryBank, photograph: Photograph) -> None:
    """A photograph of something else is neither certain nor doubtful, after every pass."""
    answer = ask(photograph(name), bank)

    assert answer.findings == ()
    assert answer.passes == tuple(Pass)
    assert answer.complete


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_not_the_picture(overlay: str, photograph: Photograph) -> None:
    """What is banked only under an overlay does not block other pictures under it."""
    banked = [fingerprint_of(under(overlay, decode(photograph(name)))) for name in BANKED]
    answers = [
        ask(under(overlay, decode(photograph(name))), MemoryBank(banked)) for name in OTHERS[:3]
    ]

    assert not any(answer.certain for answer in answers)


def test_a_banked_screenshot_finds_its_picture(photograph: Photograph) -> None:
    """The picture itself is found, even cropped, when only a screenshot of it was banked."""
    picture = decode(photograph("coffee.png"))
    bank = MemoryBank([fingerprint_of(under("screenshot, light", picture))])
    rows, columns = picture.shape[:2]
    crop = picture[rows // 6 : -rows // 6, columns // 6 : -columns // 6]

    assert ask(jpeg(picture), bank).certain
    assert ask(jpeg(np.ascontiguousarray(crop)), bank).certain


def hostile() -> Iterator[tuple[str, np.ndarray]]:
    """Pictures with nothing in them, or too much."""
    rng = np.random.default_rng(6)
    for kind, picture in made_up(rng, 2):
        yield kind, picture[..., 0]
    yield "one pixel", np.zeros((1, 1), np.uint8)
    yield "a line", rng.integers(0, 256, (1, 10_000), dtype=np.uint8)
    yield "a column", rng.integers(0, 256, (10_000, 1), dtype=np.uint8)
    yield (
        "a board",
        np.kron(np.indices((20, 20)).sum(0) % 2, np.ones((16, 16))).astype(np.uint8) * 255,
    )


@pytest.mark.parametrize(("kind", "grey"), list(hostile()), ids=lambda value: str(value)[:9])
def test_hostile_pictures_match_nothing(kind: str, grey: np.ndarray, bank: MemoryBank) -> None:
    """They neither match nor crash, and are no trap for others once they are banked."""
    picture = Picture(np.ascontiguousarray(grey))
    assert not look_up(picture, bank).findings, kind
    trap = MemoryBank([take_fingerprint(np.ascontiguousarray(grey))])
    noisy = np.random.default_rng(7).integers(0, 256, (300, 400), dtype=np.uint8)

    assert not look_up(Picture(noisy), trap).certain


def test_the_cascade_stops_when_it_is_certain(bank: MemoryBank, photograph: Photograph) -> None:
    """An unchanged picture needs its PDQ hash and nothing else."""
    answer = ask(photograph("coffee.png"), bank)

    assert answer.passes == (Pass.WHOLE,)
    assert answer.findings[0].distance_bits == 0


def test_a_fast_check_leaves_passes_out_and_is_complete(
    bank: MemoryBank, photograph: Photograph
) -> None:
    """Who asks for less gets all of what was asked for."""
    answer = ask(photograph("moon.png"), bank, FAST)

    assert answer.passes == (Pass.WHOLE, Pass.TRIMMED, Pass.REGIONS)
    assert answer.complete


class Slow(MemoryBank):
    """A bank whose every answer takes a second on a clock of its own."""

    now_s = 0.0

    def _wait(self) -> None:
        self.now_s += 1.0

    def find_whole(self, codes: NDArray[np.uint8]) -> WholeHits:
        """Answer a second later."""
        self._wait()
        return super().find_whole(codes)

    def find_codes(self, codes: NDArray[np.uint64], radius_bits: int) -> CodeHits:
        """Answer a second later."""
        self._wait()
        return super().find_codes(codes, radius_bits)

    def fingerprint(self, entry_id: int) -> Fingerprint | None:
        """Answer a second later."""
        self._wait()
        return super().fingerprint(entry_id)


@pytest.fixture(scope="module")
def crop(photograph: Photograph) -> bytes:
    """Return the middle of a banked photograph, mirrored: found late."""
    picture = decode(photograph("coffee.png"))
    return jpeg(np.ascontiguousarray(picture[100:300, 400:150:-1]))


@pytest.mark.parametrize("budget_s", np.arange(0.5, 9).tolist())
def test_an_answer_is_late_by_one_step_at_most(
    budget_s: float, photograph: Photograph, crop: bytes
) -> None:
    """Whatever the budget, nothing is begun after its end; what was not done is told."""
    bank = Slow([fingerprint_image(photograph(name)) for name in BANKED])
    full = look_up(open_picture(crop), bank, clock=lambda: bank.now_s)
    needed_s, bank.now_s = bank.now_s, 0.0
    answer = look_up(open_picture(crop), bank, budget_s=budget_s, clock=lambda: bank.now_s)

    assert full.certain
    assert bank.now_s < budget_s + 1
    assert answer.complete == (budget_s >= needed_s)
    assert answer.complete or answer.passes == full.passes[: len(answer.passes)]


def test_a_pass_that_does_not_fit_is_not_begun(bank: MemoryBank, photograph: Photograph) -> None:
    """With half of what a pass takes left, it is left out and the answer says so."""
    cost_s = PASS_COST_S[Pass.WHOLE]
    picture = open_picture(photograph("moon.png"))
    answer = look_up(picture, bank, budget_s=cost_s / 2, clock=lambda: 0.0)

    assert (answer.findings, answer.passes, answer.complete) == ((), (), False)


def test_a_caller_says_what_suffices(bank: MemoryBank, photograph: Photograph) -> None:
    """Findings that change nothing do not end the cascade."""
    answer = look_up(open_picture(photograph("coffee.png")), bank, suffices=lambda _: False)

    assert answer.passes == tuple(Pass)
    assert answer.complete


class Listening(MemoryBank):
    """A bank that remembers what it was asked."""

    def __init__(self, fingerprints: list[Fingerprint]) -> None:
        super().__init__(fingerprints)
        self.asked: list[tuple[int, int]] = []

    def find_codes(self, codes: NDArray[np.uint64], radius_bits: int) -> CodeHits:
        """Answer, and remember how many codes were asked for, and how far."""
        self.asked.append((len(codes), radius_bits))
        return super().find_codes(codes, radius_bits)


def test_each_pass_asks_as_far_as_it_says(photograph: Photograph) -> None:
    """128 codes within 4 bits, then 6, then 6 mirrored; 248 within 4, and mirrored."""
    bank = Listening([fingerprint_of(photograph("coffee.png"))])
    ask(photograph("gravel.png"), bank)

    assert bank.asked == [(128, 4), (128, 6), (128, 6), (248, 4), (248, 4)]


def test_plain_hashes_are_found_by_pdq_only(photograph: Photograph) -> None:
    """An entry without regions is found where PDQ finds it, and is no trouble elsewhere."""
    plain = Fingerprint(fingerprint_of(photograph("coffee.png")).whole)
    bank = MemoryBank([plain, fingerprint_of(photograph("chelsea.png"))])
    whole = decode(photograph("coffee.png"))
    crop = np.ascontiguousarray(whole[60:-60, 90:-90])

    assert [one.entry_id for one in ask(jpeg(whole), bank).findings] == [0]
    assert not ask(jpeg(crop), bank).findings


def test_corners_say_where_it_lies(photograph: Photograph) -> None:
    """A crop's corners lie in the entry where it was cut, and the entry's around the crop."""
    whole = decode(photograph("coffee.png"))
    rows, columns = whole.shape[:2]
    crop = np.ascontiguousarray(whole[rows // 4 : rows * 3 // 4, columns // 4 : columns * 3 // 4])
    bank = MemoryBank([fingerprint_of(photograph("coffee.png"))])
    found = ask(jpeg(crop), bank).findings[0]
    inner = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
    outer = [(-0.5, -0.5), (1.5, -0.5), (1.5, 1.5), (-0.5, 1.5)]

    assert np.array(found.corners_in_entry) == pytest.approx(np.array(inner), abs=0.01)
    assert np.array(found.corners_in_picture) == pytest.approx(np.array(outer), abs=0.02)
    assert found.coverage == pytest.approx(1.0, abs=0.15)
    assert found.inliers >= 10


def test_a_border_is_no_content(photograph: Photograph) -> None:
    """A bordered picture's content is the picture; a picture without border is all content."""
    grey = decode_grey(photograph("coffee.png"))
    box = Picture(np.pad(grey, ((40, 40), (60, 60)), constant_values=255)).box

    assert Picture(grey).box == WHOLE_IMAGE
    assert box.left == pytest.approx(60 / (grey.shape[1] + 120), abs=0.01)
    assert box.height == pytest.approx(grey.shape[0] / (grey.shape[0] + 80), abs=0.01)
