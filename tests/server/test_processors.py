"""Threads keep to a processor where they are told to, and only they."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator

import pytest

from imageward_server.processes.processors import keeping_to, processor_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's affinities")


@pytest.fixture
def mine() -> Iterator[list[int]]:
    """Yield the processors of this thread, and give them back."""
    before = os.sched_getaffinity(0)
    yield sorted(before)
    os.sched_setaffinity(0, before)


def _affinity_of_a_new_thread() -> set[int]:
    seen: list[set[int]] = []
    thread = threading.Thread(target=lambda: seen.append(os.sched_getaffinity(0)))
    thread.start()
    thread.join()
    return seen[0]


def test_workers_take_turns_where_they_are_as_many(mine: list[int]) -> None:
    """With a worker for each processor, or more, none is left out; with fewer, all are free."""
    count = len(mine)
    assert [processor_of(n, count) for n in range(1, count + 1)] == mine
    assert processor_of(count + 1, count + 1) == mine[0]
    if count > 1:
        assert processor_of(1, count - 1) is None
    os.sched_setaffinity(0, mine[-1:])
    assert processor_of(1, 1) == mine[-1]


def test_what_is_started_meanwhile_stays_there(mine: list[int]) -> None:
    """A thread that is started inside keeps to it; one that is started afterwards does not."""
    with keeping_to(mine[-1]):
        assert _affinity_of_a_new_thread() == {mine[-1]}
    assert _affinity_of_a_new_thread() == set(mine)
    with keeping_to(None):
        assert _affinity_of_a_new_thread() == set(mine)
