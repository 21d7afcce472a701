"""Calls on their way: by caller and urgency, until they come."""

from __future__ import annotations

import time

import pytest

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


def test_who_came_is_not_forgotten_in_the_place_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """When the time of one that came is over, a later one of the same caller still counts."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    expected, one = Expected(10), Call("M", "one", Priority.CHECK, 99.0)
    expected.add(one)
    expected.came(one)
    now[0] = 5.0
    expected.add(one)
    now[0] = 11.0
    assert (expected.of(one), expected.ahead_of(Priority.BULK)) == (1, 1)
    now[0] = 16.0
    assert (expected.of(one), expected.ahead_of(Priority.BULK)) == (0, 0)
