"""PDQ against the field's own code, a slow reference, and pixels really turned."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pdqhash
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from imageward_index.decode import decode_grey
from imageward_index.errors import InvalidHash
from imageward_index.pdq import (
    HASH_BITS,
    HASH_BYTES,
    QUALITY_MIN,
    Orientation,
    PdqHash,
    hash_grey,
    hash_orientations,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Grey = NDArray[np.uint8]

ROOT: Final = Path(__file__).resolve().parents[2]
GOLDEN: Final = ROOT / "tests" / "golden" / "v1" / "pdq.csv"
SHARED: Final = ROOT.parent / "shared" / "data"
BUNDLED: Final = Path(skimage.data.__file__).parent

with GOLDEN.open(newline="") as file:
    GOLDEN_ROWS: Final = list(csv.DictReader(file))
BUNDLED_NAMES: Final = [row["file"] for row in GOLDEN_ROWS]

TURNS: Final[dict[Orientation, Callable[[Grey], Grey]]] = {
    Orientation.IDENTITY: lambda picture: picture,
    Orientation.ROTATE_90: np.rot90,
    Orientation.ROTATE_180: lambda picture: np.rot90(picture, 2),
    Orientation.ROTATE_270: lambda picture: np.rot90(picture, 3),
    Orientation.FLIP_VERTICAL: np.flipud,
    Orientation.FLIP_HORIZONTAL: np.fliplr,
    Orientation.TRANSPOSE: np.transpose,
    Orientation.TRANSVERSE: lambda picture: np.rot90(picture, 2).T,
}


def bundled(name: str) -> Grey:
    """A photograph that comes with scikit-image."""
    return decode_grey((BUNDLED / name).read_bytes())


def shared_photographs() -> list[Path]:
    """The natural photographs beside the repository."""
    photographs = sorted((SHARED / "photos").glob("*.jpg"))
    if not photographs:
        pytest.skip("the shared photographs are not on this machine")
    return photographs


def peer_pixels(grey: Grey) -> Grey:
    """A grey picture as the three equal channels that the field's code takes."""
    return np.repeat(grey[:, :, np.newaxis], 3, axis=2)


def peer_hash(grey: Grey) -> PdqHash:
    """The hash by the field's own code."""
    bits, quality = pdqhash.compute(peer_pixels(grey))
    return PdqHash(np.packbits(bits.astype(np.uint8)).tobytes(), quality)


def bits_apart(left: PdqHash, right: PdqHash) -> int:
    """The Hamming distance."""
    return (int.from_bytes(left.code) ^ int.from_bytes(right.code)).bit_count()


def oriented(grey: Grey, orientation: Orientation) -> PdqHash:
    """One of the eight hashes of a picture."""
    hashes = hash_orientations(grey)
    return PdqHash(hashes.codes[orientation].tobytes(), hashes.quality)


def noise(seed: int, rows: int, columns: int) -> Grey:
    """Random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (rows, columns), dtype=np.uint8)


# --- an independent reference, written from the paper, as slow as it is plain ---


def slow_box(line: list[float]) -> list[float]:
    """The mean over a window of a 128th of the line, cut at its ends."""
    length = len(line)
    window = (length + 127) // 128
    ahead = (window + 2) // 2
    means = []
    for here in range(length):
        seen = line[max(0, here - window + ahead) : min(length, here + ahead)]
        means.append(sum(seen) / len(seen))
    return means


def slow_samples(grey: Grey) -> NDArray[np.float64]:
    """Rows, columns, rows, columns, then the centre of each of 64 x 64 cells."""
    picture = [[float(pixel) for pixel in row] for row in grey]
    for _ in range(4):
        picture = [list(line) for line in zip(*map(slow_box, picture), strict=True)]
    rows, columns = grey.shape
    return np.array(
        [
            [picture[int((i + 0.5) * rows / 64)][int((j + 0.5) * columns / 64)] for j in range(64)]
            for i in range(64)
        ]
    )


def slow_coefficient(samples: NDArray[np.float64], u: int, v: int) -> float:
    """The DCT-II by definition."""
    down = np.cos(np.pi * u * (2 * np.arange(64) + 1) / 128)
    across = np.cos(np.pi * v * (2 * np.arange(64) + 1) / 128)
    return float(2 / 64 * np.sum(samples * np.outer(down, across)))


def slow_quality(samples: NDArray[np.float64]) -> int:
    """Whole percents of the range from sample to sample, a 90th of their sum."""
    total = 0
    for picture in (samples, samples.T):
        for upper, lower in pairwise(picture):
            total += sum(abs(int((a - b) * 100 / 255)) for a, b in zip(upper, lower, strict=True))
    return min(total // 90, 100)


def slow_hash(grey: Grey) -> PdqHash:
    """The last coefficient is the most significant bit."""
    samples = slow_samples(grey)
    rows = [slow_coefficient(samples, u, v) for u in range(1, 17) for v in range(1, 17)]
    lower_median = sorted(rows)[127]
    number = sum(1 << place for place, value in enumerate(rows) if value > lower_median)
    return PdqHash(number.to_bytes(HASH_BYTES), slow_quality(samples))


@pytest.mark.parametrize(
    ("rows", "columns"), [(5, 5), (5, 300), (64, 64), (70, 130), (129, 128), (257, 200)]
)
def test_equals_the_slow_reference(rows: int, columns: int) -> None:
    """A hash and its quality are what the paper says, computed by definition."""
    # Blocks, so that there is more than noise, and noise, so that no bit is a tie.
    blocks = np.kron(noise(1, -(-rows // 4), -(-columns // 4)), np.ones((4, 4), np.uint8))
    grey = (blocks[:rows, :columns] // 2 + noise(2, rows, columns) // 4).astype(np.uint8)

    assert hash_grey(grey) == slow_hash(grey)


# --- the field's own code ---


@pytest.mark.parametrize("name", BUNDLED_NAMES)
def test_equals_the_peer_on_bundled_photographs(name: str) -> None:
    """The same pixels give the very hash and quality that the field's code gives."""
    grey = bundled(name)

    assert hash_grey(grey) == peer_hash(grey)


@pytest.mark.parametrize("contrast", [0.02, 0.05, 0.1, 0.15, 0.2, 0.3])
@pytest.mark.parametrize("name", ["moon.png", "camera.png", "microaneurysms.png"])
def test_quality_equals_the_peer_on_faded_photographs(name: str, contrast: float) -> None:
    """Qualities below 100 are those of the field's code too, cut to integers where it cuts."""
    grey = (bundled(name) * contrast).astype(np.uint8)

    assert hash_grey(grey).quality == peer_hash(grey).quality


def test_equals_the_peer_on_shared_photographs() -> None:
    """On 500 photographs not one bit and not one quality differs from the field's code."""
    greys = (decode_grey(path.read_bytes()) for path in shared_photographs())

    assert [grey for grey in greys if hash_grey(grey) != peer_hash(grey)] == []


@pytest.mark.parametrize("name", ["astronaut.png", "chelsea.png", "rocket.jpg", "coins.png"])
def test_orientations_are_in_the_peer_s_order(name: str) -> None:
    """The eight codes equal those of the field's code, one by one."""
    grey = bundled(name)
    peer, _ = pdqhash.compute_dihedral(peer_pixels(grey))

    expected = np.packbits(np.array(peer, np.uint8), axis=1)
    assert hash_orientations(grey).codes.tolist() == expected.tolist()


def reference_rows() -> list[dict[str, str]]:
    """Published hashes: file, pdq_hex, implementation."""
    try:
        with (SHARED / "pdq" / "reference.csv").open(newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        pytest.skip("the published PDQ test images are not on this machine")


def test_published_hashes_are_near() -> None:
    """Hashes that four implementations published are at most 12 bits away.

    They differ among themselves by up to 10, for each has its own JPEG decoder.
    """
    far = []
    for row in reference_rows():
        ours = hash_grey(decode_grey((SHARED / "pdq" / row["file"]).read_bytes()))
        assert ours.quality is not None
        distance_bits = bits_apart(ours, PdqHash.from_hex(row["pdq_hex"]))
        if ours.quality >= 80 and distance_bits > 12:
            far.append((row["file"], row["implementation"], distance_bits))

    assert far == []


@pytest.mark.parametrize("row", GOLDEN_ROWS, ids=BUNDLED_NAMES)
def test_golden_hashes_stay(row: dict[str, str]) -> None:
    """Version 1 hashes of bundled photographs never change."""
    assert hash_grey(bundled(row["file"])) == PdqHash.from_hex(row["hash"], int(row["quality"]))


# --- orientations ---


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(5, 127),
    columns=st.integers(5, 127),
    orientation=st.sampled_from(Orientation),
)
def test_orientations_equal_turned_pixels(
    seed: int, rows: int, columns: int, orientation: Orientation
) -> None:
    """Under 128 pixels a side the sampling is symmetric: turned pixels hash exactly alike."""
    grey = noise(seed, rows, columns)

    assert oriented(grey, orientation) == hash_grey(TURNS[orientation](grey))


@pytest.mark.parametrize("orientation", Orientation)
def test_orientations_are_near_turned_photographs(orientation: Orientation) -> None:
    """A large photograph that is really turned stays within 32 bits, unrelated ones are at 128."""
    distances_bits = [
        bits_apart(oriented(grey, orientation), hash_grey(TURNS[orientation](grey)))
        for grey in map(bundled, ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"])
    ]

    assert max(distances_bits) <= 32


def test_orientations_of_a_photograph_are_far_apart() -> None:
    """No orientation is mistaken for another: the eight codes differ by more than 31 bits."""
    hashes = [oriented(bundled("astronaut.png"), orientation) for orientation in Orientation]

    nearest_bits = min(bits_apart(hashes[i], hashes[j]) for i in Orientation for j in range(int(i)))
    assert nearest_bits > 31


# --- odd pictures ---


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (3, 5), (4, 400), (400, 4)])
def test_tiny_pictures_have_the_zero_hash(shape: tuple[int, int]) -> None:
    """A side under 5 pixels gives the zero hash of quality 0, as in the field's code."""
    grey = noise(3, *shape)

    assert hash_grey(grey) == PdqHash(bytes(HASH_BYTES), 0)
    assert hash_grey(grey) == peer_hash(grey)


@pytest.mark.parametrize("shade", [0, 1, 127, 255])
def test_flat_pictures_have_the_zero_hash(shade: int) -> None:
    """No frequency of a flat picture is above the median, whatever its shade and size."""
    grey = np.full((200, 131), shade, np.uint8)

    assert set(hash_orientations(grey).codes.ravel().tolist()) == {0}
    assert hash_grey(grey).quality == 0


@pytest.mark.parametrize("seed", range(8))
def test_symmetric_pictures_have_the_hash_of_their_mirror(seed: int) -> None:
    """Frequencies that are zero on paper are not bits of rounding noise."""
    half = noise(seed, 90, 45)
    codes = hash_orientations(np.hstack([half, np.fliplr(half)])).codes

    assert codes[Orientation.IDENTITY].tolist() == codes[Orientation.FLIP_HORIZONTAL].tolist()


def test_strided_pictures_hash_like_copies() -> None:
    """A view into other pixels hashes like a copy of them."""
    grey = bundled("camera.png")[7:400:2, 300:20:-1]

    assert hash_grey(grey) == hash_grey(grey.copy())


def test_other_arrays_are_our_mistake() -> None:
    """Colour and floating point pictures are refused by assertions."""
    with pytest.raises(AssertionError):
        hash_grey(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(AssertionError):
        hash_grey(np.zeros((8, 8), np.float32))


def test_threads_agree() -> None:
    """Hashes from eight threads at once equal those from one."""
    greys = [noise(seed, 100 + 9 * seed, 300 - 7 * seed) for seed in range(32)]
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(hash_grey, greys))

    assert threaded == [hash_grey(grey) for grey in greys]


def test_a_photograph_has_quality() -> None:
    """An ordinary photograph is above the quality from which the field exchanges hashes."""
    quality = hash_grey(bundled("astronaut.png")).quality

    assert quality is not None
    assert quality >= QUALITY_MIN


# --- the value ---


def test_hex_reads_back() -> None:
    """The field's text form and the 32 bytes are the same hash."""
    text = "0123456789abcdef" * 4

    assert PdqHash.from_hex(text, 77).code == bytes.fromhex(text)
    assert PdqHash.from_hex(text, 77).hex == text
    assert len(PdqHash.from_hex(text).code) * 8 == HASH_BITS


@pytest.mark.parametrize(
    "text",
    ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 64 + "\n", "\u0660" * 64, " " + "0" * 63],
)
def test_other_text_is_refused(text: str) -> None:
    """Only 64 lower-case hex digits are a hash, and the error does not repeat the text."""
    with pytest.raises(InvalidHash) as caught:
        PdqHash.from_hex(text)

    assert caught.value.metadata["characters"] == str(len(text))
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("code", [b"", bytes(31), bytes(33)])
def test_other_widths_are_refused(code: bytes) -> None:
    """A code has 32 bytes."""
    with pytest.raises(InvalidHash):
        PdqHash(code, 50)


@pytest.mark.parametrize("quality", [-1, 101])
def test_other_qualities_are_refused(quality: int) -> None:
    """A quality is within 0..100."""
    with pytest.raises(InvalidHash):
        PdqHash(bytes(HASH_BYTES), quality)


def test_repr_keeps_the_hash_back() -> None:
    """A hash in a log line would be personal data, so repr shows the quality only."""
    grey = bundled("astronaut.png")

    assert repr(PdqHash.from_hex("ab" * 32, 93)) == "PdqHash(quality=93)"
    assert repr(hash_orientations(grey)) == "OrientedHashes(quality=100)"


def test_codes_are_read_only() -> None:
    """Nobody can change the codes of a picture that was hashed."""
    with pytest.raises(ValueError, match="read-only"):
        hash_orientations(noise(4, 50, 50)).codes[0, 0] = 1
