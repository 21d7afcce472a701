"""The lock: writers alone, readers together, nobody starved."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from imageward_index.locks import ReadWriteLock

PATIENCE_S = 20.0


@pytest.fixture
def hasty_switching() -> Iterator[None]:
    """Let threads change places as often as the interpreter can."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before_s)


def wait_until(condition: Callable[[], bool]) -> None:
    """Give way to other threads until the condition holds."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "the condition never came true"
        os.sched_yield()


def test_readers_share() -> None:
    """Four readers are inside at the same time."""
    lock, all_inside = ReadWriteLock(), threading.Barrier(4)

    def read() -> int:
        with lock.read():
            return all_inside.wait(PATIENCE_S)

    with ThreadPoolExecutor(4) as pool:
        arrived = [future.result() for future in [pool.submit(read) for _ in range(4)]]
    assert sorted(arrived) == [0, 1, 2, 3]


@pytest.mark.usefixtures("hasty_switching")
def test_a_writer_is_alone() -> None:
    """Nobody, reader or writer, is inside while a writer is."""
    lock, start = ReadWriteLock(), threading.Barrier(6)
    inside: list[str] = []
    seen_by_writers: list[list[str]] = []
    seen_by_readers: list[list[str]] = []

    def write() -> None:
        start.wait(PATIENCE_S)
        for _ in range(200):
            with lock.write():
                inside.append("writer")
                os.sched_yield()
                seen_by_writers.append(list(inside))
                inside.remove("writer")

    def read() -> None:
        start.wait(PATIENCE_S)
        for _ in range(200):
            with lock.read():
                inside.append("reader")
                os.sched_yield()
                seen_by_readers.append(list(inside))
                inside.remove("reader")

    with ThreadPoolExecutor(6) as pool:
        for future in [pool.submit(work) for work in (write, read) * 3]:
            future.result()
    assert seen_by_writers == [["writer"]] * 600
    assert len(seen_by_readers) == 600
    assert not any("writer" in seen for seen in seen_by_readers)


def test_a_waiting_writer_goes_before_new_readers() -> None:
    """A reader that comes after a waiting writer is let in after it."""
    lock, order = ReadWriteLock(), list[str]()

    def write() -> None:
        with lock.write():
            order.append("writer")

    def read() -> None:
        with lock.read():
            order.append("late reader")

    writer, late_reader = threading.Thread(target=write), threading.Thread(target=read)
    with lock.read():
        writer.start()
        wait_until(lambda: lock._writers_waiting == 1)
        late_reader.start()
        # It either waits beside the writer, or has wrongly been let in.
        wait_until(lambda: len(lock._condition._waiters) == 2 or bool(order))  # type: ignore[attr-defined]
        assert order == []
    writer.join(PATIENCE_S)
    late_reader.join(PATIENCE_S)
    assert order == ["writer", "late reader"]


def test_a_writer_gets_in_among_readers_that_never_pause() -> None:
    """A writer is served though overlapping readers hold the lock all the time."""
    lock, written, start = ReadWriteLock(), threading.Event(), threading.Barrier(5)

    def read() -> None:
        start.wait(PATIENCE_S)
        while not written.is_set():
            with lock.read():
                os.sched_yield()

    def write() -> bool:
        start.wait(PATIENCE_S)
        with lock.write():
            written.set()
        return True

    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        assert pool.submit(write).result(PATIENCE_S)
        for reader in readers:
            reader.result(PATIENCE_S)


@pytest.mark.parametrize("side", ["read", "write"])
def test_an_exception_inside_frees_the_lock(side: str) -> None:
    """Whoever leaves by an exception leaves the lock open for a writer and a reader."""
    lock = ReadWriteLock()
    with pytest.raises(ZeroDivisionError), getattr(lock, side)():
        raise ZeroDivisionError
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(_pass_both_sides, lock).result(PATIENCE_S)


def _pass_both_sides(lock: ReadWriteLock) -> bool:
    with lock.write():
        pass
    with lock.read():
        return True
