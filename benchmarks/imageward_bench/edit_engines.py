"""Who is measured: imageward, PDQ alone, and peers of the field, behind one face.

A peer whose library is not installed says so and is left out.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from io import BytesIO
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from imageward_bench.decoys import Decoys
from imageward_bench.edits import decode
from imageward_bench.memory_bank import MemoryBank
from imageward_index.answer import THOROUGH, Answer, Pass
from imageward_index.cascade import look_up
from imageward_index.decode import decode_grey
from imageward_index.fingerprint import Fingerprint
from imageward_index.pdq import hash_grey
from imageward_index.picture import fingerprint_image, open_picture

PDQ_RADIUS_BITS = 31
PHASH_RADIUS_BITS = 8
ORB_FEATURES = 500
ORB_RADIUS_BITS = 48
ORB_INLIERS_MIN = 12
ORB_REPROJECTION_PX = 5.0
POINTS_OF_A_HOMOGRAPHY = 4


class Engine(Protocol):
    """Banks images, and says which of them an upload is."""

    name: str

    def bank(self, images: Sequence[bytes]) -> None:
        """Bank these and nothing else."""

    def find(self, image: bytes) -> int | None:
        """The place of the banked image that an upload is blocked for."""


class Imageward:
    """The whole cascade.

    Attributes:
        answer: what the last look found.
        extra_ms: processor time of the last look beyond decoding, hashing and searching.
        search_ms: processor time of its searches.
    """

    name = "imageward"
    answer: Answer
    extra_ms = 0.0
    search_ms = 0.0

    def __init__(self) -> None:
        self.fingerprints: list[Fingerprint] = []
        self._bank = MemoryBank([])

    def bank(self, images: Sequence[bytes]) -> None:
        """Keep fingerprints as they come back from their wire form."""
        prints = [fingerprint_image(image) for image in images]
        self.fingerprints = [Fingerprint.from_bytes(one.to_bytes()) for one in prints]
        self._bank = MemoryBank(self.fingerprints)

    def crowd(self, decoys: Decoys, count: int) -> None:
        """Bank so many decoys beside what is banked, in place of those before."""
        self._bank = MemoryBank(self.fingerprints, decoys, count)

    def find(self, image: bytes, last: Pass = THOROUGH) -> int | None:
        """Return the first certain finding."""
        picture = open_picture(image)
        assert picture.whole is not None
        self._bank.search_s = 0.0
        begun = time.thread_time()
        self.answer = look_up(picture, self._bank, last=last)
        self.search_ms = self._bank.search_s * 1000
        self.extra_ms = (time.thread_time() - begun) * 1000 - self.search_ms
        findings = self.answer.findings
        return findings[0].entry_id if findings and findings[0].certain else None


class _Nearest:
    """Engines with one code an image: the nearest within a radius."""

    radius_bits = 0

    def __init__(self) -> None:
        self._codes = np.empty((0, 1), np.uint8)

    def bank(self, images: Sequence[bytes]) -> None:
        """Keep codes."""
        self._codes = np.stack([self.code(image) for image in images])

    def find(self, image: bytes) -> int | None:
        """Return the nearest within the radius."""
        distances = np.bitwise_count(self._codes ^ self.code(image)).sum(axis=1)
        nearest = int(distances.argmin())
        return nearest if distances[nearest] <= self.radius_bits else None

    def code(self, image: bytes) -> NDArray[np.uint8]:
        """Hash an image."""
        raise NotImplementedError


class PdqAlone(_Nearest):
    """PDQ as the field uses it: upright, at most 31 bits."""

    name = "PDQ alone"
    radius_bits = PDQ_RADIUS_BITS

    def code(self, image: bytes) -> NDArray[np.uint8]:
        """Hash an image."""
        return np.frombuffer(hash_grey(decode_grey(image)).code, np.uint8)


class PHash(_Nearest):
    """imagehash's pHash, 64 bits."""

    name = "pHash"
    radius_bits = PHASH_RADIUS_BITS

    def code(self, image: bytes) -> NDArray[np.uint8]:
        """Hash an image."""
        import imagehash  # noqa: PLC0415 a peer that need not be there
        from PIL import Image  # noqa: PLC0415 the same

        return np.packbits(imagehash.phash(Image.open(BytesIO(image))).hash)


class CropResistant:
    """imagehash's crop-resistant hash, at its own limits."""

    name = "crop-resistant"

    def __init__(self) -> None:
        self._hashes: list[object] = []

    def bank(self, images: Sequence[bytes]) -> None:
        """Keep hashes of segments."""
        self._hashes = [self._hash(image) for image in images]

    def find(self, image: bytes) -> int | None:
        """Return the best match in the library's own order."""
        asked = self._hash(image)
        matching = [i for i, one in enumerate(self._hashes) if one.matches(asked)]  # type: ignore[attr-defined]
        return min(matching, key=lambda i: self._hashes[i] - asked, default=None)  # type: ignore[operator]

    @staticmethod
    def _hash(image: bytes) -> object:
        import imagehash  # noqa: PLC0415 a peer that need not be there
        from PIL import Image  # noqa: PLC0415 the same

        return imagehash.crop_resistant_hash(Image.open(BytesIO(image)).convert("RGB"))


class Orb:
    """ORB, the most voted image, and inliers of a homography. It keeps far more than codes."""

    name = "ORB"

    def __init__(self) -> None:
        self._orb = cv2.ORB.create(ORB_FEATURES)
        self._matcher = cv2.BFMatcher(cv2.NORM_HAMMING)
        self._places: list[NDArray[np.float32]] = []
        self._codes: list[NDArray[np.uint8]] = []

    def bank(self, images: Sequence[bytes]) -> None:
        """Keep places and descriptors."""
        found = [self._describe(image) for image in images]
        self._places = [places for places, _ in found]
        self._codes = [codes for _, codes in found]
        self._matcher.clear()
        self._matcher.add(self._codes)

    def find(self, image: bytes) -> int | None:
        """Return the most voted image if enough of the votes agree on a homography."""
        places, codes = self._describe(image)
        matches = [m for m in self._matcher.match(codes) if m.distance <= ORB_RADIUS_BITS]
        if not matches:
            return None
        voted = int(np.bincount([m.imgIdx for m in matches]).argmax())
        pairs = [(m.queryIdx, m.trainIdx) for m in matches if m.imgIdx == voted]
        if len(pairs) < POINTS_OF_A_HOMOGRAPHY:
            return None
        asked, banked = np.array(pairs).T
        cv2.setRNGSeed(0)
        _, inliers = cv2.findHomography(
            places[asked], self._places[voted][banked], cv2.RANSAC, ORB_REPROJECTION_PX
        )
        agree = 0 if inliers is None else int(inliers.sum())
        return voted if agree >= ORB_INLIERS_MIN else None

    def _describe(self, image: bytes) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        points, codes = self._orb.detectAndCompute(decode(image), None)
        if codes is None:
            return np.empty((0, 2), np.float32), np.zeros((0, 32), np.uint8)
        return np.array([point.pt for point in points], np.float32), np.asarray(codes, np.uint8)


PEERS: dict[type[PdqAlone | PHash | CropResistant | Orb], str] = {
    PdqAlone: "numpy",
    PHash: "imagehash",
    CropResistant: "imagehash",
    Orb: "cv2",
}


def available_peers() -> tuple[list[Engine], dict[str, str]]:
    """Make the peers whose library is there, and say why the others are left out."""
    here, missing = [], {}
    for peer, library in PEERS.items():
        if importlib.util.find_spec(library):
            here.append(peer())
        else:
            missing[peer.name] = f"{library} is not installed"
    return list(here), missing
