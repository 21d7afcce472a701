"""Pictures and fingerprints from image bytes, none of which is decoded in this process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import numpy as np
from numpy.typing import NDArray

from imageward_index.decode import IMAGE_BYTES_MAX
from imageward_index.errors import ImageTooLarge
from imageward_index.fingerprint import Fingerprint
from imageward_index.geometry import Query
from imageward_index.lazy_property import lazy_property
from imageward_index.pdq import OrientedHashes
from imageward_server.cage.job import Job
from imageward_server.cage.payloads import read_fingerprint, read_hashes, read_query, read_view
from imageward_server.cage.pool import Pool
from imageward_server.cage.protocol import Order
from imageward_server.cage.retirement import Retirement
from imageward_server.cage.zygote_process import ZygoteProcess

LEASE_S_DEFAULT: Final = 10.0
"""What a job without a deadline takes at most, waiting for a cell included."""


class CagedPicture:
    """A picture in a cell, as `imageward_index.picture.Picture` is one in this process.

    Each of its hashes is taken when it is first asked for, and may then raise what
    `Cage.look` raises.
    """

    def __init__(self, job: Job) -> None:
        self._job = job

    @lazy_property
    def whole(self) -> OrientedHashes:
        """The PDQ hashes of the picture."""
        return self._job.ask(Order.WHOLE, read_hashes)

    @lazy_property
    def trimmed(self) -> OrientedHashes | None:
        """The PDQ hashes of its content; None where that is all of it."""
        return self._job.ask(Order.TRIMMED, lambda data: read_hashes(data) if data else None)

    @lazy_property
    def coarse(self) -> Query:
        """The regions of its content as a crop would show them."""
        return self._job.ask(Order.COARSE, read_query)

    @lazy_property
    def fine(self) -> Query:
        """The regions of all of it, as many as a bank has."""
        return self._job.ask(Order.FINE, read_query)


class Cage:
    """Decodes and fingerprints images in cells. Safe to use from many threads.

    Args:
        cells: images at once at full priority.
        slow: images at once that take long, at a low priority.
        start_zygote: starts the process that cells are forked from.
    """

    def __init__(
        self,
        cells: int,
        slow: int,
        start_zygote: Callable[[], ZygoteProcess] = ZygoteProcess,
    ) -> None:
        self.pool = Pool(cells, slow, start_zygote)

    def start(self) -> None:
        """Return when all cells are ready.

        Raises:
            OSError: they cannot be started.
        """
        self.pool.start()

    def close(self) -> None:
        """End all cells."""
        self.pool.close()

    @property
    def retirements(self) -> dict[Retirement, int]:
        """How many cells were ended, by reason, since the start."""
        return self.pool.counts

    @contextmanager
    def look(self, image: bytes, deadline: float | None = None) -> Iterator[CagedPicture]:
        """Open an upload to be checked, in a cell that is held for the time of the `with`.

        Args:
            image: the file, 1..20,000,000 bytes.
            deadline: when the caller gives up, as `time.monotonic` tells it; in 10 s if None.

        Raises:
            InvalidImage: the image is refused: `imageward_index.picture.open_picture` says
                for what, and ImageTooCostly for taking too long.
            TooManyCostlyImages: it takes long, and too many do at the moment.
            DeadlineExceeded: the caller waits no more.
            Loading: there are no cells at the moment.
        """
        with self._job(image, deadline, Order.TAKE_REDUCED) as job:
            job.ask(Order.OPEN, lambda _: None)
            yield CagedPicture(job)

    def fingerprint(self, image: bytes, deadline: float | None = None) -> Fingerprint:
        """Take all hashes of an image to be banked; arguments and errors are those of `look`."""
        with self._job(image, deadline) as job:
            return job.ask(Order.FINGERPRINT, read_fingerprint)

    def view(self, image: bytes, deadline: float | None = None) -> NDArray[np.uint8]:
        """Shrink an image for a person to look at; arguments and errors are those of `look`.

        Returns:
            (H, W) uint8 in grey, 1..1,024 a side.
        """
        with self._job(image, deadline, Order.TAKE_REDUCED) as job:
            return job.ask(Order.VIEW, read_view)

    @contextmanager
    def _job(self, image: bytes, deadline: float | None, take: Order = Order.TAKE) -> Iterator[Job]:
        if len(image) > IMAGE_BYTES_MAX:
            raise ImageTooLarge(
                f"the image has {len(image)} bytes, the most is {IMAGE_BYTES_MAX}; "
                "send a smaller copy",
                bytes=len(image),
                bytes_max=IMAGE_BYTES_MAX,
            )
        if deadline is None:
            deadline = time.monotonic() + LEASE_S_DEFAULT
        job = Job(self.pool, image, deadline)
        try:
            job.take(take)
            yield job
        finally:
            job.end()
