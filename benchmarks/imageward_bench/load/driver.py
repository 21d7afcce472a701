"""Sends calls when they are due and notes when they are answered: one process's part.

One thread, one loop over all its connections. An open loop sends by the schedule,
whatever the server does; a closed loop sends the next call when one is answered.
"""

from __future__ import annotations

import ctypes
import gc
import itertools
import select
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from imageward_bench.load.connection import STATUS_OK, STATUS_UNAVAILABLE, Answer
from imageward_bench.load.link import Link
from imageward_bench.load.requests import Workload, blocks_of
from imageward_bench.load.samples import STATUS_DEADLINE_EXCEEDED, STATUS_REFUSAL, Samples
from imageward_bench.load.schedule import Arrivals, Share, arrivals_ns

CHOICES = 1 << 16
# After this long a stalled server's calls are given up even if nothing else happens.
WAIT_S_MAX = 0.05
RECONNECT_S = 0.1
# After the deadline of the last call, for answers that are on their way.
DRAIN_S = 0.2
FAILURES_KEPT = 20
_UNANSWERED = 255
_PR_SET_TIMERSLACK, _TIMER_SLACK_NS = 29, 1000


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of load.

    Attributes:
        duration_s: how long calls are begun.
        deadline_s: of each call, from its intended time.
        rate_per_s: of the open loop, of all processes together; 0 for a closed loop.
        concurrency: calls under way in the closed loop, of all processes together.
        arrivals: how an open loop's calls are spaced.
        seed: of arrivals and choices.
    """

    duration_s: float
    deadline_s: float
    rate_per_s: float = 0.0
    concurrency: int = 0
    arrivals: Arrivals = "constant"
    seed: int = 1


class Driver:
    """Generates one process's share of the load.

    Args:
        target: host and port.
        connections: how many this process opens.
        workload: what is sent.
        metadata: headers of every call.
        share: which part of the whole this process is.
    """

    def __init__(
        self,
        target: str,
        connections: int,
        workload: Workload,
        metadata: Sequence[tuple[str, str]],
        share: Share,
    ) -> None:
        # Without it the kernel may wake us 50 microseconds late, which would count.
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, _TIMER_SLACK_NS, 0, 0, 0)
        self._target, self._metadata = target, tuple(metadata)
        self._workload, self._share = workload, share
        self._shared: tuple[tuple[str, str], ...] = ()
        self._connections = connections
        self._links: list[Link] = []
        self._leaving: list[Link] = []
        self._retry_at_ns = 0

    def connect(self, deadline_s: float) -> None:
        """Open all connections anew.

        Raises:
            OSError: the server cannot be reached.
        """
        self.close()
        self._shared = (
            ("content-type", "application/grpc"),
            ("te", "trailers"),
            ("user-agent", "imageward-bench"),
            ("grpc-timeout", f"{int(deadline_s * 1000)}m"),
            *self._metadata,
        )
        self._links = [Link(self._target, self._shared) for _ in range(self._connections)]

    def close(self) -> None:
        """Close all connections."""
        for link in (*self._links, *self._leaving):
            link.close()
        self._links, self._leaving = [], []

    def run(self, step: Step, start_ns: int) -> Samples:
        """Generate a step that starts at a time of the monotonic clock."""
        self._begin(step, start_ns)
        gc.disable()
        cpu_s = time.process_time()
        try:
            if step.rate_per_s:
                self._open_loop(step)
            else:
                self._closed_loop(step)
            cpu_share = (time.process_time() - cpu_s) / step.duration_s
            self._drain(step)
        finally:
            gc.enable()
        return self._samples(cpu_share)

    def _begin(self, step: Step, start_ns: int) -> None:
        rng = np.random.default_rng([step.seed, self._share.number])
        shares = self._workload.shares
        picks = rng.choice(len(shares), CHOICES, p=shares).astype(np.uint8)
        self._picks = itertools.cycle(picks.tolist())
        self._turns = [
            itertools.cycle(range(self._share.number, len(pool.messages) + self._share.number))
            for pool in self._workload.pools
        ]
        self._start_ns = start_ns
        self._deadline_ns = int(step.deadline_s * 1e9)
        self._intended, self._lag, self._latency = array("q"), array("q"), array("q")
        self._kind, self._status, self._wrong = bytearray(), bytearray(), bytearray()
        self._expected, self._link_of = array("i"), array("i")
        self._oldest = 0
        self._failures: dict[str, None] = {}

    def _open_loop(self, step: Step) -> None:
        due = arrivals_ns(step.arrivals, step.rate_per_s, step.duration_s, self._share, step.seed)
        due += self._start_ns
        places = itertools.cycle(range(self._connections))
        for due_ns in due.tolist():
            while (now := time.monotonic_ns()) < due_ns:
                self._turn((due_ns - now) / 1e9)
            self._send(next(places), due_ns, now)
            # A generator that is behind must still read: else it measures its own queue.
            if self._oldest + self._connections < len(self._status):
                self._turn(0)

    def _closed_loop(self, step: Step) -> None:
        end_ns = self._start_ns + int(step.duration_s * 1e9)
        while (now := time.monotonic_ns()) < self._start_ns:
            self._turn((self._start_ns - now) / 1e9)
        places = range(self._share.number, step.concurrency, self._share.count)
        for place in places:
            self._send(place % self._connections, time.monotonic_ns(), time.monotonic_ns())

        def send_next(key: int) -> None:
            now = time.monotonic_ns()
            if now < end_ns:
                self._send(self._link_of[key], now, now)

        while time.monotonic_ns() < end_ns:
            self._turn(WAIT_S_MAX, send_next)

    def _drain(self, step: Step) -> None:
        """Wait for what is under way, until its deadline."""
        end_ns = time.monotonic_ns() + int((step.deadline_s + DRAIN_S) * 1e9)
        while self._oldest < len(self._status) and time.monotonic_ns() < end_ns:
            self._turn(WAIT_S_MAX)

    def _send(self, place: int, intended_ns: int, now_ns: int) -> None:
        """Begin the next call, or fail it where there is no connection."""
        key, pick = len(self._status), next(self._picks)
        pool = self._workload.pools[pick]
        turn = next(self._turns[pick]) % len(pool.messages)
        self._intended.append(intended_ns - self._start_ns)
        self._lag.append(now_ns - intended_ns)
        self._latency.append(0)
        self._kind.append(pick)
        self._status.append(_UNANSWERED)
        self._wrong.append(0)
        self._expected.append(pool.blocks[turn])
        self._link_of.append(place)
        link = self._link(place, now_ns)
        if link is None:
            self._note(key, STATUS_UNAVAILABLE, b"no connection", now_ns)
            return
        begin = link.connection.send if pool.streams else link.connection.call
        begin(key, pool.path, pool.messages[turn])
        link.write()

    def _link(self, place: int, now_ns: int) -> Link | None:
        """Return a place's connection, made anew where the old one is of no more use."""
        link = self._links[place]
        if link.usable:
            return link
        if now_ns < self._retry_at_ns:
            return None
        try:
            fresh = Link(self._target, self._shared)
        except OSError:
            self._retry_at_ns = now_ns + int(RECONNECT_S * 1e9)
            return None
        if not link.lost:
            self._leaving.append(link)
        self._links[place] = fresh
        return fresh

    def _turn(self, wait_s: float, then: Callable[[int], None] | None = None) -> None:
        """Wait for the sockets, take what came, and give up what is too late."""
        links = [link for link in (*self._links, *self._leaving) if not link.lost]
        writers = [link for link in links if link.connection.out]
        readable, writable, _ = select.select(links, writers, (), min(wait_s, WAIT_S_MAX))
        for link in writable:
            link.write()
        for link in readable:
            answers = link.read()
            now_ns = time.monotonic_ns()
            for answer in answers:
                self._take(answer, now_ns, then)
            link.write()
        self._expire(time.monotonic_ns(), then)

    def _take(self, answer: Answer, now_ns: int, then: Callable[[int], None] | None) -> None:
        """Note an answer, and whether it is the right one."""
        key, status, message = answer
        if self._status[key] != _UNANSWERED:
            return  # it came after it was given up
        if status == STATUS_OK:
            blocks = blocks_of(self._workload.pools[self._kind[key]].kind, message)
            if blocks < 0:
                status, message = STATUS_REFUSAL, b"refused in a stream"
            else:
                self._wrong[key] = blocks != self._expected[key]
        self._note(key, status, message, now_ns)
        if then is not None:
            then(key)

    def _note(self, key: int, status: int, said: bytes, now_ns: int) -> None:
        self._status[key] = status
        self._latency[key] = now_ns - self._start_ns - self._intended[key]
        if status != STATUS_OK and len(self._failures) < FAILURES_KEPT:
            self._failures[f"{status}: {said.decode(errors='replace')}"] = None

    def _expire(self, now_ns: int, then: Callable[[int], None] | None) -> None:
        """Give up the calls whose deadline has passed, the oldest first."""
        late: list[int] = []
        limit_ns = now_ns - self._start_ns - self._deadline_ns
        while self._oldest < len(self._status):
            key = self._oldest
            if self._status[key] == _UNANSWERED:
                if self._intended[key] > limit_ns:
                    break
                late.append(key)
                self._note(key, STATUS_DEADLINE_EXCEEDED, b"the deadline passed", now_ns)
            self._oldest += 1
        if late:
            keys = frozenset(late)
            for link in (*self._links, *self._leaving):
                link.connection.cancel(keys)
                link.write()
        if then is not None:
            for key in late:
                then(key)

    def _samples(self, cpu_share: float) -> Samples:
        status = np.frombuffer(bytes(self._status), np.uint8)
        # What is still open has had its deadline, whichever clock is asked.
        status = np.where(status == _UNANSWERED, np.uint8(STATUS_DEADLINE_EXCEEDED), status)
        return Samples(
            tuple(pool.kind for pool in self._workload.pools),
            np.array(self._intended, np.int64),
            np.array(self._lag, np.int64),
            np.array(self._latency, np.int64),
            np.frombuffer(bytes(self._kind), np.uint8),
            status,
            np.frombuffer(bytes(self._wrong), np.bool_),
            (cpu_share,),
            tuple(self._failures),
        )
