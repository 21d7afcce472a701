"""The places to compute in: who waits, who goes first, who is sent away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from imageward_index.errors import ImagewardError
from imageward_server.admission import Call, Gate, Priority
from imageward_server.admission.expected import Expected
from imageward_server.admission.gate import MODEST_SHARE, WAIT_S_MAX, WAITING_MIN
from imageward_server.errors import DeadlineExceeded, Overloaded

TIMEOUT_S = 20.0
SLOW_S = 0.05
URGENT, CHECK, BULK = Priority.URGENT, Priority.CHECK, Priority.BULK


def a_call(
    caller: str = "one", priority: Priority = CHECK, left_s: float = TIMEOUT_S, method: str = "M"
) -> Call:
    """Make a call with so much time left."""
    return Call(method, caller, priority, time.monotonic() + left_s)


class Crowd:
    """Calls that wait at a gate of one place, which is held until `run`."""

    def __init__(self) -> None:
        self.gate = Gate(1)
        self.order: list[str] = []
        self.refused: list[tuple[str, ImagewardError]] = []
        self._threads: list[threading.Thread] = []
        self._holding = ExitStack()
        self._holding.enter_context(self.gate.place(a_call("holder")))

    def join(self, name: str, call: Call) -> None:
        """Let a call come, and return when it waits or is refused."""
        thread = threading.Thread(target=self._visit, args=(name, call), daemon=True)
        before = self.gate.waiting, len(self.refused)
        thread.start()
        self._threads.append(thread)
        deadline = time.monotonic() + TIMEOUT_S
        while (self.gate.waiting, len(self.refused)) == before and time.monotonic() < deadline:
            thread.join(0.001)

    def run(self) -> None:
        """Let them all through."""
        self._holding.close()
        for thread in self._threads:
            thread.join(TIMEOUT_S)

    def _visit(self, name: str, call: Call) -> None:
        try:
            with self.gate.place(call):
                self.order.append(name)
        except ImagewardError as error:
            self.refused.append((name, error))


def patient(gate: Gate) -> None:
    """Let a gate expect calls for longer than a busy machine may hold up a test."""
    gate._expected = Expected(TIMEOUT_S)


@pytest.fixture
def crowd() -> Crowd:
    """Hold the one place of a gate."""
    return Crowd()


@pytest.fixture
def slow_crowd() -> Crowd:
    """The same, at a gate that has learnt that calls are slow."""
    crowd = Crowd()
    for _ in range(3):
        crowd.gate._estimate.paced(SLOW_S)
    return crowd


def test_the_urgent_goes_first_and_bulk_last(crowd: Crowd) -> None:
    """Whatever the order in which they came."""
    for name, priority in (("bulk", BULK), ("check", CHECK), ("urgent", URGENT)):
        crowd.join(name, a_call(priority=priority))
    crowd.run()
    assert crowd.order == ["urgent", "check", "bulk"]


def test_callers_take_turns(crowd: Crowd) -> None:
    """One call of another caller does not wait for all of the first."""
    for number in range(4):
        crowd.join(f"greedy {number}", a_call("greedy"))
    crowd.join("modest", a_call("modest"))
    crowd.run()
    assert crowd.order.index("modest") <= 1
    assert [name for name in crowd.order if name != "modest"] == [
        f"greedy {number}" for number in range(4)
    ]


def test_a_full_queue_refuses_and_says_when_to_come_back(slow_crowd: Crowd) -> None:
    """A caller's own next call is refused while it fills the queue alone."""
    for number in range(WAITING_MIN):
        slow_crowd.join(str(number), a_call())
    with pytest.raises(Overloaded) as refused, slow_crowd.gate.place(a_call()):
        pass
    assert refused.value.retry_after_s >= WAITING_MIN * SLOW_S
    slow_crowd.run()
    assert len(slow_crowd.order) == WAITING_MIN


def test_a_full_queue_has_room_for_the_modest(slow_crowd: Crowd) -> None:
    """A caller that has little waiting is let in beside one that fills the queue alone."""
    for number in range(WAITING_MIN):
        slow_crowd.join(f"greedy {number}", a_call("greedy"))
    for number in range(int(WAITING_MIN * MODEST_SHARE)):
        slow_crowd.gate.expect_room(call := a_call("modest"))
        slow_crowd.join(f"modest {number}", call)
    slow_crowd.run()
    assert (len(slow_crowd.order), slow_crowd.refused) == (WAITING_MIN * 3 // 2, [])


def test_a_queue_twice_as_long_sends_away_the_greedy_and_not_the_newcomer(
    slow_crowd: Crowd,
) -> None:
    """The last call of the caller with most waiting makes room for another caller's."""
    for number in range(WAITING_MIN):
        slow_crowd.join(f"greedy {number}", a_call("greedy"))
    for number in range(WAITING_MIN):
        slow_crowd.join(str(number), a_call(str(number)))
    slow_crowd.gate.expect_room(call := a_call("modest"))
    slow_crowd.join("modest", call)
    slow_crowd.run()
    ((name, error),) = slow_crowd.refused
    assert (name, type(error)) == (f"greedy {WAITING_MIN - 1}", Overloaded)
    assert "modest" in slow_crowd.order


def test_a_queue_of_fast_calls_may_be_longer(crowd: Crowd) -> None:
    """What is served within a moment is not refused for its number."""
    for number in range(WAITING_MIN * 2):
        crowd.join(str(number), a_call())
    crowd.run()
    assert len(crowd.order) == WAITING_MIN * 2


def test_calls_whose_message_is_on_its_way_count(slow_crowd: Crowd) -> None:
    """No more are let in than can wait, so none is refused once its message is there."""
    patient(slow_crowd.gate)
    calls = [a_call() for _ in range(WAITING_MIN)]
    for call in calls:
        slow_crowd.gate.expect_room(call)
    with pytest.raises(Overloaded):
        slow_crowd.gate.expect_room(a_call())
    for number, call in enumerate(calls):
        slow_crowd.join(str(number), call)
    slow_crowd.gate.expect_room(a_call(priority=URGENT))
    slow_crowd.run()
    assert (len(slow_crowd.order), slow_crowd.refused) == (WAITING_MIN, [])


def test_calls_on_their_way_do_not_keep_the_urgent_out(slow_crowd: Crowd) -> None:
    """What is more urgent does not wait for them."""
    patient(slow_crowd.gate)
    for _ in range(WAITING_MIN):
        slow_crowd.gate.expect_room(a_call())
    slow_crowd.gate.expect_room(a_call(priority=URGENT))
    slow_crowd.run()


def test_a_message_that_does_not_come_keeps_nobody_out(slow_crowd: Crowd) -> None:
    """It counts for as long as a call may wait, and no longer."""
    begun = time.monotonic()
    for _ in range(WAITING_MIN):
        slow_crowd.gate.expect_room(a_call())
    refused = True
    while refused and time.monotonic() < begun + TIMEOUT_S:
        try:
            slow_crowd.gate.expect_room(a_call())
            refused = False
        except Overloaded:
            pass
    assert not refused
    assert time.monotonic() - begun >= WAIT_S_MAX
    slow_crowd.run()


def test_free_places_take_what_is_on_its_way() -> None:
    """As many more are let in as there are places."""
    gate = Gate(3)
    patient(gate)
    gate._estimate.paced(SLOW_S)
    for _ in range(WAITING_MIN + 3):
        gate.expect_room(a_call())
    with pytest.raises(Overloaded):
        gate.expect_room(a_call())


def test_bulk_does_not_keep_the_urgent_out(slow_crowd: Crowd) -> None:
    """A queue that is full of bulk work has room for what is urgent."""
    for number in range(WAITING_MIN):
        slow_crowd.join(str(number), a_call(priority=BULK))
    slow_crowd.join("urgent", a_call(priority=URGENT))
    slow_crowd.run()
    assert (slow_crowd.order[0], slow_crowd.refused) == ("urgent", [])


def test_work_that_was_begun_is_not_refused(slow_crowd: Crowd) -> None:
    """The next picture of a batch waits, however full it is."""
    for number in range(WAITING_MIN):
        slow_crowd.join(str(number), a_call())
    begun = a_call()
    begun.begun = True
    slow_crowd.join("begun", begun)
    slow_crowd.run()
    assert (slow_crowd.order[0], slow_crowd.refused) == ("begun", [])


@pytest.mark.parametrize("enter", [Gate.expect_room, lambda gate, call: gate._enter(call)])
def test_nothing_begins_after_its_deadline(enter: Callable[[Gate, Call], None]) -> None:
    """Not even with a place free."""
    gate = Gate(1)
    with pytest.raises(DeadlineExceeded):
        enter(gate, a_call(left_s=-0.1))


def test_nothing_begins_that_cannot_end_in_time() -> None:
    """A call of a kind that takes far longer than it has left is refused with a place free."""
    gate = Gate(1)
    gate._estimate.served(a_call(), 1.0)
    with pytest.raises(DeadlineExceeded):
        gate.expect_room(a_call(left_s=0.3))
    gate.expect_room(a_call(left_s=0.3, method="another"))
    gate.expect_room(a_call(left_s=0.9))


def test_who_waits_leaves_at_the_deadline(crowd: Crowd) -> None:
    """And the thread is free again, though the place is not."""
    crowd.join("patient", a_call())
    with pytest.raises(DeadlineExceeded), crowd.gate.place(a_call(left_s=0.02)):
        pass
    assert crowd.gate.waiting == 1
    crowd.run()


def test_a_hopeless_deadline_is_refused_at_once(slow_crowd: Crowd) -> None:
    """A call that could not be answered in time does not wait for it."""
    for number in range(4):
        slow_crowd.join(str(number), a_call())
    begun = time.monotonic()
    with pytest.raises(Overloaded), slow_crowd.gate.place(a_call(left_s=2 * SLOW_S)):
        pass
    assert time.monotonic() - begun < SLOW_S
    slow_crowd.run()


def test_an_estimate_that_refuses_is_forgotten_in_time(slow_crowd: Crowd) -> None:
    """One slow spell does not refuse short deadlines for ever."""
    estimate = slow_crowd.gate._estimate
    estimate.served(a_call(), 10.0)
    refusals = 0
    while estimate.is_hopeless(a_call(left_s=0.5), 0.0):
        refusals += 1
    assert 0 < refusals < 200
    slow_crowd.run()
