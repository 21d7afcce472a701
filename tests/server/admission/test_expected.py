"""Calls on their way: by caller and urgency, until they come."""

from __future__ import annotations

import time

from imageward_server.admission import Call, Priority
from imageward_server.admission.expected import Expected


def a_call(caller: str, priority: Priority = Priority.CHECK) -> Call:
    """Make a call."""
    return Call("M", caller, priority, time.monotonic() + 10)


def test_who_comes_is_counted_no_more_and_others_are() -> None:
    """Of the same caller and urgency, one for one; who was not expected changes nothing."""
    expected = Expected(60)
    for caller in ("one", "other", "one"):
        expected.add(a_call(caller))
    expected.add(a_call("one", Priority.BULK))
    expected.came(a_call("other"))
    expected.came(a_call("other"))
    expected.came(a_call("nobody"))
    assert [expected.of(a_call(caller)) for caller in ("one", "other")] == [2, 0]
    assert [expected.ahead_of(priority) for priority in Priority] == [0, 2, 3]


def test_who_does_not_come_is_forgotten() -> None:
    """As soon as its time is over."""
    expected = Expected(0)
    expected.add(a_call("one"))
    while expected.ahead_of(Priority.CHECK):
        pass
    assert expected.of(a_call("one")) == 0
