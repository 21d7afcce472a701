"""A value is computed once an object, and no object waits for another's."""

from __future__ import annotations

import threading

from imageward_index.lazy_property import lazy_property

TIMEOUT_S = 20.0


class Asked:
    """Counts how often its value was computed, which waits until it may end."""

    def __init__(self) -> None:
        self.computed = 0
        self.begun = threading.Event()
        self.may_end = threading.Event()

    @lazy_property
    def value(self) -> int:
        """The value."""
        self.computed += 1
        self.begun.set()
        assert self.may_end.wait(TIMEOUT_S)
        return self.computed


def test_computed_once() -> None:
    """The second time it is there."""
    asked = Asked()
    asked.may_end.set()
    assert (asked.value, asked.value, asked.computed) == (1, 1, 1)
    assert Asked.value.__doc__ == "The value."


def test_one_object_does_not_wait_for_another() -> None:
    """While one computes, another of the same class is answered."""
    slow, quick = Asked(), Asked()
    quick.may_end.set()
    thread = threading.Thread(target=lambda: slow.value)
    thread.start()
    assert slow.begun.wait(TIMEOUT_S)
    answered = threading.Thread(target=lambda: quick.value)
    answered.start()
    answered.join(TIMEOUT_S / 10)
    assert not answered.is_alive()
    slow.may_end.set()
    thread.join()
