"""Asks the same question over many connections until every one of them tells of a change.

The kernel deals connections out to workers, so many of them see all workers. Each asks
now and then, and not as fast as it can: the questions would be the load.
"""

from __future__ import annotations

import select
import time
from collections.abc import Sequence
from contextlib import ExitStack
from math import inf
from types import TracebackType
from typing import Self

from imageward.v1 import hash_pb2, match_pb2
from imageward_bench.load.connection import STATUS_OK
from imageward_bench.load.link import Link
from imageward_bench.load.requests import PATHS

SHARED = (
    ("content-type", "application/grpc"),
    ("te", "trailers"),
    ("user-agent", "imageward-bench"),
)
SEEN_S_MAX = 30.0
# Between two questions of a connection: what a time may be too long by.
POLL_S = 0.02


class NeverSeen(Exception):
    """A change was not seen through every connection within the time."""


class Watch:
    """Connections that all ask about one hash.

    Args:
        target: host and port.
        connections: how many.
    """

    def __init__(self, target: str, connections: int) -> None:
        self._target, self._count = target, connections
        self._links: list[Link] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for _ in range(self._count):
            link = Link(self._target, SHARED)
            self._stack.callback(link.close)
            self._links.append(link)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def seen_s(self, code: bytes, *, blocked: bool, begun_s: float) -> list[float]:
        """Wait until every connection answers a hash as it must.

        Args:
            code: the hash, 32 bytes.
            blocked: whether it must be a BLOCK, or no longer one.
            begun_s: `time.monotonic` when the change was sent.

        Returns:
            For each connection, the seconds from then to the first such answer.

        Raises:
            NeverSeen: one did not within the time.
        """
        asked = hash_pb2.PdqHash(pdq=code)
        message = match_pb2.CheckHashesRequest(hashes=[asked]).SerializeToString()
        # Spread over the time between two questions.
        due_s = {
            link: begun_s + place / self._count * POLL_S for place, link in enumerate(self._links)
        }
        waiting = set(self._links)
        seen: list[float] = []
        while waiting:
            if time.monotonic() - begun_s > SEEN_S_MAX:
                raise NeverSeen(
                    f"{len(waiting)} of {len(self._links)} connections did not tell of a change "
                    f"within {SEEN_S_MAX:g} s"
                )
            for link in [one for one, at_s in due_s.items() if at_s <= time.monotonic()]:
                del due_s[link]
                _ask(link, message)
            wait_s = max(0.0, min(due_s.values(), default=inf) - time.monotonic())
            for link in select.select(waiting, (), (), min(wait_s, POLL_S))[0]:
                for verdict in _verdicts(link):
                    if (verdict == match_pb2.VERDICT_BLOCK) is blocked:
                        seen.append(time.monotonic() - begun_s)
                        waiting.remove(link)
                    else:
                        due_s[link] = time.monotonic() + POLL_S
                link.write()
        return seen


def _ask(link: Link, message: bytes) -> None:
    link.connection.call(0, PATHS["hash"], message)
    link.write()


def _verdicts(link: Link) -> Sequence[int]:
    """Read what came; an answer that is none counts as not yet."""
    found = []
    for answer in link.read():
        if answer.status == STATUS_OK:
            response = match_pb2.CheckHashesResponse.FromString(answer.message)
            found.append(int(response.results[0].verdict))
        elif link.lost:
            raise NeverSeen(f"a connection was lost: {answer.message.decode(errors='replace')}")
        else:
            found.append(match_pb2.VERDICT_UNSPECIFIED)
    return found
