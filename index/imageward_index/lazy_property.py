"""A property that is computed when it is first asked for, and then kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class lazy_property(Generic[T]):  # noqa: N801 - used as `property` is
    """What `functools.cached_property` is from Python 3.12 on.

    Before, that holds a lock while it computes, one for all instances of the class: a picture
    whose regions took a second had every other check wait for it. Without a lock two threads
    that ask one object at the same time compute it twice, and one value is kept.

    Args:
        compute: makes the value from the object.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = ""
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> Self | T:
        if instance is None:
            return self
        # From now on the object's own attribute is found before this one.
        value = instance.__dict__[self._name] = self._compute(instance)
        return value
